//! Which versions there are, and which one answers whom.
//!
//! Scan → prepare → go live → retire. Preparing is all that can fail and runs on
//! threads of its own; going live is one atomic store. Requests read without a lock.

mod events;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(feature = "archives"), allow(dead_code, unused_imports))] // What is fuzzed reads archives too.
pub(crate) mod fuzzing;
mod keeper;
mod live;
mod policy;
mod scan;

pub use events::{Event, EventKind, Events};
pub use keeper::{Haste, Keeper, Keeping, NewTraffic, OrderError, Preparation, PreparationSetup, Prepare};
pub use live::{Arm, Model, Models, Registry, Resident, Resolved, Route, Standing, Traffic, is_ready};
pub use policy::{Broken, CANARY, GuardLimit, GuardLimits, Labelled, Policy, SHADOW, STABLE, Target, history::Change};
pub use scan::{ModelFolder, ScanError, scan};
