//! The process, as the system sees it: names that Prometheus' own libraries use, so that
//! usual dashboards find them.

use super::{Metric, Unit};

pub(in crate::telemetry) const PROCESS_CPU: Metric = Metric::counter(
    "process_cpu_seconds_total",
    Unit::Seconds,
    &[],
    "CPU time of all threads, the system's for them included.",
);

pub(in crate::telemetry) const PROCESS_RESIDENT: Metric =
    Metric::gauge("process_resident_memory_bytes", Unit::Bytes, &[], "Memory that is in use now.");

pub(in crate::telemetry) const PROCESS_VIRTUAL: Metric =
    Metric::gauge("process_virtual_memory_bytes", Unit::Bytes, &[], "Addresses that were given out, used or not.");

pub(in crate::telemetry) const PROCESS_THREADS: Metric =
    Metric::gauge("process_threads", Unit::Of("threads"), &[], "Threads, those of libraries included.");

pub(in crate::telemetry) const PROCESS_OPEN_FDS: Metric =
    Metric::gauge("process_open_fds", Unit::Of("descriptors"), &[], "Open descriptors: connections and files.");

pub(in crate::telemetry) const PROCESS_MAX_FDS: Metric = Metric::gauge(
    "process_max_fds",
    Unit::Of("descriptors"),
    &[],
    "Most of them, by the system's limit; at it no connection can be accepted.",
);

pub(in crate::telemetry) const PROCESS_START: Metric =
    Metric::gauge("process_start_time_seconds", Unit::Seconds, &[], "When the process began, since 1970 (Unix time).");
