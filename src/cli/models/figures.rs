//! Numbers, times and texts as people read them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// What stands where there is nothing to say.
pub(super) const NOTHING: &str = "-";

/// Text of the server's, on one line: it may repeat what a file or another caller
/// said, which is not for the terminal to obey.
pub(super) fn plain(text: &str) -> String {
    let seen = |c: char| if c.is_whitespace() { ' ' } else { c };
    text.chars().map(seen).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A text, or a sign that there is none.
pub(super) fn or_nothing(text: &str) -> String {
    if text.is_empty() { NOTHING.into() } else { plain(text) }
}

/// The first characters of a text.
pub(super) fn cut(text: &str, most: usize) -> String {
    let text = plain(text);
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// `12.5%`.
pub(super) fn share(percent: f64) -> String {
    format!("{}%", (percent * 1e4).round() / 1e4)
}

/// How long it is since then, in the largest unit of which there are two: `90m`.
pub(super) fn age(since: Option<prost_types::Timestamp>, now: SystemTime) -> String {
    let Some(since) = since.and_then(|since| SystemTime::try_from(since).ok()) else { return NOTHING.into() };
    // Another machine's clock may be ahead.
    let seconds = now.duration_since(since).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `2026-01-31T12:00:00Z`.
pub(super) fn moment(at: Option<prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| Timestamp::from_second(at.seconds).ok());
    at.map_or_else(|| NOTHING.into(), |at| at.to_string())
}

/// `1.25s`, to the millisecond.
pub(super) fn took(duration: Option<prost_types::Duration>) -> String {
    let Some(took) = duration.and_then(|took| Duration::try_from(took).ok()) else { return NOTHING.into() };
    format!("{:?}", Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)))
}

/// A number to four digits.
pub(super) fn figure(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    let magnitude = number.abs().log10().floor();
    if !(-5.0..9.0).contains(&magnitude) {
        return format!("{number:.3e}");
    }
    // From 0 to 8, since the magnitude is from -5 to 8.
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    format!("{number:.decimals$}")
}

/// The same of a number that may not be known.
pub(super) fn known(number: Option<f64>) -> String {
    number.map_or_else(|| NOTHING.into(), figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits() {
        let said = [0.0, 0.001_234_56, -1.234_56, 123.456, 98_765.4, 1e12, f64::NAN].map(figure);
        assert_eq!(said, ["0", "0.001235", "-1.235", "123.5", "98765", "1.000e12", "NaN"]);
        assert_eq!([10.0, 33.333_333, 0.5].map(share), ["10%", "33.3333%", "0.5%"]);
    }

    #[test]
    fn an_age_has_one_unit() {
        let ages = [0, 119, 120, 7199, 7200, 200_000].map(|seconds| {
            let since = prost_types::Timestamp { seconds: 1_000_000 - seconds, nanos: 0 };
            age(Some(since), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000))
        });
        assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "2d"]);
    }

    #[test]
    fn a_servers_text_is_one_line_that_the_terminal_does_not_obey() {
        assert_eq!(plain("a\nb\u{1b}[2J"), "a b\u{fffd}[2J");
        assert_eq!((cut("abc", 3), cut("abcd", 3)), ("abc".into(), "abc…".into()));
    }

    #[test]
    fn a_moment_is_in_utc_and_a_duration_to_the_millisecond() {
        assert_eq!(moment(Some(prost_types::Timestamp { seconds: 1_769_860_800, nanos: 7 })), "2026-01-31T12:00:00Z");
        assert_eq!(took(Some(prost_types::Duration { seconds: 1, nanos: 250_900_000 })), "1.25s");
        assert_eq!((moment(None), took(None)), ("-".into(), "-".into()));
    }
}
