//! Who may do what: every call of every service, by what somebody shows.

mod rates;
mod starting;
mod token;

use std::{fs, path::Path, time::Duration};

use http::{Request, Uri, uri::PathAndQuery};
use prost::Message as _;
use prost_types::FileDescriptorProto;
use souk::api::proto::v1::{
    GetModelRequest, ListModelsRequest, ListSlowRequestsRequest, LoadVersionRequest, WatchModelsRequest,
    model_service_client::ModelServiceClient,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;
use tonic::{
    Code, Status,
    body::Body,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::{Channel, ClientTlsConfig},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tower::Service as _;

use super::common::{
    certificates::Authority,
    program::{PATIENCE, souk, stderr, stdout},
    server::Launch,
};

/// Tokens are their holders' names with this in front.
const TOKEN: &str = "a token of ";

/// Who there is, with all of their roles.
const HOLDERS: [(&str, &[&str]); 6] = [
    ("scorer", &["score"]),
    ("observer", &["observe"]),
    ("publisher", &["publish"]),
    ("nobody-special", &[]),
    ("long-past", &["score", "observe", "publish"]),
    ("gmv-only", &["score", "observe", "publish"]),
];

fn identities() -> String {
    let identity = |(name, roles): &(&str, &[&str])| {
        let more = match *name {
            "long-past" => "expires = \"2020-01-01T00:00:00Z\"\n",
            "gmv-only" => "models = [\"merchant_gmv\"]\n",
            _ => "",
        };
        format!("[[identity]]\nname = \"{name}\"\ntoken_file = \"{name}.token\"\nroles = {roles:?}\n{more}")
    };
    HOLDERS.iter().map(identity).collect()
}

/// A folder with the identities' file and its tokens.
fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in HOLDERS {
        fs::write(folder.path().join(format!("{name}.token")), format!("{TOKEN}{name}\n")).unwrap();
    }
    write(folder.path(), &identities());
    folder
}

fn write(folder: &Path, identities: &str) {
    fs::write(folder.join("identities.toml"), identities).unwrap();
}

fn launch(folder: &TempDir) -> Launch {
    Launch::new().set("auth.file", folder.path().join("identities.toml").display())
}

/// A connection on which every call shows the token of this holder.
fn shown(
    channel: Channel,
    holder: &str,
) -> InterceptedService<Channel, impl FnMut(tonic::Request<()>) -> Result<tonic::Request<()>, Status> + Clone> {
    let token: MetadataValue<Ascii> = format!("Bearer {TOKEN}{holder}").parse().unwrap();
    InterceptedService::new(channel, move |mut request: tonic::Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    })
}

/// Every call of a port, as `/service/method`, that its reflection tells to who may ask.
async fn methods(channel: Channel) -> Vec<String> {
    let mut client = ServerReflectionClient::new(shown(channel, "publisher"));
    let mut ask = async |question| {
        let request = ServerReflectionRequest { message_request: Some(question), ..Default::default() };
        let mut replies = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        replies.next().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("no list of services");
    };
    let mut methods = Vec::new();
    for service in list.service.into_iter().map(|service| service.name) {
        let symbol = MessageRequest::FileContainingSymbol(service.clone());
        let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else { panic!("no file of {service}") };
        for file in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(file.as_slice()).unwrap();
            let package = file.package().to_owned();
            let of_service =
                |found: &&prost_types::ServiceDescriptorProto| format!("{package}.{}", found.name()) == service;
            for found in file.service.iter().filter(of_service) {
                methods.extend(found.method.iter().map(|method| format!("/{service}/{}", method.name())));
            }
        }
    }
    // Served, and in no list.
    methods.push("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo".into());
    methods
}

/// The code of a call without a message; `None` where it goes on.
async fn code(channel: &Channel, path: &str, authorization: Option<&str>) -> Option<Code> {
    let mut channel = channel.clone();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let mut request = Request::builder().method("POST").uri(Uri::from(path.parse::<PathAndQuery>().unwrap()));
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    // What of it is not refused at its head has a deadline; streams would wait for messages.
    let request = request.header("grpc-timeout", "20S").body(Body::empty()).unwrap();
    let response = channel.call(request).await.unwrap();
    Status::from_header_map(response.headers()).map(|status| status.code())
}

/// The roles that let somebody make a call; none: anybody who is known.
fn wanted(path: &str) -> &'static [&'static str] {
    let (service, method) = path[1..].split_once('/').unwrap();
    match (service, method) {
        ("souk.v1.MerchantGmvService" | "souk.v1.UserPortraitService", _) => &["score"],
        ("souk.v1.ModelService", "ListModels" | "GetModel" | "WatchModels" | "ListSlowRequests") => {
            &["observe", "publish"]
        }
        ("souk.v1.ModelService", _) => &["publish"],
        ("inference.GRPCInferenceService", "ModelInfer" | "ModelStreamInfer") => &["score"],
        ("inference.GRPCInferenceService", "RepositoryIndex" | "ModelStatistics") => &["observe", "publish"],
        ("inference.GRPCInferenceService", "RepositoryModelLoad" | "RepositoryModelUnload") => &["publish"],
        ("inference.GRPCInferenceService", _) => &["score", "observe", "publish"],
        ("grpc.health.v1.Health", _) => &[],
        (service, _) if service.starts_with("grpc.reflection.") => &[],
        _ => panic!("{path} is new: say here and in the server who may call it"),
    }
}

#[tokio::test]
async fn every_call_of_every_service_wants_a_token_and_the_right_role() {
    let folder = secrets();
    let server = launch(&folder).listening().await;
    let mut walked = 0;
    for channel in [server.channel().await, server.admin_channel().await] {
        for path in methods(channel.clone()).await {
            for nobody in [
                None,
                Some("Bearer not a token of anybody"),
                Some("Bearer "),
                Some("nonsense"),
                Some("Bearer a token of long-past"),
            ] {
                assert_eq!(code(&channel, &path, nobody).await, Some(Code::Unauthenticated), "{path} {nobody:?}");
            }
            let wanted = wanted(&path);
            for (holder, roles) in HOLDERS.iter().take(4) {
                let found = code(&channel, &path, Some(&format!("Bearer {TOKEN}{holder}"))).await;
                let may = wanted.is_empty() || roles.iter().any(|role| wanted.contains(role));
                let refused = found == Some(Code::PermissionDenied);
                assert_ne!(found, Some(Code::Unauthenticated), "{path} {holder}");
                assert!(refused != may, "{path} {holder}: {found:?}");
            }
            walked += 1;
        }
    }
    assert!(walked > 40, "only {walked} calls were found");
}

#[tokio::test]
async fn a_call_that_does_not_exist_is_closed_too() {
    let folder = secrets();
    let server = launch(&folder).listening().await;
    let channel = server.channel().await;
    for path in ["/souk.v1.ModelService/ListModels", "/x.Y/Z"] {
        assert_eq!(code(&channel, path, None).await, Some(Code::Unauthenticated));
        let publisher = code(&channel, path, Some("Bearer a token of publisher")).await;
        assert_eq!(publisher, Some(Code::Unimplemented), "{path}");
    }
}

#[tokio::test]
async fn health_is_open_where_the_settings_say_so() {
    let folder = secrets();
    let server = launch(&folder).set("auth.open_health", true).listening().await;
    for channel in [server.channel().await, server.admin_channel().await] {
        assert_ne!(code(&channel, "/grpc.health.v1.Health/Check", None).await, Some(Code::Unauthenticated));
        let other = code(&channel, "/inference.GRPCInferenceService/ServerLive", None).await;
        assert_eq!(other, Some(Code::Unauthenticated));
    }
}

#[tokio::test]
async fn only_probes_are_answered_over_http_without_a_token() {
    let folder = secrets();
    let server = launch(&folder).listening().await;
    assert_eq!(server.get("/livez").await, (200, "alive\n".into()));
    let (status, body) = server.get("/readyz").await;
    assert!([200, 503].contains(&status) && body.contains("\"ready\"") && body.contains("\"models\":[]"), "{body}");
    for path in ["/metrics", "/", "/page/state", "/page/history", "/page/page.js", "/nothing"] {
        let (head, body) = server.answer(path).await;
        assert!(head.starts_with("HTTP/1.1 401") && head.contains("www-authenticate: Bearer realm=\"souk\""), "{head}");
        assert!(!body.contains("souk_"), "{body}");
    }
    let status = async |holder: &str, path: &str| {
        let header = format!("Authorization: Bearer {TOKEN}{holder}");
        server.get_with(path, &header).await
    };
    assert_eq!(status("scorer", "/metrics").await.0, 403);
    for path in ["/metrics", "/", "/page/state"] {
        assert_eq!(status("gmv-only", path).await.0, 403, "{path} is of all models");
    }
    for holder in ["observer", "publisher"] {
        let (found, text) = status(holder, "/metrics").await;
        assert!(found == 200 && text.contains("souk_build_info"), "{text}");
        let (found, text) = status(holder, "/page/state").await;
        assert!(found == 200 && text.starts_with('{'), "{text}");
    }
    let told = async {
        while !status("observer", "/readyz").await.1.contains("merchant_gmv") {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, told).await.unwrap();
    // By which a browser asks people: `anyname:a token of observer`.
    let basic = "Authorization: Basic YW55bmFtZTphIHRva2VuIG9mIG9ic2VydmVy";
    assert_eq!(server.get_with("/metrics", basic).await.0, 200);
}

#[tokio::test]
async fn who_may_use_one_model_sees_and_orders_no_other() {
    let folder = secrets();
    let server = launch(&folder).listening().await;
    let admin = server.admin_channel().await;
    let mut client = ModelServiceClient::new(shown(admin.clone(), "gmv-only"));
    let found = async {
        loop {
            let models = client.list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
            if !models.is_empty() {
                return models;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let models = timeout(PATIENCE, found).await.unwrap();
    assert_eq!(models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), ["merchant_gmv"]);
    client.get_model(GetModelRequest { model: "merchant_gmv".into() }).await.unwrap();
    let watch = WatchModelsRequest { model: "user_portrait".into(), ..Default::default() };
    let load = |model: &str| LoadVersionRequest { model: model.into(), version: 99 };
    let slow = |model: &str| ListSlowRequestsRequest { model: model.into(), ..Default::default() };
    client.list_slow_requests(slow("merchant_gmv")).await.unwrap();
    let refused = [
        client.get_model(GetModelRequest { model: "user_portrait".into() }).await.unwrap_err(),
        client.get_model(GetModelRequest { model: "no_such_model".into() }).await.unwrap_err(),
        client.load_version(load("user_portrait")).await.unwrap_err(),
        client.watch_models(watch).await.unwrap_err(),
        client.list_slow_requests(slow("user_portrait")).await.unwrap_err(),
        client.list_slow_requests(slow("no_such_model")).await.unwrap_err(),
    ];
    for status in refused {
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    }
    assert_eq!(client.load_version(load("merchant_gmv")).await.unwrap_err().code(), Code::NotFound);
    let portraits = "/souk.v1.UserPortraitService/GetPortraits";
    let denied = code(&server.channel().await, portraits, Some("Bearer a token of gmv-only")).await;
    assert_eq!(denied, Some(Code::PermissionDenied));
}

#[tokio::test]
async fn who_is_withdrawn_is_refused_on_connections_that_are_open() {
    let folder = secrets();
    let server = launch(&folder).listening().await;
    let mut client = ModelServiceClient::new(shown(server.admin_channel().await, "observer"));
    client.list_models(ListModelsRequest {}).await.unwrap();
    // A file that can't be used changes nothing.
    write(folder.path(), "[[identity]]\nname = 7\n");
    let said = server.logs("the identities changed and can't be used").await;
    assert!(said["error"].as_str().unwrap().contains("line 2"), "{said}");
    client.list_models(ListModelsRequest {}).await.unwrap();
    write(
        folder.path(),
        &identities()
            .replace("name = \"observer\"\ntoken_file = \"observer", "name = \"other\"\ntoken_file = \"publisher"),
    );
    server.logs("the identities changed and can't be used").await;
    write(folder.path(), &identities().replace("observer.token", "scorer.new"));
    fs::write(folder.path().join("scorer.new"), "another token of the observer").unwrap();
    server.logs("identities replaced").await;
    let refused = client.list_models(ListModelsRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert!(!server.log().contains(TOKEN) && !server.log().contains("another token"), "{}", server.log());
}

/// A certificate is who somebody is: by its common name or a URI, as long as it holds.
#[tokio::test]
async fn certificates_are_identities() {
    let (folder, authority) = (secrets(), Authority::new("an authority"));
    let identities = r#"
        [[identity]]
        name = "anna"
        certificate = ["anna@souk", "spiffe://souk/anna"]
        roles = ["publish"]
    "#;
    write(folder.path(), identities);
    let (cert, key) = authority.server().write(folder.path(), "server");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let server = launch(&folder)
        .set("server.tls.cert", cert.display())
        .set("server.tls.key", key.display())
        .set("server.tls.client_ca", ca.display())
        .set("server.tls.client_auth", "optional")
        .tls(authority.believed())
        .listening()
        .await;
    let list = "/inference.GRPCInferenceService/RepositoryIndex";
    let by = |client: Option<super::common::certificates::Pair>| {
        let believed: ClientTlsConfig = authority.believed();
        let tls = match client {
            Some(pair) => believed.identity(pair.identity()),
            None => believed,
        };
        server.endpoint_of(&tls)
    };
    for known in [authority.client("anna@souk"), authority.workload("spiffe://souk/anna")] {
        let found = code(&by(Some(known)).connect().await.unwrap(), list, None).await;
        // It was read, and is no message.
        assert_eq!(found, Some(Code::Internal));
    }
    let stranger = Authority::new("another authority").client("anna@souk");
    for nobody in [None, Some(authority.client("bea@souk")), Some(authority.expired("anna@souk")), Some(stranger)] {
        let found = code(&by(nobody).connect().await.unwrap(), list, None).await;
        assert_eq!(found, Some(Code::Unauthenticated));
    }
}

/// The history says who it was, and not who he said.
#[cfg(feature = "torch")]
#[tokio::test]
async fn the_history_has_the_identity_s_name() {
    use souk::api::proto::v1::{SetTrafficRequest, TrafficLabel, TrafficPolicy};

    let (folder, root) = (secrets(), tempfile::tempdir().unwrap());
    super::common::marked::version(root.path(), 1);
    let server = launch(&folder).set("models.root", root.path().display()).serving().await;
    let mut client = ModelServiceClient::new(shown(server.admin_channel().await, "publisher"));
    let stable = TrafficLabel { label: "stable".into(), version: "1".into(), ..Default::default() };
    let policy = TrafficPolicy { labels: vec![stable], ..Default::default() };
    let request = SetTrafficRequest {
        model: "merchant_gmv".into(),
        policy: Some(policy),
        author: "somebody else".into(),
        ..Default::default()
    };
    client.set_traffic(request).await.unwrap();
    let history =
        client.get_model(GetModelRequest { model: "merchant_gmv".into() }).await.unwrap().into_inner().history;
    assert!(history.iter().any(|change| change.by == "publisher (127.0.0.1)"), "{history:?}");
}
