//! What Linux tells of this process. What it does not tell is not there.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use procfs::process::{LimitValue, Process as Proc, Stat};

/// How old a reading may be that is given once more: all figures of a scrape are of one.
const FRESH: Duration = Duration::from_millis(500);

/// Reads what is told of this process, once for all who ask at about the same time.
#[derive(Default)]
pub(super) struct Processes(Mutex<Option<(Instant, Option<Process>)>>);

/// Figures of the process, as they were a moment ago.
#[derive(Clone, Copy)]
pub(super) struct Process {
    cpu: u64,
    started: u64,
    resident: u64,
    mapped: u64,
    threads: i64,
    descriptors: Option<usize>,
}

impl Processes {
    /// At most half a second old.
    pub(super) fn now(&self) -> Option<Process> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((read, process)) if read.elapsed() < FRESH => process,
            _ => {
                let process = Process::now();
                *last = Some((Instant::now(), process));
                process
            }
        }
    }
}

impl Process {
    fn now() -> Option<Self> {
        let process = Proc::myself().ok()?;
        let Stat { utime, stime, starttime, rss, vsize, num_threads, .. } = process.stat().ok()?;
        // The one for counting them is left out.
        let descriptors = process.fd_count().ok().map(|count| count.saturating_sub(1));
        let cpu = utime + stime;
        Some(Self { cpu, started: starttime, resident: rss, mapped: vsize, threads: num_threads, descriptors })
    }

    /// Seconds since 1970.
    pub(super) fn began(&self) -> Option<f64> {
        Some(procfs::boot_time_secs().ok()? as f64 + seconds(self.started))
    }

    /// Those of all threads, and of the system for them.
    pub(super) fn cpu_seconds(&self) -> f64 {
        seconds(self.cpu)
    }

    pub(super) fn resident_bytes(&self) -> f64 {
        self.resident as f64 * procfs::page_size() as f64
    }

    pub(super) fn virtual_bytes(&self) -> f64 {
        self.mapped as f64
    }

    pub(super) fn threads(&self) -> f64 {
        self.threads as f64
    }

    /// Open descriptors.
    pub(super) fn descriptors(&self) -> Option<f64> {
        Some(self.descriptors? as f64)
    }
}

/// Of the system's ticks.
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

/// How many descriptors may be open.
pub(super) fn most_descriptors() -> Option<f64> {
    match Proc::myself().ok()?.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Value(most) => Some(most as f64),
        LimitValue::Unlimited => None,
    }
}
