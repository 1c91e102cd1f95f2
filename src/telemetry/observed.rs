//! What is not counted as it happens, but read when somebody wants to know.

use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeMetrics};

use super::{
    Difference, Live, Metric, Metrics,
    process::{self, Process, Processes},
    table::{
        ADMITTED_ROWS, CERTIFICATE_EXPIRY, DRAINING, IO_BUSY, IO_TASKS, IO_TASKS_QUEUED, IO_THREADS, MODEL_AGE,
        MODEL_LIVE, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS,
        PROCESS_VIRTUAL, QUEUE_BYTES, QUEUE_BYTES_LIMIT, QUEUE_ROWS, QUEUE_ROWS_LIMIT, READY, SHADOW_DIFFERENCE,
    },
};

/// Rows and bytes of what waits or runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Rows.
    pub rows: usize,
    /// What their requests hold in memory.
    pub bytes: usize,
}

impl Metrics {
    /// Reads the rows that wait for each model at every scrape. To be called once;
    /// `read` must not panic, and is kept as long as what was measured can be read.
    pub fn observe_queue(&self, read: impl Fn() -> Vec<(String, u64)> + Send + Sync + 'static) {
        let labelled = move || read().into_iter().map(|(model, rows)| ([model], rows as f64)).collect();
        QUEUE_ROWS.observed(&self.0.meter, labelled);
    }

    /// Reads which versions answer at every scrape; like [`Metrics::observe_queue`].
    pub fn observe_live(&self, read: impl Fn() -> Vec<Live> + Send + Sync + 'static) {
        let labels = |live: Live| [live.model, live.version.to_string(), live.label];
        let labelled = move || read().into_iter().map(|live| (labels(live), 1.0)).collect();
        MODEL_LIVE.observed(&self.0.meter, labelled);
    }

    /// Reads the age of every version in memory, in seconds, at every scrape; like
    /// [`Metrics::observe_queue`].
    pub fn observe_age(&self, read: impl Fn() -> Vec<((String, u64), u64)> + Send + Sync + 'static) {
        let labels = |(model, version): (String, u64)| [model, version.to_string()];
        let labelled = move || read().into_iter().map(|(version, age)| (labels(version), age as f64)).collect();
        MODEL_AGE.observed(&self.0.meter, labelled);
    }

    /// Reads when the server's certificate ends, in seconds since 1970, at every scrape; like
    /// [`Metrics::observe_queue`].
    pub fn observe_certificate(&self, read: impl Fn() -> u64 + Send + Sync + 'static) {
        CERTIFICATE_EXPIRY.observed_alone(&self.0.meter, move || Some(read() as f64));
    }

    /// Reads how versions differ at every scrape; like [`Metrics::observe_queue`].
    pub fn observe_differences(&self, read: impl Fn() -> Vec<Difference> + Send + Sync + 'static) {
        let labels = |found: Difference| {
            let (live, version) = (found.live.to_string(), found.version.to_string());
            ([found.model, live, version, found.head, found.statistic.to_owned()], found.value)
        };
        let labelled = move || read().into_iter().map(labels).collect();
        SHADOW_DIFFERENCE.observed(&self.0.meter, labelled);
    }

    /// Reads at every scrape how much of the queue's `limit` is taken; like
    /// [`Metrics::observe_queue`].
    pub fn observe_budget(&self, limit: Budget, taken: impl Fn() -> Budget + Clone + Send + Sync + 'static) {
        let (meter, bytes) = (&self.0.meter, taken.clone());
        QUEUE_ROWS_LIMIT.told(meter).record(limit.rows as u64, &[]);
        QUEUE_BYTES_LIMIT.told(meter).record(limit.bytes as u64, &[]);
        ADMITTED_ROWS.observed_alone(meter, move || Some(taken().rows as f64));
        QUEUE_BYTES.observed_alone(meter, move || Some(bytes().bytes as f64));
    }

    /// Reads at every scrape whether requests are welcome, and whether the server stops;
    /// like [`Metrics::observe_queue`].
    pub fn observe_state(
        &self,
        ready: impl Fn() -> bool + Send + Sync + 'static,
        draining: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        READY.observed_alone(&self.0.meter, move || Some(f64::from(ready())));
        DRAINING.observed_alone(&self.0.meter, move || Some(f64::from(draining())));
    }

    /// Reads tokio's own figures at every scrape, those that it promises to keep; like
    /// [`Metrics::observe_queue`].
    pub fn observe_io(&self, io: &Handle) {
        let observe = |metric: Metric, read: fn(&RuntimeMetrics) -> f64| {
            let figures = io.metrics();
            metric.observed_alone(&self.0.meter, move || Some(read(&figures)));
        };
        observe(IO_THREADS, |figures| figures.num_workers() as f64);
        observe(IO_BUSY, |figures| {
            let busy = |thread| figures.worker_total_busy_duration(thread).as_secs_f64();
            (0..figures.num_workers()).map(busy).sum()
        });
        observe(IO_TASKS, |figures| figures.num_alive_tasks() as f64);
        observe(IO_TASKS_QUEUED, |figures| figures.global_queue_depth() as f64);
    }

    /// Reads at every scrape what the system tells of this process; like
    /// [`Metrics::observe_queue`].
    pub fn observe_process(&self) {
        let meter = &self.0.meter;
        // The system says how long it runs already: asked once, since it says so in
        // hundredths and the sum would waver.
        let processes = Arc::new(Processes::default());
        let began = processes.now().and_then(|process| process.began());
        PROCESS_START.observed_alone(meter, move || began);
        let observe = |metric: Metric, figure: fn(&Process) -> Option<f64>| {
            let processes = Arc::clone(&processes);
            metric.observed_alone(meter, move || figure(&processes.now()?));
        };
        observe(PROCESS_CPU, |process| Some(process.cpu_seconds()));
        observe(PROCESS_RESIDENT, |process| Some(process.resident_bytes()));
        observe(PROCESS_VIRTUAL, |process| Some(process.virtual_bytes()));
        observe(PROCESS_THREADS, |process| Some(process.threads()));
        observe(PROCESS_OPEN_FDS, Process::descriptors);
        PROCESS_MAX_FDS.observed_alone(meter, process::most_descriptors);
    }
}
