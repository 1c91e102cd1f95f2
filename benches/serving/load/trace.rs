//! Each OK answer with its moments and the version that gave it, for who looks at what
//! happened when. In memory while the load runs, then in a file of a process to the other.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};

use super::connection::Call;

/// Answers that there is room for beforehand: growing would copy all of them in one go.
const ROOM: usize = 1 << 20;

/// An OK answer. Moments are nanoseconds of the system's monotonic clock, which is the
/// same in all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// When the request should have been sent.
    pub(crate) intended: u64,
    /// When it was sent.
    pub(crate) sent: u64,
    /// When all of the answer was there.
    pub(crate) done: u64,
    /// The number of the version that answered; 0 where the answer names none.
    pub(crate) version: u64,
}

/// The answers of one load.
pub(crate) struct Trace {
    seen: Vec<Seen>,
    zero: (Instant, u64),
}

impl Trace {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { seen: Vec::with_capacity(ROOM), zero: (Instant::now(), now()) }
    }

    /// An answer of this version.
    pub(crate) fn add(&mut self, call: &Call<'_>, version: u64) {
        let [intended, sent, done] = [call.intended, call.sent, call.done].map(|moment| self.at(moment));
        self.seen.push(Seen { intended, sent, done, version });
    }

    /// For [`read`].
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let numbers = self.seen.iter().flat_map(|seen| [seen.intended, seen.sent, seen.done, seen.version]);
        let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        fs::write(file, bytes).with_context(|| file.display().to_string())
    }

    fn at(&self, moment: Instant) -> u64 {
        self.zero.1 + nanoseconds(moment.saturating_duration_since(self.zero.0))
    }
}

/// What [`Trace::write`] wrote.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<Seen>> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    ensure!(rest.is_empty(), "{}: cut off", file.display());
    let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
    let (seen, rest) = numbers.as_chunks::<4>();
    ensure!(rest.is_empty(), "{}: cut off", file.display());
    Ok(seen.iter().map(|&[intended, sent, done, version]| Seen { intended, sent, done, version }).collect())
}

/// This moment.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    nanoseconds(Duration::try_from(now).unwrap_or_default())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
