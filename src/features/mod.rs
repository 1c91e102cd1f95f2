//! From raw features to a model's inputs, by the rules of a manifest.
//!
//! All names are resolved once, in [`Encoder::new`]; encoding a row looks up no
//! name of a typed field and allocates nothing per feature. It does not know
//! protobuf (see [`row::Row`]) nor tensors (see [`crate::rows`]).

mod encoder;
mod fault;
pub mod row;

pub use encoder::{Defaulted, Encoder, IdBound};
pub use fault::{FaultCode, RowFault, Violation};
