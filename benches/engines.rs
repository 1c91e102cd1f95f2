//! The same weights by each engine: `cargo bench --bench engines -- FOLDER`, where the versions in
//! the model's folder FOLDER are `python -m souk_training reference --engine both`'s.
//!
//! One thread, whole passes through Souk's engines, copies to and from tensors included. The
//! versions take turns within each repetition; ratios are taken within it, figures are medians.

#![allow(clippy::print_stdout, reason = "a program for people, who read what it prints")]

use std::{
    env,
    num::NonZeroUsize,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use souk::{
    api::JsonForms,
    model::{
        Means, Version, VersionFolder, examine,
        torch::{TorchEngines, thread_setup},
    },
    rows::{Rows, Values},
    trust::Trust,
};

// The server's own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Rows in a batch.
const ROWS: [usize; 10] = [1, 2, 3, 4, 8, 16, 32, 64, 128, 256];

/// How often everything is measured.
const REPETITIONS: usize = 15;

/// Length of each figure within a repetition.
const LENGTH: Duration = Duration::from_millis(60);

fn main() -> anyhow::Result<()> {
    let Some(folder) = env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("skipped: name the folder of a model whose versions hold the same weights (`make bench` makes one)");
        return Ok(());
    };
    let _kept = thread_setup(NonZeroUsize::MIN);
    let versions = versions(Path::new(&folder))?;
    ensure!(versions.len() > 1, "{folder}: wanted two versions or more");
    differences(&versions)?;
    println!("\nrows/s on one thread; the first version's × in brackets\n");
    println!("{}", line("rows", versions.iter().map(name)));
    for count in ROWS {
        let figures = measured(&versions, count)?;
        println!("{}", line(&count.to_string(), figures.iter().map(shown)));
    }
    Ok(())
}

/// All versions, oldest first.
fn versions(folder: &Path) -> anyhow::Result<Vec<Version>> {
    let engines = TorchEngines { max_rows: NonZeroUsize::MIN.saturating_add(255) };
    let version = |folder: &VersionFolder| {
        let (rows, trust) = (JsonForms::new()?, Trust::default());
        let means = Means { rows: &rows, engines: &engines, slowest_row: Duration::MAX, trust: &trust };
        let examination = examine(folder, &means);
        examination.version.with_context(|| format!("{}: {:?}", folder.path.display(), examination.problems))
    };
    VersionFolder::of_model(folder)?.iter().rev().map(version).collect()
}

fn name(version: &Version) -> String {
    format!("{} {}", version.manifest.version, version.manifest.engine.as_str())
}

/// How far the outputs of all golden rows are from the first version's.
fn differences(versions: &[Version]) -> anyhow::Result<()> {
    let outputs = |version: &Version| -> anyhow::Result<Vec<f32>> {
        let outputs = version.engine.forward(&[&rows(version, 256)?])?;
        match outputs.columns().first().map(|column| &column.values) {
            Some(Values::F32(values)) => Ok(values.clone()),
            other => anyhow::bail!("an output that is {other:?}"),
        }
    };
    let wanted = versions.first().map(outputs).context("no version")??;
    for version in versions.iter().skip(1) {
        let found = outputs(version)?;
        let pairs = || found.iter().zip(&wanted).map(|(found, wanted)| (f64::from(*found), f64::from(*wanted)));
        let absolute = pairs().map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f64::max);
        let relative =
            pairs().map(|(found, wanted)| (found - wanted).abs() / wanted.abs().max(1.0)).fold(0.0, f64::max);
        println!("{}: differs by {absolute:.1e} at most, relative to what is above 1 by {relative:.1e}", name(version));
    }
    Ok(())
}

/// Golden rows, repeated up to `count`.
fn rows(version: &Version, count: usize) -> anyhow::Result<Rows> {
    let mut rows = version.golden.slice(0..count);
    ensure!(!rows.is_empty(), "no golden rows");
    while rows.len() < count {
        rows.append(&version.golden.slice(0..count - rows.len()))?;
    }
    Ok(rows)
}

/// Rows a second of each version, and by those of the first one.
fn measured(versions: &[Version], count: usize) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut rounds = Vec::new();
    for _ in 0..REPETITIONS {
        rounds.push(versions.iter().map(|version| rate(version, count)).collect::<anyhow::Result<Vec<_>>>()?);
    }
    let of = |index: usize| {
        let rates = rounds.iter().filter_map(|rates| rates.get(index).copied());
        let ratios = rounds.iter().filter_map(|rates| Some(rates.get(index)? / rates.first()?));
        (median(rates.collect()), median(ratios.collect()))
    };
    Ok((0..versions.len()).map(of).collect())
}

/// Other rows in each pass: those of few rows look up all of the golden ones in turn.
fn rate(version: &Version, count: usize) -> anyhow::Result<f64> {
    let batches = (0..version.golden.len()).step_by(count).map(|start| version.golden.slice(start..start + count));
    let batches: Vec<Rows> = batches.filter(|batch| batch.len() == count).collect();
    ensure!(!batches.is_empty(), "fewer golden rows than {count}");
    let (mut passes, begun) = (0_u32, Instant::now());
    for batch in batches.iter().cycle() {
        version.engine.forward(&[batch])?;
        passes += 1;
        if begun.elapsed() > LENGTH {
            break;
        }
    }
    Ok(f64::from(passes) * count as f64 / begun.elapsed().as_secs_f64())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn shown((rate, ratio): &(f64, f64)) -> String {
    format!("{rate:.0} ({ratio:.2})")
}

fn line(first: &str, others: impl Iterator<Item = String>) -> String {
    others.fold(format!("{first:>5}"), |line, figure| format!("{line} {figure:>20}"))
}
