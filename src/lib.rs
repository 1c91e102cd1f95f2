//! Souk serves the models of an e-commerce marketplace over gRPC: *what will
//! this merchant's GMV be*, and *who is this user*.
//!
//! # Layout
//!
//! ```text
//! main → cli → server → api ─┬→ registry → model ─┬→ features, heads → manifest
//!                            │                    └→ rows, error
//!                            └→ stack → rows, error
//! server → telemetry
//! ```
//!
//! | room | what it is for | what it does not know |
//! |---|---|---|
//! | [`cli`] | `souk serve`, `check`, `score`, `schema` | how a row is scored |
//! | [`config`] | settings: defaults ← `souk.toml` ← environment | everything else |
//! | [`server`] | puts the rooms together, listens, drains | features, tensors |
//! | [`api`] | the wire: protobuf, codes, paths of faults | engines |
//! | [`registry`] | which versions there are, which one answers | protobuf |
//! | [`model`] | a version's folder, digests, golden rows, engines | which one is live |
//! | [`manifest`] | what a version says of itself | files, the wire |
//! | [`features`] | raw features to inputs, by the manifest | protobuf, tensors of libtorch |
//! | [`heads`] | outputs to forecasts and portraits | the wire |
//! | [`stack`] | deadlines, bounds, batches, the threads that run them | protobuf, tonic, engines |
//! | [`telemetry`] | what is measured, and its form for Prometheus | every other room |
//! | [`rows`] | inputs and outputs as plain vectors | features |
//! | [`error`] | why a request was not scored, in words | codes |
//!
//! # The way of a request
//!
//! Socket → [`api`] counts the rows and resolves the version, once → each row is
//! read where it lies and encoded against *that* version's manifest, in turns that
//! leave the thread to others; bad rows get an error of their own
//! → [`stack`]: deadline, admission, batch → [`rows::Forward`] on a runner's
//! thread → outputs cut back to their callers → the version's [`heads::Head`] →
//! reply, in the request's order.
//!
//! # The way of a version
//!
//! [`registry::scan`] finds the folders → [`model::examine`] does all that can
//! fail: manifest, digests, engine, golden rows → every runner runs it once in
//! each warm-up size → one atomic store makes it live. A version that fails stays
//! out with all its problems named.
//!
//! # Invariants
//!
//! 1. `results[i]` answers row `i` of the request, whatever else happens.
//! 2. A model file whose digest is not the manifest's is never loaded.
//! 3. What training computed and what is served is the same number, to the
//!    manifest's tolerance: golden rows prove it at every load.
//! 4. No NaN or infinity leaves as a number.
//! 5. Rows that wait or run are bounded; messages of streams wait for their turn,
//!    four a stream at most. What is late never runs.
//! 6. Forward passes run on the runners' threads only (those of a version that is
//!    being prepared on a thread of its own), never on tokio's.
//! 7. `model::torch` alone says `use tch`; [`stack`] knows neither tonic nor tch;
//!    [`config`] alone reads the environment; [`telemetry`] alone knows
//!    OpenTelemetry. `tests/suite/architecture.rs` holds the house to this.

pub mod api;
pub mod cli;
pub mod config;
pub mod cost;
pub mod error;
pub mod features;
#[cfg(test)]
mod fixture;
pub mod heads;
pub mod manifest;
pub mod model;
pub mod registry;
pub mod rows;
pub mod server;
pub mod stack;
pub mod telemetry;
