//! `souk.v1.UserPortraitService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    answered::{Wording, wrong_head},
    frames::{GetPortraitsRequest, UserPortraitService},
    parts::id,
    proto::v1::{PortraitResult, RowError, Tag, TagGroup, User, UserPortrait, portrait_result::Outcome},
    reply::Reply,
    scoring::{Call, Scoring},
    sending::sending,
    stream::{Replies, in_order},
};
use crate::{
    error::ScoreError,
    heads::{Head, HeadError, Portrait, PortraitHead},
    manifest::Task,
    model::Version,
    rows::Rows,
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

    async fn portray(&self, request: GetPortraitsRequest, call: Call) -> Result<Reply, ScoreError> {
        let GetPortraitsRequest { users, version } = request;
        call.about(users.iter().map(|user| id(user)));
        let answered = self.scoring.answer::<User>(Task::UserPortrait, users, &version, &call).await?;

        let versions = answered.versions();
        let wordings = versions.iter().map(portraits).collect::<Result<_, _>>()?;
        Ok(answered.reply(wordings).await)
    }
}

#[async_trait]
impl UserPortraitService for PortraitEndpoint {
    type StreamPortraitsStream = Replies<Reply>;

    async fn get_portraits(&self, request: Request<GetPortraitsRequest>) -> Result<Response<Reply>, Status> {
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
        let answer = move |message, call| {
            let endpoint = endpoint.clone();
            async move { Ok(endpoint.portray(message, call).await?) }
        };
        Ok(Response::new(in_order(request.into_inner(), call, &self.scoring.drain, answer)?))
    }
}

/// The wording of one version.
fn portraits(version: &Arc<Version>) -> Result<Portraits<'_>, ScoreError> {
    let Head::Portrait(head) = &version.head else { return Err(wrong_head(version)) };
    Ok(Portraits::new(head))
}

/// Portraits, each in the words of the one before.
pub(super) struct Portraits<'h> {
    head: &'h PortraitHead,
    made: Portrait<'h>,
    result: PortraitResult,
}

impl<'h> Portraits<'h> {
    pub(super) fn new(head: &'h PortraitHead) -> Self {
        let made = head.blank();
        let result = PortraitResult { outcome: Some(Outcome::Portrait(portrait(&made))), ..PortraitResult::default() };
        Self { head, made, result }
    }
}

impl Wording for Portraits<'_> {
    type Result = PortraitResult;

    fn answer(&mut self, outputs: &Rows, row: usize) -> Result<&PortraitResult, HeadError> {
        let made = &mut self.made;
        self.head.portrait(outputs, row, made)?;
        if let Some(Outcome::Portrait(portrait)) = &mut self.result.outcome {
            let tags = portrait.groups.iter_mut().flat_map(|group| &mut group.tags);
            let found = made.groups.iter().flat_map(|group| &group.tags);
            tags.zip(found).for_each(|(tag, (_, probability))| tag.probability = *probability);
            portrait.embedding.clone_from(&made.embedding);
        }
        Ok(&self.result)
    }

    fn refusal(&self, error: RowError) -> PortraitResult {
        PortraitResult { outcome: Some(Outcome::Error(error)), ..PortraitResult::default() }
    }
}

fn portrait(made: &Portrait<'_>) -> UserPortrait {
    let tag = |(label, probability): &(&str, f64)| Tag { label: (*label).to_owned(), probability: *probability };
    let groups = made.groups.iter().map(|group| TagGroup {
        name: group.name.to_owned(),
        exclusive: group.exclusive,
        tags: group.tags.iter().map(tag).collect(),
    });
    UserPortrait { groups: groups.collect(), embedding: made.embedding.clone() }
}
