//! Series notation: `metric{label="value"} 1 2+3x4 _ stale {{schema:1}}x2`.

use model::{Labels, MatchOp, STALE_NAN};

use crate::store::Sample;

/// One place of a sequence; `None` for none.
pub(crate) type Place = Option<Sample>;

/// Longest sequence that a script may ask for. Chosen: a typing error then does not fill the memory.
const PLACES_MAX: u64 = 100_000;

/// Splits a line into its series, what is glued to it (`@st`), and its sequence.
pub(crate) fn split(line: &str) -> (&str, &str, &str) {
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
pub(crate) fn labels(series: &str) -> Result<Labels, String> {
    let matchers = promql::metric_selector(series).map_err(|err| err.to_string())?;
    if matchers.iter().any(|m| m.op != MatchOp::Equal) {
        return Err(format!("{series} is no series"));
    }
    Ok(Labels::from_pairs(matchers.iter().map(|m| (m.name.as_str(), m.value.as_str()))))
}

/// A number as scripts write it.
pub(crate) fn number(text: &str) -> Option<f64> {
    if let Ok(value) = text.parse::<f64>() {
        return Some(value);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match &promql::parse(rest).ok()?.kind {
        promql::ExprKind::Number { value, .. } => Some(sign * value),
        _ => None,
    }
}

/// The places of a sequence.
pub(crate) fn places(sequence: &str) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    let mut rest = sequence.trim();
    while !rest.is_empty() {
        let end = item_end(rest);
        let (item, tail) = rest.split_at(end);
        expand(item, &mut places)?;
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
        let after = item.rfind("}}").map_or("", |idx| &item[idx + 2..]);
        let n = match after.strip_prefix('x') {
            Some(n) => times(n)? + 1,
            None if after.is_empty() => 1,
            None => return Err(format!("bad item {item:?}")),
        };
        places.extend((0..n).map(|_| Some(Sample::Histogram)));
        return Ok(());
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
                Some(Sample::Histogram) => Some(f64::MAX),
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
        check("{{schema:1 buckets:[1 2]}}x1", &[Some(f64::MAX), Some(f64::MAX)]);
    }

    #[test]
    fn splits_at_the_first_space_outside_of_braces() {
        assert_eq!(split(r#"a{b="c d"} 1 2"#), (r#"a{b="c d"}"#, "", "1 2"));
        assert_eq!(split("a 1"), ("a", "", "1"));
        assert_eq!(split("a{}@st 1"), ("a{}", "@st", "1"));
    }
}
