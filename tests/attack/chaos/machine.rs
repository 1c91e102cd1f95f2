//! Faults of the machine and of who runs it, at `souk serve` itself.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use tokio::{net::TcpStream, process::Command, time::sleep};

use super::{Injected, Scale, disk::Disk, stage::Stage};
use crate::honest::{Owed, ledger::Chapter};

/// Descriptors that a server has left while they are exhausted.
const LEFT: usize = 8;

/// Connections that want one each.
const FLOOD: usize = 100;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    DiskFull,
    NoDescriptors,
    Terminated,
    TerminatedTwice,
    Killed,
    Stopped,
    ClientsDie,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::DiskFull,
        Self::NoDescriptors,
        Self::Terminated,
        Self::TerminatedTwice,
        Self::Killed,
        Self::Stopped,
        Self::ClientsDie,
    ];

    /// The chapter of this fault.
    pub(super) fn chapter(self) -> Chapter {
        Chapter::new(match self {
            Self::DiskFull => "disk full, traffic changed",
            Self::NoDescriptors => "no descriptors left",
            Self::Terminated => "SIGTERM, and started again",
            Self::TerminatedTwice => "SIGTERM twice",
            Self::Killed => "SIGKILL, and started again",
            Self::Stopped => "SIGSTOP for 2 s",
            Self::ClientsDie => "clients killed in mid-flight",
        })
    }

    pub(super) async fn inject(self, stage: &mut Stage, scale: &Scale, disk: &Disk) -> anyhow::Result<Injected> {
        match self {
            Self::DiskFull => disk.fill_while(stage, scale).await,
            Self::NoDescriptors => no_descriptors(stage, scale).await,
            Self::Terminated => terminated(stage, scale).await,
            Self::TerminatedTwice => terminated_twice(stage).await,
            Self::Killed => killed(stage, scale).await,
            Self::Stopped => stopped(stage).await,
            Self::ClientsDie => clients_die(stage, scale).await,
        }
    }
}

/// Connections take all descriptors but [`LEFT`] that the server may still have; then they go.
async fn no_descriptors(stage: &Stage, scale: &Scale) -> anyhow::Result<Injected> {
    let (pid, held) = (stage.server.pid()?, stage.server.usage()?.descriptors);
    // The server has the limits of who started it; the upper one stays, so that this one can be given back.
    let whole = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(u64::try_from(held + LEFT)?), ..whole };
    prlimit(Some(pid), Resource::Nofile, few)?;
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        // What is not accepted waits in the backlog, as connected.
        flood.push(TcpStream::connect(stage.server.grpc).await?);
    }
    sleep(scale.length).await;
    let refused = stage.server.log().contains("can't accept");
    drop(flood);
    prlimit(Some(pid), Resource::Nofile, whole)?;
    let mut injected = Injected::times(1);
    if !refused {
        injected.problems.push("the server never ran out of descriptors: nothing was injected".into());
    }
    Ok(injected)
}

/// SIGTERM at a random moment: what was accepted is answered and the server leaves with 0.
async fn terminated(stage: &mut Stage, scale: &Scale) -> anyhow::Result<Injected> {
    let mut injected = Injected::times(2 * scale.times);
    for _ in 0..injected.times {
        sleep(scale.moment()).await;
        injected.ended = Some(Instant::now());
        stage.owes(Owed::Since(Instant::now()));
        stage.server.signal(Signal::TERM)?;
        let status = stage.server.ended().await?;
        if !status.success() {
            injected.problems.push(format!("after SIGTERM the server ended with {status}, wanted 0"));
        }
        stage.again().await?;
    }
    Ok(injected)
}

/// A second SIGTERM ends at once what the first one did not; with 0 where there was nothing left to do.
async fn terminated_twice(stage: &mut Stage) -> anyhow::Result<Injected> {
    stage.owes(Owed::Nothing);
    stage.server.signal(Signal::TERM)?;
    // It may have ended meanwhile.
    let _ = stage.server.signal(Signal::TERM);
    let begun = Instant::now();
    let status = stage.server.ended().await?;
    let mut injected = Injected { ended: Some(begun), ..Injected::times(1) };
    if !matches!(status.code(), Some(0 | 1)) || begun.elapsed() > Duration::from_secs(10) {
        injected
            .problems
            .push(format!("after SIGTERM twice the server ended with {status} after {:?}", begun.elapsed()));
    }
    stage.again().await?;
    Ok(injected)
}

async fn killed(stage: &mut Stage, scale: &Scale) -> anyhow::Result<Injected> {
    let mut injected = Injected::times(scale.times);
    for _ in 0..scale.times {
        sleep(scale.moment()).await;
        injected.ended = Some(Instant::now());
        stage.owes(Owed::Nothing);
        stage.server.signal(Signal::KILL)?;
        stage.server.ended().await?;
        stage.again().await?;
    }
    Ok(injected)
}

async fn stopped(stage: &Stage) -> anyhow::Result<Injected> {
    stage.server.signal(Signal::STOP)?;
    sleep(Duration::from_secs(2)).await;
    stage.server.signal(Signal::CONT)?;
    Ok(Injected::times(1))
}

/// Processes that ask as much as they can, and are killed while they do.
async fn clients_die(stage: &Stage, scale: &Scale) -> anyhow::Result<Injected> {
    let address = stage.server.grpc.to_string();
    for _ in 0..4 * scale.times {
        let mut client = Command::new(std::env::current_exe()?);
        client.args(["client", &address]).stdin(Stdio::null()).kill_on_drop(true);
        let mut client = client.spawn()?;
        sleep(Duration::from_millis(150) + scale.moment() / 4).await;
        ensure!(client.try_wait()?.is_none(), "a client ended before it was killed");
        client.kill().await?;
    }
    Ok(Injected::times(4 * scale.times))
}
