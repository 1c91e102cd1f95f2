//! The services as the server speaks them: the entities of a request stay as
//! they came until it is their turn to be encoded.
//!
//! On the wire a repeated message and repeated bytes are the same. So a request
//! of a thousand rows is taken apart in some microseconds, one that is refused
//! costs no decoding, and each frame is a slice of what was received.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstCodec;

use super::{
    reply::{Reply, ReplyEncoder},
    wire::{self, Malformed},
};
use crate::error::ScoreError;

/// Most entities of one message that are looked at, whatever the settings allow:
/// an empty one takes two bytes on the wire and some dozens in memory.
const MOST_ROWS: usize = 65_536;

/// `souk.v1.PredictGmvRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct PredictGmvRequest {
    /// Each a `souk.v1.Merchant`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub merchants: Vec<Bytes>,
    /// Which version answers.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Where the distribution is read.
    #[prost(double, repeated, tag = "3")]
    pub quantiles: Vec<f64>,
}

/// `souk.v1.GetPortraitsRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct GetPortraitsRequest {
    /// Each a `souk.v1.User`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub users: Vec<Bytes>,
    /// Which version answers.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// A request of frames.
pub(super) trait Framed {
    /// The field that holds them, which is the first one.
    const FRAMES: &'static str;
}

impl Framed for PredictGmvRequest {
    const FRAMES: &'static str = "merchants";
}

impl Framed for GetPortraitsRequest {
    const FRAMES: &'static str = "users";
}

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/framed/souk.v1.rs"));
}

pub(super) use generated::{
    merchant_gmv_service_server::MerchantGmvService, user_portrait_service_server::UserPortraitService,
};
pub use generated::{
    merchant_gmv_service_server::MerchantGmvServiceServer, user_portrait_service_server::UserPortraitServiceServer,
};

/// Decodes requests once their frames were counted, and encodes replies.
pub(super) struct FrameCodec<U>(PhantomData<U>);

/// prost's decoder behind the count.
pub(super) struct FrameDecoder<U: Message + Default + Send + 'static> {
    inner: <ProstCodec<U, U> as Codec>::Decoder,
}

impl<U> Default for FrameCodec<U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<U: Message + Default + Framed + Send + 'static> Codec for FrameCodec<U> {
    type Encode = Reply;
    type Decode = U;
    type Encoder = ReplyEncoder;
    type Decoder = FrameDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ReplyEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        FrameDecoder { inner: ProstCodec::<U, U>::default().decoder() }
    }
}

impl<U: Message + Default + Framed + Send + 'static> Decoder for FrameDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // tonic hands over one message in one piece.
        check(bytes.chunk(), U::FRAMES)?;
        self.inner.decode(bytes)
    }
}

fn check(message: &[u8], field: &str) -> Result<(), ScoreError> {
    let refused = |field: &str, description| Err(ScoreError::BadField { field: field.to_owned(), description });
    match frames(message) {
        Ok(count) if count <= MOST_ROWS => Ok(()),
        Ok(_) => refused(field, format!("there are more than {MOST_ROWS} in one message")),
        // Not left to the decoder, which reads on where the count ended.
        Err(malformed) => refused("request", malformed.to_string()),
    }
}

/// How many frames there are.
pub(super) fn frames(mut message: &[u8]) -> Result<usize, Malformed> {
    let mut count = 0;
    while !message.is_empty() {
        let (number, _) = wire::next(&mut message)?;
        count += usize::from(number == 1);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::proto::v1;

    fn refusal(merchants: usize) -> Option<String> {
        let message =
            v1::PredictGmvRequest { merchants: vec![v1::Merchant::default(); merchants], ..Default::default() };
        check(&message.encode_to_vec(), PredictGmvRequest::FRAMES).err().map(|error| error.to_string())
    }

    #[test]
    fn a_message_of_nothing_but_empty_rows_is_refused_before_it_is_decoded() {
        assert_eq!(refusal(MOST_ROWS), None);
        let said = "merchants: there are more than 65536 in one message";
        assert_eq!(refusal(MOST_ROWS + 1).as_deref(), Some(said));
    }

    #[test]
    fn rows_behind_a_long_group_are_not_passed_over() {
        let group = [&[0xf3, 0x03][..], &[0x08, 0x01].repeat(600), &[0xf4, 0x03]].concat();
        let message = [group, [0x0a, 0x00].repeat(MOST_ROWS + 1)].concat();
        assert!(PredictGmvRequest::decode(message.as_slice()).is_ok(), "prost takes it");
        let said = check(&message, PredictGmvRequest::FRAMES).unwrap_err().to_string();
        assert_eq!(said, "request: a group is longer than 1024 bytes");
    }

    #[test]
    fn frames_are_slices_of_what_was_received() {
        let merchant = v1::Merchant { merchant_id: "m".into(), ..Default::default() };
        let message = v1::PredictGmvRequest { merchants: vec![merchant], ..Default::default() };
        let received = Bytes::from(message.encode_to_vec());
        let framed = PredictGmvRequest::decode(received.clone()).unwrap();
        assert_eq!(framed.merchants[0].as_ptr(), received[2..].as_ptr());
    }

    fn decoded<E: Message + Default>(frames: &[Bytes]) -> Vec<E> {
        frames.iter().map(|frame| E::decode(frame.clone()).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn a_framed_request_is_the_ordinary_one(
            ids in prop::collection::vec(".{0,4}", 0..6),
            version in ".{0,4}",
            quantiles in prop::collection::vec(0.0..1.0, 0..4),
        ) {
            let merchant = |id: &String| v1::Merchant { merchant_id: id.clone(), as_of: id.clone(), features: None };
            let user = |id: &String| v1::User { user_id: id.clone(), as_of: id.clone(), features: None };
            let gmv = v1::PredictGmvRequest {
                merchants: ids.iter().map(merchant).collect(), version: version.clone(), quantiles,
            };
            let portraits = v1::GetPortraitsRequest { users: ids.iter().map(user).collect(), version };

            let framed = PredictGmvRequest::decode(gmv.encode_to_vec().as_slice()).unwrap();
            prop_assert_eq!(decoded::<v1::Merchant>(&framed.merchants), gmv.merchants);
            prop_assert_eq!((framed.version, framed.quantiles), (gmv.version, gmv.quantiles));
            let framed = GetPortraitsRequest::decode(portraits.encode_to_vec().as_slice()).unwrap();
            prop_assert_eq!(decoded::<v1::User>(&framed.users), portraits.users);
            prop_assert_eq!(framed.version, portraits.version);
        }
    }
}
