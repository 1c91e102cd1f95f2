//! Numbers that follow from `as_of` alone.

use jiff::civil::Date;

use crate::manifest::Calendar;

/// Seconds in a day of UTC as computers count it.
const DAY_SECONDS: f64 = 86_400.0;

/// The day that a row's features end on.
#[derive(Debug, Clone, Copy)]
pub(super) struct AsOf {
    date: Date,
    /// Days since 1970-01-01.
    day: i64,
}

/// What a calendar feature counts.
#[derive(Debug, Clone)]
pub(super) enum CalendarRule {
    /// How many of `days` (since 1970-01-01, ascending) lie in the horizon.
    DatesInHorizon { days: Box<[i64]>, horizon_days: i64 },
    /// Monday 1 to Sunday 7.
    DayOfWeek,
    /// 1 to 12.
    Month,
}

impl AsOf {
    pub(super) fn new(date: Date) -> Self {
        Self { date, day: day(date) }
    }

    /// Days from a moment, in seconds since 1970-01-01T00:00Z, to the end of
    /// this day (UTC).
    pub(super) fn days_since(self, seconds: f64) -> f64 {
        let end = (self.day + 1) as f64 * DAY_SECONDS;
        (end - seconds) / DAY_SECONDS
    }
}

impl CalendarRule {
    /// # Errors
    ///
    /// The first of the listed dates that is none.
    pub(super) fn new(calendar: &Calendar) -> Result<Self, String> {
        match calendar {
            Calendar::DatesInHorizon { dates, horizon_days } => {
                let mut days = dates.iter().map(|date| parse_day(date)).collect::<Result<Vec<_>, _>>()?;
                days.sort_unstable();
                Ok(Self::DatesInHorizon { days: days.into(), horizon_days: i64::from(*horizon_days) })
            }
            Calendar::DayOfWeek => Ok(Self::DayOfWeek),
            Calendar::Month => Ok(Self::Month),
        }
    }

    pub(super) fn number(&self, as_of: AsOf) -> f64 {
        match self {
            Self::DatesInHorizon { days, horizon_days } => {
                let up_to = |last| days.partition_point(|&day| day <= last);
                (up_to(as_of.day + horizon_days) - up_to(as_of.day)) as f64
            }
            Self::DayOfWeek => f64::from(as_of.date.weekday().to_monday_one_offset()),
            Self::Month => f64::from(as_of.date.month()),
        }
    }

    /// The largest number, where the numbers are small enough to be ids.
    pub(super) fn last_id(&self) -> Option<i64> {
        match self {
            Self::DatesInHorizon { .. } => None,
            Self::DayOfWeek => Some(7),
            Self::Month => Some(12),
        }
    }
}

fn day(date: Date) -> i64 {
    date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24
}

fn parse_day(date: &str) -> Result<i64, String> {
    date.parse().map(day).map_err(|error| format!("`{date}` is no date: {error}"))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn horizon(dates: &[&str], horizon_days: u32) -> CalendarRule {
        let dates = dates.iter().map(|&date| date.to_owned()).collect();
        CalendarRule::new(&Calendar::DatesInHorizon { dates, horizon_days }).unwrap()
    }

    #[test]
    fn a_horizon_begins_after_as_of_and_includes_its_last_day() {
        let rule = horizon(&["2016-10-03", "2016-10-01", "2016-10-02"], 2);
        let count = |day| rule.number(AsOf::new(date(2016, 9, day)));
        assert_eq!([28, 29, 30].map(count), [0.0, 1.0, 2.0]);
        assert_eq!(rule.number(AsOf::new(date(2016, 10, 2))), 1.0);
        assert_eq!(rule.number(AsOf::new(date(2016, 10, 3))), 0.0);
    }

    #[test]
    fn weeks_begin_on_monday() {
        let number = |day| CalendarRule::DayOfWeek.number(AsOf::new(date(2026, 1, day)));
        assert_eq!([5, 11].map(number), [1.0, 7.0]);
    }

    #[test]
    fn months_count_from_one() {
        assert_eq!(CalendarRule::Month.number(AsOf::new(date(2024, 2, 29))), 2.0);
    }

    #[test]
    fn moments_are_counted_back_from_the_end_of_the_day() {
        let as_of = AsOf::new(date(1970, 1, 2));
        assert_eq!(as_of.days_since(0.0), 2.0);
        assert_eq!(as_of.days_since(2.0 * 86_400.0), 0.0);
        assert_eq!(as_of.days_since(3.0 * 86_400.0), -1.0);
        assert_eq!(AsOf::new(date(1969, 12, 30)).days_since(0.0), -1.0);
    }

    #[test]
    fn a_date_that_does_not_exist_is_named() {
        let dates = vec!["2023-02-29".to_owned()];
        let error = CalendarRule::new(&Calendar::DatesInHorizon { dates, horizon_days: 1 }).unwrap_err();
        assert!(error.starts_with("`2023-02-29` is no date"), "{error}");
    }
}
