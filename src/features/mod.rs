//! From raw features to a model's inputs, by the rules of a manifest.
//!
//! All names are resolved once, in [`Encoder::new`]; encoding a row looks up no
//! name but those in `extra`, once each, and allocates nothing. A row is first
//! checked as a whole, so that its fault names everything at once, and only then
//! written. It does not know protobuf (see [`row::Row`]) nor tensors (see
//! [`crate::rows`]).
//!
//! | file | what |
//! |---|---|
//! | `plan` | the manifest's features and inputs, resolved |
//! | `encoder` | rows through the plan |
//! | `scratch`, `defaulted` | what it needs for a row, and what it says of one |
//! | `check` | what a row must not hold |
//! | `slot` | the place of a feature in an input |
//! | `number`, `category`, `calendar` | the rules for one value |
//! | `series` | single values and lists |
//! | `names` | maps that callers' names are looked up in |

mod calendar;
mod category;
mod check;
mod defaulted;
mod encoder;
mod fault;
#[cfg(test)]
mod json_row;
mod names;
mod number;
mod plan;
pub mod row;
mod scratch;
mod series;
mod slot;
#[cfg(test)]
mod tests;

pub use defaulted::{Defaulted, LeftOut};
pub use encoder::{Encoder, IdBound};
pub use fault::{FaultCode, RowFault, Violation};
pub use scratch::Scratch;
