//! One message of gRPC on its way: how much of it is here, and how long it may take.

use std::time::Duration;

use crate::api::MESSAGE_PREFIX as PREFIX;

/// How long any message may take, and what comes on top of it for a long one.
pub(super) const LEAST: Duration = Duration::from_secs(10);

/// Bytes in a second of that.
const RATE: u64 = 64 * 1024;

/// What was read of the message that arrives.
#[derive(Debug, Default)]
pub(super) struct Message {
    prefix: [u8; PREFIX],
    /// Bytes of the prefix that are there.
    read: usize,
    /// Bytes of the message that are not.
    missing: u64,
    pub(super) length: u64,
}

impl Message {
    pub(super) fn is_begun(&self) -> bool {
        self.read > 0
    }

    /// Bytes of it that are here.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.length - self.missing).unwrap_or(usize::MAX)
    }

    /// Takes in what arrived; whether it has ended a message.
    pub(super) fn take(&mut self, mut data: &[u8]) -> bool {
        let mut has_ended = false;
        while !data.is_empty() {
            if let Some(place) = self.prefix.get_mut(self.read)
                && self.read < PREFIX
                && let Some((first, rest)) = data.split_first()
            {
                *place = *first;
                self.read += 1;
                data = rest;
                if self.read == PREFIX {
                    let [_, length @ ..] = self.prefix;
                    self.length = u32::from_be_bytes(length).into();
                    self.missing = self.length;
                }
            } else {
                let here = usize::try_from(self.missing).unwrap_or(usize::MAX).min(data.len());
                self.missing -= here as u64;
                data = data.get(here..).unwrap_or_default();
            }
            if self.read == PREFIX && self.missing == 0 {
                *self = Self::default();
                has_ended = true;
            }
        }
        has_ended
    }

    /// How long it may take.
    pub(super) fn allowed(&self) -> Duration {
        LEAST + Duration::from_secs(self.length / RATE)
    }
}
