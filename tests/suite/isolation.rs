//! A row on which the model fails, fails alone.

use std::collections::BTreeMap;

use futures::future::join_all;
use souk::api::proto::v1::{GmvResult, Merchant, RowError, gmv_result::Outcome};
use tonic::Code;

use super::common::{
    marked::{self, CITIES, NOT_A_NUMBER, RAISES, is_of, rated, rated_in},
    rows::forecasts_of,
    scrape::{assert_sound, value},
    server::{Launch, TestServer},
};

/// Requests of each client.
const ROUNDS: usize = 20;

/// Rows that a client got back, and in what company.
#[derive(Default)]
struct Got {
    good: usize,
    bad: usize,
    /// The largest batch that a row of it rode in.
    batch: u32,
}

/// Ratings of a good client's request: a number of rows of its own.
fn good(client: usize) -> Vec<f64> {
    (0..=client % 4).map(|row| (client + row) as f64).collect()
}

fn error(result: &GmvResult) -> &RowError {
    match &result.outcome {
        Some(Outcome::Error(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn is_forecast(result: &GmvResult, rating: f64, id: usize) -> bool {
    matches!(&result.outcome, Some(Outcome::Forecast(forecast)) if is_of(forecast, rating, id))
}

/// Sends the ratings over and over; each answer must be that of its row.
async fn send(server: &TestServer, ratings: Vec<f64>) -> Got {
    let mut client = server.gmv().await;
    let mut got = Got::default();
    for _ in 0..ROUNDS {
        let rows = ratings.iter().map(|&rating| rated(rating)).collect();
        let reply = client.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
        assert_eq!(reply.results.len(), ratings.len());
        got.batch = got.batch.max(reply.timing.unwrap().batch_rows);
        for (&rating, result) in ratings.iter().zip(&reply.results) {
            if rating == RAISES || rating == NOT_A_NUMBER {
                let error = error(result);
                let wanted = if rating == RAISES { "a marked row" } else { "is not finite" };
                assert_eq!(error.code, Code::Internal as i32, "{error:?}");
                assert!(error.message.contains("merchant_gmv version 1"), "{error:?}");
                assert!(error.message.contains(wanted), "{error:?}");
                got.bad += 1;
            } else {
                assert!(is_forecast(result, rating, 0), "{rating}: {result:?}");
                got.good += 1;
            }
        }
    }
    got
}

/// Two clients whose rows make the model fail, among 32 whose rows are good.
async fn two_bad_clients_among_32(launch: Launch, bad: f64) {
    let server = launch.serving().await;
    let good = join_all((0..32).map(|client| send(&server, good(client))));
    let bad = join_all([send(&server, vec![bad]), send(&server, vec![50.0, bad, 51.0])]);
    let (good, bad) = tokio::join!(good, bad);
    // 80 rows a round of those who send 1 to 4.
    assert_eq!(good.iter().map(|got| got.good).sum::<usize>(), 80 * ROUNDS);
    assert_eq!(bad.iter().map(|got| (got.good, got.bad)).collect::<Vec<_>>(), [(0, ROUNDS), (2 * ROUNDS, ROUNDS)]);
    // The bad ones did have company.
    assert!(bad[0].batch > 1, "alone in every batch");
    assert_sound(&server).await;
}

#[tokio::test]
async fn rows_on_which_the_model_raises_fail_alone_where_requests_arrive() {
    let (_folder, launch) = marked::launch();
    two_bad_clients_among_32(launch, RAISES).await;
}

#[tokio::test]
async fn rows_on_which_the_model_raises_fail_alone_on_the_runners() {
    let (_folder, launch) = marked::launch();
    two_bad_clients_among_32(launch.set("runtime.inline_below", "0s").set("batch.linger", "2ms"), RAISES).await;
}

#[tokio::test]
async fn rows_for_which_the_model_gives_no_number_fail_alone() {
    let (_folder, launch) = marked::launch();
    two_bad_clients_among_32(launch.set("batch.linger", "2ms"), NOT_A_NUMBER).await;
}

#[tokio::test]
async fn every_bad_row_of_a_large_request_is_found() {
    let (_folder, launch) = marked::launch();
    let server = launch.serving().await;
    // Over four batches: the first and the last row, neighbours, and one of each kind.
    let bad = BTreeMap::from([(0, RAISES), (300, RAISES), (301, RAISES), (700, NOT_A_NUMBER), (1023, RAISES)]);
    let rating = |row: usize| bad.get(&row).copied().unwrap_or((row % 90) as f64);
    let rows: Vec<Merchant> = (0..1024).map(|row| rated(rating(row))).collect();
    let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    for (row, result) in reply.results.iter().enumerate() {
        if bad.contains_key(&row) {
            assert_eq!(error(result).code, Code::Internal as i32, "{row}");
        } else {
            assert!(is_forecast(result, rating(row), 0), "{row}: {result:?}");
        }
    }
    assert_eq!(reply.results.len(), 1024);
    assert_sound(&server).await;
}

#[tokio::test]
async fn no_category_becomes_an_id_that_the_model_does_not_have() {
    let (_folder, launch) = marked::launch();
    let server = launch.serving().await;
    let long = "s".repeat(10_000);
    let unknown = ["", "South", "south ", "3", "2147483648", "-1", "\u{0}", "é", long.as_str()];
    let cities = CITIES.iter().zip(1..).chain(unknown.iter().map(|city| (city, 0)));
    let (cities, ids): (Vec<&str>, Vec<usize>) = cities.map(|(city, id)| (*city, id)).unzip();
    let rows = cities.iter().map(|city| rated_in(city, 5.0)).collect();
    let reply = server.gmv().await.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    assert_eq!(reply.results.len(), ids.len());
    for ((city, id), result) in cities.iter().zip(ids).zip(&reply.results) {
        assert!(is_forecast(result, 5.0, id), "{city:?}: {result:?}");
    }
    // It never saw one: the model would have raised.
    let failed = r#"souk_rows_total{model="merchant_gmv",outcome="failed",version="1"}"#;
    assert_eq!(value(&server, failed).await, Some(0.0));
}

#[tokio::test]
async fn a_version_with_fewer_ids_than_its_vocabulary_fails_the_rows_beyond_alone() {
    let (_folder, launch) = marked::launch_with(|manifest| {
        manifest["features"][0]["encoding"]["vocabulary"] = serde_json::json!([CITIES[0], CITIES[1], "beyond"]);
    });
    let server = launch.set("batch.linger", "2ms").serving().await;
    let mut client = server.gmv().await;
    let rows = vec![rated_in("north", 1.0), rated_in("beyond", 2.0), rated_in("south", 3.0)];
    let reply = client.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner();
    assert!(is_forecast(&reply.results[0], 1.0, 1) && is_forecast(&reply.results[2], 3.0, 2), "{reply:?}");
    let error = error(&reply.results[1]);
    assert_eq!(error.code, Code::Internal as i32, "{error:?}");
    assert!(error.message.contains("index out of range"), "{error:?}");
    assert_sound(&server).await;
}
