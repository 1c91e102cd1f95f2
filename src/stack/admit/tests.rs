use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_test::{assert_request_eq, mock};

use super::*;
use crate::{
    cost::Took,
    fixture::Counting,
    identity::Caller,
    stack::test::{job, scored},
};

type Handle = mock::Handle<usize, Scored>;

fn limits(rows: usize) -> Limits {
    Limits {
        rows: NonZeroUsize::new(rows).unwrap(),
        bytes: NonZeroUsize::new(100).unwrap(),
        wait: Duration::from_millis(10),
    }
}

/// The layer over a model that is answered by hand and sees only row counts.
fn admit(limit: usize) -> (impl Service<Job, Response = Scored, Error = ScoreError, Future = ScoredFuture>, Handle) {
    let (model, handle) = mock::pair::<usize, Scored>();
    let model = model.map_err(|_closed| ScoreError::Draining).map_request(|job: Job| job.count);
    (AdmitLayer::new(limits(limit), NonZeroUsize::MIN).layer(model), handle)
}

fn ready(admit: &mut impl Service<Job, Error = ScoreError>) {
    assert_ready_ok!(task::spawn(std::future::poll_fn(|context| admit.poll_ready(context))).poll());
}

#[tokio::test]
async fn refuses_rows_over_the_budget_and_recovers() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    ready(&mut admit);
    let mut first = task::spawn(admit.call(job(8, Lane::Interactive)));
    assert_pending!(first.poll());
    ready(&mut admit);
    let refused = assert_ready_err!(task::spawn(admit.call(job(1, Lane::Interactive))).poll());
    assert_eq!(shortage(refused), Shortage::Rows { rows: 1, limit: 8 });

    assert_request_eq!(model, 8).send_response(scored(8));
    assert_ready_ok!(first.poll());
    ready(&mut admit);
    assert_pending!(task::spawn(admit.call(job(8, Lane::Interactive))).poll());
}

#[test]
fn a_caller_who_leaves_gives_its_share_back() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    ready(&mut admit);
    let mut first = task::spawn(admit.call(job(8, Lane::Interactive)));
    assert_pending!(first.poll());
    drop(first);
    ready(&mut admit);
    assert_pending!(task::spawn(admit.call(job(8, Lane::Interactive))).poll());
}

#[tokio::test]
async fn bulk_rows_wait_for_their_place() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    ready(&mut admit);
    let mut first = task::spawn(admit.call(job(3, Lane::Bulk)));
    assert_pending!(first.poll());
    ready(&mut admit);
    let mut second = task::spawn(admit.call(job(2, Lane::Bulk)));
    assert_pending!(second.poll());

    assert_request_eq!(model, 3).send_response(scored(3));
    assert_ready_ok!(first.poll());
    assert!(second.is_woken());
    assert_pending!(second.poll());
    assert_request_eq!(model, 2).send_response(scored(2));
    assert_ready_ok!(second.poll());
}

#[test]
fn a_flood_of_bulk_rows_leaves_half_to_interactive_ones() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    let mut flood = Vec::new();
    for _ in 0..4 {
        ready(&mut admit);
        let mut bulk = task::spawn(admit.call(job(2, Lane::Bulk)));
        assert_pending!(bulk.poll());
        flood.push(bulk);
    }
    ready(&mut admit);
    assert_pending!(task::spawn(admit.call(job(4, Lane::Interactive))).poll());
}

#[tokio::test]
async fn a_bulk_job_larger_than_its_half_has_its_turn_when_all_is_free() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    ready(&mut admit);
    let mut large = task::spawn(admit.call(job(8, Lane::Bulk)));
    assert_pending!(large.poll());
    assert_request_eq!(model, 8).send_response(scored(8));
    assert_ready_ok!(large.poll());
}

#[tokio::test(start_paused = true)]
async fn a_bulk_job_waits_no_longer_than_its_deadline() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    ready(&mut admit);
    let mut first = task::spawn(admit.call(job(4, Lane::Bulk)));
    assert_pending!(first.poll());
    ready(&mut admit);
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let late = admit.call(Job { deadline, ..job(1, Lane::Bulk) });
    assert_eq!(late.await, Err(ScoreError::DeadlinePassed));
}

#[test]
fn a_job_larger_than_all_has_its_turn_when_all_is_free() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    for lane in [Lane::Interactive, Lane::Bulk] {
        ready(&mut admit);
        let mut large = task::spawn(admit.call(job(9, lane)));
        assert_pending!(large.poll());
        ready(&mut admit);
        assert_ready_err!(task::spawn(admit.call(job(1, Lane::Interactive))).poll());
    }
}

#[test]
fn bytes_over_the_budget_are_refused_in_every_lane() {
    let (mut admit, mut model) = admit(8);
    model.allow(9);
    ready(&mut admit);
    let mut first = task::spawn(admit.call(Job { bytes: 60, ..job(1, Lane::Bulk) }));
    assert_pending!(first.poll());
    for lane in [Lane::Interactive, Lane::Bulk] {
        ready(&mut admit);
        let refused = assert_ready_err!(task::spawn(admit.call(Job { bytes: 41, ..job(1, lane) })).poll());
        assert_eq!(shortage(refused), Shortage::Bytes { bytes: 41, limit: 100 });
    }
    drop(first);
    ready(&mut admit);
    assert_pending!(task::spawn(admit.call(Job { bytes: 41, ..job(1, Lane::Interactive) })).poll());
}

/// A job of `rows` rows that take 4 ms each.
fn slow(rows: usize, lane: Lane, deadline: Option<Duration>) -> Job {
    let model = Counting::default();
    model.cost.learn(10, Took::undisturbed(Duration::from_millis(40)));
    let deadline = deadline.map(|deadline| Instant::now() + deadline);
    Job { model: Arc::new(model), deadline, ..job(rows, lane) }
}

#[test]
fn who_would_wait_longer_than_it_can_is_refused_and_told_how_long() {
    let (mut admit, mut model) = admit(100);
    model.allow(99);
    ready(&mut admit);
    // Nothing waits yet: even 80 ms of work have their try.
    let mut first = task::spawn(admit.call(slow(20, Lane::Interactive, None)));
    assert_pending!(first.poll());
    for (deadline, allowed) in [(None, 10), (Some(60), 27)] {
        ready(&mut admit);
        let next = slow(1, Lane::Interactive, deadline.map(Duration::from_millis));
        let refused = assert_ready_err!(task::spawn(admit.call(next)).poll());
        let ScoreError::Overloaded { shortage: Shortage::Wait { expected, allowed: found }, retry_after } = refused
        else {
            unreachable!("{refused}")
        };
        assert_eq!((expected.as_millis(), retry_after.as_millis()), (80, 80));
        assert_eq!(found.as_millis(), allowed);
    }
    ready(&mut admit);
    let patient = slow(1, Lane::Interactive, Some(Duration::from_secs(1)));
    assert_pending!(task::spawn(admit.call(patient)).poll());
    drop(first);
    ready(&mut admit);
    assert_pending!(task::spawn(admit.call(slow(1, Lane::Interactive, None))).poll());
}

#[test]
fn the_work_of_streams_makes_nobody_else_wait() {
    let (mut admit, mut model) = admit(100);
    model.allow(99);
    ready(&mut admit);
    let mut bulk = task::spawn(admit.call(slow(50, Lane::Bulk, None)));
    assert_pending!(bulk.poll());
    ready(&mut admit);
    assert_pending!(task::spawn(admit.call(slow(1, Lane::Interactive, None))).poll());
}

/// A job of one who may have so many rows a second.
fn costing(caller: &Caller, job: Job, patience: Option<&CancellationToken>) -> Job {
    let fare = caller.fare("m", job.count, || patience.cloned());
    Job { fare, ..job }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_his_rate_has_his_bytes_and_nobody_s_rows() {
    let (mut admit, mut model) = admit(8);
    model.allow(99);
    let (caller, patience) = (Caller::bound_to(4), CancellationToken::new());
    let bulk = |bytes| Job { bytes, ..costing(&caller, job(8, Lane::Bulk), Some(&patience)) };
    ready(&mut admit);
    let first = tokio::spawn(admit.call(bulk(30)));
    tokio::task::yield_now().await;
    // Half of all bytes is for those who don't wait so long.
    ready(&mut admit);
    let refused = assert_ready_err!(task::spawn(admit.call(bulk(30))).poll());
    assert_eq!(shortage(refused), Shortage::Bytes { bytes: 30, limit: 50 });
    for (bytes, fits) in [(71, false), (70, true)] {
        ready(&mut admit);
        let other = task::spawn(admit.call(Job { bytes, ..job(8, Lane::Interactive) })).poll();
        assert_eq!(other.is_pending(), fits, "{bytes}");
    }
    ready(&mut admit);
    let deadline = Some(Instant::now() + Duration::from_millis(700));
    let late = admit.call(Job { deadline, ..bulk(10) });
    assert_eq!(late.await, Err(ScoreError::DeadlinePassed));
    // The one that fitted, whose caller left, and the first.
    for _ in 0..2 {
        let (asked, answer) = model.next_request().await.unwrap();
        answer.send_response(scored(asked));
    }
    assert_eq!(first.await.unwrap().unwrap().outputs.len(), 8);
    ready(&mut admit);
    let mut last = task::spawn(admit.call(bulk(30)));
    assert_pending!(last.poll());
    patience.cancel();
    assert_eq!(assert_ready_err!(last.poll()), ScoreError::Draining);
}

#[test]
fn what_the_queue_refuses_costs_nothing() {
    let (mut admit, mut model) = admit(8);
    model.allow(99);
    let caller = Caller::bound_to(1);
    ready(&mut admit);
    let mut full = task::spawn(admit.call(job(8, Lane::Interactive)));
    assert_pending!(full.poll());
    for _ in 0..3 {
        ready(&mut admit);
        let refused =
            assert_ready_err!(task::spawn(admit.call(costing(&caller, job(8, Lane::Interactive), None))).poll());
        assert_eq!(shortage(refused), Shortage::Rows { rows: 8, limit: 8 });
    }
    drop(full);
    // Neither what was refused nor whose caller left was charged; who ran is.
    for _ in 0..2 {
        ready(&mut admit);
        assert_pending!(task::spawn(admit.call(costing(&caller, job(8, Lane::Interactive), None))).poll());
    }
    ready(&mut admit);
    let ran = costing(&caller, job(8, Lane::Bulk), None);
    ran.fare.iter().for_each(Fare::spend);
    assert_pending!(task::spawn(admit.call(ran)).poll());
    for lane in [Lane::Interactive, Lane::Bulk] {
        ready(&mut admit);
        let refused = assert_ready_err!(task::spawn(admit.call(costing(&caller, job(1, lane), None))).poll());
        assert_eq!(shortage(refused), Shortage::Rate { rows: 1, limit: 1 });
    }
}

fn shortage(refused: ScoreError) -> Shortage {
    match refused {
        ScoreError::Overloaded { shortage, .. } => shortage,
        other => unreachable!("{other}"),
    }
}
