//! What is asked of the servers, in which order.
//!
//! Within a repetition the contenders take turns point by point, so that whatever
//! else happens on the machine happens to all of them.

mod closed;
mod open;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use souk::model::VersionFolder;

use crate::{
    children::{self, Contender},
    load::{Load, Measured, Shape},
    results::{Kind, Point, Results, Start, Who},
    settings::{Model, Scenario, Settings},
};

/// The servers of one model in one repetition.
pub(crate) struct Hall<'s> {
    settings: &'s Settings,
    model: Model,
    souk: Contender,
    echo: Contender,
    golden: PathBuf,
    progress: ProgressBar,
}

/// One load, but for where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) rows: usize,
    pub(crate) shape: Shape,
    pub(crate) deadline: Option<Duration>,
    pub(crate) length: Duration,
}

/// Measures everything that is wanted.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<Results> {
    let progress = ProgressBar::new_spinner();
    progress.set_style(ProgressStyle::with_template("{spinner} {elapsed} {msg}")?);
    progress.enable_steady_tick(Duration::from_millis(500));
    let mut results = Results::default();
    for repetition in 1..=settings.repetitions() {
        for &model in &settings.models {
            progress.set_prefix(format!("{repetition}/{}", settings.repetitions()));
            one_model(settings, model, &progress, &mut results).await.with_context(|| model.name())?;
        }
    }
    progress.finish_and_clear();
    Ok(results)
}

async fn one_model(
    settings: &Settings,
    model: Model,
    progress: &ProgressBar,
    results: &mut Results,
) -> anyhow::Result<()> {
    let version = version(settings, model)?;
    progress.set_message(format!("{}: the forward pass alone", model.name()));
    let length = settings.length().min(Duration::from_secs(1));
    results.raw.push((model, children::raw(&version.path, length).await?));
    let hall = Hall::open(settings, model, version.path.join("golden.jsonl"), progress.clone()).await?;
    results.starts.push((model, hall.start()?));
    if settings.wants(Scenario::Closed) {
        closed::run(&hall, results).await?;
    }
    if settings.wants(Scenario::Open) {
        open::run(&hall, results).await?;
    }
    Ok(())
}

/// The version that the server will answer with.
fn version(settings: &Settings, model: Model) -> anyhow::Result<VersionFolder> {
    let folder = settings.root(model).join("merchant_gmv");
    let made_by = "the reference model is made by `make bench-model`";
    ensure!(folder.is_dir(), "{} is missing; {made_by}", folder.display());
    let versions = VersionFolder::of_model(&folder)?;
    versions.into_iter().next().with_context(|| format!("{} holds no version", folder.display()))
}

impl<'s> Hall<'s> {
    async fn open(
        settings: &'s Settings,
        model: Model,
        golden: PathBuf,
        progress: ProgressBar,
    ) -> anyhow::Result<Self> {
        let logs = std::env::temp_dir().join("souk-serving");
        fs::create_dir_all(&logs)?;
        let souk = Contender::souk(&settings.souk, settings.root(model), &logs.join("souk.log")).await?;
        let echo = Contender::echo(&logs.join("echo.log")).await?;
        Ok(Self { settings, model, souk, echo, golden, progress })
    }

    /// How Souk started.
    fn start(&self) -> anyhow::Result<Start> {
        let usage = self.souk.usage()?;
        let mib = |kib| kib as f64 / 1024.0;
        let ready_after = self.souk.ready_after.as_secs_f64();
        Ok(Start { ready_after, memory_mib: mib(usage.resident_kib), peak_mib: mib(usage.peak_kib) })
    }

    /// Measures one point of one contender.
    async fn measure(&self, kind: Kind, who: Who, ask: Ask, results: &mut Results) -> anyhow::Result<Measured> {
        let point = Point { model: self.model, kind };
        self.progress.set_message(format!("{} {point}, {who:?}", self.progress.prefix()));
        let measured = self.send(who, ask).await?;
        let line = format!("{point}: {who:?} {:.0}/s, p99 {:.0} µs", measured.per_second(), measured.latency.p99);
        self.progress.println(line);
        results.add(point, who, measured.clone());
        Ok(measured)
    }

    /// Sends one load and keeps no record of it.
    async fn send(&self, who: Who, ask: Ask) -> anyhow::Result<Measured> {
        let contender = match who {
            Who::Souk => &self.souk,
            Who::Echo => &self.echo,
        };
        let load = Load {
            target: contender.grpc,
            server: contender.id(),
            golden: self.golden.clone(),
            rows: ask.rows,
            shape: ask.shape,
            deadline: ask.deadline,
            warm_up: self.settings.warm_up(),
            length: ask.length,
        };
        children::load(&load).await
    }
}
