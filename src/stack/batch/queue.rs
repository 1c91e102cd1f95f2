//! What waits: for each version a line per lane. Plain data without a clock or a
//! lock of its own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::{
    super::Lane,
    pending::{Answer, Part},
};
use crate::rows::Forward;

/// How much later than interactive rows of the same age bulk rows have their turn:
/// patient, but never starving.
const BULK_PATIENCE: Duration = Duration::from_millis(50);

/// How many parts that can't run together with the first one are passed over in the
/// search for those that can: it is made while nobody else can queue anything.
const OTHERS: usize = 256;

/// All lines.
#[derive(Default)]
pub(super) struct Queue {
    /// By the address of the version's engine. The weak pointer in the record
    /// keeps that address from being used again.
    versions: BTreeMap<usize, Version>,
    /// How long a part waits for company.
    linger: Duration,
}

/// The rows of one version.
struct Version {
    model: Weak<dyn Forward>,
    lines: [Line; Lane::ALL.len()],
}

/// The rows of one version in one lane, in their order.
#[derive(Default)]
struct Line {
    /// Those who left leave a gap behind; never one in front.
    parts: VecDeque<Option<Part>>,
    /// The number of the part in front.
    first: u64,
    rows: usize,
    /// Whether somebody on his way here will take them.
    led: bool,
}

/// A line's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineKey {
    version: usize,
    lane: Lane,
}

/// Where a part waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: LineKey,
    number: u64,
}

/// Parts of one version that fit into one pass.
pub(super) struct Batch {
    pub(super) model: Arc<dyn Forward>,
    pub(super) parts: Vec<Part>,
    /// When it was taken, which is when its pass begins.
    pub(super) began: Instant,
}

/// What was taken out of the queue.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) batch: Option<Batch>,
    /// Requests whose deadline passed while they waited: they never run.
    pub(super) late: Vec<Answer>,
    /// Where nothing is ripe: when something will be.
    pub(super) ripe: Option<Instant>,
}

impl Queue {
    /// No lines yet; parts wait `linger` for company.
    pub(super) fn new(linger: Duration) -> Self {
        Self { versions: BTreeMap::new(), linger }
    }

    /// Puts a part behind those of its version and lane.
    pub(super) fn push(&mut self, part: Part) -> Place {
        let line = LineKey { version: Arc::as_ptr(&part.model).cast::<()>().addr(), lane: part.lane };
        if !self.versions.contains_key(&line.version) {
            // Rare, so this is where those of retired versions go.
            self.versions.retain(|_, version| version.model.strong_count() > 0);
            self.versions
                .insert(line.version, Version { model: Arc::downgrade(&part.model), lines: Default::default() });
        }
        let number = self.line(line).map_or(0, |waiting| waiting.push(part));
        Place { line, number }
    }

    /// Takes a part out, if it still waits.
    pub(super) fn remove(&mut self, place: &Place) {
        if let Some(line) = self.line(place.line) {
            line.remove(place.number);
        }
    }

    /// Whether no row waits.
    pub(super) fn is_empty(&self) -> bool {
        self.versions.values().flat_map(|version| &version.lines).all(|line| line.rows == 0)
    }

    /// The rows of all lanes, by model.
    pub(super) fn rows(&self) -> Vec<(Arc<dyn Forward>, usize)> {
        let rows = |version: &Version| version.lines.iter().map(|line| line.rows).sum();
        self.versions.values().filter_map(|version| Some((version.model.upgrade()?, rows(version)))).collect()
    }

    /// How many rows wait in a line.
    pub(super) fn waiting(&self, key: LineKey) -> usize {
        self.look_at(key).map_or(0, |line| line.rows)
    }

    /// How long one runner would be busy with all that waits.
    pub(super) fn work(&self) -> Duration {
        self.versions.values().flat_map(|version| &version.lines).map(Line::work).sum()
    }

    /// The model of a line that has rows.
    pub(super) fn model(&self, key: LineKey) -> Option<Arc<dyn Forward>> {
        Some(Arc::clone(&self.look_at(key)?.front()?.model))
    }

    /// Whether nobody was on his way to take this line; now somebody is.
    pub(super) fn lead(&mut self, key: LineKey) -> bool {
        self.line(key).is_some_and(|line| !std::mem::replace(&mut line.led, true))
    }

    /// Nobody is on his way to take this line any more.
    pub(super) fn unlead(&mut self, key: LineKey) {
        if let Some(line) = self.line(key) {
            line.led = false;
        }
    }

    /// The next batch of a line. Parts that nobody wants any more are dropped on
    /// the way.
    pub(super) fn take_from(&mut self, key: LineKey, now: Instant) -> Taken {
        self.line(key).map_or_else(Taken::default, |line| line.take(now))
    }

    /// The next batch: of the line whose first rows waited longest, patience taken
    /// off, among those that are ripe.
    pub(super) fn take(&mut self, now: Instant) -> Taken {
        let mut late = Vec::new();
        loop {
            let Some(turn) = self.next_turn(now) else { return Taken { late, ..Taken::default() } };
            if !turn.ripe {
                return Taken { late, ripe: Some(turn.at), ..Taken::default() };
            }
            let mut taken = self.take_from(turn.line, now);
            late.append(&mut taken.late);
            if taken.batch.is_some() {
                return Taken { late, ..taken };
            }
        }
    }

    fn look_at(&self, key: LineKey) -> Option<&Line> {
        self.versions.get(&key.version)?.lines.get(key.lane.index())
    }

    fn line(&mut self, key: LineKey) -> Option<&mut Line> {
        self.versions.get_mut(&key.version)?.lines.get_mut(key.lane.index())
    }

    /// The first ripe line, or the one that will be ripe first.
    fn next_turn(&self, now: Instant) -> Option<Turn> {
        let lines = self.versions.iter().flat_map(|(&version, waiting)| {
            Lane::ALL.into_iter().zip(&waiting.lines).map(move |(lane, line)| (LineKey { version, lane }, line))
        });
        lines.filter_map(|(key, line)| line.turn(key, self.linger, now)).min_by_key(|turn| (!turn.ripe, turn.at))
    }
}

/// When a line has its turn.
struct Turn {
    line: LineKey,
    ripe: bool,
    at: Instant,
}

impl Line {
    fn push(&mut self, part: Part) -> u64 {
        self.rows += part.rows.len();
        self.parts.push_back(Some(part));
        self.first + self.parts.len() as u64 - 1
    }

    fn remove(&mut self, number: u64) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let part = index.and_then(|index| self.parts.get_mut(index)).and_then(Option::take);
        self.rows -= part.map_or(0, |part| part.rows.len());
        while matches!(self.parts.front(), Some(None)) {
            self.pop();
        }
    }

    /// Takes the part in front, and the gaps behind it.
    fn pop(&mut self) -> Option<Part> {
        let front = self.parts.pop_front()?;
        self.first += 1;
        self.rows -= front.as_ref().map_or(0, |part| part.rows.len());
        while matches!(self.parts.front(), Some(None)) {
            self.parts.pop_front();
            self.first += 1;
        }
        front
    }

    fn front(&self) -> Option<&Part> {
        self.parts.front()?.as_ref()
    }

    fn work(&self) -> Duration {
        let Some(Part { model, .. }) = self.front() else { return Duration::ZERO };
        model.cost().share(self.rows, model.max_batch_rows().get())
    }

    fn turn(&self, line: LineKey, linger: Duration, now: Instant) -> Option<Turn> {
        let first = self.front()?;
        let since = first.request.since();
        let full = self.rows >= first.model.max_batch_rows().get();
        if full || since + linger <= now {
            return Some(Turn { line, ripe: true, at: since + line.lane.patience() });
        }
        Some(Turn { line, ripe: false, at: since + linger })
    }

    /// Takes parts from the front while there is room in a batch. Those that can't run
    /// together with the first one stay where they are.
    fn take(&mut self, now: Instant) -> Taken {
        let (mut parts, mut late, mut rows) = (Vec::<Part>::new(), Vec::new(), 0);
        let mut others = 0;
        while let Some(next) = self.parts.get(others) {
            let Some(next) = next else {
                others += 1;
                continue;
            };
            if rows > 0 && rows + next.rows.len() > next.model.max_batch_rows().get() {
                break;
            }
            if parts.first().is_some_and(|first| !first.model.fits(&first.rows, &next.rows)) {
                others += 1;
                if others > OTHERS {
                    break;
                }
                continue;
            }
            let Some(part) = self.take_at(others) else { break };
            late.extend(part.request.late(now));
            if part.request.is_wanted() {
                rows += part.rows.len();
                part.request.begins();
                parts.push(part);
            }
        }
        let batch = parts.first().map(|first| Arc::clone(&first.model)).map(|model| Batch { model, parts, began: now });
        Taken { batch, late, ripe: None }
    }

    /// Takes the part at this place, in front or behind others that stay.
    fn take_at(&mut self, place: usize) -> Option<Part> {
        if place == 0 {
            return self.pop();
        }
        let part = self.parts.get_mut(place)?.take()?;
        self.rows -= part.rows.len();
        Some(part)
    }
}

impl Lane {
    const ALL: [Self; 2] = [Self::Interactive, Self::Bulk];

    fn index(self) -> usize {
        match self {
            Self::Interactive => 0,
            Self::Bulk => 1,
        }
    }

    fn patience(self) -> Duration {
        match self {
            Self::Interactive => Duration::ZERO,
            Self::Bulk => BULK_PATIENCE,
        }
    }
}

#[cfg(test)]
mod tests;
