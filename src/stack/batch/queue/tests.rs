use std::num::NonZeroUsize;

use tokio::sync::oneshot;

use super::*;
use crate::{
    cost::Cost,
    error::ScoreError,
    rows::{Column, ForwardError, Rows, Values},
    stack::{Encoded, Scored, batch::pending::Pending},
};

/// Takes rows of one size together, 4 at most; it is never run.
#[derive(Default)]
struct OfOneSize(Cost);

impl Forward for OfOneSize {
    fn identity(&self) -> (&str, u64) {
        ("model", 1)
    }

    fn max_batch_rows(&self) -> NonZeroUsize {
        NonZeroUsize::new(4).unwrap()
    }

    fn cost(&self) -> &Cost {
        &self.0
    }

    fn forward(&self, parts: &[&Rows]) -> Result<Rows, ForwardError> {
        Ok(Rows::joined(parts)?)
    }
}

/// A queue of one version, and who waits for answers.
struct Rig {
    queue: Queue,
    model: Arc<dyn Forward>,
    now: Instant,
    answers: Vec<oneshot::Receiver<Result<Scored, ScoreError>>>,
    places: Vec<Place>,
}

impl Rig {
    fn new() -> Self {
        let model: Arc<dyn Forward> = Arc::new(OfOneSize::default());
        let (queue, now) = (Queue::new(Duration::ZERO), Instant::now());
        Self { queue, model, now, answers: Vec::new(), places: Vec::new() }
    }

    /// A request of one row, of so many values.
    fn push(&mut self, size: usize) {
        self.push_until(size, None);
    }

    fn push_until(&mut self, size: usize, deadline: Option<Instant>) {
        let number = self.places.len() as f32;
        let column = Column { width: size, varying: vec![size], values: Values::F32(vec![number; size]) };
        let rows = Rows::new(1, vec![column]).unwrap();
        let job = Encoded {
            model: Arc::clone(&self.model),
            rows,
            deadline,
            lane: Lane::Interactive,
            since: self.now,
            journey: None,
            fare: None,
        };
        let (reply, answer) = oneshot::channel();
        self.answers.push(answer);
        for part in Pending::split(job, reply) {
            self.places.push(self.queue.push(part));
        }
    }

    /// The numbers of the requests in the next batch.
    fn take(&mut self) -> Vec<usize> {
        let taken = self.queue.take(self.now);
        taken.late.into_iter().for_each(Answer::give);
        let parts = taken.batch.map(|batch| batch.parts).unwrap_or_default();
        parts.iter().map(|part| part.rows.columns()[0].row_numbers(0)[0] as usize).collect()
    }

    fn waiting(&self) -> usize {
        self.queue.waiting(self.places[0].line)
    }
}

#[test]
fn parts_that_do_not_fit_keep_their_order() {
    let mut rig = Rig::new();
    [3, 5, 3, 5, 5, 3, 7].into_iter().for_each(|size| rig.push(size));
    assert_eq!((rig.take(), rig.waiting()), (vec![0, 2, 5], 4));
    // What comes later fits in behind.
    rig.push(5);
    assert_eq!((rig.take(), rig.waiting()), (vec![1, 3, 4, 7], 1));
    assert_eq!((rig.take(), rig.waiting()), (vec![6], 0));
    assert!(rig.queue.is_empty() && rig.take().is_empty());
}

#[test]
fn a_full_batch_takes_no_more_of_those_that_fit() {
    let mut rig = Rig::new();
    [3, 5, 3, 3, 5, 3, 3].into_iter().for_each(|size| rig.push(size));
    assert_eq!(rig.take(), [0, 2, 3, 5]);
    assert_eq!(rig.take(), [1, 4]);
    assert_eq!(rig.take(), [6]);
}

#[test]
fn who_leaves_among_those_that_were_passed_over_leaves_no_trace() {
    let mut rig = Rig::new();
    [3, 5, 3, 5, 7].into_iter().for_each(|size| rig.push(size));
    assert_eq!(rig.take(), [0, 2]);
    // The one in front, behind which is a gap; and one that was taken already.
    let places = rig.places.clone();
    rig.queue.remove(&places[1]);
    rig.queue.remove(&places[2]);
    assert_eq!(rig.waiting(), 2);
    assert_eq!((rig.take(), rig.take()), (vec![3], vec![4]));
    rig.queue.remove(&places[3]);
    assert!(rig.queue.is_empty());
    assert_eq!(rig.waiting(), 0);
}

#[test]
fn a_caller_who_does_not_wait_any_more_is_dropped_wherever_he_stands() {
    let mut rig = Rig::new();
    [3, 5, 3, 3].into_iter().for_each(|size| rig.push(size));
    rig.answers.remove(2);
    assert_eq!((rig.take(), rig.waiting()), (vec![0, 3], 1));
    assert_eq!(rig.take(), [1]);
}

#[test]
fn what_is_late_is_answered_once_its_turn_comes_and_never_runs() {
    let mut rig = Rig::new();
    let late = Some(rig.now);
    rig.push(3);
    rig.push_until(5, late);
    rig.push_until(3, late);
    rig.push(3);
    assert_eq!((rig.take(), rig.waiting()), (vec![0, 3], 1));
    assert!(matches!(rig.answers[2].try_recv(), Ok(Err(ScoreError::DeadlinePassed))));
    assert!(rig.answers[1].try_recv().is_err(), "it did not have its turn yet");
    assert_eq!((rig.take(), rig.waiting()), (vec![], 0));
    assert!(matches!(rig.answers[1].try_recv(), Ok(Err(ScoreError::DeadlinePassed))));
}

#[test]
fn the_search_for_those_that_fit_has_an_end() {
    let mut rig = Rig::new();
    rig.push(3);
    (0..=OTHERS).for_each(|_| rig.push(5));
    rig.push(3);
    assert_eq!(rig.take(), [0]);
    assert_eq!(rig.waiting(), OTHERS + 2);
    let mut left: Vec<usize> = Vec::new();
    while !rig.queue.is_empty() {
        left.extend(rig.take());
    }
    assert_eq!(left.len(), OTHERS + 2);
    assert!(left[..=OTHERS].is_sorted(), "rows of one size keep their order");
}
