//! A disk so small that it can be filled: a tmpfs, which only root can mount.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use souk::api::proto::v1::{SetTrafficRequest, TrafficLabel, TrafficPolicy, model_service_client::ModelServiceClient};
use tokio::time::sleep;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use super::{Injected, Scale, stage::Stage};

/// Enough for the models, and little to fill.
const SIZE: &str = "size=4m";

/// The disk, unmounted with this value.
pub(super) enum Disk {
    Mounted(PathBuf),
    /// Why there is none.
    None(String),
}

impl Disk {
    /// Mounts one below `folder`.
    pub(super) fn below(folder: &Path) -> Self {
        let path = folder.join("disk");
        let mounted = fs::create_dir_all(&path)
            .and_then(|()| Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&path).output());
        match mounted {
            Ok(output) if output.status.success() => Self::Mounted(path),
            Ok(output) => Self::None(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Self::None(error.to_string()),
        }
    }

    /// Where it is, if there is one.
    pub(super) fn root(&self) -> Option<&Path> {
        match self {
            Self::Mounted(path) => Some(path),
            Self::None(_) => None,
        }
    }

    /// Fills it, and changes who answers: refused as a whole while it is full, done once it is not.
    pub(super) async fn fill_while(&self, stage: &Stage, scale: &Scale) -> anyhow::Result<Injected> {
        let path = match self {
            Self::Mounted(path) => path.join("ballast"),
            Self::None(why) => return Ok(Injected::skipped(why)),
        };
        let mut injected = Injected::times(scale.times);
        let channel = Endpoint::from_shared(format!("http://{}", stage.server.admin))?.connect().await?;
        let mut models = ModelServiceClient::new(channel);
        for _ in 0..scale.times {
            let filled = fs::write(&path, vec![1; 8 << 20]);
            let refused = change(&mut models, "ballast").await;
            if filled.is_ok() || refused.as_ref().map_or_else(Status::code, |()| Code::Ok) != Code::FailedPrecondition {
                injected.problems.push(format!("on a full disk ({filled:?}) a change of traffic was {refused:?}"));
            }
            sleep(scale.moment()).await;
            fs::remove_file(&path)?;
            if let Err(status) = change(&mut models, "").await {
                injected.problems.push(format!("with room on the disk a change of traffic was {status:?}"));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(injected)
    }
}

/// Gives one more label to the version that answers anyway.
async fn change(models: &mut ModelServiceClient<Channel>, label: &str) -> Result<(), Status> {
    let of = |label: &str| TrafficLabel { label: label.into(), version: "1".into(), ..TrafficLabel::default() };
    let labels = ["stable", label].into_iter().filter(|label| !label.is_empty()).map(of).collect();
    let policy = Some(TrafficPolicy { labels, ..TrafficPolicy::default() });
    let request = SetTrafficRequest { model: "merchant_gmv".into(), policy, ..SetTrafficRequest::default() };
    models.set_traffic(request).await.map(drop)
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(path) = self {
            // Nobody is left to be told.
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}
