//! Versions for unit tests, without files and without an engine.

#![allow(clippy::indexing_slicing, reason = "a test's fixture")]

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    api::{Drain, JsonForms, Scoring},
    cost::Cost,
    features::Encoder,
    heads::Head,
    manifest::{self, Manifest},
    model::{RowReader as _, Version},
    registry::{Arm, Model, Registry, Resident, STABLE, Standing, Traffic},
    rows::{Column, Forward, ForwardError, Rows, Values},
    stack::{BatchRules, Limits, Runners, ThreadSetup, assemble},
    telemetry::Metrics,
    trial::{TrialSetup, Trials},
};

use jiff::civil::Date;

/// Answers `[logit, mu, sigma] = [0, number of the row in its batch, 1]`.
#[derive(Default)]
pub(crate) struct Counting {
    pub(crate) cost: Cost,
}

impl Forward for Counting {
    fn identity(&self) -> (&str, u64) {
        ("merchant_gmv", 1)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(3)
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        let rows = Rows::joined(parts)?;
        let values = (0..rows.len()).flat_map(|row| [0.0, row as f32, 1.0]).collect();
        let column = Column::new(3, Values::F32(values));
        Rows::new(rows.len(), vec![column]).map_err(|ragged| ForwardError::Raised(ragged.to_string()))
    }
}

/// Answers its inputs.
pub(crate) struct Echoing {
    max_batch_rows: NonZeroUsize,
    cost: Cost,
}

impl Forward for Echoing {
    fn identity(&self) -> (&str, u64) {
        ("echo", 1)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        self.max_batch_rows
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        Ok(Rows::joined(parts)?)
    }
}

/// A model whose stable version has this number.
pub(crate) fn live(model: &str, number: u64) -> Model {
    with_arms(model, &[(STABLE, number, 100.0)])
}

/// A model with a version in memory for each label.
pub(crate) fn with_arms(model: &str, arms: &[(&str, u64, f64)]) -> Model {
    let arm = |&(label, number, percent): &(&str, u64, f64)| Arm {
        label: label.into(),
        version: Arc::new(version(model, number)),
        percent,
    };
    of_arms(model, arms.iter().map(arm).collect())
}

/// A model whose arms are these.
pub(crate) fn of_arms(model: &str, arms: Vec<Arm>) -> Model {
    let resident = |arm: &Arm| {
        let resident =
            Resident { version: Arc::clone(&arm.version), since: SystemTime::UNIX_EPOCH, took: Duration::ZERO };
        (arm.version.manifest.version, Standing::Resident(resident))
    };
    let versions = arms.iter().map(resident).collect();
    Model { versions, traffic: Traffic::new(arms, model).map(Arc::new), ..Model::default() }
}

/// A version of the example manifest.
#[allow(clippy::unwrap_used, reason = "a test's fixture")]
pub(crate) fn version(model: &str, number: u64) -> Version {
    let mut json = manifest::fixture::gmv();
    json["model"] = model.into();
    json["version"] = number.into();
    let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap();
    let fields = JsonForms::new().unwrap().fields(manifest.task);
    let encoder = Encoder::new(&manifest, fields).unwrap();
    of_manifest(manifest, encoder)
}

pub(crate) fn of_manifest(manifest: Manifest, encoder: Encoder) -> Version {
    Version {
        digest: "0".repeat(64),
        head: Head::new(&manifest),
        golden: encoder.empty_rows(0),
        proved_by: 0,
        signed: None,
        encoder,
        engine: Arc::new(Counting::default()),
        manifest,
    }
}

/// A version of the task `tensors` that answers its inputs.
#[allow(clippy::unwrap_used, reason = "a test's fixture")]
pub(crate) fn echo(number: u64, tensors: &serde_json::Value, max_batch_rows: usize) -> Version {
    let digest = "0".repeat(64);
    let json = serde_json::json!({
        "format_version": 1, "model": "echo", "version": number, "task": "tensors",
        "torch_version": "2.11.0", "created_at": "2026-01-31T00:00:00Z",
        "files": {"model.pt": digest, "golden.jsonl": digest},
        "engine": "torchscript", "head": {"kind": "tensors"},
        "inputs": tensors["inputs"], "outputs": tensors["outputs"],
        "serving": {"max_batch_rows": max_batch_rows},
    });
    let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap();
    let max_batch_rows = NonZeroUsize::new(max_batch_rows).unwrap_or(NonZeroUsize::MIN);
    let engine = Arc::new(Echoing { max_batch_rows, cost: Cost::default() });
    let encoder = Encoder::new(&manifest, JsonForms::new().unwrap().fields(manifest.task)).unwrap();
    Version { digest, engine, ..of_manifest(manifest, encoder) }
}

/// What the endpoints share, with this model alone, whose queue holds so many rows.
#[allow(clippy::unwrap_used, reason = "a test's fixture")]
pub(crate) fn scoring(name: &str, model: Model, queue_rows: usize) -> Scoring {
    let registry = Arc::new(Registry::new());
    registry.publish(name, model);
    let trials = Trials::start(TrialSetup {
        registry: Arc::clone(&registry),
        frames: Arc::new(JsonForms::new().unwrap()),
        metrics: Metrics::none(),
        setup: Arc::new(|| Box::new(())),
        today,
        keep_recent_below: None,
    });
    let setup: ThreadSetup = Arc::new(|| Box::new(()));
    let runners = Runners::start(NonZeroUsize::MIN, BatchRules::default(), &setup, &Metrics::none()).unwrap();
    let rows = NonZeroUsize::new(queue_rows).unwrap();
    let limits = Limits { rows, bytes: NonZeroUsize::MAX, wait: Duration::from_secs(60) };
    Scoring {
        registry,
        stack: assemble(limits, Metrics::none(), runners),
        trials: trials.unwrap(),
        metrics: Metrics::none(),
        max_rows: NonZeroUsize::new(1 << 20).unwrap(),
        drain: Drain::default(),
        today,
    }
}

fn today() -> Date {
    Date::constant(2026, 4, 30)
}
