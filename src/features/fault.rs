//! Why a row can't be encoded: everything that is wrong with it, at once.

use thiserror::Error;

/// Most violations that are spelled out for one row; the rest is counted. A
/// list of a million NaNs must not become a million sentences.
const MOST_VIOLATIONS: usize = 32;

/// What kind of fault a row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// A value that no version would take, or that is outside this version's range.
    InvalidArgument,
    /// The row is well-formed, but this version reads other features.
    FailedPrecondition,
    /// The rows to append to are not this encoder's: our own mistake.
    Internal,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path from the row on, e.g. `features.daily_gmv[17]`.
    pub field: String,
    /// What was found and what was wanted.
    pub description: String,
}

/// Why a row was not encoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.summary())]
pub struct RowFault {
    /// [`FaultCode::InvalidArgument`] where any violation is of that kind.
    pub code: FaultCode,
    /// All fields at fault; past the first 32 the last one says how many more there are.
    pub violations: Vec<Violation>,
}

/// The faults of one row as they are found.
#[derive(Default)]
pub(super) struct Faults {
    code: Option<FaultCode>,
    violations: Vec<Violation>,
    unspoken: usize,
}

impl RowFault {
    pub(super) fn internal(description: String) -> Self {
        Self { code: FaultCode::Internal, violations: vec![Violation { field: "features".to_owned(), description }] }
    }

    /// The violations in one sentence, e.g. for the message of a row's error.
    pub fn summary(&self) -> String {
        let spoken = self.violations.iter().map(|Violation { field, description }| format!("{field}: {description}"));
        spoken.collect::<Vec<_>>().join("; ")
    }
}

impl Faults {
    /// A value that can't be.
    pub(super) fn invalid(&mut self, field: impl FnOnce() -> String, description: impl FnOnce() -> String) {
        self.code = Some(FaultCode::InvalidArgument);
        self.add(field, description);
    }

    /// A value that this version can't take, or misses.
    pub(super) fn unmet(&mut self, field: impl FnOnce() -> String, description: impl FnOnce() -> String) {
        self.code.get_or_insert(FaultCode::FailedPrecondition);
        self.add(field, description);
    }

    /// # Errors
    ///
    /// The fault, where there was any.
    pub(super) fn into_result(mut self) -> Result<(), RowFault> {
        let Some(code) = self.code else { return Ok(()) };
        if self.unspoken > 0 {
            let description = format!("{} more violations", self.unspoken);
            self.violations.push(Violation { field: "features".to_owned(), description });
        }
        Err(RowFault { code, violations: self.violations })
    }

    fn add(&mut self, field: impl FnOnce() -> String, description: impl FnOnce() -> String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(Violation { field: field(), description: description() });
        } else {
            self.unspoken += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_invalid_value_makes_the_whole_row_invalid() {
        let mut faults = Faults::default();
        faults.unmet(|| "features.extra.mood".into(), || "unknown".into());
        faults.invalid(|| "features.rating".into(), || "is NaN".into());
        faults.unmet(|| "features.extra.tone".into(), || "unknown".into());
        let fault = faults.into_result().unwrap_err();
        assert_eq!(fault.code, FaultCode::InvalidArgument);
        assert_eq!(
            fault.to_string(),
            "features.extra.mood: unknown; features.rating: is NaN; features.extra.tone: unknown"
        );
    }

    #[test]
    fn a_flood_of_faults_is_counted_instead_of_listed() {
        let mut faults = Faults::default();
        for _ in 0..1000 {
            faults.invalid(|| "features.daily_gmv".into(), || "is NaN".into());
        }
        let fault = faults.into_result().unwrap_err();
        assert_eq!(fault.violations.len(), MOST_VIOLATIONS + 1);
        assert_eq!(fault.violations.last().map(|last| last.description.as_str()), Some("968 more violations"));
    }

    #[test]
    fn no_fault_is_no_error() {
        assert_eq!(Faults::default().into_result(), Ok(()));
    }
}
