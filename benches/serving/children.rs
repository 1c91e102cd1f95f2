//! The processes that are measured. Each ends with the value that holds it.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum as _;
use serde::de::DeserializeOwned;
use tokio::{
    process::{Child, Command},
    time::sleep,
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    collector::Manner,
    libtorch::{Choice, measure::Passes},
    load::{Asks, Load, Measured},
    process::{Process, Usage},
    raw::Raw,
};

/// Longer than any server here takes to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server under test.
pub(crate) struct Contender {
    // Killed when dropped.
    child: Child,
    /// Where it listens.
    pub(crate) grpc: SocketAddr,
    /// Where Souk answers probes.
    pub(crate) http: SocketAddr,
    /// Where Souk takes orders.
    pub(crate) admin: SocketAddr,
    /// From its start until it was SERVING.
    pub(crate) ready_after: Duration,
}

impl Contender {
    /// `souk serve` with the models below `root`, ready for what will be asked.
    pub(crate) async fn souk(
        program: &Path,
        root: &Path,
        asks: Asks,
        log: &Path,
        variables: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let (grpc, http, admin) = (free_address()?, free_address()?, free_address()?);
        let mut command = Command::new(program);
        command
            .arg("serve")
            .env("SOUK__SERVER__LISTEN", grpc.to_string())
            .env("SOUK__SERVER__HTTP_LISTEN", http.to_string())
            .env("SOUK__SERVER__ADMIN_LISTEN", admin.to_string())
            .env("SOUK__MODELS__ROOT", root)
            .envs(variables.iter().map(|(key, value)| (key, value)));
        Self::start(command, log, [grpc, http, admin], asks.service()).await
    }

    /// The echo server.
    pub(crate) async fn echo(log: &Path) -> anyhow::Result<Self> {
        let grpc = free_address()?;
        let mut command = own("echo")?;
        command.arg(grpc.to_string());
        // As a whole: it has no model to wait for.
        Self::start(command, log, [grpc; 3], "").await
    }

    /// A collector of telemetry.
    pub(crate) async fn collector(manner: Manner, log: &Path) -> anyhow::Result<Self> {
        let grpc = free_address()?;
        let manner = manner.to_possible_value().context("no name")?;
        let mut command = own("collector")?;
        command.arg(grpc.to_string()).arg(manner.get_name());
        Self::start(command, log, [grpc; 3], "").await
    }

    async fn start(
        mut command: Command,
        log: &Path,
        [grpc, http, admin]: [SocketAddr; 3],
        service: &str,
    ) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let file = File::create(log).with_context(|| log.display().to_string())?;
        // Not where somebody's souk.toml lies.
        command.current_dir(log.parent().unwrap_or(log));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).kill_on_drop(true);
        let child = child.spawn().with_context(|| format!("starting {command:?}"))?;
        let mut contender = Self { child, grpc, http, admin, ready_after: Duration::ZERO };
        contender.serving(service).await.with_context(|| fs::read_to_string(log).unwrap_or_default())?;
        contender.ready_after = begun.elapsed();
        Ok(contender)
    }

    async fn serving(&mut self, service: &str) -> anyhow::Result<()> {
        let channel = Endpoint::from_shared(format!("http://{}", self.grpc))?.connect_lazy();
        let mut health = HealthClient::new(channel);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let asked = health.check(HealthCheckRequest { service: service.to_owned() }).await;
            if asked.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            sleep(Duration::from_millis(5)).await;
        }
        bail!("not SERVING within {PATIENCE:?}")
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Process::of(self.id()).usage()
    }
}

/// Sends a load from a process of its own.
pub(crate) async fn load(load: &Load) -> anyhow::Result<Measured> {
    let mut command = own("load")?;
    command.arg(serde_json::to_string(load)?);
    answer(command).await
}

/// Sends a load that is traced while something else happens, and ends with it.
pub(crate) async fn load_beside<T>(
    load: &Load,
    happens: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Measured, T)> {
    let mut command = own("load")?;
    command.arg(serde_json::to_string(load)?);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = child.spawn()?;
    let happened = happens.await?;
    // Which tells it that this is enough.
    drop(child.stdin.take());
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok((serde_json::from_slice(&output.stdout).with_context(|| format!("what {command:?} printed"))?, happened))
}

/// Measures the forward pass in a process of its own.
pub(crate) async fn raw(folder: &Path, length: Duration) -> anyhow::Result<Raw> {
    let mut command = own("raw")?;
    command.arg(folder).arg(length.as_secs_f64().to_string());
    answer(command).await
}

/// Measures the forward pass by one choice of libtorch's settings, in a process of its own.
pub(crate) async fn chosen(folder: &Path, choice: &Choice, length: Duration) -> anyhow::Result<Passes> {
    let mut command = own("chosen")?;
    command.arg(folder).arg(serde_json::to_string(choice)?).arg(length.as_secs_f64().to_string());
    answer(command).await
}

/// The line of JSON that a child of this program prints.
async fn answer<T: DeserializeOwned>(mut command: Command) -> anyhow::Result<T> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {command:?} printed"))
}

/// This program in another role.
fn own(role: &str) -> anyhow::Result<Command> {
    let program: PathBuf = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.arg(role);
    Ok(command)
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
