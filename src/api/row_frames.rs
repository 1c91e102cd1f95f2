//! Rows for trials: read as requests' rows are read, and kept without their ids.

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::civil::Date;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::{
    encode::{Entity, encode_one},
    json::JsonForms,
    proto::v1::{Merchant, User},
    views::EntityView,
    wire::{View as _, Wire, next},
};
use crate::{features::Scratch, manifest::Task, model::Version, rows::Rows, trial::RowFrames};

/// The fields of both entities that are no features.
const ID: u32 = 1;
const AS_OF: u32 = 3;

/// `YYYY-MM-DD` with its key and length.
const AS_OF_BYTES: usize = 12;

impl RowFrames for JsonForms {
    fn encode(&self, frame: &[u8], today: Date, version: &Version, into: &mut Rows) -> bool {
        match version.manifest.task {
            Task::MerchantGmv => encode_as::<Merchant>(frame, today, version, into),
            Task::UserPortrait => encode_as::<User>(frame, today, version, into),
            Task::Tensors => false,
        }
    }

    fn without_id(&self, frame: &[u8], today: Date) -> Option<Bytes> {
        without_id(frame, today)
    }

    fn to_json(&self, task: Task, frame: &[u8]) -> Option<String> {
        self.line(task, frame).ok()
    }

    fn of_json(&self, task: Task, json: &str) -> Option<Bytes> {
        self.frame(task, json).ok().map(Bytes::from)
    }
}

fn encode_as<E: Entity>(frame: &[u8], today: Date, version: &Version, into: &mut Rows) -> bool {
    let mut entity = EntityView::<E::Features<'_>>::default();
    let read = entity.merge(frame).is_ok();
    read && encode_one::<E>(&entity, &version.encoder, today, &mut Scratch::default(), into).is_ok()
}

/// Field by field as it came, but the id; the date where there is none.
fn without_id(frame: &[u8], today: Date) -> Option<Bytes> {
    let mut copy = BytesMut::with_capacity(frame.len() + AS_OF_BYTES);
    let (mut rest, mut dated) = (frame, false);
    while !rest.is_empty() {
        let before = rest;
        let (number, value) = next(&mut rest).ok()?;
        if number != ID {
            copy.put_slice(before.get(..before.len() - rest.len())?);
        }
        // Of several the last one counts, as for whoever reads it.
        dated = if number == AS_OF { matches!(value, Wire::Bytes(date) if !date.is_empty()) } else { dated };
    }
    if !dated {
        let today = today.to_string();
        encode_key(AS_OF, WireType::LengthDelimited, &mut copy);
        encode_varint(today.len() as u64, &mut copy);
        copy.put_slice(today.as_bytes());
    }
    Some(copy.freeze())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use prost::Message as _;

    use super::*;
    use crate::{api::proto::v1::MerchantFeatures, fixture};

    const TODAY: Date = date(2026, 4, 30);

    fn merchant(as_of: &str) -> Merchant {
        let features = MerchantFeatures { daily_gmv: vec![1.0, 2.5], ..MerchantFeatures::default() };
        Merchant { merchant_id: "m-7".into(), features: Some(features), as_of: as_of.into() }
    }

    #[test]
    fn a_row_is_kept_without_its_id_and_with_its_date() {
        for (as_of, kept) in [("", "2026-04-30"), ("2025-01-31", "2025-01-31")] {
            let copy = without_id(&merchant(as_of).encode_to_vec(), TODAY).unwrap();
            let wanted = Merchant { merchant_id: String::new(), as_of: kept.into(), ..merchant("") };
            assert_eq!(Merchant::decode(copy), Ok(wanted));
        }
        assert_eq!(without_id(&[0x0a, 0x05], TODAY), None);
    }

    #[test]
    fn a_row_that_was_written_as_json_is_the_same() {
        let forms = JsonForms::new().unwrap();
        let copy = without_id(&merchant("").encode_to_vec(), TODAY).unwrap();
        let line = forms.to_json(Task::MerchantGmv, &copy).unwrap();
        assert_eq!(line, r#"{"features":{"daily_gmv":[1.0,2.5]},"as_of":"2026-04-30"}"#);
        let again = forms.of_json(Task::MerchantGmv, &line).unwrap();
        assert_eq!(Merchant::decode(again), Merchant::decode(copy));
        assert_eq!(forms.of_json(Task::MerchantGmv, r#"{"nothing": 1}"#), None);
        assert_eq!(forms.to_json(Task::Tensors, b""), None);
    }

    #[test]
    fn rows_are_encoded_by_the_version_and_refused_by_it() {
        let (forms, version) = (JsonForms::new().unwrap(), fixture::version("merchant_gmv", 1));
        let mut rows = version.encoder.empty_rows(2);
        let mut wrong = merchant("");
        wrong.features = None;
        for (merchant, taken) in [(merchant(""), true), (wrong, false), (merchant("yesterday"), false)] {
            assert_eq!(RowFrames::encode(&forms, &merchant.encode_to_vec(), TODAY, &version, &mut rows), taken);
        }
        assert!(!RowFrames::encode(&forms, &[0x0a, 0x05], TODAY, &version, &mut rows));
        assert_eq!(rows.len(), 1);
    }
}
