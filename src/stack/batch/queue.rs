//! What waits: a queue for each version and lane. Plain data without a clock or
//! a lock of its own.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{super::Lane, pending::Part};
use crate::rows::Forward;

/// How much later than interactive rows of the same age bulk rows have their
/// turn: patient, but never starving.
const BULK_PATIENCE: Duration = Duration::from_millis(50);

/// All queues.
#[derive(Default)]
pub(super) struct Queue {
    lines: BTreeMap<Line, BTreeMap<u64, Part>>,
    pushed: u64,
}

/// The rows of one version in one lane, by the address of the version's engine,
/// which lives as long as one of its parts does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    model: usize,
    lane: Lane,
}

/// Where a part waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    line: Line,
    number: u64,
}

/// Parts of one version that fit into one pass.
pub(super) struct Batch {
    pub(super) model: Arc<dyn Forward>,
    pub(super) parts: Vec<Part>,
}

impl Queue {
    /// Puts a part behind those of its version and lane.
    pub(super) fn push(&mut self, part: Part) -> Place {
        let line = Line { model: Arc::as_ptr(&part.model).cast::<()>().addr(), lane: part.lane };
        let number = self.pushed;
        self.pushed += 1;
        self.lines.entry(line).or_default().insert(number, part);
        Place { line, number }
    }

    /// Takes a part out, if it still waits.
    pub(super) fn remove(&mut self, place: &Place) {
        if let Entry::Occupied(mut line) = self.lines.entry(place.line) {
            line.get_mut().remove(&place.number);
            if line.get().is_empty() {
                line.remove();
            }
        }
    }

    /// The next batch: of the line whose first rows waited longest, patience
    /// taken off, as many parts as fit. Parts that nobody wants any more are
    /// dropped on the way.
    pub(super) fn take(&mut self, now: Instant) -> Option<Batch> {
        while let Some(line) = self.next_line() {
            let Entry::Occupied(mut waiting) = self.lines.entry(line) else { return None };
            let parts = fitting(waiting.get_mut(), now);
            if waiting.get().is_empty() {
                waiting.remove();
            }
            if let Some(first) = parts.first() {
                return Some(Batch { model: Arc::clone(&first.model), parts });
            }
        }
        None
    }

    fn next_line(&self) -> Option<Line> {
        let turn = |line: &Line, part: &Part| match line.lane {
            Lane::Interactive => part.request.since(),
            Lane::Bulk => part.request.since() + BULK_PATIENCE,
        };
        let first = |(line, parts): (&Line, &BTreeMap<u64, Part>)| {
            parts.first_key_value().map(|(_, part)| (turn(line, part), *line))
        };
        self.lines.iter().filter_map(first).min().map(|(_, line)| line)
    }
}

/// Takes parts from the front while they fit into a batch.
fn fitting(waiting: &mut BTreeMap<u64, Part>, now: Instant) -> Vec<Part> {
    let (mut parts, mut rows) = (Vec::new(), 0);
    while let Some(next) = waiting.first_entry() {
        if !next.get().request.is_wanted(now) {
            next.remove();
            continue;
        }
        let part = next.get();
        if rows > 0 && rows + part.rows.len() > part.model.max_batch_rows().get() {
            break;
        }
        rows += part.rows.len();
        parts.push(next.remove());
    }
    parts
}
