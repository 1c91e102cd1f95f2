//! Soak: everything that happens to a server, over and over, for half an hour. Does it hold more and more?

mod disturb;
mod samples;
mod tensors;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use self::{disturb::Done, samples::Samples, tensors::Tensors};
use crate::{
    attack::newest,
    honest::{
        Ask, Callers, Desk, Ends, Manner,
        connection::Target,
        ledger::{Ledger, Totals},
    },
    probe::Metrics,
    process::Usage,
    questions::Merchants,
    report::{self, Table},
    server::{Launch, Server},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo test --release --test attack -- soak
  cargo test --test attack -- soak --minutes 1
  cargo test --test attack -- soak --souk target/release/souk --minutes 120

Ends with 1 where an answer was wrong or lost, threads or descriptors stay behind, or memory grows by
more than 32 MiB an hour once the first five minutes are over (and ten minutes were measured).")]
pub(crate) struct Soak {
    /// The server under test.
    #[arg(long, value_name = "PROGRAM", default_value = crate::SOUK)]
    souk: PathBuf,
    /// For so long.
    #[arg(long, value_name = "M", default_value_t = 30.0)]
    minutes: f64,
}

/// What memory may grow by, in MiB an hour. What is flat moves by some MiB either way, which over 25 minutes is a
/// slope of some ten.
const SLOPE: f64 = 32.0;

/// A slope of less than this says nothing.
const LEAST_SPAN: Duration = Duration::from_secs(600);

/// Everything was there once, and memory must not grow any more.
const SETTLED: Duration = Duration::from_secs(300);

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Until all connections are closed.
const QUIET: Duration = Duration::from_secs(3);

/// Threads and descriptors that may be there besides: those of a preparation, which come and go.
const MORE: usize = 2;

const FORECASTS: Manner = Manner { unary: 16, streams: 8, rate: 200.0, deadline: Duration::from_secs(2) };
const TENSORS: Manner = Manner { unary: 8, streams: 0, rate: 50.0, deadline: Duration::from_secs(2) };

/// Rows of a request, at most.
const ROWS: usize = 8;

/// Runs it; whether everything held.
pub(crate) async fn run(soak: &Soak) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("models");
    let shipped = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/merchant_gmv"))?;
    for number in [1, 2] {
        copy(&shipped, &root.join("merchant_gmv"), number)?;
    }
    let server = Launch::souk(&soak.souk, &root, folder.path()).start().await?;
    sleep(QUIET).await;
    let (start, ledger) = (server.usage()?, Arc::new(Ledger::default()));
    let (samples, totals, done, mut problems) = stand(soak, &server, &shipped, &ledger).await?;
    sleep(QUIET).await;
    let end = server.usage()?;
    problems.extend(totals.notes.iter().cloned());
    problems.extend(leaks(start, end));
    problems.extend(counted(&server).await);
    let (slope, steady) = report(&samples, &totals, &done, (start, end));
    if slope > SLOPE && steady >= LEAST_SPAN {
        problems.push(format!("memory grows by {slope:.1} MiB an hour, wanted at most {SLOPE}"));
    }
    report::problems(&problems);
    Ok(problems.is_empty())
}

/// Everything at once, until the time is over.
async fn stand(
    soak: &Soak,
    server: &Server,
    golden: &Path,
    ledger: &Arc<Ledger>,
) -> anyhow::Result<(Samples, Totals, Arc<Done>, Vec<String>)> {
    let (merchants, tensors) = (Merchants::golden(golden)?, Tensors::golden(golden)?);
    let (_target, targets) = watch::channel(Target { address: server.grpc, generation: 0 });
    let begin = |manner, ask: Ask| {
        let (target, ends) = (targets.clone(), Arc::new(Ends::default()));
        Callers::begin(Desk { manner, ask, target, ledger: Arc::clone(ledger), ends })
    };
    ledger.next();
    let asked = merchants.clone();
    let callers = [
        begin(FORECASTS, Arc::new(move |turn, _| asked.ask(turn, 1 + turn % ROWS, None))),
        begin(TENSORS, Arc::new(move |turn, _| tensors.ask(turn))),
    ];
    let done = Arc::new(Done::default());
    let mut beside = JoinSet::new();
    beside.spawn(disturb::swap(server.admin, Arc::clone(&done)));
    beside.spawn(disturb::leave(server.grpc, merchants.clone(), Arc::clone(&done)));
    beside.spawn(disturb::burst(server.grpc, merchants, Arc::clone(&done)));
    beside.spawn(disturb::scrape(server.http, Arc::clone(&done)));
    let (mut samples, mut totals, begun) = (Samples::default(), Totals::default(), Instant::now());
    let mut problems = Vec::new();
    while begun.elapsed().as_secs_f64() < soak.minutes * 60.0 && beside.len() == 4 {
        sleep(LOOK).await;
        samples.add(begun.elapsed(), server.usage().context("the server is gone")?);
        ledger.next();
        ledger.settle(&mut totals);
        tell(begun, &totals, &done);
        if let Some(ended) = beside.try_join_next() {
            problems.push(format!("what happens beside honest requests ended: {ended:?}"));
        }
    }
    for callers in callers {
        callers.end().await;
    }
    beside.shutdown().await;
    ledger.settle(&mut totals);
    Ok((samples, totals, done, problems))
}

/// A version as another one of the same model.
fn copy(version: &Path, model: &Path, number: u64) -> anyhow::Result<()> {
    let folder = model.join(number.to_string());
    fs::create_dir_all(&folder)?;
    for file in fs::read_dir(version)? {
        let file = file?;
        fs::copy(file.path(), folder.join(file.file_name()))?;
    }
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path)?)?;
    manifest.as_object_mut().context("no manifest")?.insert("version".into(), number.into());
    Ok(fs::write(path, manifest.to_string())?)
}

fn tell(begun: Instant, totals: &Totals, done: &Done) {
    let (seconds, swaps) = (begun.elapsed().as_secs(), done.swaps.load(Ordering::Relaxed));
    if seconds % 60 < LOOK.as_secs() {
        report::progress(&format!(
            "{} min, {} requests, {swaps} swaps, wrong {}, lost {}",
            seconds / 60,
            totals.requests,
            totals.wrong,
            totals.lost
        ));
    }
}

fn leaks(start: Usage, end: Usage) -> Vec<String> {
    let counts = [("threads", start.threads, end.threads), ("descriptors", start.descriptors, end.descriptors)];
    let grown = counts.into_iter().filter(|(_, start, end)| *end > start + MORE);
    grown.map(|(what, start, end)| format!("{end} {what} at the end, {start} at the start")).collect()
}

/// What the server itself counted and must not have.
async fn counted(server: &Server) -> Vec<String> {
    let Some(metrics) = Metrics::of(server.http).await else { return vec!["no metrics at the end".into()] };
    let never = ["souk_late_rows_run_total", "souk_runner_restarts_total", "souk_queue_rows"];
    let counted = never.into_iter().map(|name| (name, metrics.sum(name).unwrap_or_default()));
    counted.filter(|(_, count)| *count > 0.0).map(|(name, count)| format!("{name} is {count}, wanted 0")).collect()
}

/// Prints it; how fast memory grew, and over which time that was measured.
fn report(samples: &Samples, totals: &Totals, done: &Done, (start, end): (Usage, Usage)) -> (f64, Duration) {
    // Of a short run the last five sixths.
    let steady = samples.since(SETTLED.min(samples.span() / 6));
    let (slope, (least, most)) = (steady.slope(), steady.range());
    let mut table = Table::new(&["what", "how much"]);
    let mut row = |what: &str, much: String| table.row([what.to_owned(), much]);
    let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed).to_string();
    row("requests", totals.requests.to_string());
    row("OK", totals.ok.to_string());
    row("refused", format!("{:?}", totals.refused));
    row("wrong", totals.wrong.to_string());
    row("lost", totals.lost.to_string());
    row("swaps of versions", count(&done.swaps));
    row("callers who left", count(&done.left));
    row("requests of bursts", count(&done.burst));
    row("scrapes", count(&done.scrapes));
    row("memory, start and end", format!("{:.0} → {:.0} MiB", start.resident_mib, end.resident_mib));
    row("memory, least and most", format!("{least:.0} … {most:.0} MiB"));
    row("memory, slope", format!("{slope:+.1} MiB/h over {:.1} min", steady.span().as_secs_f64() / 60.0));
    row("threads, start and end", format!("{} → {}", start.threads, end.threads));
    row("descriptors, start and end", format!("{} → {}", start.descriptors, end.descriptors));
    println!("{table}\nmemory {}", samples.sparkline());
    (slope, steady.span())
}
