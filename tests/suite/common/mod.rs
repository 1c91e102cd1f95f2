//! Servers, models and rows for tests.

pub(crate) mod certificates;
pub(crate) mod collector;
#[cfg(feature = "torch")]
pub(crate) mod lifecycle;
#[cfg(feature = "torch")]
pub(crate) mod marked;
pub(crate) mod models;
#[cfg(feature = "torch")]
pub(crate) mod modules;
pub(crate) mod program;
#[cfg(feature = "torch")]
pub(crate) mod raw;
pub(crate) mod rows;
pub(crate) mod scrape;
pub(crate) mod server;
#[cfg(feature = "torch")]
pub(crate) mod tensors;
