//! `ModelService`: looks at the models and hands orders to the keeper.
//!
//! It decides nothing: what may be done, and what it takes, is the registry's.

mod comparisons;
mod models;
mod moments;
pub(super) mod policy;
mod slow;
mod told;
mod watch;

use std::sync::Arc;

use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use self::{
    comparisons::comparison,
    models::{model, version},
    moments::change,
    told::author,
    watch::{Wanted, Watchers},
};
pub(super) use watch::TooManyWatchers;

use super::{
    drain::Drain,
    proto::v1::{
        GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse, ListSlowRequestsRequest,
        ListSlowRequestsResponse, LoadVersionRequest, LoadVersionResponse, Model, ModelVersion, RollbackRequest,
        RollbackResponse, SetTrafficRequest, SetTrafficResponse, UnloadVersionRequest, UnloadVersionResponse,
        WatchModelsRequest, WatchModelsResponse, model_service_server::ModelService,
    },
    scoring::caller,
};
use crate::{
    identity::Caller,
    registry::{Events, Keeper, NewTraffic, OrderError, Registry},
    telemetry::Noted,
    trial::Trials,
};

/// What an [`AdminEndpoint`] looks at and gives orders to.
#[derive(Clone)]
pub struct Administered {
    /// Which versions there are.
    pub registry: Arc<Registry>,
    /// Takes orders.
    pub keeper: Keeper,
    /// What happens.
    pub events: Events,
    /// How versions differ.
    pub trials: Trials,
    /// What was slow, and what was refused.
    pub noted: Noted,
    /// Ends what waits.
    pub drain: Drain,
}

/// Answers `ModelService`.
pub struct AdminEndpoint {
    admin: Administered,
    watchers: Watchers,
}

impl AdminEndpoint {
    /// Nobody watches yet.
    pub fn new(admin: Administered) -> Self {
        Self { admin, watchers: Watchers::default() }
    }

    /// The model as it is now.
    fn model(&self, name: &str) -> Option<Model> {
        self.admin.registry.models().get(name).map(|found| model(name, found))
    }

    fn version(&self, name: &str, number: u64) -> Option<ModelVersion> {
        let models = self.admin.registry.models();
        let model = models.get(name)?;
        model.versions.get(&number).map(|standing| version(model, number, standing))
    }

    fn known(&self, name: &str, caller: &Caller) -> Result<Model, OrderError> {
        self.model(name).ok_or_else(|| {
            let models = self.admin.registry.models();
            let seen = models.keys().map(String::as_str).filter(|model| caller.sees(model));
            let available = seen.collect::<Vec<_>>().join(", ");
            OrderError::UnknownModel { model: crate::error::shown(name), available }
        })
    }
}

#[tonic::async_trait]
impl ModelService for AdminEndpoint {
    type WatchModelsStream = BoxStream<'static, Result<WatchModelsResponse, Status>>;

    async fn list_models(&self, request: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        let caller = caller(request.extensions());
        let models = self.admin.registry.models();
        let models =
            models.iter().filter(|(name, _)| caller.sees(name)).map(|(name, found)| model(name, found)).collect();
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Result<Response<GetModelResponse>, Status> {
        let caller = caller(request.extensions());
        let name = request.into_inner().model;
        caller.may_use(&name)?;
        let model = self.known(&name, &caller)?;
        let history = self.admin.drain.unless_begun(self.admin.keeper.history(&name)).await?;
        let history = history.iter().map(change).collect();
        let comparisons = self.admin.trials.comparisons(&name).iter().map(comparison).collect();
        Ok(Response::new(GetModelResponse { model: Some(model), history, comparisons }))
    }

    async fn load_version(
        &self,
        request: Request<LoadVersionRequest>,
    ) -> Result<Response<LoadVersionResponse>, Status> {
        caller(request.extensions()).may_use(&request.get_ref().model)?;
        let LoadVersionRequest { model, version } = request.into_inner();
        self.admin.drain.unless_begun(self.admin.keeper.load(&model, version)).await?;
        Ok(Response::new(LoadVersionResponse { version: self.version(&model, version) }))
    }

    async fn unload_version(
        &self,
        request: Request<UnloadVersionRequest>,
    ) -> Result<Response<UnloadVersionResponse>, Status> {
        caller(request.extensions()).may_use(&request.get_ref().model)?;
        let UnloadVersionRequest { model, version } = request.into_inner();
        self.admin.drain.unless_begun(self.admin.keeper.unload(&model, version)).await?;
        Ok(Response::new(UnloadVersionResponse { version: self.version(&model, version) }))
    }

    async fn set_traffic(&self, request: Request<SetTrafficRequest>) -> Result<Response<SetTrafficResponse>, Status> {
        let caller = caller(request.extensions());
        caller.may_use(&request.get_ref().model)?;
        let by = author(&request.get_ref().author, &caller);
        let SetTrafficRequest { model, policy, expected_revision, reason, author: _ } = request.into_inner();
        let policy = policy::read(policy.unwrap_or_default())?;
        let reason = told::reason(&reason);
        let traffic = NewTraffic { model: model.clone(), policy, from: expected_revision, reason };
        let changed = self.admin.drain.unless_begun(self.admin.keeper.set_traffic(traffic, &by)).await?;
        Ok(Response::new(SetTrafficResponse { change: Some(change(&changed)), model: self.model(&model) }))
    }

    async fn rollback(&self, request: Request<RollbackRequest>) -> Result<Response<RollbackResponse>, Status> {
        let caller = caller(request.extensions());
        caller.may_use(&request.get_ref().model)?;
        let by = author(&request.get_ref().author, &caller);
        let model = request.into_inner().model;
        let changed = self.admin.drain.unless_begun(self.admin.keeper.roll_back(&model, &by)).await?;
        Ok(Response::new(RollbackResponse { change: Some(change(&changed)), model: self.model(&model) }))
    }

    async fn watch_models(
        &self,
        request: Request<WatchModelsRequest>,
    ) -> Result<Response<Self::WatchModelsStream>, Status> {
        let caller = caller(request.extensions());
        let WatchModelsRequest { model, last } = request.into_inner();
        if !model.is_empty() {
            caller.may_use(&model)?;
        }
        let Administered { events, drain, .. } = &self.admin;
        let events = self.watchers.watch(events, Wanted::new(model, last, caller), drain.clone())?;
        Ok(Response::new(Box::pin(events)))
    }

    async fn list_slow_requests(
        &self,
        request: Request<ListSlowRequestsRequest>,
    ) -> Result<Response<ListSlowRequestsResponse>, Status> {
        let caller = caller(request.extensions());
        let request = request.into_inner();
        if !request.model.is_empty() {
            caller.may_use(&request.model)?;
        }
        let slow = slow::list(&self.admin.noted, &request, &caller);
        // What is no longer there may have been slow.
        if !request.model.is_empty() && slow.slowest.is_empty() && slow.refused.is_empty() {
            self.known(&request.model, &caller)?;
        }
        Ok(Response::new(slow))
    }
}
