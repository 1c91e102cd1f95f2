//! One version of a model: from its folder on disk to something that can answer.
//!
//! [`examine`] does all that can fail (signature, digests, manifest, engine, golden rows)
//! and says everything that is wrong. It decides nothing: what goes live is the
//! registry's choice.
//!
//! Architecture invariant: `torch` alone says `use tch`. A golden row is read by
//! whoever knows the wire, through [`RowReader`].

#[cfg(feature = "archives")]
mod archive;
mod examine;
mod file;
mod folder;
#[cfg(any(all(test, feature = "archives"), feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod golden;
#[cfg(feature = "archives")]
pub mod import;
mod model_file;
mod priority;
#[cfg(feature = "archives")]
mod state;
#[cfg(feature = "torch")]
pub mod torch;
#[cfg(feature = "archives")]
mod weights;
mod whole;

use std::{num::NonZeroUsize, sync::Arc};

use crate::{
    features::{Encoder, row::Field},
    heads::Head,
    manifest::{Manifest, Task},
    rows::{Forward, Rows},
    trust::Signed,
};

pub use examine::{Examination, Means, SIGNATURE, examine};
pub use file::FileFault;
pub use folder::VersionFolder;
pub use model_file::{ModelFile, Place};
pub use priority::{lowest_priority, only_when_idle};
pub use whole::Whole;

/// A version that proved itself and can answer.
pub struct Version {
    /// What the version says of itself.
    pub manifest: Manifest,
    /// sha256 of `manifest.json`, which holds the digests of all other files.
    pub digest: String,
    /// Who vouches for it, where that is looked at.
    pub signed: Option<Signed>,
    /// From raw features to inputs.
    pub encoder: Encoder,
    /// From outputs to answers.
    pub head: Head,
    /// From inputs to outputs.
    pub engine: Arc<dyn Forward>,
    /// Encoded golden rows, for warm-up; where they differ in their sizes, those of the
    /// sizes that most have.
    pub golden: Rows,
    /// How many golden rows agreed.
    pub proved_by: usize,
}

/// Reads rows in protobuf's JSON form. Implemented where protobuf is known.
pub trait RowReader: Send + Sync {
    /// The typed fields of a task's rows.
    fn fields(&self, task: Task) -> &'static [Field];

    /// Encodes one JSON row and appends it.
    ///
    /// # Errors
    ///
    /// What is wrong with the row, for people.
    fn encode(&self, task: Task, json: &str, encoder: &Encoder, into: &mut Rows) -> Result<(), String>;
}

/// Makes engines out of model files.
pub trait Engines: Send + Sync {
    /// The release of the engine's library, e.g. `2.11.0`; a version that was
    /// exported by another one is refused.
    fn release(&self) -> &str;

    /// Loads a model file, which was checked against the manifest.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, for people.
    fn load(&self, manifest: &Manifest, model: &ModelFile) -> Result<Arc<dyn Forward>, String>;
}

/// Most rows in one pass: what the manifest and the operator allow. One where the
/// model's tensors have no dimension of rows: a request is then a row.
pub fn batch_limit(manifest: &Manifest, most: NonZeroUsize) -> NonZeroUsize {
    NonZeroUsize::new(manifest.serving.max_batch_rows).map_or(NonZeroUsize::MIN, |wanted| wanted.min(most))
}

#[cfg(not(feature = "torch"))]
/// Engines of a program that was built without libtorch.
pub struct NoEngines;

#[cfg(not(feature = "torch"))]
impl Engines for NoEngines {
    fn release(&self) -> &str {
        "none"
    }

    fn load(&self, _manifest: &Manifest, _model: &ModelFile) -> Result<Arc<dyn Forward>, String> {
        Err("this program was built without the feature `torch`".into())
    }
}
