//! Classic histograms become native ones with custom buckets (NHCB), where a job asks for it.
//!
//! In: buckets, count and sum of one histogram, from [`super::protobuf`] or, gathered line by line by [`translate_text`], from a page of
//! the text formats; out: [`Native`]s beside the rest of the page. Pure.
//! Semantics of Prometheus 3.14's `convert_classic_histograms_to_nhcb`: only lines that follow each other and the `# TYPE` line of their
//! family make a histogram; one that contradicts itself is left out of a text, and refuses a protobuf body.

use std::collections::HashMap;
use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use model::labels::METRIC_NAME;
use model::metadata::MetricType;
use model::{Exemplar, Histogram, Labels, LabelsBuilder, float};

use super::error::{Fail, ParseError};
use super::native::{EXEMPLARS_MAX, HistogramOptions, Native, Translation, push_key, push_label};
use super::{Entry, Format, Parser, SampleEntry};
use crate::remote_write::HISTOGRAM_BUCKETS_MAX;

/// Why buckets are no histogram. Wording from Prometheus.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum BucketsError {
    #[error("bucket boundary must not be NaN")]
    NanBound,
    #[error("bucket count must be non-negative: le={le}, count={count}")]
    NegativeBucket { le: f64, count: f64 },
    #[error("count must be non-negative: count={0}")]
    NegativeCount(f64),
    #[error("count is not cumulative: {count} beside {other}")]
    NotCumulative { count: f64, other: f64 },
    #[error("count mismatch: count={count} != le=+Inf count={last}")]
    Mismatch { count: f64, last: f64 },
    #[error("more than {HISTOGRAM_BUCKETS_MAX} buckets")]
    TooMany,
}

/// A classic histogram being gathered.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Upper bound and cumulative count, by rising bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<BucketsError>,
}

impl Buckets {
    pub(super) fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    pub(super) fn set_count(&mut self, count: f64) {
        if count < 0.0 {
            self.fail(BucketsError::NegativeCount(count));
        }
        self.count = Some(count);
    }

    /// Of a bound that is there already the first count stays.
    pub(super) fn set_bucket(&mut self, le: f64, count: f64) {
        if le.is_nan() {
            return self.fail(BucketsError::NanBound);
        }
        if count < 0.0 {
            return self.fail(BucketsError::NegativeBucket { le, count });
        }
        if self.buckets.len() >= HISTOGRAM_BUCKETS_MAX {
            return self.fail(BucketsError::TooMany);
        }
        let at = self.buckets.partition_point(|(bound, _)| *bound < le);
        let (before, after) = (at.checked_sub(1).map(|at| self.buckets[at].1), self.buckets.get(at));
        if let Some((bound, other)) = after {
            if *bound == le {
                return;
            }
            if count > *other {
                return self.fail(BucketsError::NotCumulative { count, other: *other });
            }
        }
        if let Some(other) = before.filter(|other| count < *other) {
            return self.fail(BucketsError::NotCumulative { count, other });
        }
        self.buckets.insert(at, (le, count));
    }

    fn fail(&mut self, error: BucketsError) {
        self.error.get_or_insert(error);
    }

    /// The histogram; buckets without observations are left out of it, their bounds stay.
    pub(super) fn finish(mut self) -> Result<Histogram, BucketsError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count)).unwrap_or(0.0);
        if highest.is_none_or(|(le, _)| le != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        if let Some((_, other)) = highest.filter(|(_, other)| count < *other) {
            return Err(BucketsError::NotCumulative { count, other });
        }
        let last = self.buckets.last().map_or(0.0, |(_, count)| *count);
        if count != last {
            return Err(BucketsError::Mismatch { count, last });
        }
        // Below 2^63 the conversion is exact for whole numbers; above it counts were never whole.
        let is_whole = |count: f64| count as i64 as f64 == count;
        let is_integer = is_whole(count) && self.buckets.iter().all(|(_, count)| is_whole(*count));
        let mut below = 0.0;
        let own = self.buckets.iter().map(|(_, count)| count - std::mem::replace(&mut below, *count));
        let positive_buckets: Vec<f64> = own.collect();
        let length = u32::try_from(positive_buckets.len()).expect("as few as HISTOGRAM_BUCKETS_MAX");
        let bounds = self.buckets.iter().map(|(le, _)| *le).filter(|le| *le != f64::INFINITY);
        let mut histogram = Histogram {
            is_integer,
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length }],
            positive_buckets,
            custom_bounds: bounds.collect::<Arc<[f64]>>(),
            ..Histogram::default()
        };
        histogram.compact();
        Ok(histogram)
    }
}

/// Which of a histogram's lines a line is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
    Created,
}

/// A histogram whose lines are being read.
#[derive(Debug)]
struct Gathered {
    /// Without `le` and suffix.
    labels: Labels,
    t_ms: Option<i64>,
    start_ms: i64,
    /// Whether there is more of it than the line that says its start.
    is_begun: bool,
    buckets: Buckets,
    exemplars: Vec<Exemplar>,
}

impl Gathered {
    fn new(labels: Labels) -> Self {
        Self {
            labels,
            t_ms: None,
            start_ms: 0,
            is_begun: false,
            buckets: Buckets::default(),
            exemplars: Vec::new(),
        }
    }
}

struct Gatherer<'o> {
    options: HistogramOptions,
    out: &'o mut Translation,
    /// Of the last `# TYPE` line.
    family: String,
    current: Option<Gathered>,
    builder: LabelsBuilder,
    /// Those of `out`, where starts are wanted.
    by_labels: HashMap<Labels, usize>,
}

/// Takes the classic histograms out of a page of the text formats; the rest of the page becomes [`Translation::text`], to be read as
/// `format`.
///
/// # Errors
/// Where [`Parser`] refuses the page.
pub fn translate_text(
    body: &[u8],
    format: Format,
    options: HistogramOptions,
    out: &mut Translation,
) -> Result<(), ParseError> {
    out.clear();
    let mut gatherer = Gatherer {
        options,
        out,
        family: String::new(),
        current: None,
        builder: LabelsBuilder::new(),
        by_labels: HashMap::new(),
    };
    let mut parser = Parser::new(body, format);
    loop {
        let start = parser.pos();
        let entry = parser.next_entry()?;
        let is_end = entry.is_none();
        let stays = entry.is_none_or(|entry| gatherer.entry(&entry));
        let end = if is_end { body.len() } else { parser.pos() };
        // What is no UTF-8 can only be a remark.
        if let (true, Ok(text)) = (stays, std::str::from_utf8(&body[start..end])) {
            gatherer.out.text.push_str(text);
        }
        gatherer.out.check(start).map_err(|fail| fail.place(body))?;
        if is_end {
            gatherer.flush();
            return Ok(());
        }
    }
}

impl Gatherer<'_> {
    /// Whether the entry stays in the text.
    fn entry(&mut self, entry: &Entry<'_>) -> bool {
        match entry {
            Entry::Sample(sample) => self.sample(sample),
            Entry::Type { name, .. } => {
                self.flush();
                name.as_ref().clone_into(&mut self.family);
                true
            }
            Entry::Help { .. } | Entry::Unit { .. } => {
                self.flush();
                true
            }
            Entry::Comment => false,
        }
    }

    fn sample(&mut self, sample: &SampleEntry<'_>) -> bool {
        let Some(part) = self.part(sample) else {
            self.flush();
            return true;
        };
        let labels = self.builder.build();
        if self.current.as_ref().is_none_or(|current| current.labels != labels) {
            self.flush();
        }
        let start_ms = (sample.value * 1_000.0) as i64;
        if let (Part::Created, Some(idx)) = (part, self.by_labels.get(&labels)) {
            self.out.natives[*idx].start_ms = start_ms;
            return true;
        }
        let current = self.current.get_or_insert_with(|| Gathered::new(labels));
        match part {
            Part::Bucket(le) => current.buckets.set_bucket(le, sample.value),
            Part::Count => current.buckets.set_count(sample.value),
            Part::Sum => current.buckets.set_sum(sample.value),
            // The line stays, and is no end: it may stand anywhere among the others.
            Part::Created => {
                current.start_ms = if self.options.starts { start_ms } else { 0 };
                return true;
            }
        }
        if !std::mem::replace(&mut current.is_begun, true) {
            current.t_ms = sample.t_ms;
        }
        if let Some(found) = &sample.exemplar
            && let Some(t_ms) = found.t_ms
            && current.exemplars.len() < EXEMPLARS_MAX
            && found.fill_labels(&mut self.builder).is_ok()
        {
            current.exemplars.push(Exemplar { labels: self.builder.build(), value: found.value, t_ms });
        }
        self.options.classic_too
    }

    /// Which line of its family's histogram it is; the builder then holds the histogram's labels.
    fn part(&mut self, sample: &SampleEntry<'_>) -> Option<Part> {
        if sample.metric_type != MetricType::Histogram {
            return None;
        }
        // Refused lines are for the reader of the text to refuse.
        sample.fill_labels(&mut self.builder).ok()?;
        let suffix = self.builder.get(METRIC_NAME)?.strip_prefix(self.family.as_str())?;
        let part = match suffix {
            "_count" => Part::Count,
            "_sum" => Part::Sum,
            "_created" => Part::Created,
            "_bucket" => {
                Part::Bucket(float::parse(self.builder.get("le")?).ok().filter(|bound| !bound.is_nan())?)
            }
            _ => return None,
        };
        self.builder.set(METRIC_NAME, &self.family);
        self.builder.remove("le");
        Some(part)
    }

    /// The current histogram is complete. One that contradicts itself is none.
    fn flush(&mut self) {
        let Some(Gathered { labels, t_ms, start_ms, buckets, exemplars, .. }) =
            self.current.take_if(|current| current.is_begun)
        else {
            self.current = None;
            return;
        };
        let Ok(histogram) = buckets.finish() else { return };
        let (mut inside, mut raw) = (String::new(), String::new());
        for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            push_label(&mut inside, name, value);
        }
        push_key(&mut raw, labels.metric_name(), "", &inside);
        if self.options.starts {
            self.by_labels.insert(labels, self.out.natives.len());
        }
        self.out.push_native(Native { raw, t_ms, start_ms, histogram, exemplars });
    }
}

impl From<BucketsError> for Fail {
    fn from(error: BucketsError) -> Self {
        Fail::new(0, error.to_string())
    }
}

#[cfg(test)]
mod tests;
