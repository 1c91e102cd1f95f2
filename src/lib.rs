//! Souk serves the models of an e-commerce marketplace over gRPC: *what will
//! this merchant's GMV be*, *who is this user*, and by the Open Inference Protocol
//! whatever else a TorchScript model answers.
//!
//! # Layout
//!
//! ```text
//! main → cli → server → api ─┬→ trial → registry → model ─┬→ features, heads → manifest
//!                            │                            └→ rows → cost
//!                            └→ stack → rows, cost, error
//! cli → manifest, model; manifest → rows; config, model, cli → trust
//! cli, server, api, stack, trial, registry → telemetry; cli, server, api, stack → identity → error
//! ```
//!
//! | room | what it is for | what it does not know |
//! |---|---|---|
//! | [`cli`] | `souk serve`, `health`, `check`, `import`, `keygen`, `sign`, `verify`, `models`, `score`, `token`, `schema` | how a row is scored |
//! | [`config`] | settings: defaults ← `souk.toml` ← environment | everything else |
//! | [`server`] | puts the rooms together, listens, drains, shows itself on a page | features, tensors |
//! | [`api`] | the wire: protobuf, codes, paths of faults | engines |
//! | [`registry`] | which versions there are, which one answers whom, and who said so | protobuf, engines |
//! | [`trial`] | versions on trial, beside the one that answers | protobuf, callers |
//! | [`model`] | a version's folder, digests, golden rows, engines, imports | which one is live |
//! | [`manifest`] | what a version says of itself | files, the wire |
//! | [`features`] | raw features to inputs, by the manifest | protobuf, tensors of libtorch |
//! | [`heads`] | outputs to forecasts and portraits | the wire |
//! | [`stack`] | deadlines, bounds, batches, the threads that run them | protobuf, tonic, engines |
//! | [`telemetry`] | what is measured, the last quarter of an hour of it, where the time of requests went, the form of that for Prometheus and its way to a collector | every other room |
//! | [`cost`] | what a version's passes cost, learned, and what it has served | who asks, and why |
//! | [`rows`] | inputs and outputs as plain vectors | features |
//! | [`trust`] | whose signatures count, and signing | versions, settings |
//! | [`identity`] | who asks, what he may do, and how much | tokens' and certificates' way here |
//! | [`error`] | why a request was not scored, in words | codes |
//!
//! What reads bytes that others made has targets in `fuzzing`, which only `tests/fuzz` and
//! unit tests compile.
//!
//! # The way of a request
//!
//! Socket → where callers have to be known, [`server`] asks [`identity`] who it is and what he may →
//! [`api`] counts the rows and resolves the version, once, or where traffic is
//! split that of each row, by its entity's id; each version's rows go → [`stack`]:
//! deadline, admission → each row is read where it lies and encoded against *that*
//! version's manifest, in turns that leave the thread to others; bad rows get an
//! error of their own → batch → [`rows::Forward`], for a small batch on the thread
//! that its requests arrived on, else on a runner's → outputs cut back to their
//! callers → the version's [`heads::Head`] → reply, in the request's order.
//!
//! A request of the Open Inference Protocol has tensors instead: its shapes are checked
//! against the manifest and the bytes that came → admission → its elements are checked,
//! and typed ones converted, while raw ones stay slices of the request → the same batch →
//! the outputs that were asked for, as they lie in memory. One version answers all its rows.
//!
//! # The way of a version
//!
//! [`registry::scan`] finds the folders, by looks and where the system tells of changes →
//! [`registry::Keeper`], one thread that owns all that can change, compares them with what
//! the policy and operators want → a thread of its own → [`model::examine`] does all that can
//! fail: signature, manifest, digests, engine, golden rows → every thread that will run it
//! runs it in each warm-up size, one thread and one pass at a time, in moments in which
//! nothing waits → one atomic store makes it live, as the policy's labels and shares
//! say. A version that fails stays out with all its problems named; one that is replaced
//! stays for a way back, and is freed on the keeper's thread once its last request is done.
//!
//! # The way of a trial
//!
//! Once a reply is made, what it was made of goes to [`trial`]: a canary's rows, failures
//! and latency are counted beside those of the stable version → rows of the share of
//! `shadow`, and a few of the canary's, are put into a bounded queue or dropped → one
//! thread, which runs while its core is idle, encodes them for the other version and scores them →
//! both answers go into a window of pairs, whose figures that thread works out → once a
//! second [`trial::Guard`] looks at a canary's counts and figures and says which limit it
//! breaks.
//!
//! # The way of an order
//!
//! The admin port, which is not the data port: `souk models` or any client →
//! [`api::AdminEndpoint`] → [`registry::Keeper`], which follows it or says what is in
//! the way. What happens is told to all who watch.
//!
//! # The way of a look
//!
//! Browser → the http port: the page's files are in the program → once a second the page asks for
//! what is now and what is new → one thread, which also measures into [`telemetry::History`] once a
//! second, looks at registry, trials, events and history and writes JSON → threads of sockets hand
//! its bytes on. The page only shows, and asks nobody but its server.
//!
//! # What is told of a request
//!
//! [`telemetry::Journey`] passes the rooms with the request, and each adds moments and
//! figures → at its end it is counted → [`telemetry::Traces`] decides whether it is told as a
//! trace, and copies it to where the thread of [`telemetry::Otlp`] fetches it twice a second,
//! makes its spans and sends them. A batch tells its requests of each other: its record
//! ([`telemetry::Batch`]) goes back with the answers. Without a collector none of this
//! happens, but that a caller's `traceparent` is read and sent back.
//!
//! # Invariants
//!
//! 1. `results[i]` answers row `i` of the request, whatever else happens.
//! 2. A model file whose digest is not the manifest's is never loaded; what was hashed is
//!    what is loaded, whoever overwrites the file meanwhile. Where signatures are asked
//!    for, nothing is loaded that nobody trusted vouches for; and libtorch sees no archive
//!    that could be read in two ways.
//! 3. What training computed and what is served is the same number, to the
//!    manifest's tolerance: golden rows prove it at every load.
//! 4. No NaN or infinity leaves as a number, but in an output of tensors of which the
//!    manifest says so (`non_finite`).
//! 5. What waits or runs is bounded in rows, bytes and expected wait; messages of
//!    streams wait for their turn and for their caller's rate, four a stream at most. What is refused was not
//!    encoded, what is late never runs, and what never ran is charged to nobody. What a client begins it has
//!    to send in time, and what is sent to it it has to read. A connection is read for about a millisecond's
//!    work at a stretch, and more slowly where it mostly resets its calls.
//! 6. A thread that reads sockets runs no pass that is expected to take longer than
//!    `runtime.inline_below`, and no other work for longer than that at a stretch.
//!    All other passes run on the runners' threads; those of a version that is being
//!    prepared, and those for comparison alone, on threads of their own.
//! 7. A trial costs callers nothing: rows are scored for comparison only after their
//!    reply was made, on a thread that has what the others leave of a core, and no
//!    version stays in memory for being compared.
//! 8. Telemetry never holds up a request: what leaves for a collector is bounded, fetched by
//!    a thread of its own, and dropped and counted where there is no room.
//! 9. What a request asked and what it was answered is in no log, trace or list of slow
//!    requests; ids of entities are logged only where `telemetry.log_entities` says so.
//! 10. Where callers have to be known, nothing of a call is read before it is known whose it is and
//!     that he has the role, and each message of a stream asks again whether he is still known; a call
//!     that nobody thought of is closed, and no stranger keeps a connection. Secrets are kept as
//!     hashes, and nothing prints one.
//! 11. `model::torch` alone says `use tch`; [`stack`] knows neither tonic nor tch;
//!     [`config`] alone reads the environment; [`telemetry`] alone knows
//!     OpenTelemetry. `tests/suite/architecture.rs` holds the house to this.

// What only serves is not used where nothing but reading is tried out.
#![cfg_attr(feature = "fuzzing", allow(dead_code))]

pub mod api;
pub mod cli;
pub mod config;
pub mod cost;
pub mod error;
pub mod features;
#[cfg(any(test, feature = "fuzzing"))]
mod fixture;
#[cfg(any(all(test, feature = "archives"), feature = "fuzzing"))]
pub mod fuzzing;
pub mod heads;
pub mod identity;
pub mod manifest;
pub mod model;
pub mod registry;
pub mod rows;
pub mod server;
pub mod stack;
pub mod telemetry;
pub mod trial;
pub mod trust;
