//! Orders to the admin port, and waiting for what comes of them.

use std::{path::Path, time::Duration};

use souk::api::proto::v1::{
    GetModelRequest, Model, ModelVersion, PredictGmvRequest, SetTrafficRequest, TrafficLabel, TrafficPolicy,
    VersionState, model_service_client::ModelServiceClient,
};
use tokio::time::timeout;
use tonic::Status;

use super::{
    program::PATIENCE,
    rows::{forecasts_of, merchants},
    server::{Launch, TestServer},
};

pub(crate) const GMV: &str = "merchant_gmv";

/// Serves what is below `root`, and looks at it often.
pub(crate) fn launch(root: &Path) -> Launch {
    Launch::new().set("models.root", root.display()).set("models.poll", "100ms")
}

/// `stable=1`, `canary=2:10`: a label, a version, and a share in percent.
fn labels(written: &[&str]) -> Vec<TrafficLabel> {
    let label = |written: &&str| {
        let (label, rest) = written.split_once('=').unwrap();
        let (version, percent) =
            rest.split_once(':').map_or((rest, None), |(version, percent)| (version, Some(percent)));
        TrafficLabel {
            label: label.into(),
            version: version.into(),
            percent: percent.map(|percent| percent.parse().unwrap()),
            ..TrafficLabel::default()
        }
    };
    written.iter().map(label).collect()
}

/// Has these labels and no others.
pub(crate) async fn set_traffic(server: &TestServer, written: &[&str]) -> Result<Model, Status> {
    set_traffic_at(&server.admin_url(), written).await
}

/// The same, by the address of the admin port.
pub(crate) async fn set_traffic_at(url: &str, written: &[&str]) -> Result<Model, Status> {
    let policy = TrafficPolicy { labels: labels(written), ..TrafficPolicy::default() };
    let request =
        SetTrafficRequest { model: GMV.into(), policy: Some(policy), author: "a test".into(), ..Default::default() };
    let mut models =
        ModelServiceClient::connect(url.to_owned()).await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(models.set_traffic(request).await?.into_inner().model.unwrap())
}

pub(crate) async fn model(server: &TestServer) -> Model {
    let request = GetModelRequest { model: GMV.into() };
    server.models().await.get_model(request).await.unwrap().into_inner().model.unwrap()
}

pub(crate) async fn version(server: &TestServer, number: u64) -> Option<ModelVersion> {
    model(server).await.versions.into_iter().find(|version| version.number == number)
}

/// Waits until the version is in this state.
pub(crate) async fn reaches(server: &TestServer, number: u64, state: VersionState) -> ModelVersion {
    let reached = async {
        loop {
            if let Some(version) = version(server, number).await.filter(|version| version.state() == state) {
                return version;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match timeout(PATIENCE, reached).await {
        Ok(version) => version,
        Err(_) => panic!("version {number} does not reach {state:?}: {:?}", model(server).await),
    }
}

pub(crate) async fn served_by(server: &TestServer, version: &str) -> Result<u64, Status> {
    let request = PredictGmvRequest { version: version.into(), ..forecasts_of(merchants(1)) };
    Ok(server.gmv().await.predict_gmv(request).await?.into_inner().served_by.unwrap().version)
}

/// Waits until requests without a version are answered by this one.
pub(crate) async fn answers(server: &TestServer, number: u64) {
    let reached = async {
        while served_by(server, "").await.unwrap() != number {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, reached).await.is_ok(), "{number} never answers: {:?}", model(server).await);
}

/// Waits until so many labels have a version in memory.
pub(crate) async fn reaches_labels(server: &TestServer, wanted: usize) {
    let reached = async {
        loop {
            let labels = model(server).await.policy.unwrap().labels;
            if labels.iter().filter(|label| label.resolved_version > 0).count() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, reached).await.is_ok(), "{:?}", model(server).await);
}
