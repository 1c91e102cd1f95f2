//! What is asked of the servers, in which order.
//!
//! Within a repetition the contenders take turns point by point, so that whatever
//! else happens on the machine happens to all of them.

mod bulk;
mod closed;
mod hall;
mod leaving;
mod open;
mod orders;
pub(crate) mod overload;
mod shadow;
mod swap;
mod telemetry;
mod tensors;
mod twins;

use std::{
    io::{IsTerminal as _, stderr},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use souk::model::VersionFolder;

use self::{
    hall::{Ask, Hall},
    twins::Twins,
};
use crate::{
    children,
    load::Asks,
    results::Results,
    settings::{Model, Scenario, Settings},
};

/// Measures everything that is wanted.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<Results> {
    let progress = progress()?;
    let mut results = Results::default();
    for repetition in 1..=settings.repetitions() {
        for &model in &settings.models {
            progress.set_prefix(format!("{repetition}/{}", settings.repetitions()));
            if settings.wants_beside_echo(model) {
                one_model(settings, model, &progress, &mut results).await.with_context(|| model.name())?;
            }
            // Once: they repeat what they do by themselves.
            if repetition == 1 && model.asks() == Asks::Forecasts {
                versions(settings, model, &progress, &mut results).await.with_context(|| model.name())?;
            }
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
    results.raw.push((model, children::raw(&module(settings, model)?.path, length).await?));
    let golden = version.path.join("golden.jsonl");
    let hall = Hall::open(settings, model, &settings.root(model), golden, progress.clone()).await?;
    results.starts.push((model, hall.start()?));
    if model.asks() == Asks::Tensors {
        return tensors::run(&hall, results).await;
    }
    if settings.wants(Scenario::Closed) {
        closed::run(&hall, results).await?;
    }
    if settings.wants(Scenario::Open) {
        open::run(&hall, results).await?;
    }
    if settings.wants(Scenario::Bulk) {
        bulk::run(&hall, results).await?;
    }
    if settings.wants(Scenario::Leaving) {
        leaving::run(&hall, results).await?;
    }
    // Beside no echo, and not in each repetition: it takes turns by itself.
    if settings.wants(Scenario::Telemetry) && model == Model::Shipped && results.starts(model).count() == 1 {
        telemetry::run(&hall, results).await?;
    }
    // Last: they leave caches full.
    if settings.wants(Scenario::Flood) {
        overload::flood(&hall, results).await?;
    }
    if settings.wants(Scenario::Overload) {
        overload::run(&hall, results).await?;
    }
    Ok(())
}

/// What happens when there is more than one version.
async fn versions(
    settings: &Settings,
    model: Model,
    progress: &ProgressBar,
    results: &mut Results,
) -> anyhow::Result<()> {
    if settings.wants(Scenario::Swap) {
        swap::run(&Twins::open(settings, model, progress).await?, results).await?;
    }
    if settings.wants(Scenario::Shadow) && model == Model::Shipped {
        shadow::run(&Twins::open(settings, model, progress).await?, results).await?;
    }
    Ok(())
}

/// The version that the server will answer with.
pub(crate) fn version(settings: &Settings, model: Model) -> anyhow::Result<VersionFolder> {
    newest(settings, model, |_| true)
}

/// The version whose module libtorch runs without Souk. Of the reference model it has the
/// same weights as the version of Souk's own engine that answers.
pub(crate) fn module(settings: &Settings, model: Model) -> anyhow::Result<VersionFolder> {
    newest(settings, model, |version| version.path.join("model.pt").exists())
}

fn newest(
    settings: &Settings,
    model: Model,
    is_wanted: impl Fn(&VersionFolder) -> bool,
) -> anyhow::Result<VersionFolder> {
    let folder = settings.root(model).join(model.folder());
    ensure!(
        folder.is_dir(),
        "{} is missing (`make bench` makes all but the shipped model; --models shipped does without)",
        folder.display()
    );
    let versions = VersionFolder::of_model(&folder)?;
    let version = versions.into_iter().find(is_wanted);
    version.with_context(|| format!("{} holds no version", folder.display()))
}

/// A spinner for people, lines for logs.
fn progress() -> anyhow::Result<ProgressBar> {
    let progress = ProgressBar::new_spinner();
    progress.set_style(ProgressStyle::with_template("{spinner} {elapsed} {prefix} {msg}")?);
    if stderr().is_terminal() {
        progress.enable_steady_tick(Duration::from_millis(500));
    }
    Ok(progress)
}
