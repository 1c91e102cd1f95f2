//! The server: whether it is welcome to requests, its connections and its threads.

use super::{Metric, Unit};

pub(in crate::telemetry) const READY: Metric = Metric::gauge(
    "souk_ready",
    Unit::None,
    &[],
    "1 while requests are welcome: every model was prepared, one at least answers, and the server does not stop.",
);

pub(in crate::telemetry) const DRAINING: Metric = Metric::gauge(
    "souk_draining",
    Unit::None,
    &[],
    "1 while the server stops: what was accepted is answered, what comes is refused.",
);

pub(in crate::telemetry) const CONNECTIONS: Metric = Metric::gauge(
    "souk_connections",
    Unit::Of("connections"),
    &["port"],
    "Open now, of the port `data`, `http` or `admin`.",
);

pub(in crate::telemetry) const CONNECTIONS_LIMIT: Metric = Metric::gauge(
    "souk_connections_limit",
    Unit::Of("connections"),
    &["port"],
    "Most of them, of `data` by `server.max_connections`; further ones wait until another one leaves.",
);

pub(in crate::telemetry) const RUNNERS: Metric =
    Metric::gauge("souk_runners", Unit::Of("threads"), &[], "Threads of forward passes that are alive.");

pub(in crate::telemetry) const RUNNERS_CONFIGURED: Metric = Metric::gauge(
    "souk_runners_configured",
    Unit::Of("threads"),
    &[],
    "How many of them there should be: `runtime.runners`.",
);

pub(in crate::telemetry) const RUNNER_BUSY: Metric = Metric::counter(
    "souk_runner_busy_seconds_total",
    Unit::Seconds,
    &[],
    "Time that these threads were at work, added up; its rate by `souk_runners` is their busy share. Small passes run \
     on the threads of sockets and are not in it.",
);

pub(in crate::telemetry) const RUNNER_RESTARTS: Metric = Metric::counter(
    "souk_runner_restarts_total",
    Unit::Of("threads"),
    &[],
    "Threads of forward passes that died and were replaced.",
);

pub(in crate::telemetry) const IO_THREADS: Metric =
    Metric::gauge("souk_io_threads", Unit::Of("threads"), &[], "Threads of sockets (tokio's workers).");

pub(in crate::telemetry) const IO_BUSY: Metric = Metric::counter(
    "souk_io_busy_seconds_total",
    Unit::Seconds,
    &[],
    "Time that these threads were at work, added up; its rate by `souk_io_threads` is their busy share.",
);

pub(in crate::telemetry) const IO_TASKS: Metric =
    Metric::gauge("souk_io_tasks", Unit::Of("tasks"), &[], "Tasks of these threads that are alive.");

pub(in crate::telemetry) const IO_TASKS_QUEUED: Metric = Metric::gauge(
    "souk_io_tasks_queued",
    Unit::Of("tasks"),
    &[],
    "Tasks that were woken from outside of these threads and wait for one of them.",
);

pub(in crate::telemetry) const EXPORT_FAILURES: Metric = Metric::counter(
    "souk_telemetry_export_failures_total",
    Unit::Of("pushes"),
    &["signal"],
    "Pushes that the collector did not take, of `metrics` or `traces`; callers are answered all the same.",
);

pub(in crate::telemetry) const TRACES_DROPPED: Metric = Metric::counter(
    "souk_traces_dropped_total",
    Unit::Of("requests"),
    &[],
    "Requests that were to be [traced](#traces), beyond what is traced in a second or waits to be sent.",
);

pub(in crate::telemetry) const CERTIFICATE_EXPIRY: Metric = Metric::gauge(
    "souk_tls_certificate_expiry_timestamp_seconds",
    Unit::Seconds,
    &[],
    "When the certificate that clients are shown ends, since 1970 (Unix time); nothing without TLS.",
);

pub(in crate::telemetry) const BUILD_INFO: Metric =
    Metric::gauge("souk_build_info", Unit::None, &["version", "torch"], "1, with the versions of Souk and libtorch.");
