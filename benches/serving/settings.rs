//! What to measure, for how long.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::load::Asks;

/// The program that cargo built beside this one.
const SOUK: &str = env!("CARGO_BIN_EXE_souk");

/// The checkout.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The server under test.
    #[arg(long, value_name = "PROGRAM", default_value = SOUK)]
    pub(crate) souk: PathBuf,
    /// How often everything is measured; figures are medians.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) repeat: usize,
    /// Length of each point.
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Length of each point of an overload.
    #[arg(long, value_name = "S", default_value_t = 30.0)]
    pub(crate) overload_seconds: f64,
    /// How often versions are swapped.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) swaps: usize,
    /// One repetition of short points: a smoke test, not a figure to quote.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only these scenarios [default: all].
    #[arg(long, value_enum, value_name = "SCENARIO", num_args = 1.., value_delimiter = ',')]
    pub(crate) only: Vec<Scenario>,
    /// Only these models.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "shipped,reference,tensors-small,tensors-large")]
    pub(crate) models: Vec<Model>,
    /// Only these numbers of callers in the closed loop.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,64,128")]
    pub(crate) callers: Vec<usize>,
    /// The folder of models that holds the shipped one.
    #[arg(long, value_name = "FOLDER", default_value_os_t = PathBuf::from(ROOT).join("models"))]
    pub(crate) shipped: PathBuf,
    /// The folder of models that holds the reference one; `make bench` makes it.
    #[arg(long, value_name = "FOLDER", default_value_os_t = PathBuf::from(ROOT).join("target/bench/reference/lists"))]
    pub(crate) reference: PathBuf,
    /// The folder with the folders of models of those that are asked for tensors; `make bench` makes them.
    #[arg(long, value_name = "FOLDER", default_value_os_t = PathBuf::from(ROOT).join("target/bench/tensors"))]
    pub(crate) tensors: PathBuf,
    /// Where the table and the plots land, but for those of --quick [default: standard output only].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Where the figures are kept, and found by --again.
    #[arg(long, value_name = "FILE", default_value_os_t = PathBuf::from(ROOT).join("target/bench/serving.json"))]
    pub(crate) figures: PathBuf,
    /// Report the last figures again and measure nothing.
    #[arg(long)]
    pub(crate) again: bool,
    /// End with 1 where a line of the acceptance is not met.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Which model is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Model {
    /// `merchant_gmv` as it is in `models/`.
    Shipped,
    /// A DeepFM as large as rankers have, with random weights.
    Reference,
    /// The same with hidden layers of 128-64, as a model of the task `tensors`.
    TensorsSmall,
    /// The same with hidden layers of 400-400-400, as a model of the task `tensors`.
    TensorsLarge,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Callers that wait for their answers.
    Closed,
    /// Requests by the clock.
    Open,
    /// More than can be answered, by the clock, with deadlines and without.
    Overload,
    /// One row a request, as fast as the generator can.
    Flood,
    /// A stream at full speed beside single requests.
    Bulk,
    /// Clients that vanish in the middle of their requests.
    Leaving,
    /// Versions that take turns while requests come by the clock.
    Swap,
    /// A version that scores what another one answers.
    Shadow,
    /// Callers of the Open Inference Protocol that wait for their answers.
    Tensors,
    /// Traces, scrapes and an open page, and collectors that do badly.
    Telemetry,
}

impl Settings {
    /// Length of an overload.
    pub(crate) fn overload(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { self.overload_seconds.min(10.0) } else { self.overload_seconds })
    }

    /// Whether a scenario is to be measured.
    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario)
    }

    /// Whether a scenario of a single version of this model is to be measured.
    pub(crate) fn wants_beside_echo(&self, model: Model) -> bool {
        let of_versions = |scenario: &Scenario| matches!(scenario, Scenario::Swap | Scenario::Shadow);
        let of_tensors = |scenario: &Scenario| *scenario == Scenario::Tensors;
        match model.asks() {
            Asks::Tensors => self.wants(Scenario::Tensors),
            Asks::Forecasts => {
                self.only.is_empty() || !self.only.iter().all(|only| of_versions(only) || of_tensors(only))
            }
        }
    }

    /// How often everything is measured.
    pub(crate) fn repetitions(&self) -> usize {
        if self.quick { 1 } else { self.repeat.max(1) }
    }

    /// How often versions are swapped.
    pub(crate) fn swaps(&self) -> usize {
        if self.quick { self.swaps.min(6) } else { self.swaps }
    }

    /// Not measured, before each point.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 500 } else { 1000 })
    }

    /// Length of each point.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { self.seconds.min(3.0) } else { self.seconds })
    }

    /// The folder of models that the server is given.
    pub(crate) fn root(&self, model: Model) -> PathBuf {
        match model {
            Model::Shipped => self.shipped.clone(),
            Model::Reference => self.reference.clone(),
            Model::TensorsSmall => self.tensors.join("128-64"),
            Model::TensorsLarge => self.tensors.join("400-400-400"),
        }
    }
}

impl Model {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Reference => "reference",
            Self::TensorsSmall => "tensors 128-64",
            Self::TensorsLarge => "tensors 400-400-400",
        }
    }

    /// What it is asked.
    pub(crate) fn asks(self) -> Asks {
        match self {
            Self::Shipped | Self::Reference => Asks::Forecasts,
            Self::TensorsSmall | Self::TensorsLarge => Asks::Tensors,
        }
    }

    /// Its folder below that of models.
    pub(crate) fn folder(self) -> &'static str {
        match self.asks() {
            Asks::Forecasts => "merchant_gmv",
            Asks::Tensors => "deepfm",
        }
    }
}
