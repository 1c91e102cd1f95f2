//! A bulk stream: one `StreamGmv` at full speed, as `souk score` holds one.

use std::{sync::Arc, time::Instant};

use anyhow::ensure;
use bytes::{Buf as _, Bytes, BytesMut};
use h2::SendStream;
use http::HeaderMap;
use tokio::sync::{Semaphore, mpsc};
use tonic::Code;

use super::{
    Bench,
    connection::{Answer, Call, STREAM, next},
    requests::PREFIX,
};

/// Sends messages, `unanswered` of them ahead of their answers, until the window ends.
pub(crate) async fn send(bench: &Arc<Bench>, unanswered: usize) -> anyhow::Result<()> {
    let (response, out) = bench.connections.of(0)?.begin(bench.connections.head(STREAM)?).await?;
    let places = Arc::new(Semaphore::new(unanswered));
    let (sent, mut waiting) = mpsc::unbounded_channel();
    let sending = tokio::spawn(messages(Arc::clone(bench), out, Arc::clone(&places), sent));
    let mut body = response.await?.into_body();
    let mut pieces = BytesMut::new();
    while let Some((turn, sent)) = waiting.recv().await {
        let Some(body) = message(&mut body, &mut pieces).await? else { break };
        places.add_permits(1);
        let answer = Answer { code: Code::Ok, body, status: HeaderMap::new() };
        let request = bench.requests.at(turn);
        bench.record(&Call { request, intended: sent, sent, done: Instant::now(), answer: Some(answer) });
    }
    let status = body.trailers().await?.unwrap_or_default();
    ensure!(status.get("grpc-status").is_some_and(|code| code == "0"), "the stream ended with {status:?}");
    sending.await?
}

/// The next whole message of a stream.
async fn message(body: &mut h2::RecvStream, pieces: &mut BytesMut) -> anyhow::Result<Option<Bytes>> {
    loop {
        if let Some(prefix) = pieces.get(1..PREFIX) {
            let whole = PREFIX + usize::try_from(bytes::Bytes::copy_from_slice(prefix).get_u32())?;
            if pieces.len() >= whole {
                return Ok(Some(pieces.split_to(whole).freeze()));
            }
        }
        let Some(piece) = next(body).await? else { return Ok(None) };
        pieces.extend_from_slice(&piece);
    }
}

async fn messages(
    bench: Arc<Bench>,
    mut out: SendStream<Bytes>,
    places: Arc<Semaphore>,
    sent: mpsc::UnboundedSender<(usize, Instant)>,
) -> anyhow::Result<()> {
    let mut turn = 0;
    while Instant::now() < bench.window.end {
        places.acquire().await?.forget();
        out.send_data(bench.requests.at(turn).frame.clone(), false)?;
        sent.send((turn, Instant::now()))?;
        turn += 1;
    }
    Ok(out.send_data(Bytes::new(), true)?)
}
