//! Days and dates of the proleptic Gregorian calendar, as far as 64 bits reach.
//!
//! For times that a library's calendar does not hold: `9999-12-31T23:59:59Z`, and whatever Go's reaches. Method: Howard Hinnant,
//! "chrono-Compatible Low-Level Date Algorithms".

/// Days from 0000-03-01, where his eras begin, to 1970-01-01.
const EPOCH: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// Year, month and day of a day since 1970-01-01.
#[must_use]
pub fn date(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let of_era = days.rem_euclid(ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (days.div_euclid(ERA) * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// Days since 1970-01-01; `None` for a date that is none, as the 30th of February.
#[must_use]
pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let (shifted, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let year_of_era = shifted.rem_euclid(400);
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = shifted.div_euclid(400) * ERA + of_era - EPOCH;
    (date(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_read_back() {
        // The calendar repeats itself every 400 years.
        for day in -EPOCH - 400..-EPOCH + ERA + 400 {
            let (year, month, date) = date(day);
            assert_eq!(days(year, month, date), Some(day));
        }
    }

    #[test]
    fn dates_that_are_none_have_no_day() {
        for (date, expected) in [
            ((1970, 1, 1), Some(0)),
            ((2000, 2, 29), Some(11_016)),
            ((9999, 12, 31), Some(2_932_896)),
            ((0, 1, 1), Some(-719_528)),
            ((2025, 2, 29), None),
            ((1900, 2, 29), None),
            ((2025, 4, 31), None),
            ((2025, 13, 1), None),
            ((2025, 0, 1), None),
            ((2025, 1, 0), None),
        ] {
            let (year, month, day) = date;
            assert_eq!(days(year, month, day), expected, "{date:?}");
        }
    }
}
