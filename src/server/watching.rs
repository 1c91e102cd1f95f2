//! Looks at files once in a while, on a thread of its own: they may lie on a disk that takes its
//! time. Not by the system's events, which a mounted secret's exchanged links don't give reliably.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// How often. Files are small, and a look reads them.
const EVERY: Duration = Duration::from_secs(1);

/// One look.
pub(super) type Look = Box<dyn FnMut() + Send>;

/// Files are looked at until this is dropped.
pub(super) struct Watching {
    _until: mpsc::Sender<()>,
}

impl Watching {
    /// # Errors
    ///
    /// Where the system refuses the thread.
    pub(super) fn start(mut looks: Vec<Look>) -> io::Result<Self> {
        let (until, dropped) = mpsc::channel::<()>();
        let watch = move || {
            while dropped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                looks.iter_mut().for_each(|look| look());
            }
        };
        thread::Builder::new().name("souk-files".into()).spawn(watch)?;
        Ok(Self { _until: until })
    }
}

/// Contents, by their digests, that are new once two looks in a row found the same: whoever writes
/// a file byte by byte, or two of them one after the other, is done by then.
pub(super) struct Settled {
    taken: [u8; 32],
    last: [u8; 32],
}

impl Settled {
    /// These were taken already.
    pub(super) fn new(taken: [u8; 32]) -> Self {
        Self { taken, last: taken }
    }

    /// Whether these are to be taken, which is said once.
    pub(super) fn is_new(&mut self, found: [u8; 32]) -> bool {
        let is_settled = std::mem::replace(&mut self.last, found) == found;
        let is_new = is_settled && self.taken != found;
        if is_new {
            self.taken = found;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_new_once_they_stay_as_they_are() {
        let mut settled = Settled::new([0; 32]);
        let mut look = |found: u8| settled.is_new([found; 32]);
        assert_eq!([look(0), look(1), look(2), look(2), look(2)], [false, false, false, true, false]);
        // Half of a change, and the change taken back.
        assert_eq!([look(3), look(2), look(2)], [false, false, false]);
    }

    #[test]
    fn nobody_looks_any_more_once_it_is_dropped() {
        let (told, looked) = mpsc::channel();
        let watching = Watching::start(vec![Box::new(move || told.send(()).unwrap_or_default())]).unwrap();
        looked.recv().unwrap();
        drop(watching);
        while looked.recv().is_ok() {}
    }
}
