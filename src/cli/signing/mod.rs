//! `souk keygen`, `souk sign` and `souk verify`: who made a version. Keys and signatures
//! are those of `minisign` too.

mod keygen;
mod password;
mod sign;
mod verify;

pub(super) use keygen::Keygen;
pub(super) use sign::Sign;
pub(super) use verify::Verify;
