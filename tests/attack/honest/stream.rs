//! Callers that ask by streams: some messages ahead of their answers, which come in order.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use h2::{SendStream, client::ResponseFuture};
use tokio::time::timeout;

use super::{
    Caller, Errand, PATIENCE,
    connection::{Connection, End, broken, ended, head, message},
    ledger::Record,
};

/// Where streams of questions are asked.
const STREAM: &str = "/souk.v1.MerchantGmvService/StreamGmv";

/// Messages of a stream that are sent ahead of their answers.
const AHEAD: usize = 4;

/// The messages of one stream that wait for their answers, with the moments at which they were sent.
type Waiting = VecDeque<(Errand, Instant)>;

impl Caller {
    /// One stream after the other, each of a few messages.
    pub(super) async fn stream_on(self) {
        let (mut turn, begun) = (self.number, Instant::now());
        while let Some(due) = self.due(turn + (AHEAD - 1) * self.callers(), begun).await {
            let mut errands = Vec::new();
            let (chapter, mark) = self.desk.ledger.send(AHEAD as u64);
            for _ in 0..AHEAD {
                let question = (self.desk.ask)(turn, mark);
                errands.push(Errand { question, chapter, due, deadline: None, first: true });
                turn += self.callers();
            }
            self.stream(errands).await;
        }
    }

    /// Sends messages by one stream; what was not taken goes by unary calls.
    async fn stream(&self, errands: Vec<Errand>) {
        let target = *self.desk.target.borrow();
        let Some(connection) = self.line.connection(target).await else { return self.one_by_one(errands).await };
        let opened = async {
            let head = head(connection.target, STREAM, None).map_err(|_| End::NotTaken)?;
            connection.begin(head).await
        };
        let (response, out) = match timeout(PATIENCE, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) | Err(_) => {
                self.line.forget(&connection).await;
                return self.one_by_one(errands).await;
            }
        };
        self.talk(&connection, (response, out), errands).await;
    }

    async fn talk(
        &self,
        connection: &std::sync::Arc<Connection>,
        call: (ResponseFuture, SendStream<Bytes>),
        errands: Vec<Errand>,
    ) {
        let (response, mut out) = call;
        let mut waiting = Waiting::new();
        let last = errands.len();
        for (number, errand) in (1..).zip(errands) {
            let frame = errand.question.frame.clone();
            waiting.push_back((errand, Instant::now()));
            // What can't be sent is answered by the stream's end.
            let _ = out.send_data(frame, number == last);
        }
        let end = timeout(PATIENCE, self.answers(response, &mut waiting)).await;
        let end = end.unwrap_or_else(|_| End::Broken(format!("no answer within {PATIENCE:?}")));
        if !matches!(end, End::Answered(..)) {
            self.line.forget(connection).await;
        }
        self.left(end, waiting, connection.target.generation).await;
    }

    /// Takes answers until the stream ends.
    async fn answers(&self, response: ResponseFuture, waiting: &mut Waiting) -> End {
        let taken = async {
            let (head, mut body) = response.await.map_err(|error| broken(&error))?.into_parts();
            let mut pieces = BytesMut::new();
            while let Some(answer) = message(&mut body, &mut pieces).await? {
                let Some((errand, _)) = waiting.pop_front() else {
                    return Err(End::Broken("more answers than messages".into()));
                };
                self.enter(errand, End::Answered(tonic::Code::Ok, String::new(), answer));
            }
            let trailers = body.trailers().await.map_err(|error| broken(&error))?;
            ended(trailers.as_ref().unwrap_or(&head.headers), Bytes::new())
        };
        match taken.await {
            Ok(end) | Err(end) => end,
        }
    }

    /// What becomes of messages whose stream ended before their answers.
    async fn left(&self, end: End, waiting: Waiting, generation: u64) {
        let mut again = Vec::new();
        for (errand, sent) in waiting {
            let end = match &end {
                End::Answered(tonic::Code::Ok, ..) => End::Broken("the stream ended well without its answer".into()),
                End::Answered(code, said, message) => End::Answered(*code, said.clone(), message.clone()),
                End::NotTaken => End::NotTaken,
                End::Broken(how) => End::Broken(how.clone()),
            };
            match self.became(end, &errand, (generation, sent)) {
                Some(became) => {
                    let record = Record { sent: errand.due, done: Instant::now(), smooth: true };
                    self.desk.ledger.add(errand.chapter, became, record);
                }
                None => again.push(errand),
            }
        }
        self.one_by_one(again).await;
    }

    async fn one_by_one(&self, errands: Vec<Errand>) {
        for errand in errands {
            self.desk.ledger.again(errand.chapter);
            self.see_to(Errand { first: false, ..errand }).await;
        }
    }

    /// An answer that came.
    fn enter(&self, errand: Errand, end: End) {
        let record = Record { sent: errand.due, done: Instant::now(), smooth: errand.first };
        if let Some(became) = self.became(end, &errand, (0, Instant::now() + Duration::ZERO)) {
            self.desk.ledger.add(errand.chapter, became, record);
        }
    }
}
