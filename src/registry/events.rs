//! What happened to versions and policies: the last events, and those to come.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::broadcast;

/// Events that are kept for those who come later, and that a slow listener may be
/// behind before it misses some.
const KEPT: usize = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// To which model.
    pub model: String,
    /// To which version, if to one.
    pub version: Option<u64>,
    /// What.
    pub kind: EventKind,
    /// In words, with reasons and figures.
    pub message: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A version's preparation began.
    Preparing,
    /// A version proved itself: it is in memory and can answer.
    Ready,
    /// A version stays out.
    Rejected,
    /// A preparation was given up.
    Cancelled,
    /// Who answers has changed.
    Traffic,
    /// A change of who answers was refused.
    Refused,
    /// A canary was taken back without being asked.
    TakenBack,
    /// A version left the memory.
    Retired,
}

/// The events of a server. Clones share them.
#[derive(Clone)]
pub struct Events {
    last: Arc<Mutex<VecDeque<Event>>>,
    told: broadcast::Sender<Event>,
}

impl Events {
    /// Nothing happened yet.
    pub fn new() -> Self {
        Self { last: Arc::default(), told: broadcast::Sender::new(KEPT) }
    }

    /// Keeps an event and tells it to who listens.
    pub fn tell(&self, model: &str, version: Option<u64>, kind: EventKind, message: String) {
        let event = Event { at: SystemTime::now(), model: model.to_owned(), version, kind, message };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(event.clone());
        // Under the lock, so that who begins to listen misses none and hears none twice.
        // Nobody listening is no error.
        let _ = self.told.send(event);
    }

    /// The last events, oldest first.
    pub fn last(&self) -> Vec<Event> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().cloned().collect()
    }

    /// The last events, oldest first, and those to come.
    pub fn listen(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (last.iter().cloned().collect(), self.told.subscribe())
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(events: &Events, version: u64) {
        events.tell("m", Some(version), EventKind::Ready, String::new());
    }

    #[tokio::test]
    async fn who_comes_later_hears_the_last_and_then_the_new() {
        let events = Events::new();
        (0..300).for_each(|version| tell(&events, version));
        let (last, mut new) = events.listen();
        assert_eq!(last.iter().map(|event| event.version.unwrap()).collect::<Vec<_>>(), (44..300).collect::<Vec<_>>());
        tell(&events, 300);
        assert_eq!(new.recv().await.map(|event| event.version), Ok(Some(300)));
    }
}
