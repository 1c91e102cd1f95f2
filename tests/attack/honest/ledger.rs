//! What became of all requests, chapter by chapter: one for each fault.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tonic::Code;

/// Most sentences that are kept of what went wrong.
const NOTES: usize = 5;

/// The book. Requests belong to the chapter in which they were sent.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Vec<Chapter>>);

/// What happened while one thing was done to the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chapter {
    /// What was done.
    pub(crate) name: String,
    /// Whether rows, and requests, may fail by the model.
    pub(crate) may_fail: bool,
    /// What each request's marked row has as its rating.
    pub(crate) mark: Option<f64>,
    /// Requests that were sent.
    pub(crate) begun: u64,
    /// Requests that came to their end.
    pub(crate) requests: u64,
    /// Right answers.
    pub(crate) ok: u64,
    /// Of those, the ones with a row that had to fail, and did.
    pub(crate) marked: u64,
    /// OK answers of which rows failed that may.
    pub(crate) failed: u64,
    /// Answers by code that were none.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Attempts that no server took, or that ended with a server that was told to or killed; they were
    /// made again.
    pub(crate) again: u64,
    /// Answers that are not those of their rows, or that nothing explains.
    pub(crate) wrong: u64,
    /// Requests that a server took and never answered.
    pub(crate) lost: u64,
    /// What was wrong or lost.
    pub(crate) notes: Vec<String>,
    /// In the order in which they came to their end.
    pub(crate) records: Vec<Record>,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// When it was sent, or should have been.
    pub(crate) sent: Instant,
    /// When its answer was there.
    pub(crate) done: Instant,
    /// Whether it was answered rightly, the first time.
    pub(crate) smooth: bool,
}

/// Sums of chapters.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) wrong: u64,
    pub(crate) lost: u64,
    pub(crate) notes: Vec<String>,
}

/// How a request came to its end.
#[derive(Debug)]
pub(crate) enum Became {
    /// Answered rightly; and whether it had a row that had to fail.
    Right { marked: bool },
    /// Answered, with rows that failed.
    Failed,
    /// Refused, as servers may.
    Refused(Code),
    /// Not what it must be.
    Wrong(String),
    /// Nothing.
    Lost(String),
}

impl Ledger {
    /// Begins the next chapter.
    pub(crate) fn begin(&self, chapter: Chapter) {
        self.chapters().push(chapter);
    }

    /// Some requests are about to be sent; their chapter, and what they have marked.
    pub(crate) fn send(&self, requests: u64) -> (usize, Option<f64>) {
        let mut chapters = self.chapters();
        let number = chapters.len().saturating_sub(1);
        let mark = chapters.last_mut().and_then(|chapter| {
            chapter.begun += requests;
            chapter.mark
        });
        (number, mark)
    }

    /// Whether what the model fails on is no surprise, in this chapter or now.
    pub(crate) fn may_fail(&self, chapter: usize) -> bool {
        let chapters = self.chapters();
        [chapters.get(chapter), chapters.last()].into_iter().flatten().any(|chapter| chapter.may_fail)
    }

    /// An attempt that is made again.
    pub(crate) fn again(&self, chapter: usize) {
        self.with(chapter, |chapter| chapter.again += 1);
    }

    /// A request came to its end.
    pub(crate) fn add(&self, chapter: usize, became: Became, record: Record) {
        self.with(chapter, |chapter| chapter.add(became, record));
    }

    /// The chapter that is written now, as it is.
    pub(crate) fn current(&self) -> Chapter {
        self.chapters().last().cloned().unwrap_or_default()
    }

    /// A chapter, of which nothing stays; none while a request of it has not come to its end.
    pub(crate) fn take(&self, chapter: usize) -> Option<Chapter> {
        let mut chapters = self.chapters();
        chapters.get_mut(chapter).filter(|chapter| chapter.requests == chapter.begun).map(std::mem::take)
    }

    /// Begins a chapter without a name.
    pub(crate) fn next(&self) {
        self.begin(Chapter::default());
    }

    /// Adds what is complete, of which nothing stays.
    pub(crate) fn settle(&self, totals: &mut Totals) {
        for chapter in self.chapters().iter_mut().filter(|chapter| chapter.requests == chapter.begun) {
            totals.add(std::mem::take(chapter));
        }
    }

    /// All chapters.
    pub(crate) fn all(&self) -> Vec<Chapter> {
        self.chapters().clone()
    }

    fn with(&self, chapter: usize, change: impl FnOnce(&mut Chapter)) {
        if let Some(chapter) = self.chapters().get_mut(chapter) {
            change(chapter);
        }
    }

    fn chapters(&self) -> MutexGuard<'_, Vec<Chapter>> {
        // Counts that a panicked task left are still counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    fn add(&mut self, chapter: Chapter) {
        self.requests += chapter.requests;
        self.ok += chapter.ok;
        self.wrong += chapter.wrong;
        self.lost += chapter.lost;
        for (code, times) in chapter.refused {
            *self.refused.entry(code).or_default() += times;
        }
        self.notes.extend(chapter.notes.into_iter().take(NOTES));
        self.notes.truncate(4 * NOTES);
    }
}

impl Chapter {
    /// One with this name, in which nothing fails.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    fn add(&mut self, became: Became, record: Record) {
        self.requests += 1;
        let mut record = record;
        match became {
            Became::Right { marked } => {
                self.ok += 1;
                self.marked += u64::from(marked);
                return self.records.push(record);
            }
            Became::Failed => self.failed += 1,
            Became::Refused(code) => *self.refused.entry(format!("{code:?}")).or_default() += 1,
            Became::Wrong(what) => {
                self.wrong += 1;
                self.note(format!("wrong: {what}"));
            }
            Became::Lost(what) => {
                self.lost += 1;
                self.note(format!("lost: {what}"));
            }
        }
        record.smooth = false;
        self.records.push(record);
    }

    fn note(&mut self, what: String) {
        if self.notes.len() < NOTES {
            self.notes.push(what);
        }
    }

    /// Of so many in a hundred, the longest time from request to right answer; zero where there was none.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let smooth = self.records.iter().filter(|record| record.smooth);
        let mut took: Vec<Duration> = smooth.map(|record| record.done.saturating_duration_since(record.sent)).collect();
        took.sort_unstable();
        let rank = (percent / 100.0 * took.len() as f64).ceil() as usize;
        took.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// From `end` until the first of so many requests, sent after it, that were all answered rightly at
    /// once; none where that has not come yet.
    pub(crate) fn recovered(&self, end: Instant, in_a_row: usize) -> Option<Duration> {
        let mut after: Vec<&Record> = self.records.iter().filter(|record| record.sent >= end).collect();
        after.sort_unstable_by_key(|record| record.sent);
        let run = after.windows(in_a_row).find(|run| run.iter().all(|record| record.smooth))?;
        run.first().map(|first| first.sent.saturating_duration_since(end))
    }
}
