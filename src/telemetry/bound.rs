//! Counters and histograms with their labels bound: once for a method, a model or
//! a version, when the first of its updates comes.
//!
//! What has a bounded set of labels is bound as a whole, so that what never
//! happened can be seen as 0.

use std::sync::Arc;

use opentelemetry::metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter};

use super::{
    Reason, RowsOutcome, ShadowOutcome, Signal,
    exemplars::Exemplars,
    kept::Kept,
    table::{
        BATCH_ROWS, CANARIES_TAKEN_BACK, COMPUTE, EXPORT_FAILURES, FEATURES_DEFAULTED, LATE_ROWS, MODEL_LOAD,
        MODEL_LOAD_FAILURES, Metric, QUEUE_WAIT, REQUEST_DURATION, REQUESTS, ROWS_SCORED, RUNNER_BUSY, RUNNER_RESTARTS,
        SCORING, SHADOW_ROWS, SHED_ROWS, TRACES_DROPPED,
    },
};

/// All instruments, and what was bound of them.
pub(super) struct Instruments {
    /// Makes the gauges that are read at a scrape.
    pub(super) meter: Meter,
    pub(super) exemplars: Arc<Exemplars>,
    requests: Counter<u64>,
    request_duration: Histogram<f64>,
    rows: Counter<u64>,
    defaulted: Counter<u64>,
    scoring: Histogram<f64>,
    queue_wait: Histogram<f64>,
    compute: Histogram<f64>,
    batch_rows: Histogram<u64>,
    shed: Counter<u64>,
    late: Counter<u64>,
    shadow: Counter<u64>,
    pub(super) restarts: BoundCounter<u64>,
    pub(super) traces_dropped: BoundCounter<u64>,
    pub(super) busy: BoundCounter<f64>,
    pub(super) loads: Histogram<f64>,
    pub(super) load_failures: Counter<u64>,
    pub(super) taken_back: Counter<u64>,
    pub(super) export_failures: Each<Signal, 2>,
    methods: Kept<&'static str, OfMethod>,
    models: Kept<String, OfModel>,
}

/// What is counted of one method.
pub(super) struct OfMethod {
    pub(super) duration: BoundHistogram<f64>,
    codes: Kept<&'static str, BoundCounter<u64>>,
}

/// What is counted of one model.
pub(super) struct OfModel {
    pub(super) wait: BoundHistogram<f64>,
    pub(super) late: BoundCounter<u64>,
    pub(super) shed: Each<Reason, 7>,
    lanes: Kept<&'static str, BoundHistogram<f64>>,
    versions: Kept<u64, OfVersion>,
    /// By the digest of the version whose features they are, in its manifest's order:
    /// another one may come by the same number.
    defaulted: Kept<String, Vec<BoundCounter<u64>>>,
    /// Beside the versions, of which few score for nobody.
    shadows: Kept<u64, Each<ShadowOutcome, 3>>,
}

/// What is counted of one version.
pub(super) struct OfVersion {
    pub(super) compute: BoundHistogram<f64>,
    pub(super) batch_rows: BoundHistogram<u64>,
    pub(super) rows: Each<RowsOutcome, 3>,
}

/// A counter for each kind that there is.
pub(super) struct Each<K, const N: usize>([(K, BoundCounter<u64>); N]);

impl<K: Copy + PartialEq, const N: usize> Each<K, N> {
    fn new(kinds: [K; N], bind: impl Fn(K) -> BoundCounter<u64>) -> Self {
        Self(kinds.map(|kind| (kind, bind(kind))))
    }

    pub(super) fn add(&self, kind: K, count: usize) {
        if let Some((_, counter)) = self.0.iter().find(|(counted, _)| *counted == kind) {
            counter.add(count as u64);
        }
    }
}

impl Instruments {
    pub(super) fn new(meter: Meter, exemplars: Arc<Exemplars>) -> Self {
        let without_labels = |metric: Metric| {
            let counter = metric.counted(&meter).bind(&[]);
            // It is seen only once something was added.
            counter.add(0);
            counter
        };
        let (restarts, traces_dropped) = (without_labels(RUNNER_RESTARTS), without_labels(TRACES_DROPPED));
        let busy = RUNNER_BUSY.added_up(&meter).bind(&[]);
        busy.add(0.0);
        let unsent = EXPORT_FAILURES.counted(&meter);
        let unsent = |signal: Signal| unsent.bind(&EXPORT_FAILURES.labelled([signal.as_str()]));
        Self {
            requests: REQUESTS.counted(&meter),
            request_duration: REQUEST_DURATION.seconds(&meter),
            rows: ROWS_SCORED.counted(&meter),
            defaulted: FEATURES_DEFAULTED.counted(&meter),
            scoring: SCORING.seconds(&meter),
            queue_wait: QUEUE_WAIT.seconds(&meter),
            compute: COMPUTE.seconds(&meter),
            batch_rows: BATCH_ROWS.rows(&meter),
            shed: SHED_ROWS.counted(&meter),
            late: LATE_ROWS.counted(&meter),
            shadow: SHADOW_ROWS.counted(&meter),
            restarts,
            traces_dropped,
            busy,
            loads: MODEL_LOAD.seconds(&meter),
            load_failures: MODEL_LOAD_FAILURES.counted(&meter),
            export_failures: Each::new(Signal::ALL, unsent),
            taken_back: CANARIES_TAKEN_BACK.counted(&meter),
            methods: Kept::default(),
            models: Kept::default(),
            meter,
            exemplars,
        }
    }

    pub(super) fn of_method(&self, method: &'static str, update: impl FnOnce(&OfMethod)) {
        let bind = || OfMethod {
            duration: self.request_duration.bind(&REQUEST_DURATION.labelled([method])),
            codes: Kept::default(),
        };
        self.methods.with(&method, bind, update);
    }

    /// One more call of this method with this code.
    pub(super) fn of_code(&self, counted: &OfMethod, method: &'static str, code: &'static str) {
        let bind = || self.requests.bind(&REQUESTS.labelled([method, code]));
        counted.codes.with(&code, bind, |counter| counter.add(1));
    }

    pub(super) fn of_model(&self, model: &str, update: impl FnOnce(&OfModel)) {
        let bind = || OfModel {
            wait: self.queue_wait.bind(&QUEUE_WAIT.labelled([model])),
            late: self.late.bind(&LATE_ROWS.labelled([model])),
            shed: Each::new(Reason::ALL, |reason| self.shed.bind(&SHED_ROWS.labelled([model, reason.as_str()]))),
            lanes: Kept::default(),
            versions: Kept::default(),
            defaulted: Kept::default(),
            shadows: Kept::default(),
        };
        self.models.with(model, bind, update);
    }

    pub(super) fn of_lane(&self, model: &str, lane: &'static str, update: impl FnOnce(&BoundHistogram<f64>)) {
        let bind = || self.scoring.bind(&SCORING.labelled([model, lane]));
        self.of_model(model, |of_model| of_model.lanes.with(&lane, bind, update));
    }

    pub(super) fn of_version(&self, model: &str, version: u64, update: impl FnOnce(&OfModel, &OfVersion)) {
        let bind = || {
            let number = version.to_string();
            let rows = |outcome: RowsOutcome| ROWS_SCORED.labelled([model, &number, outcome.as_str()]);
            OfVersion {
                compute: self.compute.bind(&COMPUTE.labelled([model, &number])),
                batch_rows: self.batch_rows.bind(&BATCH_ROWS.labelled([model, &number])),
                rows: Each::new(RowsOutcome::ALL, |outcome| self.rows.bind(&rows(outcome))),
            }
        };
        self.of_model(model, |of_model| {
            of_model.versions.with(&version, bind, |of_version| update(of_model, of_version));
        });
    }

    /// A counter for each feature of a version.
    pub(super) fn of_features<'n>(
        &self,
        model: &str,
        digest: &str,
        names: impl Iterator<Item = &'n str>,
        update: impl FnOnce(&[BoundCounter<u64>]),
    ) {
        let bound = |name: &str| {
            let counter = self.defaulted.bind(&FEATURES_DEFAULTED.labelled([model, name]));
            // Seen before a row leaves it out.
            counter.add(0);
            counter
        };
        let bind = || names.map(bound).collect();
        self.of_model(model, |of_model| of_model.defaulted.with(digest, bind, |counters| update(counters)));
    }

    /// So many more rows of a version that scored them for nobody.
    pub(super) fn of_shadow(&self, model: &str, version: u64, outcome: ShadowOutcome, rows: usize) {
        let bind = || {
            let number = version.to_string();
            let labels = |outcome: ShadowOutcome| SHADOW_ROWS.labelled([model, &number, outcome.as_str()]);
            Each::new(ShadowOutcome::ALL, |outcome| self.shadow.bind(&labels(outcome)))
        };
        self.of_model(model, |of_model| of_model.shadows.with(&version, bind, |shadow| shadow.add(outcome, rows)));
    }
}
