//! Asks the system to tell of changes below the models' root, so that a new version
//! need not wait for the next look. Not every file system tells, and none tells of what
//! lies behind a link: the looks go on all the same.

use std::{path::Path, sync::mpsc};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::commands::Command;

/// Tells for as long as it is kept.
pub(super) struct Watch {
    _kept: RecommendedWatcher,
}

impl Watch {
    /// Starts to tell.
    pub(super) fn start(root: &Path, told: mpsc::Sender<Command>) -> Result<Self, notify::Error> {
        let tell = move |event: Result<notify::Event, notify::Error>| {
            // Our own reading is no change.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = told.send(Command::Changed);
            }
        };
        let mut watcher = notify::recommended_watcher(tell)?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Self { _kept: watcher })
    }
}
