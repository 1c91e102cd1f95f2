//! What single runners do beside batches, such as a pass of a warm-up: one runner at a
//! time, in a moment in which nothing waits, or after having waited for one.
//!
//! Plain data without a clock or a lock of its own.

use std::{collections::VecDeque, time::Instant};

/// Something that one particular runner does between batches.
pub(in crate::stack) struct Errand {
    pub(in crate::stack) run: Box<dyn FnOnce() + Send>,
    /// From then on it is done although batches wait.
    pub(in crate::stack) at_latest: Instant,
}

/// The errands of all runners.
pub(super) struct Errands {
    /// One list for each runner.
    lists: Vec<VecDeque<Errand>>,
    /// Runners on an errand.
    away: usize,
}

/// What a runner is to do about its errands.
pub(super) enum Next {
    /// This one, now. [`Errands::back`] follows.
    Run(Errand),
    /// Nothing before then, unless the queue is empty earlier.
    Wait(Instant),
    /// Nothing.
    Nothing,
}

impl Errands {
    /// None yet, for so many runners.
    pub(super) fn new(runners: usize) -> Self {
        Self { lists: (0..runners).map(|_| VecDeque::new()).collect(), away: 0 }
    }

    /// How many runners there are.
    pub(super) fn runners(&self) -> usize {
        self.lists.len()
    }

    /// How many of them are on an errand.
    pub(super) fn away(&self) -> usize {
        self.away
    }

    /// Whether somebody has one to do.
    pub(super) fn wait(&self) -> bool {
        self.lists.iter().any(|list| !list.is_empty())
    }

    /// One more for this runner.
    pub(super) fn push(&mut self, runner: usize, errand: Errand) {
        if let Some(list) = self.lists.get_mut(runner) {
            list.push_back(errand);
        }
    }

    /// What this runner is to do. `idle`: nothing else waits.
    pub(super) fn next(&mut self, runner: usize, idle: bool, now: Instant) -> Next {
        let Some(list) = self.lists.get_mut(runner) else { return Next::Nothing };
        // While another one is away there is one runner less for the batches already.
        let may = |first: &mut Errand| self.away == 0 && (idle || first.at_latest <= now);
        match (list.pop_front_if(may), list.front()) {
            (Some(errand), _) => {
                self.away += 1;
                Next::Run(errand)
            }
            (None, Some(first)) if self.away == 0 => Next::Wait(first.at_latest),
            (None, _) => Next::Nothing,
        }
    }

    /// A runner came back from an errand.
    pub(super) fn back(&mut self) {
        self.away = self.away.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn one_each(runners: usize, now: Instant) -> Errands {
        let mut errands = Errands::new(runners);
        for runner in 0..runners {
            errands.push(runner, Errand { run: Box::new(|| ()), at_latest: now + PATIENCE });
        }
        errands
    }

    #[test]
    fn an_errand_waits_for_a_moment_in_which_nothing_else_does() {
        let now = Instant::now();
        let mut errands = one_each(1, now);
        assert!(matches!(errands.next(0, false, now), Next::Wait(until) if until == now + PATIENCE));
        assert!(matches!(errands.next(0, true, now), Next::Run(_)));
        assert!(matches!(errands.next(0, true, now), Next::Nothing));
    }

    #[test]
    fn an_errand_that_waited_long_enough_is_done_although_batches_wait() {
        let now = Instant::now();
        let mut errands = one_each(1, now);
        assert!(matches!(errands.next(0, false, now + PATIENCE), Next::Run(_)));
    }

    #[test]
    fn one_runner_at_a_time_is_away() {
        let now = Instant::now();
        let mut errands = one_each(2, now);
        assert!(matches!(errands.next(1, true, now), Next::Run(_)));
        assert!(matches!(errands.next(0, true, now + PATIENCE), Next::Nothing));
        assert!(errands.wait() && errands.away() == 1);
        errands.back();
        assert!(matches!(errands.next(0, true, now), Next::Run(_)));
        assert!(!errands.wait());
    }
}
