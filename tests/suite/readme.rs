//! The README's calls, as printed: its JSON, its endpoints, a server on defaults.

use std::fs;

use souk::api::{
    JsonForms,
    proto::v1::{GetPortraitsRequest, PredictGmvRequest, gmv_result, portrait_result},
};

use super::common::server::Launch;

/// The JSON of the grpcurl call of this method.
fn printed(method: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let end = format!("' localhost:50051 souk.v1.{method}\n");
    let before = readme.split(&end).next().filter(|before| before.len() < readme.len()).unwrap();
    before.rsplit("grpcurl -plaintext -d '").next().unwrap().to_owned()
}

#[tokio::test]
async fn the_call_for_a_forecast_answers_with_ascending_quantiles() {
    let request: PredictGmvRequest =
        JsonForms::new().unwrap().read("PredictGmvRequest", &printed("MerchantGmvService/PredictGmv")).unwrap();
    let server = Launch::new().serving().await;
    let reply = server.gmv().await.predict_gmv(request).await.unwrap().into_inner();
    let [result] = reply.results.as_slice() else { panic!("{reply:?}") };
    let Some(gmv_result::Outcome::Forecast(forecast)) = &result.outcome else { panic!("{result:?}") };
    assert_eq!(forecast.quantiles.len(), 3);
    assert!(forecast.quantiles.is_sorted_by(|one, next| one.gmv < next.gmv), "{forecast:?}");
}

#[tokio::test]
async fn the_call_for_a_portrait_answers_with_tags_that_sum_to_one() {
    let request: GetPortraitsRequest =
        JsonForms::new().unwrap().read("GetPortraitsRequest", &printed("UserPortraitService/GetPortraits")).unwrap();
    let server = Launch::new().serving().await;
    let reply = server.portraits().await.get_portraits(request).await.unwrap().into_inner();
    let [result] = reply.results.as_slice() else { panic!("{reply:?}") };
    let Some(portrait_result::Outcome::Portrait(portrait)) = &result.outcome else { panic!("{result:?}") };
    for group in portrait.groups.iter().filter(|group| group.exclusive) {
        let sum: f64 = group.tags.iter().map(|tag| tag.probability).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{group:?}");
    }
}

#[test]
fn the_table_of_settings_has_every_key_of_the_reference() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let readme = fs::read_to_string(format!("{folder}README.md")).unwrap();
    let reference = fs::read_to_string(format!("{folder}deploy/souk.reference.toml")).unwrap();
    let mut section = "";
    for line in reference.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) {
            assert!(readme.contains(&format!("`{section}.{key}`")), "{section}.{key} is not in the README");
        }
    }
}
