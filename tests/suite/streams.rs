//! Streams: one reply for each message, in order.

use std::time::Duration;

use futures::{StreamExt as _, future::join_all, stream};
use souk::api::proto::v1::{PredictGmvRequest, PredictGmvResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::common::{
    rows::{forecasts_of, merchants, portraits_of, users},
    server::Launch,
};

/// Message `number` of a stream, with `rows` merchants that say so.
fn message(number: usize, rows: usize) -> PredictGmvRequest {
    let mut merchants = merchants(rows);
    for (index, merchant) in merchants.iter_mut().enumerate() {
        merchant.merchant_id = format!("{number}/{index}");
    }
    forecasts_of(merchants)
}

fn assert_answers(reply: &PredictGmvResponse, number: usize, rows: usize) {
    let ids: Vec<&str> = reply.results.iter().map(|result| result.merchant_id.as_str()).collect();
    let wanted: Vec<String> = (0..rows).map(|index| format!("{number}/{index}")).collect();
    assert_eq!(ids, wanted);
}

#[tokio::test]
async fn replies_come_in_the_order_of_the_messages() {
    let server = Launch::new().serving().await;
    // Large and small ones in turn, so that a later one would often be done first.
    let rows = |number: usize| if number.is_multiple_of(2) { 300 } else { 1 };
    let messages = stream::iter((0..50).map(move |number| message(number, rows(number))));
    let replies = server.gmv().await.stream_gmv(messages).await.unwrap().into_inner();
    let replies: Vec<_> = replies.map(Result::unwrap).collect().await;
    assert_eq!(replies.len(), 50);
    for (number, reply) in replies.iter().enumerate() {
        assert_answers(reply, number, rows(number));
        assert!(reply.served_by.is_some() && reply.timing.is_some());
    }
}

#[tokio::test]
async fn portraits_stream_in_order_too() {
    let server = Launch::new().serving().await;
    let messages = stream::iter((1..20).map(|rows| portraits_of(users(rows))));
    let replies = server.portraits().await.stream_portraits(messages).await.unwrap().into_inner();
    let counts: Vec<usize> = replies.map(|reply| reply.unwrap().results.len()).collect().await;
    assert_eq!(counts, (1..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bad_message_ends_the_stream_after_the_replies_before_it() {
    let server = Launch::new().serving().await;
    let messages = [message(0, 200), message(1, 3), forecasts_of(Vec::new()), message(3, 1)];
    let replies = server.gmv().await.stream_gmv(stream::iter(messages)).await.unwrap().into_inner();
    let replies: Vec<Result<PredictGmvResponse, Status>> = replies.collect().await;
    assert_eq!(replies.len(), 3, "{replies:?}");
    assert_answers(replies[0].as_ref().unwrap(), 0, 200);
    assert_answers(replies[1].as_ref().unwrap(), 1, 3);
    let status = replies[2].as_ref().unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("merchants"), "{status:?}");
}

#[tokio::test]
async fn an_empty_stream_is_answered_with_an_empty_one() {
    let server = Launch::new().serving().await;
    let mut replies = server.gmv().await.stream_gmv(stream::empty()).await.unwrap().into_inner();
    assert!(replies.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_reply_comes_before_the_next_message_is_sent() {
    let server = Launch::new().serving().await;
    let (send, messages) = mpsc::channel(1);
    send.send(message(0, 2)).await.unwrap();
    let messages = ReceiverStream::new(messages);
    let mut replies = server.gmv().await.stream_gmv(messages).await.unwrap().into_inner();
    for number in 1..5 {
        assert_answers(&replies.message().await.unwrap().unwrap(), number - 1, 2);
        send.send(message(number, 2)).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_leaves_nothing_behind() {
    let mut server = Launch::new().serving().await;
    let mut client = server.gmv().await;
    for _ in 0..8 {
        let messages = stream::iter((0..20).map(|number| message(number, 200))).chain(stream::pending());
        let mut replies = client.stream_gmv(messages).await.unwrap().into_inner();
        assert_answers(&replies.message().await.unwrap().unwrap(), 0, 200);
        drop(replies);
    }
    // The next caller does not wait for what nobody reads.
    client.predict_gmv(forecasts_of(merchants(1))).await.unwrap();
    drop(client);
    server.terminate();
    assert!(server.exit(Duration::from_secs(3)).await.success(), "{}", server.log());
}

#[tokio::test]
async fn streams_wait_for_the_queue_instead_of_failing() {
    let server = Launch::new().set("batch.queue_rows", 1024).serving().await;
    let client = server.gmv().await;
    // Six streams, each with four messages in work that fill the queue alone.
    let streams = (0..6).map(|_| {
        let mut client = client.clone();
        async move {
            let messages = stream::iter((0..4).map(|number| message(number, 1024)));
            let replies = client.stream_gmv(messages).await.unwrap().into_inner();
            replies.map(|reply| reply.unwrap().results.len()).collect::<Vec<_>>().await
        }
    });
    for counts in join_all(streams).await {
        assert_eq!(counts, [1024; 4]);
    }
}
