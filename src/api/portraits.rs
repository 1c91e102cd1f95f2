//! `souk.v1.UserPortraitService`.

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    proto::v1::{
        GetPortraitsRequest, GetPortraitsResponse, PortraitResult, Tag, TagGroup, UserPortrait,
        portrait_result::Outcome, user_portrait_service_server::UserPortraitService,
    },
    scoring::{Call, Scoring, wrong_head},
    sending::sending,
    stream::{Replies, in_order},
};
use crate::{
    error::ScoreError,
    heads::{Head, Portrait},
    manifest::Task,
    stack::Lane,
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
        let task = Task::UserPortrait;
        let mut answered = self.scoring.answer(task, &request.users, &request.version, call).await?;

        let version = std::sync::Arc::clone(&answered.by.version);
        let Head::Portrait(head) = &version.head else { return Err(wrong_head(&version)) };
        let results = answered.results(|scored, row| head.portrait(&scored.outputs, row));

        let results = request.users.into_iter().zip(results).map(|(user, (made, defaulted_features))| PortraitResult {
            user_id: user.user_id,
            outcome: Some(match made {
                Ok(made) => Outcome::Portrait(portrait(made)),
                Err(error) => Outcome::Error(error),
            }),
            defaulted_features,
        });
        Ok(GetPortraitsResponse {
            results: results.collect(),
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

fn portrait(made: Portrait<'_>) -> UserPortrait {
    let tag = |(label, probability): (&str, f64)| Tag { label: label.to_owned(), probability };
    let groups = made.groups.into_iter().map(|group| TagGroup {
        name: group.name.to_owned(),
        exclusive: group.exclusive,
        tags: group.tags.into_iter().map(tag).collect(),
    });
    UserPortrait { groups: groups.collect(), embedding: made.embedding }
}
