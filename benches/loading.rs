//! What loading a version costs in memory, and whether it comes back: one version is
//! loaded and dropped again and again.

#![allow(missing_docs, clippy::print_stdout, reason = "a program")]

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use souk::{
    api::JsonForms,
    model::{Means, VersionFolder, examine, torch::TorchEngines},
    trust::Trust,
};

// The server's own.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often it is loaded.
const CYCLES: usize = 5;

/// When the memory is looked at after a version was dropped.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

/// A field of this process's status, such as `VmRSS`, in MiB.
fn status(field: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| field.to_owned())?;
    Ok(line.split_whitespace().nth(1).context("no value")?.parse::<u64>()? >> 10)
}

fn cycle(folder: &VersionFolder, engines: &TorchEngines, rows: &JsonForms) -> anyhow::Result<String> {
    let begun = Instant::now();
    let means = Means { rows, engines, slowest_row: Duration::MAX, trust: &Trust::default() };
    let examination = examine(folder, &means);
    let version = examination.version.with_context(|| format!("{:?}", examination.problems))?;
    let took = begun.elapsed().as_millis();
    let mut line = format!("{took:>6} ms {:>6} loaded {:>6} at most", status("VmRSS")?, status("VmHWM")?);
    drop(version);
    let dropped = Instant::now();
    for look in LOOKS {
        thread::sleep(look.saturating_sub(dropped.elapsed()));
        line += &format!(" {:>6} after {look:?}", status("VmRSS")?);
    }
    Ok(line)
}

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds `--bench`.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let shipped = || Path::new(env!("CARGO_MANIFEST_DIR")).join("models/merchant_gmv/1");
    let folder = VersionFolder::at(&folder.unwrap_or_else(shipped)).context("no version's folder")?;
    let engines = TorchEngines { max_rows: NonZeroUsize::MIN.saturating_add(255) };
    let rows = JsonForms::new()?;
    println!("resident memory in MiB, {} before", status("VmRSS")?);
    for number in 1..=CYCLES {
        println!("{number}: {}", cycle(&folder, &engines, &rows)?);
    }
    Ok(())
}
