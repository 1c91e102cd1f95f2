//! From a TorchScript file and examples of its inputs to a version's folder: what takes a
//! person an hour with the documentation, found out by running the module.
//!
//! It guesses nothing that the examination would not prove, and puts nothing where a
//! server would find it before that. It does not know libtorch: a module is whatever
//! implements [`Runs`].

mod archive;
mod array;
mod derive;
mod draft;
mod example;
mod npz;
mod signature;

use crate::manifest::Arguments;

pub use archive::Archive;
pub use array::Array;
pub use derive::{Derived, TensorSpec, derive};
pub use draft::{Draft, Wish, next_version};
pub use example::Example;
pub use signature::{Argument, Signature};

/// A module that can be tried out.
pub trait Runs {
    /// What it returns for these tensors: in order, with the names that a dictionary has
    /// and `output_0`… where it returns something else.
    ///
    /// # Errors
    ///
    /// What the module raised, or what it returned instead of tensors, for people.
    fn run(&self, arguments: Arguments, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>, String>;
}

/// The arrays of an archive that is open.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn npz_of(file: impl std::io::Read + std::io::Seek) -> Result<Vec<(String, Array)>, String> {
    npz::arrays(file)
}

/// One array by itself.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn npy_of(bytes: &[u8]) -> Result<Array, String> {
    npz::array(bytes)
}
