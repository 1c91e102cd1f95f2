//! What an operator asks of the server's admin port.

use std::net::SocketAddr;

use souk::api::proto::v1::{
    Comparison, GetModelRequest, LoadVersionRequest, SetTrafficRequest, TrafficLabel, TrafficPolicy,
    UnloadVersionRequest, model_service_client::ModelServiceClient,
};
use tonic::transport::{Channel, Endpoint};

/// The only model here.
const MODEL: &str = "merchant_gmv";

/// Gives orders.
#[derive(Clone)]
pub(super) struct Orders {
    client: ModelServiceClient<Channel>,
}

impl Orders {
    /// To the server whose admin port this is.
    pub(super) async fn to(admin: SocketAddr) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{admin}"))?.connect().await?;
        Ok(Self { client: ModelServiceClient::new(channel) })
    }

    /// Done once the version can answer.
    pub(super) async fn load(&mut self, version: u64) -> anyhow::Result<()> {
        self.client.load_version(LoadVersionRequest { model: MODEL.into(), version }).await?;
        Ok(())
    }

    /// Done once nobody gets the version any more.
    pub(super) async fn unload(&mut self, version: u64) -> anyhow::Result<()> {
        self.client.unload_version(UnloadVersionRequest { model: MODEL.into(), version }).await?;
        Ok(())
    }

    /// Has these versions answer by these labels.
    pub(super) async fn traffic(&mut self, labels: &[(&str, u64)]) -> anyhow::Result<()> {
        let label = |(label, version): &(&str, u64)| TrafficLabel {
            label: (*label).to_owned(),
            version: version.to_string(),
            ..TrafficLabel::default()
        };
        let policy = TrafficPolicy { labels: labels.iter().map(label).collect(), ..TrafficPolicy::default() };
        let request = SetTrafficRequest { model: MODEL.into(), policy: Some(policy), ..SetTrafficRequest::default() };
        self.client.set_traffic(request).await?;
        Ok(())
    }

    /// How versions differ.
    pub(super) async fn comparisons(&mut self) -> anyhow::Result<Vec<Comparison>> {
        Ok(self.client.get_model(GetModelRequest { model: MODEL.into() }).await?.into_inner().comparisons)
    }
}
