//! `souk models`: which versions a running server has, which of them answers whom,
//! and how that changes.
//!
//! A client like any other of the admin port: what may be done is the server's to say.

mod edits;
mod figures;
mod guard;
mod orders;
mod show;
mod slow;
mod tables;
mod watch;

use std::time::SystemTime;

use clap::{Args, Subcommand};
use prost::Message;
use tonic::{Code, Status};

use super::{
    Failure,
    client::{self, Access, Asked},
    print,
};
use crate::api::{
    JsonForms,
    proto::v1::{GetModelRequest, ListModelsRequest, model_service_client::ModelServiceClient},
};

/// Where the admin port listens unless it is told otherwise.
const ADDR: &str = "http://127.0.0.1:50052";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  souk models list
  souk models show merchant_gmv
  souk models show merchant_gmv --slow
  souk models load merchant_gmv 4
  souk models traffic merchant_gmv canary=4:10
  souk models rollback merchant_gmv
  souk models watch
  souk models list --addr https://souk:50052 --ca ca.pem --token-file /run/secrets/souk

Asks the admin port (server.admin_listen). Exit code 1 where the server refuses, with all
reasons on stderr.")]
pub(super) struct Models {
    #[command(subcommand)]
    ask: Ask,
    /// The server's admin port.
    #[arg(long, global = true, value_name = "URL", default_value = ADDR)]
    addr: String,
    #[command(flatten)]
    access: Access,
    /// Print the reply in protobuf's JSON form, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Ask {
    /// List every version of every model.
    #[command(after_help = "\
Examples:
  souk models list
  souk models list --json | jq -c '.models[].versions[] | [.number, .state, .problems]'

  souk models list --slow

SHARE is a version's share of the requests that name no version; AGE is how long it has been
in memory. With --slow: requests of all models, and those that came to none.")]
    List(slow::Slow),
    /// Show one model: versions with all problems, policy, comparisons, history.
    #[command(after_help = "\
Examples:
  souk models show merchant_gmv
  souk models show merchant_gmv --json | jq .comparisons
  souk models show merchant_gmv --slow
  souk models show merchant_gmv --slow --most 200 --json | jq -r '.refused[].reason' | sort | uniq -c

With --slow: why requests of the last five minutes were slow or refused, a few of each ten
seconds. TOOK is all of a request's time on the server; DECODE, QUEUE (waiting for a pass) and
COMPUTE are parts of it, and REPLY is the rest: reading, waiting for admission, writing, sending.
BATCH is the rows of the largest pass, other requests' included; +1 behind a version says that
another one answered some of the rows. All times are in milliseconds.")]
    Show {
        /// The model's name.
        model: String,
        #[command(flatten)]
        slow: slow::Slow,
    },
    /// Bring a version into memory, also one that was rejected before.
    #[command(after_help = "\
Examples:
  souk models load merchant_gmv 4

Ends once the version can answer. Who answers changes only where stable=newest and this is it.")]
    Load(orders::Numbered),
    /// Take a version out of memory, or give its preparation up.
    #[command(after_help = "\
Examples:
  souk models unload merchant_gmv 2

A version that a label names is refused: move the label first, with `souk models traffic`.")]
    Unload(orders::Numbered),
    /// Change which version answers whom.
    Traffic(orders::Traffic),
    /// Go back to who answered before the last change.
    #[command(after_help = "\
Examples:
  souk models rollback merchant_gmv
  souk models rollback merchant_gmv --by anna")]
    Rollback(orders::Rollback),
    /// Print what happens to versions and policies, as it happens.
    #[command(after_help = "\
Examples:
  souk models watch
  souk models watch merchant_gmv --last 100
  souk models watch --json | jq -r 'select(.kind == \"MODEL_EVENT_KIND_TAKEN_BACK\").message'

Ends when the server drains, with exit code 0.")]
    Watch(watch::Watch),
}

impl Models {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Ask::Traffic(traffic) = &self.ask {
            traffic.checked().map_err(Failure::Usage)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut admin = Admin::at(&self.addr, &self.access, self.json).await?;
            match self.ask {
                Ask::List(slow) if slow.is_asked() => admin.slow(String::new(), slow).await,
                Ask::List(_) => admin.list().await,
                Ask::Show { model, slow } if slow.is_asked() => admin.slow(model, slow).await,
                Ask::Show { model, .. } => admin.show(model).await,
                Ask::Load(wanted) => admin.load(wanted).await,
                Ask::Unload(wanted) => admin.unload(wanted).await,
                Ask::Traffic(traffic) => admin.traffic(traffic).await,
                Ask::Rollback(rollback) => admin.rollback(rollback).await,
                Ask::Watch(watch) => admin.watch(watch).await,
            }
        })
    }
}

/// The server, and how its replies are printed.
struct Admin {
    client: ModelServiceClient<Asked>,
    /// Where replies are printed as JSON.
    json: Option<JsonForms>,
}

impl Admin {
    async fn at(addr: &str, access: &Access, json: bool) -> anyhow::Result<Self> {
        let json = json.then(JsonForms::new).transpose()?;
        let client = ModelServiceClient::new(access.connect(addr, ADDR).await?).max_decoding_message_size(usize::MAX);
        Ok(Self { client, json })
    }

    async fn list(&mut self) -> Result<(), Failure> {
        let reply = self.client.list_models(ListModelsRequest {}).await.map_err(refused)?.into_inner();
        self.print("ListModelsResponse", &reply, || tables::list(&reply.models, SystemTime::now()))
    }

    async fn show(&mut self, model: String) -> Result<(), Failure> {
        let reply = self.client.get_model(GetModelRequest { model }).await.map_err(refused)?.into_inner();
        self.print("GetModelResponse", &reply, || show::model(&reply))
    }

    /// A reply: for scripts, or in words.
    fn print<M: Message>(&self, name: &str, reply: &M, words: impl FnOnce() -> String) -> Result<(), Failure> {
        match &self.json {
            Some(forms) => print(format_args!("{}", forms.write(name, reply)?)),
            None => print(format_args!("{}", words())),
        }
        Ok(())
    }
}

/// What the server said, for a person.
fn refused(status: Status) -> anyhow::Error {
    match status.code() {
        Code::Unimplemented => client::refused(status)
            .context("no souk.v1.ModelService there; is --addr the admin port (`server.admin_listen`)?"),
        _ => client::refused(Status::new(status.code(), figures::plain(status.message()))),
    }
}
