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
    path::PathBuf,
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
    let mut problems = Vec::new();

    let root = folder.path().join("evil");
    marked::write(&root, 1)?;
    // Passes are to run on runners, which are what dies.
    let launch = Launch::evil(&root, folder.path())?.set("runtime.inline_below", "0s").set("runtime.runners", 3);
    let mut stage = Stage::set(launch, MANNER).await?;
    let mut lines = vec![calm("evil engine, nothing wrong", &stage, &scale).await];
    for fault in engine::Fault::ALL {
        open(&stage, fault.chapter()).await;
        let injected = fault.inject(&mut stage, &scale).await?;
        lines.push(closed(&stage, fault.chapter(), injected).await);
    }
    problems.extend(conclude(stage, lines, &mut table).await);

    let disk = Disk::below(folder.path());
    let root = machine::root(&disk, folder.path());
    marked::write(&root, 1)?;
    let launch = Launch::souk(&chaos.souk, &root, folder.path());
    let mut stage = Stage::set(launch, MANNER).await?;
    let mut lines = vec![calm("souk serve, nothing wrong", &stage, &scale).await];
    for fault in machine::Fault::ALL {
        open(&stage, fault.chapter()).await;
        let injected = fault.inject(&mut stage, &scale, &disk).await?;
        lines.push(closed(&stage, fault.chapter(), injected).await);
    }
    problems.extend(conclude(stage, lines, &mut table).await);

    println!("{table}");
    report::problems(&problems);
    Ok(problems.is_empty())
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
    Line { chapter: name.to_owned(), injected: Injected::default(), recovery: Some(Duration::ZERO) }
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
    Line { chapter: chapter.name, recovery: stage.recovered(end).await, injected }
}

/// Adds what became of all requests; what must not have happened.
async fn conclude(stage: Stage, lines: Vec<Line>, table: &mut Table) -> Vec<String> {
    let (ledger, ended) = stage.clear().await;
    let mut problems: Vec<String> = ended.into_iter().collect();
    let chapters = ledger.all();
    for line in lines {
        let of_it: Vec<&Chapter> = chapters.iter().filter(|chapter| chapter.name == line.chapter).collect();
        let sum = |count: fn(&Chapter) -> u64| of_it.iter().map(|chapter| count(chapter)).sum::<u64>();
        let refused = of_it.iter().flat_map(|chapter| &chapter.refused).map(|(code, times)| format!("{code} {times}"));
        let refused: Vec<String> = refused.collect();
        table.row([
            line.chapter.clone(),
            line.injected.skipped.as_ref().map_or_else(|| line.injected.times.to_string(), |_| "skipped".into()),
            sum(|chapter| chapter.requests).to_string(),
            sum(|chapter| chapter.ok).to_string(),
            sum(|chapter| chapter.failed).to_string(),
            if refused.is_empty() { "0".into() } else { refused.join(", ") },
            sum(|chapter| chapter.again).to_string(),
            sum(|chapter| chapter.wrong).to_string(),
            sum(|chapter| chapter.lost).to_string(),
            of_it.first().map_or_else(String::new, |chapter| millis(chapter.percentile(99.0))),
            line.recovery.map_or_else(|| "never".into(), millis),
        ]);
        let named = |problem: &String| format!("{}: {problem}", line.chapter);
        problems.extend(of_it.iter().flat_map(|chapter| &chapter.notes).chain(&line.injected.problems).map(named));
        if line.recovery.is_none() {
            problems.push(named(&"the server did not recover".into()));
        }
        if let Some(why) = &line.injected.skipped {
            report::progress(&format!("{}: skipped: {why}", line.chapter));
        } else if line.injected.times == 0 && !line.chapter.contains("nothing wrong") {
            problems.push(named(&"nothing was injected".into()));
        }
    }
    // What was sent before the first line.
    problems
        .extend(chapters.iter().filter(|chapter| chapter.name == "nothing").flat_map(|chapter| chapter.notes.clone()));
    problems
}
