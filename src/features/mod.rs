//! From raw features to a model's inputs, by the rules of a manifest.
//!
//! All names are resolved once, in [`Encoder::new`]; encoding a row looks up no
//! name of a typed field and allocates nothing per feature. A row is first
//! checked as a whole, so that its fault names everything at once, and only then
//! written. It does not know protobuf (see [`row::Row`]) nor tensors (see
//! [`crate::rows`]).
//!
//! | file | what |
//! |---|---|
//! | `plan` | the manifest's features and inputs, resolved |
//! | `encoder` | rows through the plan |
//! | `check` | what a row must not hold |
//! | `slot` | the place of a feature in an input |
//! | `number`, `category`, `calendar` | the rules for one value |
//! | `series` | lists, whatever holds them |

mod calendar;
mod category;
mod check;
mod encoder;
mod fault;
#[cfg(test)]
mod json_row;
mod number;
mod plan;
pub mod row;
mod series;
mod slot;
#[cfg(test)]
mod tests;

pub use encoder::{Defaulted, Encoder, IdBound};
pub use fault::{FaultCode, RowFault, Violation};
