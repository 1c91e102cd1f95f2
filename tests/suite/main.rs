//! What others can see of Souk: its sockets, its command line, its model folders.
//!
//! One program, so that it is linked once. What needs a model that runs is
//! compiled with the feature `torch` only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]
#![cfg_attr(not(feature = "torch"), allow(dead_code, reason = "fewer tests use what they share"))]

mod common;

mod admin;
mod architecture;
#[cfg(feature = "torch")]
mod batching;
#[cfg(feature = "torch")]
mod bounds;
mod check;
mod collector;
mod configuration;
#[cfg(feature = "torch")]
mod deepfm;
mod deploy;
#[cfg(feature = "torch")]
mod drain;
#[cfg(feature = "torch")]
mod endpoints;
mod folders;
#[cfg(feature = "torch")]
mod golden;
mod health;
mod identity;
#[cfg(feature = "torch")]
mod import;
#[cfg(feature = "torch")]
mod isolation;
#[cfg(feature = "torch")]
mod lifecycle;
#[cfg(feature = "torch")]
mod logs;
#[cfg(feature = "torch")]
mod memory;
mod metrics;
#[cfg(feature = "torch")]
mod modules;
#[cfg(feature = "torch")]
mod oip;
#[cfg(feature = "torch")]
mod overload;
mod page;
#[cfg(feature = "torch")]
mod readme;
#[cfg(feature = "torch")]
mod real_data;
#[cfg(feature = "torch")]
mod refusals;
mod score;
#[cfg(feature = "torch")]
mod series;
mod signing;
#[cfg(feature = "torch")]
mod slow;
#[cfg(feature = "torch")]
mod streams;
#[cfg(feature = "torch")]
mod tensors;
mod tls;
#[cfg(feature = "torch")]
mod traces;
#[cfg(feature = "torch")]
mod traffic;
#[cfg(feature = "torch")]
mod trials;
