//! A reply whose results are encoded as they are made, in turns, so that a
//! thousand of them are neither kept as messages nor encoded at once.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, message},
};
use tonic::{
    Status,
    codec::{EncodeBuf, Encoder},
};

use super::{
    proto::v1::{ServedBy, Timing},
    sending::Weighed,
    stream::Coded,
};

/// The fields of both results: the id, the names of what was left out, and who answered
/// where that is not who the reply names.
const ID: u32 = 1;
const DEFAULTED: u32 = 4;
const SERVED_BY: u32 = 5;

/// The field of both replies that holds the results.
const RESULTS: u32 = 1;

/// What one result takes that is usual, in bytes; more is made room for later.
const USUAL: usize = 128;

/// `souk.v1.PredictGmvResponse` or `souk.v1.GetPortraitsResponse`.
#[derive(Debug)]
pub struct Reply {
    results: Bytes,
    rest: Rest,
}

impl Weighed for Reply {
    fn bytes(&self) -> usize {
        self.results.len() + self.rest.encoded_len()
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Reply {
    /// As it is on the wire.
    pub(super) fn to_bytes(&self) -> Bytes {
        [&self.results[..], &self.rest.encode_to_vec()].concat().into()
    }
}

/// What follows the results.
#[derive(Clone, PartialEq, Message)]
struct Rest {
    #[prost(message, optional, tag = "2")]
    served_by: Option<ServedBy>,
    #[prost(message, optional, tag = "3")]
    timing: Option<Timing>,
}

/// The results of a reply, in the request's order.
pub(super) struct Results(BytesMut);

impl Results {
    pub(super) fn with_capacity(results: usize) -> Self {
        Self(BytesMut::with_capacity(results * USUAL))
    }

    /// Appends a result. `outcome` is a `GmvResult` or a `PortraitResult` with
    /// nothing but its outcome.
    pub(super) fn add<'n>(
        &mut self,
        id: &str,
        outcome: &impl Message,
        defaulted: impl Iterator<Item = &'n str> + Clone,
        served_by: Option<&ServedBy>,
    ) {
        let named = defaulted.clone().map(|name| text_len(DEFAULTED, name)).sum::<usize>();
        let named = named + served_by.map_or(0, |by| message::encoded_len(SERVED_BY, by));
        let of_id = if id.is_empty() { 0 } else { text_len(ID, id) };
        encode_key(RESULTS, WireType::LengthDelimited, &mut self.0);
        encode_varint((of_id + outcome.encoded_len() + named) as u64, &mut self.0);
        if !id.is_empty() {
            self.text(ID, id);
        }
        outcome.encode_raw(&mut self.0);
        defaulted.for_each(|name| self.text(DEFAULTED, name));
        served_by.into_iter().for_each(|by| message::encode(SERVED_BY, by, &mut self.0));
    }

    /// How long they are.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    fn text(&mut self, field: u32, text: &str) {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        encode_varint(text.len() as u64, &mut self.0);
        self.0.put_slice(text.as_bytes());
    }

    pub(super) fn into_reply(self, served_by: ServedBy, timing: Timing) -> Reply {
        Reply { results: self.0.freeze(), rest: Rest { served_by: Some(served_by), timing: Some(timing) } }
    }
}

fn text_len(field: u32, text: &str) -> usize {
    key_len(field) + encoded_len_varint(text.len() as u64) + text.len()
}

/// Puts replies on the wire.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReplyEncoder;

impl Coded for Reply {}

impl Encoder for ReplyEncoder {
    type Item = Reply;
    type Error = Status;

    fn encode(&mut self, reply: Reply, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(reply.results.len() + reply.rest.encoded_len());
        into.put_slice(&reply.results);
        reply.rest.encode_raw(into);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::proto::v1::{
        GmvForecast, GmvResult, PortraitResult, PredictGmvResponse, RowError, gmv_result::Outcome, portrait_result,
    };

    fn decoded<M: Message + Default>(results: Results) -> M {
        let reply = results.into_reply(ServedBy { version: 3, ..ServedBy::default() }, Timing::default());
        M::decode(reply.to_bytes()).unwrap()
    }

    fn any_result() -> impl Strategy<Value = GmvResult> {
        let forecast = any::<f64>().prop_filter("NaN is not itself", |gmv| !gmv.is_nan()).prop_map(|expected_gmv| {
            Outcome::Forecast(GmvForecast { expected_gmv, currency: "EUR".into(), ..GmvForecast::default() })
        });
        let error = ".{0,300}".prop_map(|message| Outcome::Error(RowError { code: 3, message, ..RowError::default() }));
        let names = prop::collection::vec("[a-z]{0,150}", 0..4);
        let served_by = prop::option::of((0_u64..300, "[a-z]{0,9}"))
            .prop_map(|by| by.map(|(version, label)| ServedBy { version, label, ..ServedBy::default() }));
        let all = (".{0,5}", prop_oneof![forecast, error], names, served_by);
        all.prop_map(|(merchant_id, outcome, defaulted_features, served_by)| GmvResult {
            merchant_id,
            outcome: Some(outcome),
            defaulted_features,
            served_by,
        })
    }

    proptest! {
        #[test]
        fn results_that_are_encoded_one_by_one_are_the_ordinary_reply(all in prop::collection::vec(any_result(), 0..5)) {
            let mut results = Results::with_capacity(all.len());
            for result in &all {
                let outcome = GmvResult { outcome: result.outcome.clone(), ..GmvResult::default() };
                let defaulted = result.defaulted_features.iter().map(String::as_str);
                results.add(&result.merchant_id, &outcome, defaulted, result.served_by.as_ref());
            }
            let reply: PredictGmvResponse = decoded(results);
            prop_assert_eq!(reply.results, all);
            prop_assert_eq!(reply.served_by.map(|by| by.version), Some(3));
            prop_assert!(reply.timing.is_some());
        }
    }

    #[test]
    fn portraits_have_the_same_fields() {
        let error = portrait_result::Outcome::Error(RowError { code: 9, ..RowError::default() });
        let outcome = PortraitResult { outcome: Some(error), ..PortraitResult::default() };
        let mut results = Results::with_capacity(1);
        let by = ServedBy { version: 2, ..ServedBy::default() };
        results.add("u", &outcome, ["tenure_days", "as_of"].into_iter(), Some(&by));
        let reply: super::super::proto::v1::GetPortraitsResponse = decoded(results);
        let defaulted_features = vec!["tenure_days".to_owned(), "as_of".to_owned()];
        assert_eq!(
            reply.results,
            [PortraitResult { user_id: "u".into(), defaulted_features, served_by: Some(by), ..outcome }]
        );
    }
}
