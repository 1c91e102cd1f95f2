//! Forecasts of a merchant's GMV: the mean, the probability of any sale, and
//! quantiles.

use statrs::distribution::{ContinuousCDF, Normal};

use super::{HeadError, Source, finite, sigmoid};
use crate::rows::Rows;

/// Reads forecasts out of a model's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct GmvHead {
    source: Source,
    shape: Shape,
    currency: String,
    horizon_days: u32,
    quantiles: Vec<f64>,
}

/// What the model tells of the distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// Three numbers a row: a zero-inflated lognormal.
    Ziln,
    /// One number a row: the mean.
    Point,
}

/// The distribution of one merchant's GMV over the horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The mean, in the head's currency; from 0.
    pub expected_gmv: f64,
    /// Probability of any sale; 0 to 1. A point head knows none and answers 1.
    pub active_probability: f64,
    /// `(probability, GMV)`, in the order asked for. Empty from a point head.
    pub quantiles: Vec<(f64, f64)>,
}

/// A lognormal with a lump of probability at zero.
///
/// Source: Wang, Liu, Miao (2019), arXiv:1912.07753, section 3.
#[derive(Debug, Clone, Copy)]
struct Ziln {
    /// P(GMV > 0).
    active: f64,
    /// P(GMV = 0), not by subtraction: exact where `active` rounds to 1.
    idle: f64,
    mu: f64,
    sigma: f64,
}

impl GmvHead {
    pub(super) fn ziln(source: Source, currency: &str, horizon_days: u32, quantiles: &[f64]) -> Self {
        let currency = currency.to_owned();
        Self { source, shape: Shape::Ziln, currency, horizon_days, quantiles: quantiles.to_vec() }
    }

    pub(super) fn point(source: Source, currency: &str, horizon_days: u32) -> Self {
        let currency = currency.to_owned();
        Self { source, shape: Shape::Point, currency, horizon_days, quantiles: Vec::new() }
    }

    /// ISO 4217 code of the forecasts.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Days in the horizon, which begins on the day after `as_of`.
    pub fn horizon_days(&self) -> u32 {
        self.horizon_days
    }

    /// The probabilities to read unless a request names others, ascending.
    pub fn quantiles(&self) -> &[f64] {
        &self.quantiles
    }

    /// The forecast of one row, read at the probabilities `quantiles`, each
    /// strictly between 0 and 1.
    ///
    /// A point head answers its one number, at least 0 because a GMV is; it
    /// knows no distribution and answers no quantiles.
    ///
    /// # Errors
    ///
    /// [`HeadError::NotFinite`] where an output is not finite or a result
    /// overflows `f64`, [`HeadError::Sigma`] where sigma is not above 0,
    /// [`HeadError::Shape`] where the outputs are not the manifest's.
    pub fn forecast(&self, outputs: &Rows, row: usize, quantiles: &[f64]) -> Result<Forecast, HeadError> {
        let values = self.source.read(outputs, row)?;
        match (self.shape, values) {
            (Shape::Ziln, &[logit, mu, sigma]) => Ziln::new(logit, mu, sigma)?.forecast(quantiles),
            (Shape::Point, &[gmv]) => {
                let gmv = finite(f64::from(gmv), || "the expected GMV".to_owned())?;
                Ok(Forecast { expected_gmv: gmv.max(0.0), active_probability: 1.0, quantiles: Vec::new() })
            }
            (Shape::Ziln | Shape::Point, other) => Err(self.source.misfit(other.len())),
        }
    }
}

impl Ziln {
    fn new(logit: f32, mu: f32, sigma: f32) -> Result<Self, HeadError> {
        let logit = finite(f64::from(logit), || "the logit".to_owned())?;
        let mu = finite(f64::from(mu), || "mu".to_owned())?;
        let sigma = finite(f64::from(sigma), || "sigma".to_owned())?;
        if sigma <= 0.0 {
            return Err(HeadError::Sigma { found: sigma.to_string() });
        }
        Ok(Self { active: sigmoid(logit), idle: sigmoid(-logit), mu, sigma })
    }

    fn forecast(self, quantiles: &[f64]) -> Result<Forecast, HeadError> {
        let normal = Normal::standard();
        let read = |&probability: &f64| {
            let gmv = finite(self.quantile(&normal, probability), || format!("the quantile at {probability}"))?;
            Ok((probability, gmv))
        };
        Ok(Forecast {
            expected_gmv: finite(self.mean(), || "the mean".to_owned())?,
            active_probability: self.active,
            quantiles: quantiles.iter().map(read).collect::<Result<_, HeadError>>()?,
        })
    }

    /// `p · exp(μ + σ²/2)`.
    ///
    /// Source: Wang, Liu, Miao (2019), arXiv:1912.07753, eq. 5.
    fn mean(self) -> f64 {
        self.active * (self.mu + self.sigma * self.sigma / 2.0).exp()
    }

    /// The inverse of the distribution function: 0 up to P(GMV = 0), and
    /// `exp(μ + σ·Φ⁻¹((q − (1 − p)) / p))` above.
    fn quantile(self, normal: &Normal, probability: f64) -> f64 {
        if probability <= self.idle {
            return 0.0;
        }
        // Below 1 even where the division rounds up, because Φ⁻¹(1) is infinite.
        let among_active = ((probability - self.idle) / self.active).min(1.0_f64.next_down());
        (self.mu + self.sigma * normal.inverse_cdf(among_active)).exp()
    }
}
