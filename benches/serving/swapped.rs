//! What swaps of versions cost those who asked meanwhile: the answers of a load beside
//! the moments at which versions came and went.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::load::{LONGEST, Measured, Percentiles, trace::Seen};

/// How long after a version went live its swap is not over.
pub(crate) const AFTER: Duration = Duration::from_secs(1);

/// After so many swaps everything was there once, and memory must not grow any more.
const SETTLED: usize = 10;

/// Swaps of two versions, and the load meanwhile.
pub(crate) struct Swaps {
    /// The version that answered at first.
    pub(crate) first: u64,
    /// One after the other.
    pub(crate) swaps: Vec<Swap>,
    /// Before the first request.
    pub(crate) begun: u64,
    /// Requests a second.
    pub(crate) rate: f64,
}

/// One swap. Moments are those of [`Seen`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Swap {
    /// The version that came.
    pub(crate) to: u64,
    /// It was to leave the memory, and had.
    pub(crate) begun: u64,
    pub(crate) unloaded: u64,
    /// It was in memory again; the order that it shall answer was sent, and followed.
    pub(crate) sent: u64,
    pub(crate) live: u64,
    /// Memory of the server some seconds later, in MiB.
    pub(crate) memory_mib: f64,
}

/// What swaps cost. Latencies are in µs and of OK answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Swapped {
    /// How many there were.
    pub(crate) swaps: usize,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Requests that were answered otherwise, wrongly, not at all or not even sent.
    pub(crate) not_ok: f64,
    /// Answers by code, wrong ones, and requests that were not sent: too many were open.
    pub(crate) codes: BTreeMap<String, u64>,
    pub(crate) wrong: u64,
    pub(crate) skipped: u64,
    /// Answers of a version that was not live between request and answer.
    pub(crate) not_live: usize,
    /// Between swaps.
    pub(crate) outside: Percentiles,
    /// In swaps, from the order to leave until [`AFTER`] the version went live.
    pub(crate) within: Percentiles,
    /// The parts of that: while it was prepared, while the order that it shall answer
    /// was under way, and after that.
    pub(crate) preparing: Percentiles,
    pub(crate) switching: Percentiles,
    pub(crate) after: Percentiles,
    /// Of the first request that each version answered after it came.
    pub(crate) first: Percentiles,
    /// Nine tenths of these were faster.
    pub(crate) first_p90: f64,
    /// How long versions took to be in memory, and to be live from there, in ms.
    pub(crate) load_ms: Vec<f64>,
    pub(crate) switch_ms: Vec<f64>,
    /// Memory after each swap, in MiB.
    pub(crate) memory_mib: Vec<f64>,
}

impl Swapped {
    /// What the answers say.
    pub(crate) fn of(seen: &[Seen], swaps: &Swaps, load: &Measured) -> anyhow::Result<Self> {
        let percentiles = |holds: &dyn Fn(Part) -> bool| latencies(seen.iter().filter(|seen| holds(swaps.part(seen))));
        let first = latencies(swaps.swaps.iter().filter_map(|swap| first(seen, swap)))?;
        let milliseconds = |from: fn(&Swap) -> u64, to: fn(&Swap) -> u64| {
            swaps.swaps.iter().map(|swap| (to(swap) - from(swap)) as f64 / 1e6).collect()
        };
        Ok(Self {
            swaps: swaps.swaps.len(),
            rate: swaps.rate,
            not_ok: load.not_ok() + load.skipped as f64,
            codes: load.codes.clone(),
            wrong: load.wrong,
            skipped: load.skipped,
            not_live: seen.iter().filter(|seen| !swaps.was_live(seen)).count(),
            outside: Percentiles::of(&percentiles(&|part| part == Part::Outside)?),
            within: Percentiles::of(&percentiles(&|part| part != Part::Outside)?),
            preparing: Percentiles::of(&percentiles(&|part| part == Part::Preparing)?),
            switching: Percentiles::of(&percentiles(&|part| part == Part::Switching)?),
            after: Percentiles::of(&percentiles(&|part| part == Part::After)?),
            first: Percentiles::of(&first),
            first_p90: first.value_at_quantile(0.9) as f64 / 1000.0,
            load_ms: milliseconds(|swap| swap.unloaded, |swap| swap.sent),
            switch_ms: milliseconds(|swap| swap.sent, |swap| swap.live),
            memory_mib: swaps.swaps.iter().map(|swap| swap.memory_mib).collect(),
        })
    }

    /// Memory after the last swap by that after the tenth; of few swaps, after half of them.
    pub(crate) fn grown(&self) -> Option<f64> {
        let settled = SETTLED.min(self.swaps / 2).checked_sub(1)?;
        Some(self.memory_mib.last()? / self.memory_mib.get(settled)?)
    }
}

/// Where in the swaps a request falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Outside,
    Preparing,
    Switching,
    After,
}

impl Swaps {
    /// By the moment at which the request should have been sent.
    fn part(&self, seen: &Seen) -> Part {
        let begun = self.swaps.partition_point(|swap| swap.begun <= seen.intended);
        let Some(swap) = begun.checked_sub(1).and_then(|last| self.swaps.get(last)) else { return Part::Outside };
        match seen.intended {
            moment if moment < swap.sent => Part::Preparing,
            moment if moment < swap.live => Part::Switching,
            moment if moment < swap.live + u64::try_from(AFTER.as_nanos()).unwrap_or(u64::MAX) => Part::After,
            _ => Part::Outside,
        }
    }

    /// Whether the version that answered was live at some moment between request and
    /// answer. While an order is under way, both versions are.
    fn was_live(&self, seen: &Seen) -> bool {
        let came = [(self.first, self.begun)].into_iter().chain(self.swaps.iter().map(|swap| (swap.to, swap.sent)));
        let went = self.swaps.iter().map(|swap| swap.live).chain([u64::MAX]);
        let mut times = came.zip(went).filter(|((version, _), _)| *version == seen.version);
        times.any(|((_, came), went)| came <= seen.done && seen.sent <= went)
    }
}

/// The first request that the version answered which came.
fn first<'s>(seen: &'s [Seen], swap: &Swap) -> Option<&'s Seen> {
    let after = seen.iter().filter(|seen| seen.version == swap.to && seen.done >= swap.sent);
    after.min_by_key(|seen| seen.sent)
}

fn latencies<'s>(seen: impl Iterator<Item = &'s Seen>) -> anyhow::Result<Histogram<u64>> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST, 3)?;
    for seen in seen {
        histogram.saturating_record(seen.done.saturating_sub(seen.intended));
    }
    Ok(histogram)
}
