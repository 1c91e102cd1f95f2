//! The admin port: what it serves, and what it keeps from the data port.

use std::{collections::BTreeSet, time::Duration};

use souk::api::proto::v1::{ListModelsRequest, WatchModelsRequest, model_service_client::ModelServiceClient};
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::common::{
    program::{souk, stderr},
    server::Launch,
};

const MODELS: &str = "souk.v1.ModelService";

/// What reflection answers to one question.
async fn reflected(channel: Channel, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { message_request: Some(question), ..ServerReflectionRequest::default() };
    let mut client = ServerReflectionClient::new(channel);
    let mut replies = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    replies.next().await.unwrap().unwrap().message_response.unwrap()
}

async fn services(channel: Channel) -> BTreeSet<String> {
    match reflected(channel, MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|service| service.name).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_admin_port_serves_what_its_reflection_lists_and_nothing_else() {
    let server = Launch::new().listening().await;
    let services = services(server.admin_channel().await).await;
    let wanted =
        [MODELS, "inference.GRPCInferenceService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]
            .map(ToOwned::to_owned);
    assert_eq!(services, BTreeSet::from(wanted));
    let others = ["grpc.reflection.v1alpha.ServerReflection", ""].map(ToOwned::to_owned);
    let mut health = HealthClient::new(server.admin_channel().await);
    for service in services.into_iter().chain(others) {
        let request = HealthCheckRequest { service: service.clone() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status.as_str_name(), "SERVING", "{service:?}");
    }
}

#[tokio::test]
async fn the_data_port_knows_nothing_of_the_admin_service() {
    let server = Launch::new().listening().await;
    let refused = ModelServiceClient::new(server.channel().await).list_models(ListModelsRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(!services(server.channel().await).await.contains(MODELS));
    let symbol = MessageRequest::FileContainingSymbol(MODELS.into());
    let mut client = ServerReflectionClient::new(server.channel().await);
    let request = ServerReflectionRequest { message_request: Some(symbol), ..ServerReflectionRequest::default() };
    let mut replies = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let reply = replies.next().await.unwrap();
    let unknown = reply.is_err_and(|status| status.code() == Code::NotFound);
    assert!(unknown, "the data port describes {MODELS}");
}

#[tokio::test]
async fn who_watches_does_not_hold_the_drain() {
    let mut server = Launch::new().listening().await;
    let mut events = server.models().await.watch_models(WatchModelsRequest::default()).await.unwrap().into_inner();
    server.terminate();
    while events.message().await.unwrap().is_some() {}
    let status = server.exit(Duration::from_secs(20)).await;
    assert!(status.success(), "{status}\n{}", server.log());
}

#[tokio::test]
async fn the_command_line_says_where_no_admin_port_is() {
    let server = Launch::new().listening().await;
    let folder = tempfile::tempdir().unwrap();
    let data_port = souk(folder.path(), &["models", "list", "--addr", &server.url()]).output().unwrap();
    assert_eq!(data_port.status.code(), Some(1));
    assert!(stderr(&data_port).contains("is --addr the admin port"), "{}", stderr(&data_port));
    let admin_port = souk(folder.path(), &["models", "list", "--addr", &server.admin_url()]).output().unwrap();
    assert_eq!(admin_port.status.code(), Some(0), "{}", stderr(&admin_port));
    let nobody = souk(folder.path(), &["models", "list", "--addr", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("http://127.0.0.1:1: can't connect; is the server running?"));
}
