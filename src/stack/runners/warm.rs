//! Has every thread that will run a version run it before the first request does, and
//! disturbs as little as it can: one pass at a time, in moments in which nothing waits.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    super::batch::{Errand, pass},
    Runners,
};
use crate::{
    cost::Took,
    error::ScoreError,
    rows::{Forward, Rows},
};

/// How often each size runs on each thread: libtorch is steady after about three.
pub(super) const PASSES: usize = 3;

/// How long a pass waits for a moment in which no batch does.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long all passes together do, so that a warm-up ends under full load on a large
/// machine too.
const PATIENCE_OF_ALL: Duration = Duration::from_secs(3);

/// Longest pause after a pass that requests arrived around.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl Runners {
    /// Has every thread that will run the model run it in each of `rows`, so that no
    /// request pays for what libtorch does in its first passes, and learns what they
    /// cost. Blocks until all did, so it is not for the threads of sockets.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Model`] where a pass failed, or where no row of one has finite
    /// outputs.
    pub fn warm(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), ScoreError> {
        let (name, version) = model.identity();
        let failed = |reason| ScoreError::Model { model: name.to_owned(), version, reason };
        self.warm_runners(model, rows).map_err(failed)?;
        self.warm_io(model, rows).map_err(failed)
    }

    fn warm_runners(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), String> {
        let patience = patience(self.count.get() * rows.len() * PASSES);
        for runner in 0..self.count.get() {
            for (size, rows_of_size) in rows.iter().enumerate() {
                let one = || self.pass_on(runner, model, (rows, size), patience);
                let passes = (0..PASSES).map(|_| one()).collect::<Result<Vec<_>, _>>()?;
                // The first ones pay for what they find cold.
                let fastest = passes.into_iter().min_by_key(|took| took.running);
                fastest.into_iter().for_each(|took| model.cost().learn(rows_of_size.len(), took));
            }
        }
        Ok(())
    }

    /// One pass on one runner, and a pause where requests arrived meanwhile.
    fn pass_on(
        &self,
        runner: usize,
        model: &Arc<dyn Forward>,
        (rows, size): (&Arc<[Rows]>, usize),
        patience: Duration,
    ) -> Result<Took, String> {
        let before = self.open.batches.arrived();
        let (done, outcome) = mpsc::channel();
        let (model, rows) = (Arc::clone(model), Arc::clone(rows));
        let run = Box::new(move || {
            let one = rows.get(size).map(|rows| warm_here(model.as_ref(), rows));
            // Before the answer, so that who got it holds the model alone.
            drop((model, rows));
            let _ = one.map(|one| done.send(one));
        });
        self.open.batches.send(runner, Errand { run, at_latest: Instant::now() + patience });
        let took = outcome.recv().map_err(|_died| "the thread that warmed it up died".to_owned())??;
        thread::sleep(pause(took.wall, self.open.batches.arrived() > before));
        Ok(took)
    }

    /// The threads of sockets run small batches only, and one pass at a time: what is
    /// live is served meanwhile.
    fn warm_io(&self, model: &Arc<dyn Forward>, rows: &Arc<[Rows]>) -> Result<(), String> {
        let (done, outcomes) = mpsc::channel();
        for _ in 0..self.io.metrics().num_workers() {
            let (batches, model, rows, done) =
                (self.open.batches.clone(), Arc::clone(model), Arc::clone(rows), done.clone());
            self.io.spawn(async move {
                for rows in rows.iter().filter(|rows| batches.runs_here(model.as_ref(), rows.len())) {
                    for _ in 0..PASSES {
                        let _ = done.send(pass(model.as_ref(), &[rows]).map(drop));
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        drop(done);
        outcomes.iter().collect()
    }
}

/// Runs the model on this thread, once.
fn warm_here(model: &dyn Forward, rows: &Rows) -> Result<Took, String> {
    let (outputs, took) = Took::by(|| pass(model, &[rows]));
    let outputs = outputs?;
    // Rows that no golden one stands for may rightly have none; all of a batch can't.
    if !outputs.is_empty() && !(0..outputs.len()).any(|row| model.is_answer(&outputs, row)) {
        return Err(format!("none of {} warm-up rows has finite outputs", outputs.len()));
    }
    Ok(took)
}

/// How long each of so many passes waits for a moment in which no batch does.
fn patience(passes: usize) -> Duration {
    PATIENCE.min(PATIENCE_OF_ALL / u32::try_from(passes).unwrap_or(u32::MAX).max(1))
}

/// How long to leave the cores to requests after a pass of a warm-up. Where none
/// arrived, as when the server starts, there is nobody to leave them to.
fn pause(pass: Duration, requests_arrived: bool) -> Duration {
    if requests_arrived { pass.min(LONGEST_PAUSE) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_cores_for_as_long_as_a_pass_had_them() {
        let millis = Duration::from_millis;
        assert_eq!(pause(millis(3), true), millis(3));
        assert_eq!(pause(millis(300), true), LONGEST_PAUSE);
        assert_eq!(pause(millis(3), false), Duration::ZERO);
    }

    #[test]
    fn a_warm_up_ends_on_a_large_machine_too() {
        assert_eq!(patience(24), PATIENCE);
        assert!(patience(64 * 4 * PASSES) * 64 * 4 * 3 <= PATIENCE_OF_ALL);
    }
}
