//! What a manifest's shape can't say: names that must match, widths, ranges.

mod architecture;
mod feature;
mod head;
mod tensor;

use std::collections::HashSet;
use std::fmt::Display;

use super::{FORMAT_VERSION, Manifest, Serving, Task, Tolerance};

/// Most rows in one forward pass.
const MOST_BATCH_ROWS: usize = 65_536;

/// Most of a tolerance. More would pass a model that is not the trained one: the
/// proof by golden rows could be switched off by a number.
const MOST_TOLERANCE: f64 = 1e-3;

/// Longest name of a model, in bytes: it becomes a folder and a metric's label.
const LONGEST_MODEL: usize = 100;

/// What is wrong, one sentence each.
#[derive(Default)]
struct Problems(Vec<String>);

/// Whether a model may have this name.
///
/// # Errors
///
/// What was wanted, for people.
pub fn check_name(model: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let begins = model.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && model.chars().all(plain) && model.len() <= LONGEST_MODEL {
        return Ok(());
    }
    Err(format!("up to {LONGEST_MODEL} of a-z, A-Z, 0-9, _, - and ., a letter or digit first"))
}

impl Manifest {
    /// Everything that is wrong with the meaning of the manifest, one sentence
    /// each; empty where it is sound. A parsed manifest is.
    pub fn check(&self) -> Vec<String> {
        let mut problems = Problems::default();
        self.check_identity(&mut problems);
        self.check_files(&mut problems);
        feature::check(self, &mut problems);
        tensor::check(self, &mut problems);
        architecture::check(self, &mut problems);
        head::check(self, &mut problems);
        self.tolerance.check(&mut problems);
        self.serving.check(self.task, &mut problems);
        problems.0
    }

    fn check_identity(&self, problems: &mut Problems) {
        if self.format_version != FORMAT_VERSION {
            problems.add("format_version", self.format_version, FORMAT_VERSION);
        }
        if let Err(wanted) = check_name(&self.model) {
            problems.add("model", quoted(&self.model), wanted);
        }
        if self.version == 0 {
            problems.add("version", 0, "1 or more");
        }
        if self.torch_version.is_empty() {
            problems.add("torch_version", quoted(""), "a release of PyTorch");
        }
        if self.created_at.parse::<jiff::Timestamp>().is_err() {
            problems.add("created_at", quoted(&self.created_at), "a time by RFC 3339");
        }
    }

    fn check_files(&self, problems: &mut Problems) {
        for name in self.engine.needed_files().into_iter().filter(|name| !self.files.contains_key(*name)) {
            problems.0.push(format!("files.{name}: missing"));
        }
        for (name, digest) in &self.files {
            if !is_plain_name(name) || name == "manifest.json" {
                problems.add("files", quoted(name), "the plain name of another file of the folder");
            }
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if digest.len() != 64 || !digest.bytes().all(hex) {
                problems.add(format!("files.{name}"), quoted(digest), "a sha256: 64 of 0-9 and a-f");
            }
        }
    }
}

impl Tolerance {
    fn check(&self, problems: &mut Problems) {
        for (key, value) in [("absolute", self.absolute), ("relative", self.relative)] {
            if !(0.0..=MOST_TOLERANCE).contains(&value) {
                problems.add(format!("tolerance.{key}"), value, format!("0 to {MOST_TOLERANCE}"));
            }
        }
    }
}

impl Serving {
    fn check(&self, task: Task, problems: &mut Problems) {
        let least = usize::from(task != Task::Tensors);
        if !(least..=MOST_BATCH_ROWS).contains(&self.max_batch_rows) {
            problems.add("serving.max_batch_rows", self.max_batch_rows, format!("{least} to {MOST_BATCH_ROWS}"));
        }
        // A request of a model without rows counts as one.
        let most = self.max_batch_rows.max(1);
        for (index, rows) in self.warmup_rows.iter().enumerate().filter(|(_, rows)| !(1..=most).contains(*rows)) {
            problems.add(format!("serving.warmup_rows[{index}]"), rows, format!("1 to max_batch_rows, {most}"));
        }
    }
}

impl Problems {
    fn add(&mut self, path: impl Display, found: impl Display, wanted: impl Display) {
        self.0.push(format!("{path}: found {found}, wanted {wanted}"));
    }

    /// Every name that occurred before, and every empty one.
    fn names<'a>(&mut self, names: impl Iterator<Item = &'a str>, path: impl Fn(usize) -> String) {
        let mut seen = HashSet::new();
        for (index, name) in names.enumerate() {
            if name.is_empty() {
                self.add(path(index), quoted(name), "a name");
            } else if !seen.insert(name) {
                self.add(path(index), format!("{} again", quoted(name)), "each once");
            }
        }
    }

    /// The first number that is not above the one before it.
    fn ascending(&mut self, path: impl Display, numbers: &[f64]) {
        let pairs = numbers.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
        if let Some((before, after)) = pairs.into_iter().find(|(before, after)| before >= after) {
            self.add(path, format!("{after} after {before}"), "ascending numbers");
        }
    }
}

/// Whether `name` is that of a file in the folder itself.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.contains(['/', '\\', '\0']) && !matches!(name, "" | "." | "..")
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}
