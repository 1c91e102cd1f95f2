//! A server whose engine misbehaves on demand: everything of Souk's but libtorch.
//!
//! A process of its own, which listens to orders on standard input and says on standard output each
//! time it followed one. It stops on SIGTERM as `souk serve` does.

mod engine;

use std::{
    io::{BufRead as _, stdin},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use souk::{
    config::{Environment, load},
    server::{Server, log_to_stderr},
    stack::ThreadSetup,
};
use tokio::signal::unix::{SignalKind, signal};

use self::engine::{Evil, Mood};

/// What it says each time.
pub(crate) const DONE: &str = "injected";

/// What the engine is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Every pass raises, for so long.
    Raise(Duration),
    /// Every pass takes twenty times as long, for so long.
    Slow(Duration),
    /// Every pass answers a row too many or a column too narrow, for so long.
    Shape(Duration),
    /// The next pass takes so long.
    Hang(Duration),
    /// So many passes panic.
    Panic(usize),
    /// So many passes panic in a way that ends their thread.
    Kill(usize),
}

/// Serves until it is told to stop.
pub(crate) fn run() -> anyhow::Result<()> {
    let settings = load(None, &Environment::of_process())?;
    log_to_stderr(&settings.telemetry)?;
    let mood = Arc::new(Mood::default());
    let listening = Arc::clone(&mood);
    thread::spawn(move || listen(&listening));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("can't listen to SIGTERM")?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let setup: ThreadSetup = Arc::new(|| Box::new(()));
        let served = Server::bind(settings).await?.run(Arc::new(Evil(mood)), setup, async {
            let _ = stopped.await;
        });
        tokio::pin!(served);
        tokio::select! {
            ended = &mut served => return Ok(ended?),
            _ = terminate.recv() => {}
        }
        let _ = stop.send(());
        tokio::select! {
            ended = served => Ok(ended?),
            _ = terminate.recv() => bail!("stopped before all accepted work was answered"),
        }
    });
    runtime.shutdown_background();
    served
}

/// Takes orders until nobody gives them.
fn listen(mood: &Mood) {
    for line in stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(order) => mood.follow(order),
            Err(error) => eprintln!("no order: {line:?}: {error}"),
        }
    }
}
