//! The Open Inference Protocol, as clients of it see the server. What a request can be
//! wrong in is tested beside the code.

use std::path::Path;

use souk::api::proto::inference::{
    ModelConfigRequest, ModelInferRequest, ModelInferResponse, ModelMetadataRequest, ModelReadyRequest,
    ModelRepositoryParameter, ModelStatisticsRequest, RepositoryIndexRequest, RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest, ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
    grpc_inference_service_client::GrpcInferenceServiceClient, model_infer_request::InferInputTensor,
    model_repository_parameter::ParameterChoice,
};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use super::common::{
    models::Copy,
    rows::{forecasts_of, golden_lines, merchants},
    scrape::value,
    server::{Launch, TestServer, empty_root},
    tensors,
};

type Client = GrpcInferenceServiceClient<Channel>;

async fn client(server: &TestServer) -> Client {
    Client::new(server.channel().await)
}

async fn admin(server: &TestServer) -> Client {
    Client::new(server.admin_channel().await)
}

fn launch(root: &Path) -> Launch {
    Launch::new().set("models.root", root.display()).set("models.poll", "100ms")
}

/// A server of the three models.
async fn serving() -> (TempDir, TestServer) {
    let (folder, root) = empty_root();
    tensors::write_all(&root);
    (folder, launch(&root).serving().await)
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn of_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor { name: name.into(), datatype: datatype.into(), shape: shape.into(), ..Default::default() }
}

fn halves(id: &str, rows: &[[f32; 3]]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "halves".into(),
        id: id.into(),
        inputs: vec![input("x", "FP32", &[rows.len().try_into().unwrap(), 3])],
        raw_input_contents: vec![floats(&rows.concat())],
        ..Default::default()
    }
}

fn near(found: &[f32], wanted: &[f32]) -> bool {
    found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() <= 1e-6)
}

/// The floats of an output.
fn output(reply: &ModelInferResponse, name: &str) -> Vec<f32> {
    let place = reply.outputs.iter().position(|output| output.name == name).unwrap();
    of_bytes(&reply.raw_output_contents[place])
}

#[tokio::test]
async fn a_server_of_tensors_alone_is_ready_and_says_what_it_is() {
    let (_folder, server) = serving().await;
    let mut client = client(&server).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let about = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!((about.name.as_str(), about.version.as_str()), ("souk", env!("CARGO_PKG_VERSION")));
    for (name, version, wanted) in [
        ("halves", "", true),
        ("halves", "1", true),
        ("halves", "stable", true),
        ("halves", "2", false),
        ("x", "", false),
    ] {
        let asked = ModelReadyRequest { name: name.into(), version: version.into() };
        assert_eq!(client.model_ready(asked).await.unwrap().into_inner().ready, wanted, "{name} {version}");
    }
    assert_eq!(server.health_of("inference.GRPCInferenceService").await, "SERVING");
}

#[tokio::test]
async fn a_models_tensors_are_described_with_what_requests_choose() {
    let (_folder, server) = serving().await;
    let mut client = client(&server).await;
    let asked = ModelMetadataRequest { name: "tagger".into(), version: String::new() };
    let about = client.model_metadata(asked).await.unwrap().into_inner();
    assert_eq!((about.platform.as_str(), about.versions), ("pytorch_libtorch", vec!["1".to_owned()]));
    let tensors: Vec<_> = about
        .inputs
        .iter()
        .chain(&about.outputs)
        .map(|tensor| (&*tensor.name, &*tensor.datatype, &*tensor.shape))
        .collect();
    let wanted: [(&str, &str, &[i64]); 4] = [
        ("tokens", "INT64", &[-1, -1]),
        ("numbers", "FP32", &[-1, 3]),
        ("scores", "FP32", &[-1, 2]),
        ("count", "INT64", &[-1]),
    ];
    assert_eq!(tensors, wanted);
    let config = |name: &str| ModelConfigRequest { name: name.into(), version: String::new() };
    let whole = client.model_config(config("whole")).await.unwrap().into_inner().config.unwrap();
    assert_eq!(
        (whole.max_batch_size, whole.input[0].dims.as_slice(), whole.dynamic_batching),
        (0, [-1].as_slice(), None)
    );
    let halves = client.model_config(config("halves")).await.unwrap().into_inner().config.unwrap();
    assert_eq!((halves.max_batch_size, halves.dynamic_batching.is_some()), (64, true));
    let unknown = client.model_config(config("x")).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "no model x; there is: halves, tagger, whole"));
}

#[tokio::test]
async fn rows_of_every_model_are_answered() {
    let (_folder, server) = serving().await;
    let mut client = client(&server).await;
    let reply = client.model_infer(halves("a", &[[1.0, 2.0, 6.0], [0.5, 0.0, 1.0]])).await.unwrap().into_inner();
    assert_eq!((reply.id.as_str(), reply.model_version.as_str()), ("a", "1"));
    assert!(near(&output(&reply, "first"), &[1.0, 0.5]) && near(&output(&reply, "mean"), &[3.0, 0.5]), "{reply:?}");

    let whole = ModelInferRequest {
        model_name: "whole".into(),
        inputs: vec![input("x", "FP32", &[4])],
        raw_input_contents: vec![floats(&[1.0, 2.0, 3.0, 4.0])],
        ..Default::default()
    };
    let reply = client.model_infer(whole).await.unwrap().into_inner();
    assert_eq!(reply.outputs[0].shape, [4]);
    assert!(near(&output(&reply, "y"), &[0.1, 0.2, 0.3, 0.4]), "{reply:?}");
}

#[tokio::test]
async fn domain_models_answer_on_their_encoded_inputs() {
    let server = Launch::new().serving().await;
    let mut client = client(&server).await;
    let about = ModelMetadataRequest { name: "merchant_gmv".into(), version: String::new() };
    let about = client.model_metadata(about).await.unwrap().into_inner();
    for line in golden_lines("merchant_gmv").iter().take(8) {
        let values = |name: &str| line["inputs"][name].as_array().unwrap().iter();
        let raw = |name: &str, datatype: &str| match datatype {
            "INT64" => values(name).flat_map(|value| value.as_i64().unwrap().to_le_bytes()).collect::<Vec<u8>>(),
            _ => values(name).flat_map(|value| (value.as_f64().unwrap() as f32).to_le_bytes()).collect(),
        };
        let request = ModelInferRequest {
            model_name: "merchant_gmv".into(),
            inputs: about.inputs.iter().map(|spec| input(&spec.name, &spec.datatype, &[1, spec.shape[1]])).collect(),
            raw_input_contents: about.inputs.iter().map(|spec| raw(&spec.name, &spec.datatype)).collect(),
            ..Default::default()
        };
        let reply = client.model_infer(request).await.unwrap().into_inner();
        let name = &about.outputs[0].name;
        let wanted: Vec<f32> =
            line["outputs"][name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect();
        let found = output(&reply, name);
        // The manifest's own tolerance.
        let near = |(found, wanted): (&f32, &f32)| (found - wanted).abs() <= 2e-6 + 1e-5 * wanted.abs();
        assert!(found.len() == wanted.len() && found.iter().zip(&wanted).all(near), "{found:?} {wanted:?}");
    }
}

#[tokio::test]
async fn a_fault_names_its_tensor_in_the_details_and_is_counted() {
    let (_folder, server) = serving().await;
    let mut client = client(&server).await;
    let mut wrong = halves("", &[[1.0, 2.0, 3.0]]);
    wrong.inputs[0].shape = vec![1 << 40, 3];
    let refused = client.model_infer(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, r#"inputs["x"].shape"#);
    assert_eq!(violations[0].description, "has 1099511627776 rows, wanted 1 to 1024");
    let counted = r#"souk_requests_total{code="INVALID_ARGUMENT",method="inference.GRPCInferenceService/ModelInfer"}"#;
    assert_eq!(value(&server, counted).await, Some(1.0));
}

#[tokio::test]
async fn a_long_message_that_has_no_rows_is_refused_before_it_is_decoded() {
    let (_folder, server) = serving().await;
    let parameters = (0..20_000).map(|key| (key.to_string(), ModelRepositoryParameter::default())).collect();
    let order = RepositoryModelLoadRequest { model_name: "halves".into(), parameters, ..Default::default() };
    let found = prost::Message::encoded_len(&order);
    let refused = client(&server).await.repository_model_load(order).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let sizes = format!("found {found} bytes, the limit is: 65536 bytes");
    assert!(refused.message().ends_with(&sizes), "{refused:?}");
}

#[tokio::test]
async fn a_row_that_the_model_raises_on_fails_its_request_alone() {
    let (_folder, server) = serving().await;
    let good = async {
        for _ in 0..20 {
            let reply = client(&server).await.model_infer(halves("", &[[1.0, 2.0, 6.0]])).await.unwrap().into_inner();
            assert!(near(&output(&reply, "mean"), &[3.0]));
        }
    };
    let bad = async {
        let mut client = client(&server).await;
        for _ in 0..20 {
            let rows = [[1.0, 1.0, 1.0], [13.0, 0.0, 0.0], [2.0, 2.0, 2.0]];
            let failed = client.model_infer(halves("", &rows)).await.unwrap_err();
            assert_eq!(failed.code(), Code::Internal);
            let message = failed.message();
            assert!(message.starts_with("model halves version 1 failed: row 1: it raised: "), "{message}");
            assert!(message.contains("thirteen"), "{message}");
        }
    };
    tokio::join!(good, bad);
}

#[tokio::test]
async fn a_stream_has_a_reply_for_each_request_in_order_and_survives_faults() {
    let (_folder, server) = serving().await;
    let requests: Vec<_> = (0_u8..40)
        .map(|number| {
            let mut request = halves(&number.to_string(), &[[f32::from(number) / 4.0, 0.0, 0.0]]);
            if number % 10 == 3 {
                request.model_name = "nobody".into();
            }
            request
        })
        .collect();
    let mut client = client(&server).await;
    let mut replies = client.model_stream_infer(tokio_stream::iter(requests)).await.unwrap().into_inner();
    for number in 0_u8..40 {
        let reply = replies.next().await.unwrap().unwrap();
        let answer = reply.infer_response.unwrap();
        assert_eq!(answer.id, number.to_string());
        if number % 10 == 3 {
            assert_eq!(reply.error_message, "no model nobody; there is: halves, tagger, whole");
        } else {
            assert_eq!((reply.error_message.as_str(), output(&answer, "first")), ("", vec![f32::from(number) / 4.0]));
        }
    }
    assert!(replies.next().await.is_none());
}

#[tokio::test]
async fn statistics_count_requests_rows_and_passes_of_all_services() {
    let server = Launch::new().serving().await;
    let mut client = client(&server).await;
    server.gmv().await.predict_gmv(forecasts_of(merchants(5))).await.unwrap();
    let asked = ModelStatisticsRequest { name: "merchant_gmv".into(), version: String::new() };
    let statistics = client.model_statistics(asked).await.unwrap().into_inner().model_stats;
    let [one] = statistics.as_slice() else { panic!("{statistics:?}") };
    assert_eq!((one.inference_count, one.execution_count), (5, 1));
    let stats = one.inference_stats.unwrap();
    assert_eq!(stats.success.unwrap().count, 1);
    assert!(stats.compute_infer.unwrap().ns > 0 && stats.success.unwrap().ns >= stats.compute_infer.unwrap().ns);
    assert!(one.last_inference > 0);
    let unknown = ModelStatisticsRequest { name: "merchant_gmv".into(), version: "77".into() };
    assert_eq!(client.model_statistics(unknown).await.unwrap_err().code(), Code::NotFound);
}

async fn index(client: &mut Client, ready: bool) -> Vec<(String, String, String)> {
    let asked = RepositoryIndexRequest { ready, ..Default::default() };
    let models = client.repository_index(asked).await.unwrap().into_inner().models;
    models.into_iter().map(|model| (model.name, model.version, model.state)).collect()
}

#[tokio::test]
async fn orders_are_taken_at_the_admin_port_alone() {
    let (_folder, root) = empty_root();
    tensors::halves(&root, 1);
    Copy::new("merchant_gmv", &root, 4).flip("model.pt");
    let policy = r#"{"format_version": 1, "models": {"halves": {"labels": {"stable": {"version": 1}}}}}"#;
    std::fs::write(root.join("policy.json"), policy).unwrap();
    let server = launch(&root).serving().await;
    let (mut data, mut admin) = (client(&server).await, admin(&server).await);
    let load = || RepositoryModelLoadRequest { model_name: "halves".into(), ..Default::default() };
    let unload = || RepositoryModelUnloadRequest { model_name: "halves".into(), ..Default::default() };
    let one = ("halves".to_owned(), "1".to_owned(), "READY".to_owned());

    let denied = data.repository_model_load(load()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains(&format!("server.admin_listen, port {}", server.admin.port())), "{denied:?}");
    assert_eq!(data.repository_model_unload(unload()).await.unwrap_err().code(), Code::PermissionDenied);
    let rows = admin.model_infer(halves("", &[[1.0; 3]])).await.unwrap_err();
    assert_eq!(rows.code(), Code::Unimplemented);

    tensors::halves(&root, 2);
    admin.repository_model_load(load()).await.unwrap();
    let two = ("halves".to_owned(), "2".to_owned(), "READY".to_owned());
    assert_eq!(index(&mut data, true).await, [two, one.clone()]);
    let rejected = ("merchant_gmv".to_owned(), "4".to_owned(), "UNAVAILABLE".to_owned());
    assert!(index(&mut admin, false).await.contains(&rejected));
    let reply = data.model_infer(halves("", &[[1.0; 3]])).await.unwrap().into_inner();
    assert_eq!(reply.model_version, "1", "loading does not choose who answers");

    admin.repository_model_unload(unload()).await.unwrap();
    assert_eq!(index(&mut data, true).await, [one]);
    let labelled = admin.repository_model_unload(unload()).await.unwrap_err();
    assert_eq!(labelled.code(), Code::FailedPrecondition);
    let version = |choice| ModelRepositoryParameter { parameter_choice: Some(choice) };
    let named =
        |choice| RepositoryModelLoadRequest { parameters: [("version".to_owned(), version(choice))].into(), ..load() };
    admin.repository_model_load(named(ParameterChoice::Int64Param(2))).await.unwrap();
    let missing = admin.repository_model_load(named(ParameterChoice::StringParam("9".into()))).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let config = RepositoryModelLoadRequest {
        parameters: [("config".to_owned(), version(ParameterChoice::StringParam("{}".into())))].into(),
        ..load()
    };
    assert_eq!(admin.repository_model_load(config).await.unwrap_err().code(), Code::InvalidArgument);
}

/// Runs a script of `tests/clients`, where there is a Python for it.
#[allow(clippy::disallowed_methods, reason = "a test is no program that could read it once")]
#[allow(clippy::print_stderr, reason = "a test that is skipped must say so")]
async fn python(script: &str, arguments: &[String]) {
    let Ok(python) = std::env::var("SOUK_PYTHON") else {
        eprintln!("skipped: SOUK_PYTHON names no Python with tests/clients/requirements.txt");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let ran = tokio::process::Command::new(python).arg(script).args(arguments).output().await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
}

#[tokio::test]
async fn tritonclient_works_unchanged() {
    let (_folder, root) = empty_root();
    tensors::write_all(&root);
    tensors::halves(&root, 2);
    let policy = r#"{"format_version": 1, "models": {"halves": {"labels": {"stable": {"version": 1}}}}}"#;
    std::fs::write(root.join("policy.json"), policy).unwrap();
    let server = launch(&root).serving().await;
    python("triton.py", &[server.grpc.to_string(), server.admin.to_string()]).await;
}

#[tokio::test]
async fn kserves_client_works_unchanged() {
    let (_folder, server) = serving().await;
    python("kserve_client.py", &[server.grpc.to_string()]).await;
}

#[tokio::test]
async fn the_readmes_client_works_as_printed() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let printed = readme.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let server = Launch::new().serving().await;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("client.py");
    std::fs::write(&script, printed.replace("localhost:50051", &server.grpc.to_string())).unwrap();
    python(script.to_str().unwrap(), &[]).await;
}
