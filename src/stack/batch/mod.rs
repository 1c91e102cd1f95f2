//! Natural batching: who is free takes at once whatever waits for one version.
//!
//! Rows wait only while all runners are busy, and for the moment in which the
//! other requests that arrived with them are read. A small batch runs right where
//! its requests arrived: waking a runner would cost more than the pass. Requests
//! larger than a batch are split into parts and joined again; a caller who leaves
//! takes its parts out of the queue. Nothing here bounds the queue:
//! [`super::Admit`] does, above.

mod errands;
mod lead;
mod pending;
mod queue;
mod run;

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use self::{
    errands::{Errands, Next},
    lead::Lead,
    pending::{Answer, Pending},
    queue::{Batch, LineKey, Place, Queue, Taken},
};
use super::{Encoded, Scored};
use crate::{
    error::ScoreError,
    rows::Forward,
    telemetry::{Metrics, RanOn},
};

pub(super) use errands::Errand;
pub(super) use run::pass;

/// When a batch runs, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchRules {
    /// How long the first rows of a batch wait for company when a runner is free.
    pub linger: Duration,
    /// A batch that is expected to take less runs on the thread that its requests
    /// arrived on. Zero: none does.
    pub inline_below: Duration,
    /// So many runners work whenever there is anything to do. The others are a
    /// reserve: with fewer cores than busy threads they would take the cores from
    /// those that read sockets, and leave smaller batches to each other.
    pub eager: usize,
}

/// How much work must wait for each runner of the reserve: several times what it costs
/// to have one more thread on the same cores.
const RESERVE: Duration = Duration::from_millis(1);

/// What waits, and the runners that wait for it. Clones share it.
#[derive(Clone)]
pub(super) struct Batches {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Told when there is something to do, or when the pool is to end.
    work: Condvar,
    rules: BatchRules,
    /// Answers of the runners, on their way to a task that gives them out: waking
    /// one task of another thread is a system call, waking its neighbours is none.
    answers: mpsc::UnboundedSender<Vec<Answer>>,
    /// Requests that ever came.
    arrived: AtomicU64,
    metrics: Metrics,
}

struct State {
    queue: Queue,
    /// Batches that failed on a thread that reads sockets: to find the rows at fault takes
    /// many passes, which are the runners'.
    failed: Vec<Batch>,
    errands: Errands,
    /// Runners that wait for work.
    asleep: usize,
    /// Those of them that were told of some and are about to wake.
    told: usize,
    closed: bool,
}

impl State {
    /// Runners that run batches or were told to.
    fn awake(&self) -> usize {
        (self.errands.runners() + self.told).saturating_sub(self.asleep + self.errands.away())
    }
}

/// What a runner does next.
enum Turn {
    Batch(Batch),
    Errand(Errand),
    End,
}

/// The parts of one request in the queue; they leave it when this is dropped.
struct Waiting {
    batches: Batches,
    places: Vec<Place>,
}

impl Batches {
    /// Nothing waits yet, for this many runners. The future gives out the runners'
    /// answers: it must be polled for as long as there are any.
    pub(super) fn new(
        runners: usize,
        rules: BatchRules,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, errands) = (Queue::new(rules.linger), Errands::new(runners));
        let state = State { queue, failed: Vec::new(), errands, asleep: 0, told: 0, closed: false };
        let (answers, mut answered) = mpsc::unbounded_channel::<Vec<Answer>>();
        let (work, arrived) = (Condvar::new(), AtomicU64::new(0));
        let shared = Shared { state: Mutex::new(state), work, rules, answers, arrived, metrics };
        let giving_out = async move {
            while let Some(answers) = answered.recv().await {
                answers.into_iter().for_each(Answer::give);
            }
        };
        (Self { shared: Arc::new(shared) }, giving_out)
    }

    /// Queues the rows of a job and waits for their outputs.
    ///
    /// # Errors
    ///
    /// [`ScoreError::DeadlinePassed`] where not all rows began in time,
    /// [`ScoreError::Draining`] where the pool has ended, [`ScoreError::Model`]
    /// where a runner died with the rows.
    pub(super) async fn score(self, job: Encoded) -> Result<Scored, ScoreError> {
        let model = Arc::clone(&job.model);
        let (reply, scored) = oneshot::channel();
        let (mut waiting, lead) = self.push(job, reply)?;
        if let Some(lead) = lead {
            lead.gather_and_run().await;
        }
        let scored = scored.await.map_err(|_gone| died(model.as_ref()))?;
        waiting.places.clear();
        scored
    }

    /// Rows that wait, by model.
    pub(super) fn waiting(&self) -> Vec<(Arc<dyn Forward>, usize)> {
        self.lock().queue.rows()
    }

    /// How many requests ever came.
    pub(super) fn arrived(&self) -> u64 {
        // No lock: who asks may have to wait for a core while others wait for the lock.
        self.shared.arrived.load(Ordering::Relaxed)
    }

    fn push(
        self,
        job: Encoded,
        reply: oneshot::Sender<Result<Scored, ScoreError>>,
    ) -> Result<(Waiting, Option<Lead>), ScoreError> {
        let model = Arc::clone(&job.model);
        let parts = Pending::split(job, reply);
        let mut state = self.lock();
        if state.closed {
            return Err(ScoreError::Draining);
        }
        self.shared.arrived.fetch_add(1, Ordering::Relaxed);
        let places: Vec<Place> = parts.into_iter().map(|part| state.queue.push(part)).collect();
        let lead = self.lead_or_tell(&mut state, &places, model.as_ref());
        drop(state);
        Ok((Waiting { batches: self, places }, lead))
    }

    /// Whether these parts are small enough to run here, and nobody runs their line
    /// already; else runners are told.
    fn lead_or_tell(&self, state: &mut State, places: &[Place], model: &dyn Forward) -> Option<Lead> {
        let line = places.first()?.line;
        if self.runs_here(model, state.queue.waiting(line)) {
            return state.queue.lead(line).then(|| Lead::new(self.clone(), line));
        }
        self.tell(state, places.len());
        None
    }

    /// Whether a batch of so many rows is to run on the thread that it arrived on.
    pub(super) fn runs_here(&self, model: &dyn Forward, rows: usize) -> bool {
        let BatchRules { linger, inline_below, .. } = self.shared.rules;
        let one_batch = rows <= model.max_batch_rows().get();
        // Who lingers waits for others, which a thread that reads sockets can't.
        let small = || model.cost().of(rows).is_some_and(|cost| cost < inline_below);
        linger.is_zero() && one_batch && model.is_predictable() && small()
    }

    /// Whether one more runner than so many is worth its while.
    fn is_needed(&self, state: &State, others: usize) -> bool {
        let Some(reserve) = (others + 1).checked_sub(self.shared.rules.eager.max(1)).filter(|reserve| *reserve > 0)
        else {
            return true;
        };
        // Who works looks here again when it is done, so nothing is left behind.
        state.queue.work() >= RESERVE * u32::try_from(reserve).unwrap_or(u32::MAX)
    }

    /// Tells at most so many runners that there is work.
    fn tell(&self, state: &mut State, batches: usize) {
        for _ in 0..batches.min(state.asleep - state.told) {
            if !self.is_needed(state, state.awake()) {
                return;
            }
            state.told += 1;
            self.shared.work.notify_one();
        }
    }

    /// Has one runner do something between two batches.
    pub(super) fn send(&self, runner: usize, errand: Errand) {
        self.lock().errands.push(runner, errand);
        // All, since nobody can choose whom a condition variable wakes.
        self.shared.work.notify_all();
    }

    /// Lets the runners end once nothing is left to do.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.shared.work.notify_all();
    }

    /// What runner number `runner` does until the pool is closed and nothing is left.
    pub(super) fn work(&self, runner: usize) {
        loop {
            let turn = self.turn(runner);
            let begun = Instant::now();
            match turn {
                Turn::Batch(batch) => self.give_out(self.run(&batch, RanOn::Runner)),
                Turn::Errand(errand) => self.run_errand(errand),
                Turn::End => return,
            }
            self.shared.metrics.runner_worked(begun.elapsed());
        }
    }

    /// Somebody else sees to the queue meanwhile.
    fn run_errand(&self, errand: Errand) {
        let _back = Back(self);
        let mut state = self.lock();
        self.tell(&mut state, 1);
        drop(state);
        (errand.run)();
    }

    /// Runs a batch on this thread, and again where it fails, until the rows at fault are
    /// found.
    fn run(&self, batch: &Batch, on: RanOn) -> Vec<Answer> {
        run::answers(batch, on, &self.shared.metrics)
    }

    /// Runs a batch on this thread, once: where it fails the runners have it.
    fn run_once(&self, batch: Batch) -> Vec<Answer> {
        let batch = match run::once(batch, &self.shared.metrics) {
            Ok(answers) => return answers,
            Err(failed) => failed,
        };
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return self.run(&batch, RanOn::Inline);
        }
        state.failed.push(batch);
        self.tell(&mut state, 1);
        Vec::new()
    }

    /// Waits for something that this runner can do.
    fn turn(&self, runner: usize) -> Turn {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let idle = state.closed || (state.queue.is_empty() && state.failed.is_empty());
            let errand = match state.errands.next(runner, idle, now) {
                Next::Run(errand) => return Turn::Errand(errand),
                Next::Wait(until) => Some(until),
                Next::Nothing => None,
            };
            if let Some(batch) = state.failed.pop() {
                return Turn::Batch(batch);
            }
            let until = |moment: Option<Instant>| moment.map(|moment| moment.saturating_duration_since(now));
            if !state.closed && !self.is_needed(&state, state.awake().saturating_sub(1)) {
                state = self.sleep(state, until(errand));
                continue;
            }
            let Taken { batch, late, ripe } = state.queue.take(now);
            self.give_out(late);
            match (batch, ripe) {
                (Some(batch), _) => return Turn::Batch(batch),
                (None, None) if state.closed => return Turn::End,
                (None, ripe) => state = self.sleep(state, until(ripe.into_iter().chain(errand).min())),
            }
        }
    }

    fn sleep<'s>(&'s self, mut state: MutexGuard<'s, State>, at_most: Option<Duration>) -> MutexGuard<'s, State> {
        state.asleep += 1;
        let work = &self.shared.work;
        let mut state = match at_most {
            Some(at_most) => work.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0,
            None => work.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.asleep -= 1;
        // Who woke by itself may take off what another one was told, who is then
        // told twice; that is better than one who is not told at all.
        state.told = state.told.saturating_sub(1);
        state
    }

    /// Hands answers to the task that gives them out.
    fn give_out(&self, answers: Vec<Answer>) {
        if !answers.is_empty() {
            // Where the task is gone, so is its runtime, and with it who waits.
            let _ = self.shared.answers.send(answers);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves the queue as it was between two steps.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runner on an errand; it is back when this is dropped, also in a panic.
struct Back<'b>(&'b Batches);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.errands.back();
        if state.errands.wait() {
            self.0.shared.work.notify_all();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.places.is_empty() {
            return;
        }
        let mut state = self.batches.lock();
        for place in &self.places {
            state.queue.remove(place);
        }
    }
}

/// What a caller is told whose rows were lost with the thread that ran them.
fn died(model: &dyn Forward) -> ScoreError {
    let (name, version) = model.identity();
    ScoreError::Model { model: name.to_owned(), version, reason: "the thread that ran it died".into() }
}
