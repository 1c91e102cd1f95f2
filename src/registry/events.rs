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
    pub fn tell(&self, event: Event) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(event.clone());
        // Under the lock, so that who begins to listen misses none and hears none twice.
        // Nobody listening is no error.
        let _ = self.told.send(event);
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

    fn event(version: u64) -> Event {
        Event { at: SystemTime::UNIX_EPOCH, model: "m".into(), version: Some(version), kind: EventKind::Ready, message: String::new() }
    }

    #[tokio::test]
    async fn who_comes_later_hears_the_last_and_then_the_new() {
        let events = Events::new();
        (0..300).for_each(|version| events.tell(event(version)));
        let (last, mut new) = events.listen();
        assert_eq!(last.iter().map(|event| event.version.unwrap()).collect::<Vec<_>>(), (44..300).collect::<Vec<_>>());
        events.tell(event(300));
        assert_eq!(new.recv().await, Ok(event(300)));
    }
}
