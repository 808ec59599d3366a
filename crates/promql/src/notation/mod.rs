//! Series notation: `metric{label="value"} 1 2+3x4 _ stale {{schema:1}}x2`; and of start timestamps `-30s-1mx2 _`.
//!
//! In from test scripts and unit tests of rules; out as samples. Source: Prometheus' `promql/parser` and `promqltest/README.md`.

mod histogram;

use model::{Duration, Labels, MatchOp, STALE_NAN};

pub use histogram::{Written, format as format_histogram};

/// What a series holds at one time.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A float, staleness markers included.
    Float(f64),
    /// A native histogram.
    Histogram(Written),
}

/// One place of a sequence; `None` for none.
pub type Place = Option<Sample>;

/// Longest sequence that a script may ask for. Chosen: a typing error then does not fill the memory.
const PLACES_MAX: u64 = 100_000;

/// Places of all items of a sequence. Chosen: a week of seconds, and little memory.
const SEQUENCE_MAX: usize = 1_000_000;
/// Buckets of all histograms of one item. Chosen: 80 MB.
const CELLS_MAX: u64 = 10_000_000;

/// Splits a line into its series, what is glued to it (`@st`), and its sequence.
#[must_use]
pub fn split(line: &str) -> (&str, &str, &str) {
    let mut quote = None;
    let mut in_braces = false;
    let mut end = line.len();
    for (idx, c) in line.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => in_braces = true,
            (None, '}') => {
                end = idx + 1;
                break;
            }
            (None, c) if !in_braces && (c.is_whitespace() || c == '@') => {
                end = idx;
                break;
            }
            _ => {}
        }
    }
    let (series, rest) = line.split_at(end);
    let glued_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (glued, rest) = rest.split_at(glued_end);
    (series, glued, rest.trim())
}

/// The labels of `series`.
///
/// # Errors
/// What is wrong, in words for the one who wrote it.
pub fn labels(series: &str) -> Result<Labels, String> {
    let matchers = crate::metric_selector(series).map_err(|err| err.to_string())?;
    if matchers.iter().any(|m| m.op != MatchOp::Equal) {
        return Err(format!("{series} is no series"));
    }
    Ok(Labels::from_pairs(matchers.iter().map(|m| (m.name.as_str(), m.value.as_str()))))
}

/// A number as scripts write it.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    if let Ok(value) = text.parse::<f64>() {
        return Some(value);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match &crate::parse(rest).ok()?.kind {
        crate::ExprKind::Number { value, .. } => Some(sign * value),
        _ => None,
    }
}

/// The places of a sequence.
///
/// # Errors
/// What is wrong, in words for the one who wrote it.
pub fn places(sequence: &str) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    let mut rest = sequence.trim();
    while !rest.is_empty() {
        let end = item_end(rest);
        let (item, tail) = rest.split_at(end);
        expand(item, &mut places)?;
        if places.len() > SEQUENCE_MAX {
            return Err(format!("the sequence is longer than {SEQUENCE_MAX} samples"));
        }
        rest = tail.trim_start();
    }
    Ok(places)
}

/// Where the first item ends: at a space outside of `{{…}}`.
fn item_end(text: &str) -> usize {
    let mut depth = 0usize;
    for (idx, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() && depth == 0 => return idx,
            _ => {}
        }
    }
    text.len()
}

fn times(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(n) if n <= PLACES_MAX => Ok(n),
        _ => Err(format!("bad repetition {text:?}")),
    }
}

fn expand(item: &str, places: &mut Vec<Place>) -> Result<(), String> {
    if item.starts_with("{{") {
        return expand_histogram(item, places);
    }
    if let Some(rest) = item.strip_prefix('_') {
        let n = match rest.strip_prefix('x') {
            Some(n) => times(n)?,
            None if rest.is_empty() => 1,
            None => return Err(format!("bad item {item:?}")),
        };
        places.extend((0..n).map(|_| None));
        return Ok(());
    }
    let (base, n) = match item.rsplit_once('x') {
        Some((base, n)) => (base, Some(times(n)?)),
        None => (item, None),
    };
    let (first, step) = split_step(base);
    let mut value = value_of(first)?;
    let step = match step {
        Some(step) => Some(number(step).ok_or_else(|| format!("bad item {item:?}"))?),
        None => None,
    };
    for _ in 0..n.map_or(1, |n| n + 1) {
        places.push(Some(Sample::Float(value)));
        value += step.unwrap_or(0.0);
    }
    Ok(())
}

/// `{{…}}`, `{{…}}xN`, `{{…}}+{{…}}xN`, `{{…}}-{{…}}xN`.
fn expand_histogram(item: &str, places: &mut Vec<Place>) -> Result<(), String> {
    let (base, mut rest) = braced(item)?;
    let mut step: Option<(Written, bool)> = None;
    for (sign, is_sum) in [('+', true), ('-', false)] {
        if let Some(text) = rest.strip_prefix(sign) {
            let (written, tail) = braced(text)?;
            step = Some((written, is_sum));
            rest = tail;
        }
    }
    let n = match rest.strip_prefix('x') {
        Some(n) => times(n)?,
        None if rest.is_empty() && step.is_none() => 0,
        None => return Err(format!("bad item {item:?}")),
    };
    let n_buckets = |written: &Written| {
        (written.histogram.positive_buckets.len() + written.histogram.negative_buckets.len()) as u64
    };
    let n_cells = n_buckets(&base) + step.as_ref().map_or(0, |(step, _)| n_buckets(step));
    if n_cells.saturating_mul(n + 1) > CELLS_MAX {
        return Err(format!("the histograms of {item:?} have more than {CELLS_MAX} buckets together"));
    }
    let has_hint = step.as_ref().map_or(base.has_hint, |(written, _)| written.has_hint);
    let mut current = base.histogram;
    places.push(Some(Sample::Histogram(Written { histogram: current.clone(), has_hint })));
    for _ in 0..n {
        if let Some((step, is_sum)) = &step {
            if current.schema > step.histogram.schema {
                let (from, to) = (step.histogram.schema, current.schema);
                return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
            }
            let combined =
                if *is_sum { current.add(&step.histogram) } else { current.subtract(&step.histogram) };
            let _reconciled = combined.map_err(|err| err.to_string())?;
        }
        places.push(Some(Sample::Histogram(Written { histogram: current.clone(), has_hint })));
    }
    Ok(())
}

/// The histogram at the start of `text`, and what follows it.
fn braced(text: &str) -> Result<(Written, &str), String> {
    let inside = text.strip_prefix("{{").ok_or_else(|| format!("expected {{{{ in {text:?}"))?;
    let (inside, rest) = inside.split_once("}}").ok_or_else(|| format!("no }}}} in {text:?}"))?;
    Ok((histogram::parse(inside)?, rest))
}

/// How far the start timestamps of a sequence lie from their samples, in milliseconds.
///
/// # Errors
/// What is wrong, in words for the one who wrote it.
pub fn start_offsets(sequence: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for item in sequence.split_whitespace() {
        if let Some(rest) = item.strip_prefix('_') {
            let n = match rest.strip_prefix('x') {
                Some(n) => times(n)?,
                None if rest.is_empty() => 1,
                None => return Err(format!("bad start timestamp {item:?}")),
            };
            offsets.extend((0..n).map(|_| None));
            continue;
        }
        let (mut offset_ms, rest) = signed_duration(item)?;
        let (step_ms, rest) = match rest.chars().next() {
            Some('+' | '-') => signed_duration(rest)?,
            _ => (0, rest),
        };
        let n = match rest.strip_prefix('x') {
            Some(n) => times(n)? + 1,
            None if rest.is_empty() => 1,
            None => return Err(format!("bad start timestamp {item:?}")),
        };
        for _ in 0..n {
            offsets.push(Some(offset_ms));
            offset_ms += step_ms;
        }
    }
    Ok(offsets)
}

/// A duration with an optional sign at the start of `text`, in milliseconds, and what follows it.
fn signed_duration(text: &str) -> Result<(i64, &str), String> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let n_unit = rest[n_digits..].bytes().take_while(|b| b.is_ascii_alphabetic() && *b != b'x').count();
    let (duration, rest) = rest.split_at(n_digits + n_unit);
    let duration: Duration = duration.parse().map_err(|_| format!("bad duration {text:?}"))?;
    Ok((sign * duration.as_ms(), rest))
}

fn value_of(text: &str) -> Result<f64, String> {
    if text == "stale" {
        return Ok(STALE_NAN);
    }
    number(text).ok_or_else(|| format!("bad value {text:?}"))
}

/// `1e-3-2` is 1e-3 and -2: a sign begins the step unless it is the first character or follows an exponent.
fn split_step(text: &str) -> (&str, Option<&str>) {
    let bytes = text.as_bytes();
    for idx in 1..bytes.len() {
        let is_sign = matches!(bytes[idx], b'+' | b'-');
        let in_exponent =
            matches!(bytes[idx - 1], b'e' | b'E') && bytes[0..idx - 1].iter().any(u8::is_ascii_digit);
        if is_sign && !in_exponent {
            return (&text[..idx], Some(&text[idx..]));
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sequence: &str, expected: &[Option<f64>]) {
        let got = places(sequence).expect("the sequence is valid");
        let floats: Vec<_> = got
            .iter()
            .map(|place| match place {
                Some(Sample::Float(value)) => Some(*value),
                Some(Sample::Histogram(written)) => Some(written.histogram.count),
                None => None,
            })
            .collect();
        assert_eq!(floats, expected, "{sequence}");
    }

    #[test]
    fn expands_as_upstream_does() {
        check("1 2", &[Some(1.0), Some(2.0)]);
        check("1+2x2", &[Some(1.0), Some(3.0), Some(5.0)]);
        check("-1-2x1", &[Some(-1.0), Some(-3.0)]);
        check("5x1 _ _x2", &[Some(5.0), Some(5.0), None, None, None]);
        check("1e-3-1x1", &[Some(0.001), Some(-0.999)]);
        check("{{schema:1 count:3 buckets:[1 2]}}x1", &[Some(3.0), Some(3.0)]);
        check("{{count:3}}+{{count:2}}x2 1", &[Some(3.0), Some(5.0), Some(7.0), Some(1.0)]);
        check("{{count:3}}-{{count:1}}x1", &[Some(3.0), Some(2.0)]);
    }

    #[test]
    fn sequences_without_end_are_refused() {
        let many = "1x100000 ".repeat(11);
        assert!(places(&many).is_err_and(|why| why.contains("longer than")), "{}", many.len());
        let wide = format!("{{{{buckets:[{}]}}}}x100000", "1 ".repeat(200));
        assert!(places(&wide).is_err_and(|why| why.contains("buckets together")));
        assert!(places("1x100001").is_err());
    }

    #[test]
    fn start_timestamps_are_durations() {
        let check = |sequence: &str, expected: &[Option<i64>]| {
            assert_eq!(start_offsets(sequence).expect("of the notation"), expected, "{sequence}");
        };
        check("_ _x2 -30s", &[None, None, None, Some(-30_000)]);
        check("-30s-1mx2", &[Some(-30_000), Some(-90_000), Some(-150_000)]);
        check("0+1msx1 -1msx1", &[Some(0), Some(1), Some(-1), Some(-1)]);
        assert!(start_offsets("1").is_err());
    }

    #[test]
    fn splits_at_the_first_space_outside_of_braces() {
        assert_eq!(split(r#"a{b="c d"} 1 2"#), (r#"a{b="c d"}"#, "", "1 2"));
        assert_eq!(split("a 1"), ("a", "", "1"));
        assert_eq!(split("a{}@st 1"), ("a{}", "@st", "1"));
    }

    const HISTOGRAM: &str = "\\{\\{(schema:(-53|-?[0-9]{1,2}) )?(count:[0-9]{1,3} )?(offset:-?[0-9]{1,10} )?(buckets:\\[([0-9] ){0,3}\\] )?(n_offset:-?[0-9]{1,10} )?(n_buckets:\\[([0-9] ){0,3}\\] )?(custom_values:\\[1 2\\])?\\}\\}";

    fn read_and_written(sequence: &str) {
        for place in places(sequence).into_iter().flatten().flatten() {
            if let Sample::Histogram(written) = place {
                let text = format_histogram(&written.histogram);
                assert!(places(&text).is_ok(), "{text}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn likely_text_is_read_or_refused(
            text in "([ab{}=\"_x +-:\\[\\]0-9.]|\\{\\{|\\}\\}|x1|schema:|buckets:\\[|stale|Inf|1e|é| ){0,24}"
        ) {
            let (series, _, sequence) = split(&text);
            let _ = labels(series);
            let _ = start_offsets(sequence);
            read_and_written(sequence);
        }

        #[test]
        fn histograms_of_any_numbers_are_read_or_refused(a in HISTOGRAM, b in HISTOGRAM, sign in "[+-]", n in "[0-9]") {
            read_and_written(&format!("{a}{sign}{b}x{n}"));
        }
    }
}
