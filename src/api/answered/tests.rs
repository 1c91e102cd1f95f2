use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use tonic::Request;

use super::*;
use crate::{
    api::{
        GmvEndpoint, Scoring,
        frames::{MerchantGmvService as _, PredictGmvRequest},
        proto::v1::{Merchant, MerchantFeatures, PredictGmvResponse, gmv_result::Outcome},
    },
    fixture,
    registry::Traffic,
};

const SPLIT: [(&str, u64, f64); 3] = [("stable", 1, 50.0), ("canary", 2, 30.0), ("b", 3, 20.0)];

struct Server {
    endpoint: GmvEndpoint,
    traffic: Arc<Traffic>,
}

/// A server of one model with these arms, whose queue holds so many rows.
fn server(arms: &[(&str, u64, f64)], queue_rows: usize) -> Server {
    let model = fixture::with_arms("merchant_gmv", arms);
    let traffic = Arc::clone(model.traffic.as_ref().unwrap());
    Server { endpoint: GmvEndpoint::new(fixture::scoring("merchant_gmv", model, queue_rows)), traffic }
}

fn merchant(id: &str, daily_gmv: f64) -> Bytes {
    let features = MerchantFeatures { daily_gmv: vec![daily_gmv], ..MerchantFeatures::default() };
    Merchant { merchant_id: id.into(), features: Some(features), as_of: String::new() }.encode_to_vec().into()
}

impl Server {
    async fn predict(&self, merchants: Vec<Bytes>, version: &str) -> Result<PredictGmvResponse, tonic::Status> {
        let request = PredictGmvRequest { merchants, version: version.into(), quantiles: Vec::new() };
        let reply = self.endpoint.predict_gmv(Request::new(request)).await?.into_inner();
        Ok(PredictGmvResponse::decode(reply.to_bytes()).unwrap())
    }
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|id| format!("m-{id}")).collect()
}

#[tokio::test]
async fn each_row_is_answered_by_the_arm_of_its_entity_in_the_requests_order() {
    let server = server(&SPLIT, 1024);
    let ids = ids(60);
    let reply = server.predict(ids.iter().map(|id| merchant(id, 1.0)).collect(), "").await.unwrap();
    let first = reply.served_by.unwrap();
    assert_eq!(reply.results.len(), ids.len());
    let mut before = [0_u32; 4];
    for (id, result) in ids.iter().zip(&reply.results) {
        assert_eq!(&result.merchant_id, id);
        let wanted = server.traffic.of(id).unwrap();
        let by = result.served_by.as_ref().unwrap_or(&first);
        assert_eq!((by.version, by.label.as_str()), (wanted.version.manifest.version, &*wanted.label));
        assert_eq!(result.served_by.is_none(), by.version == first.version);
        // The engine answers σ = 1 and, as μ, the row's number in its pass of up to four.
        let Some(Outcome::Forecast(forecast)) = &result.outcome else { unreachable!("{result:?}") };
        let number = &mut before[usize::try_from(by.version).unwrap()];
        let expected = 0.5 * (f64::from(*number % 4) + 0.5).exp();
        assert!((forecast.expected_gmv / expected - 1.0).abs() < 1e-3, "{} {expected}", forecast.expected_gmv);
        *number += 1;
    }
    assert!(before.iter().skip(1).all(|rows| *rows > 4), "{before:?}");
    let timing = reply.timing.unwrap();
    assert_eq!(timing.batch_rows, 4);
}

#[tokio::test]
async fn the_same_entity_is_always_answered_by_the_same_version() {
    let server = server(&SPLIT, 1024);
    for id in ids(20) {
        let wanted = server.traffic.of(&id).unwrap().version.manifest.version;
        for others in [0, 7] {
            let mut merchants: Vec<Bytes> = vec![merchant(&id, 1.0)];
            merchants.extend(ids(others).iter().map(|id| merchant(id, 1.0)));
            let reply = server.predict(merchants, "").await.unwrap();
            assert_eq!(reply.served_by.unwrap().version, wanted);
        }
    }
}

#[tokio::test]
async fn a_request_that_names_a_version_is_answered_by_no_other() {
    let server = server(&SPLIT, 1024);
    for (wanted, number) in [("canary", 2), ("3", 3)] {
        let reply = server.predict(ids(30).iter().map(|id| merchant(id, 1.0)).collect(), wanted).await.unwrap();
        assert_eq!(reply.served_by.unwrap().version, number);
        assert!(reply.results.iter().all(|result| result.served_by.is_none()));
    }
}

#[tokio::test]
async fn a_fault_is_named_by_its_place_in_the_request_whoever_answers() {
    let server = server(&SPLIT, 1024);
    let mut merchants: Vec<Bytes> = ids(30).iter().map(|id| merchant(id, -1.0)).collect();
    let reply = server.predict(merchants.clone(), "").await.unwrap();
    for (place, result) in reply.results.iter().enumerate() {
        let Some(Outcome::Error(error)) = &result.outcome else { unreachable!("{result:?}") };
        assert_eq!(error.violations[0].field, format!("merchants[{place}].features.daily_gmv[0]"));
    }
    merchants[17] = Bytes::from_static(&[0x0a, 0x05]);
    let refused = server.predict(merchants, "").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().starts_with("merchants[17]: "), "{refused:?}");
}

#[tokio::test]
async fn what_one_version_has_no_time_for_is_refused_for_all() {
    let one = server(&[SPLIT[0], SPLIT[1]], 2);
    // As many as fit into the queue of each, but not of both.
    let of = |number: u64| {
        let version = |id: &String| one.traffic.of(id).unwrap().version.manifest.version;
        ids(100).into_iter().filter(move |id| version(id) == number).take(2).collect::<Vec<_>>()
    };
    let merchants: Vec<Bytes> = of(1).iter().chain(&of(2)).map(|id| merchant(id, 1.0)).collect();
    let refused = one.predict(merchants, "").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    // Those that were admitted left.
    assert!(one.predict(of(1).iter().map(|id| merchant(id, 1.0)).collect(), "").await.is_ok());
}

#[tokio::test]
async fn what_rows_left_out_is_counted_as_replies_name_it() {
    let (metrics, exposition) = Metrics::new().unwrap();
    let model = fixture::with_arms("merchant_gmv", &SPLIT);
    let traffic = Arc::clone(model.traffic.as_ref().unwrap());
    let scoring = Scoring { metrics, ..fixture::scoring("merchant_gmv", model, 1024) };
    let server = Server { endpoint: GmvEndpoint::new(scoring), traffic };
    let mut merchants: Vec<Bytes> = ids(60).iter().map(|id| merchant(id, 1.0)).collect();
    // One that no version can encode.
    merchants.push(merchant("m", f64::NAN));
    let mut named = BTreeMap::<String, u64>::new();
    for merchants in [&merchants[..20], &merchants[20..]] {
        let reply = server.predict(merchants.to_vec(), "").await.unwrap();
        for name in reply.results.into_iter().flat_map(|result| result.defaulted_features) {
            *named.entry(name).or_default() += 1;
        }
    }
    // Of the request, and no feature.
    assert_eq!(named.remove("as_of"), Some(60));
    assert!(!named.is_empty());
    let text = exposition.text().unwrap();
    let counted = text.lines().filter(|line| line.starts_with("souk_features_defaulted_total"));
    let counted: Vec<&str> = counted.filter(|line| !line.ends_with(" 0")).collect();
    let wanted = named.iter().map(|(feature, rows)| {
        format!(r#"souk_features_defaulted_total{{feature="{feature}",model="merchant_gmv"}} {rows}"#)
    });
    let wanted: Vec<_> = wanted.collect();
    assert!(counted.len() == wanted.len() && wanted.iter().all(|line| counted.contains(&line.as_str())), "{text}");
}
