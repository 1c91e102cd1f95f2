//! Who listens to what happens: the last events first, then each new one.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{Stream, StreamExt as _, stream};
use thiserror::Error;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, broadcast},
    time::timeout,
};
use tonic::Status;

use super::moments;
use crate::{
    api::{
        drain::Drain,
        proto::v1::{ModelEvent, ModelEventKind, WatchModelsResponse},
    },
    identity::Caller,
    registry::{Event, Events},
};

/// Listeners at a time: many more than there are people and scripts.
const MOST: usize = 64;

/// Events to begin with where the request doesn't say.
const LAST: usize = 10;

/// How long a listener who is nobody any more keeps his place where nothing happens.
const LOOK: Duration = Duration::from_secs(1);

/// Nobody else may listen now.
#[derive(Debug, Error)]
#[error("there are {MOST} listeners already, and no more may be")]
pub(in crate::api) struct TooManyWatchers;

/// The places of those who listen.
pub(super) struct Watchers {
    places: Arc<Semaphore>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)) }
    }
}

/// Which events somebody wants.
pub(super) struct Wanted {
    /// Empty: of all models.
    model: String,
    /// Of those that happened before.
    last: usize,
    /// Who wants them.
    caller: Caller,
}

impl Wanted {
    pub(super) fn new(model: String, last: Option<u32>, caller: Caller) -> Self {
        Self { model, last: last.map_or(LAST, |last| usize::try_from(last).unwrap_or(usize::MAX)), caller }
    }

    fn is_of(&self, event: &Event) -> bool {
        (self.model.is_empty() || self.model == event.model) && self.caller.sees(&event.model)
    }

    /// The last of these events, oldest first.
    fn last_of(&self, events: Vec<Event>) -> impl Iterator<Item = Event> + use<> {
        let mut wanted: Vec<_> = events.into_iter().filter(|event| self.is_of(event)).collect();
        wanted.drain(..wanted.len().saturating_sub(self.last));
        wanted.into_iter()
    }
}

impl Watchers {
    /// The events that are wanted, until the server drains.
    ///
    /// # Errors
    ///
    /// [`TooManyWatchers`].
    pub(super) fn watch(
        &self,
        events: &Events,
        wanted: Wanted,
        drain: Drain,
    ) -> Result<impl Stream<Item = Result<WatchModelsResponse, Status>> + Send + use<>, TooManyWatchers> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| TooManyWatchers)?;
        let (last, told) = events.listen();
        let last = stream::iter(wanted.last_of(last).map(moments::event).map(Ok));
        let new = stream::unfold(Listener { told, wanted, ended: false, _place: place }, Listener::next);
        let reply = |event: Result<_, Status>| Ok(WatchModelsResponse { event: Some(event?) });
        Ok(last.chain(new).map(reply).take_until(async move { drain.begun().await }))
    }
}

struct Listener {
    told: broadcast::Receiver<Event>,
    wanted: Wanted,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<ModelEvent, Status>, Self)> {
        while !self.ended {
            let told = timeout(LOOK, self.told.recv()).await;
            if let Err(refused) = self.wanted.caller.holds() {
                self.ended = true;
                return Some((Err(refused.into()), self));
            }
            let Ok(told) = told else { continue };
            match told {
                Ok(event) if self.wanted.is_of(&event) => return Some((Ok(moments::event(event)), self)),
                Ok(_of_another_model) => {}
                Err(broadcast::error::RecvError::Lagged(missed)) => return Some((Ok(missed_some(missed)), self)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
        None
    }
}

/// What a listener is told instead of the events that it was too slow for.
fn missed_some(missed: u64) -> ModelEvent {
    ModelEvent {
        time: Some(SystemTime::now().into()),
        kind: ModelEventKind::Missed.into(),
        message: format!("this listener was too slow: {missed} events of all models were missed"),
        missed,
        ..ModelEvent::default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures::stream::BoxStream;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;
    use crate::{
        identity::{Known, Reading, Shown},
        registry::EventKind,
    };

    fn tell(events: &Events, model: &str, version: u64) {
        events.tell(model, Some(version), EventKind::Ready, String::new());
    }

    type Watched = task::Spawn<BoxStream<'static, Result<WatchModelsResponse, Status>>>;

    fn watch(events: &Events, model: &str, last: Option<u32>, drain: &Drain) -> Watched {
        let watched =
            Watchers::default().watch(events, Wanted::new(model.into(), last, Caller::default()), drain.clone());
        task::spawn(watched.unwrap().boxed())
    }

    fn next(watched: &mut Watched) -> ModelEvent {
        assert_ready!(watched.poll_next()).unwrap().unwrap().event.unwrap()
    }

    #[tokio::test]
    async fn the_last_events_come_first_and_then_the_new_ones() {
        let (events, drain) = (Events::new(), Drain::default());
        (1..=20).for_each(|version| tell(&events, "m", version));
        let mut watched = watch(&events, "", None, &drain);
        let first: Vec<_> = (0..LAST).map(|_| next(&mut watched).version).collect();
        assert_eq!(first, (11..=20).collect::<Vec<_>>());
        assert_pending!(watched.poll_next());
        tell(&events, "m", 21);
        assert!(watched.is_woken());
        assert_eq!(next(&mut watched).version, 21);
    }

    #[tokio::test]
    async fn only_the_events_of_the_wanted_model_come() {
        let (events, drain) = (Events::new(), Drain::default());
        (1..=6).for_each(|version| tell(&events, if version % 2 == 0 { "even" } else { "odd" }, version));
        let mut watched = watch(&events, "even", Some(2), &drain);
        assert_eq!([next(&mut watched).version, next(&mut watched).version], [4, 6]);
        tell(&events, "odd", 7);
        tell(&events, "even", 8);
        assert_eq!(next(&mut watched).version, 8);
        assert_pending!(watched.poll_next());
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_how_many_it_missed() {
        let (events, drain) = (Events::new(), Drain::default());
        let mut watched = watch(&events, "m", Some(0), &drain);
        assert_pending!(watched.poll_next());
        (1..=300).for_each(|version| tell(&events, "m", version));
        let missed = next(&mut watched);
        assert_eq!((missed.kind(), missed.missed), (ModelEventKind::Missed, 300 - 256));
        assert!(missed.message.contains("44 events"), "{}", missed.message);
        assert_eq!(next(&mut watched).version, 45);
    }

    #[tokio::test]
    async fn the_events_end_when_the_server_drains() {
        let (events, drain) = (Events::new(), Drain::default());
        let mut watched = watch(&events, "", None, &drain);
        assert_pending!(watched.poll_next());
        drain.begin();
        assert!(watched.is_woken());
        assert!(assert_ready!(watched.poll_next()).is_none());
    }

    #[tokio::test]
    async fn one_too_many_is_refused_until_another_leaves() {
        let (events, drain, watchers) = (Events::new(), Drain::default(), Watchers::default());
        let watch = || watchers.watch(&events, Wanted::new(String::new(), None, Caller::default()), drain.clone());
        let mut watched: Vec<_> = (0..MOST).map(|_| watch().unwrap()).collect();
        assert!(watch().is_err());
        watched.pop();
        assert!(watch().is_ok());
    }

    /// Those of a file in which nobody else is.
    fn known(name: &str, before: Option<&Known>) -> Known {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("[[identity]]\nname = \"x\"\ncertificate = \"{name}\"\nroles = [\"observe\"]\n");
        fs::write(file.path(), text).unwrap();
        Reading::of(file.path()).known(before).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_withdrawn_loses_his_place_though_nothing_happens() {
        let (events, drain, watchers) = (Events::new(), Drain::default(), Watchers::default());
        let known_first = known("anna", None);
        let anna = known_first.who(Shown::Certificate(&["anna".into()])).unwrap();
        let caller = Caller { identity: Some(Arc::clone(anna)), ..Caller::default() };
        let wanted = Wanted::new(String::new(), None, caller);
        let mut watched = Box::pin(watchers.watch(&events, wanted, drain).unwrap());
        assert!(timeout(10 * LOOK, watched.next()).await.is_err(), "he is known");
        known_first.give_way(&known("bea", Some(&known_first)));
        let refused = timeout(2 * LOOK, watched.next()).await.unwrap().unwrap().unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        assert!(watched.next().await.is_none());
        drop(watched);
        assert_eq!(watchers.places.available_permits(), MOST);
    }
}
