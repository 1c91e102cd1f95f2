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
#[derive(Debug, Clone, PartialEq, Default)]
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

    /// Reads the forecast of one row, at the probabilities `quantiles`, each
    /// strictly between 0 and 1. `into` is whatever was read before, or new.
    ///
    /// A point head answers its one number, at least 0 because a GMV is; it
    /// knows no distribution and answers no quantiles.
    ///
    /// # Errors
    ///
    /// [`HeadError::NotFinite`] where an output is not finite or a result
    /// overflows `f64`, [`HeadError::Sigma`] where sigma is not above 0,
    /// [`HeadError::Shape`] where the outputs are not the manifest's. `into` is
    /// then of no use.
    pub fn forecast(
        &self,
        outputs: &Rows,
        row: usize,
        quantiles: &[f64],
        into: &mut Forecast,
    ) -> Result<(), HeadError> {
        into.quantiles.clear();
        match (self.shape, self.source.read(outputs, row)?) {
            (Shape::Ziln, &[logit, mu, sigma]) => {
                Ziln::new([logit, mu, sigma].map(f64::from))?.forecast(quantiles, into)
            }
            (Shape::Point, &[gmv]) => {
                into.expected_gmv = finite(f64::from(gmv), || "the expected GMV".to_owned())?.max(0.0);
                into.active_probability = 1.0;
                Ok(())
            }
            (Shape::Ziln | Shape::Point, other) => Err(self.source.misfit(other.len())),
        }
    }
}

impl Ziln {
    fn new([logit, mu, sigma]: [f64; 3]) -> Result<Self, HeadError> {
        let logit = finite(logit, || "the logit".to_owned())?;
        let mu = finite(mu, || "mu".to_owned())?;
        let sigma = finite(sigma, || "sigma".to_owned())?;
        if sigma <= 0.0 {
            return Err(HeadError::Sigma { found: sigma.to_string() });
        }
        Ok(Self { active: sigmoid(logit), mu, sigma })
    }

    fn forecast(self, quantiles: &[f64], into: &mut Forecast) -> Result<(), HeadError> {
        let normal = Normal::standard();
        into.expected_gmv = finite(self.mean(), || "the mean".to_owned())?;
        into.active_probability = self.active;
        for &probability in quantiles {
            let gmv = finite(self.quantile(&normal, probability), || format!("the quantile at {probability}"))?;
            into.quantiles.push((probability, gmv));
        }
        Ok(())
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
        let idle = 1.0 - self.active;
        if probability <= idle {
            return 0.0;
        }
        // Below 1 even where the division rounds up, because Φ⁻¹(1) is infinite.
        let among_active = ((probability - idle) / self.active).min(1.0_f64.next_down());
        (self.mu + self.sigma * normal.inverse_cdf(among_active)).exp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::heads::Head;
    use crate::manifest::fixture;
    use crate::rows::{Column, Values};

    /// Two implementations of `exp` and of the inverse normal, in 64 bits.
    const RELATIVE: f64 = 1e-9;

    #[derive(Deserialize)]
    struct Reference {
        outputs: [f64; 3],
        expected: f64,
        active_probability: f64,
        quantiles: Vec<(f64, f64)>,
    }

    fn head(manifest: &serde_json::Value) -> GmvHead {
        let Head::Gmv(head) = Head::new(&fixture::parsed(manifest).unwrap()) else { panic!("no head of GMV") };
        head
    }

    fn point() -> GmvHead {
        let mut manifest = fixture::gmv();
        manifest["outputs"] = json!([{"name": "gmv", "dtype": "float32", "shape": [1]}]);
        manifest["head"] = json!({"kind": "point", "output": "gmv", "currency": "EUR", "horizon_days": 28});
        head(&manifest)
    }

    fn outputs(rows: usize, values: &[f32]) -> Rows {
        let column = Column::new(values.len() / rows, Values::F32(values.to_vec()));
        Rows::new(rows, vec![column]).unwrap()
    }

    impl GmvHead {
        fn forecast_of(&self, outputs: &Rows, row: usize, quantiles: &[f64]) -> Result<Forecast, HeadError> {
            let mut forecast = Forecast::default();
            self.forecast(outputs, row, quantiles, &mut forecast).map(|()| forecast)
        }
    }

    impl Ziln {
        fn forecast_of(self, quantiles: &[f64]) -> Result<Forecast, HeadError> {
            let mut forecast = Forecast::default();
            self.forecast(quantiles, &mut forecast).map(|()| forecast)
        }
    }

    fn assert_close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= RELATIVE * wanted.abs(), "found {found}, wanted {wanted}");
    }

    #[test]
    fn forecasts_are_those_of_training() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/heads.json")).unwrap();
        let references: Vec<Reference> = serde_json::from_value(file["ziln"].clone()).unwrap();
        assert!(references.len() >= 8, "the fixture is cut short");
        for reference in references {
            let asked: Vec<f64> = reference.quantiles.iter().map(|(probability, _)| *probability).collect();
            let forecast = Ziln::new(reference.outputs).unwrap().forecast_of(&asked).unwrap();
            assert_close(forecast.expected_gmv, reference.expected);
            assert_close(forecast.active_probability, reference.active_probability);
            for ((_, found), (_, wanted)) in forecast.quantiles.iter().zip(&reference.quantiles) {
                assert_close(*found, *wanted);
            }
        }
    }

    #[test]
    fn the_inverse_normal_is_exact_to_nine_digits() {
        // NIST's and R's `qnorm`, 16 digits.
        let known = [
            (0.5, 0.0),
            (0.9, 1.281_551_565_544_600_4),
            (0.975, 1.959_963_984_540_054),
            (0.999, 3.090_232_306_167_813_5),
            (1e-10, -6.361_340_902_404_056),
        ];
        for (probability, wanted) in known {
            assert_close(Normal::standard().inverse_cdf(probability), wanted);
        }
    }

    #[test]
    fn nothing_is_left_of_the_forecast_before() {
        let (mut forecast, outputs) = (Forecast::default(), outputs(1, &[0.0, 1.0, 1.0]));
        for quantiles in [[0.1, 0.9].as_slice(), &[0.5]] {
            head(&fixture::gmv()).forecast(&outputs, 0, quantiles, &mut forecast).unwrap();
            assert_eq!(forecast, head(&fixture::gmv()).forecast_of(&outputs, 0, quantiles).unwrap());
        }
    }

    #[test]
    fn each_row_has_its_own_forecast() {
        let head = head(&fixture::gmv());
        let outputs = outputs(2, &[0.0, 0.0, 1.0, 40.0, 8.0, 0.5]);
        assert_close(head.forecast_of(&outputs, 0, &[]).unwrap().expected_gmv, 0.824_360_635_350_064_1);
        assert_close(head.forecast_of(&outputs, 1, &[]).unwrap().expected_gmv, 3_377.867_931_673_534_7);
        assert_eq!((head.currency(), head.horizon_days(), head.quantiles()), ("EUR", 28, [0.1, 0.5, 0.9].as_slice()));
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let head = head(&fixture::gmv());
        let said = |values: [f32; 3]| head.forecast_of(&outputs(1, &values), 0, &[0.9]).unwrap_err().to_string();
        assert_eq!(said([f32::NAN, 1.0, 1.0]), "the logit is not finite");
        assert_eq!(said([1.0, f32::INFINITY, 1.0]), "mu is not finite");
        assert_eq!(said([1.0, 1.0, f32::NAN]), "sigma is not finite");
        assert_eq!(said([1.0, 1.0, 0.0]), "sigma is 0, wanted a number above 0");
        assert_eq!(said([1.0, 700.0, 10.0]), "the mean is not finite");
        assert_eq!(said([5.0, 709.0, 1.0]), "the quantile at 0.9 is not finite");
    }

    #[test]
    fn a_quantile_at_one_is_no_infinity() {
        let head = head(&fixture::gmv());
        let forecast = head.forecast_of(&outputs(1, &[3.0, 1.0, 1.0]), 0, &[1.0_f64.next_down()]).unwrap();
        assert!(forecast.quantiles.iter().all(|(_, gmv)| gmv.is_finite()), "{forecast:?}");
    }

    #[test]
    fn a_point_head_answers_its_number_alone() {
        let forecast = |gmv| point().forecast_of(&outputs(1, &[gmv]), 0, &[0.5]);
        let alone = |expected_gmv| Forecast { expected_gmv, active_probability: 1.0, quantiles: Vec::new() };
        assert_eq!(forecast(12.5), Ok(alone(12.5)));
        assert_eq!(forecast(-0.25), Ok(alone(0.0)));
        assert_eq!(forecast(f32::NAN).unwrap_err().to_string(), "the expected GMV is not finite");
    }

    #[test]
    fn outputs_of_another_shape_are_named() {
        let said = |head: GmvHead| head.forecast_of(&outputs(1, &[1.0, 2.0]), 0, &[]).unwrap_err().to_string();
        assert_eq!(said(head(&fixture::gmv())), "output `ziln` holds 2 floats for this row, wanted 3");
        assert_eq!(said(point()), "output `gmv` holds 2 floats for this row, wanted 1");
    }

    #[test]
    fn a_row_that_is_not_there_is_an_error() {
        let outputs = outputs(1, &[0.0, 0.0, 1.0]);
        assert!(matches!(head(&fixture::gmv()).forecast_of(&outputs, 1, &[]), Err(HeadError::Shape { found: 0, .. })));
    }

    proptest! {
        #[test]
        fn quantiles_rise_with_their_probability(
            logit in -50.0..50.0, mu in -20.0..20.0, sigma in 1e-3..5.0,
            mut asked in prop::collection::vec(1e-6..1.0 - 1e-6, 2..10),
        ) {
            asked.sort_by(f64::total_cmp);
            let forecast = Ziln::new([logit, mu, sigma]).unwrap().forecast_of(&asked).unwrap();
            prop_assert!(forecast.quantiles.is_sorted_by(|(_, low), (_, high)| low <= high), "{:?}", forecast);
            prop_assert!(forecast.quantiles.iter().all(|(_, gmv)| gmv.is_finite() && *gmv >= 0.0));
        }

        #[test]
        fn no_answer_holds_a_number_that_is_not_finite(values: [f32; 3], asked in 0.0..1.0) {
            if let Ok(forecast) = head(&fixture::gmv()).forecast_of(&outputs(1, &values), 0, &[asked]) {
                prop_assert!(forecast.expected_gmv.is_finite() && forecast.expected_gmv >= 0.0);
                prop_assert!((0.0..=1.0).contains(&forecast.active_probability));
                prop_assert!(forecast.quantiles.iter().all(|(_, gmv)| gmv.is_finite()));
            }
        }
    }
}
