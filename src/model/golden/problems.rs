//! What is wrong with golden rows, as far as it is worth telling.

/// Problems that are listed before the rest is only counted: more don't tell
/// more, and a wrong model fails in every row.
const LISTED: usize = 20;

/// The first problems, and how many there are.
#[derive(Default)]
pub(super) struct Problems {
    first: Vec<String>,
    total: usize,
}

impl Problems {
    pub(super) fn add(&mut self, problem: String) {
        self.total += 1;
        if self.first.len() < LISTED {
            self.first.push(problem);
        }
    }

    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = String>) {
        problems.into_iter().for_each(|problem| self.add(problem));
    }

    pub(super) fn listed(mut self, file: &str) -> Vec<String> {
        let more = self.total - self.first.len();
        if more > 0 {
            self.first.push(format!("{file}: and {more} problems more"));
        }
        self.first
    }
}
