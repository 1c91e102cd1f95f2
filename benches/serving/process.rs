//! What Linux says of a process: processor time and memory, from `/proc`.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;

/// `USER_HZ`, which is 100 on every architecture that runs Souk.
const TICKS_PER_SECOND: u64 = 100;

/// A process to look at.
pub(crate) struct Process {
    folder: PathBuf,
}

/// What a process has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Time on a processor, of all its threads, in steps of 10 ms.
    pub(crate) busy: Duration,
    /// Memory that it holds, in KiB.
    pub(crate) resident_kib: u64,
    /// The most that it ever held, in KiB.
    pub(crate) peak_kib: u64,
}

impl Process {
    /// The process with this number.
    pub(crate) fn of(id: u32) -> Self {
        Self { folder: PathBuf::from("/proc").join(id.to_string()) }
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self { folder: "/proc/self".into() }
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let read = |name: &str| {
            let path = self.folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("{} (did the process end?)", path.display()))
        };
        let status = read("status")?;
        let kib = |name| field(&status, name).with_context(|| format!("no {name} in {status:?}"));
        let busy = busy(&read("stat")?).context("stat without utime and stime")?;
        Ok(Usage { busy, resident_kib: kib("VmRSS:")?, peak_kib: kib("VmHWM:")? })
    }
}

/// utime and stime, the 14th and 15th field; proc_pid_stat(5). The second one, the
/// name in brackets, may hold blanks.
fn busy(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    let ticks = fields.next()? + fields.next()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
