//! What a forward pass of a version costs on this machine: `a + b · rows`, learned
//! from the passes themselves.
//!
//! It decides nothing: who admits rows or chooses a thread asks here.

mod served;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

pub use served::{Answered, Served, Tally};

/// How much of the difference between what a pass took and what it ran for moves
/// what is expected of the next one.
const STRETCHES: f64 = 0.05;

/// How much of its weight an observation keeps with every later one: the last
/// hundred passes count, so that a change of load is followed within a second.
const MEMORY: f64 = 0.99;

/// A pass that takes longer than so many times what was expected counts as this
/// many times: something that happened once says little of the next pass.
const SURPRISE: f64 = 4.0;

/// Sizes that differ by less than this share of their mean say nothing of `b`.
const SPREAD: f64 = 0.05;

/// The cost of one version's passes, in time that their thread runs. Reading takes
/// no lock.
#[derive(Debug, Default)]
pub struct Cost {
    /// `a`, in seconds, as bits.
    pass: AtomicU64,
    /// `b`, in seconds, as bits.
    row: AtomicU64,
    /// Time that passes for each second that the thread runs, less one, as bits:
    /// what others on the same cores take.
    stretch: AtomicU64,
    fit: Mutex<Fit>,
    served: Served,
}

/// What one pass took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// From its begin to its end.
    pub wall: Duration,
    /// Of that, as long as its thread ran.
    pub running: Duration,
}

/// Weighted sums of a least-squares fit of seconds over rows.
#[derive(Debug, Clone, Copy, Default)]
struct Fit {
    weight: f64,
    rows: f64,
    squares: f64,
    seconds: f64,
    products: f64,
}

impl Cost {
    /// What the version has done so far.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// How long a thread runs a pass of `rows`; `None` before any was observed.
    pub fn of(&self, rows: usize) -> Option<Duration> {
        let (pass, row) = self.line();
        let seconds = pass + row * rows as f64;
        (seconds > 0.0).then(|| duration(seconds))
    }

    /// How long `rows` keep a queue waiting whose batches have `batch` rows: their
    /// own part of a full pass, with what others on the same cores take meanwhile.
    /// Zero before any was observed.
    pub fn share(&self, rows: usize, batch: usize) -> Duration {
        let (pass, row) = self.line();
        duration((row + pass / batch.max(1) as f64) * rows as f64 * (1.0 + read(&self.stretch)))
    }

    /// Takes in what a pass of `rows` took.
    pub fn learn(&self, rows: usize, took: Took) {
        // Whoever else holds it learns at this moment: one observation less is no loss.
        let Ok(mut fit) = self.fit.try_lock() else { return };
        let (pass, row) = self.line();
        let expected = pass + row * rows as f64;
        let seconds = took.running.as_secs_f64();
        let seconds = if expected > 0.0 { seconds.min(SURPRISE * expected) } else { seconds };
        fit.add(rows as f64, seconds);
        let (pass, row) = fit.line((pass, row));
        write(&self.pass, pass);
        write(&self.row, row);
        if seconds > 0.0 {
            let stretch = (took.wall.as_secs_f64() / seconds - 1.0).clamp(0.0, SURPRISE);
            let before = read(&self.stretch);
            write(&self.stretch, before + STRETCHES * (stretch - before));
        }
    }

    fn line(&self) -> (f64, f64) {
        (read(&self.pass), read(&self.row))
    }
}

fn read(bits: &AtomicU64) -> f64 {
    f64::from_bits(bits.load(Ordering::Relaxed))
}

fn write(bits: &AtomicU64, value: f64) {
    bits.store(value.to_bits(), Ordering::Relaxed);
}

impl Took {
    /// Times `work` on this thread.
    pub fn by<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let (began, ran) = (Instant::now(), thread_time());
        let done = work();
        let wall = began.elapsed();
        // Two clocks, of which one may be coarser.
        (done, Self { wall, running: thread_time().saturating_sub(ran).min(wall) })
    }

    /// As long as its thread ran all the time.
    pub fn undisturbed(wall: Duration) -> Self {
        Self { wall, running: wall }
    }
}

/// How long this thread has run.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

impl Fit {
    fn add(&mut self, rows: f64, seconds: f64) {
        let keep = |sum: &mut f64, new: f64| *sum = *sum * MEMORY + new;
        keep(&mut self.weight, 1.0);
        keep(&mut self.rows, rows);
        keep(&mut self.squares, rows * rows);
        keep(&mut self.seconds, seconds);
        keep(&mut self.products, rows * seconds);
    }

    /// `(a, b)`, neither below zero. Where all sizes are alike, `before` moved to
    /// where they are.
    fn line(&self, before: (f64, f64)) -> (f64, f64) {
        let (rows, seconds) = (self.rows / self.weight, self.seconds / self.weight);
        let variance = self.squares / self.weight - rows * rows;
        if variance < (SPREAD * rows).powi(2) {
            let expected = before.0 + before.1 * rows;
            let moved = if expected > 0.0 { seconds / expected } else { 0.0 };
            return if moved > 0.0 { (before.0 * moved, before.1 * moved) } else { (0.0, seconds / rows) };
        }
        let row = (self.products / self.weight - rows * seconds) / variance;
        // A line through the origin, or a flat one, where noise tilted it below zero.
        let row = row.clamp(0.0, self.products / self.squares);
        (seconds - row * rows, row)
    }
}

/// Costs are sums of durations and far from a duration's limits.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: Duration = Duration::from_micros(1);

    fn near(found: Option<Duration>, micros: f64) {
        let found = found.unwrap().as_secs_f64() * 1e6;
        assert!((found / micros - 1.0).abs() < 0.05, "{found} µs, wanted {micros}");
    }

    #[test]
    fn nothing_is_known_before_the_first_pass() {
        assert_eq!(Cost::default().of(1), None);
        assert_eq!(Cost::default().share(1000, 256), Duration::ZERO);
    }

    #[test]
    fn a_line_is_found_from_passes_of_different_sizes() {
        let cost = Cost::default();
        for rows in [1_u32, 8, 64, 256].repeat(5) {
            cost.learn(rows as usize, Took::undisturbed(MICRO * (60 + 2 * rows)));
        }
        near(cost.of(1), 62.0);
        near(cost.of(100), 260.0);
        near(Some(cost.share(64, 256)), 64.0 * (2.0 + 60.0 / 256.0));
    }

    #[test]
    fn passes_of_one_size_move_the_line_where_they_are() {
        let cost = Cost::default();
        for rows in [1_u32, 64].repeat(3) {
            cost.learn(rows as usize, Took::undisturbed(MICRO * (60 + 2 * rows)));
        }
        for _ in 0..10_000 {
            cost.learn(64, Took::undisturbed(MICRO * 376));
        }
        near(cost.of(64), 376.0);
        assert!(cost.of(1) < cost.of(32) && cost.of(32) < cost.of(64));
        for _ in 0..10_000 {
            cost.learn(64, Took::undisturbed(MICRO * 188));
        }
        near(cost.of(64), 188.0);
    }

    #[test]
    fn a_single_slow_pass_changes_little() {
        let cost = Cost::default();
        for rows in [1_u32, 64].repeat(50) {
            cost.learn(rows as usize, Took::undisturbed(MICRO * (60 + 2 * rows)));
        }
        cost.learn(64, Took::undisturbed(Duration::from_millis(50)));
        let after = cost.of(64).unwrap();
        assert!(after < MICRO * 220, "{after:?}");
    }

    #[test]
    fn what_others_take_of_the_cores_is_waited_for_and_not_run() {
        let cost = Cost::default();
        for _ in 0..200 {
            cost.learn(64, Took { wall: MICRO * 400, running: MICRO * 200 });
        }
        near(cost.of(64), 200.0);
        near(Some(cost.share(64, 64)), 400.0);
    }

    #[test]
    fn noise_makes_no_cost_negative() {
        let cost = Cost::default();
        for (rows, micros) in [(1, 100), (64, 50), (1, 120), (64, 40)] {
            cost.learn(rows, Took::undisturbed(MICRO * micros));
        }
        assert!(cost.of(1).is_some_and(|one| one > Duration::ZERO));
        assert!(cost.of(256) >= cost.of(1));
    }
}
