use std::time::Duration;

use prost::Message as _;
use tonic::Request;

use super::*;
use crate::{
    api::{
        GmvEndpoint,
        frames::{MerchantGmvService as _, PredictGmvRequest},
        proto::v1::{Merchant, MerchantFeatures},
    },
    cost::Cost,
    fixture,
    registry::{Arm, CANARY, Model, SHADOW, STABLE, Traffic},
    rows::{Column, Forward, ForwardError, Rows, Values},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers a merchant who sold for 1 yesterday, gives no number for 2, raises on 3.
#[derive(Default)]
struct Moody(Cost);

impl Forward for Moody {
    fn identity(&self) -> (&str, u64) {
        ("merchant_gmv", 2)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::MIN.saturating_add(63)
    }

    fn cost(&self) -> &Cost {
        &self.0
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        let rows = Rows::joined(parts)?;
        // `(ln(1 + gmv) - 1) / 2`, as the manifest says: -0.15, 0.05 and 0.19.
        let sold = |row: usize| rows.columns()[2].f32_row(row)[3];
        if (0..rows.len()).any(|row| sold(row) > 0.1) {
            return Err(ForwardError::Raised("three".into()));
        }
        let of_row = |row: usize| if sold(row) > 0.0 { [f32::NAN, 0.0, 1.0] } else { [0.0, 1.0, 1.0] };
        let values = (0..rows.len()).flat_map(of_row).collect();
        Ok(Rows::new(rows.len(), vec![Column::new(3, Values::F32(values))]).unwrap())
    }
}

fn moody(number: u64) -> Arc<Version> {
    Arc::new(Version { engine: Arc::new(Moody::default()), ..fixture::version("merchant_gmv", number) })
}

/// Shared by the endpoints, with these versions.
fn scoring(arms: &[(&str, &Arc<Version>, f64)]) -> Scoring {
    let arm = |&(label, version, percent): &(&str, &Arc<Version>, f64)| Arm {
        label: label.into(),
        version: Arc::clone(version),
        percent,
    };
    let traffic = Traffic::new(arms.iter().map(arm).collect(), "salt").map(Arc::new);
    fixture::scoring("merchant_gmv", Model { traffic, ..Model::default() }, 1 << 20)
}

/// Asks for merchants who sold for so much, by the version of this label.
async fn predict(scoring: &Scoring, label: &str, sold: &[f64]) {
    let merchant = |sold: &f64| {
        let features = MerchantFeatures { daily_gmv: vec![*sold], ..MerchantFeatures::default() };
        Bytes::from(Merchant { features: Some(features), ..Merchant::default() }.encode_to_vec())
    };
    let merchants = sold.iter().map(merchant).collect();
    let request = PredictGmvRequest { merchants, version: label.to_owned(), quantiles: Vec::new() };
    GmvEndpoint::new(scoring.clone()).predict_gmv(Request::new(request)).await.unwrap();
}

/// Waits for what the trials' own thread brings.
async fn until<T>(found: impl Fn() -> Option<T>) -> T {
    let found = async {
        loop {
            match found() {
                Some(found) => return found,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap()
}

#[tokio::test]
async fn what_a_canary_made_of_each_row_is_counted() {
    let (stable, canary) = (moody(1), moody(2));
    let scoring = scoring(&[(STABLE, &stable, 90.0), (CANARY, &canary, 10.0)]);
    let window = Duration::from_secs(600);
    until(|| scoring.trials.seen(&canary, window)).await;
    // A GMV below 0 is refused before any version is asked.
    predict(&scoring, CANARY, &[1.0, 2.0, -1.0, 3.0, 1.0]).await;
    predict(&scoring, CANARY, &[3.0]).await;
    predict(&scoring, STABLE, &[1.0, 1.0]).await;
    let canary = scoring.trials.seen(&canary, window).unwrap();
    assert_eq!((canary.rows, canary.failed, canary.without_number, canary.latencies.count()), (5, 2, 1, 2));
    let stable = scoring.trials.seen(&stable, window).unwrap();
    assert_eq!((stable.rows, stable.failed, stable.without_number), (2, 0, 0));
}

#[tokio::test]
async fn rows_of_the_reply_are_compared_with_those_of_the_shadow() {
    let (stable, shadow) = (moody(1), moody(2));
    let scoring = scoring(&[(STABLE, &stable, 100.0), (SHADOW, &shadow, 100.0)]);
    let compared = async {
        loop {
            predict(&scoring, "", &[1.0, 2.0, -1.0, 3.0, 1.0]).await;
            if let [only] = scoring.trials.comparisons("merchant_gmv").as_slice() {
                return only.clone();
            }
        }
    };
    let compared = tokio::time::timeout(PATIENCE, compared).await.unwrap();
    assert_eq!((compared.live, compared.other, compared.head.as_str()), (1, 2, "expected_gmv"));
    // Two of each five rows have an answer.
    assert!(compared.figures.rows > 0 && compared.figures.rows.is_multiple_of(2), "{compared:?}");
    assert_eq!((compared.figures.largest, compared.figures.rank_correlation), (0.0, Some(1.0)));
}
