//! Health, readiness and reflection: what a load balancer and a person see.

use std::{collections::BTreeSet, net::TcpListener, process::Output};

use tokio_stream::StreamExt as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::{v1, v1alpha};

use super::common::{
    models::Copy,
    program::{souk, stderr, stdout},
    server::{Launch, TestServer, empty_root},
};

const GMV: &str = "souk.v1.MerchantGmvService";
#[cfg(feature = "torch")]
const INFERENCE: &str = "inference.GRPCInferenceService";
#[cfg(feature = "torch")]
const PORTRAIT: &str = "souk.v1.UserPortraitService";

/// The services that reflection v1 lists.
async fn reflected(server: &TestServer) -> BTreeSet<String> {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { message_request, ..ServerReflectionRequest::default() };
    let mut client = ServerReflectionClient::new(server.channel().await);
    let mut replies = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    match replies.next().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The services that reflection v1alpha lists.
async fn reflected_alpha(server: &TestServer) -> BTreeSet<String> {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { message_request, ..ServerReflectionRequest::default() };
    let mut client = ServerReflectionClient::new(server.channel().await);
    let mut replies = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    match replies.next().await.unwrap().unwrap().message_response {
        Some(MessageResponse::ListServicesResponse(list)) => {
            list.service.into_iter().map(|service| service.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn every_service_that_reflection_lists_has_a_health_and_is_serving() {
    let server = Launch::new().serving().await;
    let mut services = reflected(&server).await;
    services.extend(reflected_alpha(&server).await);
    let reflection = ["v1", "v1alpha"].map(|version| format!("grpc.reflection.{version}.ServerReflection"));
    for service in [GMV, PORTRAIT, INFERENCE, "grpc.health.v1.Health", &reflection[0], &reflection[1]] {
        assert!(services.contains(service), "{service} is not in {services:?}");
    }
    for service in services.iter().map(String::as_str).chain([""]) {
        assert_eq!(server.health_of(service).await, "SERVING", "{service:?}");
    }
    let (status, body) = server.get("/readyz").await;
    assert_eq!((status, server.get("/livez").await.0), (200, 200), "{body}");
}

#[tokio::test]
async fn the_health_of_an_unknown_service_is_not_found() {
    let server = Launch::new().listening().await;
    let request = HealthCheckRequest { service: "souk.v1.NoService".into() };
    let status = server.health().await.check(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_broken_model_leaves_the_other_in_service_and_is_named() {
    let (_folder, root) = empty_root();
    Copy::new("merchant_gmv", &root, 1).flip("model.pt");
    Copy::new("user_portrait", &root, 1);
    let server = Launch::new().set("models.root", root.display()).serving().await;

    assert_eq!(server.health_of(GMV).await, "NOT_SERVING");
    assert_eq!(server.health_of(PORTRAIT).await, "SERVING");
    assert_eq!(server.health_of("").await, "SERVING");

    let rejected = server.logs("version rejected").await;
    assert_eq!(rejected["model"], "merchant_gmv");
    assert!(rejected["problem"].as_str().unwrap().contains("model.pt: sha256 is"), "{rejected}");
    let (status, body) = server.get("/readyz").await;
    assert_eq!(status, 200);
    assert!(body.contains("model.pt: sha256 is"), "{body}");

    let request = super::common::rows::forecasts_of(super::common::rows::merchants(1));
    let refused = server.gmv().await.predict_gmv(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert!(refused.message().contains("merchant_gmv") && refused.message().contains("rejected"), "{refused:?}");
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn where_the_newest_version_is_broken_the_one_before_answers() {
    let (_folder, root) = empty_root();
    Copy::new("merchant_gmv", &root, 9);
    Copy::new("merchant_gmv", &root, 10).flip("golden.jsonl");
    // Not there yet: without a manifest it is no version.
    Copy::new("merchant_gmv", &root, 11).remove("manifest.json");
    let server = Launch::new().set("models.root", root.display()).serving().await;
    let request = super::common::rows::forecasts_of(super::common::rows::merchants(1));
    let reply = server.gmv().await.predict_gmv(request).await.unwrap().into_inner();
    assert_eq!(reply.served_by.unwrap().version, 9);
    assert!(server.get("/readyz").await.1.contains("golden.jsonl: sha256 is"));
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_version_of_another_task_never_goes_live() {
    let (_folder, root) = empty_root();
    Copy::new("merchant_gmv", &root, 1);
    Copy::new("user_portrait", &root, 2).rename(&root, "merchant_gmv");
    let server = Launch::new().set("models.root", root.display()).serving().await;
    let request = super::common::rows::forecasts_of(super::common::rows::merchants(1));
    let reply = server.gmv().await.predict_gmv(request).await.unwrap().into_inner();
    assert_eq!(reply.served_by.unwrap().version, 1);
    assert!(server.get("/readyz").await.1.contains("task is user_portrait of model"));
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_model_that_can_not_be_listed_takes_no_other_from_its_users() {
    let (_folder, root) = empty_root();
    std::os::unix::fs::symlink("nowhere", root.join("merchant_gmv")).unwrap();
    Copy::new("user_portrait", &root, 1);
    std::os::unix::fs::symlink("nowhere", root.join("user_portrait/2")).unwrap();
    let server = Launch::new().set("models.root", root.display()).serving().await;
    assert_eq!(server.health_of(PORTRAIT).await, "SERVING");
    assert_eq!(server.health_of(GMV).await, "NOT_SERVING");
    let (_, body) = server.get("/readyz").await;
    assert!(body.contains("the model's folder can't be listed"), "{body}");
    assert!(body.contains("the version's folder can't be opened"), "{body}");
    let warned = server.logs("the model's folder was not read as a whole").await;
    assert_eq!(warned["model"], "merchant_gmv");
}

#[tokio::test]
async fn a_server_with_only_broken_models_is_not_serving_and_says_why() {
    let (_folder, root) = empty_root();
    Copy::new("merchant_gmv", &root, 1).flip("model.pt");
    let server = Launch::new().set("models.root", root.display()).listening().await;
    server.logs("all models are prepared").await;
    for service in ["", GMV, "grpc.health.v1.Health"] {
        assert_eq!(server.health_of(service).await, "NOT_SERVING", "{service:?}");
    }
    let (status, body) = server.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("model.pt: sha256 is"), "{body}");
    // Alive all the same: a restart would not help.
    assert_eq!(server.get("/livez").await.0, 200);
    assert!(reflected(&server).await.contains(GMV) && reflected_alpha(&server).await.contains(GMV));
}

/// `souk health` of the settings whose http port this is.
fn asked(listen: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("models")).unwrap();
    std::fs::write(folder.path().join("souk.toml"), format!("[server]\nhttp_listen = \"{listen}\"\n")).unwrap();
    souk(folder.path(), &[&["health"], more].concat()).output().unwrap()
}

/// It ended with this code, and said one line with these texts, or nothing where there are none.
fn assert_says(output: &Output, code: i32, texts: &[&str]) {
    let said = stderr(output);
    assert_eq!((output.status.code(), stdout(output).as_str()), (Some(code), ""), "{said}");
    assert_eq!(said.lines().count(), usize::from(!texts.is_empty()), "{said}");
    texts.iter().for_each(|text| assert!(said.contains(text), "no {text:?} in {said}"));
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn the_command_for_health_checks_is_silent_about_a_server_that_is_ready() {
    let server = Launch::new().serving().await;
    assert_says(&asked(&server.http.to_string(), &[]), 0, &[]);
    // Everywhere is here too.
    assert_says(&asked(&format!("0.0.0.0:{}", server.http.port()), &[]), 0, &[]);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", server.http);
    assert_says(&souk(folder.path(), &["health", "--addr", &url]).output().unwrap(), 0, &[]);
}

#[tokio::test]
async fn the_command_for_health_checks_tells_alive_from_ready() {
    let (_folder, root) = empty_root();
    let server = Launch::new().set("models.root", root.display()).listening().await;
    let listen = server.http.to_string();
    assert_says(&asked(&listen, &[]), 1, &[&listen, "/readyz", "503 Service Unavailable", "no version answers"]);
    assert_says(&asked(&listen, &["--live"]), 0, &[]);
}

#[test]
fn the_command_for_health_checks_says_where_nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap().to_string();
    // Connections wait in its queue, which nobody takes them out of.
    assert_says(&asked(&listen, &[]), 1, &[&listen, "no answer within 3 s"]);
    drop(listener);
    // Port 1 of this machine: nobody who has no privileges can take it meanwhile.
    assert_says(&asked("127.0.0.1:1", &[]), 1, &["127.0.0.1:1", "can't connect", "Connection refused"]);
}

#[test]
fn the_command_for_health_checks_refuses_settings_as_the_server_does() {
    assert_says(&asked("127.0.0.1:0", &[]), 2, &["server.http_listen = 127.0.0.1:0"]);
    let wrong = asked("everywhere", &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("server.http_listen"), "{}", stderr(&wrong));
    assert_says(&asked("127.0.0.1:1", &["--addr", "127.0.0.1:1"]), 2, &["--addr 127.0.0.1:1", "wanted a URL"]);
}

#[cfg(feature = "torch")]
#[tokio::test]
async fn a_watcher_sees_the_server_leave() {
    let mut server = Launch::new().serving().await;
    let mut health = server.health().await;
    let request = HealthCheckRequest { service: GMV.into() };
    let mut watched = health.watch(request).await.unwrap().into_inner();
    let first = watched.next().await.unwrap().unwrap();
    assert_eq!(first.status().as_str_name(), "SERVING");
    server.terminate();
    let second = watched.next().await.unwrap().unwrap();
    assert_eq!(second.status().as_str_name(), "NOT_SERVING");
    assert!(server.exit(std::time::Duration::from_secs(3)).await.success());
}

#[tokio::test]
async fn a_connection_over_the_bound_waits_until_another_leaves() {
    let server = Launch::new().set("server.max_connections", 2).listening().await;
    let (mut first, mut second) = (server.health().await, server.health().await);
    for client in [&mut first, &mut second] {
        client.check(HealthCheckRequest::default()).await.unwrap();
    }
    let mut third = server.health().await;
    let asked = third.check(HealthCheckRequest::default());
    tokio::pin!(asked);
    // Long enough for an answer, were one to come.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(500), &mut asked).await.is_err());
    // Probes have a port and a bound of their own.
    assert_eq!(server.get("/livez").await.0, 200);
    drop(first);
    asked.await.unwrap();
    second.check(HealthCheckRequest::default()).await.unwrap();
}
