//! What Linux tells of this process. What it does not tell is not there.

use procfs::process::{LimitValue, Process as Proc, Stat};

/// Figures of the process, as they were a moment ago.
pub(super) struct Process(Stat);

impl Process {
    pub(super) fn now() -> Option<Self> {
        Some(Self(Proc::myself().ok()?.stat().ok()?))
    }

    /// Seconds since 1970.
    pub(super) fn began(&self) -> Option<f64> {
        Some(procfs::boot_time_secs().ok()? as f64 + seconds(self.0.starttime))
    }

    /// Those of all threads, and of the system for them.
    pub(super) fn cpu_seconds(&self) -> f64 {
        seconds(self.0.utime) + seconds(self.0.stime)
    }

    pub(super) fn resident_bytes(&self) -> f64 {
        self.0.rss as f64 * procfs::page_size() as f64
    }

    pub(super) fn virtual_bytes(&self) -> f64 {
        self.0.vsize as f64
    }

    pub(super) fn threads(&self) -> f64 {
        self.0.num_threads as f64
    }
}

/// Of the system's ticks.
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

/// Open descriptors, the one for counting them left out.
pub(super) fn open_descriptors() -> Option<f64> {
    Some(Proc::myself().ok()?.fd_count().ok()?.saturating_sub(1) as f64)
}

/// How many descriptors may be open.
pub(super) fn most_descriptors() -> Option<f64> {
    match Proc::myself().ok()?.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(most) => Some(most as f64),
        LimitValue::Unlimited => None,
    }
}
