//! What views read is what prost decodes.

use std::{collections::BTreeMap, fmt::Debug};

use proptest::prelude::*;
use prost::{
    Message,
    encoding::{self, WireType, encode_key, encode_varint},
};
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value as Dynamic};

use super::*;
use crate::api::{
    fuzzing::{same_as_prost, told, viewed},
    proto::{DESCRIPTORS, v1},
};

type Bytes = Vec<u8>;
type Merchant<'a> = EntityView<'a, MerchantFeatures<'a>>;
type User<'a> = EntityView<'a, UserFeatures<'a>>;

fn field(number: u32, wire_type: WireType, value: &[u8]) -> Bytes {
    let mut bytes = Bytes::new();
    encode_key(number, wire_type, &mut bytes);
    if wire_type == WireType::LengthDelimited {
        encode_varint(value.len() as u64, &mut bytes);
    }
    bytes.extend_from_slice(value);
    bytes
}

fn sub(number: u32, inner: BoxedStrategy<Bytes>) -> BoxedStrategy<Bytes> {
    inner.prop_map(move |inner| field(number, WireType::LengthDelimited, &inner)).boxed()
}

fn text(number: u32) -> BoxedStrategy<Bytes> {
    let text = prop_oneof![20 => ".{0,3}".prop_map(String::into_bytes), 1 => Just(vec![0xff])];
    sub(number, text.boxed())
}

fn double(number: u32) -> BoxedStrategy<Bytes> {
    any::<f64>().prop_map(move |value| field(number, WireType::SixtyFourBit, &value.to_le_bytes())).boxed()
}

fn integer(number: u32) -> BoxedStrategy<Bytes> {
    let encoded = |value| {
        let mut bytes = Bytes::new();
        encode_varint(value, &mut bytes);
        bytes
    };
    any::<u64>().prop_map(move |value| field(number, WireType::Varint, &encoded(value))).boxed()
}

/// Packed or not.
fn doubles(number: u32) -> BoxedStrategy<Bytes> {
    let packed = prop::collection::vec(any::<f64>(), 0..4)
        .prop_map(|values| values.into_iter().flat_map(f64::to_le_bytes).collect::<Bytes>());
    prop_oneof![double(number), sub(number, packed.boxed())].boxed()
}

/// Fields in any order and number, among them unknown ones.
fn message(fields: Vec<BoxedStrategy<Bytes>>) -> BoxedStrategy<Bytes> {
    let fixed32 = any::<[u8; 4]>().prop_map(|value| field(61, WireType::ThirtyTwoBit, &value));
    let group = integer(1)
        .prop_map(|inner| [field(62, WireType::StartGroup, &inner), field(62, WireType::EndGroup, &[])].concat());
    let unknown = prop_oneof![text(60), double(60), integer(60), fixed32, group].boxed();
    let known = prop::strategy::Union::new(fields);
    prop::collection::vec(prop_oneof![9 => known, 1 => unknown], 0..8).prop_map(|fields| fields.concat()).boxed()
}

fn extra() -> BoxedStrategy<Bytes> {
    let value = message(vec![double(1), text(2), sub(3, message(vec![doubles(1)])), sub(4, message(vec![text(1)]))]);
    let name = sub(1, prop_oneof![Just(b"a".to_vec()), Just(b"b".to_vec())].boxed());
    sub(100, message(vec![name, sub(2, value)]))
}

fn entity(features: Vec<BoxedStrategy<Bytes>>) -> BoxedStrategy<Bytes> {
    message(vec![text(1), sub(2, message(features)), text(3)])
}

fn merchant() -> BoxedStrategy<Bytes> {
    let categories = (1..=6).map(text);
    let numbers = (7..=15).chain(18..=24).map(double);
    let lists = [doubles(16), doubles(17), extra(), extra(), extra()];
    entity(categories.chain(numbers).chain(lists).collect())
}

fn user() -> BoxedStrategy<Bytes> {
    let event = (2..=6).chain([10]).map(text).chain((7..=9).map(double));
    let event = message(event.chain([sub(1, message(vec![integer(1), integer(2)]))]).collect());
    let events = (0..8).map(|_| sub(7, event.clone()));
    entity((1..=3).map(text).chain((4..=6).map(double)).chain(events).chain([extra()]).collect())
}

/// Some bytes of a message set, put in or taken out.
fn damaged(message: BoxedStrategy<Bytes>) -> BoxedStrategy<Bytes> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..3);
    let damaged = |(mut bytes, damage): (Bytes, Vec<(prop::sample::Index, u8, i32)>)| {
        for (place, byte, way) in damage {
            let place = place.index(bytes.len() + 1);
            match way {
                0 => bytes.insert(place, byte),
                1 if place < bytes.len() => bytes[place] = byte,
                _ if place < bytes.len() => drop(bytes.remove(place)),
                _ => {}
            }
        }
        bytes
    };
    (message, damage).prop_map(damaged).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn merchants_are_read_as_prost_reads_them(bytes in prop_oneof![merchant(), damaged(merchant())]) {
        same_as_prost::<v1::Merchant, MerchantFeatures<'_>>(&bytes, &mut Bytes::new());
    }

    #[test]
    fn users_are_read_as_prost_reads_them(bytes in prop_oneof![user(), damaged(user())]) {
        same_as_prost::<v1::User, UserFeatures<'_>>(&bytes, &mut Bytes::new());
    }

    #[test]
    fn any_bytes_are_read_or_refused_as_by_prost(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        same_as_prost::<v1::Merchant, MerchantFeatures<'_>>(&bytes, &mut Bytes::new());
        same_as_prost::<v1::User, UserFeatures<'_>>(&bytes, &mut Bytes::new());
    }

    #[test]
    fn nothing_is_left_of_the_row_before(first in merchant(), second in merchant()) {
        let mut entity = Merchant::default();
        let _ = entity.merge(&first);
        entity.clear();
        if entity.merge(&second).is_ok() {
            prop_assert_eq!(told(&entity), viewed::<MerchantFeatures<'_>>(&second).unwrap());
        }
    }

    #[test]
    fn nothing_is_left_of_the_user_before(first in user(), second in user()) {
        let mut entity = User::default();
        let _ = entity.merge(&first);
        entity.clear();
        if entity.merge(&second).is_ok() {
            prop_assert_eq!(told(&entity), viewed::<UserFeatures<'_>>(&second).unwrap());
        }
    }

    #[test]
    fn every_feature_of_a_merchant_is_told_under_its_name(bytes in merchant()) {
        if let Ok(message) = v1::Merchant::decode(bytes.as_slice()) {
            let bytes = message.encode_to_vec();
            let mut entity = Merchant::default();
            entity.merge(&bytes).unwrap();
            told_by_name(&entity, &reflected("Merchant", &bytes), [&message.merchant_id, &message.as_of]);
        }
    }

    #[test]
    fn every_feature_of_a_user_is_told_under_its_name(bytes in user()) {
        if let Ok(message) = v1::User::decode(bytes.as_slice()) {
            let bytes = message.encode_to_vec();
            let mut entity = User::default();
            entity.merge(&bytes).unwrap();
            told_by_name(&entity, &reflected("User", &bytes), [&message.user_id, &message.as_of]);
        }
    }
}

/// The features of an entity, read by the descriptor.
fn reflected(name: &str, bytes: &[u8]) -> DynamicMessage {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let message = pool.get_message_by_name(&format!("souk.v1.{name}")).unwrap();
    let entity = DynamicMessage::decode(message, bytes).unwrap();
    entity.get_field_by_name("features").unwrap().as_message().unwrap().clone()
}

fn told_by_name<'a, F: View<'a> + Row>(entity: &EntityView<'a, F>, features: &DynamicMessage, around: [&str; 2]) {
    assert_eq!([entity.id, entity.as_of], around);
    let (mut found, mut names) = (Vec::new(), Vec::new());
    entity.features.values(&mut found);
    for (field, found) in F::fields().iter().zip(found) {
        let wanted = match field.name.split_once('.') {
            Some((table, column)) => column_of(features, table, column),
            // An empty category is none.
            None => plain(features, field.name).into_iter().filter(|text| text != "\"\"").collect(),
        };
        assert_eq!(shown(found), wanted, "{}", field.name);
        names.push(field.name.split('.').next().unwrap());
    }
    let fields: Vec<String> = features.descriptor().fields().map(|field| field.name().to_owned()).collect();
    assert!(fields.iter().all(|name| name == "extra" || names.contains(&name.as_str())), "{fields:?}");
}

fn column_of(features: &DynamicMessage, table: &str, column: &str) -> Vec<String> {
    let events = features.get_field_by_name(table).unwrap();
    events.as_list().unwrap().iter().flat_map(|event| plain(event.as_message().unwrap(), column)).collect()
}

/// What a field holds, if it is set; NaN where a moment isn't.
fn plain(message: &DynamicMessage, field: &str) -> Vec<String> {
    let value = message.get_field_by_name(field).unwrap();
    let set = message.has_field_by_name(field);
    match &*value {
        Dynamic::Message(_) if !set => each(&[f64::NAN]),
        _ if !set && message.descriptor().get_field_by_name(field).unwrap().supports_presence() => Vec::new(),
        Dynamic::F64(number) => each(&[number]),
        Dynamic::String(text) => each(&[text]),
        Dynamic::List(values) => values.iter().map(|value| format!("{:?}", value.as_f64().unwrap())).collect(),
        Dynamic::Message(moment) => {
            let part = |name| moment.get_field_by_name(name).unwrap().into_owned();
            let (Dynamic::I64(seconds), Dynamic::I32(nanos)) = (part("seconds"), part("nanos")) else {
                panic!("{moment:?} is no moment")
            };
            each(&[seconds as f64 + f64::from(nanos) * 1e-9])
        }
        other => panic!("{other:?} is no feature"),
    }
}

fn each<T: Debug>(values: &[T]) -> Vec<String> {
    values.iter().map(|value| format!("{value:?}")).collect()
}

/// As [`plain`].
fn shown(value: Value<'_>) -> Vec<String> {
    match value {
        Value::Absent => Vec::new(),
        Value::Number(number) | Value::Time(number) => each(&[number]),
        Value::Category(text) => each(&[text]),
        Value::Numbers(numbers) | Value::Times(numbers) => each(numbers),
        Value::Categories(texts) => each(texts),
    }
}

/// A message of these fields, each so many times.
fn repeated(parts: &[(&[u8], usize)]) -> Bytes {
    parts.iter().flat_map(|(part, times)| part.repeat(*times)).collect()
}

fn features(bytes: &[u8]) -> Bytes {
    field(2, WireType::LengthDelimited, bytes)
}

#[test]
fn events_beyond_the_most_are_counted_and_not_kept() {
    let event = field(7, WireType::LengthDelimited, &[]);
    let bytes = features(&repeated(&[(&event, MOST_ELEMENTS + 5)]));
    let mut user = User::default();
    user.merge(&bytes).unwrap();
    let excess = Excess { field: "events", what: "elements", found: MOST_ELEMENTS + 5, most: MOST_ELEMENTS };
    assert_eq!(user.features.excess(), [excess]);
    assert_eq!(user.features.events.price.len(), MOST_ELEMENTS);
    user.clear();
    assert_eq!(user.features.excess(), []);
}

#[test]
fn features_and_categories_beyond_the_most_are_counted_and_not_kept() {
    let empty = field(100, WireType::LengthDelimited, &[]);
    let words = field(4, WireType::LengthDelimited, &field(1, WireType::LengthDelimited, &[]).repeat(50_000));
    let list = field(100, WireType::LengthDelimited, &field(2, WireType::LengthDelimited, &words));
    let bytes = features(&repeated(&[(&list, 6), (&empty, MOST_ELEMENTS)]));
    let mut merchant = Merchant::default();
    merchant.merge(&bytes).unwrap();
    let found: Vec<usize> = merchant.features.excess().iter().map(|excess| excess.found).collect();
    assert_eq!(found, [MOST_ELEMENTS + 6, 300_000]);
    assert_eq!(merchant.features.extra.entries.len(), MOST_ELEMENTS);
    assert_eq!(merchant.features.extra.categories.len(), MOST_CATEGORIES);
}

#[test]
fn the_last_value_of_a_name_is_told_last() {
    let mut bytes = Bytes::new();
    for number in [1.0, 2.0] {
        let value = v1::FeatureValue { kind: Some(v1::feature_value::Kind::Number(number)) };
        let extra = BTreeMap::from([("a".to_owned(), value)]);
        let features = v1::MerchantFeatures { extra, ..v1::MerchantFeatures::default() };
        encoding::message::encode(2, &features, &mut bytes);
    }
    let mut merchant = Merchant::default();
    merchant.merge(&bytes).unwrap();
    let told: Vec<_> = (0..).map_while(|index| merchant.features.extra(index)).collect();
    assert_eq!(told, [("a", Value::Number(1.0)), ("a", Value::Number(2.0))]);
}
