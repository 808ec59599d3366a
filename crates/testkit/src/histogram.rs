//! Histogram notation: `{{schema:1 count:5 sum:2.5 z_bucket:1 offset:-1 buckets:[1 2 1]}}`; and classic series to custom buckets.

use model::Histogram;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, ResetHint, Span};

use crate::series::number;

/// A histogram as a script writes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) histogram: Histogram,
    /// Whether `counter_reset_hint` was given; results are compared with it only then.
    pub(crate) has_hint: bool,
}

/// What stands between `{{` and `}}`.
pub(crate) fn parse(inside: &str) -> Result<Written, String> {
    let mut written = Written { histogram: Histogram::default(), has_hint: false };
    let (mut offset, mut n_offset) = (0, 0);
    let mut seen = Vec::new();
    let mut rest = inside.trim_start();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or_else(|| format!("expected key:value, got {rest:?}"))?;
        let end = if tail.starts_with('[') {
            tail.find(']').ok_or_else(|| format!("no ] in {tail:?}"))? + 1
        } else {
            tail.find(char::is_whitespace).unwrap_or(tail.len())
        };
        let (value, tail) = tail.split_at(end);
        let key = key.to_lowercase();
        if seen.contains(&key) {
            return Err(format!("duplicate key {key:?} in histogram"));
        }
        let h = &mut written.histogram;
        match key.as_str() {
            "schema" => h.schema = int(value)?,
            "sum" => h.sum = float(value)?,
            "count" => h.count = float(value)?,
            "z_bucket" => h.zero_count = float(value)?,
            "z_bucket_w" => h.zero_threshold = float(value)?,
            "custom_values" => h.custom_bounds = floats(value)?.into(),
            "buckets" => h.positive_buckets = floats(value)?,
            "n_buckets" => h.negative_buckets = floats(value)?,
            "offset" => offset = int(value)?,
            "n_offset" => n_offset = int(value)?,
            "counter_reset_hint" => {
                written.has_hint = true;
                h.reset_hint = hint(value)?;
            }
            _ => return Err(format!("bad histogram descriptor found: {key:?}")),
        }
        seen.push(key);
        rest = tail.trim_start();
    }
    let h = &mut written.histogram;
    h.positive_spans = span(offset, &h.positive_buckets);
    h.negative_spans = span(n_offset, &h.negative_buckets);
    Ok(written)
}

fn span(offset: i32, buckets: &[f64]) -> Vec<Span> {
    if buckets.is_empty() {
        return Vec::new();
    }
    vec![Span { offset, length: buckets.len() as u32 }]
}

fn int(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("bad integer {text:?}"))
}

fn float(text: &str) -> Result<f64, String> {
    number(text).ok_or_else(|| format!("bad number {text:?}"))
}

fn floats(text: &str) -> Result<Vec<f64>, String> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inside = inside.ok_or_else(|| format!("expected [numbers], got {text:?}"))?;
    inside.split_whitespace().map(float).collect()
}

fn hint(text: &str) -> Result<ResetHint, String> {
    Ok(match text.to_lowercase().as_str() {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return Err(format!("unknown counter reset hint {text:?}")),
    })
}

/// A classic histogram at one time, as its series give it.
#[derive(Debug, Default)]
pub(crate) struct Classic {
    /// Bound and cumulative count, by rising bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

impl Classic {
    pub(crate) fn set_bucket(&mut self, bound: f64, count: f64) {
        let at = self.buckets.partition_point(|(known, _)| *known < bound);
        // Of two for the same bound the first counts.
        if self.buckets.get(at).is_none_or(|(known, _)| *known != bound) {
            self.buckets.insert(at, (bound, count));
        }
    }

    pub(crate) fn set_count(&mut self, count: f64) {
        self.count = Some(count);
    }

    pub(crate) fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The same with custom buckets.
    ///
    /// # Errors
    /// When counts do not rise, or do not add up.
    pub(crate) fn to_native(&self) -> Result<Histogram, String> {
        let mut buckets = self.buckets.clone();
        let highest = buckets.last().map_or(0.0, |(_, count)| *count);
        let count = self.count.unwrap_or(highest);
        if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            buckets.push((f64::INFINITY, count));
        }
        if let Some(pair) = buckets.windows(2).find(|pair| pair[1].1 < pair[0].1) {
            return Err(format!("count is not cumulative: {} < {}", pair[1].1, pair[0].1));
        }
        let last = buckets[buckets.len() - 1].1;
        if last != count {
            return Err(format!("count mismatch: count={count} != le=+Inf count={last}"));
        }
        let mut before = 0.0;
        let counts: Vec<f64> =
            buckets.iter().map(|(_, count)| count - std::mem::replace(&mut before, *count)).collect();
        let bounds: Vec<f64> =
            buckets.iter().map(|(bound, _)| *bound).filter(|b| b.is_finite() || *b < 0.0).collect();
        let mut native = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: span(0, &counts),
            positive_buckets: counts,
            custom_bounds: bounds.into(),
            ..Histogram::default()
        };
        native.compact();
        Ok(native)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_key() {
        let written = parse(
            "schema:-1 count:7 sum:-1.5 z_bucket:2 z_bucket_w:0.001 offset:-2 buckets:[1 2] n_offset:3 \
             n_buckets:[ 1 1 ] counter_reset_hint:gauge ",
        )
        .expect("of the notation");
        let h = &written.histogram;
        assert!(written.has_hint);
        assert_eq!((h.schema, h.count, h.sum, h.zero_count), (-1, 7.0, -1.5, 2.0));
        assert_eq!(h.positive_spans, [Span { offset: -2, length: 2 }]);
        assert_eq!(h.negative_spans, [Span { offset: 3, length: 2 }]);
        assert_eq!(h.reset_hint, ResetHint::Gauge);
    }

    #[test]
    fn refuses_what_is_not_of_the_notation() {
        for bad in ["schema", "schema:x", "bucket:[1]", "buckets:1", "sum:1 sum:2", "counter_reset_hint:no"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn classic_buckets_become_custom_ones() {
        let mut classic = Classic::default();
        classic.set_bucket(f64::INFINITY, 5.0);
        classic.set_bucket(1.0, 2.0);
        classic.set_bucket(2.0, 2.0);
        classic.set_sum(9.0);
        let native = classic.to_native().expect("counts rise");
        assert_eq!((native.count, native.sum), (5.0, 9.0));
        assert_eq!(&native.custom_bounds[..], [1.0, 2.0]);
        assert_eq!(native.positive_buckets, [2.0, 3.0]);
        classic.set_count(6.0);
        assert!(classic.to_native().is_err());
    }
}
