//! What a server holds while it is attacked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Pid;
use tokio::{task::JoinHandle, time::sleep};

use crate::process::{Process, Usage};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Looks at a process until it is dropped.
pub(super) struct Watch {
    most: Arc<Mutex<Usage>>,
    looking: JoinHandle<()>,
}

impl Watch {
    /// Begins.
    pub(super) fn begin(process: Pid) -> Self {
        let most = Arc::new(Mutex::new(Usage::default()));
        let looking = tokio::spawn(look(process, Arc::clone(&most)));
        Self { most, looking }
    }

    /// The most of everything that was seen.
    pub(super) fn most(self) -> Usage {
        *self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(process: Pid, most: Arc<Mutex<Usage>>) {
    let process = Process::of(process.as_raw_nonzero().get().unsigned_abs());
    while let Ok(now) = process.usage() {
        raise(&mut most.lock().unwrap_or_else(PoisonError::into_inner), now);
        sleep(LOOK).await;
    }
}

fn raise(most: &mut Usage, now: Usage) {
    most.resident_mib = most.resident_mib.max(now.resident_mib);
    most.threads = most.threads.max(now.threads);
    most.descriptors = most.descriptors.max(now.descriptors);
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
