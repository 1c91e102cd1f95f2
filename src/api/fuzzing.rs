//! What reads and writes messages, held against prost. For fuzzing and unit tests alone.

#![allow(clippy::panic, reason = "a finding ends the program")]

use std::{collections::BTreeMap, fmt::Debug};

use jiff::civil::{Date, date};
use prost::Message;

use super::{
    admin::policy,
    encode::{Entity, encode_one},
    frames::{self, Framed},
    json::JsonForms,
    proto::v1::{self, ServedBy, Timing},
    reply::Results,
    views::EntityView,
    wire::{Malformed, View},
};
use crate::{
    features::{Scratch, row::Row},
    manifest::Task,
    model::Version,
    trial::RowFrames as _,
};

pub(crate) use super::oip::fuzzing::{contents, datatype, infer};

/// The day on which nothing is said of the day.
const TODAY: Date = date(2026, 4, 30);

/// All that a view tells, comparable also where it is NaN.
pub(super) fn told<'a, F: View<'a> + Row>(entity: &EntityView<'a, F>) -> String {
    let mut values = Vec::new();
    entity.features.values(&mut values);
    let extra: BTreeMap<_, _> = (0..).map_while(|index| entity.features.extra(index)).collect();
    shown(&(entity.id, entity.as_of, values, extra, entity.features.excess()))
}

/// prost doesn't send a zero below zero.
fn shown(value: &impl Debug) -> String {
    format!("{value:?}").replace("-0.0", "0.0")
}

pub(super) fn viewed<'a, F: View<'a> + Row>(bytes: &'a [u8]) -> Result<String, Malformed> {
    let mut entity = EntityView::<F>::default();
    entity.merge(bytes)?;
    Ok(told(&entity))
}

/// Whether the key of `extra` is there with another wire type, be it that of a group's end. prost
/// takes that, and reads what follows as if it were an entry.
fn mistypes_extra(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|key| matches!(key, [0xa0 | 0xa1 | 0xa3..=0xa5, 0x06]))
}

/// The view takes what prost takes, and reads from any bytes what it reads from
/// those that prost makes of them.
pub(super) fn same_as_prost<'a, M: Message + Default + Debug, F: View<'a> + Row>(
    bytes: &'a [u8],
    canonical: &'a mut Vec<u8>,
) {
    match (viewed::<F>(bytes), M::decode(bytes)) {
        (Ok(found), Ok(message)) => {
            *canonical = message.encode_to_vec();
            assert_eq!(viewed::<F>(canonical).ok(), Some(found));
        }
        (Err(_), Err(_)) | (Err(Malformed::LongGroup), Ok(_)) => {}
        (Err(_), Ok(_)) if mistypes_extra(bytes) => {}
        (found, wanted) => panic!("the view: {found:?}, prost: {wanted:?}"),
    }
}

/// A `souk.v1.Merchant`.
pub(crate) fn merchant(forms: &JsonForms, version: &Version, bytes: &[u8]) {
    entity::<v1::Merchant>(forms, version, bytes);
}

/// A `souk.v1.User`.
pub(crate) fn user(forms: &JsonForms, version: &Version, bytes: &[u8]) {
    entity::<v1::User>(forms, version, bytes);
}

/// A row in a request: read, encoded, kept for comparison, and written as JSON.
fn entity<E: Entity + Message + Default + Debug>(forms: &JsonForms, version: &Version, bytes: &[u8]) {
    same_as_prost::<E, E::Features<'_>>(bytes, &mut Vec::new());
    let mut entity = EntityView::<E::Features<'_>>::default();
    if entity.merge(bytes).is_err() {
        return;
    }
    let mut rows = version.encoder.empty_rows(1);
    let encoded = encode_one::<E>(&entity, &version.encoder, TODAY, &mut Scratch::default(), &mut rows);
    assert_eq!(rows.len(), usize::from(encoded.is_ok()), "a row that was refused stayed");
    if let (Ok(message), Some(kept)) = (E::decode(bytes), forms.without_id(bytes, TODAY)) {
        assert_eq!(forms.without_id(&kept, TODAY).as_ref(), Some(&kept), "of {message:?}");
        assert!(E::decode(kept.clone()).is_ok(), "what is kept of {message:?} is no message");
        same_as_json(forms, version.manifest.task, &kept);
    }
}

/// Whether a row that is written as JSON, where it can be, is the same row again. Moments
/// have several forms in protobuf and one in JSON, and entries of a map any order.
fn same_as_json(forms: &JsonForms, task: Task, row: &[u8]) {
    let Some(line) = forms.to_json(task, row) else { return };
    let again = forms.of_json(task, &line).and_then(|again| forms.to_json(task, &again));
    let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    assert_eq!(again.as_deref().and_then(read), read(&line));
}

/// A request with its rows as they came.
pub(crate) fn gmv_request(bytes: &[u8]) {
    let framed = frames::PredictGmvRequest::decode(bytes).map(|request| {
        let around = shown(&(request.version, request.quantiles));
        (request.merchants, around)
    });
    let plain = v1::PredictGmvRequest::decode(bytes).map(|request| {
        let around = shown(&(request.version, request.quantiles));
        (request.merchants, around)
    });
    same_rows::<frames::PredictGmvRequest, _>(bytes, (framed.ok(), plain.ok()));
}

/// The same of users.
pub(crate) fn portraits_request(bytes: &[u8]) {
    let framed = frames::GetPortraitsRequest::decode(bytes).map(|request| (request.users, request.version));
    let plain = v1::GetPortraitsRequest::decode(bytes).map(|request| (request.users, request.version));
    same_rows::<frames::GetPortraitsRequest, _>(bytes, (framed.ok(), plain.ok()));
}

type Parts<R> = Option<(Vec<R>, String)>;

fn same_rows<F: Framed, E: Message + Default + Debug>(bytes: &[u8], (framed, plain): (Parts<bytes::Bytes>, Parts<E>)) {
    let Some((rows, around)) = framed else { return assert!(plain.is_none(), "{} alone are refused", F::FRAMES) };
    match frames::frames(bytes) {
        Ok(count) => assert_eq!(count, rows.len(), "{} were counted wrongly", F::FRAMES),
        Err(malformed) => return assert!(matches!(malformed, Malformed::LongGroup), "{malformed}"),
    }
    let rows: Option<Vec<E>> = rows.into_iter().map(|row| E::decode(row).ok()).collect();
    let found = rows.map(|rows| (shown(&rows), around));
    assert_eq!(found, plain.map(|(rows, around)| (shown(&rows), around)));
}

/// A reply, written result by result.
pub(crate) fn gmv_reply(bytes: &[u8]) {
    let Ok(mut message) = v1::PredictGmvResponse::decode(bytes) else { return };
    let mut results = Results::with_capacity(message.results.len());
    for result in &message.results {
        let outcome = v1::GmvResult { outcome: result.outcome.clone(), ..v1::GmvResult::default() };
        let defaulted = result.defaulted_features.iter().map(String::as_str);
        results.add(&result.merchant_id, &outcome, defaulted, result.served_by.as_ref());
    }
    let reply = of(results, &mut message.served_by, &mut message.timing);
    assert_eq!(v1::PredictGmvResponse::decode(reply).as_ref().map(shown), Ok(shown(&message)));
}

/// The same of portraits.
pub(crate) fn portraits_reply(bytes: &[u8]) {
    let Ok(mut message) = v1::GetPortraitsResponse::decode(bytes) else { return };
    let mut results = Results::with_capacity(message.results.len());
    for result in &message.results {
        let outcome = v1::PortraitResult { outcome: result.outcome.clone(), ..v1::PortraitResult::default() };
        let defaulted = result.defaulted_features.iter().map(String::as_str);
        results.add(&result.user_id, &outcome, defaulted, result.served_by.as_ref());
    }
    let reply = of(results, &mut message.served_by, &mut message.timing);
    assert_eq!(v1::GetPortraitsResponse::decode(reply).as_ref().map(shown), Ok(shown(&message)));
}

/// On the wire; a reply always says who answered and how long it took.
fn of(results: Results, served_by: &mut Option<ServedBy>, timing: &mut Option<Timing>) -> bytes::Bytes {
    let (by, took) = (served_by.clone().unwrap_or_default(), timing.unwrap_or_default());
    (*served_by, *timing) = (Some(by.clone()), Some(took));
    results.into_reply(by, took).to_bytes()
}

/// A policy that somebody asks for at the admin port.
pub(crate) fn traffic(bytes: &[u8]) {
    let Ok(message) = v1::SetTrafficRequest::decode(bytes) else { return };
    let asked = message.policy.unwrap_or_default();
    let Ok(read) = policy::read(asked) else { return };
    let written = v1::TrafficPolicy {
        labels: policy::labels(&read, |_| None),
        salt: read.salt.clone().unwrap_or_default(),
        guard: None,
    };
    let again = policy::read(written).map(|again| shown(&(again.labels, again.salt)));
    assert_eq!(again, Ok(shown(&(read.labels, read.salt))));
}
