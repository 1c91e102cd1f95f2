//! A server with honest clients before it, to be started again whenever it ended.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};

use crate::{
    honest::{
        Ask, Callers, Desk, Ends, Manner, Owed,
        connection::Target,
        ledger::{Chapter, Ledger},
    },
    questions::Merchants,
    server::{Launch, Server},
};

/// So many right answers in a row mean that nothing is left of a fault.
const IN_A_ROW: usize = 100;

/// How long that may take.
const RECOVERY: Duration = Duration::from_secs(60);

/// Rows of a request, at most.
const ROWS: usize = 4;

/// The server that is up now, and who asks it.
pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) ledger: Arc<Ledger>,
    launch: Launch,
    target: watch::Sender<Target>,
    ends: Arc<Ends>,
    callers: Callers,
}

impl Stage {
    /// Starts a server that serves [`crate::marked`], and the clients.
    pub(super) async fn set(launch: Launch, manner: Manner) -> anyhow::Result<Self> {
        let server = launch.start().await?;
        let (ledger, ends) = (Arc::new(Ledger::default()), Arc::new(Ends::default()));
        let (target, targets) = watch::channel(Target { address: server.grpc, generation: 0 });
        let merchants = Merchants::marked();
        let ask: Ask = Arc::new(move |turn, mark| merchants.ask(turn, 1 + turn % ROWS, mark));
        ledger.begin(Chapter::new("nothing"));
        let desk = Desk { manner, ask, target: targets, ledger: Arc::clone(&ledger), ends: Arc::clone(&ends) };
        Ok(Self { server, ledger, launch, target, ends, callers: Callers::begin(desk) })
    }

    /// From then until the server answers as if nothing had been; none where it doesn't.
    pub(super) async fn recovered(&self, end: Instant) -> Option<Duration> {
        while end.elapsed() < RECOVERY {
            if let Some(took) = self.ledger.current().recovered(end, IN_A_ROW) {
                return Some(took);
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Says what the server of now owes once it was told or killed. Before it is.
    pub(super) fn owes(&self, owed: Owed) {
        self.ends.tell(self.target.borrow().generation, owed);
    }

    /// Starts the next server in the place of the last one.
    pub(super) async fn again(&mut self) -> anyhow::Result<()> {
        self.server = self.launch.start().await?;
        let generation = self.target.borrow().generation + 1;
        self.target.send_replace(Target { address: self.server.grpc, generation });
        Ok(())
    }

    /// Waits until everything that was asked came to its end; how the server ended, where it did by itself.
    pub(super) async fn clear(mut self) -> (Arc<Ledger>, Option<String>) {
        self.callers.end().await;
        (self.ledger, self.server.crashed().map(|status| format!("the server ended by itself with {status}")))
    }
}
