//! The wire: what the domain services, the Open Inference Protocol and the admin service
//! accept and answer.
//!
//! A request resolves its version once, or where the traffic is split that of each
//! entity, by its id. Its rows are read one by one where they lie and encoded against
//! that version's manifest, the stack scores them, and the version's head makes answers
//! of the outputs. Rows that can't be encoded get
//! an error of their own. Rows that come as tensors (`oip`) are encoded already: they are
//! checked against the manifest and leave as tensors.
//!
//! Architecture invariant: only this module, the server and the command line's
//! client know protobuf; only `status` chooses codes.

mod admin;
mod answered;
mod codes;
mod deadline;
mod drain;
mod encode;
mod frames;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(feature = "archives"), allow(dead_code, unused_imports))] // What is fuzzed reads archives too.
pub(crate) mod fuzzing;
mod gmv;
mod json;
mod oip;
mod oversize;
mod parts;
mod portraits;
pub mod proto;
mod reply;
mod row_frames;
mod scoring;
mod sending;
mod status;
mod stream;
mod turns;
mod unpacked;
mod views;
mod wire;

pub use admin::{AdminEndpoint, Administered};
pub use codes::code_name;
pub use deadline::GrpcTimeoutLayer;
pub use drain::Drain;
pub use encode::encode_frames;
pub use frames::{MerchantGmvServiceServer, UserPortraitServiceServer};
pub use gmv::GmvEndpoint;
pub use json::{JsonError, JsonForms};
pub use oip::{GrpcInferenceServiceServer, InferenceEndpoint};
pub use oversize::oversize_is_exhausted;
pub use portraits::PortraitEndpoint;
pub use scoring::{Scoring, today_utc};
pub use sending::counted_until_sent;
pub use turns::others_first;
pub use unpacked::{PREFIX as MESSAGE_PREFIX, unpacked};

use crate::manifest::Task;

/// The admin port's own service.
pub const ADMIN_SERVICE: &str = proto::v1::model_service_server::SERVICE_NAME;

/// The Open Inference Protocol's service, for all models.
pub const INFERENCE_SERVICE: &str = proto::inference::grpc_inference_service_server::SERVICE_NAME;

/// The domain services by their full name, each with the model that it asks.
pub const SERVICES: [(&str, Task); 2] = [
    (proto::v1::merchant_gmv_service_server::SERVICE_NAME, Task::MerchantGmv),
    (proto::v1::user_portrait_service_server::SERVICE_NAME, Task::UserPortrait),
];
