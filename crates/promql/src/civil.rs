//! Unix seconds to calendar dates and times of day, in UTC.

const SECONDS_PER_DAY: i64 = 86_400;

/// The first moment that Go's calendar knows, in Unix seconds.
const FIRST_SECONDS: i64 = -9_223_372_028_715_321_600;

/// A day and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    /// 0 is Sunday.
    pub(crate) weekday: i64,
    /// 1 to 366.
    pub(crate) year_day: i64,
}

impl Civil {
    pub(crate) fn from_unix(seconds: i64) -> Self {
        // Go counts from the year -292,277,022,399 on, in 64 bits: what lies before wraps around.
        let wrapped = if seconds < FIRST_SECONDS { 1i128 << 64 } else { 0 };
        let seconds = i128::from(seconds) + wrapped;
        let days = seconds.div_euclid(SECONDS_PER_DAY.into()) as i64;
        let rest = seconds.rem_euclid(SECONDS_PER_DAY.into()) as i64;
        let (year, month, day) = stdx::calendar::date(days);
        let days_before: i64 = (1..month).map(|m| days_in_month(year, m)).sum();
        Self {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            year_day: days_before + day,
        }
    }
}

/// 28 to 31.
pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// `2006-01-02T15:04:05Z`.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_unix(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_leap_years_and_times_before_1970() {
        let check = |seconds, expected: &str| assert_eq!(rfc3339(seconds), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(-1, "1969-12-31T23:59:59Z");
        check(4_102_444_800, "2100-01-01T00:00:00Z");
        // As Go's time.Unix(math.MinInt64, 0).UTC() has it.
        check(i64::MIN, "292277026596-12-04T15:30:08Z");
        assert_eq!(Civil::from_unix(951_782_400).year_day, 60);
        assert_eq!(Civil::from_unix(0).weekday, 4);
    }
}
