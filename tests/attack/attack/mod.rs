//! Hostile clients at `souk serve` with the shipped models, one kind after the other, while honest ones ask at
//! 500 requests a second: what do these notice, and what does it cost the server?

pub(crate) mod crowd;
mod watch;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, ValueEnum as _};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use self::{
    crowd::{Crowd, Got},
    watch::Watch,
};
use crate::{
    foes::Foe,
    process::Usage,
    report::{self, Table, millis},
    server::{Launch, Server},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo test --release --test attack -- attack
  cargo test --test attack -- attack --short
  cargo test --test attack -- attack --souk target/release/souk --only resets,mute

Ends with 1 where an honest answer was wrong or lost, the server crashed or held more memory than its bound;
without --short also where an honest request failed, or their p99 more than doubled.")]
pub(crate) struct Attack {
    /// The server under test.
    #[arg(long, value_name = "PROGRAM", default_value = crate::SOUK)]
    souk: PathBuf,
    /// Less than a second each, with a tenth of all counts; latencies are told and don't count.
    #[arg(long)]
    short: bool,
    /// Length of each, in seconds [default: 10, with --short 0.7].
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Only these [default: all].
    #[arg(long, value_enum, value_name = "FOE", value_delimiter = ',')]
    only: Vec<Foe>,
}

/// Memory that an attack may cost: what requests may hold (`batch.queue_bytes`, 64 MiB) as read, as encoded and as
/// replies, and 256 KiB for each of a thousand connections, which is a window of HTTP/2 either way, its buffers
/// and a decompressed piece.
const MEMORY_MIB: f64 = 3.0 * 64.0 + 0.25 * 1000.0 + 70.0;

/// How many times as slow honest answers may be.
const SLOWER: f64 = 2.0;

/// Longer than an attack takes to leave.
const LEAVING: Duration = Duration::from_secs(30);

/// Until all that an attack held is free again: that a peer is gone whose frames are read slowly shows
/// when it does not answer a ping, within 50 seconds.
const AFTER: Duration = Duration::from_secs(60);

/// Descriptors that may be open besides, e.g. of clients that connected again.
const MORE: usize = 8;

/// A server and its honest clients.
struct Siege {
    server: Server,
    crowd: Crowd,
}

/// What one attack came to.
struct Line {
    foe: Foe,
    told: String,
    before: Got,
    during: Got,
    most: Usage,
    after: Usage,
    crashed: Option<String>,
}

impl Attack {
    /// Of one attack.
    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(if self.short { 0.7 } else { 10.0 }))
    }
}

/// Runs all attacks; whether everything held.
pub(crate) async fn run(attack: &Attack) -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let launch = Launch::souk(&attack.souk, &models, folder.path());
    let golden = newest(&models.join("merchant_gmv"))?;
    let foes = if attack.only.is_empty() { Foe::value_variants().to_vec() } else { attack.only.clone() };
    let mut table = Table::new(&HEAD);
    let mut problems = Vec::new();
    let mut last = None;
    for foe in foes {
        report::progress(&format!("{} …", foe.name()));
        // Each has a server of its own, so that none has to do with what another one left, but where there is
        // no time for that.
        let mut siege = match last.take() {
            Some(siege) if attack.short => siege,
            _ => Siege::begin(attack, &launch, &golden).await?,
        };
        let (line, start) = siege.stand(attack, foe, &golden).await?;
        report::progress(&format!("{}: {}", foe.name(), line.told));
        problems.extend(line.problems(attack, start));
        table.row(line.cells(start));
        last = Some(siege);
    }
    println!("{table}");
    println!("Memory may grow by {MEMORY_MIB:.0} MiB; its threads and descriptors are those afterwards.");
    report::problems(&problems);
    Ok(problems.is_empty())
}

const HEAD: [&str; 13] = [
    "attack",
    "p50 before",
    "during",
    "p99 before",
    "during",
    "ratio",
    "failed",
    "wrong",
    "lost",
    "MiB at most",
    "threads",
    "descriptors",
    "what it did",
];

impl Siege {
    async fn begin(attack: &Attack, launch: &Launch, golden: &Path) -> anyhow::Result<Self> {
        let server = launch.start().await?;
        let crowd = Crowd::begin(server.grpc, golden).await?;
        // All connections are there, and everything was done once.
        sleep(attack.length() / 4).await;
        Ok(Self { server, crowd })
    }

    /// One attack, and what the server held before.
    async fn stand(&mut self, attack: &Attack, foe: Foe, golden: &Path) -> anyhow::Result<(Line, Usage)> {
        self.crowd.turn().await?;
        sleep(attack.length() / 2).await;
        let before = self.crowd.turn().await?;
        let (start, watch) = (self.server.usage()?, Watch::begin(self.server.pid()?));
        let told = hostile(attack, foe, &self.server, golden).await;
        let during = self.crowd.turn().await?;
        let most = watch.most();
        let after = self.left(start).await;
        let crashed = self.server.crashed().map(|status| format!("the server ended with {status}"));
        let panicked = self.server.log().contains("panicked").then(|| "something panicked in the server".to_owned());
        let told = told.unwrap_or_else(|error| format!("{error:#}"));
        Ok((Line { foe, told, before, during, most, after, crashed: crashed.or(panicked) }, start))
    }

    /// What the server holds once all connections of the attack are closed, or should be.
    async fn left(&self, start: Usage) -> Usage {
        let begun = Instant::now();
        loop {
            let now = self.server.usage().unwrap_or_default();
            if now.descriptors <= start.descriptors + MORE || begun.elapsed() > AFTER {
                return now;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The attack, in a process of its own; what came of it.
async fn hostile(attack: &Attack, foe: Foe, server: &Server, golden: &Path) -> anyhow::Result<String> {
    let seconds = attack.length().as_secs_f64();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["foe", &foe.name(), &server.grpc.to_string()]).arg(golden).args(["--seconds", &seconds.to_string()]);
    if attack.short {
        command.arg("--tenth");
    }
    let command = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let length = Duration::from_secs_f64(seconds) + LEAVING;
    let output = timeout(length, command.output()).await.context("it did not end")??;
    anyhow::ensure!(output.status.success(), "it ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The newest version of a model.
pub(crate) fn newest(model: &Path) -> anyhow::Result<PathBuf> {
    let versions = souk::model::VersionFolder::of_model(model)?;
    Ok(versions.first().context("no version")?.path.clone())
}

impl Line {
    fn ratio(&self) -> f64 {
        self.during.p99.as_secs_f64() / self.before.p99.as_secs_f64().max(1e-6)
    }

    fn cells(&self, start: Usage) -> [String; 13] {
        let change = |before: usize, after: usize| format!("{before} → {after}");
        [
            self.foe.name(),
            millis(self.before.p50),
            millis(self.during.p50),
            millis(self.before.p99),
            millis(self.during.p99),
            format!("{:.1}", self.ratio()),
            format!("{} of {}", self.during.failed(), self.during.requests),
            self.during.wrong.to_string(),
            self.during.lost.to_string(),
            format!("+{:.0}", self.most.resident_mib - start.resident_mib),
            change(start.threads, self.after.threads),
            change(start.descriptors, self.after.descriptors),
            self.told.clone(),
        ]
    }

    /// What must not have happened.
    fn problems(&self, attack: &Attack, start: Usage) -> Vec<String> {
        let mut found = self.during.notes.clone();
        found.extend(self.crashed.clone());
        let more = self.most.resident_mib - start.resident_mib;
        if more > MEMORY_MIB {
            found.push(format!("memory grew by {more:.0} MiB, wanted at most {MEMORY_MIB:.0}"));
        }
        let left = self.after.descriptors;
        if left > start.descriptors + MORE {
            found.push(format!("{left} descriptors are open {AFTER:?} later, {} were before", start.descriptors));
        }
        if !attack.short && self.during.failed() > 0 {
            let Got { requests, refused, .. } = &self.during;
            found.push(format!("{} of {requests} honest requests failed: {refused:?}", self.during.failed()));
        }
        if !attack.short && self.ratio() > SLOWER {
            found.push(format!("honest p99 is {:.1} times as long, wanted at most {SLOWER}", self.ratio()));
        }
        if self.during.requests == 0 {
            found.push("no honest request came to its end".into());
        }
        found.into_iter().map(|what| format!("{}: {what}", self.foe.name())).collect()
    }
}
