//! `inference.GRPCInferenceService`: any model by its tensors, for clients of the Open
//! Inference Protocol and of Triton.
//!
//! Both ports serve it: the data port answers rows, the admin port takes orders, and each
//! refuses the other's.

pub(super) mod codec;
mod datatype;
mod faults;
mod fill;
mod finite;
#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(feature = "archives"), allow(dead_code, unused_imports))] // What is fuzzed reads archives too.
pub(crate) mod fuzzing;
mod infer;
mod lookup;
mod metadata;
mod parameters;
mod pieces;
mod plan;
mod reading;
mod reply;
mod repository;
mod request;
mod statistics;
mod typed;

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming, async_trait};

use self::{
    codec::{Received, Reply, Streamed},
    generated::grpc_inference_service_server::GrpcInferenceService,
    infer::{Asked, infer},
    repository::Orders,
};
use super::{
    Drain,
    proto::inference::{
        ModelConfigRequest, ModelConfigResponse, ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest,
        ModelReadyResponse, ModelStatisticsRequest, ModelStatisticsResponse, RepositoryIndexRequest,
        RepositoryIndexResponse, RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
        RepositoryModelUnloadResponse, ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest,
        ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
    },
    scoring::{Call, Scoring, caller},
    sending::sending,
    stream::{Replies, in_order},
};
use crate::{
    identity::Caller,
    registry::{Keeper, Registry, is_ready},
    stack::Lane,
};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/oip/inference.rs"));
}

pub use generated::grpc_inference_service_server::GrpcInferenceServiceServer;

/// Answers the protocol's calls at one of the ports.
#[derive(Clone)]
pub struct InferenceEndpoint {
    registry: Arc<Registry>,
    drain: Drain,
    port: Port,
}

/// What a port may do.
#[derive(Clone)]
enum Port {
    Data { scoring: Scoring, admin_port: u16 },
    Admin(Keeper),
}

impl InferenceEndpoint {
    /// At the data port; the admin port's number is for who looks for it.
    pub fn data(scoring: Scoring, admin_port: u16) -> Self {
        let (registry, drain) = (Arc::clone(&scoring.registry), scoring.drain.clone());
        Self { registry, drain, port: Port::Data { scoring, admin_port } }
    }

    /// At the admin port.
    pub fn admin(registry: Arc<Registry>, keeper: Keeper, drain: Drain) -> Self {
        Self { registry, drain, port: Port::Admin(keeper) }
    }

    fn scoring(&self) -> Result<&Scoring, Status> {
        match &self.port {
            Port::Data { scoring, .. } => Ok(scoring),
            Port::Admin(_) => Err(Status::unimplemented("rows are answered at the data port (server.listen)")),
        }
    }

    fn orders<'o>(&'o self, caller: &'o Caller) -> Result<Orders<'o>, Status> {
        match &self.port {
            Port::Admin(keeper) => Ok(Orders { registry: &self.registry, keeper, drain: &self.drain, caller }),
            Port::Data { admin_port, .. } => Err(Status::permission_denied(format!(
                "versions are loaded and unloaded at the admin port (server.admin_listen, port {admin_port})"
            ))),
        }
    }
}

#[async_trait]
impl GrpcInferenceService for InferenceEndpoint {
    type ModelStreamInferStream = Replies<Streamed>;

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        let ready = is_ready(&self.registry.models()) && !self.drain.has_begun();
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        caller(request.extensions()).may_use(&request.get_ref().name)?;
        let ModelReadyRequest { name, version } = request.into_inner();
        let ready = self.registry.route(&name, &version).is_ok() && !self.drain.has_begun();
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(metadata::server()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        Ok(Response::new(metadata::model(&self.registry, request.get_ref(), &caller(request.extensions()))?))
    }

    async fn model_infer(&self, request: Request<Received>) -> Result<Response<Reply>, Status> {
        let scoring = self.scoring()?;
        let accepted = self.drain.accept()?;
        let call = Call::new(request.extensions(), Lane::Interactive);
        let asked = Asked { message: request.into_inner().0, call, streamed: false };
        Ok(sending(infer(scoring, &asked).await?, accepted))
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<Received>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let scoring = self.scoring()?.clone();
        let call = Call::new(request.extensions(), Lane::Bulk);
        let answer = move |message: Received, call| {
            let (scoring, asked) = (scoring.clone(), Asked { message: message.0, call, streamed: true });
            async move { Ok(infer::streamed(&scoring, &asked).await) }
        };
        Ok(Response::new(in_order(request.into_inner(), call, &self.drain, answer)?))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let config = Some(metadata::config(&self.registry, request.get_ref(), &caller(request.extensions()))?);
        Ok(Response::new(ModelConfigResponse { config }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let model_stats = statistics::statistics(&self.registry, request.get_ref(), &caller(request.extensions()))?;
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let models = repository::index(&self.registry, request.get_ref(), &caller(request.extensions()));
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let caller = caller(request.extensions());
        let RepositoryModelLoadRequest { model_name, parameters, .. } = request.into_inner();
        self.orders(&caller)?.load(&model_name, &parameters).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let caller = caller(request.extensions());
        let RepositoryModelUnloadRequest { model_name, parameters, .. } = request.into_inner();
        self.orders(&caller)?.unload(&model_name, &parameters).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }
}
