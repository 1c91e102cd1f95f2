//! Versions for unit tests, without files and without an engine.

use std::{num::NonZeroUsize, sync::Arc};

use crate::{
    api::JsonForms,
    cost::Cost,
    features::Encoder,
    heads::Head,
    manifest::{self, Manifest},
    model::{RowReader as _, Version},
    registry::Model,
    rows::{Column, Forward, ForwardError, Rows, Values},
};

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
        let column = Column { width: 3, values: Values::F32(values) };
        Rows::new(rows.len(), vec![column]).map_err(|ragged| ForwardError::Raised(ragged.to_string()))
    }
}

/// A model with this live version.
pub(crate) fn live(model: &str, number: u64) -> Model {
    Model { live: Some(Arc::new(version(model, number))), ..Model::default() }
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
    Version {
        digest: "0".repeat(64),
        head: Head::new(&manifest),
        golden: encoder.empty_rows(0),
        encoder,
        engine: Arc::new(Counting::default()),
        manifest,
    }
}
