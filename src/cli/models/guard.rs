//! `--guard`: beyond what a canary is taken back.

use std::{str::FromStr, time::Duration};

use humantime_serde::re::humantime;

use super::figures::took;
use crate::api::proto::v1::GuardLimits;

/// All keys, as people write them.
const KEYS: &str = "on, off, min-rows, window, max-error-rate, max-non-finite-rate, max-p99-ratio, max-cost-ratio, \
                    max-divergence, looks";

/// One limit to set.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum GuardEdit {
    Enabled(bool),
    MinRows(u64),
    Window(Duration),
    MaxErrorRate(f64),
    MaxNonFiniteRate(f64),
    MaxP99Ratio(f64),
    MaxCostRatio(f64),
    /// `None`: the canary may answer what it likes.
    MaxDivergence(Option<f64>),
    Looks(u32),
}

impl FromStr for GuardEdit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            None if text == "on" => return Ok(Self::Enabled(true)),
            None if text == "off" => return Ok(Self::Enabled(false)),
            Some((key, value)) => (key, value),
            None => return Err(format!("wanted on, off or KEY=VALUE, where KEY is one of {KEYS}")),
        };
        Ok(match key.replace('_', "-").as_str() {
            "min-rows" => Self::MinRows(number(value)?),
            "window" => Self::Window(humantime::parse_duration(value).map_err(|_| not(value, "a duration (`30s`)"))?),
            "max-error-rate" => Self::MaxErrorRate(limit(value)?),
            "max-non-finite-rate" => Self::MaxNonFiniteRate(limit(value)?),
            "max-p99-ratio" => Self::MaxP99Ratio(limit(value)?),
            "max-cost-ratio" => Self::MaxCostRatio(limit(value)?),
            "max-divergence" if value == "none" => Self::MaxDivergence(None),
            "max-divergence" => Self::MaxDivergence(Some(limit(value)?)),
            "looks" => Self::Looks(number(value)?),
            _ => return Err(format!("{key:?} is no limit: wanted one of {KEYS}")),
        })
    }
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| not(value, "a whole number"))
}

fn limit(value: &str) -> Result<f64, String> {
    let limit = value.parse().map_err(|_| not(value, "a number"))?;
    if f64::is_finite(limit) { Ok(limit) } else { Err(not(value, "a finite number")) }
}

fn not(value: &str, wanted: &str) -> String {
    format!("{value:?} is not {wanted}")
}

impl GuardEdit {
    /// Sets the limit.
    pub(super) fn apply(&self, limits: &mut GuardLimits) {
        match *self {
            Self::Enabled(enabled) => limits.enabled = Some(enabled),
            Self::MinRows(rows) => limits.min_rows = Some(rows),
            // Where it is longer than protobuf can say, it is so for the server too.
            Self::Window(window) => limits.window = window.try_into().ok(),
            Self::MaxErrorRate(rate) => limits.max_error_rate = Some(rate),
            Self::MaxNonFiniteRate(rate) => limits.max_non_finite_rate = Some(rate),
            Self::MaxP99Ratio(ratio) => limits.max_p99_ratio = Some(ratio),
            Self::MaxCostRatio(ratio) => limits.max_cost_ratio = Some(ratio),
            Self::MaxDivergence(divergence) => limits.max_divergence = divergence,
            Self::Looks(looks) => limits.looks = Some(looks),
        }
    }
}

/// The limits, as `--guard` takes them.
pub(super) fn words(limits: &GuardLimits) -> String {
    if *limits == GuardLimits::default() {
        return "by its defaults".into();
    }
    let switch = if limits.enabled == Some(false) { "off" } else { "on" };
    let told = [
        limits.min_rows.map(|rows| format!("min-rows={rows}")),
        limits.window.map(|window| format!("window={}", took(Some(window)))),
        limits.max_error_rate.map(|rate| format!("max-error-rate={rate}")),
        limits.max_non_finite_rate.map(|rate| format!("max-non-finite-rate={rate}")),
        limits.max_p99_ratio.map(|ratio| format!("max-p99-ratio={ratio}")),
        limits.max_cost_ratio.map(|ratio| format!("max-cost-ratio={ratio}")),
        Some(limits.max_divergence.map_or("max-divergence=none".into(), |most| format!("max-divergence={most}"))),
        limits.looks.map(|looks| format!("looks={looks}")),
    ];
    [Some(switch.to_owned())].into_iter().chain(told).flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_said_as_they_are_set() {
        let set = "on min-rows=7 window=45s max-error-rate=0.02 max-non-finite-rate=0 max-p99-ratio=2.5 \
                   max-cost-ratio=4 max-divergence=0.1 looks=5";
        let mut limits = GuardLimits::default();
        set.split(' ').for_each(|edit| edit.parse::<GuardEdit>().unwrap().apply(&mut limits));
        assert_eq!(words(&limits), set);
        "off".parse::<GuardEdit>().unwrap().apply(&mut limits);
        "max_divergence=none".parse::<GuardEdit>().unwrap().apply(&mut limits);
        assert!(words(&limits).starts_with("off min-rows=7 ") && words(&limits).contains("max-divergence=none"));
    }

    #[test]
    fn what_is_wrong_with_a_limit_is_said() {
        let wrong = |text: &str| text.parse::<GuardEdit>().unwrap_err();
        assert!(wrong("maybe").starts_with("wanted on, off or KEY=VALUE"), "{}", wrong("maybe"));
        assert!(wrong("rows=1").starts_with("\"rows\" is no limit: wanted one of on, off, min-rows"));
        assert_eq!(wrong("min-rows=-1"), "\"-1\" is not a whole number");
        assert_eq!(wrong("max-error-rate=inf"), "\"inf\" is not a finite number");
        assert_eq!(wrong("window=soon"), "\"soon\" is not a duration (`30s`)");
    }
}
