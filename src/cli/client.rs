//! The command line as a client of a running server.

use std::time::Duration;

use anyhow::Context as _;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// How long a server may take to be found.
const CONNECTING: Duration = Duration::from_secs(5);

/// A connection to the server at `--addr`, where one listens; `usual` is what such
/// an address looks like.
pub(super) async fn connect(addr: &str, usual: &str) -> anyhow::Result<Channel> {
    let wrong = || format!("--addr {addr}: wanted a URL such as {usual}");
    let endpoint = Endpoint::from_shared(addr.to_owned()).with_context(wrong)?;
    let connected = endpoint.connect_timeout(CONNECTING).connect().await;
    connected.with_context(|| format!("{addr}: can't connect; is the server running? (`souk serve`)"))
}

/// What the server said, for a person.
pub(super) fn refused(status: Status) -> anyhow::Error {
    anyhow::anyhow!("the server answered {:?}: {}", status.code(), status.message())
}
