//! What Linux says of a process: memory, threads, descriptors.

use std::{fs, path::PathBuf};

use anyhow::Context as _;

/// A process to look at.
pub(crate) struct Process {
    folder: PathBuf,
}

/// What a process holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Memory, in MiB.
    pub(crate) resident_mib: f64,
    /// Threads.
    pub(crate) threads: usize,
    /// Open files, sockets among them.
    pub(crate) descriptors: usize,
}

impl Process {
    /// The process with this number.
    pub(crate) fn of(id: u32) -> Self {
        Self { folder: PathBuf::from("/proc").join(id.to_string()) }
    }

    /// What it holds now.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let path = self.folder.join("status");
        let status = fs::read_to_string(&path).with_context(|| format!("{} (did it end?)", path.display()))?;
        let field = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Ok(Usage {
            resident_mib: field("VmRSS:").context("no VmRSS")? / 1024.0,
            threads: field("Threads:").context("no Threads")? as usize,
            descriptors: fs::read_dir(self.folder.join("fd"))?.count(),
        })
    }
}
