//! Honest clients in a process of their own, so that hostile ones don't slow them down: by the clock, and
//! from chapter to chapter as they are told.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, stdin},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    time::sleep,
};

use crate::{
    honest::{
        Ask, Callers, Desk, Ends, Manner,
        connection::Target,
        ledger::{Chapter, Ledger},
    },
    questions::Merchants,
};

/// One row each, 500 a second. As many callers as a quarter of a second has requests: a server that stalls for
/// longer is asked late, which counts as its own.
const MANNER: Manner = Manner { unary: 120, streams: 8, rate: 500.0, deadline: Duration::from_secs(5) };

/// Between two looks at whether all requests of a chapter came to their end.
const LOOK: Duration = Duration::from_millis(20);

/// What honest clients got in a chapter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Got {
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) again: u64,
    pub(crate) wrong: u64,
    pub(crate) lost: u64,
    pub(crate) notes: Vec<String>,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Got {
    /// Requests that were not answered rightly.
    pub(crate) fn failed(&self) -> u64 {
        self.requests - self.ok
    }
}

impl From<&Chapter> for Got {
    fn from(chapter: &Chapter) -> Self {
        let Chapter { requests, ok, again, wrong, lost, .. } = *chapter;
        let (p50, p99) = (chapter.percentile(50.0), chapter.percentile(99.0));
        let (refused, notes) = (chapter.refused.clone(), chapter.notes.clone());
        Self { requests, ok, refused, again, wrong, lost, notes, p50, p99 }
    }
}

/// The process of the clients.
pub(crate) struct Crowd {
    _child: Child,
    orders: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Crowd {
    /// Begins to ask.
    pub(crate) async fn begin(target: SocketAddr, golden: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("crowd").arg(target.to_string()).arg(golden);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let orders = child.stdin.take().context("no standard input")?;
        let said = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        Ok(Self { _child: child, orders, said })
    }

    /// Begins a chapter; what the clients got in the one before.
    pub(crate) async fn turn(&mut self) -> anyhow::Result<Got> {
        self.orders.write_all(b"turn\n").await?;
        let Some(line) = self.said.next_line().await? else { bail!("the honest clients have ended") };
        Ok(serde_json::from_str(&line)?)
    }
}

/// What the process does: a chapter for each line on standard input.
pub(crate) async fn run(target: SocketAddr, golden: PathBuf) -> anyhow::Result<()> {
    let merchants = Merchants::golden(&golden)?;
    let ask: Ask = Arc::new(move |turn, _| merchants.ask(turn, 1, None));
    let (_target, targets) = watch::channel(Target { address: target, generation: 0 });
    let ledger = Arc::new(Ledger::default());
    ledger.begin(Chapter::new("0"));
    let desk =
        Desk { manner: MANNER, ask, target: targets, ledger: Arc::clone(&ledger), ends: Arc::new(Ends::default()) };
    let callers = Callers::begin(desk);
    let mut orders = BufReader::new(stdin()).lines();
    let mut number: usize = 0;
    while orders.next_line().await?.is_some() {
        number += 1;
        ledger.begin(Chapter::new(&number.to_string()));
        let last = loop {
            sleep(LOOK).await;
            if let Some(last) = ledger.take(number - 1) {
                break last;
            }
        };
        println!("{}", serde_json::to_string(&Got::from(&last))?);
    }
    drop(callers);
    Ok(())
}
