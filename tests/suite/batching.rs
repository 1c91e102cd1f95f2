//! Requests run together, and nobody notices but by the time that it takes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, future::join_all, stream};
use souk::api::proto::v1::{GmvResult, PredictGmvRequest, gmv_result::Outcome};
use tokio::time::timeout;

use super::common::{
    marked,
    program::PATIENCE,
    rows::{forecasts_of, merchants},
    scrape::{assert_sound, queue_is},
    server::{Launch, TestServer},
};

/// Numbers of the forecast; there must be one.
fn numbers(result: &GmvResult) -> Vec<f64> {
    let Some(Outcome::Forecast(forecast)) = &result.outcome else { panic!("{result:?}") };
    let quantiles = forecast.quantiles.iter().map(|quantile| quantile.gmv);
    [forecast.expected_gmv, forecast.active_probability].into_iter().chain(quantiles).collect()
}

fn assert_same(some: &[GmvResult], others: &[GmvResult]) {
    assert_eq!(some.len(), others.len());
    for (one, other) in some.iter().zip(others) {
        assert_eq!((&one.merchant_id, &one.defaulted_features), (&other.merchant_id, &other.defaulted_features));
        let (numbers, wanted) = (numbers(one), numbers(other));
        // float32 kernels for batches of other sizes.
        let near = |(number, wanted): (&f64, &f64)| (number - wanted).abs() <= 1e-5 * wanted.abs().max(1.0);
        assert!(numbers.len() == wanted.len() && numbers.iter().zip(&wanted).all(near), "{one:?} is not {other:?}");
    }
}

/// The results of each request, alone and as messages of a stream.
async fn results(server: &TestServer, requests: &[PredictGmvRequest]) -> Vec<Vec<GmvResult>> {
    let mut client = server.gmv().await;
    let mut all = Vec::new();
    for request in requests {
        all.push(client.predict_gmv(request.clone()).await.unwrap().into_inner().results);
    }
    let replies = client.stream_gmv(stream::iter(requests.to_vec())).await.unwrap().into_inner();
    all.extend(replies.map(|reply| reply.unwrap().results).collect::<Vec<_>>().await);
    all
}

#[tokio::test]
async fn a_batch_of_one_row_gives_the_same_answers() {
    let requests = [1, 5, 1, 64].map(|rows| forecasts_of(merchants(rows)));
    let narrow = Launch::new().set("batch.max_rows", 1).set("batch.queue_rows", 1).set("runtime.runners", 1);
    let (narrow, usual) = tokio::join!(narrow.serving(), Launch::new().serving());
    let (narrow_ones, usual_ones) = tokio::join!(results(&narrow, &requests), results(&usual, &requests));
    assert_eq!((narrow_ones.len(), usual_ones.len()), (8, 8));
    for (some, others) in narrow_ones.iter().zip(&usual_ones) {
        assert_same(some, others);
    }
    assert_sound(&narrow).await;
}

#[tokio::test]
async fn rows_that_wait_for_company_ride_together() {
    let (_folder, launch) = marked::launch();
    let server = launch.set("batch.linger", "500ms").serving().await;
    let begun = Instant::now();
    let calls = (0..2).map(|_| async {
        let reply = server.gmv().await.predict_gmv(forecasts_of(vec![marked::rated(1.0)])).await.unwrap();
        reply.into_inner().timing.unwrap().batch_rows
    });
    assert_eq!(join_all(calls).await, [2, 2]);
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_full_batch_waits_for_nobody() {
    let (_folder, launch) = marked::launch();
    let server = launch.set("batch.linger", "1h").set("batch.max_rows", 8).serving().await;
    let rows = (0..8).map(|row| marked::rated(f64::from(row))).collect();
    let mut client = server.gmv().await;
    let reply = timeout(PATIENCE, client.predict_gmv(forecasts_of(rows))).await;
    assert_eq!(reply.unwrap().unwrap().into_inner().timing.unwrap().batch_rows, 8);
}

// Threads of their own for both clients: who decodes a large reply would hold the
// other one back here already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_at_full_speed_does_not_hold_single_rows_back() {
    let server = Launch::new().set("runtime.runners", 1).serving().await;
    let (mut bulk, mut single) = (server.gmv().await, server.gmv().await);
    let (message, one) = (forecasts_of(merchants(1024)), forecasts_of(merchants(1)));
    let streamed = tokio::spawn(async move {
        let messages = stream::iter((0..20).map(move |_| message.clone()));
        let replies = bulk.stream_gmv(messages).await.unwrap().into_inner();
        replies.map(|reply| reply.unwrap().results.len()).collect::<Vec<_>>().await
    });
    let mut took = Vec::new();
    while !streamed.is_finished() {
        let begun = Instant::now();
        single.predict_gmv(one.clone()).await.unwrap();
        took.push(begun.elapsed());
    }
    assert_eq!(streamed.await.unwrap(), [1024; 20]);
    took.sort_unstable();
    // The median and a loose bound, since a machine under test has other things to
    // do as well: behind 20 messages one would wait many times that.
    let (calls, median) = (took.len(), took[took.len() / 2]);
    assert!(calls > 20 && median < Duration::from_millis(500), "{calls} calls: {took:?}");
}

#[tokio::test]
async fn a_flood_of_requests_does_not_starve_a_stream() {
    let (_folder, launch) = marked::launch();
    let launch = launch.set("runtime.runners", 1).set("batch.queue_wait", "60s");
    let server = launch.set("runtime.inline_below", "0s").serving().await;
    let (client, mut bulk) = (server.gmv().await, server.gmv().await);
    let ended = AtomicBool::new(false);
    // Four fill a batch of 20 ms, so there are always more than one batch waiting.
    let flood = join_all((0..16).map(|_| async {
        let mut client = client.clone();
        let mut calls = 0;
        while !ended.load(Ordering::Relaxed) {
            client.predict_gmv(forecasts_of(marked::slow(64))).await.unwrap();
            calls += 1;
        }
        calls
    }));
    let streamed = async {
        queue_is(&server, |rows| rows > 256.0).await;
        let messages = stream::iter((0..10).map(|_| forecasts_of(vec![marked::rated(1.0); 64])));
        let replies = bulk.stream_gmv(messages).await.unwrap().into_inner();
        let replies = timeout(PATIENCE, replies.collect::<Vec<_>>()).await;
        ended.store(true, Ordering::Relaxed);
        replies.map(|replies| replies.into_iter().map(|reply| reply.unwrap().results.len()).collect::<Vec<_>>())
    };
    let (calls, rows) = tokio::join!(flood, streamed);
    assert_eq!(rows.unwrap(), [64; 10]);
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
}
