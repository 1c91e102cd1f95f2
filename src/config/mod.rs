//! What an operator can set: plain data with defaults that work.
//!
//! Defaults ← `souk.toml` ← environment (`SOUK__SERVER__LISTEN`); see
//! [`load`]. `deploy/souk.reference.toml` lists every key with its default.

mod load;
mod server;
mod tls;
mod units;

use std::{
    fs,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use http::Uri;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::trust::{KeyError, PublicKey, Trust};

pub use load::{ConfigError, Environment, Problem, load};
pub use server::ServerConfig;
pub use tls::{ClientAuth, TlsConfig};
pub use units::{Count, Texts};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Listeners and limits of the server.
    pub server: ServerConfig,
    /// Where the models are.
    pub models: ModelsConfig,
    /// How much may run together, and how much may wait.
    pub batch: BatchConfig,
    /// Threads and device.
    pub runtime: RuntimeConfig,
    /// Logs, and where metrics and traces are sent.
    pub telemetry: TelemetryConfig,
    /// Who may ask.
    pub auth: AuthConfig,
}

/// Who may ask: everybody, unless a file says who there is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Identities with their roles, in TOML; an empty path for none.
    pub file: PathBuf,
    /// Whether `grpc.health.v1.Health` answers everybody, for probes that show nothing.
    pub open_health: bool,
}

impl AuthConfig {
    /// The file, where there is one.
    pub fn file(&self) -> Option<&Path> {
        (!self.file.as_os_str().is_empty()).then_some(&*self.file)
    }
}

/// Where the models are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// Folder of `<model>/<version>/` folders, and of `policy.json`.
    pub root: PathBuf,
    /// How often the folder is looked at, beside what the system tells of changes.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    /// How long the preparation of a version may take: reading, loading, golden rows
    /// and warm-up. One that takes longer is rejected.
    #[serde(with = "humantime_serde")]
    pub prepare_timeout: Duration,
    /// A version that runs for longer on a single golden row stays out, before it runs
    /// on the others.
    #[serde(with = "humantime_serde")]
    pub slowest_row: Duration,
    /// Whether some of the rows that were asked for lately are stored as
    /// `<root>/<model>/recent.jsonl`, without their ids, so that the first version
    /// after a restart is warmed up with them.
    pub keep_recent_rows: bool,
    /// Whether a version stays out that no trusted key signed.
    pub require_signature: bool,
    /// Public keys whose signatures count, as `souk keygen` or `minisign -G` makes them:
    /// the line that is the key, or the path of its `.pub` file. A signature that is there
    /// is verified wherever there is a key.
    pub trusted_keys: Texts,
}

/// How much may run together, and how much may wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// Most rows in one forward pass, also where a version's manifest allows
    /// more. A larger request is split.
    pub max_rows: NonZeroUsize,
    /// Most rows that wait or run at the same time, over all versions. What is
    /// over it is refused with `RESOURCE_EXHAUSTED`; messages of streams and requests
    /// of more than `max_rows` wait. A request that is larger than this has its turn
    /// when nothing else is there.
    pub queue_rows: NonZeroUsize,
    /// Most bytes that the requests of these rows hold in memory.
    pub queue_bytes: ByteSize,
    /// How long a request without a deadline may be expected to wait; with one it
    /// may be half of the time that it has left. What would wait longer is
    /// refused with `RESOURCE_EXHAUSTED` and told when to come again.
    #[serde(with = "humantime_serde")]
    pub queue_wait: Duration,
    /// How long the first rows of a batch wait for others while a runner is free.
    /// Above zero, no batch runs on the threads of `runtime.inline_below`.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
}

/// Threads and device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeConfig {
    /// Threads that read and write sockets; `auto`: one for two cores.
    pub io_threads: Count,
    /// Threads that run forward passes; `auto`: one per core.
    pub runners: Count,
    /// A batch that is expected to take less runs on the I/O thread that its
    /// requests arrived on, since waking a runner would cost more; `0s`: none does.
    /// It delays all else on that thread.
    #[serde(with = "humantime_serde")]
    pub inline_below: Duration,
    /// Threads that libtorch uses within one forward pass.
    pub intra_op_threads: NonZeroUsize,
    /// Where models run.
    pub device: Device,
}

/// Where models run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// On the processor.
    Cpu,
}

/// Logs, and where metrics and traces are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// What is logged, e.g. `info` or `souk=debug,warn` (`tracing`'s directives).
    pub log: String,
    /// For people or for machines.
    pub log_format: LogFormat,
    /// The collector that metrics and traces are sent to by OTLP over gRPC, e.g.
    /// `http://127.0.0.1:4317`; with `https` it is believed by the certificates that the
    /// system trusts. Empty: none.
    pub otlp_endpoint: String,
    /// Of the requests whose caller has no trace, the share that is sent as a trace whatever
    /// becomes of it: 0 to 1. Those whose caller has one are sent where he says so; errors and
    /// the slowest are sent at any ratio.
    pub sample_ratio: f64,
    /// Whether the access log (`souk::access=debug`) has the ids of the merchants or users
    /// that requests were about, 16 of each.
    pub log_entities: bool,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            root: "models".into(),
            poll: Duration::from_secs(2),
            prepare_timeout: Duration::from_secs(120),
            // Far above what anybody waits for, and above what libtorch needs for the
            // first pass of a large model.
            slowest_row: Duration::from_secs(1),
            keep_recent_rows: false,
            require_signature: false,
            trusted_keys: Texts::default(),
        }
    }
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            max_rows: at_least_one(256),
            queue_rows: at_least_one(16384),
            queue_bytes: ByteSize::mib(64),
            queue_wait: Duration::from_millis(25),
            linger: Duration::ZERO,
        }
    }
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            io_threads: Count::Auto,
            runners: Count::Auto,
            inline_below: Duration::from_micros(250),
            intra_op_threads: NonZeroUsize::MIN,
            device: Device::Cpu,
        }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info".into(),
            log_format: LogFormat::Text,
            log_entities: false,
            otlp_endpoint: String::new(),
            sample_ratio: 0.01,
        }
    }
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

impl RuntimeConfig {
    /// Threads for sockets on this machine.
    pub fn io_threads(&self) -> NonZeroUsize {
        // Half of the cores, since the forward passes need theirs.
        self.io_threads.or(|cores| NonZeroUsize::new(cores.get() / 2).unwrap_or(NonZeroUsize::MIN))
    }

    /// Threads for forward passes on this machine.
    pub fn runners(&self) -> NonZeroUsize {
        self.runners.or(|cores| cores)
    }
}

impl ModelsConfig {
    /// Whose signatures count.
    ///
    /// # Errors
    ///
    /// What is wrong with a key, or that there is none where one is needed.
    pub fn trust(&self) -> Result<Trust, Problem> {
        let problem = |key: &str, message: String| Problem { key: format!("models.{key}"), message };
        let keys = self.trusted_keys.0.iter().map(|key| key.parse());
        let keys: Vec<PublicKey> =
            keys.collect::<Result<_, KeyError>>().map_err(|error| problem("trusted_keys", error.to_string()))?;
        match (self.require_signature, keys.as_slice()) {
            (false, _) => Ok(Trust::in_keys(keys)),
            (true, []) => Err(problem("require_signature", "is true, wanted a key in models.trusted_keys".into())),
            (true, _) => Ok(Trust::in_keys(keys).required()),
        }
    }
}

impl Settings {
    /// What no value's type shows: values that don't fit together, or not to this
    /// machine.
    fn contradictions(&self) -> Vec<Problem> {
        let mut problems = self.ports_twice();
        problems.extend(self.server.tls.contradictions());
        let others = [
            self.open_admin_port(),
            self.root_that_is_no_folder(),
            self.no_poll(),
            self.log_unreadable(),
            self.no_collector(),
            self.no_share(),
            self.models.trust().err(),
        ];
        problems.extend(others.into_iter().flatten());
        problems
    }

    /// Listeners of the same address as one before them.
    fn ports_twice(&self) -> Vec<Problem> {
        let ServerConfig { listen, http_listen, admin_listen, .. } = self.server;
        let listeners =
            [("server.listen", listen), ("server.http_listen", http_listen), ("server.admin_listen", admin_listen)];
        let twice = |(index, (key, address)): (usize, &(&str, SocketAddr))| {
            let (first, _) = listeners.iter().take(index).find(|(_, other)| other == address)?;
            (address.port() != 0).then(|| Problem { key: (*key).into(), message: format!("{address} is {first} too") })
        };
        listeners.iter().enumerate().filter_map(twice).collect()
    }

    /// Orders may come from anywhere, and from anybody.
    fn open_admin_port(&self) -> Option<Problem> {
        let address = self.server.admin_listen;
        let is_safe = address.ip().is_loopback() || self.auth.file().is_some() || self.server.tls.knows_all_clients();
        let message = format!(
            "{address} can be reached from other machines: wanted auth.file with an identity that may publish, \
             server.tls.client_auth = \"required\", or an address of this machine such as 127.0.0.1:50052"
        );
        (!is_safe).then(|| Problem { key: "server.admin_listen".into(), message })
    }

    fn root_that_is_no_folder(&self) -> Option<Problem> {
        let root = &self.models.root;
        let reason = match fs::metadata(root) {
            Ok(found) if found.is_dir() => return None,
            Ok(_) => "is no folder".into(),
            Err(error) => format!("can't be read: {error}"),
        };
        Some(Problem { key: "models.root".into(), message: format!("{root:?} {reason}") })
    }

    fn no_poll(&self) -> Option<Problem> {
        let least = Duration::from_millis(50);
        (self.models.poll < least).then(|| Problem {
            key: "models.poll".into(),
            message: format!("is {:?}, wanted at least {least:?}", self.models.poll),
        })
    }

    fn log_unreadable(&self) -> Option<Problem> {
        let log = &self.telemetry.log;
        let error = EnvFilter::builder().parse(log).err()?;
        let message = format!("{log:?} is not usable: {error}, wanted e.g. `info` or `souk=debug,warn`");
        Some(Problem { key: "telemetry.log".into(), message })
    }

    fn no_share(&self) -> Option<Problem> {
        let ratio = self.telemetry.sample_ratio;
        // Not `< 0 || > 1`, which NaN would pass.
        (!(0.0..=1.0).contains(&ratio)).then(|| Problem {
            key: "telemetry.sample_ratio".into(),
            message: format!("is {ratio}, wanted a share from 0 to 1"),
        })
    }

    fn no_collector(&self) -> Option<Problem> {
        let endpoint = &self.telemetry.otlp_endpoint;
        let reaches = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        if endpoint.is_empty() || endpoint.parse().is_ok_and(|url| reaches(&url)) {
            return None;
        }
        let message = format!("{endpoint:?} is no http or https URL, wanted e.g. `http://127.0.0.1:4317`");
        Some(Problem { key: "telemetry.otlp_endpoint".into(), message })
    }
}
