//! `souk serve`.

use std::{io, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};
use tracing::warn;

use super::{Failure, engines, settings::SettingsFile, thread_setup};
use crate::{
    config::{RuntimeConfig, Settings},
    server::{Server, log_to_stderr},
    stack::ThreadSetup,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk serve
  souk serve --config /etc/souk/souk.toml
  SOUK__SERVER__LISTEN=0.0.0.0:50051 SOUK__MODELS__ROOT=/models souk serve

Every setting is a key of souk.toml and a variable SOUK__SECTION__KEY; the variable wins.
SIGTERM or Ctrl-C drains: what was accepted is answered. A second one stops at once.")]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SettingsFile,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let settings = self.settings.read()?;
        log_to_stderr(&settings.telemetry).map_err(|error| Failure::Usage(error.into()))?;

        // Small batches run on the threads of sockets.
        let setup = thread_setup(settings.runtime.intra_op_threads);
        let _kept = setup();
        let runtime =
            io_threads(&settings.runtime, Arc::clone(&setup)).context("the threads for sockets did not start")?;
        let served = runtime.block_on(serve(settings, setup));
        // Whatever is still open was given up on.
        runtime.shutdown_background();
        Ok(served?)
    }
}

/// The threads of sockets. A single one is this thread itself: without others to
/// hand tasks to, a third of what a small request costs is saved.
fn io_threads(config: &RuntimeConfig, setup: ThreadSetup) -> io::Result<Runtime> {
    match config.io_threads().get() {
        1 => Builder::new_current_thread().enable_all().build(),
        several => Builder::new_multi_thread()
            .worker_threads(several)
            // Lives as long as the process, as these threads do.
            .on_thread_start(move || std::mem::forget(setup()))
            .enable_all()
            .build(),
    }
}

async fn serve(settings: Settings, setup: ThreadSetup) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("can't listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen to SIGINT")?;
    let mut told = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let engines = engines(settings.batch.max_rows);
    let server = Server::bind(settings).await?;
    let served = server.run(engines, setup, async {
        // The sender is dropped only with this future.
        let _ = stopped.await;
    });
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => return Ok(ended?),
        () = told() => {}
    }
    let _ = stop.send(());
    tokio::select! {
        ended = served => Ok(ended?),
        () = told() => {
            warn!("told to stop a second time");
            anyhow::bail!("stopped before all accepted work was answered")
        }
    }
}
