//! What was measured, point by point and repetition by repetition.

use serde::{Deserialize, Serialize};

use crate::{load::Measured, raw::Raw, settings::Model};

/// Everything of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// In the order in which they were first measured.
    pub(crate) points: Vec<(Point, Figures)>,
    /// The forward pass alone, of each repetition.
    pub(crate) raw: Vec<(Model, Raw)>,
    /// Souk's start, of each repetition.
    pub(crate) starts: Vec<(Model, Start)>,
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

/// What was asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) model: Model,
    pub(crate) kind: Kind,
}

/// The form of a load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Closed { callers: usize, rows: usize },
    Open { rate: Rate },
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

/// A figure over the repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Results {
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

    /// The forward pass alone, of each repetition.
    pub(crate) fn raw(&self, model: Model) -> Vec<&Raw> {
        self.raw.iter().filter(|(known, _)| *known == model).map(|(_, raw)| raw).collect()
    }

    /// A figure of Souk's starts.
    pub(crate) fn start(&self, model: Model, figure: impl Fn(&Start) -> f64) -> Option<Spread> {
        Spread::of(self.starts.iter().filter(|(known, _)| *known == model).map(|(_, start)| figure(start)))
    }
}

impl Figures {
    /// A figure of Souk.
    pub(crate) fn souk(&self, figure: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.souk.iter().map(figure))
    }

    /// A figure of the echo server.
    pub(crate) fn echo(&self, figure: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.echo.iter().map(figure))
    }

    /// Souk's figure by the echo server's, within each repetition.
    pub(crate) fn by_echo(&self, figure: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.souk.iter().zip(&self.echo).map(|(souk, echo)| figure(souk) / figure(echo)))
    }

    /// Rows a second of Souk by those of the forward pass, within each repetition.
    pub(crate) fn by_raw(&self, raw: &[&Raw]) -> Option<Spread> {
        Spread::of(self.souk.iter().zip(raw).map(|(souk, raw)| souk.rows_per_second() / raw.best()))
    }
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2)?;
        Some(Self { least: *sorted.first()?, median: *median, most: *sorted.last()? })
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.model.name(), self.kind)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed { callers, rows } => write!(out, "C = {callers}, {rows} rows"),
            Self::Open { rate: Rate::Fixed(rate) } => write!(out, "{rate}/s"),
            Self::Open { rate: Rate::Capacity(times) } => write!(out, "{times} × capacity"),
        }
    }
}
