//! Rows scored again by another version, and both answers side by side.

use jiff::civil::Date;

use super::{
    RowFrames,
    answers::Answers,
    isolating::{isolating, place, timed},
    queue::{Entry, Why},
};
use crate::{
    cost::Took,
    manifest::Tolerance,
    model::Version,
    rows::{Column, Rows},
};

/// Most rows in a pass that is timed: about what waits together on a server that has
/// something to do.
const TIMED_ROWS: usize = 16;

/// How rows are read.
pub(super) struct Reading<'a> {
    pub(super) frames: &'a dyn RowFrames,
    /// The date of rows that name none.
    pub(super) today: Date,
}

impl Reading<'_> {
    fn encode(&self, frame: &[u8], version: &Version, into: &mut Rows) -> bool {
        self.frames.encode(frame, self.today, version, into)
    }
}

/// Something that became of scoring rows again.
pub(super) enum Rescored<'a> {
    /// Both answered a row.
    Row { live: &'a [f64], other: &'a [f64] },
    /// What the same rows took in a pass of each version.
    Pass { live: Took, other: Took },
}

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    pub(super) scored: usize,
    /// The version can't encode them, failed on them, or gave no number.
    pub(super) failed: usize,
}

/// Rows in the form of the version that scores them, each with its entry and its
/// place there.
struct Batch {
    rows: Rows,
    origins: Vec<(usize, usize)>,
}

/// The versions, and what was found so far.
struct Rescoring<'a, F> {
    live: &'a Version,
    other: &'a Version,
    why: Why,
    entries: &'a [Entry],
    tell: F,
    counted: Counted,
}

/// Scores entries of one kind and one pair again, in batches as large as may be, and
/// tells what is found.
pub(super) fn rescore(
    live: &Version,
    other: &Version,
    entries: &[Entry],
    reading: &Reading<'_>,
    tell: impl FnMut(Rescored<'_>),
) -> Counted {
    let Some(why) = entries.first().map(|entry| entry.why) else { return Counted::default() };
    let mut rescoring = Rescoring { live, other, why, entries, tell, counted: Counted::default() };
    let mut batch = rescoring.empty();
    for (number, entry) in entries.iter().enumerate() {
        for (row, frame) in entry.frames.iter().enumerate() {
            rescoring.encode(reading, frame, (number, row), &mut batch);
            if batch.rows.len() == rescoring.most_rows() {
                let full = std::mem::replace(&mut batch, rescoring.empty());
                rescoring.score(&full);
            }
        }
    }
    rescoring.score(&batch);
    rescoring.time(reading);
    rescoring.counted
}

impl<'a, F: FnMut(Rescored<'_>)> Rescoring<'a, F> {
    /// The version that scores the rows now.
    fn scorer(&self) -> &'a Version {
        match self.why {
            Why::Shadow => self.other,
            Why::Canary => self.live,
        }
    }

    /// The one whose answers their callers got.
    fn answered(&self) -> &'a Version {
        match self.why {
            Why::Shadow => self.live,
            Why::Canary => self.other,
        }
    }

    fn most_rows(&self) -> usize {
        self.scorer().engine.max_batch_rows().get()
    }

    fn empty(&self) -> Batch {
        Batch { rows: self.scorer().encoder.empty_rows(self.most_rows()), origins: Vec::new() }
    }

    fn encode(&mut self, reading: &Reading<'_>, frame: &[u8], origin: (usize, usize), into: &mut Batch) {
        if reading.encode(frame, self.scorer(), &mut into.rows) {
            into.origins.push(origin);
        } else {
            self.counted.failed += 1;
        }
    }

    /// Runs a batch, and puts both answers to each of its rows side by side.
    fn score(&mut self, batch: &Batch) {
        if batch.rows.is_empty() {
            return;
        }
        let outcome = isolating(self.scorer().engine.as_ref(), &batch.rows);
        let (mut before, mut after) = (Answers::of(self.answered()), Answers::of(self.scorer()));
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (row, (entry, row_there)) in batch.origins.iter().enumerate() {
            let scored = outcome.place(row).and_then(|place| after.read(&outcome.outputs, place, &mut new).ok());
            if scored.is_none() {
                self.counted.failed += 1;
                continue;
            }
            self.counted.scored += 1;
            let Some(entry) = self.entries.get(*entry) else { continue };
            // What the version that answered failed on can't be compared.
            let Some(there) = place(&entry.failed, *row_there) else { continue };
            if before.read(&entry.outputs, there, &mut old).is_err() {
                continue;
            }
            let here = outcome.place(row).unwrap_or_default();
            let same = self.read_alike()
                && agree((&entry.outputs, there), (&outcome.outputs, here), self.live.manifest.tolerance);
            self.tell_row(&old, if same { &old } else { &new });
        }
    }

    /// Whether the same outputs are the same answer of both.
    fn read_alike(&self) -> bool {
        let (live, other) = (&self.live.manifest, &self.other.manifest);
        live.head == other.head && live.outputs == other.outputs
    }

    /// What the version that answered said, and what the other one would have said.
    fn tell_row(&mut self, answered: &[f64], scored: &[f64]) {
        let (live, other) = match self.why {
            Why::Shadow => (answered, scored),
            Why::Canary => (scored, answered),
        };
        (self.tell)(Rescored::Row { live, other });
    }

    /// Times some rows in a pass of each version, side by side on this thread. What each
    /// learned of its own passes can't be compared: a canary runs in smaller batches and
    /// elsewhere.
    fn time(&mut self, reading: &Reading<'_>) {
        let (live, other) = (self.live, self.other);
        let mut both = [live.encoder.empty_rows(TIMED_ROWS), other.encoder.empty_rows(TIMED_ROWS)];
        let most = live.engine.max_batch_rows().min(other.engine.max_batch_rows()).get().min(TIMED_ROWS);
        for frame in self.entries.iter().flat_map(|entry| &entry.frames).take(most) {
            let [ours, theirs] = &mut both;
            let before = ours.len();
            // As many rows of each.
            if reading.encode(frame, live, ours) && !reading.encode(frame, other, theirs) {
                ours.truncate(before);
            }
        }
        let [ours, theirs] = &both;
        if ours.is_empty() {
            return;
        }
        if let Some([live, other]) = timed([live.engine.as_ref(), other.engine.as_ref()], [ours, theirs]) {
            (self.tell)(Rescored::Pass { live, other });
        }
    }
}

/// Whether two rows of outputs differ by no more than one version may differ from
/// itself, such as in batches of other sizes: heads would make more of such noise than
/// it is.
fn agree(one: (&Rows, usize), other: (&Rows, usize), tolerance: Tolerance) -> bool {
    let ((one, here), (other, there)) = (one, other);
    let near = |(one, other): (&f64, &f64)| tolerance.allows(*other, *one, 0.0);
    let same = |(one, other): (&Column, &Column)| {
        let (ours, theirs) = (one.row_numbers(here), other.row_numbers(there));
        one.fits(other) && ours.len() == theirs.len() && ours.iter().zip(&theirs).all(near)
    };
    one.columns().len() == other.columns().len() && one.columns().iter().zip(other.columns()).all(same)
}
