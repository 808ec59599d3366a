//! A page becomes samples: the one sync call between the socket and the store.
//!
//! In from [`crate::driver`], a whole decompressed body; out to an [`Appender`] that the caller commits.
//! Either the whole page goes in, or nothing of it: after an error the caller drops the appender and calls [`fail`]
//! with a fresh one. Only samples out of order, doubled or out of bounds are left out one by one, and counted.
//! Semantics of Prometheus 3.14's scrape loop.

use model::labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use model::relabel::{self, RelabelConfig};
use model::{Labels, LabelsBuilder, STALE_NAN};
use storage::{AppendError, Appender, SeriesRef};
use wire::exposition::{Entry, Format, ParseError, Parser, SampleEntry};

use crate::cache::{EntryIdx, ScrapeCache};
use crate::config::{ScrapeConfig, ScrapeLimits, ValidationScheme};

/// How much of a metric's name stands in an error, in characters. From Prometheus.
const SHOWN_CHARS_MAX: usize = 50;

/// What a page is read with.
#[derive(Debug, Clone, Copy)]
pub struct IngestOptions<'a> {
    /// The target's, without `__`.
    pub target_labels: &'a Labels,
    /// Whether the page's labels win over the target's.
    pub honor_labels: bool,
    /// Whether the page's timestamps are kept.
    pub honor_timestamps: bool,
    /// Whether series with timestamps of their own end with a staleness marker.
    pub track_timestamps_staleness: bool,
    /// Rules for samples.
    pub metric_relabel_configs: &'a [RelabelConfig],
    /// Which names are accepted.
    pub name_validation: ValidationScheme,
    /// 0 is no limit; the body's is the caller's to check.
    pub limits: ScrapeLimits,
}

impl<'a> IngestOptions<'a> {
    /// As the job says.
    #[must_use]
    pub fn new(config: &'a ScrapeConfig, target_labels: &'a Labels) -> Self {
        Self {
            target_labels,
            honor_labels: config.honor_labels,
            honor_timestamps: config.honor_timestamps,
            track_timestamps_staleness: config.track_timestamps_staleness,
            metric_relabel_configs: &config.metric_relabel_configs,
            name_validation: config.name_validation,
            limits: config.limits,
        }
    }
}

/// What was in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IngestStats {
    /// Samples in the page.
    pub n_scraped: u64,
    /// Of those, left after metric relabelling.
    pub n_kept: u64,
    /// Of those, series that the last scrapes did not have.
    pub n_added: u64,
    /// Left out: their series has a newer sample.
    pub n_out_of_order: u64,
    /// Left out: another value at the same time.
    pub n_duplicates: u64,
    /// Left out: too old or too far in the future.
    pub n_out_of_bounds: u64,
    /// Left out: the store takes no more series.
    pub n_over_series_limit: u64,
}

/// Why a page was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// Not the format it says it is.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// More samples than `sample_limit`.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// `label_limit`, `label_name_length_limit` or `label_value_length_limit`; the text says which.
    #[error("{0}")]
    LabelLimit(String),
    /// A series without a name, or with names that are not allowed.
    #[error("{0}")]
    InvalidLabels(String),
}

/// A refused page, with what could be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Up to the error, or of the whole page where it could be read on.
    pub stats: IngestStats,
    /// Why.
    pub error: IngestError,
}

/// Reads a page into `appender`, with staleness markers for what the page no longer has. The caller adds the report
/// ([`Report::append`]) and commits.
///
/// # Errors
/// When the page as a whole is refused; what is in `appender` must then be dropped.
pub fn ingest(
    body: &[u8],
    format: Format,
    scrape_ms: i64,
    cache: &mut ScrapeCache,
    appender: &mut dyn Appender,
    options: &IngestOptions<'_>,
) -> Result<IngestStats, Refused> {
    let mut scrape = Scrape {
        scrape_ms,
        cache,
        appender,
        options,
        builder: LabelsBuilder::new(),
        live: Vec::new(),
        stats: IngestStats::default(),
    };
    scrape.cache.begin();
    match scrape.page(body, format) {
        Ok(()) => Ok(scrape.stats),
        Err(error) => Err(Refused { stats: scrape.stats, error }),
    }
}

/// After a failed scrape: every series that was alive gets a staleness marker.
pub fn fail(scrape_ms: i64, cache: &mut ScrapeCache, appender: &mut dyn Appender) {
    end_series(scrape_ms, cache.take_live(), appender);
    cache.abandon();
}

/// The target is gone: as [`fail`], at `t_ms`.
pub fn end(t_ms: i64, cache: &mut ScrapeCache, appender: &mut dyn Appender) {
    end_series(t_ms, cache.take_live(), appender);
}

/// Appends staleness markers. One that is refused ends a series that somebody else continues: that is as it should be.
fn end_series(t_ms: i64, series: Vec<(Labels, Option<SeriesRef>)>, appender: &mut dyn Appender) {
    for (labels, known) in series {
        let _ = appender.append(known, &labels, t_ms, STALE_NAN);
    }
}

struct Scrape<'a, 'b> {
    scrape_ms: i64,
    cache: &'a mut ScrapeCache,
    appender: &'a mut dyn Appender,
    options: &'a IngestOptions<'b>,
    builder: LabelsBuilder,
    /// Stored by this scrape and tracked for staleness.
    live: Vec<EntryIdx>,
    stats: IngestStats,
}

impl Scrape<'_, '_> {
    fn page(&mut self, body: &[u8], format: Format) -> Result<(), IngestError> {
        let mut parser = Parser::new(body, format);
        let samples_max = self.options.limits.samples_max;
        while let Some(entry) = parser.next_entry()? {
            match entry {
                Entry::Sample(sample) => self.sample(&sample)?,
                Entry::Type { name, metric_type } => {
                    self.cache.family(&name, |meta| meta.metric_type = metric_type);
                }
                Entry::Help { name, text } => self.cache.family(&name, |meta| {
                    if meta.help != text {
                        text.as_ref().clone_into(&mut meta.help);
                    }
                }),
                Entry::Unit { name, unit } => self.cache.family(&name, |meta| {
                    if meta.unit != unit {
                        unit.clone_into(&mut meta.unit);
                    }
                }),
                Entry::Comment => {}
            }
        }
        // Only now, so that the report's counts are of the whole page.
        if samples_max > 0 && self.stats.n_kept > samples_max {
            return Err(IngestError::SampleLimit);
        }
        let live = std::mem::take(&mut self.live);
        end_series(self.scrape_ms, self.cache.vanished(&live), self.appender);
        self.cache.finish(live);
        Ok(())
    }

    fn sample(&mut self, sample: &SampleEntry<'_>) -> Result<(), IngestError> {
        self.stats.n_scraped += 1;
        let (idx, is_new) = match self.cache.find(sample.raw) {
            Some(idx) => (idx, false),
            None => (self.new_series(sample)?, true),
        };
        let scrape_no = self.cache.scrape_no();
        let entry = self.cache.entry(idx);
        let is_second = std::mem::replace(&mut entry.last_seen, scrape_no) == scrape_no;
        let Some(labels) = &entry.labels else { return Ok(()) };
        self.stats.n_kept += 1;
        let samples_max = self.options.limits.samples_max;
        if samples_max > 0 && self.stats.n_kept > samples_max {
            return Ok(());
        }
        let own_ms = sample.t_ms.filter(|_| self.options.honor_timestamps);
        if is_second && own_ms.is_none() {
            self.stats.n_duplicates += 1;
            return Ok(());
        }
        let appended =
            self.appender.append(entry.series, labels, own_ms.unwrap_or(self.scrape_ms), sample.value);
        match appended {
            Ok(series) => entry.series = Some(series),
            Err(AppendError::OutOfOrder) => self.stats.n_out_of_order += 1,
            Err(AppendError::DuplicateForTimestamp) => self.stats.n_duplicates += 1,
            Err(AppendError::OutOfBounds) => self.stats.n_out_of_bounds += 1,
            Err(AppendError::NoName) => return Err(no_name()),
            // Also what later versions of the seam may add: one sample is left out, the page goes on.
            Err(_) => {
                self.stats.n_over_series_limit += 1;
                return Ok(());
            }
        }
        let is_tracked = own_ms.is_none() || self.options.track_timestamps_staleness;
        if is_tracked && !is_second {
            self.live.push(idx);
        }
        self.stats.n_added += u64::from(is_new);
        Ok(())
    }

    /// Slow path: a series the cache does not know.
    fn new_series(&mut self, sample: &SampleEntry<'_>) -> Result<EntryIdx, IngestError> {
        sample.fill_labels(&mut self.builder)?;
        resolve_conflicts(
            &mut self.builder,
            sample.raw,
            self.options.target_labels,
            self.options.honor_labels,
        );
        if !relabel::process_builder(&mut self.builder, self.options.metric_relabel_configs) {
            return Ok(self.cache.insert(sample.raw, None));
        }
        let labels = self.builder.build();
        check_names(&labels, self.options.name_validation)?;
        check_limits(&labels, &self.options.limits)?;
        Ok(self.cache.insert(sample.raw, Some(labels)))
    }
}

/// Puts the target's labels beside the series' own. Where both have a name, either the series' own stays
/// (`honor_labels`), or it moves to `exported_<name>`.
fn resolve_conflicts(builder: &mut LabelsBuilder, raw: &str, target_labels: &Labels, honor_labels: bool) {
    if honor_labels {
        for (name, value) in target_labels {
            if builder.get(name).is_none() && !says_empty(raw, name) {
                builder.set(name, value);
            }
        }
        return;
    }
    let mut moved: Vec<(&str, String)> = Vec::new();
    for (name, value) in target_labels {
        if let Some(own) = builder.get(name) {
            moved.push((name, own.to_owned()));
        }
        builder.set(name, value);
    }
    // Shortest names first, so that one that was moved does not take the place of another.
    moved.sort_by_key(|(name, _)| name.len());
    for (name, own) in moved {
        let mut free = format!("exported_{name}");
        while builder.get(&free).is_some() {
            free.insert_str(0, "exported_");
        }
        builder.set(&free, &own);
    }
}

/// Whether the page itself says `name=""`: a federated series thereby keeps our label off.
fn says_empty(raw: &str, name: &str) -> bool {
    let said = format!("{name}=\"\"");
    // Within a value its quotes would have backslashes before them.
    raw.match_indices(&said).any(|(at, _)| raw[..at].ends_with(['{', ',', ' ', '\t']))
}

fn no_name() -> IngestError {
    IngestError::InvalidLabels(
        "label set without a metric name: missing metric name (__name__ label)".to_owned(),
    )
}

fn check_names(labels: &Labels, validation: ValidationScheme) -> Result<(), IngestError> {
    let metric = labels.metric_name();
    if metric.is_empty() {
        return Err(no_name());
    }
    if validation == ValidationScheme::Utf8 {
        return Ok(());
    }
    let is_valid = is_legacy_metric_name(metric) && labels.iter().all(|(name, _)| is_legacy_label_name(name));
    if is_valid {
        return Ok(());
    }
    Err(IngestError::InvalidLabels(format!(
        "invalid metric name or label names: {labels} (setting: metric_name_validation_scheme)"
    )))
}

fn check_limits(labels: &Labels, limits: &ScrapeLimits) -> Result<(), IngestError> {
    let shown = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
    let metric = || shown(labels.metric_name());
    let fail = |text: String| Err(IngestError::LabelLimit(text));
    let n_labels = labels.len() as u64;
    if limits.labels_max > 0 && n_labels > limits.labels_max {
        return fail(format!(
            "label_limit exceeded (metric: {}, number of labels: {n_labels}, limit: {})",
            metric(),
            limits.labels_max
        ));
    }
    if limits.label_name_bytes_max == 0 && limits.label_value_bytes_max == 0 {
        return Ok(());
    }
    for (name, value) in labels {
        let (name_bytes, value_bytes) = (name.len() as u64, value.len() as u64);
        if limits.label_name_bytes_max > 0 && name_bytes > limits.label_name_bytes_max {
            return fail(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {}, length: {name_bytes}, limit: {})",
                metric(),
                shown(name),
                limits.label_name_bytes_max
            ));
        }
        if limits.label_value_bytes_max > 0 && value_bytes > limits.label_value_bytes_max {
            return fail(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {}, value: {:?}, length: {value_bytes}, limit: {})",
                metric(),
                shown(name),
                shown(value),
                limits.label_value_bytes_max
            ));
        }
    }
    Ok(())
}

/// What is stored about a scrape itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Whether it went well.
    pub is_up: bool,
    /// How long it took, in seconds.
    pub duration_secs: f64,
    /// What was in the page.
    pub stats: IngestStats,
    /// Bytes of the page, decompressed; −1 when it was too large, 0 when there was none.
    pub body_bytes: f64,
    /// The target's timeout, in seconds.
    pub timeout_secs: f64,
    /// `sample_limit`.
    pub samples_max: u64,
}

/// The series of a target's reports.
#[derive(Debug)]
pub struct ReportSeries {
    series: Vec<(Labels, Option<SeriesRef>)>,
}

/// Their names: the last three only with `extra_scrape_metrics`.
const REPORT_NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
const N_REPORT_NAMES_PLAIN: usize = 5;

impl ReportSeries {
    /// For a target with these labels.
    #[must_use]
    pub fn new(target_labels: &Labels, with_extra: bool) -> Self {
        let n_names = if with_extra { REPORT_NAMES.len() } else { N_REPORT_NAMES_PLAIN };
        let labels = |name: &&str| {
            let mut builder = target_labels.to_builder();
            builder.set(METRIC_NAME, name);
            (builder.build(), None)
        };
        Self { series: REPORT_NAMES[..n_names].iter().map(labels).collect() }
    }

    /// Appends a report.
    pub fn append(&mut self, report: &Report, t_ms: i64, appender: &mut dyn Appender) {
        let values = [
            f64::from(u8::from(report.is_up)),
            report.duration_secs,
            report.stats.n_scraped as f64,
            report.stats.n_kept as f64,
            report.stats.n_added as f64,
            report.timeout_secs,
            report.samples_max as f64,
            report.body_bytes,
        ];
        for ((labels, known), value) in self.series.iter_mut().zip(values) {
            // Refused when the clock was set back: then this report is lost, as the page's own samples are.
            if let Ok(series) = appender.append(*known, labels, t_ms, value) {
                *known = Some(series);
            }
        }
    }

    /// Appends staleness markers, when the target is gone.
    pub fn end(&mut self, t_ms: i64, appender: &mut dyn Appender) {
        end_series(t_ms, self.series.clone(), appender);
    }
}

#[cfg(test)]
mod tests;
