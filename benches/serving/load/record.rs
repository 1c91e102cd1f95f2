//! What came back: counts by code, latencies, and whether it was right.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use souk::api::code_name;
use tonic::Code;

use super::{
    Load, Shape,
    connection::{Answer, Call},
    requests::PREFIX,
    trace::Trace,
    window::{Used, Window},
};

/// Every so many OK answers one is decoded and checked; all are where they are traced.
const CHECKED: u64 = 16;

/// Longest latency that is told apart, in nanoseconds.
pub(crate) const LONGEST: u64 = 60_000_000_000;

/// Counts of one load.
pub(crate) struct Recorder {
    closed: bool,
    deadline: Option<Duration>,
    ok: Histogram<u64>,
    sent_to_ok: Histogram<u64>,
    refused: Histogram<u64>,
    codes: BTreeMap<String, u64>,
    retry_info: u64,
    checked: u64,
    wrong: u64,
    late: u64,
    latest: Duration,
    skipped: u64,
    batch_rows: u64,
    trace: Option<Trace>,
}

/// What a load measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Length of the measured window.
    pub(crate) seconds: f64,
    /// Rows in a request.
    pub(crate) rows: usize,
    /// Requests that were answered OK.
    pub(crate) ok: u64,
    /// Answers by code; `BROKEN` is a stream or connection that ended without one.
    pub(crate) codes: BTreeMap<String, u64>,
    /// OK answers that were checked and did not answer what was asked.
    pub(crate) wrong: u64,
    /// OK answers that came later than the deadline.
    pub(crate) late: u64,
    /// How much later than the deadline the latest of them came, in µs.
    pub(crate) latest: f64,
    /// Requests of the schedule that were not sent, since too many were open.
    pub(crate) skipped: u64,
    /// Of OK answers, from when they should have been sent.
    pub(crate) latency: Percentiles,
    /// Of OK answers, from when they were sent: deadlines begin then.
    pub(crate) since_sent: Percentiles,
    /// Of RESOURCE_EXHAUSTED and DEADLINE_EXCEEDED.
    pub(crate) refusals: Percentiles,
    /// RESOURCE_EXHAUSTED with RetryInfo.
    pub(crate) retry_info: u64,
    /// Mean of what answers say of the batch they were in.
    pub(crate) batch_rows: f64,
    /// Processor time of the server within the window, in seconds.
    pub(crate) server_busy: f64,
    /// Processor time of the load generator within the window, in seconds.
    pub(crate) load_busy: f64,
    /// Longest time in which this process did nothing at all, in seconds.
    pub(crate) stood_still: f64,
    /// Most memory of the server within the window, in MiB.
    pub(crate) memory_mib: f64,
}

/// Percentiles in µs.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) most: f64,
}

impl Recorder {
    /// Nothing yet.
    pub(crate) fn new(load: &Load) -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3);
        Ok(Self {
            closed: !matches!(load.shape, Shape::Open { .. }),
            deadline: load.deadline,
            ok: histogram()?,
            sent_to_ok: histogram()?,
            refused: histogram()?,
            codes: BTreeMap::new(),
            retry_info: 0,
            checked: 0,
            wrong: 0,
            late: 0,
            latest: Duration::ZERO,
            skipped: 0,
            batch_rows: 0,
            trace: load.trace.is_some().then(Trace::new),
        })
    }

    /// One request with its answer.
    pub(crate) fn add(&mut self, call: &Call<'_>, window: &Window) {
        // A closed loop asks how many answers a window holds, an open one what became of
        // the requests that were due in it.
        if !window.holds(if self.closed { call.done } else { call.intended }) {
            return;
        }
        let Some(answer) = &call.answer else { return self.count("BROKEN") };
        self.count(code_name(answer.code));
        match answer.code {
            Code::Ok => self.answered(call, answer),
            Code::ResourceExhausted | Code::DeadlineExceeded => self.refused(call, answer),
            _ => {}
        }
    }

    /// A request of the schedule that was not sent.
    pub(crate) fn skip(&mut self, intended: Instant, window: &Window) {
        self.skipped += u64::from(window.holds(intended));
    }

    /// Requests that nobody waits for any longer.
    pub(crate) fn unanswered(&mut self, count: usize) {
        (0..count).for_each(|_| self.count("BROKEN"));
    }

    fn count(&mut self, code: &str) {
        match self.codes.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.codes.insert(code.to_owned(), 1)),
        }
    }

    fn answered(&mut self, call: &Call<'_>, answer: &Answer) {
        self.ok.saturating_record(nanoseconds(call.intended, call.done));
        let took = call.done.saturating_duration_since(call.sent);
        self.sent_to_ok.saturating_record(nanoseconds(call.sent, call.done));
        if let Some(over) = self.deadline.and_then(|deadline| took.checked_sub(deadline)) {
            self.late += 1;
            self.latest = self.latest.max(over);
        }
        if self.trace.is_some() || self.ok.len() % CHECKED == 1 {
            self.check(call, answer);
        }
    }

    fn check(&mut self, call: &Call<'_>, answer: &Answer) {
        self.checked += 1;
        let said = answer.body.get(PREFIX..).map(|message| call.request.said_by(message)).unwrap_or_default();
        self.wrong += u64::from(!said.right);
        if let Some(trace) = &mut self.trace {
            trace.add(call, said.version);
        }
        self.batch_rows += u64::from(said.batch_rows);
    }

    fn refused(&mut self, call: &Call<'_>, answer: &Answer) {
        self.refused.saturating_record(nanoseconds(call.sent, call.done));
        self.retry_info += u64::from(answer.code == Code::ResourceExhausted && answer.retry_info().is_some());
    }

    /// Keeps the trace where it is wanted.
    pub(crate) fn write_trace(&self, load: &Load) -> anyhow::Result<()> {
        match (&self.trace, &load.trace) {
            (Some(trace), Some(file)) => trace.write(file),
            _ => Ok(()),
        }
    }

    /// The sum of it.
    pub(crate) fn measured(&self, load: &Load, used: Used) -> Measured {
        Measured {
            seconds: used.length.as_secs_f64(),
            rows: load.rows,
            ok: self.ok.len(),
            codes: self.codes.clone(),
            wrong: self.wrong,
            late: self.late,
            latest: self.latest.as_secs_f64() * 1e6,
            skipped: self.skipped,
            latency: Percentiles::of(&self.ok),
            since_sent: Percentiles::of(&self.sent_to_ok),
            refusals: Percentiles::of(&self.refused),
            retry_info: self.retry_info,
            batch_rows: self.batch_rows as f64 / self.checked.max(1) as f64,
            server_busy: used.server.as_secs_f64(),
            load_busy: used.load.as_secs_f64(),
            stood_still: used.longest_gap.as_secs_f64(),
            memory_mib: used.peak_kib as f64 / 1024.0,
        }
    }
}

impl Percentiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self { count: histogram.len(), p50: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1.0) }
    }
}

impl Measured {
    /// OK answers a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.ok as f64 / self.seconds
    }

    /// Rows of OK answers a second.
    pub(crate) fn rows_per_second(&self) -> f64 {
        self.per_second() * self.rows as f64
    }

    /// Processor time of the server for an OK answer, in µs.
    pub(crate) fn busy_per_request(&self) -> f64 {
        self.server_busy * 1e6 / self.ok.max(1) as f64
    }

    /// How often this code was answered.
    pub(crate) fn count(&self, code: &str) -> u64 {
        self.codes.get(code).copied().unwrap_or_default()
    }

    /// Requests that were sent in a second.
    pub(crate) fn sent_per_second(&self) -> f64 {
        self.codes.values().sum::<u64>() as f64 / self.seconds
    }

    /// Requests of the schedule, whether or not they were sent.
    pub(crate) fn asked_per_second(&self) -> f64 {
        self.sent_per_second() + self.skipped as f64 / self.seconds
    }

    /// Answers that are neither OK nor a refusal as it must be: DEADLINE_EXCEEDED, or
    /// RESOURCE_EXHAUSTED with RetryInfo.
    pub(crate) fn ill_formed(&self) -> u64 {
        let well_formed = self.ok + self.retry_info + self.count("DEADLINE_EXCEEDED");
        self.codes.values().sum::<u64>().saturating_sub(well_formed)
    }

    /// Requests that were answered otherwise or not at all, and wrong answers.
    pub(crate) fn not_ok(&self) -> f64 {
        (self.codes.values().sum::<u64>() - self.ok + self.wrong) as f64
    }
}

fn nanoseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}
