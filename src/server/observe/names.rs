//! What calls are counted by: methods, as gRPC's documents spell them.

/// What is counted by its name: a caller can't make up further ones.
const METHODS: [&str; 20] = [
    "souk.v1.MerchantGmvService/PredictGmv",
    "souk.v1.MerchantGmvService/StreamGmv",
    "souk.v1.UserPortraitService/GetPortraits",
    "souk.v1.UserPortraitService/StreamPortraits",
    "inference.GRPCInferenceService/ServerLive",
    "inference.GRPCInferenceService/ServerReady",
    "inference.GRPCInferenceService/ModelReady",
    "inference.GRPCInferenceService/ServerMetadata",
    "inference.GRPCInferenceService/ModelMetadata",
    "inference.GRPCInferenceService/ModelInfer",
    "inference.GRPCInferenceService/ModelStreamInfer",
    "inference.GRPCInferenceService/ModelConfig",
    "inference.GRPCInferenceService/ModelStatistics",
    "inference.GRPCInferenceService/RepositoryIndex",
    "inference.GRPCInferenceService/RepositoryModelLoad",
    "inference.GRPCInferenceService/RepositoryModelUnload",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// All that is not in [`METHODS`].
const OTHER: &str = "other";

/// The label of a call of this path.
pub(super) fn method(path: &str) -> &'static str {
    let asked = path.strip_prefix('/').unwrap_or_default();
    METHODS.into_iter().find(|method| *method == asked).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::api::proto::DESCRIPTORS;

    #[test]
    fn every_method_of_the_data_port_is_counted_by_its_name() {
        let served = [
            DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut methods = BTreeSet::new();
        for file in served.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file) {
            for service in &file.service {
                let named = |method: &str| format!("{}.{}/{method}", file.package(), service.name());
                methods.extend(service.method.iter().map(|method| named(method.name())));
            }
        }
        assert_eq!(methods, METHODS.map(ToOwned::to_owned).into());
    }
}
