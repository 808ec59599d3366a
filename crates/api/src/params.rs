//! Parameters of a request: the URL's and the form body's, in either way of writing forms, with Prometheus' rules for times, durations and limits.
//!
//! In from handlers; pure. Method: `web/api/v1/api.go` (`parseTime`, `parseDuration`, `parseLimitParam`).
//! A value in the body comes before one in the URL, as in Go's `Request.Form`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use model::labels::quoted;
use model::{Matcher, TimeRange};

use crate::error::ApiError;

/// Largest form body, in bytes; Go's limit for forms.
pub const FORM_BYTES_MAX: usize = 10 << 20;

/// Most points of one series in a range answer. From Prometheus.
pub const POINTS_MAX: i64 = 11_000;

/// How Prometheus prints its earliest and latest time; clients send them back.
const MIN_TIME_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// Names and values in the order they came, body first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// From the URL's query and a form body; either may be empty. Bad percent signs stay as they are.
    #[must_use]
    pub fn new(url_query: &str, form_body: &[u8]) -> Self {
        let body = url::form_urlencoded::parse(form_body);
        let query = url::form_urlencoded::parse(url_query.as_bytes());
        Self {
            pairs: body.chain(query).map(|(name, value)| (name.into_owned(), value.into_owned())).collect(),
        }
    }

    /// Adds the fields of a `multipart/form-data` body, behind those of the URL, as Go does. Files and what is malformed are left out.
    #[must_use]
    pub fn with_multipart(mut self, content_type: &str, body: &[u8]) -> Self {
        let parameters = content_type.split(';').skip(1).filter_map(|part| part.split_once('='));
        let is_boundary = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("boundary");
        let Some((_, boundary)) = parameters.into_iter().find(is_boundary) else { return self };
        let delimiter = format!("\r\n--{}", boundary.trim().trim_matches('"'));
        // The first one has no line before it.
        let text = format!("\r\n{}", String::from_utf8_lossy(body));
        self.pairs.extend(text.split(&delimiter).skip(1).filter_map(field));
        self
    }

    /// The first value of `name`, or the empty string.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A point in time that must be given, in Unix milliseconds.
    ///
    /// # Errors
    /// 400 when it is missing or no time.
    pub fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|why| ApiError::parameter(name, why))
    }

    /// A point in time that may be left out.
    ///
    /// # Errors
    /// 400 when it is given and no time.
    pub fn time_or(&self, name: &str, default_ms: i64) -> Result<i64, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default_ms);
        }
        parse_time(text)
            .map_err(|why| ApiError::parameter(name, format!("invalid time value for '{name}': {why}")))
    }

    /// `start` and `end`, by default all of time.
    ///
    /// # Errors
    /// 400 when one is given and no time.
    pub fn range(&self) -> Result<TimeRange, ApiError> {
        let start_ms = self.time_or("start", i64::MIN)?;
        Ok(TimeRange::new(start_ms, self.time_or("end", i64::MAX)?))
    }

    /// A length of time in milliseconds; `None` when it is left out. May be negative.
    ///
    /// # Errors
    /// 400 when it is given and no duration.
    pub fn duration(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        parse_duration(text).map(Some).map_err(|why| ApiError::parameter(name, why))
    }

    /// `limit`; `None` when there is none (left out, or 0).
    ///
    /// # Errors
    /// 400 when it is no number or negative.
    pub fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let limit: i64 = text.parse().map_err(|_| ApiError::parameter("limit", atoi_error(text)))?;
        let limit =
            usize::try_from(limit).map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))?;
        Ok(Some(limit).filter(|limit| *limit > 0))
    }

    /// A number that may be left out; negative means none.
    ///
    /// # Errors
    /// 400 `<name> must be a number`.
    pub fn count(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        let count: i64 = text.parse().map_err(|_| ApiError::bad_data(format!("{name} must be a number")))?;
        Ok(usize::try_from(count).ok())
    }

    /// The selectors of `match[]`, each with at least one matcher that the empty text does not fulfil.
    ///
    /// # Errors
    /// The message alone: callers differ in how they wrap it.
    pub fn matcher_sets(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let mut sets = Vec::new();
        for text in self.all("match[]") {
            sets.push(promql::metric_selector(text).map_err(|err| err.to_string())?);
        }
        if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
            return Err("match[] must contain at least one non-empty matcher".to_owned());
        }
        Ok(sets)
    }
}

/// Name and value of one part of a `multipart/form-data` body.
fn field(part: &str) -> Option<(String, String)> {
    let (head, value) = part.split_once("\r\n\r\n")?;
    let is_disposition = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
    let parameters: Vec<&str> = head.split("\r\n").find(is_disposition)?.split(';').map(str::trim).collect();
    let get = |name: &str| parameters.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let name = get("name").filter(|_| get("filename").is_none())?;
    Some((name.trim_matches('"').to_owned(), value.to_owned()))
}

/// Unix seconds with a fraction (rounded to milliseconds), or RFC 3339.
///
/// # Errors
/// `cannot parse "x" to a valid timestamp`.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Some(seconds) = number(text)
        && seconds.is_finite()
    {
        // Whole and fraction apart, as Go does, so that large times keep their milliseconds.
        let fraction_ms = (seconds.fract() * 1_000.0).round() as i64;
        return Ok((seconds.trunc() as i64).saturating_mul(1_000).saturating_add(fraction_ms));
    }
    // The library would take small letters, too.
    let is_written_small = text.contains(['t', 'z']);
    if let Ok(time) = text.parse::<Timestamp>()
        && !is_written_small
    {
        return Ok(time.as_millisecond());
    }
    // The last day of four digits, in UTC, is beyond what the library takes with an offset.
    let whole = text.strip_suffix('Z').filter(|text| text.contains('T'));
    if let Some(Ok(time)) = whole.map(str::parse::<DateTime>)
        && let Ok(ms) =
            i64::try_from(time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_millis())
    {
        return Ok(ms);
    }
    match text {
        MIN_TIME_TEXT => Ok(i64::MIN),
        MAX_TIME_TEXT => Ok(i64::MAX),
        _ => Err(format!("cannot parse {} to a valid timestamp", quoted(text))),
    }
}

/// Seconds with a fraction, or a Prometheus duration; in milliseconds.
///
/// # Errors
/// `cannot parse "x" to a valid duration`.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    // Beyond what a float holds is no number to Go, and infinity is one.
    let is_number = |seconds: f64| {
        !seconds.is_nan() && (seconds.is_finite() || text.to_ascii_lowercase().contains("inf"))
    };
    if let Some(seconds) = number(text)
        && is_number(seconds)
    {
        // Go counts in nanoseconds of 64 bits: 292 years.
        if (seconds * 1e9).abs() > i64::MAX as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quoted(text)));
        }
        return Ok((seconds * 1_000.0) as i64);
    }
    let duration = text.parse::<model::Duration>();
    duration
        .map(model::Duration::as_ms)
        .map_err(|_| format!("cannot parse {} to a valid duration", quoted(text)))
}

/// A float as Go reads it: digits may have an underscore between them.
fn number(text: &str) -> Option<f64> {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let is_between = |(idx, _): (usize, &str)| {
        is_digit(text[..idx].chars().next_back()) && is_digit(text[idx + 1..].chars().next())
    };
    if !text.match_indices('_').all(is_between) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// The words of Go's `strconv.Atoi`.
fn atoi_error(text: &str) -> String {
    let digits = text.trim_start_matches(['+', '-']);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let why = if is_number { "value out of range" } else { "invalid syntax" };
    format!("strconv.Atoi: parsing {}: {why}", quoted(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_seconds_or_rfc_3339() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(parse_time(text), expected.map_err(str::to_owned), "{text}");
        };
        check("0", Ok(0));
        check("123.123", Ok(123_123));
        check("1435781430.7819", Ok(1_435_781_430_782));
        check("-1.5", Ok(-1_500));
        check("1e3", Ok(1_000_000));
        check("1_000", Ok(1_000_000));
        check("1__0", Err("cannot parse \"1__0\" to a valid timestamp"));
        check("_1", Err("cannot parse \"_1\" to a valid timestamp"));
        check("2015-06-03t13:21:58z", Err("cannot parse \"2015-06-03t13:21:58z\" to a valid timestamp"));
        check("2015-06-03T13:21:58.555Z", Ok(1_433_337_718_555));
        check("2015-06-03T14:21:58.555+01:00", Ok(1_433_337_718_555));
        check("9999-12-31T23:59:59Z", Ok(253_402_300_799_000));
        check("9999-12-31Z", Err("cannot parse \"9999-12-31Z\" to a valid timestamp"));
        check(MIN_TIME_TEXT, Ok(i64::MIN));
        check(MAX_TIME_TEXT, Ok(i64::MAX));
        check("1e300", Ok(i64::MAX));
        check("", Err("cannot parse \"\" to a valid timestamp"));
        check("30s", Err("cannot parse \"30s\" to a valid timestamp"));
        check("NaN", Err("cannot parse \"NaN\" to a valid timestamp"));
        check("2015-06-03", Err("cannot parse \"2015-06-03\" to a valid timestamp"));
    }

    #[test]
    fn durations_are_seconds_or_prometheus_durations() {
        let check = |text: &str, expected: Result<i64, &str>| {
            assert_eq!(parse_duration(text), expected.map_err(str::to_owned), "{text}");
        };
        check("123", Ok(123_000));
        check("0.333", Ok(333));
        check("-5", Ok(-5_000));
        check("5m", Ok(300_000));
        check(
            "123456789012345678901234567890",
            Err("cannot parse \"123456789012345678901234567890\" to a valid duration. It overflows int64"),
        );
        check("Inf", Err("cannot parse \"Inf\" to a valid duration. It overflows int64"));
        check("", Err("cannot parse \"\" to a valid duration"));
        check("1ns", Err("cannot parse \"1ns\" to a valid duration"));
        check("1e400", Err("cannot parse \"1e400\" to a valid duration"));
        check("NaN", Err("cannot parse \"NaN\" to a valid duration"));
    }

    #[test]
    fn body_values_come_before_url_values() {
        let params = Params::new("a=url&b=2&a=%zz", b"a=body+x&c=%26");
        assert_eq!(params.get("a"), "body x");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["body x", "url", "%zz"]);
        assert_eq!((params.get("b"), params.get("c"), params.get("d")), ("2", "&", ""));
    }

    #[test]
    fn forms_in_several_parts_are_read() {
        let check = |content_type: &str, body: &str, expected: &[(&str, &str)]| {
            let params = Params::new("a=url", b"").with_multipart(content_type, body.as_bytes());
            let got: Vec<(&str, &str)> =
                params.pairs.iter().skip(1).map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(got, expected, "{body}");
            assert_eq!(params.get("a"), "url");
        };
        let of = "multipart/form-data; boundary=xY";
        let part = |head: &str, value: &str| {
            format!("--xY\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
        };
        let end = "--xY--\r\n";
        let both = part("name=\"a\"", "1") + &part("name=\"query\"", "sum(x)\r\n + 1") + end;
        check(of, &both, &[("a", "1"), ("query", "sum(x)\r\n + 1")]);
        check("multipart/form-data;boundary=\"xY\"", &both, &[("a", "1"), ("query", "sum(x)\r\n + 1")]);
        check("multipart/form-data", &both, &[]);
        check(of, &(part("name=\"f\"; filename=\"x\"", "1") + end), &[]);
        check(of, "--xY\r\nname", &[]);
        check(of, "", &[]);
    }

    #[test]
    fn limits_are_checked() {
        let check = |query: &str, expected: Result<Option<usize>, &str>| {
            let got = Params::new(query, b"").limit().map_err(|err| err.message);
            assert_eq!(got, expected.map_err(str::to_owned), "{query}");
        };
        check("", Ok(None));
        check("limit=0", Ok(None));
        check("limit=7", Ok(Some(7)));
        check("limit=-1", Err("invalid parameter \"limit\": limit must be non-negative"));
        check("limit=x", Err("invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"));
    }
}
