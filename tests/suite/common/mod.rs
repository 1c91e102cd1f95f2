//! Servers, models and rows for tests.

pub(crate) mod models;
pub(crate) mod program;
#[cfg(feature = "torch")]
pub(crate) mod raw;
pub(crate) mod rows;
pub(crate) mod server;
