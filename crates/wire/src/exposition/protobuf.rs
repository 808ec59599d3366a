//! The protobuf exposition format: messages `io.prometheus.client.MetricFamily`, each after its length.
//!
//! In: a whole body; out: [`Translation`], whose text has a line for each float, so that what reads and remembers pages of text by
//! their differences does so for these too, and whose natives are the native histograms. Writing a line costs less than what
//! the comparison with the page before saves.
//! Never trusts a length, and never grows beyond the limits of [`super::native`].
//! Source: `io/prometheus/client/metrics.proto` of Prometheus' client model; which parts count is as in Prometheus 3.14.

use model::histogram::ResetHint;
use model::metadata::MetricType;
use model::{Exemplar, Histogram, LabelsBuilder};
use stdx::varint::put_bytes;

use super::custom::Buckets;
use super::error::{Fail, ParseError};
use super::native::{
    EXEMPLARS_MAX, HistogramOptions, Native, Translation, push_key, push_label, push_meta_name, push_value,
};
use super::typed::{is_overridden, push_type_and_unit};
use super::write_om_float;
use super::writer::push_escaped;
use crate::limits::{LABEL_BYTES_MAX, LABELS_MAX};
use crate::remote_write::proto::{Field, Fields, get_varint, take};
use crate::remote_write::{DecodeError, HISTOGRAM_BUCKETS_MAX, HistogramParts, put_field};

/// Reads a body into `out`; its text is to be read as [`super::Format::Protobuf`].
///
/// # Errors
/// Where Prometheus refuses the body, and beyond the limits of this module's neighbours.
pub fn translate_protobuf(
    body: &[u8],
    options: HistogramOptions,
    out: &mut Translation,
) -> Result<(), ParseError> {
    out.clear();
    let mut reader = Reader { options, out, labels: String::new(), extra: String::new() };
    let mut rest = body;
    while !rest.is_empty() {
        let offset = body.len() - rest.len();
        let family = get_varint(&mut rest).and_then(|len| take(&mut rest, len));
        let family = family.ok_or_else(|| Fail::new(offset, "the body ends within a metric family"));
        let read = family.and_then(|family| reader.family(family));
        read.map_err(|fail| ParseError { line: 0, column: offset, message: fail.message })?;
    }
    out.text.push_str("# EOF\n");
    Ok(())
}

/// The native histograms of a body, by family: delimited messages again, with `labels` in the place of those of the same names, and `missing`
/// where there is none of its name. Families without any are left out.
///
/// # Errors
/// Where the body cannot be read.
pub fn natives_with_labels(
    body: &[u8],
    labels: &[(&str, &str)],
    missing: (&str, &str),
) -> Result<Vec<(String, Vec<u8>)>, ParseError> {
    let (mut all, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let column = body.len() - rest.len();
        let failed = |fail: Fail| ParseError { line: 0, column, message: fail.message };
        let message = get_varint(&mut rest).and_then(|len| take(&mut rest, len));
        let message = message.ok_or_else(|| failed(Fail::new(0, "the body ends within a metric family")))?;
        if let Some((name, family)) = natives_of_family(message, labels, missing).map_err(failed)? {
            let mut delimited = Vec::with_capacity(family.len() + 8);
            put_bytes(&mut delimited, &family);
            all.push((name, delimited));
        }
    }
    Ok(all)
}

fn natives_of_family(
    message: &[u8],
    labels: &[(&str, &str)],
    missing: (&str, &str),
) -> Result<Option<(String, Vec<u8>)>, Fail> {
    let (mut out, mut name, mut has_natives) = (Vec::new(), String::new(), false);
    let mut fields = Fields::new(message, "MetricFamily");
    loop {
        let before = fields.rest;
        let Some(field) = fields.next()? else { break };
        if field.number == 4 {
            if let Some(metric) = native_metric(field.bytes()?, labels, missing)? {
                put_field(&mut out, 4, &metric);
                has_natives = true;
            }
            continue;
        }
        if field.number == 1 {
            text(&field, "metric name")?.clone_into(&mut name);
        }
        out.extend_from_slice(&before[..before.len() - fields.rest.len()]);
    }
    Ok(has_natives.then_some((name, out)))
}

/// `None` for a metric without native buckets.
fn native_metric(
    message: &[u8],
    labels: &[(&str, &str)],
    missing: (&str, &str),
) -> Result<Option<Vec<u8>>, Fail> {
    let (mut out, mut is_native) = (Vec::new(), false);
    let mut is_missing = labels.iter().all(|(name, _)| *name != missing.0);
    let mut fields = Fields::new(message, "Metric");
    loop {
        let before = fields.rest;
        let Some(field) = fields.next()? else { break };
        match field.number {
            1 => {
                let (name, _) = label(field.bytes()?)?;
                is_missing &= name != missing.0;
                if labels.iter().any(|(given, _)| *given == name) {
                    continue;
                }
            }
            7 => is_native |= Both::read(field.bytes()?)?.is_native,
            _ => {}
        }
        out.extend_from_slice(&before[..before.len() - fields.rest.len()]);
    }
    for (name, value) in labels.iter().chain(is_missing.then_some(&missing)) {
        let mut pair = Vec::new();
        put_field(&mut pair, 1, name.as_bytes());
        put_field(&mut pair, 2, value.as_bytes());
        put_field(&mut out, 1, &pair);
    }
    Ok(is_native.then_some(out))
}

impl From<DecodeError> for Fail {
    fn from(error: DecodeError) -> Self {
        Self::new(0, error.to_string())
    }
}

#[derive(Debug, Clone, Copy)]
struct Family<'a> {
    name: &'a str,
    metric_type: MetricType,
    unit: &'a str,
    /// The number of the field of `Metric` with its value.
    value: u64,
}

struct Reader<'o> {
    options: HistogramOptions,
    out: &'o mut Translation,
    /// Of the metric being read, as text.
    labels: String,
    /// The same with `le` or `quantile`.
    extra: String,
}

/// What all lines of a metric end with, and when it began.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    /// 0 where it is not said: the format cannot tell.
    t_ms: i64,
    start_ms: i64,
}

/// A bucket of a classic histogram.
#[derive(Debug, Clone, Copy, Default)]
struct ClassicBucket<'a> {
    le: f64,
    count: f64,
    exemplar: Option<&'a [u8]>,
}

/// A histogram as it stands in the message.
#[derive(Debug, Default)]
struct Both<'a> {
    parts: HistogramParts,
    count: f64,
    sum: f64,
    buckets: Vec<ClassicBucket<'a>>,
    exemplars: Vec<&'a [u8]>,
    start_ms: i64,
    is_native: bool,
}

fn text<'a>(field: &Field<'a>, what: &str) -> Result<&'a str, Fail> {
    let text = std::str::from_utf8(field.bytes()?);
    text.map_err(|_| Fail::new(0, format!("invalid {what}: it is not UTF-8")))
}

impl Reader<'_> {
    fn family(&mut self, message: &[u8]) -> Result<(), Fail> {
        let (mut name, mut help, mut unit, mut kind, mut n_metrics) = ("", "", "", 0, 0usize);
        let mut fields = Fields::new(message, "MetricFamily");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => name = text(&field, "metric name")?,
                2 => help = text(&field, "help")?,
                3 => kind = field.varint()?,
                4 => n_metrics += 1,
                5 => unit = text(&field, "unit")?,
                _ => {}
            }
        }
        if n_metrics == 0 {
            return Ok(());
        }
        if name.is_empty() || name.len() > LABEL_BYTES_MAX {
            return Err(Fail::new(0, "invalid metric name: it is empty or too long"));
        }
        let (metric_type, value) = match kind {
            0 => (MetricType::Counter, 3),
            1 => (MetricType::Gauge, 2),
            2 => (MetricType::Summary, 4),
            3 => (MetricType::Unknown, 5),
            4 => (MetricType::Histogram, 7),
            5 => (MetricType::GaugeHistogram, 7),
            kind => return Err(Fail::new(0, format!("unknown metric type for metric {name:?}: {kind}"))),
        };
        let type_word = metric_type.to_string();
        for (keyword, said) in [("HELP", help), ("UNIT", unit), ("TYPE", type_word.as_str())] {
            if !said.is_empty() {
                self.metadata(keyword, name, said);
            }
        }
        let family = Family { name, metric_type, unit, value };
        let mut fields = Fields::new(message, "MetricFamily");
        while let Some(field) = fields.next()? {
            if field.number == 4 {
                self.metric(&family, field.bytes()?)?;
            }
        }
        Ok(())
    }

    fn metadata(&mut self, keyword: &str, name: &str, said: &str) {
        let text = &mut self.out.text;
        text.push_str("# ");
        text.push_str(keyword);
        text.push(' ');
        push_meta_name(text, name);
        text.push(' ');
        push_escaped(text, said, true);
        text.push('\n');
    }

    fn metric(&mut self, family: &Family<'_>, message: &[u8]) -> Result<(), Fail> {
        self.labels.clear();
        let (mut times, mut value, mut n_labels) = (Times::default(), &[][..], 0usize);
        let mut fields = Fields::new(message, "Metric");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    n_labels += 1;
                    let (name, value) = label(field.bytes()?)?;
                    let is_typed = self.options.type_and_unit;
                    if !(is_typed && is_overridden(name, family.metric_type, family.unit)) {
                        push_label(&mut self.labels, name, value);
                    }
                }
                6 => times.t_ms = field.int64()?,
                number if number == family.value => value = field.bytes()?,
                _ => {}
            }
        }
        if n_labels > LABELS_MAX {
            return Err(Fail::new(0, format!("series has more than {LABELS_MAX} labels")));
        }
        if self.options.type_and_unit {
            push_type_and_unit(&mut self.labels, family.metric_type, family.unit);
        }
        match family.metric_type {
            MetricType::Summary => self.summary(family, value, times),
            MetricType::Histogram | MetricType::GaugeHistogram => self.histogram(family, value, times),
            _ => self.single(family, value, times),
        }
    }

    /// A counter, a gauge, or something without a type.
    fn single(&mut self, family: &Family<'_>, message: &[u8], mut times: Times) -> Result<(), Fail> {
        let (mut value, mut exemplar) = (0.0, None);
        let is_counter = family.metric_type == MetricType::Counter;
        let mut fields = Fields::new(message, "Counter, Gauge or Untyped");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => value = field.double()?,
                2 if is_counter => exemplar = Some(field.bytes()?),
                3 if is_counter => times.start_ms = timestamp(field.bytes()?)?,
                _ => {}
            }
        }
        self.line(family.name, "", None, value, times, exemplar)?;
        self.created(family.name.strip_suffix("_total").unwrap_or(family.name), times)
    }

    fn summary(&mut self, family: &Family<'_>, message: &[u8], mut times: Times) -> Result<(), Fail> {
        let (mut count, mut sum, mut quantiles) = (0, 0.0, Vec::new());
        let mut fields = Fields::new(message, "Summary");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => count = field.varint()?,
                2 => sum = field.double()?,
                3 if quantiles.len() >= HISTOGRAM_BUCKETS_MAX => {
                    return Err(Fail::new(0, format!("more than {HISTOGRAM_BUCKETS_MAX} quantiles")));
                }
                3 => quantiles.push(pair(field.bytes()?)?),
                4 => times.start_ms = timestamp(field.bytes()?)?,
                _ => {}
            }
        }
        self.line(family.name, "_count", None, count as f64, times, None)?;
        self.line(family.name, "_sum", None, sum, times, None)?;
        for (quantile, value) in quantiles {
            self.line(family.name, "", Some(("quantile", quantile)), value, times, None)?;
        }
        self.created(family.name, times)
    }

    fn histogram(&mut self, family: &Family<'_>, message: &[u8], mut times: Times) -> Result<(), Fail> {
        let mut both = Both::read(message)?;
        times.start_ms = both.start_ms;
        let is_gauge = family.metric_type == MetricType::GaugeHistogram;
        let is_native = self.options.natives && both.is_native;
        let is_custom = !is_native && self.options.classic_to_custom;
        if is_native || is_custom {
            let read = if is_native { both.native() } else { both.custom() };
            let wrong = |fail: Fail| Fail::new(0, format!("histogram {:?}: {}", family.name, fail.message));
            let mut histogram = read.map_err(wrong)?;
            if is_gauge {
                histogram.reset_hint = ResetHint::Gauge;
            }
            let mut raw = String::new();
            push_key(&mut raw, family.name, "", &self.labels);
            let t_ms = (times.t_ms != 0).then_some(times.t_ms);
            let exemplars = both.timed_exemplars()?;
            self.out.push_native(Native { raw, t_ms, start_ms: times.start_ms, histogram, exemplars });
            self.out.check(0)?;
        }
        let is_classic = match (is_native, is_custom) {
            (true, _) => self.options.classic_too && !both.buckets.is_empty(),
            (_, true) => self.options.classic_too,
            _ => true,
        };
        if is_classic { self.classic(family, &both, times) } else { Ok(()) }
    }

    fn classic(&mut self, family: &Family<'_>, both: &Both<'_>, times: Times) -> Result<(), Fail> {
        self.line(family.name, "_count", None, both.count, times, None)?;
        self.line(family.name, "_sum", None, both.sum, times, None)?;
        let last = ClassicBucket { le: f64::INFINITY, count: both.count, exemplar: None };
        for bucket in both.buckets.iter().chain([&last]) {
            let le = Some(("le", bucket.le));
            self.line(family.name, "_bucket", le, bucket.count, times, bucket.exemplar)?;
            if bucket.le == f64::INFINITY {
                break;
            }
        }
        if family.metric_type == MetricType::Histogram {
            self.created(family.name, times)?;
        }
        Ok(())
    }

    /// One sample.
    fn line(
        &mut self,
        name: &str,
        suffix: &str,
        extra: Option<(&str, f64)>,
        value: f64,
        times: Times,
        exemplar: Option<&[u8]>,
    ) -> Result<(), Fail> {
        let mut labels = &self.labels;
        if let Some((name, bound)) = extra {
            self.extra.clone_from(labels);
            self.extra.push_str(if labels.is_empty() { "" } else { "," });
            self.extra.push_str(name);
            self.extra.push_str("=\"");
            write_om_float(&mut self.extra, bound);
            self.extra.push('"');
            labels = &self.extra;
        }
        let out = &mut self.out.text;
        push_key(out, name, suffix, labels);
        out.push(' ');
        push_value(out, value);
        if times.t_ms != 0 {
            out.push(' ');
            push_value(out, times.t_ms as f64);
        }
        if let Some(exemplar) = exemplar {
            let said = Said::read(exemplar)?;
            out.push_str(" # {");
            let mut inside = String::new();
            said.labels.iter().for_each(|(name, value)| push_label(&mut inside, name, value));
            out.push_str(&inside);
            out.push_str("} ");
            push_value(out, said.value);
            if let Some(t_ms) = said.t_ms {
                out.push(' ');
                push_value(out, t_ms as f64);
            }
        }
        out.push('\n');
        self.out.check(0)
    }

    /// The line that says a start, in seconds, as OpenMetrics has it.
    fn created(&mut self, name: &str, times: Times) -> Result<(), Fail> {
        if !self.options.starts || times.start_ms == 0 {
            return Ok(());
        }
        // Half a millisecond more, so that cutting the product with 1,000 gives the whole one again.
        let seconds = (times.start_ms as f64 + 0.5) / 1_000.0;
        self.line(name, "_created", None, seconds, Times { start_ms: 0, ..times }, None)
    }
}

impl<'a> Both<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fail> {
        let mut both = Self::default();
        let (mut count, mut count_float, mut zero_float) = (0, 0.0, 0.0);
        let mut fields = Fields::new(message, "Histogram");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => count = field.varint()?,
                2 => both.sum = field.double()?,
                3 if both.buckets.len() >= HISTOGRAM_BUCKETS_MAX => {
                    return Err(Fail::new(0, format!("more than {HISTOGRAM_BUCKETS_MAX} buckets")));
                }
                3 => both.buckets.push(ClassicBucket::read(field.bytes()?)?),
                4 => count_float = field.double()?,
                8 => zero_float = field.double()?,
                15 => both.start_ms = timestamp(field.bytes()?)?,
                16 if both.exemplars.len() < EXEMPLARS_MAX => both.exemplars.push(field.bytes()?),
                _ => both.parts.take_exposed(&field)?,
            }
        }
        both.count = if count_float == 0.0 { count as f64 } else { count_float };
        both.is_native = both.parts.is_native();
        both.parts.set_counts(count, both.sum, (count_float, zero_float));
        Ok(both)
    }

    fn native(&mut self) -> Result<Histogram, Fail> {
        let parts = std::mem::take(&mut self.parts);
        let mut histogram = parts.finish().map_err(|error| Fail::new(0, error.to_string()))?;
        histogram.compact();
        Ok(histogram)
    }

    fn custom(&self) -> Result<Histogram, Fail> {
        let mut buckets = Buckets::default();
        buckets.set_count(self.count);
        buckets.set_sum(self.sum);
        self.buckets.iter().for_each(|bucket| buckets.set_bucket(bucket.le, bucket.count));
        Ok(buckets.finish()?)
    }

    /// Of a native histogram: its own, or else its buckets'. Without a time they could not be told from those before.
    fn timed_exemplars(&self) -> Result<Vec<Exemplar>, Fail> {
        let of_buckets = || self.buckets.iter().filter_map(|bucket| bucket.exemplar).collect();
        let all: Vec<&[u8]> = if self.exemplars.is_empty() { of_buckets() } else { self.exemplars.clone() };
        let mut exemplars = Vec::new();
        let mut builder = LabelsBuilder::new();
        for message in all.into_iter().take(EXEMPLARS_MAX) {
            let said = Said::read(message)?;
            let Some(t_ms) = said.t_ms else { continue };
            builder.retain(|_, _| false);
            for (name, value) in said.labels {
                builder.set(name, value);
            }
            exemplars.push(Exemplar { labels: builder.build(), value: said.value, t_ms });
        }
        exemplars.sort_by_key(|exemplar| exemplar.t_ms);
        Ok(exemplars)
    }
}

impl<'a> ClassicBucket<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fail> {
        let (mut bucket, mut count, mut count_float) = (Self::default(), 0, 0.0);
        let mut fields = Fields::new(message, "Bucket");
        while let Some(field) = fields.next()? {
            match field.number {
                1 => count = field.varint()?,
                2 => bucket.le = field.double()?,
                3 => bucket.exemplar = Some(field.bytes()?),
                4 => count_float = field.double()?,
                _ => {}
            }
        }
        bucket.count = if count_float == 0.0 { count as f64 } else { count_float };
        Ok(bucket)
    }
}

/// An exemplar as it stands in the message.
struct Said<'a> {
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
    t_ms: Option<i64>,
}

impl<'a> Said<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Fail> {
        let mut said = Self { labels: Vec::new(), value: 0.0, t_ms: None };
        let mut fields = Fields::new(message, "Exemplar");
        while let Some(field) = fields.next()? {
            match field.number {
                1 if said.labels.len() < LABELS_MAX => said.labels.push(label(field.bytes()?)?),
                2 => said.value = field.double()?,
                3 => said.t_ms = Some(timestamp(field.bytes()?)?),
                _ => {}
            }
        }
        Ok(said)
    }
}

fn label(message: &[u8]) -> Result<(&str, &str), Fail> {
    let (mut name, mut value) = ("", "");
    let mut fields = Fields::new(message, "LabelPair");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = text(&field, "label name")?,
            2 => value = text(&field, "label value")?,
            _ => {}
        }
    }
    if name.is_empty() || name.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
        return Err(Fail::new(0, "invalid label: its name is empty, or name or value are too long"));
    }
    Ok((name, value))
}

/// A quantile with its value.
fn pair(message: &[u8]) -> Result<(f64, f64), Fail> {
    let mut pair = (0.0, 0.0);
    let mut fields = Fields::new(message, "Quantile");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => pair.0 = field.double()?,
            2 => pair.1 = field.double()?,
            _ => {}
        }
    }
    Ok(pair)
}

/// `google.protobuf.Timestamp` in Unix milliseconds.
fn timestamp(message: &[u8]) -> Result<i64, Fail> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    let mut fields = Fields::new(message, "Timestamp");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => seconds = field.int64()?,
            2 => nanos = field.int64()?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}

#[cfg(test)]
mod tests;
