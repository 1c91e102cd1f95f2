//! Clients that vanish while their requests are waiting or running.

use std::{sync::Arc, time::Duration};

use super::{Bench, connection::Connection};

/// Requests that a client has open when it vanishes.
const OPEN: usize = 8;

/// `times` clients connect, send, and drop the connection, one after the other.
pub(crate) async fn send(bench: &Arc<Bench>, times: usize) -> anyhow::Result<()> {
    for client in 0..times {
        let connection = Connection::open(bench.load.target).await?;
        let mut open = Vec::new();
        for turn in 0..OPEN {
            let (answer, mut body) = connection.begin(bench.connections.head(bench.load.asks.method())?).await?;
            body.send_data(bench.requests.at(client + turn).frame.clone(), true)?;
            open.push((answer, body));
        }
        // Sometimes before a byte was read, sometimes in the middle of the forward pass.
        tokio::time::sleep(Duration::from_millis(client as u64 % 4)).await;
    }
    Ok(())
}
