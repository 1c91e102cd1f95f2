//! The changes of who answers, oldest first: one JSON line each, in a file beside the
//! policy.
//!
//! It is a record and a way back, and no source of truth: who answers says the policy.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Policy;

/// The file's name, below the models' root.
const FILE: &str = "policy.history.jsonl";

/// Changes that are kept of one model.
const KEPT: usize = 100;

/// A change of who answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The model.
    pub model: String,
    /// Counts the model's changes, from 1.
    pub revision: u64,
    /// The revision that a roll-back leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// When it took effect.
    pub at: Timestamp,
    /// Who made it.
    pub by: String,
    /// Why, where that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What was asked for.
    pub policy: Policy,
    /// The versions that the labels named at that moment.
    pub versions: BTreeMap<String, u64>,
}

impl fmt::Display for Change {
    /// One sentence: who answers what share, by whom, and why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arm = |(label, number): (&String, &u64)| {
            let percent = self.policy.percent(label);
            let share = if percent > 0.0 { format!(" ({percent} %)") } else { String::new() };
            format!("{label} = {number}{share}")
        };
        let arms: Vec<String> = self.versions.iter().map(arm).collect();
        write!(f, "revision {} by {}: {}", self.revision, self.by, arms.join(", "))?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, "; {}", self.reason) }
    }
}

/// The history of all models.
#[derive(Debug, Default)]
pub(in crate::registry) struct History {
    path: PathBuf,
    changes: BTreeMap<String, Vec<Change>>,
    /// Lines that were not worth writing by themselves.
    unwritten: String,
}

impl History {
    /// Reads the file below `root`. Lines that can't be read are left out, such as the
    /// last one of a process that was killed while it wrote.
    pub(in crate::registry) fn read(root: &std::path::Path) -> Self {
        let mut history = Self { path: root.join(FILE), ..Self::default() };
        let text = fs::read(&history.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|change| history.keep(change));
        history
    }

    /// The changes of a model, oldest first.
    pub(in crate::registry) fn of(&self, model: &str) -> &[Change] {
        self.changes.get(model).map_or(&[], Vec::as_slice)
    }

    /// The change with this number.
    pub(in crate::registry) fn revision(&self, model: &str, revision: u64) -> Option<&Change> {
        self.of(model).iter().find(|change| change.revision == revision)
    }

    /// Appends a change, in memory also where the file can't be written.
    ///
    /// # Errors
    ///
    /// [`io::Error`] where it will not be known after a restart.
    pub(in crate::registry) fn append(&mut self, change: Change) -> io::Result<()> {
        self.note(change)?;
        self.write(&self.unwritten)?;
        self.unwritten.clear();
        Ok(())
    }

    /// Appends a change that is written with the next one that is appended.
    ///
    /// # Errors
    ///
    /// As [`History::append`].
    pub(in crate::registry) fn note(&mut self, change: Change) -> io::Result<()> {
        self.unwritten.push_str(&serde_json::to_string(&change).map_err(io::Error::from)?);
        self.unwritten.push('\n');
        self.keep(change);
        Ok(())
    }

    fn keep(&mut self, change: Change) {
        let changes = self.changes.entry(change.model.clone()).or_default();
        changes.push(change);
        if changes.len() > KEPT {
            changes.remove(0);
        }
    }

    fn write(&self, lines: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // In one go, and on a line of its own whatever a killed process left behind.
        let begin = if ends_with_a_line(&self.path)? { "" } else { "\n" };
        file.write_all(format!("{begin}{lines}").as_bytes())?;
        if file.metadata()?.len() > MOST_BYTES {
            return self.shorten();
        }
        Ok(())
    }

    /// Writes what is kept anew.
    fn shorten(&self) -> io::Result<()> {
        let mut text = String::new();
        for change in self.changes.values().flatten() {
            text.push_str(&serde_json::to_string(change).map_err(io::Error::from)?);
            text.push('\n');
        }
        super::file::replace(&self.path, text.as_bytes())
    }
}

/// Size from which the file is shortened to what is kept: many times that.
const MOST_BYTES: u64 = 4 << 20;

fn ends_with_a_line(path: &std::path::Path) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(model: &str, revision: u64) -> Change {
        Change {
            model: model.into(),
            revision,
            before: revision.checked_sub(1).filter(|before| *before > 0),
            at: Timestamp::UNIX_EPOCH,
            by: "maria".into(),
            reason: String::new(),
            policy: Policy::default(),
            versions: [("stable".to_owned(), revision)].into(),
        }
    }

    fn revisions(history: &History, model: &str) -> Vec<u64> {
        history.of(model).iter().map(|change| change.revision).collect()
    }

    #[test]
    fn a_history_is_read_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        let mut history = History::read(root.path());
        history.note(change("gmv", 1)).unwrap();
        assert!(!root.path().join(FILE).exists(), "what happens by itself was written alone");
        history.append(change("gmv", 2)).unwrap();
        history.append(change("portraits", 1)).unwrap();
        let read = History::read(root.path());
        assert_eq!(read.of("gmv"), history.of("gmv"));
        assert_eq!(revisions(&read, "portraits"), [1]);
    }

    #[test]
    fn half_a_line_loses_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        History::read(root.path()).append(change("gmv", 1)).unwrap();
        let file = root.path().join(FILE);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}{}", &text[..20])).unwrap();
        History::read(root.path()).append(change("gmv", 2)).unwrap();
        assert_eq!(revisions(&History::read(root.path()), "gmv"), [1, 2]);
    }

    #[test]
    fn a_long_history_is_shortened() {
        let root = tempfile::tempdir().unwrap();
        let mut history = History::read(root.path());
        let long = "x".repeat(30_000);
        for revision in 1..=150 {
            history.append(Change { reason: long.clone(), ..change("gmv", revision) }).unwrap();
        }
        assert_eq!(revisions(&History::read(root.path()), "gmv"), (51..=150).collect::<Vec<_>>());
        assert!(fs::metadata(root.path().join(FILE)).unwrap().len() < 150 * 30_000);
    }

    #[test]
    fn a_change_is_one_sentence() {
        let said = Change { reason: "because".into(), ..change("gmv", 3) }.to_string();
        assert_eq!(said, "revision 3 by maria: stable = 3 (100 %); because");
    }
}
