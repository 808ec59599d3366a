//! Times as text, in the forms of Go's JSON and of API v2. Unix milliseconds on our side.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

fn zoned(at_ms: i64) -> Zoned {
    // Years -9999 to 9999 are all there is; other times are held at the nearest end.
    let at_ms = at_ms.clamp(Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC)
}

/// `2006-01-02T15:04:05.12Z`: no zeros at the end, as Go marshals times.
pub(crate) fn go_rfc3339(at_ms: i64) -> String {
    let text = api_rfc3339(at_ms);
    let text = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{text}Z")
}

/// `2006-01-02T15:04:05.120Z`: always milliseconds, as API v2 writes times.
pub(crate) fn api_rfc3339(at_ms: i64) -> String {
    let at = zoned(at_ms);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

/// Reads RFC 3339 with any zone; precision beyond milliseconds is dropped.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let at: Timestamp = text.parse().ok()?;
    // Towards the past, also before 1970, so that order is kept.
    i64::try_from(at.as_nanosecond().div_euclid(1_000_000)).ok()
}

/// As [`parse_rfc3339`], and what bodies of API v2 may say besides: a time without a zone, which is UTC, and a day, which is
/// its first moment.
pub(crate) fn parse_moment(text: &str) -> Option<i64> {
    let here = || {
        let at: jiff::civil::DateTime = text.parse().ok().filter(|_| text.is_ascii())?;
        Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
    };
    parse_rfc3339(text).or_else(here)
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
        assert_eq!(parse_rfc3339("2025-11-20T23:00:00.5+01:00"), Some(1_763_676_000_500));
        assert_eq!(parse_rfc3339("yesterday"), None);
        assert_eq!(parse_moment("2025-11-20"), Some(1_763_596_800_000));
        for text in ["2025-11-20T22:00:00", "2025-11-20 22:00:00", "2025-11-20T22:00"] {
            assert_eq!(parse_moment(text), Some(1_763_676_000_000), "{text}");
        }
        assert_eq!([parse_moment("2025-11-20T"), parse_moment("2025"), parse_moment("")], [None; 3]);
    }
}
