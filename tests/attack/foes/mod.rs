//! Hostile clients, each in a process of its own that gets what the server and its honest clients leave of the
//! cores: they would have machines of their own, and it is the server that is measured and not the scheduler.
//!
//! All are bounded in count, rate and time. None looks at what honest clients get.

mod bomb;
mod churn;
mod flood;
mod frames;
mod garbage;
mod headers;
mod mute;
mod slow;
mod streams;

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use souk::model::only_when_idle;

/// What they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Foe {
    /// Connections that send a byte a second: preface, headers or body.
    Slow,
    /// Streams on one connection, as many at a time as the server allows.
    Streams,
    /// The same, whatever the server allows.
    Overflow,
    /// Streams that are reset as soon as they are opened (CVE-2023-44487).
    Resets,
    /// Small messages that expand to a gigabyte.
    Bomb,
    /// 16 MB of headers: one block by CONTINUATION (CVE-2024-27316), small ones, and one of the table over and over.
    Headers,
    /// Connections that ask for large replies and read none.
    Mute,
    /// Connections that come and go.
    Churn,
    /// Bytes that are no HTTP/2.
    Garbage,
    /// Connections that stop sending and stay.
    HalfClosed,
    /// PING and SETTINGS whose answers nobody reads (CVE-2019-9512, CVE-2019-9515).
    Pings,
}

/// How much of it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Size {
    /// For so long.
    #[arg(long)]
    pub(crate) seconds: f64,
    /// A tenth of all counts.
    #[arg(long)]
    pub(crate) tenth: bool,
}

impl Size {
    /// Of so many, as many as are wanted here.
    fn count(&self, whole: usize) -> usize {
        if self.tenth { whole / 10 } else { whole }
    }

    /// When to stop, from now on.
    fn end(&self) -> Instant {
        Instant::now() + Duration::from_secs_f64(self.seconds)
    }
}

impl Foe {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Attacks; what came of it, in a few words.
    pub(crate) async fn run(self, target: SocketAddr, size: Size, golden: &Path) -> anyhow::Result<String> {
        // Its only thread.
        only_when_idle();
        match self {
            Self::Slow => slow::run(target, size).await,
            Self::Streams => streams::within(target, size).await,
            Self::Overflow => streams::beyond(target, size).await,
            Self::Resets => flood::resets(target, size).await,
            Self::Bomb => bomb::run(target, size).await,
            Self::Headers => headers::run(target, size).await,
            Self::Mute => mute::run(target, size, golden).await,
            Self::Churn => churn::run(target, size).await,
            Self::Garbage => garbage::run(target, size).await,
            Self::HalfClosed => churn::half_closed(target, size).await,
            Self::Pings => flood::pings(target, size).await,
        }
    }
}
