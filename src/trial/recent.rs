//! A few of the rows that were asked for lately, without their ids: what a new
//! version is warmed up with.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tracing::{info, warn};

use super::{RowFrames, chance::index};
use crate::manifest::Task;

/// Rows that are kept of each model: a full batch.
const MOST_ROWS: usize = 256;

/// Of so many requests one gives a row.
const EVERY: u64 = 64;

/// The longest row that is kept, in bytes: all rows of a model take 4 MB at most.
const MOST_BYTES: usize = 16 * 1024;

/// The file of a model's rows, beside its versions, in protobuf's JSON form.
const FILE: &str = "recent.jsonl";

/// The rows, by model.
#[derive(Default)]
pub(super) struct Recent {
    requests: AtomicU64,
    models: Mutex<BTreeMap<String, Kept>>,
}

/// The rows of one model.
struct Kept {
    task: Task,
    /// Oldest first.
    rows: VecDeque<Bytes>,
    /// Whether some are not in the file yet.
    changed: bool,
}

impl Recent {
    /// The number of this request, where it is its turn to give a row.
    pub(super) fn turn(&self) -> Option<u64> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        request.is_multiple_of(EVERY).then_some(request)
    }

    /// Keeps one of the rows of a request. Where somebody else is at it, none is kept.
    pub(super) fn add(
        &self,
        model: &str,
        task: Task,
        frames: &[Bytes],
        row: impl Fn(&Bytes) -> Option<Bytes>,
        turn: u64,
    ) {
        let frame = frames.get(index(turn, frames.len())).filter(|frame| frame.len() <= MOST_BYTES);
        let Some(row) = frame.and_then(row) else { return };
        let Ok(mut models) = self.models.try_lock() else { return };
        if let Some(kept) = models.get_mut(model) {
            kept.push(row);
        } else {
            models.insert(model.to_owned(), Kept { task, rows: [row].into(), changed: true });
        }
    }

    /// The rows of a model, oldest first.
    pub(super) fn of(&self, model: &str) -> Vec<Bytes> {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(model).map(|kept| kept.rows.iter().cloned().collect()).unwrap_or_default()
    }

    /// Writes the rows of the models that have new ones.
    pub(super) fn store(&self, root: &Path, forms: &dyn RowFrames) {
        for (model, task, rows) in self.changed() {
            let lines: Vec<String> = rows.iter().filter_map(|row| forms.to_json(task, row)).collect();
            if let Err(error) = write(&root.join(&model).join(FILE), &lines) {
                warn!(model, %error, "the recent rows can't be stored");
            }
        }
    }

    /// What is to be stored, taken out of the lock.
    fn changed(&self) -> Vec<(String, Task, Vec<Bytes>)> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = models.iter_mut().filter_map(|(model, kept)| {
            let changed = std::mem::take(&mut kept.changed);
            changed.then(|| (model.clone(), kept.task, kept.rows.iter().cloned().collect()))
        });
        changed.collect()
    }

    /// Reads what was stored. Lines that are no rows are left out.
    pub(super) fn restore(&self, root: &Path, forms: &dyn RowFrames) {
        for (model, task, path) in stored(root) {
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let rows: VecDeque<Bytes> = text.lines().filter_map(|line| forms.of_json(task, line)).collect();
            let rows: VecDeque<Bytes> =
                rows.into_iter().filter(|row| row.len() <= MOST_BYTES).take(MOST_ROWS).collect();
            info!(model, rows = rows.len(), "recent rows were read");
            let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
            models.insert(model, Kept { task, rows, changed: false });
        }
    }
}

impl Kept {
    fn push(&mut self, row: Bytes) {
        if self.rows.len() == MOST_ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
        self.changed = true;
    }
}

/// The files of models whose name says what their rows are.
fn stored(root: &Path) -> Vec<(String, Task, PathBuf)> {
    let tasks = [Task::MerchantGmv, Task::UserPortrait];
    let file = |task: Task| (task.as_str().to_owned(), task, root.join(task.as_str()).join(FILE));
    tasks.into_iter().map(file).filter(|(_, _, path)| path.exists()).collect()
}

/// Replaces the file in one step.
fn write(path: &Path, lines: &[String]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    lines.iter().try_for_each(|line| writeln!(file, "{line}"))?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;

    use super::*;

    /// Rows whose JSON form is their text.
    struct Text;

    impl RowFrames for Text {
        fn encode(&self, _: &[u8], _: Date, _: &crate::model::Version, _: &mut crate::rows::Rows) -> bool {
            false
        }

        fn without_id(&self, frame: &[u8], _: Date) -> Option<Bytes> {
            Some(Bytes::copy_from_slice(frame))
        }

        fn to_json(&self, _: Task, frame: &[u8]) -> Option<String> {
            String::from_utf8(frame.to_vec()).ok()
        }

        fn of_json(&self, _: Task, json: &str) -> Option<Bytes> {
            json.starts_with('{').then(|| Bytes::copy_from_slice(json.as_bytes()))
        }
    }

    fn add(recent: &Recent, row: String) {
        recent.add("merchant_gmv", Task::MerchantGmv, &[Bytes::from(row)], |row| Some(row.clone()), 0);
    }

    #[test]
    fn one_request_of_many_gives_a_row() {
        let recent = Recent::default();
        let turns: Vec<u64> = (0..200).filter_map(|_| recent.turn()).collect();
        assert_eq!(turns, [0, 64, 128, 192]);
    }

    #[test]
    fn the_last_rows_are_kept_and_none_that_is_too_long() {
        let recent = Recent::default();
        (0..300).for_each(|row| add(&recent, row.to_string()));
        add(&recent, "x".repeat(MOST_BYTES + 1));
        let rows = recent.of("merchant_gmv");
        assert_eq!(
            (rows.len(), rows.first().unwrap(), rows.last().unwrap()),
            (256, &Bytes::from("44"), &Bytes::from("299"))
        );
        assert!(recent.of("user_portrait").is_empty());
    }

    #[test]
    fn a_request_never_waits_for_another_ones_row() {
        let recent = Recent::default();
        let held = recent.models.lock().unwrap();
        add(&recent, "1".into());
        drop(held);
        assert!(recent.of("merchant_gmv").is_empty());
    }

    #[test]
    fn rows_are_there_again_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("merchant_gmv")).unwrap();
        let recent = Recent::default();
        ["{1}", "{2}"].into_iter().for_each(|row| add(&recent, row.into()));
        recent.store(root.path(), &Text);
        let file = root.path().join("merchant_gmv").join(FILE);
        assert_eq!(fs::read_to_string(&file).unwrap(), "{1}\n{2}\n");

        fs::write(&file, "{1}\nno row\n{2}\n").unwrap();
        let again = Recent::default();
        again.restore(root.path(), &Text);
        assert_eq!(again.of("merchant_gmv"), ["{1}", "{2}"]);
        // Nothing new, so nothing is written.
        again.store(root.path(), &Text);
        assert!(fs::read_to_string(&file).unwrap().contains("no row"));
    }
}
