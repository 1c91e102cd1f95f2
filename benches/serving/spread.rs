//! A figure over the repetitions: its median and its range.

use std::fmt::{Display, Formatter, Result as FmtResult};

use crate::{load::Measured, raw::Raw, results::Figures};

/// A figure over the repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
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

impl Display for Spread {
    fn fmt(&self, out: &mut Formatter<'_>) -> FmtResult {
        let digits = if self.most.abs() >= 100.0 { 0 } else { 2 };
        write!(out, "{:.digits$}", self.median)?;
        if self.least < self.most {
            write!(out, " ({:.digits$}–{:.digits$})", self.least, self.most)?;
        }
        Ok(())
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

    /// How much larger Souk's figure is than the echo server's, within each repetition.
    pub(crate) fn above_echo(&self, figure: impl Fn(&Measured) -> f64) -> Option<Spread> {
        Spread::of(self.souk.iter().zip(&self.echo).map(|(souk, echo)| figure(souk) - figure(echo)))
    }

    /// Rows a second of Souk by those of the forward pass, within each repetition.
    pub(crate) fn by_raw(&self, raw: &[&Raw]) -> Option<Spread> {
        Spread::of(self.souk.iter().zip(raw).map(|(souk, raw)| souk.rows_per_second() / raw.best()))
    }
}
