use std::{sync::Barrier, thread};

use super::{
    super::{Leg, Reason},
    refused::{ALIKE, REFUSED},
    slow::SLOWEST,
    *,
};

/// Of all models, as many as there are.
const ALL: (Option<&str>, usize) = (None, usize::MAX);

const METHOD: &str = "souk.v1.MerchantGmvService/PredictGmv";

/// A ring that began now.
fn noted() -> (Noted, Instant) {
    let epoch = Instant::now();
    (Noted::since(epoch), epoch)
}

fn leg(model: &str, took: Duration) -> Leg {
    Leg {
        model: model.into(),
        version: 3,
        rows: 5,
        lane: "interactive",
        took,
        decode: took / 8,
        queue: took / 4,
        compute: took / 2,
        batch_rows: 64,
        ..Leg::of(Instant::now())
    }
}

/// A request that ended at `end` after `took`, all of it in these legs.
fn ended(end: Instant, took: Duration, legs: Vec<Leg>) -> Ended {
    let begun = end.checked_sub(took).unwrap_or(end);
    Ended { took, legs, ..Ended::of(METHOD, "OK", begun) }
}

/// One that was answered by `model`.
fn answered(noted: &Noted, end: Instant, model: &str, millis: u64) {
    let took = Duration::from_millis(millis);
    // Begun at `end`, so that its end is later than the first window's beginning.
    noted.note(&ended(end + took, took, vec![leg(model, took)]));
}

/// One that ended with `code`, since its rows were never run for this reason.
fn refused(noted: &Noted, end: Instant, (model, code, reason): (&str, &'static str, Option<Reason>)) {
    let took = Duration::from_micros(50);
    let legs = vec![Leg { shed: reason, ..leg(model, took) }];
    noted.note(&Ended { code, ..ended(end, took, legs) });
}

fn millis(requests: &[NotedRequest]) -> Vec<u128> {
    requests.iter().map(|request| request.took.as_millis()).collect()
}

#[test]
fn each_window_keeps_its_slowest() {
    let (noted, epoch) = noted();
    for took in (1..=1000).rev().chain(1001..=1100) {
        answered(&noted, epoch, "m", took);
    }
    let slowest = noted.slowest_at(epoch, ALL);
    let wanted: Vec<u128> = (0..SLOWEST as u128).map(|place| 1100 - place).collect();
    assert_eq!(millis(&slowest), wanted);
    answered(&noted, epoch + WINDOW * 2, "m", 1);
    assert_eq!(millis(&noted.slowest_at(epoch + WINDOW * 2, ALL)), [wanted, vec![1]].concat());
}

#[test]
fn what_is_too_old_is_not_shown_and_at_last_forgotten() {
    let (noted, epoch) = noted();
    answered(&noted, epoch, "m", 70);
    refused(&noted, epoch, ("m", "RESOURCE_EXHAUSTED", Some(Reason::Wait)));
    let last = epoch + WINDOW * (WINDOWS - 1);
    assert_eq!((noted.slowest_at(last, ALL).len(), noted.refused_at(last, ALL).len()), (1, 1));
    let over = epoch + WINDOW * WINDOWS;
    assert_eq!((noted.slowest_at(over, ALL).len(), noted.refused_at(over, ALL).len()), (0, 0));
    for window in 0..WINDOWS * 3 {
        for took in 1..=20 {
            answered(&noted, epoch + WINDOW * window, "m", took);
        }
    }
    let kept = noted.slowest_at(epoch + WINDOW * (WINDOWS * 3 - 1), ALL);
    assert_eq!(kept.len(), SLOWEST * WINDOWS as usize);
}

#[test]
fn a_slow_model_does_not_hide_another_one() {
    let (noted, epoch) = noted();
    for _ in 0..100 {
        answered(&noted, epoch, "slow", 900);
        answered(&noted, epoch, "quick", 2);
    }
    let slowest = noted.slowest_at(epoch, ALL);
    let of = |model: &str| slowest.iter().filter(|request| request.model == model).count();
    assert_eq!((of("slow"), of("quick")), (SLOWEST, SLOWEST));
}

#[test]
fn a_request_is_told_by_its_longest_part() {
    let (noted, epoch) = noted();
    let (short, long) = (Duration::from_millis(8), Duration::from_millis(80));
    let legs = vec![Leg { version: 4, ..leg("m", short) }, Leg { version: 7, lane: "bulk", ..leg("m", long) }];
    let caller = super::super::Context::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    noted.note(&Ended { context: caller, ..ended(epoch + long, Duration::from_millis(100), legs) });
    let slowest = noted.slowest_at(epoch, ALL);
    let found = &slowest[0];
    assert_eq!((found.version, found.versions, found.rows, found.lane), (7, 2, 10, "bulk"));
    assert_eq!((found.decode, found.queue, found.compute), (long / 8, long / 4, long / 2));
    assert_eq!(found.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert!(found.at <= SystemTime::now());
}

#[test]
fn a_call_that_asked_no_version_is_not_slow_but_may_have_failed() {
    let (noted, epoch) = noted();
    let hour = Duration::from_secs(3600);
    noted.note(&ended(epoch, hour, Vec::new()));
    assert!(noted.slowest_at(epoch, ALL).is_empty());
    noted.note(&Ended { code: "INVALID_ARGUMENT", ..ended(epoch, hour, Vec::new()) });
    let refused = noted.refused_at(epoch, ALL);
    assert_eq!((refused[0].method, &*refused[0].model, refused[0].version), (METHOD, "", 0));
}

#[test]
fn a_flood_of_one_reason_hides_no_other() {
    let (noted, epoch) = noted();
    let flood = ("m", "RESOURCE_EXHAUSTED", Some(Reason::Wait));
    for _ in 0..100_000 {
        refused(&noted, epoch, flood);
    }
    assert_eq!(noted.refused_at(epoch, ALL).len() as u64, ALIKE);
    let others = [
        ("m", "RESOURCE_EXHAUSTED", Some(Reason::QueueFull)),
        ("m", "DEADLINE_EXCEEDED", Some(Reason::Expired)),
        ("m", "INTERNAL", None),
        ("n", "RESOURCE_EXHAUSTED", Some(Reason::Wait)),
    ];
    others.into_iter().for_each(|other| refused(&noted, epoch, other));
    let found = noted.refused_at(epoch, ALL);
    for (model, code, reason) in others {
        let is = |it: &&NotedRequest| (&*it.model, it.code, it.reason) == (model, code, reason.map(Reason::as_str));
        assert_eq!(found.iter().filter(is).count(), 1, "{model} {code} {reason:?}");
    }
}

#[test]
fn the_places_of_a_window_are_shared_by_all_that_was_refused() {
    let (noted, epoch) = noted();
    let models: Vec<String> = (0..6).map(|number| format!("model-{number}")).collect();
    // Together they would fill the window more than once.
    for model in &models {
        (0..100).for_each(|_| refused(&noted, epoch, (model, "RESOURCE_EXHAUSTED", Some(Reason::Wait))));
    }
    for (code, reason) in [("INTERNAL", None), ("CANCELLED", Some(Reason::Cancelled))] {
        (0..100).for_each(|_| refused(&noted, epoch, ("model-5", code, reason)));
    }
    let found = noted.refused_at(epoch, ALL);
    assert_eq!(found.len(), REFUSED);
    let of = |code: &str| found.iter().filter(|request| request.code == code).count() as u64;
    assert_eq!((of("INTERNAL"), of("CANCELLED")), (ALIKE, ALIKE));
    for model in &models {
        assert!(found.iter().any(|request| request.model == *model && request.code == "RESOURCE_EXHAUSTED"), "{model}");
    }
}

#[test]
fn models_beyond_the_bound_share_a_place() {
    let (noted, epoch) = noted();
    for number in 0..SUBJECTS * 3 {
        answered(&noted, epoch, &format!("model-{number}"), number as u64 + 1);
    }
    let slowest = noted.slowest_at(epoch, ALL);
    assert_eq!(slowest.len(), SUBJECTS + SLOWEST);
    assert_eq!(slowest[0].model, format!("model-{}", SUBJECTS * 3 - 1));
}

#[test]
fn threads_lose_none_of_the_slowest() {
    const THREADS: u64 = 8;
    let (noted, epoch) = noted();
    let together = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (noted, together) = (&noted, &together);
            scope.spawn(move || {
                together.wait();
                for step in 0..2000 {
                    answered(noted, epoch, "m", step * THREADS + number);
                    refused(noted, epoch, ("m", "INTERNAL", None));
                    if step % 500 == 0 {
                        noted.slowest_at(epoch, ALL);
                    }
                }
            });
        }
    });
    let wanted: Vec<u128> = (0..SLOWEST as u128).map(|place| 15_999 - place).collect();
    assert_eq!(millis(&noted.slowest_at(epoch, ALL))[..SLOWEST], wanted[..]);
    let refused = noted.refused_at(epoch, ALL).len() as u64;
    assert!((1..=ALIKE).contains(&refused), "{refused}");
}

#[test]
fn the_reason_is_that_of_the_version_that_refused_and_not_of_those_that_were_cancelled_for_it() {
    let (noted, epoch) = noted();
    let leg = |millis, shed| Leg { shed, ..leg("m", Duration::from_millis(millis)) };
    let cancelled = leg(80, Some(Reason::Cancelled));
    let note = |code, other| {
        noted.note(&Ended { code, ..ended(epoch, Duration::from_millis(90), vec![cancelled.clone(), other]) });
        noted.refused_at(epoch, ALL).into_iter().find(|request| request.code == code).unwrap().reason
    };
    assert_eq!(note("RESOURCE_EXHAUSTED", leg(8, Some(Reason::Wait))), Some("wait"));
    assert_eq!(note("INTERNAL", Leg { failed: 5, ..leg(8, None) }), None);
    assert_eq!(note("CANCELLED", leg(8, None)), Some("cancelled"));
    assert_eq!(note("UNAVAILABLE", leg(8, Some(Reason::Cancelled))), Some("cancelled"));
}

#[test]
fn probes_are_no_requests_to_look_at() {
    let (noted, epoch) = noted();
    for method in ["grpc.health.v1.Health/Watch", "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
        noted.note(&Ended::of(method, "CANCELLED", epoch));
    }
    assert!(noted.refused_at(epoch, ALL).is_empty());
}

#[test]
fn the_slowest_few_of_one_model_are_shown() {
    let (noted, epoch) = noted();
    for number in 0..SUBJECTS * 2 {
        answered(&noted, epoch, &format!("model-{number}"), number as u64 + 1);
        refused(&noted, epoch, (&format!("model-{number}"), "INTERNAL", None));
    }
    assert_eq!(millis(&noted.slowest_at(epoch, (None, 2))), [SUBJECTS as u128 * 2, SUBJECTS as u128 * 2 - 1]);
    for of in ["model-3".to_owned(), format!("model-{}", SUBJECTS * 2 - 1)] {
        let found = noted.slowest_at(epoch, (Some(&of), 20));
        assert_eq!((found.len(), &found[0].model), (1, &of));
    }
    assert_eq!(noted.refused_at(epoch, (Some("model-3"), 20)).len(), 1);
    assert_eq!(noted.refused_at(epoch, (None, 2)).len(), 2);
}
