//! Requests that are refused: with which code, and in which words.

use std::time::{Duration, Instant};

use futures::stream;
use souk::api::proto::v1::{
    FeatureValue, Merchant, PredictGmvRequest, PredictGmvResponse, RowError, feature_value::Kind, gmv_result::Outcome,
    portrait_result::Outcome as PortraitOutcome,
};
use tonic::{Code, IntoRequest as _, Request, Status};
use tonic_types::StatusExt as _;

use super::common::{
    raw,
    rows::{forecasts_of, merchants, portraits_of, users},
    server::{Launch, TestServer},
};

async fn refused(server: &TestServer, request: PredictGmvRequest) -> Status {
    server.gmv().await.predict_gmv(request).await.unwrap_err()
}

/// The error of the request's only row.
async fn row_error(server: &TestServer, row: Merchant) -> RowError {
    let reply = server.gmv().await.predict_gmv(forecasts_of(vec![row])).await.unwrap().into_inner();
    match reply.results.into_iter().next().unwrap().outcome {
        Some(Outcome::Error(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The only field that the status names.
fn field(status: &Status) -> String {
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations[0].field.clone()
}

fn merchant() -> Merchant {
    merchants(1).remove(0)
}

/// A merchant with one more feature in `extra`.
fn with_extra(name: &str) -> Merchant {
    let mut merchant = merchant();
    let value = FeatureValue { kind: Some(Kind::Number(1.0)) };
    merchant.features.as_mut().unwrap().extra.insert(name.into(), value);
    merchant
}

/// 20 MB on the wire.
fn oversized() -> PredictGmvRequest {
    let mut merchant = merchant();
    merchant.features.as_mut().unwrap().daily_gmv = vec![1.0; 2_500_000];
    forecasts_of(vec![merchant])
}

#[tokio::test]
async fn no_rows_and_too_many_rows_are_refused_with_the_field() {
    let server = Launch::new().serving().await;
    for count in [0, 1025] {
        let status = refused(&server, forecasts_of(merchants(count))).await;
        assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "merchants"));
        assert!(status.message().contains(&count.to_string()) && status.message().contains("1024"), "{status:?}");

        let status = server.portraits().await.get_portraits(portraits_of(users(count))).await.unwrap_err();
        assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "users"));
    }
}

#[tokio::test]
async fn quantiles_that_are_no_probabilities_are_refused_by_their_place() {
    let server = Launch::new().serving().await;
    for wrong in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        let request = PredictGmvRequest { quantiles: vec![0.5, wrong], ..forecasts_of(merchants(1)) };
        let status = refused(&server, request).await;
        assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "quantiles[1]"));
    }
    let request = PredictGmvRequest { quantiles: vec![0.5; 101], ..forecasts_of(merchants(1)) };
    let status = refused(&server, request).await;
    assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "quantiles"));
}

#[tokio::test]
async fn an_unknown_version_or_label_is_not_found_and_says_what_there_is() {
    let server = Launch::new().serving().await;
    for wanted in ["999", "canary", "-1", "1.0"] {
        let mut request = forecasts_of(merchants(1));
        request.version = wanted.into();
        let status = refused(&server, request).await;
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        for text in [wanted, "merchant_gmv", "there is: version", "stable"] {
            assert!(status.message().contains(text), "no {text:?} in {status:?}");
        }
    }
}

#[tokio::test]
async fn a_feature_that_the_version_does_not_know_is_named() {
    let server = Launch::new().serving().await;
    let error = row_error(&server, with_extra("mood_of_the_owner")).await;
    assert_eq!(error.code, Code::FailedPrecondition as i32, "{error:?}");
    assert!(error.violations[0].field.starts_with("merchants[0].features.extra"), "{error:?}");
    assert!(error.message.contains("mood_of_the_owner") && error.message.contains("merchant_gmv"), "{error:?}");
}

#[tokio::test]
async fn a_typed_feature_in_extra_is_refused() {
    let server = Launch::new().serving().await;
    let error = row_error(&server, with_extra("rating")).await;
    assert_eq!(error.code, Code::InvalidArgument as i32, "{error:?}");
    assert!(error.message.contains("rating") && error.message.contains("typed field"), "{error:?}");
}

#[tokio::test]
async fn a_date_that_is_none_is_refused_by_its_path() {
    let server = Launch::new().serving().await;
    for wrong in ["yesterday", "2016-13-01", "2016-2-3", "20161002", "2016-10-02T00:00:00Z", "2016-02-30", " 2016-10-2"]
    {
        let error = row_error(&server, Merchant { as_of: wrong.into(), ..merchant() }).await;
        assert_eq!(error.code, Code::InvalidArgument as i32, "{error:?}");
        assert_eq!(error.violations[0].field, "merchants[0].as_of");
        assert!(error.message.contains(wrong), "{error:?}");
    }
}

#[tokio::test]
async fn an_id_that_is_a_payload_is_refused_by_its_path() {
    let server = Launch::new().serving().await;
    let error = row_error(&server, Merchant { merchant_id: "x".repeat(257), ..merchant() }).await;
    assert_eq!(error.violations[0].field, "merchants[0].merchant_id");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_row_is_said_at_once() {
    let server = Launch::new().serving().await;
    let mut merchant = with_extra("mood_of_the_owner");
    merchant.as_of = "never".into();
    let features = merchant.features.as_mut().unwrap();
    features.rating = Some(f64::INFINITY);
    features.daily_gmv = vec![1.0, f64::NAN];
    let error = row_error(&server, merchant).await;
    let fields: Vec<&str> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    for wanted in ["as_of", "features.rating", "features.daily_gmv[1]", "features.extra"] {
        let path = format!("merchants[0].{wanted}");
        assert!(fields.iter().any(|field| field.starts_with(&path)), "no {path} in {fields:?}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_with_both_sizes() {
    let server = Launch::new().serving().await;
    let unary = refused(&server, oversized()).await;
    let messages = stream::iter([oversized()]);
    let streamed = match server.gmv().await.stream_gmv(messages).await {
        Ok(replies) => replies.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    for status in [unary, streamed] {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        // What came, 20 MB of numbers and a little more, and the limit of 8 MiB.
        assert!(status.message().contains("2000") && status.message().contains("8388608"), "{status:?}");
    }
}

#[tokio::test]
async fn a_deadline_that_passed_is_answered_by_the_server_itself() {
    let server = Launch::new().serving().await;
    let mut client = raw::gmv(&server).await;
    for timeout in ["1n", "100u", "1m"] {
        let mut request = forecasts_of(merchants(1024)).into_request();
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let status = client.predict_gmv(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{timeout}: {status:?}");
    }
    client.predict_gmv(forecasts_of(merchants(1))).await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_a_stream_that_brings_nothing() {
    let server = Launch::new().serving().await;
    let mut request = Request::new(stream::pending());
    request.metadata_mut().insert("grpc-timeout", "300m".parse().unwrap());
    let begun = Instant::now();
    let status = match raw::gmv(&server).await.stream_gmv(request).await {
        Ok(replies) => replies.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_that_would_overfill_the_queue_is_refused_with_when_to_come_again() {
    let launch = Launch::new().set("batch.queue_rows", 1024).set("runtime.runners", 1);
    let server = launch.serving().await;
    let client = server.gmv().await;
    // Together sixteen times what fits. No request is larger than a batch: that
    // would wait for its place.
    let calls = (0..64).map(|_| {
        let (mut client, request) = (client.clone(), forecasts_of(merchants(256)));
        tokio::spawn(async move { client.predict_gmv(request).await })
    });
    let (mut answered, mut overloaded) = (0, Vec::new());
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => answered += 1,
            Err(status) => overloaded.push(status),
        }
    }
    assert!(answered > 0 && !overloaded.is_empty(), "{answered} answered, {} refused", overloaded.len());
    for status in overloaded {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    }
}

#[tokio::test]
async fn what_a_caller_sent_is_not_sent_back_at_length() {
    let server = Launch::new().serving().await;
    let request = PredictGmvRequest { version: "x".repeat(100_000), ..forecasts_of(merchants(1)) };
    let status = refused(&server, request).await;
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().len() < 300, "{status:?}");

    let error = row_error(&server, Merchant { as_of: "\u{1}".repeat(100_000), ..merchant() }).await;
    assert!(error.message.len() < 300, "{error:?}");
    let error = row_error(&server, with_extra(&"y".repeat(100_000))).await;
    assert!(error.message.len() < 600, "{error:?}");
}

#[tokio::test]
async fn a_small_message_of_very_many_rows_is_refused_before_it_is_decoded() {
    let server = Launch::new().serving().await;
    let status = refused(&server, forecasts_of(vec![Merchant::default(); 100_000])).await;
    assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "merchants"));
}

/// A request whose merchants are whatever bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct Bytewise {
    #[prost(bytes = "vec", repeated, tag = "1")]
    merchants: Vec<Vec<u8>>,
}

#[tokio::test]
async fn a_row_that_is_no_message_is_refused_by_its_place() {
    let server = Launch::new().serving().await;
    let good = prost::Message::encode_to_vec(&merchant());
    let channel = tonic::transport::Endpoint::from_shared(server.url()).unwrap().connect().await.unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/souk.v1.MerchantGmvService/PredictGmv");
    let codec = tonic_prost::ProstCodec::<Bytewise, PredictGmvResponse>::default();
    let request = Request::new(Bytewise { merchants: vec![good.clone(), good, b"no message".to_vec()] });
    let status = client.unary(request, path, codec).await.unwrap_err();
    assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "merchants[2]"));
}

#[tokio::test]
async fn a_user_with_very_many_events_is_refused_alone() {
    let server = Launch::new().serving().await;
    let mut rows = users(3);
    let features = rows[1].features.as_mut().unwrap();
    features.events = vec![features.events[0].clone(); 20_000];
    let reply = server.portraits().await.get_portraits(portraits_of(rows)).await.unwrap().into_inner();
    let errors: Vec<Option<&RowError>> = reply
        .results
        .iter()
        .map(|result| match &result.outcome {
            Some(PortraitOutcome::Error(error)) => Some(error),
            _ => None,
        })
        .collect();
    let [None, Some(error), None] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(error.violations.len(), 1);
    assert_eq!(error.violations[0].field, "users[1].features.events");
}
