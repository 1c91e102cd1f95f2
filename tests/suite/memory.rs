//! A server that has run for a while holds as much as one that has just begun.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use souk::api::proto::v1::{Merchant, gmv_result::Outcome};

use super::common::{
    rows::{featureless, forecasts_of, merchants, not_a_number},
    server::{Launch, TestServer},
};

/// Requests that are under way at the same time.
const TOGETHER: usize = 8;

/// Merchants of request `number`: 1 to 8, every fifth request with bad ones.
fn rows(all: &[Merchant], number: usize) -> Vec<Merchant> {
    let mut rows: Vec<Merchant> = all.iter().cycle().skip(number % all.len()).take(1 + number % 8).cloned().collect();
    if number.is_multiple_of(5) {
        rows[0] = if number.is_multiple_of(2) { not_a_number("bad") } else { featureless("bad") };
    }
    rows
}

/// Sends the requests of these numbers; how many rows were scored.
async fn send(server: &TestServer, requests: &[Vec<Merchant>], numbers: std::ops::Range<usize>) -> usize {
    let client = server.gmv().await;
    let replies = stream::iter(numbers).map(|number| {
        let (mut client, rows) = (client.clone(), requests[number % requests.len()].clone());
        async move { client.predict_gmv(forecasts_of(rows)).await.unwrap().into_inner() }
    });
    let scored = replies.buffer_unordered(TOGETHER).map(|reply| {
        reply.results.iter().filter(|result| matches!(result.outcome, Some(Outcome::Forecast(_)))).count()
    });
    scored.fold(0, async |sum, scored| sum + scored).await
}

#[tokio::test]
async fn ten_thousand_requests_leave_no_memory_behind() {
    let server = Launch::new().serving().await;
    let all = merchants(100);
    let requests: Arc<[Vec<Merchant>]> = (0..400).map(|number| rows(&all, number)).collect();
    assert!(send(&server, &requests, 0..1_000).await > 3_000);
    let begun = server.resident_kib();
    assert!(send(&server, &requests, 1_000..10_000).await > 27_000);
    let ended = server.resident_kib();
    // 5 MB and 3 %: what an allocator of several threads moves by itself.
    let allowed = begun + 5 * 1024 + begun * 3 / 100;
    assert!(ended < allowed, "{begun} KiB after 1 000 requests, {ended} KiB after 10 000");
}
