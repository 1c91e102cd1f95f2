mod anybody;

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tower::ServiceExt as _;

use super::{warm::PASSES, *};
use crate::{
    cost::{Cost, Took},
    rows::{Column, Forward, ForwardError, Rows, Values},
    stack::{Lane, batch::Errand},
};

/// Answers each row's own value; raises where a row is 13, panics for 14, and
/// answers one row too few for 15.
#[derive(Default)]
struct Echo {
    passes: AtomicUsize,
    cost: Cost,
}

impl Forward for Echo {
    fn identity(&self) -> (&str, u64) {
        ("echo", 2)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::new(4).unwrap()
    }

    fn cost(&self) -> &Cost {
        &self.cost
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        let rows = Rows::joined(parts)?;
        self.passes.fetch_add(1, Ordering::SeqCst);
        let has = |value| (0..rows.len()).any(|row| rows.columns()[0].f32_row(row) == [value]);
        match () {
            () if has(13.0) => Err(ForwardError::Raised("thirteen".into())),
            () if has(14.0) => panic!("fourteen"),
            () if has(15.0) => Ok(rows.slice(1..rows.len())),
            () => Ok(rows),
        }
    }
}

/// Everything that was warmed up runs inline.
const RULES: BatchRules = BatchRules { linger: Duration::ZERO, inline_below: Duration::from_secs(1), eager: 2 };

fn pool(count: usize) -> Runners {
    pool_with(count, RULES)
}

fn pool_with(count: usize, rules: BatchRules) -> Runners {
    let setup: ThreadSetup = Arc::new(|| Box::new(()) as Box<dyn Any>);
    Runners::start(NonZeroUsize::new(count).unwrap(), rules, &setup, &Metrics::none()).unwrap()
}

fn job(model: &Arc<Echo>, values: &[f32]) -> Encoded {
    let column = Column::new(1, Values::F32(values.to_vec()));
    let rows = Rows::new(values.len(), vec![column]).unwrap();
    Encoded {
        model: Arc::clone(model) as Arc<dyn Forward>,
        rows,
        deadline: None,
        lane: Lane::Interactive,
        since: Instant::now(),
        journey: None,
        fare: None,
    }
}

/// Has the first runner do something before anything else.
fn at_once(runners: &Runners, run: impl FnOnce() + Send + 'static) {
    runners.open.batches.send(0, Errand { run: Box::new(run), at_latest: Instant::now() });
}

/// Holds the first runner until the result is dropped.
fn hold(runners: &Runners) -> mpsc::Sender<()> {
    let (busy, working) = mpsc::channel::<()>();
    at_once(runners, move || {
        let _ = working.recv();
    });
    busy
}

#[tokio::test]
async fn a_job_larger_than_a_batch_is_split_and_joined_in_order() {
    let model = Arc::new(Echo::default());
    let values: Vec<f32> = (100..110).map(|value| value as f32).collect();
    let scored = pool(2).call(job(&model, &values)).await.unwrap();
    assert_eq!(scored.outputs, job(&model, &values).rows);
    assert_eq!(scored.batch_rows, 4);
    assert_eq!(model.passes.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn many_callers_get_their_own_rows() {
    let (model, runners) = (Arc::new(Echo::default()), pool(2));
    let calls = (0..200_u16).map(|call| {
        let values: Vec<f32> = (0..call % 7 + 1).map(|row| f32::from(call * 32 + 100 + row)).collect();
        let (job, mut runners) = (job(&model, &values), runners.clone());
        async move { assert_eq!(runners.call(job.clone()).await.unwrap().outputs, job.rows) }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn rows_that_the_model_fails_on_are_alone_and_the_runner_lives() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    for (value, reason) in [(13.0, "it raised: thirteen"), (14.0, "the engine panicked"), (15.0, "0 rows for 1")] {
        let scored = runners.call(job(&model, &[1.0, 2.0, value, 4.0, 5.0])).await.unwrap();
        assert_eq!(scored.outputs, job(&model, &[1.0, 2.0, 4.0, 5.0]).rows);
        assert_eq!(scored.failed, [(2, reason.to_owned())]);
        assert_eq!((scored.place(1), scored.place(2), scored.place(3)), (Ok(1), Err(reason), Ok(2)));
    }
}

#[tokio::test]
async fn what_waits_together_runs_together() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    let busy = hold(&runners);
    let calls: Vec<_> =
        [1.0, 2.0, 3.0, 4.0, 5.0].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into_iter().collect();
    tokio::task::yield_now().await;
    drop(busy);
    let scored = futures::future::join_all(calls).await;
    let sizes: Vec<usize> = scored.into_iter().map(|scored| scored.unwrap().unwrap().batch_rows).collect();
    assert_eq!(sizes, [4, 4, 4, 4, 1]);
}

#[test]
fn interactive_rows_go_before_bulk_rows_of_the_same_age() {
    // See `batch::queue`: told here by the order of the answers.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
        let busy = hold(&runners);
        let bulk = tokio::spawn(runners.call(Encoded { lane: Lane::Bulk, ..job(&model, &[1.0]) }));
        let interactive = tokio::spawn(runners.call(job(&model, &[2.0])));
        tokio::task::yield_now().await;
        drop(busy);
        let (bulk, interactive) = (bulk.await.unwrap().unwrap(), interactive.await.unwrap().unwrap());
        assert!(interactive.queue < bulk.queue, "{:?} {:?}", interactive.queue, bulk.queue);
    });
}

#[tokio::test]
async fn what_is_late_never_runs() {
    let model = Arc::new(Echo::default());
    let late = Encoded { deadline: Some(Instant::now()), ..job(&model, &[1.0]) };
    assert_eq!(pool(1).call(late).await.unwrap_err(), ScoreError::DeadlinePassed);
    assert_eq!(model.passes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_caller_who_left_is_skipped() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    let busy = hold(&runners);
    drop(runners.call(job(&model, &[1.0])));
    let stays = runners.call(job(&model, &[2.0]));
    drop(busy);
    assert!(stays.await.is_ok());
    assert_eq!(model.passes.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_up_runs_every_size_on_every_thread() {
    let model = Arc::new(Echo::default());
    let rows: Arc<[Rows]> = [job(&model, &[1.0]).rows, job(&model, &[1.0, 2.0]).rows].into();
    pool(3).warm(&(Arc::clone(&model) as Arc<dyn Forward>), &rows).unwrap();
    // Three runners and two threads of sockets, in two sizes each.
    assert_eq!(model.passes.load(Ordering::SeqCst), (3 + 2) * 2 * PASSES);
}

/// Runs for a while, and knows how many threads of runners do so together.
#[derive(Default)]
struct Together {
    echo: Echo,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Forward for Together {
    fn identity(&self) -> (&str, u64) {
        self.echo.identity()
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        self.echo.max_batch_rows()
    }

    fn cost(&self) -> &Cost {
        &self.echo.cost
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_micros(100));
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.echo.forward(parts)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_warm_ups_at_once_take_one_runner_at_a_time() {
    let (model, runners) = (Arc::new(Together::default()), pool_with(3, BatchRules::default()));
    let rows: Arc<[Rows]> = [job(&Arc::default(), &[1.0, 2.0]).rows].into();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| runners.warm(&(Arc::clone(&model) as Arc<dyn Forward>), &rows).unwrap());
        }
    });
    assert_eq!(model.echo.passes.load(Ordering::SeqCst), 2 * 3 * PASSES);
    assert_eq!(model.most.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_up_ends_under_full_load() {
    // None runs where it arrives.
    let (live, runners) = (Arc::new(Echo::default()), pool_with(1, BatchRules::default()));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (live, mut runners) = (Arc::clone(&live), runners.clone());
            tokio::spawn(async move {
                loop {
                    runners.call(job(&live, &[1.0, 2.0, 3.0, 4.0])).await.unwrap();
                }
            })
        })
        .collect();
    let goes_on = async |before: usize| {
        while live.passes.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }
    };
    goes_on(0).await;
    let model = Arc::new(Echo::default());
    let rows: Arc<[Rows]> = [job(&model, &[1.0]).rows].into();
    let warmed = {
        let model = Arc::clone(&model) as Arc<dyn Forward>;
        thread::spawn(move || runners.warm(&model, &rows))
    };
    while !warmed.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(warmed.join().unwrap(), Ok(()));
    assert_eq!(model.passes.load(Ordering::SeqCst), PASSES);
    goes_on(live.passes.load(Ordering::SeqCst)).await;
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_whose_warm_up_fails_is_refused() {
    let (model, runners) = (Arc::new(Echo::default()), pool(1));
    let warm =
        |values: &[f32]| runners.warm(&(Arc::clone(&model) as Arc<dyn Forward>), &[job(&model, values).rows].into());
    let reason = |values: &[f32]| match warm(values) {
        Err(ScoreError::Model { reason, .. }) => reason,
        other => unreachable!("{other:?}"),
    };
    assert_eq!(reason(&[1.0, 13.0]), "it raised: thirteen");
    assert_eq!(reason(&[1.0, 14.0]), "the engine panicked");
    assert_eq!(reason(&[f32::NAN, f32::INFINITY]), "none of 2 warm-up rows has finite outputs");
    // What a golden row does not stand for may be out of the ordinary.
    assert_eq!(warm(&[f32::NAN, 1.0]), Ok(()));
}

#[tokio::test]
async fn a_runner_that_dies_is_replaced() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    at_once(&runners, || panic!("the runner dies"));
    assert!(runners.call(job(&model, &[1.0])).await.is_ok());
}

#[tokio::test]
async fn a_small_batch_runs_on_the_thread_that_it_arrived_on() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
    // The only runner is busy for as long as the test.
    let _busy = hold(&runners);
    let calls: Vec<_> = [1.0, 2.0, 3.0].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into();
    let sizes = futures::future::join_all(calls).await.into_iter().map(|call| call.unwrap().unwrap().batch_rows);
    assert_eq!(sizes.collect::<Vec<_>>(), [3, 3, 3]);
}

#[tokio::test]
async fn rows_at_fault_are_found_by_the_runners() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
    let busy = hold(&runners);
    let calls: Vec<_> = [1.0, 13.0, 3.0].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(model.passes.load(Ordering::SeqCst), 1, "one pass on the thread of the sockets");
    drop(busy);
    let scored: Vec<_> =
        futures::future::join_all(calls).await.into_iter().map(|call| call.unwrap().unwrap()).collect();
    assert_eq!(scored.iter().map(|scored| scored.failed.len()).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(scored[2].outputs, job(&model, &[3.0]).rows);
}

#[tokio::test]
async fn what_is_too_much_to_run_here_goes_to_the_runners() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
    let calls: Vec<_> = [1.0; 9].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into();
    let names = futures::future::join_all(calls).await;
    assert!(names.into_iter().all(|call| call.unwrap().is_ok()));
    assert_eq!(model.passes.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn who_leaves_while_he_leads_leaves_nobody_behind() {
    let (model, mut runners) = (Arc::new(Echo::default()), pool(1));
    model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
    // A free runner could take the row of who leaves in the moment before it is gone.
    let busy = hold(&runners);
    let mut leads = tokio_test::task::spawn(runners.call(job(&model, &[1.0])));
    tokio_test::assert_pending!(leads.poll());
    let follows = tokio::spawn(runners.call(job(&model, &[2.0])));
    tokio::task::yield_now().await;
    drop(leads);
    drop(busy);
    assert_eq!(follows.await.unwrap().unwrap().batch_rows, 1);
}

#[tokio::test]
async fn rows_linger_for_company_where_they_are_told_to() {
    let rules = BatchRules { linger: Duration::from_millis(20), ..RULES };
    let (model, mut runners) = (Arc::new(Echo::default()), pool_with(1, rules));
    model.cost.learn(4, Took::undisturbed(Duration::from_micros(40)));
    let begun = Instant::now();
    let calls: Vec<_> = [1.0, 2.0].map(|value| tokio::spawn(runners.call(job(&model, &[value])))).into();
    let alone = futures::future::join_all(calls).await;
    assert!(alone.into_iter().all(|call| call.unwrap().unwrap().batch_rows == 2));
    assert!(begun.elapsed() >= rules.linger);
    // A full batch waits for nobody.
    let full = runners.call(job(&model, &[1.0, 2.0, 3.0, 4.0])).await.unwrap();
    assert!(full.queue < rules.linger);
}

#[tokio::test]
async fn a_queue_of_one_row_and_batches_of_one_row_are_enough() {
    let one = NonZeroUsize::MIN;
    let limits = super::super::Limits { rows: one, bytes: one, wait: Duration::ZERO };
    let stack = super::super::assemble(limits, Metrics::none(), pool(1));
    let scored = stack.oneshot(super::super::test::job(9, Lane::Bulk)).await.unwrap();
    assert_eq!(scored.outputs.len(), 9);
}
