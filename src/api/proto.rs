//! The generated messages and services, as clients speak them, and their
//! descriptors. The server reads requests by `views` and serves `frames`.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]
#![allow(clippy::all, clippy::indexing_slicing, reason = "generated code")]

/// All messages and services of `souk.v1`.
pub mod v1 {
    tonic::include_proto!("souk.v1");
}

/// The messages and the service of the Open Inference Protocol.
pub mod inference {
    tonic::include_proto!("inference");
}

/// The serialised `FileDescriptorSet` of what the data port serves, for reflection
/// and for JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/souk_descriptor.bin"));

/// The same of what the admin port serves.
pub const ADMIN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptor.bin"));
