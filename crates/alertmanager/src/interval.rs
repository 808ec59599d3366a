//! Time intervals: when a route is muted or active.
//!
//! In from the configuration's `time_intervals`; asked by the dispatcher at each flush.
//! Fields of one interval are all required, entries of one field are alternatives, intervals of one name too.
//! Pure. Facts: Alertmanager's documentation of `time_interval`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Minutes of a day, the end of the last range.
const DAY_MINUTES: i32 = 24 * 60;

/// A range of whole numbers, both ends inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// First.
    pub(crate) begin: i32,
    /// Last.
    pub(crate) end: i32,
}

impl Span {
    fn contains(self, value: i32) -> bool {
        (self.begin..=self.end).contains(&value)
    }
}

/// One interval; an empty list means «any».
#[derive(Debug, Clone)]
pub(crate) struct Interval {
    /// Minutes of the day, the end outside.
    pub(crate) times: Vec<Span>,
    /// Sunday is 0.
    pub(crate) weekdays: Vec<Span>,
    /// From 1, or from the month's end as -1.
    pub(crate) days_of_month: Vec<Span>,
    /// January is 1.
    pub(crate) months: Vec<Span>,
    /// As written.
    pub(crate) years: Vec<Span>,
    /// Where the clock hangs.
    pub(crate) zone: TimeZone,
}

impl Interval {
    /// Whether `at_ms` lies inside.
    pub(crate) fn contains(&self, at_ms: i64) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at_ms) else { return false };
        let civil = self.zone.to_datetime(at);
        let any =
            |spans: &[Span], value: i32| spans.is_empty() || spans.iter().any(|span| span.contains(value));
        let minute = i32::from(civil.hour()) * 60 + i32::from(civil.minute());
        let in_times =
            self.times.is_empty() || self.times.iter().any(|t| t.begin <= minute && minute < t.end);
        in_times
            && any(&self.weekdays, i32::from(civil.weekday().to_sunday_zero_offset()))
            && any(&self.months, i32::from(civil.month()))
            && any(&self.years, i32::from(civil.year()))
            && self.day_matches(civil)
    }

    fn day_matches(&self, civil: DateTime) -> bool {
        let month_days = i32::from(civil.date().days_in_month());
        let from_start = |day: i32| if day < 0 { month_days + day + 1 } else { day };
        self.days_of_month.is_empty()
            || self.days_of_month.iter().any(|span| {
                let (begin, end) = (from_start(span.begin), from_start(span.end));
                // A day that this month does not have.
                begin <= month_days && (begin..=end.min(month_days)).contains(&i32::from(civil.day()))
            })
    }
}

/// `HH:MM` in minutes; 24:00 is the end of the day.
pub(crate) fn minutes_of(text: &str) -> Result<i32, String> {
    let bad = || format!("couldn't parse timestamp {text}, invalid format");
    let [h1, h2, b':', m1, m2] = text.as_bytes() else { return Err(bad()) };
    if ![h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let two = |a: &u8, b: &u8| i32::from(a - b'0') * 10 + i32::from(b - b'0');
    let (hours, minutes) = (two(h1, h2), two(m1, m2));
    let total = hours * 60 + minutes;
    if minutes > 59 || total > DAY_MINUTES { Err(bad()) } else { Ok(total) }
}

/// A time range of the day, the end outside.
pub(crate) fn time_span(start: &str, end: &str) -> Result<Span, String> {
    let span = Span { begin: minutes_of(start)?, end: minutes_of(end)? };
    if span.begin >= span.end {
        Err("start time cannot be equal or greater than end time".to_owned())
    } else {
        Ok(span)
    }
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// `monday`, `monday:friday`.
pub(crate) fn weekday_span(text: &str) -> Result<Span, String> {
    let day = |part: &str| {
        let idx = WEEKDAYS.iter().position(|name| *name == part.to_lowercase());
        idx.map(|idx| idx as i32).ok_or_else(|| format!("{part} is not a valid weekday"))
    };
    span(text, day, "start day cannot be before end day")
}

/// `5`, `1:5`, `-3:-1`.
pub(crate) fn day_span(text: &str) -> Result<Span, String> {
    let day = |part: &str| {
        let day: i32 = part.parse().map_err(|_| format!("{part} is not a valid day of the month"))?;
        let is_valid = (1..=31).contains(&day) || (-31..=-1).contains(&day);
        if is_valid { Ok(day) } else { Err(format!("{day} is not a valid day of the month: out of range")) }
    };
    let (begin, end) = ends(text, day)?;
    if begin < 0 && end > 0 {
        return Err("end day must be negative if start day is negative".to_owned());
    }
    // Seen in the longest month, since either may count from its end.
    let in_month = |day: i32| if day < 0 { 31 + day + 1 } else { day };
    if in_month(begin) > in_month(end) {
        return Err(format!("end day {end} is always before start day {begin}"));
    }
    Ok(Span { begin, end })
}

/// `january`, `1:3`, `may:august`.
pub(crate) fn month_span(text: &str) -> Result<Span, String> {
    let month = |part: &str| {
        let lower = part.to_lowercase();
        let named = MONTHS.iter().position(|name| *name == lower).map(|idx| idx as i32 + 1);
        let month = named.or_else(|| part.parse().ok()).filter(|month| (1..=12).contains(month));
        month.ok_or_else(|| format!("{part} is not a valid month"))
    };
    span(text, month, "end month is before start month")
}

/// `2026`, `2026:2030`.
pub(crate) fn year_span(text: &str) -> Result<Span, String> {
    span(
        text,
        |part| part.parse().map_err(|_| format!("{part} is not a valid year")),
        "end year is before start year",
    )
}

/// An IANA zone, `Local`, or nothing for UTC.
pub(crate) fn zone_of(name: &str) -> Result<TimeZone, String> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        name => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}")),
    }
}

fn span(text: &str, read: impl Fn(&str) -> Result<i32, String>, falling: &str) -> Result<Span, String> {
    let (begin, end) = ends(text, read)?;
    if begin > end { Err(falling.to_owned()) } else { Ok(Span { begin, end }) }
}

fn ends(text: &str, read: impl Fn(&str) -> Result<i32, String>) -> Result<(i32, i32), String> {
    match text.split_once(':') {
        Some((_, end)) if end.contains(':') => Err(format!("couldn't parse range {text}, invalid format")),
        Some((begin, end)) => Ok((read(begin.trim())?, read(end.trim())?)),
        None => read(text.trim()).map(|value| (value, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Interval {
        Interval {
            times: vec![],
            weekdays: vec![],
            days_of_month: vec![],
            months: vec![],
            years: vec![],
            zone: TimeZone::UTC,
        }
    }

    fn check(interval: &Interval, at: &str, expected: bool) {
        let at: Timestamp = at.parse().expect("a timestamp");
        assert_eq!(interval.contains(at.as_millisecond()), expected, "{at}");
    }

    #[test]
    fn working_hours_in_a_zone() {
        let hours = Interval {
            times: vec![time_span("09:00", "17:00").unwrap()],
            weekdays: vec![weekday_span("Monday:friday").unwrap()],
            zone: zone_of("Asia/Tokyo").unwrap(),
            ..any()
        };
        check(&hours, "2026-11-20T00:00:00Z", true); // Friday, 09:00 in Tokyo
        check(&hours, "2026-11-20T07:59:59Z", true);
        check(&hours, "2026-11-20T08:00:00Z", false); // 17:00 is outside
        check(&hours, "2026-11-20T16:00:00Z", false); // Saturday there
    }

    #[test]
    fn days_count_from_both_ends_of_the_month() {
        let last_days = Interval { days_of_month: vec![day_span("-3:-1").unwrap()], ..any() };
        check(&last_days, "2026-02-26T00:00:00Z", true);
        check(&last_days, "2026-02-25T00:00:00Z", false);
        let late = Interval { days_of_month: vec![day_span("29:31").unwrap()], ..any() };
        check(&late, "2026-02-28T00:00:00Z", false);
        check(&late, "2026-04-30T00:00:00Z", true);
        let spring = Interval {
            months: vec![month_span("march:5").unwrap()],
            years: vec![year_span("2026").unwrap()],
            ..any()
        };
        check(&spring, "2026-05-31T23:59:59Z", true);
        check(&spring, "2027-05-31T23:59:59Z", false);
    }

    #[test]
    fn wrong_ranges_are_refused() {
        assert!(time_span("9:00", "17:00").is_err());
        assert!(time_span("17:00", "09:00").is_err());
        assert!(time_span("00:00", "24:00").is_ok());
        assert!(time_span("00:00", "24:01").is_err());
        assert!(weekday_span("saturday:sunday").is_err());
        assert!(
            day_span("0").is_err()
                && day_span("32").is_err()
                && day_span("-1:1").is_err()
                && day_span("5:1").is_err()
        );
        assert!(month_span("13").is_err() && month_span("june:may").is_err());
        assert!(year_span("2030:2026").is_err());
        assert!(zone_of("Mars/Base").is_err());
    }
}
