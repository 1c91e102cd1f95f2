//! Looks at the bytes of an entity before they are decoded.
//!
//! An empty message takes two bytes on the wire and some hundred in memory, so
//! that a small request could fill the machine. This counts, without decoding,
//! what an entity repeats.

use prost::encoding;

use super::proto::v1::{Merchant, User};

/// Most events of one user: 256 for each of 1024 users.
const MOST_EVENTS: usize = 256 * 1024;

/// Most strings in lists of `extra` of one entity.
const MOST_CATEGORIES: usize = 1024 * 1024;

/// Something that an entity repeats.
pub(super) struct Repeated {
    /// From the entity on, e.g. `features.events`.
    pub(super) name: &'static str,
    /// The numbers of the fields that lead to it.
    path: &'static [u32],
    /// Most of them in one entity.
    pub(super) most: usize,
}

/// What is counted in an entity before it is decoded.
pub(super) trait Bounded {
    const REPEATED: &'static [Repeated];
}

impl Bounded for Merchant {
    const REPEATED: &'static [Repeated] =
        &[Repeated { name: "features.extra", path: &[2, 100, 2, 4, 1], most: MOST_CATEGORIES }];
}

impl Bounded for User {
    const REPEATED: &'static [Repeated] = &[
        Repeated { name: "features.events", path: &[2, 7], most: MOST_EVENTS },
        Repeated { name: "features.extra", path: &[2, 100, 2, 4, 1], most: MOST_CATEGORIES },
    ];
}

/// What the entity repeats too often.
pub(super) fn excess<E: Bounded>(entity: &[u8]) -> Option<&'static Repeated> {
    E::REPEATED.iter().find(|repeated| count(entity, repeated.path, &mut { repeated.most }).is_none())
}

/// Takes off `left` what `message` holds at `path`; `None` where it holds more.
/// What is malformed is left to the decoder to refuse.
pub(super) fn count(mut message: &[u8], path: &[u32], left: &mut usize) -> Option<()> {
    let (field, deeper) = path.split_first()?;
    while !message.is_empty() {
        let Some((number, value)) = next_field(&mut message) else { return Some(()) };
        match (number == *field, value, deeper.is_empty()) {
            (true, Some(_), true) => *left = left.checked_sub(1)?,
            (true, Some(value), false) => count(value, deeper, left)?,
            _ => {}
        }
    }
    Some(())
}

/// The number of the next field, and its bytes where it has a length.
fn next_field<'m>(message: &mut &'m [u8]) -> Option<(u32, Option<&'m [u8]>)> {
    let key = encoding::decode_varint(message).ok()?;
    let number = u32::try_from(key >> 3).ok()?;
    let fixed = match key & 7 {
        0 => {
            encoding::decode_varint(message).ok()?;
            0
        }
        1 => 8,
        5 => 4,
        2 => {
            let length = usize::try_from(encoding::decode_varint(message).ok()?).ok()?;
            let (value, rest) = message.split_at_checked(length)?;
            *message = rest;
            return Some((number, Some(value)));
        }
        _ => return None,
    };
    *message = message.get(fixed..)?;
    Some((number, None))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::api::proto::v1::{Behaviour, UserFeatures};

    #[test]
    fn the_events_of_a_user_are_counted_before_they_are_decoded() {
        let too_many = |events| {
            let features = UserFeatures { events: vec![Behaviour::default(); events], ..Default::default() };
            let user = User { user_id: "u".into(), features: Some(features), ..Default::default() };
            excess::<User>(&user.encode_to_vec()).map(|repeated| repeated.name)
        };
        assert_eq!(too_many(MOST_EVENTS), None);
        assert_eq!(too_many(MOST_EVENTS + 1), Some("features.events"));
    }

    #[test]
    fn any_bytes_can_be_counted() {
        use proptest::prelude::*;

        proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..200))| {
            let _ = excess::<User>(&bytes);
        });
    }
}
