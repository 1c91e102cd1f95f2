//! Rows that people might send: the golden ones, whose answers are known.

use std::{collections::BTreeMap, fs};

use prost::Message;
use serde_json::Value;
use souk::api::{
    JsonForms,
    proto::v1::{GetPortraitsRequest, Merchant, MerchantFeatures, PredictGmvRequest, User},
};

use super::models;

/// A golden row: what is sent, and what training computed for it.
pub(crate) struct Golden<M> {
    pub(crate) row: M,
    pub(crate) outputs: BTreeMap<String, Vec<f64>>,
}

/// The golden rows of the merchants' model.
pub(crate) fn golden_merchants() -> Vec<Golden<Merchant>> {
    golden("merchant_gmv", "Merchant")
}

/// The golden rows of the users' model.
pub(crate) fn golden_users() -> Vec<Golden<User>> {
    golden("user_portrait", "User")
}

/// The lines of `golden.jsonl`.
pub(crate) fn golden_lines(model: &str) -> Vec<Value> {
    let text = fs::read_to_string(models::newest(model).path.join("golden.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn golden<M: Message + Default>(model: &str, message: &str) -> Vec<Golden<M>> {
    let forms = JsonForms::new().unwrap();
    let golden = |line: Value| Golden {
        row: forms.read(message, &line["row"].to_string()).unwrap(),
        outputs: serde_json::from_value(line["outputs"].clone()).unwrap(),
    };
    golden_lines(model).into_iter().map(golden).collect()
}

/// `count` merchants `m-0`, `m-1` …, the golden rows over and over.
pub(crate) fn merchants(count: usize) -> Vec<Merchant> {
    let golden = golden_merchants();
    let named = |(index, golden): (usize, &Golden<Merchant>)| Merchant {
        merchant_id: format!("m-{index}"),
        ..golden.row.clone()
    };
    golden.iter().cycle().take(count).enumerate().map(named).collect()
}

/// `count` users `u-0`, `u-1` …, the golden rows over and over.
pub(crate) fn users(count: usize) -> Vec<User> {
    let golden = golden_users();
    let named = |(index, golden): (usize, &Golden<User>)| User { user_id: format!("u-{index}"), ..golden.row.clone() };
    golden.iter().cycle().take(count).enumerate().map(named).collect()
}

/// A merchant with a rating that is no number.
pub(crate) fn not_a_number(id: &str) -> Merchant {
    let mut merchant = merchants(1).remove(0);
    merchant.merchant_id = id.into();
    merchant.features.as_mut().unwrap().rating = Some(f64::NAN);
    merchant
}

/// A merchant without any feature, and so without those that are required.
pub(crate) fn featureless(id: &str) -> Merchant {
    Merchant { merchant_id: id.into(), features: Some(MerchantFeatures::default()), as_of: "2016-10-02".into() }
}

/// A request for the stable version's forecasts.
pub(crate) fn forecasts_of(merchants: Vec<Merchant>) -> PredictGmvRequest {
    PredictGmvRequest { merchants, ..PredictGmvRequest::default() }
}

/// A request for the stable version's portraits.
pub(crate) fn portraits_of(users: Vec<User>) -> GetPortraitsRequest {
    GetPortraitsRequest { users, ..GetPortraitsRequest::default() }
}
