//! The scanner of pages: one pass, forward only, each byte looked at once.

use std::borrow::Cow;
use std::ops::Range;

use model::float;
use model::metadata::MetricType;

use super::error::{Fail, ParseError, excerpt};
use super::labels::{Dialect, METRIC_BYTE, NAME_BYTES, SampleEntry, scan_labels, scan_quoted, unescape};
use super::{Entry, Exemplar, Format};

/// Walks a page, entry by entry.
#[derive(Debug)]
pub struct Parser<'a> {
    body: &'a [u8],
    /// The same bytes, when all of them are UTF-8; otherwise each piece is checked by itself.
    text: Option<&'a str>,
    pos: usize,
    format: Format,
    /// Where the last name stands: the next one mostly begins with it.
    last_name: Range<usize>,
    /// Where the name and labels of the last sample stand.
    key: Range<usize>,
    /// Of the last `# TYPE` line, whichever family it names, as Prometheus keeps it.
    metric_type: MetricType,
}

/// What follows a sample's name and labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail<'a> {
    pub(super) value: f64,
    pub(super) t_ms: Option<i64>,
    pub(super) exemplar: Option<Exemplar<'a>>,
    /// Of its line end; the body's length when the body ends first.
    pub(super) end: usize,
}

impl<'a> Parser<'a> {
    /// A parser at the start of `body`.
    #[must_use]
    pub fn new(body: &'a [u8], format: Format) -> Self {
        Self { body, text: std::str::from_utf8(body).ok(), ..Self::lazy(body, format) }
    }

    /// As [`Parser::new`], for readers of few places: pieces of text are checked one by one.
    pub(super) fn lazy(body: &'a [u8], format: Format) -> Self {
        Self {
            body,
            text: None,
            pos: 0,
            format,
            last_name: 0..0,
            key: 0..0,
            metric_type: MetricType::Unknown,
        }
    }

    /// Goes to `pos`, where a line begins.
    pub(super) fn seek(&mut self, pos: usize, metric_type: MetricType) {
        self.pos = pos;
        self.metric_type = metric_type;
    }

    /// Where the next entry begins, the blanks and empty lines before it included.
    pub(super) fn pos(&self) -> usize {
        self.pos.min(self.body.len())
    }

    /// Where the name and labels of the last sample stand.
    pub(super) fn key(&self) -> Range<usize> {
        self.key.clone()
    }

    /// The next entry, or `None` at the end. After an error the page is over.
    ///
    /// # Errors
    /// Where Prometheus refuses the page.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        self.try_next().map_err(|fail| {
            self.pos = self.body.len();
            fail.place(self.body)
        })
    }

    /// As [`Parser::next_entry`], with the bare refusal.
    pub(super) fn try_next(&mut self) -> Result<Option<Entry<'a>>, Fail> {
        match self.format {
            Format::Text004 => self.next_text(),
            Format::OpenMetrics100 | Format::Protobuf => self.next_openmetrics(),
        }
    }

    /// Reads on behind a sample's name and labels, and behind the blank that may follow them.
    #[inline]
    pub(super) fn tail(&self, pos: usize) -> Result<Tail<'a>, Fail> {
        match self.format {
            Format::Text004 => self.text_tail(pos),
            Format::OpenMetrics100 | Format::Protobuf => self.openmetrics_tail(pos),
        }
    }

    fn byte(&self, pos: usize) -> Option<u8> {
        self.body.get(pos).copied()
    }

    /// Where the metric name that begins at `start` ends; `start` itself when none does.
    #[inline]
    fn name_end(&mut self, start: usize) -> usize {
        let rest = self.body.get(start..).unwrap_or_default();
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return start;
        }
        // Fast path: HELP, TYPE and the samples of a family share its name.
        let last = &self.body[self.last_name.clone()];
        let n_same = if rest.starts_with(last) { last.len() } else { 0 };
        let rest = &rest[n_same..];
        let is_foreign = |byte: &u8| NAME_BYTES[usize::from(*byte)] & METRIC_BYTE == 0;
        let end = start + n_same + rest.iter().position(is_foreign).unwrap_or(rest.len());
        self.last_name = start..end;
        end
    }

    /// A piece of the page as text.
    fn slice(&self, start: usize, end: usize, what: &str) -> Result<&'a str, Fail> {
        if let Some(text) = self.text.and_then(|text| text.get(start..end)) {
            return Ok(text);
        }
        let bytes = &self.body[start..end];
        std::str::from_utf8(bytes)
            .map_err(|_| Fail::new(start, format!("invalid UTF-8 {what}: {}", excerpt(bytes))))
    }

    fn next_text(&mut self) -> Result<Option<Entry<'a>>, Fail> {
        loop {
            self.pos = skip_blanks(self.body, self.pos);
            match self.byte(self.pos) {
                None => return Ok(None),
                Some(b'\n') => self.pos += 1,
                Some(b'#') => return self.text_comment().map(Some),
                Some(_) => return self.text_sample().map(|sample| Some(Entry::Sample(sample))),
            }
        }
    }

    /// A line with `#` first: metadata when a keyword and a blank follow, otherwise a remark.
    fn text_comment(&mut self) -> Result<Entry<'a>, Fail> {
        let word = skip_blanks(self.body, self.pos + 1);
        let keyword = self.body.get(word..word + 4).unwrap_or_default();
        let is_meta = word > self.pos + 1
            && (keyword == b"HELP" || keyword == b"TYPE")
            && matches!(self.byte(word + 4), Some(b' ' | b'\t'));
        if !is_meta {
            self.pos = memchr_from(b'\n', self.body, self.pos) + 1;
            return Ok(Entry::Comment);
        }
        let start = skip_blanks(self.body, word + 4);
        let (name, name_end) = self.meta_name(start, keyword)?;
        let line_end = memchr_from(b'\n', self.body, name_end);
        // The name ends at its first foreign byte, which is not part of the text.
        let text_start = (name_end + 1).min(line_end);
        self.pos = line_end + 1;
        if keyword == b"HELP" {
            let text = self.slice(text_start, line_end, "help text")?;
            return Ok(Entry::Help { name, text: unescape(text, false) });
        }
        let metric_type = match &self.body[text_start..line_end] {
            b"counter" => MetricType::Counter,
            b"gauge" => MetricType::Gauge,
            b"histogram" => MetricType::Histogram,
            b"summary" => MetricType::Summary,
            b"untyped" => MetricType::Unknown,
            other => return Err(Fail::new(text_start, format!("invalid metric type {}", excerpt(other)))),
        };
        self.metric_type = metric_type;
        Ok(Entry::Type { name, metric_type })
    }

    /// The family of a metadata line, and where it ends.
    fn meta_name(&mut self, start: usize, keyword: &[u8]) -> Result<(Cow<'a, str>, usize), Fail> {
        let what = || format!("metric name after {}", String::from_utf8_lossy(keyword));
        if self.byte(start) == Some(b'"') {
            let end = scan_quoted(self.body, start, true)?;
            return Ok((unescape(self.slice(start + 1, end - 1, "metric name")?, true), end));
        }
        let end = self.name_end(start);
        if end == start {
            return Err(Fail::expected(self.body, start, &what()));
        }
        Ok((Cow::Borrowed(self.slice(start, end, "metric name")?), end))
    }

    fn text_sample(&mut self) -> Result<SampleEntry<'a>, Fail> {
        let start = self.pos;
        let key_end = self.key_end(start, Dialect::Text)?;
        let raw = self.slice(start, key_end, "label value")?;
        let Tail { value, t_ms, exemplar, end } = self.text_tail(key_end)?;
        self.key = start..key_end;
        self.pos = end + 1;
        Ok(SampleEntry { raw, value, t_ms, exemplar, metric_type: self.metric_type })
    }

    #[inline]
    fn text_tail(&self, key_end: usize) -> Result<Tail<'a>, Fail> {
        let value_start = skip_blanks(self.body, key_end);
        let (value, pos) = self.value(value_start, "value after metric", Dialect::Text)?;
        let pos = skip_blanks(self.body, pos);
        let (t_ms, pos) = match self.byte(pos) {
            Some(b'0'..=b'9') => {
                let (t_ms, pos) = self.integer_ms(pos)?;
                (Some(t_ms), skip_blanks(self.body, pos))
            }
            _ => (None, pos),
        };
        match self.byte(pos) {
            None | Some(b'\n') => Ok(Tail { value, t_ms, exemplar: None, end: pos }),
            Some(_) if t_ms.is_some() => Err(Fail::expected(self.body, pos, "next entry after timestamp")),
            Some(_) => Err(Fail::expected(self.body, pos, "timestamp or new record")),
        }
    }

    /// Where the series' name and labels end.
    fn key_end(&mut self, start: usize, dialect: Dialect) -> Result<usize, Fail> {
        let name_end = self.name_end(start);
        let has_name = name_end > start;
        let brace = if dialect == Dialect::Text { skip_blanks(self.body, name_end) } else { name_end };
        if self.byte(brace) == Some(b'{') {
            return scan_labels(self.body, brace + 1, dialect, has_name);
        }
        if !has_name {
            return Err(Fail::expected(self.body, start, "a valid start token"));
        }
        Ok(name_end)
    }

    /// A number up to the next blank or line end.
    #[inline]
    fn value(&self, start: usize, what: &str, dialect: Dialect) -> Result<(f64, usize), Fail> {
        // Fast path: a common decimal, read while its end is looked for.
        let rest = self.body.get(start..).unwrap_or_default();
        if let Some((value, len)) = float::parse_decimal_prefix(rest)
            && rest.get(len).is_none_or(|byte| is_value_end(*byte, dialect))
        {
            return Ok((value, start + len));
        }
        // Slow path: everything else, refusals included.
        self.any_value(start, what, dialect)
    }

    #[cold]
    fn any_value(&self, start: usize, what: &str, dialect: Dialect) -> Result<(f64, usize), Fail> {
        let len =
            self.body[start.min(self.body.len())..].iter().position(|byte| is_value_end(*byte, dialect));
        let end = len.map_or(self.body.len(), |len| start + len);
        if end <= start {
            return Err(Fail::expected(self.body, start, what));
        }
        let text = self.slice(start, end, "number")?;
        Ok((parse_number(text).map_err(|reason| number_fail(start, text, reason))?, end))
    }

    fn integer_ms(&self, start: usize) -> Result<(i64, usize), Fail> {
        let n_digits = self.body[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = start + n_digits;
        let text = self.slice(start, end, "timestamp")?;
        let t_ms = text.parse().map_err(|_| number_fail(start, text, "timestamp out of range"))?;
        Ok((t_ms, end))
    }

    fn next_openmetrics(&mut self) -> Result<Option<Entry<'a>>, Fail> {
        match self.byte(self.pos) {
            None => Err(Fail::new(self.pos, "data does not end with # EOF")),
            Some(b'#') => self.openmetrics_meta(),
            Some(_) => self.openmetrics_sample().map(|sample| Some(Entry::Sample(sample))),
        }
    }

    fn openmetrics_meta(&mut self) -> Result<Option<Entry<'a>>, Fail> {
        let rest = &self.body[self.pos..];
        if let Some(after) = rest.strip_prefix(b"# EOF") {
            if !after.is_empty() && after != b"\n" {
                return Err(Fail::new(self.pos + 5, "unexpected data after # EOF"));
            }
            // Stays here, so that asking again gives the same answer.
            return Ok(None);
        }
        let keyword = rest.get(2..6).unwrap_or_default();
        let is_known = matches!(keyword, b"HELP" | b"TYPE" | b"UNIT");
        if !rest.starts_with(b"# ") || !is_known || rest.get(6) != Some(&b' ') {
            return Err(Fail::expected(self.body, self.pos, "a valid start token"));
        }
        let (name, name_end) = self.meta_name(self.pos + 7, keyword)?;
        let line_end = memchr_from(b'\n', self.body, name_end);
        if self.byte(name_end) != Some(b' ') || line_end == self.body.len() {
            let what = format!("text in {}", String::from_utf8_lossy(keyword));
            return Err(Fail::expected(self.body, name_end, &what));
        }
        let text = self.slice(name_end + 1, line_end, "help text")?;
        self.pos = line_end + 1;
        match keyword {
            b"HELP" => Ok(Some(Entry::Help { name, text: unescape(text, true) })),
            b"UNIT" => {
                let fits = text.is_empty()
                    || self.format == Format::Protobuf
                    || name.strip_suffix(text).is_some_and(|base| base.ends_with('_'));
                if !fits {
                    let (unit, name) = (model::labels::quoted(text), model::labels::quoted(&name));
                    return Err(Fail::new(
                        name_end + 1,
                        format!("unit {unit} not a suffix of metric {name}"),
                    ));
                }
                Ok(Some(Entry::Unit { name, unit: text }))
            }
            _ => {
                let metric_type = MetricType::from_name(text).ok_or_else(|| {
                    Fail::new(name_end + 1, format!("invalid metric type {}", excerpt(text.as_bytes())))
                })?;
                self.metric_type = metric_type;
                Ok(Some(Entry::Type { name, metric_type }))
            }
        }
    }

    fn openmetrics_sample(&mut self) -> Result<SampleEntry<'a>, Fail> {
        let start = self.pos;
        let key_end = self.key_end(start, Dialect::OpenMetrics)?;
        let raw = self.slice(start, key_end, "label value")?;
        if self.byte(key_end) != Some(b' ') {
            return Err(Fail::expected(self.body, key_end, "value after metric"));
        }
        let Tail { value, t_ms, exemplar, end } = self.openmetrics_tail(key_end + 1)?;
        self.key = start..key_end;
        self.pos = end + 1;
        Ok(SampleEntry { raw, value, t_ms, exemplar, metric_type: self.metric_type })
    }

    #[inline]
    fn openmetrics_tail(&self, value_start: usize) -> Result<Tail<'a>, Fail> {
        let (value, mut pos) = self.value(value_start, "value after metric", Dialect::OpenMetrics)?;
        let mut t_ms = None;
        if self.byte(pos) == Some(b' ') && self.byte(pos + 1) != Some(b'#') {
            let at = pos + 1;
            let (seconds, end) = self.spaced_value(pos, "timestamp")?;
            t_ms = Some(
                self.to_ms(seconds).ok_or_else(|| Fail::new(at, format!("invalid timestamp {seconds:e}")))?,
            );
            pos = end;
        }
        let mut exemplar = None;
        if self.body[pos..].starts_with(b" # {") {
            let (found, end) = self.exemplar(pos + 4)?;
            exemplar = Some(found);
            pos = end;
        }
        match self.byte(pos) {
            Some(b'\n') => Ok(Tail { value, t_ms, exemplar, end: pos }),
            None => Err(Fail::new(pos, "data does not end with # EOF")),
            Some(_) => Err(Fail::expected(self.body, pos, "next entry after sample")),
        }
    }

    /// What follows ` # {`.
    fn exemplar(&self, start: usize) -> Result<(Exemplar<'a>, usize), Fail> {
        let labels_end = scan_labels(self.body, start, Dialect::Exemplar, true)?;
        let labels = self.slice(start, labels_end - 1, "label value")?;
        let (value, mut pos) = self.spaced_value(labels_end, "value after exemplar labels")?;
        let mut t_ms = None;
        if self.byte(pos) == Some(b' ') {
            let (seconds, end) = self.spaced_value(pos, "exemplar timestamp")?;
            let ms = self
                .to_ms(seconds)
                .ok_or_else(|| Fail::new(pos + 1, format!("invalid exemplar timestamp {seconds:e}")));
            t_ms = Some(ms?);
            pos = end;
        }
        Ok((Exemplar { labels, value, t_ms }, pos))
    }

    /// Milliseconds, cut towards zero as Prometheus cuts them; `None` when they are no number or do not fit.
    fn to_ms(&self, time: f64) -> Option<i64> {
        let ms = if self.format == Format::Protobuf { time } else { time * 1000.0 };
        // Both bounds are exact as floats: -2^63 and 2^63.
        (ms >= i64::MIN as f64 && ms < -(i64::MIN as f64)).then_some(ms as i64)
    }

    /// One space and a number.
    fn spaced_value(&self, pos: usize, what: &str) -> Result<(f64, usize), Fail> {
        if self.byte(pos) != Some(b' ') {
            return Err(Fail::expected(self.body, pos, what));
        }
        self.value(pos + 1, what, Dialect::OpenMetrics)
    }
}

#[inline]
fn is_value_end(byte: u8, dialect: Dialect) -> bool {
    byte == b' ' || byte == b'\n' || (dialect == Dialect::Text && (byte == b'\t' || byte == b'{'))
}

/// A number of either format: decimal, infinity or NaN; Go's newer spellings are refused.
fn parse_number(text: &str) -> Result<f64, &'static str> {
    match float::parse(text) {
        Ok(value) if !text.bytes().any(|byte| matches!(byte, b'p' | b'P' | b'_')) => Ok(value),
        Err(float::ParseFloatError::Range) if !text.contains(['p', 'P', '_']) => Err("value out of range"),
        Err(_) if !text.contains(['p', 'P', '_']) => Err("invalid syntax"),
        _ => Err("unsupported character in float"),
    }
}

#[cold]
fn number_fail(offset: usize, text: &str, reason: &str) -> Fail {
    Fail::new(offset, format!("{reason} while parsing: {}", excerpt(text.as_bytes())))
}

fn memchr_from(byte: u8, body: &[u8], pos: usize) -> usize {
    let rest = body.get(pos..).unwrap_or_default();
    memchr::memchr(byte, rest).map_or(body.len(), |len| pos + len)
}

#[inline]
fn skip_blanks(body: &[u8], mut pos: usize) -> usize {
    while let Some(b' ' | b'\t') = body.get(pos) {
        pos += 1;
    }
    pos
}
