//! Since when counters have been counting, as OpenMetrics pages say it, and protobuf bodies written as text: lines named `<metric>_created`, in seconds since 1970.
//!
//! In from [`crate::ingest::rows`] and [`crate::ingest::plain`], names and labels as they stand in the page; out which line says it of which. Pure.
//! Semantics of Prometheus 3.14's `created-timestamp-zero-ingestion` and `st-storage`: with either, such a line is no series.

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::metadata::MetricType;
use model::{Labels, LabelsBuilder};
use wire::exposition::{Entry, Format, Parser, SampleEntry};

/// What such lines are good for; without either they are series like any other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// A counter that has begun gets a zero at its start.
    pub zeros: bool,
    /// Starts are stored beside samples.
    pub stored: bool,
    /// Counters that do not say their start get one. Not by rows, which hold what the page says.
    pub synthesized: bool,
}

impl StartOptions {
    /// Whether what pages say is wanted.
    pub(crate) fn is_on(self) -> bool {
        self.zeros || self.stored
    }

    /// Whether lines of a page in `format` are read as starts.
    pub(crate) fn read(self, format: Format) -> bool {
        self.is_on() && format != Format::Text004
    }
}

/// Whether a line of this type counts from a start.
fn counts(metric_type: MetricType) -> bool {
    matches!(metric_type, MetricType::Counter | MetricType::Histogram | MetricType::Summary)
}

/// What a start is of: the labels that a counter's lines and its `_created` line have in common.
fn counter_of(sample: &SampleEntry<'_>, builder: &mut LabelsBuilder) -> Option<(Labels, bool)> {
    let (suffixes, own): (&[&str], &str) = match sample.metric_type {
        MetricType::Counter => (&["_total"], ""),
        MetricType::Histogram => (&["_bucket", "_count", "_sum"], "le"),
        MetricType::Summary => (&["_count", "_sum"], "quantile"),
        _ => return None,
    };
    sample.fill_labels(builder).ok()?;
    let name = builder.get(METRIC_NAME)?;
    let created = name.strip_suffix("_created");
    let base = created.or_else(|| suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)));
    let (base, is_created) = (base.unwrap_or(name).to_owned(), created.is_some());
    builder.set(METRIC_NAME, &base);
    builder.remove(own);
    Some((builder.build(), is_created))
}

/// Whether the line says a start.
pub(crate) fn is_created(raw: &str, metric_type: MetricType) -> bool {
    if !counts(metric_type) || !raw.contains("_created") {
        return false;
    }
    let sample = SampleEntry { raw, value: 0.0, t_ms: None, exemplar: None, metric_type };
    counter_of(&sample, &mut LabelsBuilder::new()).is_some_and(|(_, is_created)| is_created)
}

/// Unix milliseconds; 0 for what is no time.
pub(crate) fn start_ms(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}

/// Which lines of a page say the starts of which.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Lines with the number of the line that says their start.
    pub(crate) with: Vec<(u32, u32)>,
    /// What was said of each of `with` in the last page.
    pub(crate) last: Vec<i64>,
    /// Lines that count from a start that is not said.
    pub(crate) without: Vec<u32>,
    /// Lines that say one.
    pub(crate) n_created: usize,
}

impl Counters {
    pub(crate) fn new<'p>(keys: impl Iterator<Item = (&'p str, MetricType)>) -> Self {
        let mut builder = LabelsBuilder::new();
        let (mut created, mut lines) = (HashMap::new(), Vec::new());
        let mut counters = Self::default();
        for (line, (raw, metric_type)) in (0u32..).zip(keys) {
            let sample = SampleEntry { raw, value: 0.0, t_ms: None, exemplar: None, metric_type };
            match counter_of(&sample, &mut builder) {
                Some((labels, true)) => {
                    counters.n_created += 1;
                    created.insert(labels, line);
                }
                Some((labels, false)) => lines.push((line, labels)),
                None => {}
            }
        }
        for (line, labels) in lines {
            match created.get(&labels) {
                Some(said) => counters.with.push((line, *said)),
                None => counters.without.push(line),
            }
        }
        counters.last = vec![0; counters.with.len()];
        counters
    }
}

/// Starts of a page that is read sample by sample.
#[derive(Debug, Default)]
pub(crate) struct PageStarts {
    by_counter: HashMap<Labels, i64>,
}

impl PageStarts {
    /// Looks through the page; where it is refused is for its reader to say.
    pub(crate) fn read(body: &[u8], format: Format) -> Self {
        let (mut parser, mut builder) = (Parser::new(body, format), LabelsBuilder::new());
        let mut by_counter = HashMap::new();
        while let Ok(Some(entry)) = parser.next_entry() {
            if let Entry::Sample(sample) = entry
                && is_created(sample.raw, sample.metric_type)
                && let Some((labels, _)) = counter_of(&sample, &mut builder)
            {
                by_counter.insert(labels, start_ms(sample.value));
            }
        }
        Self { by_counter }
    }

    /// The start of this sample; 0 when it is not said.
    pub(crate) fn of(&self, sample: &SampleEntry<'_>, builder: &mut LabelsBuilder) -> i64 {
        if self.by_counter.is_empty() || !counts(sample.metric_type) {
            return 0;
        }
        let found = counter_of(sample, builder).and_then(|(labels, _)| self.by_counter.get(&labels));
        found.copied().unwrap_or(0)
    }
}
