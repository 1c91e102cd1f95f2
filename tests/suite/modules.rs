//! Modules of every type, shape and habit, by the Open Inference Protocol: each request
//! gets the answer that PyTorch gave to it alone, whatever company it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use futures::future::join_all;
use souk::api::proto::inference::{
    ModelReadyRequest, ModelStatisticsRequest, grpc_inference_service_client::GrpcInferenceServiceClient as Client,
};
use tempfile::TempDir;
use tonic::transport::Channel;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::common::{
    modules::{Exchange, copy_to, exchanges},
    program::PATIENCE,
    scrape::assert_sound,
    server::{Launch, TestServer, empty_root},
};

/// Clients that send at once.
const CLIENTS: u64 = 32;

/// Requests of each of them.
const ROUNDS: u64 = 60;

/// All modules, all live; they lie in the folder. None of the requests is refused for
/// having to wait: the machine may be slow.
async fn all_live(launch: Launch) -> (TempDir, TestServer) {
    let (folder, root) = empty_root();
    let models = copy_to(&root);
    assert!(models.len() >= 30, "{models:?}");
    let server = launch.set("models.root", root.display()).set("batch.queue_wait", "600s").serving().await;
    let mut client = client(&server).await;
    for name in models {
        let request = ModelReadyRequest { name: name.clone(), ..ModelReadyRequest::default() };
        let is_live = client.model_ready(request).await.unwrap().into_inner().ready;
        assert!(is_live, "{name}: {}", server.log());
    }
    (folder, server)
}

async fn client(server: &TestServer) -> Client<Channel> {
    Client::new(server.channel().await)
}

async fn send(mut client: Client<Channel>, exchange: &Exchange) {
    let found = client.model_infer(exchange.raw.clone()).await;
    exchange.assert_is(found.map(tonic::Response::into_inner));
}

/// Passes of each model so far.
async fn passes(server: &TestServer) -> BTreeMap<String, u64> {
    let all = client(server).await.model_statistics(ModelStatisticsRequest::default()).await.unwrap().into_inner();
    all.model_stats.into_iter().map(|stats| (stats.name, stats.execution_count)).collect()
}

fn shuffled(exchanges: &[Exchange], seed: u64) -> Vec<&Exchange> {
    let mut all: Vec<_> = exchanges.iter().enumerate().collect();
    all.sort_by_key(|(index, _)| xxh3_64_with_seed(&index.to_le_bytes(), seed));
    all.into_iter().map(|(_, exchange)| exchange).collect()
}

/// Models that made fewer passes than they had requests: of the others each request
/// may have run alone.
fn shared(exchanges: &[Exchange], before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeSet<String> {
    let mut requests = BTreeMap::<&str, u64>::new();
    for exchange in exchanges {
        *requests.entry(&exchange.model).or_default() += 1;
    }
    let fewer = |(model, requests): (&str, u64)| (after[model] - before[model] < requests).then(|| model.to_owned());
    requests.into_iter().filter_map(fewer).collect()
}

#[tokio::test]
async fn every_module_is_right_alone_with_raw_and_with_typed_contents() {
    let (_folder, server) = all_live(Launch::new()).await;
    let mut client = client(&server).await;
    let (mut raw, mut typed) = (0, 0);
    for exchange in &exchanges() {
        send(client.clone(), exchange).await;
        raw += 1;
        if let Some(request) = exchange.typed.clone() {
            exchange.assert_is(client.model_infer(request).await.map(tonic::Response::into_inner));
            typed += 1;
        }
    }
    assert!(raw >= 150 && typed >= 150, "{raw} raw and {typed} typed requests");
    assert_sound(&server).await;
}

#[tokio::test]
async fn requests_larger_than_a_batch_are_answered_in_their_order() {
    let (_folder, server) = all_live(Launch::new()).await;
    let client = client(&server).await;
    let exchanges = exchanges();
    let large = exchanges.iter().filter_map(|exchange| exchange.repeated(23));
    join_all(large.map(|exchange| {
        let client = client.clone();
        async move { send(client, &exchange).await }
    }))
    .await;
    assert_sound(&server).await;
}

#[tokio::test]
async fn every_module_is_right_in_mixed_batches() {
    let launch = Launch::new().set("batch.linger", "5ms").set("runtime.inline_below", "0s");
    let (_folder, server) = all_live(launch).await;
    let client = client(&server).await;
    let exchanges = exchanges();
    // Rows that fail are run again, which makes passes.
    let fails: BTreeSet<_> = exchanges.iter().filter(|one| !one.is_good()).map(|one| one.model.clone()).collect();
    let batched = exchanges.iter().filter(|one| one.max_batch_rows > 1 && !fails.contains(&one.model));
    let mut alone: BTreeSet<_> = batched.map(|one| one.model.clone()).collect();
    let (begun, mut rounds) = (Instant::now(), 0);
    while !alone.is_empty() || rounds < 3 {
        assert!(begun.elapsed() < PATIENCE, "these had no company in {rounds} rounds: {alone:?}");
        let before = passes(&server).await;
        join_all(shuffled(&exchanges, rounds).into_iter().map(|exchange| send(client.clone(), exchange))).await;
        for model in shared(&exchanges, &before, &passes(&server).await) {
            alone.remove(&model);
        }
        rounds += 1;
    }
    assert_sound(&server).await;
}

#[tokio::test]
async fn every_module_is_right_under_32_clients() {
    let (_folder, server) = all_live(Launch::new()).await;
    let exchanges = exchanges();
    let of_client = async |number: u64| {
        let client = client(&server).await;
        for round in 0..ROUNDS {
            let place = xxh3_64_with_seed(&round.to_le_bytes(), number) as usize % exchanges.len();
            send(client.clone(), &exchanges[place]).await;
        }
    };
    join_all((0..CLIENTS).map(of_client)).await;
    assert_sound(&server).await;
}
