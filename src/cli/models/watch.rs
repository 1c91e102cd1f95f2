//! `souk models watch`: one line for each event.

use clap::Args;

use super::{
    Admin,
    figures::{moment, plain},
    refused,
};
use crate::{
    api::proto::v1::{ModelEvent, ModelEventKind, WatchModelsRequest},
    cli::{Failure, say},
};

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Only this model's events.
    #[arg(default_value = "", hide_default_value = true)]
    model: String,
    /// How many of the last events to begin with.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    last: u32,
}

impl Admin {
    pub(super) async fn watch(&mut self, Watch { model, last }: Watch) -> Result<(), Failure> {
        let request = WatchModelsRequest { model, last: Some(last) };
        let mut events = self.client.watch_models(request).await.map_err(refused)?.into_inner();
        while let Some(reply) = events.message().await.map_err(refused)? {
            let event = reply.event.unwrap_or_default();
            self.print("ModelEvent", &event, || line(&event))?;
        }
        say(format_args!("the server is draining"));
        Ok(())
    }
}

fn line(event: &ModelEvent) -> String {
    let of = match event.version {
        0 => plain(&event.model),
        version => format!("{} {version}", plain(&event.model)),
    };
    let of = if of.is_empty() { of } else { format!("{of}: ") };
    format!("{}  {:<10}  {of}{}", moment(event.time), kind(event.kind()), plain(&event.message))
}

fn kind(kind: ModelEventKind) -> &'static str {
    match kind {
        ModelEventKind::Unspecified => "unknown",
        ModelEventKind::Preparing => "preparing",
        ModelEventKind::Ready => "ready",
        ModelEventKind::Rejected => "rejected",
        ModelEventKind::Cancelled => "cancelled",
        ModelEventKind::Traffic => "traffic",
        ModelEventKind::Refused => "refused",
        ModelEventKind::TakenBack => "taken back",
        ModelEventKind::Retired => "retired",
        ModelEventKind::Missed => "missed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let time = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
        let taken_back = ModelEvent {
            time,
            model: "merchant_gmv".into(),
            version: 4,
            kind: ModelEventKind::TakenBack.into(),
            message: "non-finite rate 0.05,\nwanted at most 0.01".into(),
            missed: 0,
        };
        let wanted = "1970-01-01T00:00:00Z  taken back  merchant_gmv 4: non-finite rate 0.05, wanted at most 0.01";
        assert_eq!(line(&taken_back), wanted);
        let missed =
            ModelEvent { time, kind: ModelEventKind::Missed.into(), message: "some".into(), ..ModelEvent::default() };
        assert_eq!(line(&missed), "1970-01-01T00:00:00Z  missed      some");
    }
}
