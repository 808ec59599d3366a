//! JSON text exactly as Prometheus writes it: order of keys as called, escaping and numbers as Go's encoders.
//!
//! In from every answer in `v1`; out to response bodies. Pure. Written straight into one buffer: a range answer has
//! millions of numbers, and a tree of values would cost several times its size.
//! Source of the forms: Prometheus 3 `web/api/v1/json_codec.go` and `util/jsonutil`, Go's `encoding/json`.

use std::fmt::Write as _;

use jiff::Timestamp;
use model::{Histogram, Labels};

/// A JSON text under construction. The caller opens and closes in pairs; commas come by themselves.
#[derive(Debug, Default)]
pub struct Json {
    out: String,
    /// Where something is left out that is written elsewhere.
    gap: Option<usize>,
    needs_comma: bool,
}

impl Json {
    /// An empty text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// More values of an array that others have begun: the text begins with a comma.
    #[must_use]
    pub fn continued() -> Self {
        Self { needs_comma: true, ..Self::default() }
    }

    /// Leaves something out here, see [`Json::finish_around`].
    pub fn leave_gap(&mut self) {
        self.gap = Some(self.out.len());
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.out
    }

    /// The text before and behind the gap.
    #[must_use]
    pub fn finish_around(mut self) -> (String, String) {
        let behind = self.out.split_off(self.gap.unwrap_or(self.out.len()));
        (self.out, behind)
    }

    /// `{…}` around what `body` writes.
    pub fn object(&mut self, body: impl FnOnce(&mut Self)) {
        self.wrapped('{', '}', body);
    }

    /// `[…]` around what `body` writes.
    pub fn array(&mut self, body: impl FnOnce(&mut Self)) {
        self.wrapped('[', ']', body);
    }

    /// A key that needs no escaping; the next call writes its value.
    pub fn key(&mut self, name: &'static str) -> &mut Self {
        self.comma();
        let _ = write!(self.out, "\"{name}\":");
        self.needs_comma = false;
        self
    }

    /// A key from data, escaped like [`Json::text`].
    pub fn data_key(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.out.push(':');
        self.needs_comma = false;
        self
    }

    /// A string as `encoding/json` escapes it: `<`, `>`, `&`, U+2028 and U+2029, too.
    pub fn text(&mut self, text: &str) {
        self.comma();
        push_escaped(&mut self.out, text, is_html_plain);
    }

    /// An array of strings.
    pub fn texts<S: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = S>) {
        self.array(|json| texts.into_iter().for_each(|text| json.text(text.as_ref())));
    }

    /// A label set as an object. Names and values are escaped as JSON demands and no further, as Prometheus 3 does.
    pub fn labels(&mut self, labels: &Labels) {
        self.object(|json| {
            for (name, value) in labels {
                json.comma();
                push_escaped(&mut json.out, name, is_plain);
                json.out.push(':');
                push_escaped(&mut json.out, value, is_plain);
            }
        });
    }

    /// An integer.
    pub fn int(&mut self, value: impl Into<i128>) {
        self.comma();
        let _ = write!(self.out, "{}", value.into());
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) {
        self.comma();
        self.out.push_str(if value { "true" } else { "false" });
    }

    /// A number as `encoding/json` writes floats. Not for NaN and infinities, which JSON lacks: they become 0.
    pub fn number(&mut self, value: f64) {
        self.comma();
        push_number(&mut self.out, value);
    }

    /// Unix milliseconds as seconds, with no or three digits after the point.
    pub fn sample_time(&mut self, t_ms: i64) {
        self.comma();
        if t_ms < 0 {
            self.out.push('-');
        }
        let (seconds, fraction) = (t_ms.unsigned_abs() / 1_000, t_ms.unsigned_abs() % 1_000);
        self.out.push_str(itoa::Buffer::new().format(seconds));
        if fraction > 0 {
            // A thousand more, so that three digits follow the one that the point replaces.
            self.out.push('.');
            self.out.push_str(&itoa::Buffer::new().format(1_000 + fraction)[1..]);
        }
    }

    /// A sample's value, a string: shortest digits, with an exponent below 1e-6 and from 1e21 on.
    pub fn sample_value(&mut self, value: f64) {
        self.comma();
        self.out.push('"');
        push_value(&mut self.out, value);
        self.out.push('"');
    }

    /// `[[time,"value"],…]`, as [`Json::sample_time`] and [`Json::sample_value`] write them.
    pub fn points(&mut self, points: &[(i64, f64)], times: &TimeTexts) {
        self.array(|json| {
            let mut at = 0;
            for (t_ms, value) in points {
                if let Some(text) = times.find(&mut at, *t_ms) {
                    json.comma();
                    json.out.push_str(text);
                    push_value(&mut json.out, *value);
                    json.out.push_str("\"]");
                } else {
                    json.array(|json| {
                        json.sample_time(*t_ms);
                        json.sample_value(*value);
                    });
                }
            }
        });
    }

    /// Makes room for `bytes` more, so that long texts are not moved as they grow.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// A native histogram: count, sum, and populated buckets as which bounds they hold (0 the upper, 1 the lower, 2 neither,
    /// 3 both), lower bound, upper bound, count.
    pub fn histogram(&mut self, histogram: &Histogram) {
        self.object(|json| {
            json.key("count").sample_value(histogram.count);
            json.key("sum").sample_value(histogram.sum);
            let buckets = histogram.buckets();
            if buckets.iter().all(|bucket| bucket.count == 0.0) {
                return;
            }
            json.key("buckets").array(|json| {
                for bucket in buckets.iter().filter(|bucket| bucket.count != 0.0) {
                    let bounds = match (bucket.has_lower, bucket.has_upper) {
                        (false, true) => 0,
                        (true, false) => 1,
                        (false, false) => 2,
                        (true, true) => 3,
                    };
                    json.array(|json| {
                        json.int(bounds);
                        json.sample_value(bucket.lower);
                        json.sample_value(bucket.upper);
                        json.sample_value(bucket.count);
                    });
                }
            });
        });
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, value: &str) {
        self.comma();
        self.out.push_str(value);
    }

    /// `null`.
    pub fn null(&mut self) {
        self.comma();
        self.out.push_str("null");
    }

    /// Unix milliseconds as RFC 3339 in UTC; the fraction without trailing zeros.
    pub fn time(&mut self, t_ms: i64) {
        self.text(&Timestamp::from_millisecond(t_ms).unwrap_or(Timestamp::MAX).to_string());
    }

    /// As [`Json::time`]; what has not happened yet is Go's zero time.
    pub fn time_or_never(&mut self, t_ms: Option<i64>) {
        match t_ms {
            Some(t_ms) => self.time(t_ms),
            None => self.text("0001-01-01T00:00:00Z"),
        }
    }

    fn wrapped(&mut self, open: char, close: char, body: impl FnOnce(&mut Self)) {
        self.comma();
        self.out.push(open);
        self.needs_comma = false;
        body(self);
        self.out.push(close);
        self.needs_comma = true;
    }

    fn comma(&mut self) {
        if self.needs_comma {
            self.out.push(',');
        }
        self.needs_comma = true;
    }
}

/// Times that many series of an answer share, written once: `[1435781430.781,"`.
#[derive(Debug, Default)]
pub struct TimeTexts {
    t_ms: Vec<i64>,
    /// Where in `texts` each ends.
    ends: Vec<usize>,
    texts: String,
}

impl TimeTexts {
    /// The texts of `times`, in Unix milliseconds, which must rise.
    pub fn new(times: impl Iterator<Item = i64>) -> Self {
        let mut made = Self::default();
        let mut json = Json::new();
        for t_ms in times {
            json.needs_comma = false;
            json.out.push('[');
            json.sample_time(t_ms);
            json.out.push_str(",\"");
            made.t_ms.push(t_ms);
            made.ends.push(json.out.len());
        }
        made.texts = json.out;
        made
    }

    /// Those of the longest of `all`; none for one series alone, which would gain nothing.
    pub fn of_all(all: &[promql::MatrixSeries]) -> Self {
        match all.iter().max_by_key(|series| series.points.len()) {
            Some(longest) if all.len() > 1 => Self::new(longest.points.iter().map(|(t_ms, _)| *t_ms)),
            _ => Self::default(),
        }
    }

    /// The text of `t_ms`, looked for from `at` on, which moves there.
    fn find(&self, at: &mut usize, t_ms: i64) -> Option<&str> {
        while *self.t_ms.get(*at)? < t_ms {
            *at += 1;
        }
        if self.t_ms[*at] != t_ms {
            return None;
        }
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.texts[start..self.ends[*at]])
    }
}

/// An alert's value: `strconv.FormatFloat(v, 'e', -1, 64)`.
#[must_use]
pub(crate) fn format_e(value: f64) -> String {
    let mut out = String::new();
    if value.is_finite() {
        push_exponent(&mut out, value);
    } else {
        model::float::push_f(&mut out, value);
    }
    out
}

/// A sample's value without its quotes.
fn push_value(out: &mut String, value: f64) {
    let abs = value.abs();
    if value.is_finite() && abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        push_exponent(out, value);
    } else {
        model::float::push_f(out, value);
    }
}

/// `encoding/json` on a float64: as `f`, or as `e` (exponent without leading zero) below 1e-6 and from 1e21 on.
fn push_number(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push('0');
        return;
    }
    let abs = value.abs();
    if abs == 0.0 || (1e-6..1e21).contains(&abs) {
        let _ = write!(out, "{value}");
        return;
    }
    let mut text = String::new();
    push_exponent(&mut text, value);
    // Go turns e-09 into e-9, and leaves e+21.
    out.push_str(&text.replace("e-0", "e-"));
}

/// Go's `'e'` with precision -1: at least two digits of exponent, always signed.
fn push_exponent(out: &mut String, value: f64) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("LowerExp always writes an exponent");
    let exponent: i32 = exponent.parse().expect("LowerExp writes a decimal exponent");
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
}

fn is_plain(c: char) -> bool {
    c >= ' ' && c != '"' && c != '\\'
}

fn is_html_plain(c: char) -> bool {
    is_plain(c) && !matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

fn push_escaped(out: &mut String, text: &str, plain: fn(char) -> bool) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c| !plain(c)) {
        let (before, from) = rest.split_at(at);
        let c = from.chars().next().expect("find points at a character");
        out.push_str(before);
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            c => write!(out, "\\u{:04x}", c as u32),
        };
        rest = &from[c.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl FnOnce(&mut Json), expected: &str) {
        let mut json = Json::new();
        write(&mut json);
        assert_eq!(json.finish(), expected);
    }

    #[test]
    fn times_have_no_or_three_digits_after_the_point() {
        for (t_ms, expected) in [
            (0, "0"),
            (1, "0.001"),
            (10, "0.010"),
            (1_050, "1.050"),
            (1_435_781_430_781, "1435781430.781"),
            (1_435_781_451_000, "1435781451"),
            (-1, "-0.001"),
            (-1_500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            check(|json| json.sample_time(t_ms), expected);
        }
    }

    #[test]
    fn values_are_spelled_as_prometheus_spells_them() {
        for (value, expected) in [
            (0.0, r#""0""#),
            (-0.0, r#""-0""#),
            (1.0, r#""1""#),
            (0.1, r#""0.1""#),
            (1e-6, r#""0.000001""#),
            (9.9e-7, r#""9.9e-07""#),
            (1e20, r#""100000000000000000000""#),
            (1e21, r#""1e+21""#),
            (-1.5e300, r#""-1.5e+300""#),
            (f64::NAN, r#""NaN""#),
            (f64::INFINITY, r#""+Inf""#),
            (f64::NEG_INFINITY, r#""-Inf""#),
        ] {
            check(|json| json.sample_value(value), expected);
        }
        check(|json| json.number(0.000_000_9), "9e-7");
        check(|json| json.number(0.000_234_5), "0.0002345");
        check(|json| json.number(1e21), "1e+21");
        assert_eq!(format_e(1.0), "1e+00");
        assert_eq!(format_e(0.000_12), "1.2e-04");
        assert_eq!(format_e(f64::INFINITY), "+Inf");
    }

    #[test]
    fn points_are_written_alike_whether_their_times_are_shared_or_not() {
        let times = TimeTexts::new([-1_500, 0, 1_001, 2_000].into_iter());
        let check_points =
            |points: &[(i64, f64)], expected| check(|json| json.points(points, &times), expected);
        check_points(&[], "[]");
        check_points(&[(-1_500, 1.5), (2_000, -0.0)], r#"[[-1.500,"1.5"],[2,"-0"]]"#);
        check_points(&[(-9_000, 1.0), (0, 2.0), (7, 3.0)], r#"[[-9,"1"],[0,"2"],[0.007,"3"]]"#);
        check_points(&[(1_001, f64::NAN), (3_000, 1e-7)], r#"[[1.001,"NaN"],[3,"1e-07"]]"#);
    }

    #[test]
    fn texts_are_escaped_for_html_and_labels_are_not() {
        check(
            |json| json.text("a<b>&\"\\\n\t\u{1}\u{2028}ü\u{7f}"),
            "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\t\\u0001\\u2028ü\u{7f}\"",
        );
        let labels = Labels::from_pairs([("b", "<&>\u{2028}"), ("a", "x\"\n\u{1}")]);
        check(|json| json.labels(&labels), "{\"a\":\"x\\\"\\n\\u0001\",\"b\":\"<&>\u{2028}\"}");
    }

    #[test]
    fn histograms_show_populated_buckets_and_which_bounds_they_hold() {
        use model::histogram::Span;
        let histogram = Histogram {
            count: 42.0,
            sum: 34_593.34,
            zero_count: 3.0,
            zero_threshold: 0.25,
            positive_spans: vec![Span { offset: -1, length: 4 }],
            positive_buckets: vec![12.0, 21.0, 0.0, 6.0],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            negative_buckets: vec![1.5],
            ..Histogram::default()
        };
        check(
            |json| json.histogram(&histogram),
            "{\"count\":\"42\",\"sum\":\"34593.34\",\"buckets\":[[1,\"-2\",\"-1\",\"1.5\"],[3,\"-0.25\",\"0.25\",\"3\"],\
             [0,\"0.25\",\"0.5\",\"12\"],[0,\"0.5\",\"1\",\"21\"],[0,\"2\",\"4\",\"6\"]]}",
        );
        check(|json| json.histogram(&Histogram::default()), "{\"count\":\"0\",\"sum\":\"0\"}");
    }

    #[test]
    fn commas_come_by_themselves() {
        check(
            |json| {
                json.object(|json| {
                    json.key("a").array(|json| {
                        json.int(1);
                        json.bool(true);
                        json.object(|_| {});
                    });
                    json.data_key("b\"").texts(["x", "y"]);
                    json.key("t").time(1_500);
                });
            },
            r#"{"a":[1,true,{}],"b\"":["x","y"],"t":"1970-01-01T00:00:01.5Z"}"#,
        );
    }
}
