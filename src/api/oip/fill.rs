//! The rows of a plan: elements as they came, once each is known to be one that the model
//! may see. In turns.
//!
//! Raw elements are not copied: a column is a slice of the request.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::turns::Turn,
    faults::of_input,
    plan::{Contents, Plan, Planned},
    typed,
};
use crate::{
    error::ScoreError,
    features::IdBound,
    manifest::{InputSpec, Task},
    model::Version,
    rows::{Column, Dtype, Rows, Values},
};

/// Elements that are looked at between two looks at the turn.
const STRETCH: usize = 1024;

impl Plan {
    /// The rows. It owns what it needs, so that it can wait until there is a place for
    /// them.
    ///
    /// # Errors
    ///
    /// [`ScoreError::BadField`] names the first tensor at fault and the element.
    pub(super) async fn fill(self, version: Arc<Version>) -> Result<Rows, ScoreError> {
        let (count, mut columns) = (self.rows, Vec::with_capacity(self.columns.len()));
        for (position, (spec, planned)) in version.manifest.inputs.iter().zip(self.columns).enumerate() {
            let Planned { width, varying, contents } = planned;
            let bytes = elements(spec, contents, count * width).await?;
            let column = Column { width, varying, values: Values::Raw { dtype: spec.dtype, bytes } };
            Check { spec, column: &column }.all(&version, position).await?;
            columns.push(column);
        }
        Rows::new(count, columns).map_err(|ragged| ScoreError::Model {
            model: version.manifest.model.clone(),
            version: version.manifest.version,
            reason: ragged.to_string(),
        })
    }
}

async fn elements(spec: &InputSpec, contents: Contents, count: usize) -> Result<Bytes, ScoreError> {
    match contents {
        Contents::Raw(bytes) => Ok(bytes),
        Contents::Typed(bytes) => {
            let read = typed::read(spec.dtype, &bytes, count).await;
            read.map_err(|description| of_input(&spec.name, ".contents", description))
        }
    }
}

/// Looks at the elements of a column.
struct Check<'c> {
    spec: &'c InputSpec,
    column: &'c Column,
}

impl Check<'_> {
    async fn all(&self, version: &Version, position: usize) -> Result<(), ScoreError> {
        if self.spec.dtype == Dtype::Bool {
            self.each("0 or 1", |value| value > 1.0).await?;
        }
        if let Some([least, greatest]) = self.spec.range {
            let wanted = format!("{least} to {greatest}");
            self.each(&wanted, |value| !(least..=greatest).contains(&value)).await?;
        }
        match version.manifest.task {
            Task::Tensors => Ok(()),
            // The encoder writes no others.
            Task::MerchantGmv | Task::UserPortrait if self.spec.dtype.is_float() => {
                self.each("a finite number", |value| !value.is_finite()).await
            }
            Task::MerchantGmv | Task::UserPortrait => {
                self.ids(version.encoder.id_bounds().filter(|bound| bound.input == position)).await
            }
        }
    }

    /// Finds the first element that is wrong.
    async fn each(&self, wanted: &str, wrong: impl Fn(f64) -> bool) -> Result<(), ScoreError> {
        let (values, mut turn) = (&self.column.values, Turn::begin());
        for start in (0..values.len()).step_by(STRETCH) {
            let stretch = start..values.len().min(start + STRETCH);
            if let Some((place, found)) = values.find(stretch, &wrong) {
                return Err(self.fault(place, found, wanted));
            }
            if turn.is_over_after(STRETCH * self.spec.dtype.size()) {
                tokio::task::yield_now().await;
                turn = Turn::begin();
            }
        }
        Ok(())
    }

    /// Whether all ids are those of a row of their table: one out of range poisons a
    /// device.
    async fn ids(&self, bounds: impl Iterator<Item = IdBound>) -> Result<(), ScoreError> {
        let (width, mut turn) = (self.column.width, Turn::begin());
        let (ids, _) = self.column.values.as_bytes().as_chunks();
        for IdBound { columns, below, .. } in bounds {
            for (row, ids) in ids.chunks(width.max(1)).enumerate() {
                let ids = ids.get(columns.clone()).unwrap_or_default().iter().map(|id| i64::from_le_bytes(*id));
                if let Some((id, column)) = ids.zip(columns.clone()).find(|(id, _)| !(0..below).contains(id)) {
                    let description = format!("is {id}, wanted 0 to {}", below - 1);
                    return Err(of_input(&self.spec.name, &at(&[row, column]), description));
                }
                if turn.is_over_after(8 * columns.len()) {
                    tokio::task::yield_now().await;
                    turn = Turn::begin();
                }
            }
        }
        Ok(())
    }

    fn fault(&self, place: usize, found: f64, wanted: &str) -> ScoreError {
        let (row, column) = (place / self.column.width.max(1), place % self.column.width.max(1));
        of_input(&self.spec.name, &at(&[row, column]), format!("is {found}, wanted {wanted}"))
    }
}

/// Where an element is: its row, and its place within it.
fn at(place: &[usize]) -> String {
    format!("{place:?}")
}
