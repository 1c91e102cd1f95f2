//! What was measured, point by point and repetition by repetition.

use std::{
    fmt::{Display, Formatter, Result as FmtResult},
    fs,
    path::Path,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{load::Measured, raw::Raw, settings::Model, swapped::Swapped};

/// Everything of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// In the order in which they were first measured.
    pub(crate) points: Vec<(Point, Figures)>,
    /// The forward pass alone, of each repetition.
    pub(crate) raw: Vec<(Model, Raw)>,
    /// Souk's start, of each repetition.
    pub(crate) starts: Vec<(Model, Start)>,
    /// Clients that vanished, of each repetition.
    pub(crate) leaving: Vec<Left>,
    /// Rows that ran although their deadline had passed, as the server counted them
    /// over all overloads of each repetition.
    pub(crate) late_rows: Vec<f64>,
    /// What swaps of versions cost.
    #[serde(default)]
    pub(crate) swapped: Vec<(Model, Swapped)>,
    /// How a version compared with its equal, at the end of each repetition.
    #[serde(default)]
    pub(crate) compared: Vec<Compared>,
}

/// What was asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) model: Model,
    pub(crate) kind: Kind,
}

/// The form of a load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Callers that wait for their answers.
    Closed { callers: usize, rows: usize },
    /// One row a request, by the clock.
    Open { rate: Rate },
    /// Callers that wait for their answers, 64 rows a request: the best is the capacity
    /// that overloads are multiples of.
    Capacity { callers: usize },
    /// So many times the capacity, 64 rows a request.
    Overload { times: f64, deadline: bool },
    /// A few requests before and after an overload.
    Calm { after: bool, deadline: bool },
    /// One row a request, as fast as the generator can.
    Flood,
    /// Single requests by the clock, alone or beside a stream.
    Interactive { beside: bool },
    /// The stream.
    Bulk,
    /// 64 callers that wait for their answers, one row a request, while another version
    /// scores all of them too, or none does.
    Shadow { beside: bool },
    /// The same callers, at a server that is looked at or not.
    Telemetry { watched: Watched },
}

/// Who looks at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Watched {
    /// Nobody.
    Off,
    /// A collector, a scrape each second, an open page.
    On,
    /// The same, but the collector is not there,
    Gone,
    /// does not answer,
    Slow,
    /// or has no room.
    Refusing,
}

/// Requests a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Rate {
    /// So many.
    Fixed(f64),
    /// So many times what Souk answers in a closed loop.
    Capacity(f64),
}

/// A server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Souk,
    Echo,
}

/// What a point gave, repetition by repetition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) souk: Vec<Measured>,
    pub(crate) echo: Vec<Measured>,
}

/// A start of the server.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Start {
    /// From the start of the process until it was SERVING, in seconds.
    pub(crate) ready_after: f64,
    /// Memory that it then held, in MiB.
    pub(crate) memory_mib: f64,
    /// The most that it had held until then, in MiB.
    pub(crate) peak_mib: f64,
}

/// What clients left behind that vanished.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Left {
    /// How many.
    pub(crate) clients: usize,
    /// Memory of the server before and after, in MiB.
    pub(crate) before_mib: f64,
    pub(crate) after_mib: f64,
    /// Rows in the queue afterwards, where the server says so.
    pub(crate) queue_rows: Option<f64>,
}

/// A version beside its equal, as the server compared them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// Rows that were compared, of those in the server's window.
    pub(crate) rows: u64,
    /// Largest absolute difference, in the head's unit.
    pub(crate) difference: f64,
    /// Mean absolute difference by the mean absolute answer.
    pub(crate) relative: f64,
    /// Spearman's; `None` where the server gives none.
    pub(crate) correlation: Option<f64>,
}

impl Results {
    /// What [`Results::write`] wrote.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read(file).with_context(|| format!("{}: measure first", file.display()))?;
        serde_json::from_slice(&text).with_context(|| file.display().to_string())
    }

    /// Keeps the figures, so that they can be reported again.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(file.parent().unwrap_or(file))?;
        fs::write(file, serde_json::to_vec(self)?).with_context(|| file.display().to_string())
    }

    /// Adds one repetition of a point.
    pub(crate) fn add(&mut self, point: Point, who: Who, measured: Measured) {
        let place = self.points.iter().position(|(known, _)| *known == point).unwrap_or_else(|| {
            self.points.push((point, Figures::default()));
            self.points.len() - 1
        });
        if let Some((_, figures)) = self.points.get_mut(place) {
            match who {
                Who::Souk => figures.souk.push(measured),
                Who::Echo => figures.echo.push(measured),
            }
        }
    }

    /// What a point gave; nothing where it was not measured.
    pub(crate) fn figures(&self, model: Model, kind: Kind) -> Figures {
        let point = Point { model, kind };
        self.points.iter().find(|(known, _)| *known == point).map(|(_, figures)| figures.clone()).unwrap_or_default()
    }

    /// The forward pass alone, of each repetition.
    pub(crate) fn raw(&self, model: Model) -> Vec<&Raw> {
        self.raw.iter().filter(|(known, _)| *known == model).map(|(_, raw)| raw).collect()
    }

    /// Souk's starts, of each repetition.
    pub(crate) fn starts(&self, model: Model) -> impl Iterator<Item = &Start> {
        self.starts.iter().filter(move |(known, _)| *known == model).map(|(_, start)| start)
    }
}

impl Display for Point {
    fn fmt(&self, out: &mut Formatter<'_>) -> FmtResult {
        write!(out, "{}: {}", self.model.name(), self.kind)
    }
}

impl Display for Kind {
    fn fmt(&self, out: &mut Formatter<'_>) -> FmtResult {
        let with = |deadline: &bool| if *deadline { "with deadlines" } else { "without deadlines" };
        match self {
            Self::Closed { callers, rows: 1 } => write!(out, "C = {callers}, 1 row"),
            Self::Closed { callers, rows } => write!(out, "C = {callers}, {rows} rows"),
            Self::Open { rate: Rate::Fixed(rate) } => write!(out, "{rate}/s"),
            Self::Open { rate: Rate::Capacity(times) } => write!(out, "{times} × capacity"),
            Self::Capacity { callers } => write!(out, "capacity, C = {callers}"),
            Self::Overload { times, deadline } => write!(out, "{times} ×, {}", with(deadline)),
            Self::Calm { after: false, deadline } => write!(out, "calm before, {}", with(deadline)),
            Self::Calm { after: true, deadline } => write!(out, "calm 2 s after, {}", with(deadline)),
            Self::Flood => write!(out, "flood, 1 row"),
            Self::Interactive { beside: false } => write!(out, "200/s alone"),
            Self::Interactive { beside: true } => write!(out, "200/s beside a stream"),
            Self::Bulk => write!(out, "the stream"),
            Self::Shadow { beside: false } => write!(out, "C = 64, 1 row, without a shadow"),
            Self::Shadow { beside: true } => write!(out, "C = 64, 1 row, with a shadow"),
            Self::Telemetry { watched } => write!(out, "C = 64, 1 row, telemetry {watched:?}"),
        }
    }
}
