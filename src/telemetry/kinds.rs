//! Bounded sets that things are counted by: the values of labels.

/// What became of rows that a version was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsOutcome {
    /// Answered.
    Ok,
    /// The model failed on them.
    Failed,
    /// The version can't encode them.
    Refused,
}

impl RowsOutcome {
    pub(super) const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Refused];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// What became of rows that a version was to score for comparison alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowOutcome {
    /// Scored.
    Scored,
    /// The version can't encode them, failed on them, or gave no number.
    Failed,
    /// There was no room for them.
    Dropped,
}

impl ShadowOutcome {
    pub(super) const ALL: [Self; 3] = [Self::Scored, Self::Failed, Self::Dropped];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Scored => "scored",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Why rows were never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// More rows than may wait.
    QueueFull,
    /// More bytes than may wait.
    QueueBytes,
    /// The wait would have been too long.
    Wait,
    /// The deadline could not be met; refused at once.
    Deadline,
    /// The deadline passed while they waited.
    Expired,
    /// The caller left while they waited.
    Cancelled,
    /// The caller asked for more rows in a second than he may.
    Rate,
}

impl Reason {
    pub(super) const ALL: [Self; 7] =
        [Self::QueueFull, Self::QueueBytes, Self::Wait, Self::Deadline, Self::Expired, Self::Cancelled, Self::Rate];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueBytes => "queue_bytes",
            Self::Wait => "wait",
            Self::Deadline => "deadline",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Rate => "rate",
        }
    }
}

/// What is sent to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// What is told on `/metrics` too.
    Metrics,
    /// Spans.
    Traces,
}

impl Signal {
    pub(super) const ALL: [Self; 2] = [Self::Metrics, Self::Traces];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}
