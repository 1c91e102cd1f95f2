//! A server under attack, in a process of its own; killed with the value that holds it.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    time::{sleep, timeout},
};

use crate::{
    evil::{DONE, Order},
    process::{Process, Usage},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is to be started, each time.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    program: PathBuf,
    role: &'static str,
    settings: Vec<(String, String)>,
    /// Where its log and whatever it writes beside lies.
    folder: PathBuf,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    orders: ChildStdin,
    /// Times that it said to have followed an order.
    done: Arc<AtomicUsize>,
    log: PathBuf,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Launch {
    /// `souk serve` with the models below `root`.
    pub(crate) fn souk(program: &Path, root: &Path, folder: &Path) -> Self {
        Self::of(program.to_owned(), "serve", root, folder)
    }

    /// The server of [`crate::evil`].
    pub(crate) fn evil(root: &Path, folder: &Path) -> anyhow::Result<Self> {
        Ok(Self::of(std::env::current_exe()?, "evil", root, folder))
    }

    fn of(program: PathBuf, role: &'static str, root: &Path, folder: &Path) -> Self {
        let launch = Self { program, role, settings: Vec::new(), folder: folder.to_owned() };
        launch
            .set("server.listen", "127.0.0.1:0")
            .set("server.http_listen", "127.0.0.1:0")
            .set("server.admin_listen", "127.0.0.1:0")
            .set("telemetry.log_format", "json")
            .set("models.root", root.display())
    }

    /// The setting in the environment, e.g. `batch.queue_rows`.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        let name = format!("SOUK__{}", key.to_uppercase().replace('.', "__"));
        self.settings.push((name, value.to_string()));
        self
    }

    /// Starts it and waits until it is SERVING.
    pub(crate) async fn start(&self) -> anyhow::Result<Server> {
        fs::create_dir_all(&self.folder)?;
        let log = tempfile::Builder::new().prefix("log-").tempfile_in(&self.folder)?.into_temp_path().keep()?;
        let mut command = Command::new(&self.program);
        command.arg(self.role).current_dir(&self.folder).envs(self.settings.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let orders = child.stdin.take().context("no standard input")?;
        let done = Arc::new(AtomicUsize::new(0));
        let said = BufReader::new(child.stdout.take().context("no standard output")?);
        tokio::spawn(count(said, Arc::clone(&done)));
        let line = logged(&mut child, &log, "listening").await?;
        let address = |name: &str| -> anyhow::Result<SocketAddr> {
            Ok(line.get(name).and_then(Value::as_str).context("no address in the log")?.parse()?)
        };
        let (grpc, http, admin) = (address("grpc")?, address("http")?, address("admin")?);
        logged(&mut child, &log, "SERVING").await?;
        Ok(Server { child, orders, done, log, grpc, http, admin })
    }
}

/// Counts the times that orders were followed.
async fn count(said: BufReader<tokio::process::ChildStdout>, done: Arc<AtomicUsize>) {
    let mut lines = said.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == DONE {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The first line of the log whose message begins with this.
async fn logged(child: &mut Child, log: &Path, message: &str) -> anyhow::Result<Value> {
    let is = |line: &Value| line.get("message").and_then(Value::as_str).is_some_and(|found| found.starts_with(message));
    let found = async {
        loop {
            let ended = child.try_wait()?;
            let text = fs::read_to_string(log)?;
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.find(is) {
                return Ok(line);
            }
            if let Some(status) = ended {
                bail!("the server ended with {status}:\n{text}");
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, found).await.with_context(|| format!("no {message:?} in {}", log.display()))?
}

impl Server {
    /// Orders the evil one to do something.
    pub(crate) async fn order(&mut self, order: Order) -> anyhow::Result<()> {
        let line = format!("{}\n", serde_json::to_string(&order)?);
        Ok(self.orders.write_all(line.as_bytes()).await?)
    }

    /// Times that it followed orders so far.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Its number.
    pub(crate) fn pid(&self) -> anyhow::Result<Pid> {
        let id = i32::try_from(self.child.id().context("the server has ended")?)?;
        Pid::from_raw(id).context("no process")
    }

    /// Waits for its end, whatever that is.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        timeout(PATIENCE, self.child.wait()).await.context("the server does not end")?.context("waiting for the end")
    }

    /// How it ended, where it did.
    pub(crate) fn crashed(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it holds now.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Process::of(self.child.id().context("the server has ended")?).usage()
    }

    /// All that it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}
