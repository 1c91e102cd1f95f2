use std::{num::NonZeroUsize, sync::Weak};

use jiff::civil::date;
use prost::Message as _;

use super::{shadow::Found, *};
use crate::{
    api::{
        JsonForms,
        proto::v1::{Merchant, MerchantFeatures, User, UserFeatures},
    },
    cost::Cost,
    error::ScoreError,
    features::Encoder,
    fixture,
    heads::Head,
    manifest::{Manifest, fixture as manifests},
    model::RowReader as _,
    registry::{Arm, CANARY, Model, SHADOW, STABLE, Traffic},
    rows::{Column, Forward, ForwardError, Values},
    telemetry::Exposition,
};

pub(in crate::trial) const GMV: &str = "merchant_gmv";
const SECOND: Duration = Duration::from_secs(1);

/// Answers by what it is asked, times a factor; raises where the first input of a row
/// that is no id is above a limit.
pub(in crate::trial) struct Scaled {
    pub(in crate::trial) factor: f32,
    raises_above: f32,
    pub(in crate::trial) cost: Cost,
    widths: Vec<usize>,
}

impl Scaled {
    /// Answers of these widths.
    fn new(factor: f32, widths: &[usize]) -> Self {
        Self { factor, raises_above: f32::INFINITY, cost: Cost::default(), widths: widths.to_vec() }
    }

    /// One number of the row's own.
    fn seed(rows: &Rows, row: usize) -> f32 {
        rows.columns().iter().flat_map(|column| column.f32_row(row)).sum()
    }
}

impl Forward for Scaled {
    fn identity(&self) -> (&str, u64) {
        (GMV, 1)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::new(64).unwrap()
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        let rows = Rows::joined(parts)?;
        let seeds: Vec<f32> = (0..rows.len()).map(|row| Self::seed(&rows, row)).collect();
        if seeds.iter().any(|seed| *seed > self.raises_above) {
            return Err(ForwardError::Raised("too much".into()));
        }
        let is_gmv = self.widths == [3];
        let column = |&width: &usize| {
            let of_row = |seed: &f32| {
                let seed = *seed;
                // For GMV: surely active, mu of the row, sigma 1, so that the mean goes by the factor.
                let ziln = [40.0, seed + self.factor.ln(), 1.0];
                (0..width).map(move |at| if is_gmv { ziln[at] } else { (seed * (at + 1) as f32).sin() * self.factor })
            };
            let values = seeds.iter().flat_map(of_row).collect();
            Column::new(width, Values::F32(values))
        };
        let columns = self.widths.iter().map(column).collect();
        Rows::new(rows.len(), columns).map_err(|ragged| ForwardError::Raised(ragged.to_string()))
    }
}

fn gmv(number: u64, engine: Scaled) -> Version {
    Version { engine: Arc::new(engine), digest: format!("{number}"), ..fixture::version(GMV, number) }
}

/// A version that answers `factor` times what another one does.
pub(in crate::trial) fn scaled(number: u64, factor: f32) -> Version {
    gmv(number, Scaled::new(factor, &[3]))
}

pub(in crate::trial) fn portrait(number: u64, factor: f32) -> Version {
    let mut json = manifests::portrait();
    json["version"] = number.into();
    let manifest = Manifest::parse(json.to_string().as_bytes()).unwrap();
    let encoder = Encoder::new(&manifest, JsonForms::new().unwrap().fields(manifest.task)).unwrap();
    Version {
        digest: format!("{number}"),
        head: Head::new(&manifest),
        golden: encoder.empty_rows(0),
        proved_by: 0,
        signed: None,
        encoder,
        engine: Arc::new(Scaled::new(factor, &[2, 3, 4])),
        manifest,
    }
}

/// Merchants, each with a number of its own.
fn merchants(rows: std::ops::Range<usize>) -> Vec<Bytes> {
    let merchant = |row: usize| {
        let daily_gmv = vec![(row * 7919 % 4999) as f64; 3];
        let features = MerchantFeatures { daily_gmv, ..MerchantFeatures::default() };
        let merchant_id = format!("m-{row}");
        Bytes::from(Merchant { merchant_id, features: Some(features), as_of: String::new() }.encode_to_vec())
    };
    rows.map(merchant).collect()
}

/// Trials without a thread of their own: each round is run by hand.
pub(in crate::trial) struct Rig {
    pub(in crate::trial) registry: Arc<Registry>,
    pub(in crate::trial) trials: Trials,
    shadow: Shadow,
    exposition: Exposition,
    rounds: u32,
}

impl Rig {
    /// With these labels, versions and shares.
    pub(in crate::trial) fn new(arms: &[(&str, Arc<Version>, f64)]) -> Self {
        let (metrics, exposition) = Metrics::new().unwrap();
        let registry = Arc::new(Registry::new());
        let (trials, shadow) = Trials::new(TrialSetup {
            registry: Arc::clone(&registry),
            frames: Arc::new(JsonForms::new().unwrap()),
            metrics,
            setup: Arc::new(|| Box::new(())),
            today: || date(2026, 4, 30),
            keep_recent_below: None,
        });
        let mut rig = Self { registry, trials, shadow, exposition, rounds: 0 };
        rig.publish(arms);
        rig
    }

    /// From now on others are on trial.
    fn publish(&mut self, arms: &[(&str, Arc<Version>, f64)]) {
        let name = arms.first().map_or(GMV, |(_, version, _)| &version.manifest.model).to_owned();
        let arm = |(label, version, percent): &(&str, Arc<Version>, f64)| Arm {
            label: (*label).into(),
            version: Arc::clone(version),
            percent: *percent,
        };
        let traffic = Traffic::new(arms.iter().map(arm).collect(), &name).map(Arc::new);
        self.registry.publish(&name, Model { traffic, ..Model::default() });
        self.round();
    }

    /// A round some seconds after the one before, so that the figures are worked out.
    fn round(&mut self) -> Found {
        self.rounds += 5;
        self.shadow.round(self.trials.now() + SECOND * self.rounds)
    }

    /// What requests do: the version answers these rows, and hands over what it made.
    fn answer(&self, version: &Arc<Version>, frames: Vec<Bytes>) {
        let mut rows = version.encoder.empty_rows(frames.len());
        for frame in &frames {
            assert!(self.trials.0.shared.frames.encode(frame, date(2026, 4, 30), version, &mut rows));
        }
        let outputs = version.engine.forward(&[&rows]).unwrap();
        let latency = Duration::from_millis(1);
        self.trials.scored(version, Scored { frames, outputs, failed: Vec::new(), without_number: 0, latency });
    }

    fn heads(&self, model: &str) -> BTreeMap<String, Compared> {
        self.trials.comparisons(model).into_iter().map(|head| (head.head.clone(), head)).collect()
    }

    fn counted(&self, outcome: &str, version: u64) -> usize {
        let start =
            format!(r#"souk_shadow_rows_total{{model="merchant_gmv",outcome="{outcome}",version="{version}"}} "#);
        let text = self.exposition.text().unwrap();
        text.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |count| count.parse().unwrap())
    }
}

fn assert_the_same(head: &Compared, rows: usize) {
    let figures = &head.figures;
    let zeros = [figures.mean, figures.mean_absolute, figures.deviation, figures.p99, figures.largest];
    assert_eq!((figures.rows, zeros, figures.relative), (rows, [0.0; 5], Some(0.0)), "{}", head.head);
    assert_eq!((figures.rank_correlation, figures.top_decile_overlap), (Some(1.0), Some(1.0)), "{}", head.head);
}

#[test]
fn a_shadow_equal_to_the_version_that_answers_differs_in_nothing() {
    let (stable, shadow) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.0)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, shadow, 100.0)]);
    // Batches of other sizes than the requests.
    for start in (0..1000).step_by(10) {
        rig.answer(&stable, merchants(start..start + 10));
    }
    assert_eq!(rig.round(), Found::Work);
    assert_the_same(&rig.heads(GMV)["expected_gmv"], 1000);
    assert_eq!((rig.counted("scored", 2), rig.counted("failed", 2), rig.counted("dropped", 2)), (1000, 0, 0));
    assert_eq!(rig.round(), Found::Nothing);
}

#[test]
fn a_shadow_with_a_known_shift_shows_it() {
    let (stable, shadow) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.25)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, shadow, 100.0)]);
    rig.answer(&stable, merchants(0..500));
    rig.round();
    let head = &rig.heads(GMV)["expected_gmv"];
    // The model's own sums are of 32 bits.
    assert!((head.figures.relative.unwrap() - 0.25).abs() < 1e-5, "{head:?}");
    assert!((head.figures.rank_correlation.unwrap() - 1.0).abs() < 1e-6, "{head:?}");
    assert_eq!((head.live, head.other), (1, 2));
}

#[test]
fn every_group_of_a_portrait_is_compared_for_itself() {
    let user = |row: usize| {
        let features = UserFeatures { tenure_days: Some(row as f64), ..UserFeatures::default() };
        Bytes::from(User { features: Some(features), ..User::default() }.encode_to_vec())
    };
    let [stable, same, other] =
        [(1, 1.0), (2, 1.0), (3, 0.5)].map(|(number, factor)| Arc::new(portrait(number, factor)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, same, 100.0)]);
    rig.answer(&stable, (0..300).map(user).collect());
    rig.round();
    let heads = rig.heads("user_portrait");
    assert_eq!(heads.keys().collect::<Vec<_>>(), ["age", "departments", "embedding"]);
    heads.values().for_each(|head| assert_the_same(head, 300));

    rig.publish(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, other, 100.0)]);
    rig.answer(&stable, (0..300).map(user).collect());
    rig.round();
    let heads: Vec<_> = rig.trials.comparisons("user_portrait").into_iter().filter(|head| head.other == 3).collect();
    assert_eq!(heads.len(), 3);
    let embedding = heads.iter().find(|head| head.head == "embedding").unwrap();
    assert!((embedding.figures.relative.unwrap() - 0.5).abs() < 1e-6, "{embedding:?}");
    assert!(heads.iter().all(|head| head.figures.mean_absolute > 0.01));
}

#[test]
fn rows_that_a_shadow_can_not_score_are_counted_and_the_others_compared() {
    let stable = Arc::new(scaled(1, 1.0));
    let median = {
        let mut rows = stable.encoder.empty_rows(100);
        let forms = JsonForms::new().unwrap();
        merchants(0..100)
            .iter()
            .for_each(|frame| assert!(RowFrames::encode(&forms, frame, date(2026, 4, 30), &stable, &mut rows)));
        let mut seeds: Vec<f32> = (0..100).map(|row| Scaled::seed(&rows, row)).collect();
        seeds.sort_by(f32::total_cmp);
        f32::midpoint(seeds[49], seeds[50])
    };
    let shadow = gmv(2, Scaled { raises_above: median, ..Scaled::new(1.0, &[3]) });
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, Arc::new(shadow), 100.0)]);
    rig.answer(&stable, merchants(0..100));
    rig.round();
    assert_eq!((rig.counted("scored", 2), rig.counted("failed", 2)), (50, 50));
    assert_the_same(&rig.heads(GMV)["expected_gmv"], 50);
}

#[test]
fn rows_that_the_live_version_failed_on_are_not_compared() {
    let (stable, shadow) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.0)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, shadow, 100.0)]);
    let frames = merchants(0..3);
    let mut good = stable.encoder.empty_rows(2);
    for frame in [&frames[0], &frames[2]] {
        assert!(rig.trials.0.shared.frames.encode(frame, date(2026, 4, 30), &stable, &mut good));
    }
    let outputs = stable.engine.forward(&[&good]).unwrap();
    let failed = vec![(1, "it raised".to_owned())];
    rig.trials.scored(&stable, Scored { frames, outputs, failed, without_number: 0, latency: SECOND });
    rig.round();
    assert_the_same(&rig.heads(GMV)["expected_gmv"], 2);
}

#[test]
fn what_the_thread_can_not_keep_up_with_is_dropped_and_counted() {
    let (stable, shadow) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.0)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, shadow, 100.0)]);
    for _ in 0..30 {
        rig.answer(&stable, merchants(0..100));
    }
    rig.round();
    assert_eq!((rig.counted("scored", 2), rig.counted("dropped", 2)), (2048, 3000 - 2048));
    rig.answer(&stable, merchants(0..100));
    rig.round();
    assert_eq!((rig.counted("scored", 2), rig.counted("dropped", 2)), (2148, 952));
}

#[test]
fn some_of_a_canarys_rows_are_scored_by_stable_too() {
    let (stable, canary) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.5)));
    let arms = [(STABLE, Arc::clone(&stable), 90.0), (CANARY, Arc::clone(&canary), 10.0)];
    let mut rig = Rig::new(&arms);
    rig.answer(&stable, merchants(0..100));
    rig.answer(&canary, merchants(100..200));
    rig.round();
    let head = &rig.heads(GMV)["expected_gmv"];
    assert_eq!((head.live, head.other), (1, 2));
    assert_eq!(head.figures.rows, 20);
    assert!((head.figures.relative.unwrap() - 0.5).abs() < 1e-5, "{head:?}");
    assert_eq!(rig.counted("scored", 1), 20);
}

#[test]
fn requests_that_were_given_up_count_with_the_time_that_they_took() {
    let (stable, canary) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.0)));
    let rig = Rig::new(&[(STABLE, Arc::clone(&stable), 90.0), (CANARY, Arc::clone(&canary), 10.0)]);
    let seen = || rig.trials.seen(&canary, SECOND * 600).unwrap();
    drop(rig.trials.asked(&canary, 3));
    rig.trials.asked(&canary, 2).ended(Some(&ScoreError::DeadlinePassed));
    assert_eq!((seen().rows, seen().failed, seen().latencies.count()), (5, 0, 2));
    rig.trials.asked(&canary, 7).ended(Some(&ScoreError::Draining));
    rig.trials.asked(&canary, 7).ended(None);
    assert_eq!(seen().rows, 5);
    let error = ScoreError::Model { model: GMV.into(), version: 2, reason: "died".into() };
    rig.trials.asked(&canary, 4).ended(Some(&error));
    assert_eq!((seen().rows, seen().failed, seen().latencies.count()), (9, 4, 2));
}

#[test]
fn nothing_is_kept_where_nothing_is_on_trial() {
    let (stable, other) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.0)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), ("other", Arc::clone(&other), 0.0)]);
    rig.answer(&stable, merchants(0..10));
    assert_eq!(rig.round(), Found::Nothing);
    assert_eq!(rig.trials.seen(&stable, SECOND), None);
    assert!(rig.trials.comparisons(GMV).is_empty());
    // A shadow version watches nobody's health.
    rig.publish(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, other, 100.0)]);
    rig.answer(&stable, merchants(0..10));
    assert_eq!(rig.trials.seen(&stable, SECOND * 10), None);
}

#[test]
fn a_version_that_was_retired_is_not_kept_for_its_rows_that_wait() {
    let (stable, shadow) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 1.0)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, Arc::clone(&shadow), 100.0)]);
    rig.answer(&stable, merchants(0..10));
    rig.round();
    rig.answer(&stable, merchants(0..10));
    let weak: Weak<Version> = Arc::downgrade(&shadow);
    drop(shadow);
    rig.registry.publish(GMV, Model::default());
    assert!(weak.upgrade().is_none(), "somebody holds the version");
    assert_eq!(rig.round(), Found::Work);
    // What was compared before is still told.
    assert_eq!(rig.heads(GMV)["expected_gmv"].figures.rows, 10);
}

#[test]
fn a_version_by_the_number_of_another_one_is_compared_anew() {
    let (stable, first) = (Arc::new(scaled(1, 1.0)), Arc::new(scaled(2, 3.0)));
    let mut rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, first, 100.0)]);
    rig.answer(&stable, merchants(0..10));
    rig.round();
    let second = Version { digest: "another".into(), ..scaled(2, 1.0) };
    rig.publish(&[(STABLE, Arc::clone(&stable), 100.0), (SHADOW, Arc::new(second), 100.0)]);
    rig.answer(&stable, merchants(0..10));
    rig.round();
    assert_the_same(&rig.heads(GMV)["expected_gmv"], 10);
}

#[test]
fn recent_rows_are_encoded_by_any_version_for_its_warm_up() {
    let stable = Arc::new(scaled(1, 1.0));
    let rig = Rig::new(&[(STABLE, Arc::clone(&stable), 100.0)]);
    for row in 0..640 {
        rig.answer(&stable, merchants(row..row + 1));
    }
    assert_eq!(rig.trials.recent(GMV).len(), 10);
    assert!(rig.trials.recent(GMV).iter().all(|frame| Merchant::decode(frame.clone()).unwrap().merchant_id.is_empty()));
    assert_eq!(rig.trials.warm_rows(&stable).len(), 10);
    // Of another task, of which nobody asked for a row.
    assert!(rig.trials.warm_rows(&portrait(1, 1.0)).is_empty());
}

#[test]
fn the_thread_ends_with_the_last_who_knows_the_trials() {
    let Rig { trials, mut shadow, .. } = Rig::new(&[]);
    let other = trials.clone();
    drop(trials);
    assert_eq!(shadow.round(SECOND), Found::Nothing);
    drop(other);
    assert_eq!(shadow.round(SECOND), Found::End);
}
