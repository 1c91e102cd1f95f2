//! Which role each call wants. What is not listed wants the most: a new call is closed until
//! somebody says who may make it.

use crate::{
    api::{ADMIN_SERVICE, INFERENCE_SERVICE, SERVICES},
    identity::Role,
};

/// What a call wants of who makes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) roles: Roles,
    /// The model that is granted to him, where the call's name says it.
    pub(super) model: Option<&'static str>,
}

/// The roles of which he has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Roles {
    /// Any or none, as long as he is known.
    Any,
    /// The same, or the settings let everybody ask.
    Health,
    /// One of these.
    One(&'static [Role]),
}

const SCORE: Roles = Roles::One(&[Role::Score]);
const LOOK: Roles = Roles::One(&[Role::Observe, Role::Publish]);
/// Who scores tensors must be able to ask what they are.
const ASK: Roles = Roles::One(&[Role::Score, Role::Observe, Role::Publish]);
const PUBLISH: Roles = Roles::One(&[Role::Publish]);

impl Need {
    /// Of a call of gRPC, by its path.
    pub(super) fn of(path: &str) -> Self {
        let (service, method) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        if let Some((_, task)) = SERVICES.iter().find(|(name, _)| *name == service) {
            return Self { roles: SCORE, model: Some(task.as_str()) };
        }
        let roles = match (service, method) {
            ("grpc.health.v1.Health", _) => Roles::Health,
            ("grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection", _) => Roles::Any,
            (INFERENCE_SERVICE, method) => of_inference(method),
            (ADMIN_SERVICE, "ListModels" | "GetModel" | "WatchModels" | "ListSlowRequests") => LOOK,
            _ => PUBLISH,
        };
        Self { roles, model: None }
    }

    /// Of `/metrics`, and of whatever else there is to look at over HTTP.
    pub(super) const LOOK: Self = Self { roles: LOOK, model: None };
}

fn of_inference(method: &str) -> Roles {
    match method {
        "ModelInfer" | "ModelStreamInfer" => SCORE,
        "ServerLive" | "ServerReady" | "ModelReady" | "ServerMetadata" | "ModelMetadata" | "ModelConfig" => ASK,
        "ModelStatistics" | "RepositoryIndex" => LOOK,
        _ => PUBLISH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_service_wants_its_model() {
        let need = Need::of("/souk.v1.UserPortraitService/StreamPortraits");
        assert_eq!(need, Need { roles: SCORE, model: Some("user_portrait") });
    }

    #[test]
    fn looking_is_not_publishing() {
        let roles = |path| Need::of(path).roles;
        assert_eq!(roles("/souk.v1.ModelService/WatchModels"), LOOK);
        assert_eq!(roles("/souk.v1.ModelService/SetTraffic"), PUBLISH);
        assert_eq!(roles("/inference.GRPCInferenceService/ModelInfer"), SCORE);
        assert_eq!(roles("/inference.GRPCInferenceService/ModelMetadata"), ASK);
        assert_eq!(roles("/inference.GRPCInferenceService/RepositoryModelLoad"), PUBLISH);
        assert_eq!(roles("/grpc.health.v1.Health/Watch"), Roles::Health);
    }

    #[test]
    fn what_nobody_listed_is_closed() {
        for path in ["", "/", "x", "/souk.v1.ModelService", "/souk.v1.ModelService/New", "/new.Service/New", "//"] {
            assert_eq!(Need::of(path).roles, PUBLISH, "{path}");
        }
    }
}
