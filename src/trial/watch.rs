//! Who is on trial, as requests see it: which version of a model is watched, and
//! which one is to score rows for nobody.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{chance::below, health::Health};
use crate::{
    model::Version,
    registry::{Arm, CANARY, Models, SHADOW, Traffic},
};

/// Most rows of a canary that are scored by the stable version too, in each second:
/// enough for a hundred of them within seconds, and a small part of what one core
/// scores.
const CANARY_ROWS: u64 = 20;

/// Those of a canary, by the model's name.
pub(super) type Watches = BTreeMap<String, Arc<Watch>>;

/// One model with a version on trial. It keeps no version in memory.
pub(super) struct Watch {
    pub(super) stable: Watched,
    pub(super) canary: Option<Watched>,
    /// The version, and the share of the stable one's requests in percent.
    shadow: Option<(Weak<Version>, f64)>,
    /// The shadow version's number.
    shadow_number: u64,
    /// Rows that it was to score and for which there was no room.
    dropped: AtomicUsize,
    /// Counts the requests, for the share.
    requests: AtomicU64,
    /// The second of the last compared rows of the canary, and how many there were.
    compared: AtomicU64,
}

/// A version that answers.
pub(super) struct Watched {
    pub(super) version: Weak<Version>,
    /// Only kept for the sake of a canary.
    pub(super) health: Option<Arc<Health>>,
}

/// All models with a version on trial. What was counted of those in `before` stays.
pub(super) fn watches(models: &Models, before: &Watches) -> Watches {
    let traffic = models.iter().filter_map(|(name, model)| Some((name, model.traffic.as_ref()?)));
    let watch = |(name, traffic): (&String, &Arc<Traffic>)| {
        let known = before.get(name);
        let same = known.filter(|watch| watch.is_of(traffic)).cloned();
        Some((name.clone(), same.or_else(|| Watch::new(traffic, known.map(Arc::as_ref)).map(Arc::new))?))
    };
    traffic.filter_map(watch).collect()
}

/// The arms of trials, where they are there: `stable`, `canary`, `shadow`. A version
/// is not on trial beside itself.
fn arms(traffic: &Traffic) -> Option<(&Arm, Option<&Arm>, Option<&Arm>)> {
    let stable = traffic.arms().first()?;
    let beside = |label| traffic.arm(label).filter(|arm| !Arc::ptr_eq(&arm.version, &stable.version));
    Some((stable, beside(CANARY), beside(SHADOW)))
}

impl Watch {
    /// `None` where nothing is on trial.
    fn new(traffic: &Traffic, before: Option<&Self>) -> Option<Self> {
        let (stable, canary, shadow) = arms(traffic)?;
        if canary.is_none() && shadow.is_none() {
            return None;
        }
        let known: Vec<&Watched> = before.into_iter().flat_map(Self::watched).collect();
        let watched = |arm: &Arm| Watched::new(&arm.version, canary.is_some(), &known);
        Some(Self {
            stable: watched(stable),
            canary: canary.map(watched),
            shadow: shadow.map(|arm| (Arc::downgrade(&arm.version), arm.percent)),
            shadow_number: shadow.map_or(0, |arm| arm.version.manifest.version),
            dropped: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            compared: AtomicU64::new(0),
        })
    }

    /// Whether it is what this traffic asks for.
    fn is_of(&self, traffic: &Traffic) -> bool {
        let Some((stable, canary, shadow)) = arms(traffic) else { return false };
        let same = |watched: &Watched, arm: &Arm| watched.is(&arm.version);
        let shadow_is =
            |(version, percent): &(Weak<Version>, f64), arm: &Arm| is(version, &arm.version) && *percent == arm.percent;
        same(&self.stable, stable)
            && both(self.canary.as_ref(), canary, same)
            && both(self.shadow.as_ref(), shadow, shadow_is)
    }

    fn watched(&self) -> impl Iterator<Item = &Watched> {
        [&self.stable].into_iter().chain(&self.canary)
    }

    /// What is counted of this version, if anything is.
    pub(super) fn health(&self, version: &Arc<Version>) -> Option<&Health> {
        self.watched().find(|watched| watched.is(version))?.health.as_deref()
    }

    /// There was no room for so many rows of the shadow version.
    pub(super) fn drop_rows(&self, rows: usize) {
        self.dropped.fetch_add(rows, Ordering::Relaxed);
    }

    /// The shadow version's number, and its rows for which there was no room since this
    /// was asked last.
    pub(super) fn take_dropped(&self) -> Option<(u64, usize)> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        (dropped > 0).then_some((self.shadow_number, dropped))
    }

    /// The shadow version, where it is its turn to score the rows of a request that
    /// this version answered.
    pub(super) fn shadow(&self, version: &Arc<Version>) -> Option<&Weak<Version>> {
        let (shadow, percent) = self.shadow.as_ref().filter(|_| self.stable.is(version))?;
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        below(request, percent / 100.0).then_some(shadow)
    }

    /// How many of `rows` of this version are to be scored by the stable one too:
    /// none but the canary's.
    pub(super) fn compared(&self, version: &Arc<Version>, rows: usize, at: Duration) -> usize {
        if !self.canary.as_ref().is_some_and(|canary| canary.is(version)) {
            return 0;
        }
        let rows = u64::try_from(rows).unwrap_or(CANARY_ROWS).min(CANARY_ROWS);
        // A number for the second and the rows of it: 32 is more than may be compared.
        let (second, before) = (at.as_secs() * 32, |packed: u64| packed.saturating_sub(at.as_secs() * 32));
        let granted = |packed: u64| rows.min(CANARY_ROWS.saturating_sub(before(packed)));
        let update = |packed: u64| Some(packed.max(second) + granted(packed));
        let found = self.compared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
        usize::try_from(found.map_or(0, granted)).unwrap_or_default()
    }
}

impl Watched {
    fn new(version: &Arc<Version>, with_health: bool, known: &[&Self]) -> Self {
        let health = || {
            let same = known.iter().find(|watched| watched.is(version));
            same.and_then(|watched| watched.health.clone()).unwrap_or_else(|| Arc::new(Health::new()))
        };
        Self { version: Arc::downgrade(version), health: with_health.then(health) }
    }

    fn is(&self, version: &Arc<Version>) -> bool {
        is(&self.version, version)
    }
}

/// Whether it is this very version, and not another one by its number.
fn is(weak: &Weak<Version>, version: &Arc<Version>) -> bool {
    std::ptr::eq(weak.as_ptr(), Arc::as_ptr(version))
}

/// Whether both are there and alike, or neither is there.
fn both<A, B>(one: Option<A>, other: Option<B>, alike: impl Fn(A, B) -> bool) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => alike(one, other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::with_arms,
        registry::{Model, STABLE},
    };

    fn models(model: &Model) -> Models {
        [("m".to_owned(), Arc::new(model.clone()))].into()
    }

    fn version<'m>(model: &'m Model, label: &str) -> &'m Arc<Version> {
        &model.traffic.as_ref().unwrap().arm(label).unwrap().version
    }

    #[test]
    fn nothing_is_watched_where_nothing_is_on_trial() {
        let alone = with_arms("m", &[(STABLE, 1, 100.0), ("other", 2, 0.0)]);
        assert!(watches(&models(&alone), &Watches::new()).is_empty());
    }

    #[test]
    fn what_was_counted_of_a_version_stays_while_others_come_and_go() {
        let model = with_arms("m", &[(STABLE, 1, 90.0), (CANARY, 2, 10.0), (SHADOW, 3, 100.0)]);
        let first = watches(&models(&model), &Watches::new());
        let again = watches(&models(&model), &first);
        assert!(Arc::ptr_eq(&first["m"], &again["m"]));

        let arms = [STABLE, CANARY].map(|label| model.traffic.as_ref().unwrap().arm(label).unwrap().clone());
        let traffic = Traffic::new(arms.into(), "m").map(Arc::new);
        let without_shadow = Model { traffic, ..model.clone() };
        let next = watches(&models(&without_shadow), &first);
        assert!(!Arc::ptr_eq(&first["m"], &next["m"]));
        let stable = version(&model, STABLE);
        assert!(std::ptr::eq(first["m"].health(stable).unwrap(), next["m"].health(stable).unwrap()));
    }

    #[test]
    fn versions_that_nobody_needs_are_not_kept() {
        let model = with_arms("m", &[(STABLE, 1, 90.0), (CANARY, 2, 10.0), (SHADOW, 3, 100.0)]);
        let watches = watches(&models(&model), &Watches::new());
        drop(model);
        let watch = &watches["m"];
        assert!(watch.stable.version.upgrade().is_none());
        assert!(watch.shadow.as_ref().unwrap().0.upgrade().is_none());
    }

    #[test]
    fn a_share_of_the_stable_versions_requests_is_for_the_shadow() {
        let model = with_arms("m", &[(STABLE, 1, 90.0), (CANARY, 2, 10.0), (SHADOW, 3, 25.0)]);
        let watches = watches(&models(&model), &Watches::new());
        let taken = |label: &str| (0..10_000).filter(|_| watches["m"].shadow(version(&model, label)).is_some()).count();
        assert!((2_300..2_700).contains(&taken(STABLE)));
        assert_eq!(taken(CANARY), 0);
    }

    #[test]
    fn twenty_rows_of_the_canary_are_compared_in_a_second() {
        let model = with_arms("m", &[(STABLE, 1, 90.0), (CANARY, 2, 10.0)]);
        let watches = watches(&models(&model), &Watches::new());
        let rows = |label: &str, rows: usize, millis: u64| {
            watches["m"].compared(version(&model, label), rows, Duration::from_millis(millis))
        };
        assert_eq!(rows(STABLE, 5, 0), 0);
        assert_eq!([rows(CANARY, 15, 0), rows(CANARY, 15, 500), rows(CANARY, 1, 999)], [15, 5, 0]);
        assert_eq!([rows(CANARY, 1000, 1000), rows(CANARY, 3, 5000)], [20, 3]);
        // Another thread's clock was read before that.
        assert_eq!(rows(CANARY, 3, 4999), 0);
    }
}
