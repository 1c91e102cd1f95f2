//! Measures the forward pass by one choice of settings, on tensors that were made
//! beforehand: the copies of filling up a batch are not in the figures.

use std::{
    path::Path,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Choice, Sizes};
use crate::{
    process::Process,
    raw::{Model, WARM_UP, set_up},
};

/// Most rows of a batch in the mixed run.
const MOST: usize = 64;

/// Rows of the largest batch that the server makes by default.
const LARGEST: usize = 256;

/// No pass takes longer; a histogram that need not grow is no growth of libtorch.
const LONGEST_NANOS: u64 = 10_000_000_000;

/// What a choice costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Passes {
    /// Of one row, right after the version was loaded.
    pub(super) first_ms: f64,
    /// The one after.
    pub(super) second_ms: f64,
    /// Median of passes of one row, the other cores idle.
    pub(super) one_us: f64,
    /// Of 64 rows.
    pub(super) many_us: f64,
    /// Rows a second of all runners in batches of 256.
    pub(super) largest: f64,
    pub(super) mixed: Mixed,
}

/// All runners at once, in batches of 1 to 64 rows by chance; only 1 and 64 were
/// run before, as in a warm-up.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mixed {
    /// Without the rows that only fill up.
    pub(super) rows_per_second: f64,
    pub(super) median_us: f64,
    /// 99.9 % take at most that.
    pub(super) late_us: f64,
    pub(super) most_us: f64,
    /// Resident memory at its end, less that after the warm-up.
    pub(super) grown_mib: f64,
}

/// What one runner saw of the mixed run.
struct Seen {
    rows_per_second: f64,
    latencies: Histogram<u64>,
    grown_mib: f64,
}

/// Sizes of batches by chance: Knuth's generator, so that every choice meets the same.
struct Chance(u64);

impl Chance {
    fn rows(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The upper bits are the random ones; a number below 64 is one of any type.
        (self.0 >> 58) as usize + 1
    }
}

impl Sizes {
    /// How many rows a batch of `rows` is run with.
    fn of(self, rows: usize) -> usize {
        match self {
            Self::Dynamic => rows,
            Self::PowersOfTwo => rows.next_power_of_two(),
            Self::One => MOST,
        }
    }
}

/// Measures the version in `folder` and prints one line of JSON.
pub(crate) fn run(folder: &Path, choice: &str, length: Duration) -> anyhow::Result<()> {
    let choice: Choice = serde_json::from_str(choice)?;
    tch::jit::f_set_profiling_mode(choice.profiling)?;
    tch::jit::f_set_tensor_expr_fuser_enabled(choice.fuser)?;
    let measured = Measured { model: Model::load(folder)?, choice, length };
    println!("{}", serde_json::to_string(&measured.passes()?)?);
    Ok(())
}

fn resident_mib() -> anyhow::Result<f64> {
    Ok(Process::own().usage()?.resident_kib as f64 / 1024.0)
}

struct Measured {
    model: Model,
    choice: Choice,
    length: Duration,
}

impl Measured {
    fn passes(&self) -> anyhow::Result<Passes> {
        let ([first_ms, second_ms], [one_us, many_us]) = self.alone()?;
        let largest = self.largest()?;
        Ok(Passes { first_ms, second_ms, one_us, many_us, largest, mixed: self.mixed()? })
    }

    /// A thread as this choice wants it.
    fn set_up(&self) -> anyhow::Result<impl Drop + use<>> {
        tch::jit::f_set_graph_executor_optimize(self.choice.optimize)?;
        Ok(set_up(self.choice.intra_op))
    }

    /// The first two passes in ms, and steady ones of 1 and 64 rows in µs.
    fn alone(&self) -> anyhow::Result<([f64; 2], [f64; 2])> {
        let _kept = self.set_up()?;
        let inputs = self.model.tensors(self.choice.sizes.of(1))?;
        let pass = || {
            let begun = Instant::now();
            self.model.forward(&inputs).map(|()| begun.elapsed().as_secs_f64() * 1000.0)
        };
        let begin = [pass()?, pass()?];
        Ok((begin, [self.steady(1)?, self.steady(MOST)?]))
    }

    fn steady(&self, rows: usize) -> anyhow::Result<f64> {
        let inputs = self.model.tensors(self.choice.sizes.of(rows))?;
        (0..WARM_UP).try_for_each(|_| self.model.forward(&inputs))?;
        let mut latencies: Histogram<u64> = Histogram::new(3)?;
        let begun = Instant::now();
        while begun.elapsed() < self.length / 4 {
            self.timed(&inputs, &mut latencies)?;
        }
        Ok(latencies.value_at_quantile(0.5) as f64 / 1000.0)
    }

    /// Rows a second of all runners in the largest batches.
    fn largest(&self) -> anyhow::Result<f64> {
        let rates = self.at_once(|together, _| {
            let inputs = self.model.tensors(LARGEST)?;
            let warm = (0..WARM_UP).try_for_each(|_| self.model.forward(&inputs));
            together.wait();
            warm?;
            let (begun, mut rows) = (Instant::now(), 0);
            while begun.elapsed() < self.length / 2 {
                self.model.forward(&inputs)?;
                rows += LARGEST;
            }
            Ok(rows as f64 / begun.elapsed().as_secs_f64())
        })?;
        Ok(rates.iter().sum())
    }

    fn mixed(&self) -> anyhow::Result<Mixed> {
        let all = self.at_once(|together, index| self.mixed_here(together, Chance(index)))?;
        let mut latencies: Histogram<u64> = Histogram::new(3)?;
        all.iter().try_for_each(|seen| latencies.add(&seen.latencies))?;
        let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Ok(Mixed {
            rows_per_second: all.iter().map(|seen| seen.rows_per_second).sum(),
            median_us: micros(0.5),
            late_us: micros(0.999),
            most_us: latencies.max() as f64 / 1000.0,
            // All saw the same process.
            grown_mib: all.iter().map(|seen| seen.grown_mib).fold(f64::NEG_INFINITY, f64::max),
        })
    }

    fn mixed_here(&self, together: &Barrier, mut chance: Chance) -> anyhow::Result<Seen> {
        let sized = (1..=MOST).map(|rows| self.model.tensors(self.choice.sizes.of(rows)));
        let sized = sized.collect::<anyhow::Result<Vec<_>>>()?;
        let warm = sized
            .iter()
            .take(1)
            .chain(sized.last())
            .try_for_each(|inputs| (0..WARM_UP).try_for_each(|_| self.model.forward(inputs)));
        together.wait();
        warm?;
        let mut latencies: Histogram<u64> = Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?;
        let before = resident_mib()?;
        let (begun, mut sum) = (Instant::now(), 0);
        while begun.elapsed() < self.length {
            let rows = chance.rows();
            self.timed(sized.get(rows - 1).context("more rows than wanted")?, &mut latencies)?;
            sum += rows;
        }
        let rows_per_second = sum as f64 / begun.elapsed().as_secs_f64();
        Ok(Seen { rows_per_second, latencies, grown_mib: resident_mib()? - before })
    }

    fn timed(&self, inputs: &[Tensor], latencies: &mut Histogram<u64>) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.model.forward(inputs)?;
        Ok(latencies.record(u64::try_from(begun.elapsed().as_nanos())?)?)
    }

    /// Has every runner do `work`, which meets the others at the barrier, with its number.
    fn at_once<T: Send>(&self, work: impl Fn(&Barrier, u64) -> anyhow::Result<T> + Sync) -> anyhow::Result<Vec<T>> {
        let together = Arc::new(Barrier::new(self.choice.runners));
        thread::scope(|scope| {
            let start = |index| {
                let (together, work) = (Arc::clone(&together), &work);
                scope.spawn(move || {
                    let _kept = self.set_up()?;
                    work(&together, index)
                })
            };
            let threads: Vec<_> = (0..self.choice.runners as u64).map(start).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a runner panicked"))?).collect()
        })
    }
}
