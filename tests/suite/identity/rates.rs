//! Rows in a second: who is refused, and who waits.

#![cfg(feature = "torch")]

use super::*;

/// Rows of one identity over its rate are refused, with when to come again; another's are not.
#[tokio::test]
async fn rows_over_an_identity_s_rate_are_refused_and_others_are_not() {
    use crate::common::{
        rows::{forecasts_of, merchants, portraits_of, users},
        server::TestServer,
    };
    use souk::api::proto::v1::{
        merchant_gmv_service_client::MerchantGmvServiceClient, user_portrait_service_client::UserPortraitServiceClient,
    };
    use tonic_types::StatusExt as _;

    let folder = secrets();
    let bounded = identities().replacen("roles = [\"score\"]\n", "roles = [\"score\"]\nrows_per_second = 1\n", 1);
    write(folder.path(), &bounded);
    let server = launch(&folder).serving().await;
    let client = |server: &TestServer, holder: &'static str| {
        let url = server.url();
        async move {
            let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
            MerchantGmvServiceClient::new(shown(channel, holder))
        }
    };
    let mut scorer = client(&server, "scorer").await;
    // A quarter of an hour's worth, for which all that follows has to wait.
    scorer.predict_gmv(forecasts_of(merchants(1000))).await.unwrap();
    let refused = scorer.predict_gmv(forecasts_of(merchants(1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("1 a second"), "{refused:?}");
    assert!(refused.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::from_secs(1));
    client(&server, "gmv-only").await.predict_gmv(forecasts_of(merchants(100))).await.unwrap();

    let mut portraits = UserPortraitServiceClient::new(shown(server.channel().await, "scorer"));
    let refused = portraits.get_portraits(portraits_of(users(1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let (_, metrics) = server.get_with("/metrics", &format!("Authorization: Bearer {TOKEN}observer")).await;
    assert!(metrics.contains(r#"souk_shed_rows_total{model="merchant_gmv",reason="rate"} 1"#), "{metrics}");
    let list = async |holder| {
        let mut client = ModelServiceClient::new(shown(server.admin_channel().await, holder));
        let noted = client.list_slow_requests(ListSlowRequestsRequest::default()).await.unwrap().into_inner();
        noted.refused.into_iter().map(|request| (request.model, request.reason)).collect::<Vec<_>>()
    };
    let refused = |model: &str, reason: &str| (model.to_owned(), reason.to_owned());
    let all = list("observer").await;
    assert!(
        all.contains(&refused("merchant_gmv", "rate")) && all.contains(&refused("user_portrait", "rate")),
        "{all:?}"
    );
    assert_eq!(list("gmv-only").await, [refused("merchant_gmv", "rate")]);
}

/// A stream that wants more than its identity's rate has it wait, and leaves room to its unary calls.
#[tokio::test]
async fn a_stream_waits_for_its_identity_s_rate_and_locks_out_nobody() {
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::common::rows::{forecasts_of, merchants};
    use souk::api::proto::v1::merchant_gmv_service_client::MerchantGmvServiceClient;

    let folder = secrets();
    let bounded = identities().replacen("roles = [\"score\"]\n", "roles = [\"score\"]\nrows_per_second = 200\n", 1);
    write(folder.path(), &bounded);
    let server = launch(&folder).serving().await;
    let mut client = MerchantGmvServiceClient::new(shown(server.channel().await, "scorer"));
    let messages = tokio_stream::iter((0..4).map(|_| forecasts_of(merchants(300))));
    let replies = client.clone().stream_gmv(messages).await.unwrap().into_inner();
    let done = AtomicBool::new(false);
    let stream = async {
        let replies: Vec<_> = replies.collect().await;
        done.store(true, Ordering::Relaxed);
        replies.into_iter().map(|reply| reply.unwrap().results.len()).collect::<Vec<_>>()
    };
    let unary = async {
        let mut beside = 0;
        while !done.load(Ordering::Relaxed) {
            client.predict_gmv(forecasts_of(merchants(1))).await.unwrap();
            beside += 1;
            sleep(Duration::from_millis(50)).await;
        }
        beside
    };
    let (answered, beside) = timeout(PATIENCE, async { tokio::join!(stream, unary) }).await.unwrap();
    assert!(answered == [300; 4] && beside > 5, "{answered:?} {beside}");
}

/// A request that waits for its rate holds its bytes in the queue, survives a new token of its
/// caller, lets his other calls pass, and is let go when the server drains.
#[tokio::test]
async fn a_patient_request_waits_for_its_rate_until_the_server_drains() {
    use crate::common::{server::empty_root, tensors};
    use souk::api::proto::inference::{
        InferParameter, ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
        infer_parameter::ParameterChoice, model_infer_request::InferInputTensor,
    };

    let (folder, (_models, root)) = (secrets(), empty_root());
    tensors::write_all(&root);
    let bounded = identities().replacen("roles = [\"score\"]\n", "roles = [\"score\"]\nrows_per_second = 1\n", 1);
    write(folder.path(), &bounded);
    let server = launch(&folder).set("models.root", root.display()).set("server.drain_timeout", "10m").serving().await;
    let client = GrpcInferenceServiceClient::new(shown(server.channel().await, "scorer"));
    let ask = |rows: u16, priority: i64| {
        let (name, datatype, shape) = ("x".to_owned(), "FP32".to_owned(), vec![i64::from(rows), 3]);
        let input = InferInputTensor { name, datatype, shape, ..Default::default() };
        let priority = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(priority)) };
        let request = ModelInferRequest {
            model_name: "halves".into(),
            parameters: [("priority".to_owned(), priority)].into(),
            inputs: vec![input],
            raw_input_contents: vec![vec![0; usize::from(rows) * 12]],
            ..Default::default()
        };
        let mut client = client.clone();
        async move { client.model_infer(request).await }
    };
    let mut patient = tokio::spawn(ask(1000, 2));
    let waits = async {
        let observer = format!("Authorization: Bearer {TOKEN}observer");
        let held = |metrics: &str| {
            let found = metrics.lines().find_map(|line| line.strip_prefix("souk_queue_bytes "));
            found.is_some_and(|bytes| bytes.parse::<f64>().unwrap() >= 12_000.0)
        };
        while !held(&server.get_with("/metrics", &observer).await.1) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        waits = timeout(PATIENCE, waits) => waits.unwrap(),
        answered = &mut patient => panic!("{answered:?}"),
    }
    fs::write(folder.path().join("scorer.next"), "the next token of the scorer").unwrap();
    write(folder.path(), &bounded.replace("\"scorer.token\"", "[\"scorer.token\", \"scorer.next\"]"));
    server.logs("identities replaced").await;
    let beside = async {
        // A row that was just saved for the other may leave none for a moment.
        while let Err(refused) = ask(1, 0).await {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, beside).await.unwrap();
    assert!(!patient.is_finished());
    server.terminate();
    let refused = timeout(PATIENCE, patient).await.unwrap().unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
}
