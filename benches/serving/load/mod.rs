//! The load generator: a process of its own, with one thread, so that its share of
//! the processor is known and small.
//!
//! It sends bytes that were encoded beforehand and decodes every sixteenth answer.
//! It does not know what it measures: echo and Souk get the same frames.

mod closed;
mod connection;
mod leaving;
mod open;
mod pace;
mod record;
mod requests;
mod stream;
pub(crate) mod trace;
mod window;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use self::{
    connection::{Call, Connections},
    record::Recorder,
    requests::Requests,
    window::Window,
};

pub(crate) use record::{LONGEST, Measured, Percentiles};
pub(crate) use requests::Asks;

/// What to send, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// The server.
    pub(crate) target: SocketAddr,
    /// Its process, whose time and memory are read.
    pub(crate) server: u32,
    /// What is asked.
    pub(crate) asks: Asks,
    /// The version's `golden.jsonl`: the rows that are sent.
    pub(crate) golden: PathBuf,
    /// Rows in a request.
    pub(crate) rows: usize,
    /// When requests are sent.
    pub(crate) shape: Shape,
    /// Sent as `grpc-timeout`; nothing here enforces it.
    pub(crate) deadline: Option<Duration>,
    /// Not measured.
    pub(crate) warm_up: Duration,
    /// Measured; at most, where it is traced.
    pub(crate) length: Duration,
    /// Where each answer is told of, when it came and of which version. Then all are
    /// checked, and an open loop ends once standard input does.
    pub(crate) trace: Option<PathBuf>,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// Each caller sends its next request when the last one was answered.
    Closed { callers: usize },
    /// By a constant schedule, whether or not anything is answered; latency counts
    /// from the moment that the schedule names. What would be more than
    /// `in_flight` is skipped, and counted.
    Open { rate: f64, in_flight: usize },
    /// One `StreamGmv`, with so many messages unanswered.
    Stream { unanswered: usize },
    /// So many clients that connect, send and vanish.
    Leaving { times: usize },
}

/// What all callers share.
struct Bench {
    load: Load,
    requests: Requests,
    connections: Connections,
    window: Window,
    /// Nobody wants more.
    enough: CancellationToken,
    recorder: Mutex<Recorder>,
}

impl Bench {
    /// Records one answer.
    fn record(&self, call: &Call<'_>) {
        self.with_recorder(|recorder| recorder.add(call, &self.window));
    }

    fn with_recorder<T>(&self, change: impl FnOnce(&mut Recorder) -> T) -> T {
        // Counts that a panicked task left are still counts.
        change(&mut self.recorder.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sends the load and prints what came back as one line of JSON.
pub(crate) fn run(spec: &str) -> anyhow::Result<()> {
    let load: Load = serde_json::from_str(spec).context("the load")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(load))?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

async fn measure(load: Load) -> anyhow::Result<Measured> {
    let requests = Requests::read(&load.golden, load.asks, load.rows)?;
    let connections = Connections::open(load.target, load.asks.method(), load.deadline).await?;
    let window = Window::after(load.warm_up, load.length);
    let recorder = Mutex::new(Recorder::new(&load)?);
    let shape = load.shape;
    let enough = CancellationToken::new();
    if load.trace.is_some() {
        tokio::spawn(until_told(enough.clone()));
    }
    let bench = Arc::new(Bench { load, requests, connections, window, enough, recorder });
    let watched = tokio::spawn(window::watch(bench.window, bench.load.server, bench.enough.clone()));
    match shape {
        Shape::Closed { callers } => closed::send(&bench, callers).await?,
        Shape::Open { rate, in_flight } => open::send(&bench, rate, in_flight).await?,
        Shape::Stream { unanswered } => stream::send(&bench, unanswered).await?,
        Shape::Leaving { times } => leaving::send(&bench, times).await?,
    }
    let used = watched.await??;
    bench.with_recorder(|recorder| recorder.write_trace(&bench.load))?;
    Ok(bench.with_recorder(|recorder| recorder.measured(&bench.load, used)))
}

/// Standard input ends when whoever started this has seen enough, or has ended.
async fn until_told(enough: CancellationToken) {
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    enough.cancel();
}
