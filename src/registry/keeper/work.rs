//! The keeper's thread: one thing after the other.

use std::sync::mpsc;

use super::{Keeping, commands::Command};

/// What the thread owns.
pub(super) struct Work {
    keeping: Keeping,
    told: mpsc::Sender<Command>,
    commands: mpsc::Receiver<Command>,
}

impl Work {
    pub(super) fn new(keeping: Keeping, told: mpsc::Sender<Command>, commands: mpsc::Receiver<Command>) -> Self {
        Self { keeping, told, commands }
    }

    pub(super) fn run(self) {
        let _ = (&self.keeping.root, &self.told);
        while let Ok(_command) = self.commands.recv() {}
    }
}
