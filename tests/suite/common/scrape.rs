//! What `/metrics` says.

use tokio::time::timeout;

use super::{program::PATIENCE, server::TestServer};

/// The value of the sample with this name and these labels.
pub(crate) async fn value(server: &TestServer, sample: &str) -> Option<f64> {
    let (_, text) = server.get("/metrics").await;
    let mut found = text.lines().filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.next().map(|value| value.parse().unwrap())
}

/// The samples of this name, whatever their labels, added up; 0 where there is none.
pub(crate) async fn total(server: &TestServer, name: &str) -> f64 {
    let (_, text) = server.get("/metrics").await;
    let of_name = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let samples = text.lines().filter(|line| of_name(line));
    samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

/// Waits until the total of the samples of this name is as wanted.
pub(crate) async fn reaches(server: &TestServer, name: &str, wanted: impl Fn(f64) -> bool) {
    let reached = async {
        while !wanted(total(server, name).await) {
            tokio::task::yield_now().await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("{name} stays {}", total(server, name).await);
    }
}

/// Waits until rows wait for a pass, as many as wanted.
pub(crate) async fn queue_is(server: &TestServer, wanted: impl Fn(f64) -> bool) {
    reaches(server, "souk_queue_rows", wanted).await;
}

/// No row was run late, no thread died, nothing panicked.
pub(crate) async fn assert_sound(server: &TestServer) {
    for never in ["souk_late_rows_run_total", "souk_runner_restarts_total"] {
        assert_eq!(total(server, never).await, 0.0, "{never}");
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
