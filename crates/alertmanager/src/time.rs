//! Times as text, in the forms of Go's JSON and of API v2. Unix milliseconds on our side.
//!
//! By hand, and not by a library's calendar: `9999-12-31T23:59:59Z` is how people write "for ever", and must be read.

use stdx::calendar;

/// Days from 1970-01-01 to 10000-01-01.
const DAYS_END: i64 = 2_932_897;
/// Days from 1970-01-01 to 0000-01-01.
const DAYS_START: i64 = -719_528;
const DAY_MS: i64 = 86_400_000;

/// `2006-01-02T15:04:05.12Z`: no zeros at the end, as Go marshals times.
pub(crate) fn go_rfc3339(at_ms: i64) -> String {
    let text = api_rfc3339(at_ms);
    let text = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{text}Z")
}

/// `2006-01-02T15:04:05.120Z`: always milliseconds, as API v2 writes times. Times beyond four digits of a year are held at the
/// nearest end.
pub(crate) fn api_rfc3339(at_ms: i64) -> String {
    let at_ms = at_ms.clamp(DAYS_START * DAY_MS, DAYS_END * DAY_MS - 1);
    let (year, month, day) = calendar::date(at_ms.div_euclid(DAY_MS));
    let ms = at_ms.rem_euclid(DAY_MS);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Reads RFC 3339 with any zone; precision beyond milliseconds is dropped, towards the past.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let (local_ms, rest, _) = local(text, b'T')?;
    Some(local_ms - zone_ms(rest)?)
}

/// As [`parse_rfc3339`], and what bodies of API v2 may say besides: a time without a zone, which is UTC, also without seconds, a
/// day, which is its first moment, and nothing, which is the first moment of 1970.
pub(crate) fn parse_moment(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    if let Some((local_ms, rest, n_fraction)) = local(text, b'T') {
        let zone = match rest {
            "" => Some(0),
            // A zone without a colon goes with milliseconds and microseconds alone, as in upstream's list of forms.
            _ if matches!(n_fraction, 3 | 6) => zone_ms(rest).or_else(|| compact_zone_ms(rest)),
            _ => zone_ms(rest),
        };
        return Some(local_ms - zone?);
    }
    if let Some((local_ms, "", _)) = local(text, b' ') {
        return Some(local_ms);
    }
    let (day, rest) = date(text)?;
    if rest.is_empty() {
        return Some(day * DAY_MS);
    }
    let (minutes, rest) = hour_and_minute(rest.strip_prefix('T')?)?;
    matches!(rest, "" | "Z").then_some(day * DAY_MS + minutes * 60_000)
}

/// A date and a time of day to the second or finer with `between` between them: milliseconds, what follows, digits of the fraction.
fn local(text: &str, between: u8) -> Option<(i64, &str, usize)> {
    let (day, rest) = date(text)?;
    let (minutes, rest) = hour_and_minute(rest.strip_prefix(char::from(between))?)?;
    let (seconds, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let ms = day * DAY_MS + minutes * 60_000 + (seconds < 60).then_some(seconds)? * 1_000;
    let Some(fraction) = rest.strip_prefix(['.', ',']) else { return Some((ms, rest, 0)) };
    let n_digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, rest) = fraction.split_at(n_digits);
    let milliseconds: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    (n_digits > 0).then_some((ms + milliseconds, rest, n_digits))
}

/// `2006-01-02` as a day since 1970, and what follows.
fn date(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    (1..=12).contains(&month).then_some(())?;
    Some((calendar::days(year, month, day)?, rest))
}

/// `15:04`, or `5:04` as Go has it, in minutes, and what follows.
fn hour_and_minute(text: &str) -> Option<(i64, &str)> {
    let (hour, rest) = digits(text, 2).or_else(|| digits(text, 1))?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (hour < 24 && minute < 60).then_some((hour * 60 + minute, rest))
}

/// `Z` or `+01:00`, as milliseconds east of UTC.
fn zone_ms(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'Z' => return (text.len() == 1).then_some(0),
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (rest.is_empty() && hours <= 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// `+0100`.
fn compact_zone_ms(text: &str) -> Option<i64> {
    let (hours, minutes) = (text.get(..3)?, text.get(3..)?);
    zone_ms(&format!("{hours}:{minutes}"))
}

/// The first `n` characters as a number.
fn digits(text: &str, n: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(n)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((is_number.then(|| number.parse().ok())??, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_time() {
        let check = |at_ms, go: &str, api: &str| {
            assert_eq!((go_rfc3339(at_ms).as_str(), api_rfc3339(at_ms).as_str()), (go, api));
            assert_eq!(parse_rfc3339(api), Some(at_ms));
        };
        check(crate::alert::ZERO_TIME_MS, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z");
        check(1_763_676_000_120, "2025-11-20T22:00:00.12Z", "2025-11-20T22:00:00.120Z");
        check(1_763_676_000_000, "2025-11-20T22:00:00Z", "2025-11-20T22:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
        check(253_402_300_799_000, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z");
        check(DAYS_START * DAY_MS, "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z");
        assert_eq!(api_rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(api_rfc3339(i64::MIN), "0000-01-01T00:00:00.000Z");
        assert_eq!(parse_rfc3339("2025-11-20T23:00:00.5+01:00"), Some(1_763_676_000_500));
        assert_eq!(parse_rfc3339("2025-11-20T22:00:00"), None);
        assert_eq!(parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn bodies_may_say_less_of_a_time() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse_moment(text), expected, "{text}");
        check("", Some(0));
        check("2025-11-20", Some(1_763_596_800_000));
        for text in [
            "2025-11-20T22:00:00",
            "2025-11-20 22:00:00",
            "2025-11-20T22:00",
            "2025-11-20T22:00Z",
            "2025-11-20T22:00:00.000Z",
            "2025-11-20T22:00:00,000Z",
            "2025-11-20T23:00:00.000+0100",
            "2025-11-20T17:30:00.000000-0430",
        ] {
            check(text, Some(1_763_676_000_000));
        }
        check("2025-11-20T1:00:00Z", Some(1_763_600_400_000));
        for text in [
            "2025-11-20T",
            "2025",
            "2025-11-20t22:00:00Z",
            "2025-11-20T22:00:00z",
            "2025-11-20 22:00:00Z",
            "2025-11-20T22:00:00.Z",
            "2025-11-20T22:00:00+0100",
            "2025-11-20T22:00+01:00",
            "2025-11-20T24:00:00Z",
            "2025-11-20T23:59:60Z",
            "2025-02-29",
            "2025-13-01",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "2025-11-2\u{661}",
        ] {
            check(text, None);
        }
    }
}
