//! What is stored about a scrape itself: `up` and its neighbours.

use model::labels::METRIC_NAME;
use model::{Labels, STALE_NAN};
use storage::{Appender, SeriesRef};

use crate::ingest::IngestStats;

/// A report's values.
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

/// Names of the series: the last three only with `extra_scrape_metrics`.
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

/// The series of a target's reports.
#[derive(Debug, Default)]
pub struct ReportSeries {
    series: Vec<(Labels, Option<SeriesRef>)>,
}

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

    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = &Labels> {
        self.series.iter().map(|(labels, _)| labels)
    }

    /// The values of a report, in the order of the series. A target that is gone has none: all its series end.
    pub(crate) fn values(report: Option<&Report>) -> [f64; REPORT_NAMES.len()] {
        let Some(report) = report else { return [STALE_NAN; REPORT_NAMES.len()] };
        [
            f64::from(u8::from(report.is_up)),
            report.duration_secs,
            report.stats.n_scraped as f64,
            report.stats.n_kept as f64,
            report.stats.n_added as f64,
            report.timeout_secs,
            report.samples_max as f64,
            report.body_bytes,
        ]
    }

    /// Appends the value of one series. Refused when the clock was set back: then it is lost, as the page's samples are.
    pub(crate) fn append(&mut self, idx: usize, value: f64, t_ms: i64, appender: &mut dyn Appender) {
        let Some((labels, known)) = self.series.get_mut(idx) else { return };
        if let Ok(series) = appender.append(*known, labels, t_ms, value) {
            *known = Some(series);
        }
    }
}
