//! The history as JSON.

use serde::Serialize;

use crate::telemetry::{Name, Stretch};

/// Points, and when they were taken.
#[derive(Serialize)]
pub(super) struct Points<'h> {
    /// When this server started, in milliseconds since 1970: numbers are its own.
    started: u64,
    /// The number of the first point.
    first: u64,
    /// What to ask for next.
    next: u64,
    /// Milliseconds since 1970.
    times: Vec<u64>,
    /// Those that are something. A figure that is not here is 0 or, where it is a
    /// percentile or a mean, unknown.
    series: Vec<Line<'h>>,
}

#[derive(Serialize)]
struct Line<'h> {
    #[serde(flatten)]
    name: Named<'h>,
    /// One for each point; `null` where it is unknown.
    values: Vec<f32>,
}

/// What a figure is of.
#[derive(Serialize)]
pub(super) struct Named<'h> {
    figure: &'static str,
    of: &'h str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'h str>,
}

impl<'h> From<&'h Name> for Named<'h> {
    fn from(name: &'h Name) -> Self {
        let Name { figure, of, version, by } = name;
        Self { figure: figure.as_str(), of, version: *version, by: by.as_deref() }
    }
}

impl<'h> Points<'h> {
    pub(super) fn new(started: u64, stretch: Stretch<'h>) -> Self {
        let Stretch { first, next, times, series } = stretch;
        let series = series.into_iter().map(|(name, values)| Line { name: name.into(), values });
        Self { started, first, next, times, series: series.collect() }
    }
}
