//! What libtorch can be set to, and what the forward pass costs by it: a table for
//! the choice that `souk::model::torch` makes. Its settings hold for a process or a
//! thread, so each choice is measured in a process of its own.

pub(crate) mod measure;

use std::{thread::available_parallelism, time::Duration};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use self::measure::Passes;
use crate::{
    children, scenarios,
    settings::{Model, Settings},
};

/// Which choices are compared.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Only these models.
    #[arg(long = "of", value_enum, value_delimiter = ',', default_value = "shipped,reference")]
    models: Vec<Model>,
    /// Only these groups.
    #[arg(long = "groups", value_enum, value_delimiter = ',', default_value = "executor,sizes,threads")]
    groups: Vec<Group>,
    /// Length of the longest part; all of a choice takes some 2.5 times that.
    #[arg(long = "length", value_name = "S", default_value_t = 1.0)]
    seconds: f64,
}

/// What is varied while all else is as the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// How graphs are run.
    Executor,
    /// Which sizes of batches are run.
    Sizes,
    /// Threads within a pass, and beside it.
    Threads,
}

/// One choice of settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// The executor that counts shapes first and compiles for them.
    profiling: bool,
    /// The passes of the graph executor; by thread.
    optimize: bool,
    /// Kernels compiled by LLVM for several operations in one.
    fuser: bool,
    sizes: Sizes,
    /// Threads within one pass.
    intra_op: i32,
    /// Threads that run passes at a time.
    runners: usize,
}

/// What a batch of some rows becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Sizes {
    /// It stays as it came.
    Dynamic,
    /// Filled up to the next power of two.
    PowersOfTwo,
    /// Filled up to the largest size.
    One,
}

impl Group {
    fn choices(self) -> Vec<Choice> {
        let usual = Choice::usual();
        let both = [false, true];
        match self {
            Self::Executor => both
                .into_iter()
                .flat_map(|profiling| both.map(|off| (profiling, !off)))
                .flat_map(|(profiling, optimize)| both.map(|off| (profiling, optimize, !off)))
                .map(|(profiling, optimize, fuser)| Choice { profiling, optimize, fuser, ..usual.clone() })
                .collect(),
            Self::Sizes => both
                .into_iter()
                .flat_map(|profiling| [Sizes::Dynamic, Sizes::PowersOfTwo, Sizes::One].map(|sizes| (profiling, sizes)))
                .map(|(profiling, sizes)| Choice { profiling, sizes, ..usual.clone() })
                .collect(),
            Self::Threads => [(1, 1), (1, 2), (2, 1), (2, 2)]
                .into_iter()
                .map(|(intra_op, runners)| Choice { intra_op, runners, ..usual.clone() })
                .collect(),
        }
    }
}

impl Choice {
    /// What the server has by default, on all cores.
    fn usual() -> Self {
        let runners = available_parallelism().map_or(1, usize::from);
        Self { profiling: false, optimize: true, fuser: true, sizes: Sizes::Dynamic, intra_op: 1, runners }
    }

    /// The choice and its figures as a line of the table.
    fn line(&self, passes: &Passes) -> String {
        let on = |on: bool| if on { "on" } else { "off" };
        let sizes = match self.sizes {
            Sizes::Dynamic => "dynamic",
            Sizes::PowersOfTwo => "2ⁿ",
            Sizes::One => "64 only",
        };
        let Self { intra_op, runners, .. } = self;
        let Passes { first_ms, second_ms, one_us, many_us, largest, mixed } = passes;
        let measure::Mixed { rows_per_second, median_us, late_us, most_us, grown_mib } = mixed;
        format!(
            "| {} | {} | {} | {sizes} | {intra_op} × {runners} | {first_ms:.1} | {second_ms:.1} | {one_us:.0} | {many_us:.0} | {largest:.0} \
             | {rows_per_second:.0} | {median_us:.0} | {late_us:.0} | {most_us:.0} | {grown_mib:.1} |",
            on(self.profiling),
            on(self.optimize),
            on(self.fuser),
        )
    }
}

const HEADER: &str = "\
| profiling | optimize | fuser | sizes | intra-op × runners | first ms | second ms | 1 row µs | 64 rows µs | 256 rows: rows/s \
| 1–64: rows/s | p50 µs | p99.9 µs | max µs | MiB grown |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// Measures the choices and prints a table for each model.
pub(crate) fn run(wanted: &Wanted, settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let length = Duration::from_secs_f64(wanted.seconds);
    for model in &wanted.models {
        let version = scenarios::module(settings, *model)?;
        println!("\n{}\n\n{HEADER}", model.name());
        for choice in wanted.groups.iter().flat_map(|group| group.choices()) {
            let passes = runtime.block_on(children::chosen(&version.path, &choice, length))?;
            println!("{}", choice.line(&passes));
        }
    }
    Ok(())
}
