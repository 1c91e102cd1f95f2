//! The Open Inference Protocol without a model: a canned output for each row.

use souk::api::proto::inference::{
    InferParameter, ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, ModelStreamInferResponse, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
    ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    grpc_inference_service_server::GrpcInferenceService, infer_parameter::ParameterChoice,
    model_infer_response::InferOutputTensor,
};
use tokio_stream::Empty;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// The output of a row.
const CANNED: f32 = 0.123_456;

pub(super) struct Infer;

fn nobody<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("nothing compares it"))
}

fn canned(request: ModelInferRequest) -> ModelInferResponse {
    let rows = request.inputs.first().and_then(|input| input.shape.first()).copied().unwrap_or_default();
    let raw = CANNED.to_le_bytes().repeat(usize::try_from(rows).unwrap_or_default());
    let text = |text: &str| InferParameter { parameter_choice: Some(ParameterChoice::StringParam(text.to_owned())) };
    ModelInferResponse {
        model_name: request.model_name,
        model_version: "1".into(),
        id: request.id,
        parameters: [("label".into(), text("stable")), ("digest".into(), text(&"0".repeat(64)))].into(),
        outputs: vec![InferOutputTensor {
            name: "output".into(),
            datatype: "FP32".into(),
            shape: vec![rows, 1],
            ..InferOutputTensor::default()
        }],
        raw_output_contents: vec![raw],
    }
}

#[async_trait]
impl GrpcInferenceService for Infer {
    type ModelStreamInferStream = Empty<Result<ModelStreamInferResponse, Status>>;

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        Ok(Response::new(canned(request.into_inner())))
    }

    async fn model_stream_infer(
        &self,
        _: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        nobody()
    }

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        nobody()
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        nobody()
    }

    async fn model_ready(&self, _: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        nobody()
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        nobody()
    }

    async fn model_metadata(
        &self,
        _: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        nobody()
    }

    async fn model_config(&self, _: Request<ModelConfigRequest>) -> Result<Response<ModelConfigResponse>, Status> {
        nobody()
    }

    async fn model_statistics(
        &self,
        _: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        nobody()
    }

    async fn repository_index(
        &self,
        _: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        nobody()
    }

    async fn repository_model_load(
        &self,
        _: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        nobody()
    }

    async fn repository_model_unload(
        &self,
        _: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        nobody()
    }
}
