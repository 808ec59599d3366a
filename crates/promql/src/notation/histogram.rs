//! Histogram notation: `{{schema:1 count:5 sum:2.5 z_bucket:1 offset:-1 buckets:[1 2 1]}}`, read and written.

use model::Histogram;
use model::float::format_g;
use model::histogram::{ResetHint, Span};

use super::number;

/// A histogram as a script writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// As described; its spans begin where `offset` says.
    pub histogram: Histogram,
    /// Whether `counter_reset_hint` was given; results are compared with it only then.
    pub has_hint: bool,
}

/// What stands between `{{` and `}}`.
///
/// # Errors
/// What is wrong, in words for the one who wrote it.
pub(super) fn parse(inside: &str) -> Result<Written, String> {
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

/// The notation of `histogram`, with gaps between its buckets filled by empty ones.
#[must_use]
pub fn format(histogram: &Histogram) -> String {
    let mut parts = Vec::new();
    if histogram.schema != 0 {
        parts.push(format!("schema:{}", histogram.schema));
    }
    let numbers = [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ];
    let numbers = numbers.into_iter().filter(|(_, value)| *value != 0.0);
    parts.extend(numbers.map(|(key, value)| format!("{key}:{}", format_g(value))));
    if histogram.uses_custom_buckets() {
        parts.push(format!("custom_values:{}", list(&histogram.custom_bounds)));
    }
    match histogram.reset_hint {
        ResetHint::Unknown => {}
        ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    let mut compact = histogram.clone();
    compact.compact();
    for (spans, buckets, key, offset_key) in [
        (&compact.positive_spans, &compact.positive_buckets, "buckets", "offset"),
        (&compact.negative_spans, &compact.negative_buckets, "n_buckets", "n_offset"),
    ] {
        let (offset, counts) = joined(spans, buckets);
        if offset != 0 {
            parts.push(format!("{offset_key}:{offset}"));
        }
        if !counts.is_empty() {
            parts.push(format!("{key}:{}", list(&counts)));
        }
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

fn list(values: &[f64]) -> String {
    format!("[{}]", values.iter().map(|value| format_g(*value)).collect::<Vec<_>>().join(" "))
}

/// Buckets between two spans, at most: the notation has no gaps. Chosen: wider ones are no histogram that a person wrote.
const GAP_MAX: i32 = 10_000;

/// All buckets as one span: where it begins, and its counts.
fn joined(spans: &[Span], buckets: &[f64]) -> (i32, Vec<f64>) {
    let (mut counts, mut rest) = (Vec::new(), buckets);
    for (idx, span) in spans.iter().enumerate() {
        if idx > 0 {
            counts.extend((0..span.offset.min(GAP_MAX)).map(|_| 0.0));
        }
        let (own, after) = rest.split_at((span.length as usize).min(rest.len()));
        counts.extend_from_slice(own);
        rest = after;
    }
    (spans.first().map_or(0, |span| span.offset), counts)
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
    fn what_is_written_reads_the_same() {
        for text in [
            "{{}}",
            "{{schema:1 count:3 sum:2.5 buckets:[1 2]}}",
            "{{count:10 sum:-1 z_bucket:2 z_bucket_w:0.001 counter_reset_hint:gauge offset:-2 buckets:[1 0 3] n_offset:3 n_buckets:[4]}}",
            "{{schema:-53 count:3 custom_values:[1 2.5] buckets:[1 2]}}",
        ] {
            let inside = text.trim_start_matches("{{").trim_end_matches("}}");
            assert_eq!(format(&parse(inside).expect("of the notation").histogram), text);
        }
    }
}
