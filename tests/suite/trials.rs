//! Versions on trial: a shadow that answers nobody, and a canary that has to go.

use std::{path::Path, time::Duration};

use souk::api::proto::v1::{Comparison, GetModelRequest, ModelEventKind, PredictGmvRequest, WatchModelsRequest};
use tokio::time::timeout;

use super::common::{
    lifecycle::{self, GMV, model, served_by, set_traffic},
    marked::{self, NOT_A_NUMBER, RAISES, SLOW, rated},
    models::Copy,
    program::PATIENCE,
    rows::{forecasts_of, merchants},
    scrape,
    server::{TestServer, empty_root},
};

async fn comparisons(server: &TestServer) -> Vec<Comparison> {
    let request = GetModelRequest { model: GMV.into() };
    server.models().await.get_model(request).await.unwrap().into_inner().comparisons
}

#[tokio::test]
async fn a_shadow_that_is_equal_to_the_live_version_differs_in_nothing() {
    let (_folder, root) = empty_root();
    for number in [1, 2] {
        Copy::new(GMV, &root, number);
    }
    let server = lifecycle::launch(&root).serving().await;
    set_traffic(&server, &["stable=1", "shadow=2"]).await.unwrap();
    let compared = async {
        loop {
            assert_eq!(served_by(&server, "").await.unwrap(), 1);
            server.gmv().await.predict_gmv(forecasts_of(merchants(40))).await.unwrap();
            match comparisons(&server).await.as_slice() {
                [one] if one.rows >= 100 => return one.clone(),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let one = timeout(PATIENCE, compared).await.unwrap();
    assert_eq!((one.live_version, one.other_version, one.head.as_str()), (1, 2, "expected_gmv"));
    assert_eq!(
        (one.max_absolute_difference, one.rank_correlation, one.top_decile_overlap),
        (0.0, Some(1.0), Some(1.0))
    );
    assert!(scrape::total(&server, "souk_shadow_difference").await > 0.0);
}

/// Two versions of a model that misbehaves on marked ratings, the second one a canary.
async fn canary(root: &Path) -> TestServer {
    for number in [1, 2] {
        marked::version(root, number);
    }
    let server = lifecycle::launch(root).serving().await;
    set_traffic(&server, &["stable=1", "canary=2:10"]).await.unwrap();
    server
}

/// Asks the canary for rows, of which every 20th has this rating, until it is taken
/// back; why it was.
async fn taken_back(server: &TestServer, rating: f64) -> String {
    let mut client = server.gmv().await;
    let mut row = 0;
    let asking = async {
        while model(server).await.policy.unwrap().labels.len() == 2 {
            for _ in 0..20 {
                row += 1;
                let rating = if row % 20 == 0 { rating } else { f64::from(row % 50) };
                let canary = PredictGmvRequest { version: "canary".into(), ..forecasts_of(vec![rated(rating)]) };
                // Once it is taken back there is no such label.
                let _ = client.predict_gmv(canary).await;
                client.predict_gmv(forecasts_of(vec![rated(4.0)])).await.unwrap();
            }
        }
    };
    assert!(timeout(Duration::from_secs(30), asking).await.is_ok(), "it was not taken back within 30 s");
    assert_eq!(served_by(server, "").await.unwrap(), 1);
    let request = WatchModelsRequest { last: Some(50), ..WatchModelsRequest::default() };
    let mut events = server.models().await.watch_models(request).await.unwrap().into_inner();
    loop {
        let event = events.message().await.unwrap().unwrap().event.unwrap();
        if event.kind() == ModelEventKind::TakenBack {
            return event.message;
        }
    }
}

#[tokio::test]
async fn a_canary_that_gives_no_numbers_is_taken_back() {
    let (_folder, root) = empty_root();
    let server = canary(&root).await;
    let why = taken_back(&server, NOT_A_NUMBER).await;
    assert!(why.contains("non_finite") || why.contains("no number"), "{why}");
}

#[tokio::test]
async fn a_canary_that_raises_is_taken_back_and_the_history_says_why() {
    let (_folder, root) = empty_root();
    let server = canary(&root).await;
    let why = taken_back(&server, RAISES).await;
    assert!(why.contains("error"), "{why}");
    let request = GetModelRequest { model: GMV.into() };
    let history = server.models().await.get_model(request).await.unwrap().into_inner().history;
    assert_eq!((history[0].by.as_str(), &history[0].reason), ("guard", &why));
    server.logs("canary taken back").await;
}

#[tokio::test]
async fn a_canary_that_is_slow_is_taken_back() {
    let (_folder, root) = empty_root();
    let server = canary(&root).await;
    let why = taken_back(&server, SLOW).await;
    assert!(why.contains("p99") || why.contains("cost"), "{why}");
}
