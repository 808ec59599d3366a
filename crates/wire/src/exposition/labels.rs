//! What stands between braces: scanned once per line, read into labels once per series.

use std::borrow::Cow;

use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX};
use model::float;
use model::labels::{LabelsBuilder, METRIC_NAME, quoted};
use model::metadata::MetricType;

use super::error::{Fail, ParseError};
use super::writer::write_om_float;

/// Where labels stand; decides blanks, commas and line breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Text,
    OpenMetrics,
    /// Labels of an OpenMetrics exemplar, which has no name.
    Exemplar,
}

/// A value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleEntry<'a> {
    /// Name and labels exactly as written: the key of a cache of series.
    pub raw: &'a str,
    /// The value; every NaN is the normal one, never the staleness marker.
    pub value: f64,
    /// Unix milliseconds, when the page says.
    pub t_ms: Option<i64>,
    /// OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
    /// Of the last `# TYPE` line before it.
    pub metric_type: MetricType,
}

/// A sample's example, such as a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar<'a> {
    /// What stands between its braces, as written.
    pub labels: &'a str,
    /// Its value.
    pub value: f64,
    /// Unix milliseconds.
    pub t_ms: Option<i64>,
}

impl SampleEntry<'_> {
    /// Clears `builder` and fills in name and labels, unescaped. `le` of histograms and `quantile` of summaries are
    /// written as OpenMetrics writes floats (`1` becomes `1.0`), as Prometheus 3 does.
    ///
    /// # Errors
    /// A label twice, a label without a name, or beyond [`LABELS_MAX`] or [`LABEL_BYTES_MAX`]. Line and column count
    /// from the start of `raw`.
    pub fn fill_labels(&self, builder: &mut LabelsBuilder) -> Result<(), ParseError> {
        builder.retain(|_, _| false);
        self.pairs().and_then(|pairs| fill(builder, pairs)).map_err(|fail| fail.place(self.raw.as_bytes()))
    }

    fn pairs(&self) -> Result<Vec<Pair<'_>>, Fail> {
        let mut pairs = Vec::with_capacity(8);
        let (name, inside) = match self.raw.find('{') {
            Some(brace) => (self.raw[..brace].trim_end_matches([' ', '\t']), brace + 1),
            None => (self.raw, self.raw.len()),
        };
        if !name.is_empty() {
            pairs.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name), 0));
        }
        read_pairs(self.raw, inside, &mut pairs)?;
        let normalised = match self.metric_type {
            MetricType::Histogram | MetricType::GaugeHistogram => "le",
            MetricType::Summary => "quantile",
            _ => return Ok(pairs),
        };
        for (name, value, _) in &mut pairs {
            if *name == normalised
                && let Ok(number) = float::parse(value)
            {
                let mut text = String::new();
                write_om_float(&mut text, number);
                *value = Cow::Owned(text);
            }
        }
        Ok(pairs)
    }
}

impl Exemplar<'_> {
    /// Clears `builder` and fills in the labels, unescaped.
    ///
    /// # Errors
    /// As for [`SampleEntry::fill_labels`].
    pub fn fill_labels(&self, builder: &mut LabelsBuilder) -> Result<(), ParseError> {
        builder.retain(|_, _| false);
        let mut pairs = Vec::with_capacity(4);
        read_pairs(self.labels, 0, &mut pairs)
            .and_then(|()| fill(builder, pairs))
            .map_err(|fail| fail.place(self.labels.as_bytes()))
    }
}

/// Name, value, and where the name stands.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>, usize);

fn fill(builder: &mut LabelsBuilder, mut pairs: Vec<Pair<'_>>) -> Result<(), Fail> {
    if pairs.len() > LABELS_MAX {
        return Err(Fail::new(0, format!("series has more than {LABELS_MAX} labels")));
    }
    // In order, so that each goes to the end of the builder, and equal names are neighbours.
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    for (i, (name, value, at)) in pairs.iter().enumerate() {
        if name.is_empty() {
            return Err(Fail::new(*at, "label name is empty"));
        }
        if i > 0 && pairs[i - 1].0 == *name {
            return Err(Fail::new(*at, format!("label name {} is not unique: invalid sample", quoted(name))));
        }
        if name.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
            return Err(Fail::new(
                *at,
                format!("label name or value is longer than {LABEL_BYTES_MAX} bytes"),
            ));
        }
        builder.set(name, value);
    }
    Ok(())
}

/// Reads pairs that [`scan_labels`] has passed, from `pos` up to the brace that closes or the end.
fn read_pairs<'a>(text: &'a str, mut pos: usize, pairs: &mut Vec<Pair<'a>>) -> Result<(), Fail> {
    let bytes = text.as_bytes();
    loop {
        while matches!(bytes.get(pos), Some(b' ' | b'\t' | b',')) {
            pos += 1;
        }
        let start = pos;
        let name = match bytes.get(pos) {
            None | Some(b'}') => return Ok(()),
            Some(b'"') => {
                pos = scan_quoted(bytes, pos, true)?;
                unescape(&text[start + 1..pos - 1], true)
            }
            Some(_) => {
                pos = label_name_end(bytes, pos);
                Cow::Borrowed(&text[start..pos])
            }
        };
        while matches!(bytes.get(pos), Some(b' ' | b'\t')) {
            pos += 1;
        }
        if bytes.get(pos) != Some(&b'=') {
            // Quoted and alone: the metric's name.
            if name.is_empty() {
                return Err(Fail::new(start, "metric name is empty"));
            }
            pairs.push((Cow::Borrowed(METRIC_NAME), name, start));
            continue;
        }
        pos += 1;
        while matches!(bytes.get(pos), Some(b' ' | b'\t')) {
            pos += 1;
        }
        let value_start = pos;
        pos = scan_quoted(bytes, pos, true)?;
        pairs.push((name, unescape(&text[value_start + 1..pos - 1], true), start));
        if pairs.len() > LABELS_MAX {
            return Ok(());
        }
    }
}

/// Checks what stands from `pos`, just after the opening brace, to the closing one; returns where it ends.
pub(super) fn scan_labels(body: &[u8], pos: usize, dialect: Dialect, has_name: bool) -> Result<usize, Fail> {
    let blanks = dialect == Dialect::Text;
    let skip = |mut pos: usize| {
        while blanks && matches!(body.get(pos), Some(b' ' | b'\t')) {
            pos += 1;
        }
        pos
    };
    let mut has_name = has_name;
    let mut pos = skip(pos);
    loop {
        let start = pos;
        match body.get(pos) {
            Some(b'}') if has_name => return Ok(pos + 1),
            Some(b'}') => return Err(Fail::new(pos, "metric name not set")),
            Some(b'"') => pos = scan_quoted(body, pos, true)?,
            _ => pos = label_name_end(body, pos),
        }
        if pos == start {
            return Err(Fail::expected(body, pos, "label name"));
        }
        pos = skip(pos);
        let is_alone = body[start] == b'"' && matches!(body.get(pos), Some(b',' | b'}'));
        if is_alone {
            if dialect == Dialect::Exemplar {
                return Err(Fail::expected(body, pos, "equal"));
            }
            if has_name {
                return Err(Fail::new(start, "metric name already set"));
            }
            has_name = true;
        } else {
            if body.get(pos) != Some(&b'=') {
                return Err(Fail::expected(body, pos, "equal"));
            }
            pos = skip(pos + 1);
            if body.get(pos) != Some(&b'"') {
                return Err(Fail::expected(body, pos, "label value"));
            }
            pos = skip(scan_quoted(body, pos, dialect == Dialect::Text)?);
        }
        match body.get(pos) {
            Some(b',') => pos = skip(pos + 1),
            Some(b'}') => {}
            // The text format may leave the comma out, as Prometheus' parser lets it.
            _ if dialect == Dialect::Text => {}
            _ => return Err(Fail::expected(body, pos, "comma or brace close")),
        }
    }
}

/// How far to look byte by byte. Chosen: about where memchr becomes faster.
const NEAR_BYTES: usize = 24;

/// Where the quoted text that begins at `start` ends, after its closing quote. A backslash takes the next byte along.
pub(super) fn scan_quoted(body: &[u8], start: usize, newlines: bool) -> Result<usize, Fail> {
    let mut pos = start + 1;
    // Fast path: most values are short and plain, and a call to memchr costs more than they do.
    let near = body.get(pos..).unwrap_or_default();
    let near = &near[..near.len().min(NEAR_BYTES)];
    match near.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        Some(len) if near[len] == b'"' => return Ok(pos + len + 1),
        Some(len) => pos += len,
        None => pos += near.len(),
    }
    // Slow path: long values, escapes, line breaks.
    loop {
        let rest = body.get(pos..).unwrap_or_default();
        let Some(len) = memchr::memchr3(b'"', b'\\', b'\n', rest) else {
            return Err(Fail::new(start, "quoted text without end"));
        };
        pos += len;
        match body[pos] {
            b'"' => return Ok(pos + 1),
            b'\\' => pos += 2,
            _ if newlines => pos += 1,
            _ => return Err(Fail::new(start, "quoted text without end on its line")),
        }
    }
}

/// In [`NAME_BYTES`]: may stand in a label's name.
const LABEL_BYTE: u8 = 1;
/// In [`NAME_BYTES`]: may stand in a metric's name.
pub(super) const METRIC_BYTE: u8 = 2;

/// What each byte may be part of.
pub(super) static NAME_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        if c.is_ascii_alphanumeric() || c == b'_' {
            table[byte] = LABEL_BYTE | METRIC_BYTE;
        }
        byte += 1;
    }
    table[b':' as usize] = METRIC_BYTE;
    table
};

#[inline]
fn label_name_end(body: &[u8], start: usize) -> usize {
    let rest = body.get(start..).unwrap_or_default();
    if rest.first().is_some_and(u8::is_ascii_digit) {
        return start;
    }
    start
        + rest.iter().position(|byte| NAME_BYTES[usize::from(*byte)] & LABEL_BYTE == 0).unwrap_or(rest.len())
}

/// `\\` and `\n`, and `\"` where `quotes` says so; any other backslash stays, as in Prometheus.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    // Fast path: nothing to do.
    let Some(first) = memchr::memchr(b'\\', text.as_bytes()) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut chars = text[first..].chars().peekable();
    while let Some(c) = chars.next() {
        let plain = match (c, chars.peek()) {
            ('\\', Some('\\')) => '\\',
            ('\\', Some('n')) => '\n',
            ('\\', Some('"')) if quotes => '"',
            _ => {
                out.push(c);
                continue;
            }
        };
        chars.next();
        out.push(plain);
    }
    Cow::Owned(out)
}
