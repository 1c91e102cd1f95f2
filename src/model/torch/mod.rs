//! libtorch: the only module that says `use tch`.
//!
//! Only fallible calls. Vectors come in and go out: tensors live and die within
//! [`crate::rows::Forward::forward`], on the thread that calls it, but for weights.

mod deepfm;
mod inspect;
mod script;
mod tensors;
#[cfg(test)]
mod tests;

use std::{any::Any, io::Cursor, num::NonZeroUsize, sync::Arc};

use tch::{CModule, TchError};

pub use self::inspect::{Inspected, Parameter};
use self::{deepfm::DeepFm, script::TorchScript};
use super::{Engines, ModelFile, Place, archive, state::writes_to_itself};
use crate::{
    manifest::{Engine, Manifest},
    rows::{Forward, ForwardError},
};

/// The release of libtorch that `tch` 0.24 pairs with, exactly.
pub const RELEASE: &str = "2.11.0";

/// Loads model files for libtorch.
pub struct TorchEngines {
    /// Most rows in one pass, whatever a manifest allows.
    pub max_rows: NonZeroUsize,
}

/// Sets up a thread for forward passes: no gradients, `threads` within one pass.
/// What it returns must live as long as the thread runs models.
pub fn thread_setup(threads: NonZeroUsize) -> Box<dyn Any> {
    // Both are per thread in libtorch.
    tch::set_num_threads(i32::try_from(threads.get()).unwrap_or(1));
    Box::new(tch::no_grad_guard())
}

impl Engines for TorchEngines {
    fn release(&self) -> &str {
        RELEASE
    }

    fn load(&self, manifest: &Manifest, model: &ModelFile) -> Result<Arc<dyn Forward>, String> {
        let _no_grad = tch::no_grad_guard();
        match manifest.engine {
            Engine::Torchscript => {
                let no_module = |why: &str| format!("is no TorchScript that can be loaded: {why}");
                archive::check(&model.place()).map_err(|fault| no_module(&fault.to_string()))?;
                let module = module(model).map_err(|error| no_module(&named_error(&error)))?;
                let module = TorchScript::new(module, manifest, self.max_rows);
                Ok(Arc::new(if writes_to_itself(&model.place()) { module.alone() } else { module }))
            }
            Engine::Deepfm => {
                let file = model.bytes().map_err(|fault| fault.to_string())?;
                Ok(Arc::new(DeepFm::new(file.into_owned(), manifest, self.max_rows)?))
            }
        }
    }
}

fn module(model: &ModelFile) -> Result<CModule, TchError> {
    prepared(|| match model.place() {
        Place::Path(path) => CModule::load(path),
        Place::Bytes(bytes) => CModule::load_data(&mut Cursor::new(bytes)),
    })
}

/// A module as it is to be run.
fn prepared(load: impl FnOnce() -> Result<CModule, TchError>) -> Result<CModule, TchError> {
    // The profiling executor compiles anew under traffic; frozen modules run as fast
    // without it, and their first pass ten times faster.
    tch::jit::f_set_profiling_mode(false)?;
    let mut module = load()?;
    module.f_set_eval()?;
    Ok(module)
}

fn raised(error: TchError) -> ForwardError {
    ForwardError::Raised(named_error(&error))
}

/// The line of the message that names the error: the last one with `Error: `,
/// which is TorchScript's below its listing of code; without such a line the first
/// one that is not libtorch's stack trace.
fn named_error(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let says = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("Exception raised from") && !line.starts_with("frame #")
    };
    let raised = text.lines().rev().find(|line| line.contains("Error: "));
    raised.or_else(|| text.lines().find(says)).unwrap_or("an error without a message").trim().to_owned()
}
