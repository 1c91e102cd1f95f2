//! Chaos: what goes wrong in a server's life, while honest clients ask and check every answer.
//!
//! Faults of the engine are those of [`crate::evil`], a process with everything of Souk's but libtorch; those of
//! the machine happen to `souk serve` itself. Both serve [`crate::marked`].

mod disk;
mod engine;
mod machine;
mod stage;

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use tokio::time::sleep;

use self::{disk::Disk, stage::Stage};
use crate::{
    honest::{Manner, ledger::Chapter},
    marked,
    report::{self, Table, millis},
    server::Launch,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo test --test attack -- chaos
  cargo test --test attack -- chaos --short
  cargo test --release --test attack -- chaos --seed 7

Ends with 1 where an answer was wrong or lost, or a server did not do as it must.
The disk is filled only where root may mount a tmpfs.")]
pub(crate) struct Chaos {
    /// The server under test.
    #[arg(long, value_name = "PROGRAM", default_value = crate::SOUK)]
    souk: PathBuf,
    /// A second for each fault.
    #[arg(long)]
    short: bool,
    /// Makes the same moments random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// How much of everything.
struct Scale {
    /// How long what lasts lasts.
    length: Duration,
    hang: Duration,
    times: usize,
    seed: Cell<u64>,
}

/// What was done.
#[derive(Debug, Default)]
struct Injected {
    times: usize,
    /// What the server did that it must not.
    problems: Vec<String>,
    /// Why nothing was done.
    skipped: Option<String>,
    /// When it ended, where that was before it was done with: a server that was killed has to start.
    ended: Option<Instant>,
}

/// A line of the table.
struct Line {
    chapter: String,
    injected: Injected,
    recovery: Option<Duration>,
    /// Nothing was to be done.
    is_calm: bool,
}

impl Injected {
    fn times(times: usize) -> Self {
        Self { times, ..Self::default() }
    }

    fn skipped(why: &str) -> Self {
        Self { skipped: Some(why.to_owned()), ..Self::default() }
    }
}

impl Scale {
    fn of(chaos: &Chaos) -> Self {
        let (length, hang, times) = if chaos.short { (700, 1000, 1) } else { (5000, 3000, 4) };
        let [length, hang] = [length, hang].map(Duration::from_millis);
        Self { length, hang, times, seed: Cell::new(chaos.seed.max(1)) }
    }

    /// A random moment within half a second (xorshift64, Marsaglia 2003).
    fn moment(&self) -> Duration {
        let mut seed = self.seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.seed.set(seed);
        Duration::from_millis(seed % 500)
    }
}

/// Honest clients: some 400 requests a second.
const MANNER: Manner = Manner { unary: 24, streams: 8, rate: 400.0, deadline: Duration::from_secs(2) };

/// Runs all faults; whether everything held.
pub(crate) async fn run(chaos: &Chaos) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let scale = Scale::of(chaos);
    let mut table = Table::new(&HEAD);
    let mut problems = of_engine(folder.path(), &scale, &mut table).await?;
    problems.extend(of_machine(&chaos.souk, folder.path(), &scale, &mut table).await?);
    println!("{table}");
    report::problems(&problems);
    Ok(problems.is_empty())
}

/// All faults of the engine; what must not have happened.
async fn of_engine(folder: &Path, scale: &Scale, table: &mut Table) -> anyhow::Result<Vec<String>> {
    let root = folder.join("evil");
    marked::write(&root, 1)?;
    // Passes are to run on runners, which are what dies.
    let launch = Launch::evil(&root, folder)?.set("runtime.inline_below", "0s").set("runtime.runners", 3);
    let mut stage = Stage::set(launch, MANNER).await?;
    let mut lines = vec![calm("evil engine, nothing wrong", &stage, scale).await];
    for fault in engine::Fault::ALL {
        open(&stage, fault.chapter()).await;
        let injected = fault.inject(&mut stage, scale).await?;
        lines.push(closed(&stage, fault.chapter(), injected).await);
    }
    Ok(conclude(stage, lines, table).await)
}

/// All faults of the machine; what must not have happened.
async fn of_machine(souk: &Path, folder: &Path, scale: &Scale, table: &mut Table) -> anyhow::Result<Vec<String>> {
    let disk = Disk::below(folder);
    let root = disk.root().map_or_else(|| folder.join("models"), Path::to_owned);
    marked::write(&root, 1)?;
    let mut stage = Stage::set(Launch::souk(souk, &root, folder), MANNER).await?;
    let mut lines = vec![calm("souk serve, nothing wrong", &stage, scale).await];
    for fault in machine::Fault::ALL {
        open(&stage, fault.chapter()).await;
        let injected = fault.inject(&mut stage, scale, &disk).await?;
        lines.push(closed(&stage, fault.chapter(), injected).await);
    }
    Ok(conclude(stage, lines, table).await)
}

/// The chapters between two faults.
const BETWEEN: &str = "nothing";

/// Longer than an answer takes where nothing is wrong.
const SETTLING: Duration = Duration::from_millis(100);

const HEAD: [&str; 11] = [
    "fault",
    "injected",
    "requests",
    "OK",
    "rows failed",
    "refused",
    "asked again",
    "wrong",
    "lost",
    "p99",
    "recovery",
];

/// A line to compare with.
async fn calm(name: &str, stage: &Stage, scale: &Scale) -> Line {
    report::progress(name);
    stage.ledger.begin(Chapter::new(name));
    sleep(scale.length).await;
    let (chapter, recovery) = (name.to_owned(), Some(Duration::ZERO));
    Line { chapter, injected: Injected::default(), recovery, is_calm: true }
}

/// Begins the chapter of a fault, once all that was asked before is answered.
async fn open(stage: &Stage, chapter: Chapter) {
    report::progress(&chapter.name);
    stage.ledger.begin(Chapter::new(BETWEEN));
    sleep(SETTLING).await;
    stage.ledger.begin(chapter);
}

/// The line of a fault, once the server is as if it had not been.
async fn closed(stage: &Stage, chapter: Chapter, injected: Injected) -> Line {
    let end = injected.ended.unwrap_or_else(Instant::now);
    Line { chapter: chapter.name, recovery: stage.recovered(end).await, injected, is_calm: false }
}

/// Adds what became of all requests; what must not have happened.
async fn conclude(stage: Stage, lines: Vec<Line>, table: &mut Table) -> Vec<String> {
    let (ledger, ended) = stage.clear().await;
    let chapters = ledger.all();
    let mut problems: Vec<String> = ended.into_iter().collect();
    for line in &lines {
        let of_it: Vec<&Chapter> = chapters.iter().filter(|chapter| chapter.name == line.chapter).collect();
        table.row(line.cells(&of_it));
        problems.extend(line.problems(&of_it));
    }
    let between = chapters.iter().filter(|chapter| chapter.name == BETWEEN);
    problems.extend(between.flat_map(|chapter| chapter.notes.clone()));
    problems
}

impl Line {
    fn cells(&self, chapters: &[&Chapter]) -> [String; 11] {
        let sum = |count: fn(&Chapter) -> u64| chapters.iter().map(|chapter| count(chapter)).sum::<u64>().to_string();
        let refused =
            chapters.iter().flat_map(|chapter| &chapter.refused).map(|(code, times)| format!("{code} {times}"));
        let refused: Vec<String> = refused.collect();
        [
            self.chapter.clone(),
            self.injected.skipped.as_ref().map_or_else(|| self.injected.times.to_string(), |_| "skipped".into()),
            sum(|chapter| chapter.requests),
            sum(|chapter| chapter.ok),
            sum(|chapter| chapter.failed),
            if refused.is_empty() { "0".into() } else { refused.join(", ") },
            sum(|chapter| chapter.again),
            sum(|chapter| chapter.wrong),
            sum(|chapter| chapter.lost),
            chapters.first().map_or_else(String::new, |chapter| millis(chapter.percentile(99.0))),
            self.recovery.map_or_else(|| "never".into(), millis),
        ]
    }

    /// What must not have happened.
    fn problems(&self, chapters: &[&Chapter]) -> Vec<String> {
        let mut found = self.injected.problems.clone();
        found.extend(chapters.iter().flat_map(|chapter| chapter.notes.clone()));
        if self.recovery.is_none() {
            found.push("the server did not recover".into());
        }
        match &self.injected.skipped {
            Some(why) => report::progress(&format!("{}: skipped: {why}", self.chapter)),
            None if self.injected.times == 0 && !self.is_calm => found.push("nothing was injected".into()),
            None => {}
        }
        found.into_iter().map(|problem| format!("{}: {problem}", self.chapter)).collect()
    }
}
