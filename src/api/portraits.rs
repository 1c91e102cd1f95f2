//! `souk.v1.UserPortraitService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    frames::{GetPortraitsRequest, UserPortraitService},
    proto::v1::{GetPortraitsResponse, PortraitResult, Tag, TagGroup, User, UserPortrait, portrait_result::Outcome},
    scoring::{Answer, Call, Scoring, wrong_head},
    sending::sending,
    stream::{Replies, in_order},
};
use crate::{
    error::ScoreError,
    heads::{Head, Portrait},
    manifest::Task,
    stack::{Lane, Scored},
};

/// Answers who users are.
#[derive(Clone)]
pub struct PortraitEndpoint {
    scoring: Scoring,
}

impl PortraitEndpoint {
    /// An endpoint over what all share.
    pub fn new(scoring: Scoring) -> Self {
        Self { scoring }
    }

    async fn portray(&self, request: GetPortraitsRequest, call: Call) -> Result<GetPortraitsResponse, ScoreError> {
        let GetPortraitsRequest { users, version } = request;
        let mut answered = self.scoring.answer::<User>(Task::UserPortrait, users, &version, call).await?;

        let version = Arc::clone(&answered.by.version);
        let Head::Portrait(head) = &version.head else { return Err(wrong_head(&version)) };
        let made = |scored: &Scored, row| head.portrait(&scored.outputs, row);
        Ok(GetPortraitsResponse {
            results: answered.results(made, result).await,
            served_by: Some(answered.served_by()),
            timing: Some(answered.timing()),
        })
    }
}

#[async_trait]
impl UserPortraitService for PortraitEndpoint {
    type StreamPortraitsStream = Replies<GetPortraitsResponse>;

    async fn get_portraits(
        &self,
        request: Request<GetPortraitsRequest>,
    ) -> Result<Response<GetPortraitsResponse>, Status> {
        let accepted = self.scoring.drain.accept()?;
        let call = Call::new(request.extensions(), Lane::Interactive);
        Ok(sending(self.portray(request.into_inner(), call).await?, accepted))
    }

    async fn stream_portraits(
        &self,
        request: Request<Streaming<GetPortraitsRequest>>,
    ) -> Result<Response<Self::StreamPortraitsStream>, Status> {
        let call = Call::new(request.extensions(), Lane::Bulk);
        let endpoint = self.clone();
        let answer = move |message| {
            let endpoint = endpoint.clone();
            async move { Ok(endpoint.portray(message, call).await?) }
        };
        Ok(Response::new(in_order(request.into_inner(), call, &self.scoring.drain, answer)?))
    }
}

fn result(Answer { id, made, defaulted }: Answer<Portrait<'_>>) -> PortraitResult {
    let outcome = match made {
        Ok(made) => Outcome::Portrait(portrait(made)),
        Err(error) => Outcome::Error(error),
    };
    PortraitResult { user_id: id, outcome: Some(outcome), defaulted_features: defaulted }
}

fn portrait(made: Portrait<'_>) -> UserPortrait {
    let tag = |(label, probability): (&str, f64)| Tag { label: label.to_owned(), probability };
    let groups = made.groups.into_iter().map(|group| TagGroup {
        name: group.name.to_owned(),
        exclusive: group.exclusive,
        tags: group.tags.into_iter().map(tag).collect(),
    });
    UserPortrait { groups: groups.collect(), embedding: made.embedding }
}
