//! More than can be done: who is refused, how, and that nothing stays behind.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, future::join_all, stream};
use souk::api::proto::v1::merchant_gmv_service_client::MerchantGmvServiceClient;
use tokio::{
    runtime::{self, Runtime},
    task::JoinHandle,
};
use tonic::{Code, IntoRequest as _, Status, transport::Endpoint};
use tonic_types::StatusExt as _;

use super::common::{
    marked, raw,
    rows::{forecasts_of, merchants},
    scrape::{assert_sound, queue_is, reaches, value},
    server::{Launch, TestServer},
};

/// Generous for one row of a server that has nothing else to do.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What became of many calls.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    late: usize,
    refused: Vec<Status>,
}

impl Tally {
    /// Counts the reply; only those are right under load.
    fn add<T>(&mut self, reply: Result<T, Status>) {
        match reply {
            Ok(_) => self.answered += 1,
            Err(status) if status.code() == Code::DeadlineExceeded => self.late += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
                assert!(retry.is_some_and(|delay| delay <= Duration::from_secs(1)), "{status:?}");
                self.refused.push(status);
            }
        }
    }
}

/// One thread for passes, none of them where requests arrive, and callers who may
/// wait long: what is slow fills the queue.
fn queueing(launch: Launch) -> Launch {
    launch.set("runtime.runners", 1).set("runtime.inline_below", "0s").set("batch.queue_wait", "60s")
}

async fn assert_answers_at_once(server: &TestServer) {
    let mut client = server.gmv().await;
    let begun = Instant::now();
    client.predict_gmv(forecasts_of(vec![marked::rated(1.0)])).await.unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

/// A client as a process of its own would be: it can be killed.
struct Client {
    runtime: Runtime,
    calls: Vec<JoinHandle<()>>,
}

impl Client {
    /// Calls and a stream that keep a runner busy for some batches.
    fn under_way(server: &TestServer) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let channel = Endpoint::from_shared(server.url()).unwrap();
        let client = {
            let _entered = runtime.enter();
            MerchantGmvServiceClient::new(channel.connect_lazy())
        };
        let unary = (0..6).map(|_| {
            let mut client = client.clone();
            runtime.spawn(async move { drop(client.predict_gmv(forecasts_of(marked::slow(200))).await) })
        });
        let mut calls: Vec<_> = unary.collect();
        let mut client = client.clone();
        calls.push(runtime.spawn(async move {
            let messages = stream::iter((0..6).map(|_| forecasts_of(marked::slow(300)))).chain(stream::pending());
            if let Ok(replies) = client.stream_gmv(messages).await {
                replies.into_inner().for_each(async |_| ()).await;
            }
        }));
        Self { runtime, calls }
    }

    /// Gives up every call.
    async fn give_up(&mut self) {
        for call in self.calls.drain(..) {
            call.abort();
            // Cancelled, or done just before.
            let _ = call.await;
        }
    }

    /// Ends in mid-sentence: its sockets are closed.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

#[tokio::test]
async fn clients_killed_in_mid_flight_leave_nothing_behind() {
    let (_folder, launch) = marked::launch();
    let mut server = queueing(launch).serving().await;
    for round in 0..100 {
        let mut client = Client::under_way(&server);
        queue_is(&server, |rows| rows > 0.0).await;
        if round % 2 == 1 {
            client.give_up().await;
        }
        client.kill();
        queue_is(&server, |rows| rows == 0.0).await;
    }
    // None of them is open any more.
    reaches(&server, "souk_requests_total", |calls| calls == 700.0).await;
    assert_answers_at_once(&server).await;
    let cancelled = r#"souk_shed_rows_total{model="merchant_gmv",reason="cancelled"}"#;
    assert!(value(&server, cancelled).await.is_some_and(|rows| rows > 100.0));
    assert_sound(&server).await;
    // An open call would hold the process back for 30 s.
    server.terminate();
    assert!(server.exit(Duration::from_secs(5)).await.success(), "{}", server.log());
}

#[tokio::test]
async fn one_place_in_the_queue_is_enough_to_be_right() {
    let launch = Launch::new().set("batch.max_rows", 1).set("batch.queue_rows", 1).set("runtime.runners", 1);
    let server = launch.serving().await;
    let (client, mut tally) = (server.gmv().await, Tally::default());
    let (one, five) = (forecasts_of(merchants(1)), forecasts_of(merchants(5)));
    let calls = (0..200).map(|_| {
        let (mut client, one) = (client.clone(), one.clone());
        async move { client.predict_gmv(one).await }
    });
    join_all(calls).await.into_iter().for_each(|reply| tally.add(reply));
    assert!(tally.answered > 0 && !tally.refused.is_empty() && tally.late == 0, "{tally:?}");
    // More rows than a batch wait for their turn instead.
    let large = (0..20).map(|_| {
        let (mut client, five) = (client.clone(), five.clone());
        async move { client.predict_gmv(five).await.unwrap().into_inner() }
    });
    assert!(join_all(large).await.iter().all(|reply| reply.results.len() == 5));
    queue_is(&server, |rows| rows == 0.0).await;
    server.gmv().await.predict_gmv(one).await.unwrap();
    assert_sound(&server).await;
}

#[tokio::test]
async fn under_load_every_call_is_answered_in_time_or_refused_and_nothing_late_is_run() {
    let (_folder, launch) = marked::launch();
    let launch = launch.set("runtime.runners", 1).set("runtime.inline_below", "0s");
    let server = launch.serving().await;
    let connections = join_all((0..4).map(|_| raw::gmv(&server))).await;
    // A batch of these takes some 20 ms, so that the runner can answer a few of 32
    // callers in time at best.
    let callers = (0..32).map(|caller| {
        let mut client = connections[caller % 4].clone();
        async move {
            let mut tally = Tally::default();
            for timeout in [20, 40, 60, 100, 200, 5, 30, 80].into_iter().cycle().skip(caller).take(24) {
                let mut request = forecasts_of(marked::slow(256)).into_request();
                request.set_timeout(Duration::from_millis(timeout));
                let begun = Instant::now();
                tally.add(client.predict_gmv(request).await);
                let over = begun.elapsed().saturating_sub(Duration::from_millis(timeout));
                assert!(over < AT_ONCE, "answered {over:?} after the deadline of {timeout} ms");
            }
            tally
        }
    });
    let tallies = join_all(callers).await;
    let answered: usize = tallies.iter().map(|tally| tally.answered).sum();
    let refused: usize = tallies.iter().map(|tally| tally.refused.len()).sum();
    let late: usize = tallies.iter().map(|tally| tally.late).sum();
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused, {late} late");
    assert_eq!(answered + refused + late, 32 * 24);
    queue_is(&server, |rows| rows == 0.0).await;
    assert_answers_at_once(&server).await;
    assert_sound(&server).await;
}

#[tokio::test]
async fn requests_that_would_hold_too_many_bytes_are_refused() {
    let (_folder, launch) = marked::launch();
    let server = queueing(launch).set("batch.queue_bytes", "20KiB").serving().await;
    let (client, mut tally) = (server.gmv().await, Tally::default());
    let calls = (0..16).map(|_| {
        let mut client = client.clone();
        async move { client.predict_gmv(forecasts_of(marked::slow(200))).await }
    });
    join_all(calls).await.into_iter().for_each(|reply| tally.add(reply));
    assert!(tally.answered > 0 && !tally.refused.is_empty(), "{tally:?}");
    for status in &tally.refused {
        assert!(status.message().contains("bytes would exceed the 20480"), "{status:?}");
    }
    assert_answers_at_once(&server).await;
    // What is larger than all of it has its turn where nothing else is there.
    let large = forecasts_of(marked::slow(1000));
    assert_eq!(server.gmv().await.predict_gmv(large).await.unwrap().into_inner().results.len(), 1000);
}
