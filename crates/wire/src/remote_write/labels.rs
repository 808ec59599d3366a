//! Label sets from pairs as they were sent.

use model::Labels;
use model::labels::{METRIC_NAME, quoted};

use super::error::LabelsError;
use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX};

/// Characters of a label set that an error shows. Chosen: a few lines.
const SHOWN_CHARS_MAX: usize = 1_000;

/// A name and a value as they were sent.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// Checks pairs as Prometheus does and makes a label set: they may come in any order, but none twice; there must be a
/// metric name, no label name may be empty, everything must be UTF-8. Empty values are left out.
pub(super) fn build(pairs: &mut Vec<Pair<'_>>) -> Result<Labels, LabelsError> {
    if pairs.len() > LABELS_MAX {
        return Err(LabelsError::TooMany);
    }
    if pairs.iter().any(|(name, value)| name.len().max(value.len()) > LABEL_BYTES_MAX) {
        return Err(LabelsError::TooLong);
    }
    if !pairs.is_sorted_by(|a, b| a.0 <= b.0) {
        pairs.sort_by_key(|(name, _)| *name);
    }
    let mut has_name = false;
    for (name, value) in pairs.iter() {
        has_name |= *name == METRIC_NAME.as_bytes() && !value.is_empty();
        if name.is_empty() {
            return Err(LabelsError::Invalid(shown(pairs)));
        }
    }
    let texts: Option<Vec<(&str, &str)>> = pairs.iter().map(|(n, v)| Some((text(n)?, text(v)?))).collect();
    let Some(texts) = texts.filter(|_| has_name) else {
        return Err(LabelsError::Invalid(shown(pairs)));
    };
    if let Some(twice) = texts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(LabelsError::Duplicate { labels: shown(pairs), name: twice[0].0.to_owned() });
    }
    Ok(Labels::from_sorted(texts.into_iter().filter(|(_, value)| !value.is_empty())))
}

/// As [`build`], for exemplars: no name is needed.
pub(super) fn build_exemplar(pairs: &mut Vec<Pair<'_>>) -> Result<Labels, LabelsError> {
    pairs.push((METRIC_NAME.as_bytes(), b"exemplar"));
    let mut builder = build(pairs)?.to_builder();
    Ok(builder.remove(METRIC_NAME).build())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// As Prometheus prints label sets, and not longer than anybody reads.
fn shown(pairs: &[Pair<'_>]) -> String {
    let mut out = String::from("{");
    for (idx, (name, value)) in pairs.iter().enumerate() {
        if out.len() > SHOWN_CHARS_MAX {
            out.push_str(", …");
            break;
        }
        let sep = if idx == 0 { "" } else { ", " };
        let cut = |bytes: &[u8]| -> String {
            String::from_utf8_lossy(bytes).chars().take(SHOWN_CHARS_MAX / 4).collect()
        };
        out.push_str(sep);
        out.push_str(&cut(name));
        out.push('=');
        out.push_str(&quoted(&cut(value)));
    }
    out.push('}');
    out
}
