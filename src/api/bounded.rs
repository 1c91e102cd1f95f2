//! Looks at the bytes of a request before they are decoded.
//!
//! An empty message takes two bytes on the wire and some hundred in memory, so
//! that a small request could fill the machine before anybody counts its rows.
//! This counts, without decoding, what a request repeats, and refuses too much.

use std::marker::PhantomData;

use prost::{Message, encoding};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

use super::proto::v1::{GetPortraitsRequest, GetPortraitsResponse, PredictGmvRequest, PredictGmvResponse};
use crate::error::ScoreError;

/// Most rows of one message that are decoded, whatever the settings allow.
pub(super) const MOST_ROWS: usize = 65_536;

/// Most events of all users of one message: 256 for each of 1024 users.
const MOST_EVENTS: usize = 256 * 1024;

/// Most strings in lists of `extra` of one message.
const MOST_CATEGORIES: usize = 1024 * 1024;

/// Something that a message repeats.
pub(super) struct Repeated {
    /// For people, e.g. `users[].features.events`.
    name: &'static str,
    /// The numbers of the fields that lead to it.
    path: &'static [u32],
    /// Most of them in one message.
    most: usize,
}

/// What is counted in a message before it is decoded.
pub(super) trait Bounded {
    /// Nothing for a server's own replies.
    const REPEATED: &'static [Repeated];
}

impl Bounded for PredictGmvRequest {
    const REPEATED: &'static [Repeated] = &[
        Repeated { name: "merchants", path: &[1], most: MOST_ROWS },
        Repeated { name: "merchants[].features.extra", path: &[1, 2, 100, 2, 4, 1], most: MOST_CATEGORIES },
    ];
}

impl Bounded for GetPortraitsRequest {
    const REPEATED: &'static [Repeated] = &[
        Repeated { name: "users", path: &[1], most: MOST_ROWS },
        Repeated { name: "users[].features.events", path: &[1, 2, 7], most: MOST_EVENTS },
        Repeated { name: "users[].features.extra", path: &[1, 2, 100, 2, 4, 1], most: MOST_CATEGORIES },
    ];
}

impl Bounded for PredictGmvResponse {
    const REPEATED: &'static [Repeated] = &[];
}

impl Bounded for GetPortraitsResponse {
    const REPEATED: &'static [Repeated] = &[];
}

/// prost's codec behind the count.
pub(super) struct BoundedCodec<T, U>(PhantomData<(T, U)>);

/// Decodes what was counted.
pub(super) struct BoundedDecoder<U: Message + Default + Send + 'static> {
    inner: <ProstCodec<U, U> as Codec>::Decoder,
}

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Bounded + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder { inner: ProstCodec::<U, U>::default().decoder() }
    }
}

impl<U: Message + Default + Bounded + Send + 'static> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // tonic hands over one message in one piece.
        check(bytes::Buf::chunk(bytes), U::REPEATED)?;
        self.inner.decode(bytes)
    }
}

fn check(message: &[u8], repeated: &[Repeated]) -> Result<(), ScoreError> {
    for Repeated { name, path, most } in repeated {
        let mut left = *most;
        if count(message, path, &mut left).is_none() {
            let description = format!("there are more than {most} in one message");
            return Err(ScoreError::BadField { field: (*name).to_owned(), description });
        }
    }
    Ok(())
}

/// Takes off `left` what `message` holds at `path`; `None` where it holds more.
/// What is malformed is left to the decoder to refuse.
fn count(mut message: &[u8], path: &[u32], left: &mut usize) -> Option<()> {
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
    use super::*;
    use crate::api::proto::v1::{Behaviour, Merchant, User, UserFeatures};

    fn refusal<M: Message + Bounded>(message: &M) -> Option<String> {
        check(&message.encode_to_vec(), M::REPEATED).err().map(|error| error.to_string())
    }

    #[test]
    fn a_message_of_nothing_but_empty_rows_is_refused_before_it_is_decoded() {
        let merchants = |count| PredictGmvRequest { merchants: vec![Merchant::default(); count], ..Default::default() };
        assert_eq!(refusal(&merchants(MOST_ROWS)), None);
        let said = "merchants: there are more than 65536 in one message";
        assert_eq!(refusal(&merchants(MOST_ROWS + 1)).as_deref(), Some(said));
    }

    #[test]
    fn events_are_counted_over_all_users() {
        let features = UserFeatures { events: vec![Behaviour::default(); 1000], ..Default::default() };
        let user = User { user_id: "u".into(), features: Some(features), ..Default::default() };
        let users = |count| GetPortraitsRequest { users: vec![user.clone(); count], ..Default::default() };
        assert_eq!(refusal(&users(262)), None);
        let said = "users[].features.events: there are more than 262144 in one message";
        assert_eq!(refusal(&users(263)).as_deref(), Some(said));
    }

    #[test]
    fn any_bytes_can_be_counted() {
        use proptest::prelude::*;

        proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..200))| {
            let _ = check(&bytes, GetPortraitsRequest::REPEATED);
        });
    }
}
