//! What the two questions answer.

use souk::api::proto::v1::{
    GmvForecast, GmvResult, PredictGmvRequest, RowError, gmv_result::Outcome,
    portrait_result::Outcome as PortraitOutcome,
};
use tonic::codec::CompressionEncoding;

use super::common::{
    models,
    rows::{featureless, forecasts_of, golden_merchants, merchants, not_a_number, portraits_of, users},
    scrape::value,
    server::Launch,
};

fn forecast(result: &GmvResult) -> &GmvForecast {
    match &result.outcome {
        Some(Outcome::Forecast(forecast)) => forecast,
        other => panic!("{}: {other:?}", result.merchant_id),
    }
}

fn row_error(result: &GmvResult) -> &RowError {
    match &result.outcome {
        Some(Outcome::Error(error)) => error,
        other => panic!("{}: {other:?}", result.merchant_id),
    }
}

#[tokio::test]
async fn a_forecast_has_a_mean_a_probability_and_ascending_quantiles() {
    let server = Launch::new().serving().await;
    let reply = server.gmv().await.predict_gmv(forecasts_of(merchants(100))).await.unwrap().into_inner();
    for result in &reply.results {
        let forecast = forecast(result);
        assert!(forecast.expected_gmv >= 0.0 && forecast.expected_gmv.is_finite(), "{forecast:?}");
        assert!((0.0..=1.0).contains(&forecast.active_probability), "{forecast:?}");
        assert_eq!((forecast.currency.as_str(), forecast.horizon_days), ("CNY", 28));
        let probabilities: Vec<f64> = forecast.quantiles.iter().map(|quantile| quantile.probability).collect();
        assert_eq!(probabilities, [0.1, 0.5, 0.9]);
        assert!(forecast.quantiles.is_sorted_by(|one, next| one.gmv <= next.gmv), "{forecast:?}");
    }
}

#[tokio::test]
async fn requested_quantiles_come_back_in_ascending_order() {
    let server = Launch::new().serving().await;
    let request = PredictGmvRequest { quantiles: vec![0.99, 0.25, 0.5, 0.01], ..forecasts_of(merchants(3)) };
    let reply = server.gmv().await.predict_gmv(request).await.unwrap().into_inner();
    for result in &reply.results {
        let quantiles = &forecast(result).quantiles;
        let probabilities: Vec<f64> = quantiles.iter().map(|quantile| quantile.probability).collect();
        assert_eq!(probabilities, [0.01, 0.25, 0.5, 0.99]);
        assert!(quantiles.is_sorted_by(|one, next| one.gmv <= next.gmv), "{quantiles:?}");
    }
}

#[tokio::test]
async fn exclusive_tags_sum_to_one_and_all_others_are_probabilities() {
    let server = Launch::new().serving().await;
    let reply = server.portraits().await.get_portraits(portraits_of(users(64))).await.unwrap().into_inner();
    assert_eq!(reply.results.len(), 64);
    let (mut exclusive, mut separate) = (0, 0);
    for result in &reply.results {
        let Some(PortraitOutcome::Portrait(portrait)) = &result.outcome else { panic!("{result:?}") };
        for group in &portrait.groups {
            let sum: f64 = group.tags.iter().map(|tag| tag.probability).sum();
            assert!(group.tags.iter().all(|tag| (0.0..=1.0).contains(&tag.probability)), "{group:?}");
            // Summed in f64, of at most some dozen tags.
            assert!(!group.exclusive || (sum - 1.0).abs() < 1e-9, "{} sums to {sum}", group.name);
            exclusive += u32::from(group.exclusive);
            separate += u32::from(!group.exclusive);
        }
        assert!(portrait.embedding.iter().all(|value| value.is_finite()));
    }
    assert!(exclusive > 0 && separate > 0, "the model has {exclusive} exclusive groups and {separate} others");
}

/// Rows of a request, some of which are wrong, in the request's order.
#[tokio::test]
async fn results_keep_the_order_of_the_request() {
    let server = Launch::new().serving().await;
    let mut client = server.gmv().await;
    let one_by_one =
        client.predict_gmv(forecasts_of(merchants(golden_merchants().len()))).await.unwrap().into_inner().results;
    for count in [1, 257, 1024] {
        let mut rows = merchants(count);
        for index in (0..count).filter(|index| index % 7 == 3) {
            rows[index] = not_a_number(&format!("m-{index}"));
        }
        let reply = client.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
        assert_eq!(reply.results.len(), count);
        for (index, result) in reply.results.iter().enumerate() {
            assert_eq!(result.merchant_id, format!("m-{index}"));
            if index % 7 == 3 {
                let path = format!("merchants[{index}].features.rating");
                assert_eq!(row_error(result).violations[0].field, path);
            } else {
                let (found, alone) = (forecast(result), forecast(&one_by_one[index % one_by_one.len()]));
                let off = (found.expected_gmv / alone.expected_gmv - 1.0).abs();
                // float32 kernels differ a little between batch sizes.
                assert!(off < 1e-5, "row {index}: {found:?} for {alone:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_bad_row_gets_an_error_and_the_others_are_scored() {
    let server = Launch::new().serving().await;
    let right = merchants(1).remove(0);
    let rows = vec![not_a_number("nan"), featureless("nothing"), right];
    let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    let ids: Vec<&str> = reply.results.iter().map(|result| result.merchant_id.as_str()).collect();
    assert_eq!(ids, ["nan", "nothing", "m-0"]);

    let nan = row_error(&reply.results[0]);
    assert_eq!(nan.code, tonic::Code::InvalidArgument as i32);
    assert_eq!(nan.violations[0].field, "merchants[0].features.rating");
    assert!(nan.message.contains("merchants[0].features.rating"), "{}", nan.message);

    let nothing = row_error(&reply.results[1]);
    assert_eq!(nothing.code, tonic::Code::FailedPrecondition as i32);
    assert_eq!(nothing.violations[0].field, "merchants[1].features.daily_gmv");
    assert!(nothing.message.contains("daily_gmv") && nothing.message.contains("version"), "{}", nothing.message);

    assert!(forecast(&reply.results[2]).expected_gmv >= 0.0);
    assert!(reply.served_by.is_some() && reply.timing.is_some());
}

#[tokio::test]
async fn what_was_left_out_is_named() {
    let server = Launch::new().serving().await;
    let mut rows = merchants(1);
    rows[0].as_of.clear();
    let features = rows[0].features.as_mut().unwrap();
    (features.rating, features.city) = (None, Some(String::new()));
    let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    let defaulted = &reply.results[0].defaulted_features;
    for name in ["as_of", "rating", "city"] {
        assert!(defaulted.iter().any(|found| found == name), "no {name} in {defaulted:?}");
    }
    assert!(!defaulted.iter().any(|found| found == "daily_gmv"), "{defaulted:?}");
    for (feature, rows) in [("rating", 1.0), ("city", 1.0), ("daily_gmv", 0.0)] {
        let counted = format!(r#"souk_features_defaulted_total{{feature="{feature}",model="merchant_gmv"}}"#);
        assert_eq!(value(&server, &counted).await, Some(rows), "{feature}");
    }
}

#[tokio::test]
async fn every_reply_says_who_answered_and_where_the_time_went() {
    let server = Launch::new().serving().await;
    let version = models::newest("merchant_gmv");
    let digest = models::digest(&version.manifest().unwrap());
    for (rows, scored) in [(merchants(5), 5), (vec![featureless("none is scored")], 0)] {
        let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
        let (by, timing) = (reply.served_by.unwrap(), reply.timing.unwrap());
        assert_eq!((by.model.as_str(), by.version), ("merchant_gmv", version.version));
        assert_eq!((by.label.as_str(), &by.digest), ("stable", &digest));
        assert_eq!(timing.batch_rows, scored);
        let compute = timing.compute.unwrap();
        assert_eq!(compute.seconds > 0 || compute.nanos > 0, scored > 0, "{compute:?}");
        assert!(timing.queue.is_some());
    }
}

#[tokio::test]
async fn a_version_is_found_by_number_and_by_label() {
    let server = Launch::new().serving().await;
    let number = models::newest("user_portrait").version;
    for wanted in [String::new(), number.to_string(), "stable".into()] {
        let mut request = portraits_of(users(2));
        request.version.clone_from(&wanted);
        let reply = server.portraits().await.get_portraits(request).await.unwrap().into_inner();
        assert_eq!(reply.served_by.unwrap().version, number, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_compressed_request_is_accepted_and_answered_alike() {
    let server = Launch::new().serving().await;
    let plain = server.gmv().await.predict_gmv(forecasts_of(merchants(50))).await.unwrap().into_inner();
    let mut client = server.gmv().await;
    client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let reply = client.predict_gmv(forecasts_of(merchants(50))).await.unwrap();
    assert_eq!(reply.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(reply.into_inner().results, plain.results);
}
