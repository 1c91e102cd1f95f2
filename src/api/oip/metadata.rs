//! What the server and its models are.

use super::{
    datatype,
    lookup::{known, version},
    plan::dimensions,
};
use crate::{
    api::proto::inference::{
        ModelConfig, ModelConfigRequest, ModelDynamicBatching, ModelInput, ModelMetadataRequest, ModelMetadataResponse,
        ModelOutput, ServerMetadataResponse, model_metadata_response::TensorMetadata,
    },
    error::ScoreError,
    identity::Caller,
    manifest::{Dim, Engine, InputSpec, OutputSpec},
    registry::Registry,
    rows::Dtype,
};

/// Extensions of the protocol by Triton's names.
const EXTENSIONS: [&str; 5] =
    ["model_repository", "model_configuration", "schedule_policy", "statistics", "parameters"];

pub(super) fn server() -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: "souk".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        extensions: EXTENSIONS.map(ToOwned::to_owned).into(),
    }
}

pub(super) fn model(
    registry: &Registry,
    asked: &ModelMetadataRequest,
    caller: &Caller,
) -> Result<ModelMetadataResponse, ScoreError> {
    let residents = known(registry, &asked.name, caller)?;
    let version = version(registry, (&asked.name, &asked.version), caller)?;
    let (manifest, of_rows) = (&version.manifest, version.manifest.has_rows());
    let inputs = manifest.inputs.iter().map(|spec| tensor(&spec.name, spec.dtype, &spec.shape, of_rows));
    let outputs = manifest.outputs.iter().map(|spec| tensor(&spec.name, spec.dtype, &spec.shape, of_rows));
    Ok(ModelMetadataResponse {
        name: asked.name.clone(),
        versions: residents.residents().map(|resident| resident.version.manifest.version.to_string()).collect(),
        platform: platform(manifest.engine).into(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
    })
}

fn tensor(name: &str, dtype: Dtype, shape: &[Dim], of_rows: bool) -> TensorMetadata {
    let (datatype, shape) = (datatype::name(dtype).to_owned(), dimensions(shape, of_rows));
    TensorMetadata { name: name.to_owned(), datatype, shape }
}

fn platform(engine: Engine) -> &'static str {
    match engine {
        Engine::Torchscript => "pytorch_libtorch",
        Engine::Deepfm => "souk_deepfm",
    }
}

pub(super) fn config(
    registry: &Registry,
    asked: &ModelConfigRequest,
    caller: &Caller,
) -> Result<ModelConfig, ScoreError> {
    let version = version(registry, (&asked.name, &asked.version), caller)?;
    let manifest = &version.manifest;
    let dims = |shape: &[Dim]| dimensions(shape, false);
    let input = |spec: &InputSpec| ModelInput {
        name: spec.name.clone(),
        data_type: datatype::of_config(spec.dtype).into(),
        dims: dims(&spec.shape),
    };
    let output = |spec: &OutputSpec| ModelOutput {
        name: spec.name.clone(),
        data_type: datatype::of_config(spec.dtype).into(),
        dims: dims(&spec.shape),
    };
    let most = if manifest.has_rows() { version.engine.max_batch_rows().get() } else { 0 };
    Ok(ModelConfig {
        name: asked.name.clone(),
        platform: platform(manifest.engine).into(),
        max_batch_size: i32::try_from(most).unwrap_or(i32::MAX),
        input: manifest.inputs.iter().map(input).collect(),
        output: manifest.outputs.iter().map(output).collect(),
        dynamic_batching: manifest.has_rows().then_some(ModelDynamicBatching {}),
    })
}
