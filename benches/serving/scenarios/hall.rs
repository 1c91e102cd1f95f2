//! Where the contenders meet: the servers of one model in one repetition.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::ProgressBar;
use tempfile::TempDir;

use crate::{
    children::{self, Contender},
    load::{Load, Measured, Shape},
    probe::Metrics,
    results::{Kind, Point, Results, Start, Who},
    settings::{Model, Settings},
};

/// Seconds in which a load generator never does nothing while its machine runs.
const STANDSTILL: f64 = 3.0;

/// The servers of one model in one repetition.
pub(super) struct Hall<'s> {
    pub(super) settings: &'s Settings,
    pub(super) model: Model,
    pub(super) souk: Contender,
    pub(super) progress: ProgressBar,
    echo: Contender,
    golden: PathBuf,
    root: PathBuf,
    logs: TempDir,
}

/// One load, but for where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) rows: usize,
    pub(super) shape: Shape,
    pub(super) deadline: Option<Duration>,
    pub(super) length: Duration,
}

impl<'s> Hall<'s> {
    /// Starts the servers, Souk with the models below `root`.
    pub(super) async fn open(
        settings: &'s Settings,
        model: Model,
        root: &Path,
        golden: PathBuf,
        progress: ProgressBar,
    ) -> anyhow::Result<Self> {
        let logs = tempfile::tempdir()?;
        let (program, root) = (settings.souk.canonicalize()?, root.canonicalize()?);
        let souk = Contender::souk(&program, &root, model.asks(), &logs.path().join("souk.log"), &[]).await?;
        let echo = Contender::echo(&logs.path().join("echo.log")).await?;
        Ok(Self { settings, model, souk, progress, echo, golden, root, logs })
    }

    /// One more Souk with the same models, and these variables in its environment.
    pub(super) async fn another(&self, log: &Path, variables: &[(&str, String)]) -> anyhow::Result<Contender> {
        let program = self.settings.souk.canonicalize()?;
        Contender::souk(&program, &self.root, self.model.asks(), log, variables).await
    }

    /// Where a server's log is to land.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    /// How Souk started.
    pub(super) fn start(&self) -> anyhow::Result<Start> {
        let usage = self.souk.usage()?;
        let mib = |kib| kib as f64 / 1024.0;
        let ready_after = self.souk.ready_after.as_secs_f64();
        Ok(Start { ready_after, memory_mib: mib(usage.resident_kib), peak_mib: mib(usage.peak_kib) })
    }

    /// What Souk says of a metric, over all labels; `None` where it has none.
    pub(super) async fn metric(&self, name: &str) -> Option<f64> {
        Metrics::of(self.souk.http).await?.sum(name)
    }

    /// Measures one point of one contender.
    pub(super) async fn measure(
        &self,
        kind: Kind,
        who: Who,
        ask: Ask,
        results: &mut Results,
    ) -> anyhow::Result<Measured> {
        let contender = match who {
            Who::Souk => &self.souk,
            Who::Echo => &self.echo,
        };
        self.measure_at(kind, who, contender, ask, results).await
    }

    /// The same of a contender that may be another one.
    pub(super) async fn measure_at(
        &self,
        kind: Kind,
        who: Who,
        contender: &Contender,
        ask: Ask,
        results: &mut Results,
    ) -> anyhow::Result<Measured> {
        let point = Point { model: self.model, kind };
        self.progress.set_message(format!("{point}, {who:?}"));
        let load = self.load_at(contender, ask);
        let measured = children::load(&load).await?;
        // A virtual machine that was moved or saved; nobody's fault, and nobody's figure.
        let measured = if measured.stood_still > STANDSTILL { children::load(&load).await? } else { measured };
        let (rate, p99) = (measured.per_second(), measured.latency.p99);
        let line = format!("{} {point}, {who:?}: {rate:.0}/s, p99 {p99:.0} µs", self.progress.prefix());
        self.progress.suspend(|| eprintln!("{line}"));
        results.add(point, who, measured.clone());
        Ok(measured)
    }

    /// Sends one load and keeps no record of it.
    pub(super) async fn send(&self, who: Who, ask: Ask) -> anyhow::Result<Measured> {
        children::load(&self.load(who, ask)).await
    }

    /// One load with where it goes.
    pub(super) fn load(&self, who: Who, ask: Ask) -> Load {
        let contender = match who {
            Who::Souk => &self.souk,
            Who::Echo => &self.echo,
        };
        self.load_at(contender, ask)
    }

    fn load_at(&self, contender: &Contender, ask: Ask) -> Load {
        Load {
            target: contender.grpc,
            server: contender.id(),
            asks: self.model.asks(),
            golden: self.golden.clone(),
            rows: ask.rows,
            shape: ask.shape,
            deadline: ask.deadline,
            warm_up: self.settings.warm_up(),
            length: ask.length,
            trace: None,
        }
    }
}
