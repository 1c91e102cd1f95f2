//! `souk models load`, `unload`, `traffic` and `rollback`.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    Admin,
    edits::{self, Edit},
    figures::{plain, took},
    guard::GuardEdit,
    refused, tables,
};
use crate::{
    api::proto::v1::{
        GetModelRequest, LoadVersionRequest, ModelVersion, RollbackRequest, SetTrafficRequest, TrafficChange,
        TrafficPolicy, UnloadVersionRequest, VersionState,
    },
    cli::Failure,
    config::Environment,
};

/// One version.
#[derive(Debug, Args)]
pub(super) struct Numbered {
    /// The model's name.
    model: String,
    /// The version's number.
    version: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk models traffic merchant_gmv canary=4:10      version 4 answers 10 % of the merchants
  souk models traffic merchant_gmv canary:20        more of them
  souk models traffic merchant_gmv stable=4 --remove canary
  souk models traffic merchant_gmv stable=newest    new versions answer by themselves
  souk models traffic merchant_gmv shadow=5:50      version 5 scores half of the rows for nobody
  souk models traffic merchant_gmv canary=4:10 --guard min-rows=500 --guard max-p99-ratio=2

stable has what the other labels leave, unless its share is given. Versions that are not in
memory are loaded first; where one stays out, nothing changes. Prints who answers from then on.")]
pub(super) struct Traffic {
    /// The model's name.
    model: String,
    /// Changes of labels; those that are not named stay.
    #[arg(value_name = "LABEL=VERSION[:PERCENT]|LABEL:PERCENT")]
    edits: Vec<Edit>,
    /// Take a label away.
    #[arg(long, value_name = "LABEL")]
    remove: Vec<String>,
    /// When a canary is taken back: on, off or KEY=VALUE, e.g. min-rows=500.
    #[arg(long, value_name = "on|off|KEY=VALUE")]
    guard: Vec<GuardEdit>,
    /// Hash entity ids with this, which sends others to each label; '' for the model's name.
    #[arg(long)]
    salt: Option<String>,
    /// Who wants it, for the history [default: the login name].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The model's name.
    model: String,
    /// Who wants it, for the history [default: the login name].
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Traffic {
    /// What is wrong whatever the server says.
    pub(super) fn checked(&self) -> anyhow::Result<()> {
        let nothing = self.edits.is_empty() && self.remove.is_empty() && self.guard.is_empty() && self.salt.is_none();
        anyhow::ensure!(
            !nothing,
            "nothing to change: wanted LABEL=VERSION, LABEL:PERCENT, --remove, --guard or --salt"
        );
        edits::contradiction(&self.edits, &self.remove).map_or(Ok(()), |problem| Err(anyhow::anyhow!(problem)))
    }

    fn apply(&self, policy: &mut TrafficPolicy) -> Result<(), String> {
        edits::apply(policy, &self.edits, &self.remove)?;
        if let Some(salt) = &self.salt {
            policy.salt.clone_from(salt);
        }
        let limits = policy.guard.get_or_insert_default();
        self.guard.iter().for_each(|edit| edit.apply(limits));
        Ok(())
    }
}

impl Admin {
    pub(super) async fn load(&mut self, Numbered { model, version }: Numbered) -> Result<(), Failure> {
        let name = format!("{model} version {version}");
        let order = self.client.load_version(LoadVersionRequest { model, version });
        let reply = waiting(format!("preparing {name}"), order).await.map_err(refused)?.into_inner();
        self.print("LoadVersionResponse", &reply, || loaded(&name, reply.version.as_ref()))
    }

    pub(super) async fn unload(&mut self, Numbered { model, version }: Numbered) -> Result<(), Failure> {
        let name = format!("{model} version {version}");
        let order = self.client.unload_version(UnloadVersionRequest { model, version });
        let reply = order.await.map_err(refused)?.into_inner();
        self.print("UnloadVersionResponse", &reply, || format!("{name} is not in memory"))
    }

    pub(super) async fn traffic(&mut self, asked: Traffic) -> Result<(), Failure> {
        let model = asked.model.clone();
        let now = self.client.get_model(GetModelRequest { model: model.clone() }).await.map_err(refused)?;
        let now = now.into_inner().model.unwrap_or_default();
        let mut policy = now.policy.unwrap_or_default();
        asked.apply(&mut policy).map_err(|problems| Failure::Usage(anyhow::anyhow!("{model}: {problems}")))?;
        let request = SetTrafficRequest {
            model: model.clone(),
            policy: Some(policy),
            expected_revision: Some(now.revision),
            author: author(asked.by),
            reason: asked.reason,
        };
        let order = self.client.set_traffic(request);
        let reply = waiting(format!("changing who answers for {model}"), order).await.map_err(refused)?.into_inner();
        self.print("SetTrafficResponse", &reply, || changed(&model, reply.change.as_ref()))
    }

    pub(super) async fn rollback(&mut self, Rollback { model, by }: Rollback) -> Result<(), Failure> {
        let request = RollbackRequest { model: model.clone(), author: author(by) };
        let order = self.client.rollback(request);
        let reply = waiting(format!("rolling {model} back"), order).await.map_err(refused)?.into_inner();
        self.print("RollbackResponse", &reply, || changed(&model, reply.change.as_ref()))
    }
}

fn author(by: Option<String>) -> String {
    by.or_else(|| Environment::of_process().user().map(ToOwned::to_owned)).unwrap_or_default()
}

/// Waits with a sign of life on stderr, where that is a terminal.
async fn waiting<T>(message: String, order: impl Future<Output = T>) -> T {
    let spinner = ProgressBar::new_spinner().with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    let done = order.await;
    spinner.finish_and_clear();
    done
}

fn loaded(name: &str, version: Option<&ModelVersion>) -> String {
    match version.filter(|version| version.state() == VersionState::Resident) {
        Some(version) if version.labels.is_empty() => {
            format!("{name} is in memory, prepared in {}; it answers by its number", took(version.load_duration))
        }
        Some(version) => {
            let labels = plain(&version.labels.join(", "));
            format!("{name} is in memory, prepared in {}; it answers as {labels}", took(version.load_duration))
        }
        None => format!("{name} was in memory and left again"),
    }
}

fn changed(model: &str, change: Option<&TrafficChange>) -> String {
    let Some(change) = change else { return format!("{model} has changed") };
    format!("{model} is at revision {}, by {}\n{}", change.revision, plain(&change.by), tables::arms(&change.labels))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{api::proto::v1::TrafficLabel, cli::Cli};

    #[derive(Debug, clap::Parser)]
    struct Alone {
        #[command(flatten)]
        traffic: Traffic,
    }

    fn traffic(arguments: &[&str]) -> Traffic {
        Alone::try_parse_from(["souk", "merchant_gmv"].iter().chain(arguments)).unwrap().traffic
    }

    #[test]
    fn the_whole_policy_is_sent_with_the_changes_in_it() {
        let stable = TrafficLabel { label: "stable".into(), version: "3".into(), ..TrafficLabel::default() };
        let mut policy = TrafficPolicy { labels: vec![stable], salt: "winter".into(), guard: None };
        let asked = traffic(&["canary=4:10", "--guard", "off", "--guard", "min-rows=500", "--salt", "summer"]);
        asked.apply(&mut policy).unwrap();
        assert_eq!(policy.labels.len(), 2);
        let limits = policy.guard.unwrap();
        assert_eq!((limits.enabled, limits.min_rows, &*policy.salt), (Some(false), Some(500), "summer"));
    }

    #[test]
    fn who_changes_nothing_asked_wrongly() {
        assert!(traffic(&[]).checked().unwrap_err().to_string().starts_with("nothing to change"));
        for arguments in [&["canary:10"][..], &["--remove", "canary"], &["--guard", "off"], &["--salt", ""]] {
            assert!(traffic(arguments).checked().is_ok(), "{arguments:?}");
        }
        assert!(traffic(&["canary:10", "--remove", "canary"]).checked().is_err());
    }

    #[test]
    fn arguments_that_can_not_be_read_are_refused_with_a_reason() {
        let said = |edit: &str| {
            let arguments = ["souk", "models", "traffic", "merchant_gmv", edit];
            Cli::try_parse_from(arguments).unwrap_err().to_string()
        };
        assert!(said("canary=latest").contains("\"latest\" is no version"), "{}", said("canary=latest"));
        assert!(said("--guard=rows=1").contains("\"rows\" is no limit"), "{}", said("--guard=rows=1"));
    }

    #[test]
    fn a_version_in_memory_is_said_in_one_sentence() {
        let version = ModelVersion {
            state: VersionState::Resident.into(),
            load_duration: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
            ..ModelVersion::default()
        };
        assert_eq!(
            loaded("m version 4", Some(&version)),
            "m version 4 is in memory, prepared in 2s; it answers by its number"
        );
        assert_eq!(loaded("m version 4", None), "m version 4 was in memory and left again");
    }

    #[test]
    fn a_change_is_said_with_who_answers_from_then_on() {
        let label = TrafficLabel {
            label: "stable".into(),
            version: "4".into(),
            resolved_version: 4,
            resolved_percent: 100.0,
            percent: None,
        };
        let change = TrafficChange {
            revision: 3,
            by: "anna (127.0.0.1)".into(),
            labels: vec![label],
            ..TrafficChange::default()
        };
        let wanted = "\
m is at revision 3, by anna (127.0.0.1)
LABEL   VERSION  SHARE
stable  4        100%";
        assert_eq!(changed("m", Some(&change)), wanted);
    }
}
