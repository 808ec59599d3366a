//! A page becomes samples: the sync calls between the socket and the store.
//!
//! In from [`crate::driver`], a whole decompressed body; out to an [`Appender`] that the caller commits.
//! Per scrape: [`ingest`], or after an error [`fail`] with a fresh appender; then [`finish`], which adds the report; then the
//! commit, and [`ScrapeCache::committed`]. Either the whole page goes in, or nothing of it. Only samples out of order, doubled or out
//! of bounds are left out one by one, and counted.
//! Semantics of Prometheus 3.14's scrape loop.

mod cache;
mod families;
mod labelling;
mod natives;
mod plain;
mod report;
mod rows;
mod starts;
mod synthesis;

use model::relabel::RelabelConfig;
use model::{Labels, LabelsBuilder, MetricType, STALE_NAN};
use storage::{AppendError, Appender, SeriesRef};
use wire::exposition::{Exemplar, Format, Native, ParseError};

use self::cache::PageOf;
pub use self::cache::ScrapeCache;
use self::families::Families;
pub use self::starts::StartOptions;
use crate::config::HistogramPolicy;
use crate::config::{ScrapeConfig, ScrapeLimits, ValidationScheme};

pub use self::report::{Report, ReportSeries};
pub use self::rows::Scratch;

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
    /// What is done with histograms.
    pub histograms: HistogramPolicy,
    /// What is done with what pages say of starts.
    pub starts: StartOptions,
    /// Whether types and units become labels.
    pub type_and_unit_labels: bool,
    /// Native histograms beside a page of text, as protobuf; empty for none.
    pub natives_beside: &'a [u8],
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
            histograms: config.histograms,
            starts: StartOptions::default(),
            type_and_unit_labels: false,
            natives_beside: &[],
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

impl IngestStats {
    /// Counts a sample that was left out; `true` when its series does not exist at all.
    pub(crate) fn count(&mut self, error: AppendError) -> bool {
        match error {
            AppendError::OutOfOrder => self.n_out_of_order += 1,
            AppendError::DuplicateForTimestamp => self.n_duplicates += 1,
            AppendError::OutOfBounds => self.n_out_of_bounds += 1,
            // Also what later versions of the seam may add: one sample is left out, the page goes on.
            _ => {
                self.n_over_series_limit += 1;
                return true;
            }
        }
        false
    }
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
    /// A native histogram with more buckets than `native_histogram_bucket_limit`, however coarse.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
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

/// Reads a page into `appender`, with staleness markers for what the page no longer has. The caller goes on with [`finish`].
///
/// # Errors
/// When the page as a whole is refused; what is in `appender` must then be dropped.
pub fn ingest(
    body: &[u8],
    format: Format,
    scrape_ms: i64,
    cache: &mut ScrapeCache,
    scratch: &mut Scratch,
    appender: &mut dyn Appender,
    options: &IngestOptions<'_>,
) -> Result<IngestStats, Refused> {
    match cache.page(PageOf { body, format, scrape_ms, appender, options }, scratch) {
        (stats, None) => Ok(stats),
        (stats, Some(error)) => Err(Refused { stats, error }),
    }
}

/// After a failed scrape, or when the target is gone: every series that was alive gets a staleness marker. The caller goes on
/// with [`finish`].
pub fn fail(scrape_ms: i64, cache: &mut ScrapeCache, scratch: &mut Scratch, appender: &mut dyn Appender) {
    cache.end(scrape_ms, scratch, appender);
}

/// Adds the report of the scrape; `None` ends the report's series, for a target that is gone. Counts in `stats` what the store
/// refuses of the row.
pub fn finish(
    scrape_ms: i64,
    cache: &mut ScrapeCache,
    scratch: &mut Scratch,
    appender: &mut dyn Appender,
    options: &IngestOptions<'_>,
    report: Option<&Report>,
    stats: &mut IngestStats,
) {
    cache.finish(scrape_ms, scratch, appender, options, report, stats);
}

/// A page on its way into the store.
pub(crate) struct Scrape<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) format: Format,
    pub(crate) scrape_ms: i64,
    pub(crate) appender: &'a mut dyn Appender,
    pub(crate) options: &'a IngestOptions<'a>,
    pub(crate) families: &'a mut Families,
    pub(crate) orphans: &'a mut Vec<Labels>,
    pub(crate) ended: &'a mut Vec<Labels>,
    pub(crate) stats: IngestStats,
    /// Native histograms that relabelling keeps: they count against the limit of samples.
    pub(crate) n_natives: u64,
}

impl Scrape<'_> {
    /// Whether the page has more samples than it may.
    pub(crate) fn is_over_limit(&self) -> bool {
        let samples_max = self.options.limits.samples_max;
        samples_max > 0 && self.stats.n_kept + self.n_natives > samples_max
    }

    /// What was in the page, its native histograms included.
    pub(crate) fn all_stats(&self, natives: &[Native]) -> IngestStats {
        let (n_scraped, n_kept) =
            (self.stats.n_scraped + natives.len() as u64, self.stats.n_kept + self.n_natives);
        IngestStats { n_scraped, n_kept, ..self.stats }
    }

    /// Whether a line says a start and is no series.
    pub(crate) fn is_start(&self, raw: &str, metric_type: MetricType) -> bool {
        self.options.starts.read(self.format) && starts::is_created(raw, metric_type)
    }

    /// Appends a staleness marker. One that is refused ends a series that somebody else continues: that is as it should be.
    pub(crate) fn end_series(&mut self, known: Option<SeriesRef>, labels: &Labels) {
        let _ = self.appender.append(known, labels, self.scrape_ms, STALE_NAN);
        self.ended.push(labels.clone());
    }

    /// Appends an exemplar of the series' sample at `t_ms`; one that is not valid is left out.
    pub(crate) fn exemplar(&mut self, labels: &Labels, found: &Exemplar<'_>, t_ms: i64) {
        if let Some(exemplar) = exemplar(found, t_ms) {
            let _ = self.appender.append_exemplar(None, labels, &exemplar);
        }
    }
}

/// As it is stored; one without a time of its own has its sample's.
pub(crate) fn exemplar(found: &Exemplar<'_>, t_ms: i64) -> Option<model::Exemplar> {
    let mut builder = LabelsBuilder::new();
    found.fill_labels(&mut builder).ok()?;
    Some(model::Exemplar { labels: builder.build(), value: found.value, t_ms: found.t_ms.unwrap_or(t_ms) })
}

#[cfg(test)]
mod tests;
