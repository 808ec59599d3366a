//! What happens to a page once it is here: decompressed, read, stored, reported. Runs on a blocking thread; sync.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use net::decompress::Inflater;
use storage::{AppendStats, StorageError};
use wire::exposition::Format;

use crate::config::ScrapeConfig;
use crate::failures::FailureLogs;
use crate::fetch::{FetchError, Page, decoded_bytes_max};
use crate::ingest::{self, IngestError, IngestOptions, IngestStats, Report, Scratch, ingest};
use crate::metrics::ScrapeMetrics;
use crate::options::ManagerOptions;
use crate::pool::{Health, Status, TargetState, Work};
use crate::settings::Settings;
use crate::target::Target;

/// A scrape as the driver leaves it.
pub(crate) struct Scraped {
    pub(crate) settings: Arc<Settings>,
    pub(crate) target: Arc<Target>,
    pub(crate) page: Result<Page, FetchError>,
    pub(crate) t_ms: i64,
    /// On the monotonic clock.
    pub(crate) started: StdDuration,
}

/// A page ready to be read.
struct Text<'a> {
    body: &'a [u8],
    natives: &'a [u8],
    format: Format,
}

/// Memory that is used again from page to page.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    inflater: Inflater,
    scratch: Scratch,
}

/// Why a scrape failed.
#[derive(Debug, Clone)]
enum Failure {
    BodyTooLarge(String),
    Ingest(IngestError),
    Other(String),
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Self::Ingest(err) => err.to_string(),
            Self::BodyTooLarge(text) | Self::Other(text) => text.clone(),
        }
    }
}

/// Stores a scrape, whatever came of it, and notes how it went.
pub(crate) fn record(
    options: &ManagerOptions,
    (metrics, failure_logs): (&ScrapeMetrics, &FailureLogs),
    state: &TargetState,
    scraped: Scraped,
    tools: &mut Tools,
) {
    let Scraped { settings, target, page, t_ms, started } = scraped;
    let config = &settings.config;
    let ingest_started = options.clock.monotonic();
    let Tools { inflater, scratch } = tools;
    let page = page.map_err(from_fetch);
    let text = match &page {
        Ok(page) => open(config, page, inflater),
        Err(failure) => Err(failure.clone()),
    };
    let page_bytes = text.as_ref().map_or(0, |text| text.body.len());
    let mut work = state.work.lock();
    work.adopt(&settings, &target);
    let outcome = store(options, &mut work, &target, text, (t_ms, started), scratch);
    drop(work);

    let stats = outcome.report.stats;
    let duration_secs = outcome.report.duration_secs;
    let mut last_error = outcome.failure.as_ref().map(Failure::text).unwrap_or_default();
    trace(&stats, page_bytes, &last_error);
    match outcome.committed {
        Ok(committed) => metrics.samples.add(committed.n_samples),
        Err(err) => {
            metrics.commit_failures.inc();
            last_error = format!("cannot store the scrape: {err}");
            tracing::error!(scrape_pool = config.job, target = target.shown_url, error = %err, "cannot store a scrape");
        }
    }
    if !last_error.is_empty() {
        failure_logs.write(config, &target, options.clock.now_ms(), &last_error);
    }
    count(metrics, &stats, outcome.failure.as_ref());
    metrics
        .ingest_duration
        .with(&[])
        .observe(options.clock.monotonic().saturating_sub(ingest_started).as_secs_f64());
    metrics.duration.with(&[]).observe(duration_secs);
    let left_out =
        stats.n_out_of_order + stats.n_duplicates + stats.n_out_of_bounds + stats.n_over_series_limit > 0;
    let mut status = state.status.lock();
    log(config, &target, &status, &last_error, left_out.then_some(&stats));
    let health = if last_error.is_empty() { Health::Up } else { Health::Down };
    *status = Status {
        health,
        last_error,
        last_scrape_ms: Some(t_ms),
        last_duration_secs: duration_secs,
        left_out,
    };
}

/// What became of a scrape.
struct Outcome {
    report: Report,
    failure: Option<Failure>,
    committed: Result<AppendStats, StorageError>,
}

/// Page or markers, and the report, in one batch.
fn store(
    options: &ManagerOptions,
    work: &mut Work,
    target: &Target,
    text: Result<Text<'_>, Failure>,
    (t_ms, started): (i64, StdDuration),
    scratch: &mut Scratch,
) -> Outcome {
    let body_bytes = match &text {
        Ok(text) => text.body.len() as f64,
        Err(Failure::BodyTooLarge(_)) => -1.0,
        Err(_) => 0.0,
    };
    let settings = Arc::clone(&work.settings);
    let mut appender = options.store.appender(t_ms);
    let ingest_options = IngestOptions {
        starts: options.starts,
        type_and_unit_labels: options.features.type_and_unit_labels,
        histograms: target.histograms,
        natives_beside: text.as_ref().map_or(&[], |text| text.natives),
        ..IngestOptions::new(&settings.config, &target.labels)
    };
    let mut stats = IngestStats::default();
    let append = tracing::info_span!("scrapeAppend").entered();
    let result = text.and_then(|text| {
        let Text { body, format, .. } = text;
        match ingest(body, format, t_ms, &mut work.cache, scratch, &mut *appender, &ingest_options) {
            Ok(all) => {
                stats = all;
                Ok(())
            }
            Err(refused) => {
                stats = refused.stats;
                Err(Failure::Ingest(refused.error))
            }
        }
    });
    if result.is_err() {
        // Nothing of a bad page is stored. The first batch goes before the second begins: a store may have room for one.
        drop(appender);
        appender = options.store.appender(t_ms);
        ingest::fail(t_ms, &mut work.cache, scratch, &mut *appender);
    }
    drop(append);
    let report = Report {
        is_up: result.is_ok(),
        duration_secs: options.clock.monotonic().saturating_sub(started).as_secs_f64(),
        stats,
        body_bytes,
        timeout_secs: target.timeout.as_secs_f64(),
        samples_max: settings.config.limits.samples_max,
    };
    ingest::finish(
        t_ms,
        &mut work.cache,
        scratch,
        &mut *appender,
        &ingest_options,
        Some(&report),
        &mut stats,
    );
    let committed = tracing::info_span!("scrapeCommit").in_scope(|| appender.commit());
    work.cache.committed(committed.is_ok());
    let Work { cache, told, .. } = work;
    told.tell(cache);
    Outcome { report: Report { stats, ..report }, failure: result.err(), committed }
}

/// The target is gone: all its series end at `t_ms`.
pub(crate) fn end(options: &ManagerOptions, state: &TargetState, t_ms: i64) {
    let mut work = state.work.lock();
    let mut appender = options.store.appender(t_ms);
    let settings = Arc::clone(&work.settings);
    let target = Arc::clone(&state.target.lock());
    let ingest_options = IngestOptions::new(&settings.config, &target.labels);
    let (mut scratch, mut stats) = (Scratch::default(), IngestStats::default());
    ingest::fail(t_ms, &mut work.cache, &mut scratch, &mut *appender);
    ingest::finish(t_ms, &mut work.cache, &mut scratch, &mut *appender, &ingest_options, None, &mut stats);
    if let Err(err) = appender.commit() {
        tracing::error!(error = %err, "cannot store the staleness markers of a target that is gone");
    }
}

/// What the scrape's span says.
fn trace(stats: &IngestStats, page_bytes: usize, last_error: &str) {
    let span = tracing::Span::current();
    span.record("samples_scraped", stats.n_scraped);
    span.record("samples_added", stats.n_kept);
    span.record("series_added", stats.n_added);
    span.record("bytes", page_bytes);
    if !last_error.is_empty() {
        span.record("error", last_error);
    }
}

fn from_fetch(err: FetchError) -> Failure {
    match err {
        FetchError::Http(err) if err.is_body_too_large() => Failure::BodyTooLarge(err.to_string()),
        other => Failure::Other(other.to_string()),
    }
}

/// Decompresses, and finds out the format.
fn open<'a>(config: &ScrapeConfig, page: &'a Page, inflater: &'a mut Inflater) -> Result<Text<'a>, Failure> {
    let body = inflater.decode(&page.encoding, &page.body, decoded_bytes_max(config));
    let body = body.map_err(|err| from_fetch(FetchError::Http(err)))?;
    let format = Format::from_content_type(&page.content_type, config.fallback_format);
    let format = format.map_err(|err| Failure::Other(err.to_string()))?;
    Ok(Text { body, natives: &page.natives, format })
}

fn count(metrics: &ScrapeMetrics, stats: &IngestStats, failure: Option<&Failure>) {
    metrics.out_of_order.add(stats.n_out_of_order);
    metrics.duplicates.add(stats.n_duplicates);
    metrics.out_of_bounds.add(stats.n_out_of_bounds);
    metrics.series_limit.add(stats.n_over_series_limit);
    let result = if failure.is_none() { "success" } else { "failure" };
    metrics.scrapes.with(&[result]).inc();
    match failure {
        Some(Failure::BodyTooLarge(_)) => metrics.body_size_limit.inc(),
        Some(Failure::Ingest(IngestError::SampleLimit)) => metrics.sample_limit.inc(),
        Some(Failure::Ingest(IngestError::BucketLimit)) => metrics.bucket_limit.inc(),
        Some(Failure::Ingest(IngestError::LabelLimit(_))) => metrics.label_limits.inc(),
        _ => {}
    }
}

/// Says what changed since the scrape before: a target that stays broken is logged once.
fn log(
    config: &ScrapeConfig,
    target: &Target,
    before: &Status,
    last_error: &str,
    left_out: Option<&IngestStats>,
) {
    let (scrape_pool, url) = (config.job.as_str(), target.shown_url.as_str());
    if last_error.is_empty() && before.health == Health::Down {
        tracing::info!(scrape_pool, target = url, "scrapes succeed again");
    }
    if !last_error.is_empty() && before.health != Health::Down {
        tracing::warn!(
            scrape_pool,
            target = url,
            error = last_error,
            "scrape failed; further failures are not logged"
        );
    }
    if let Some(stats) = left_out.filter(|_| !before.left_out) {
        tracing::warn!(
            scrape_pool,
            target = url,
            n_out_of_order = stats.n_out_of_order,
            n_duplicates = stats.n_duplicates,
            n_out_of_bounds = stats.n_out_of_bounds,
            n_over_series_limit = stats.n_over_series_limit,
            "samples were left out; further ones of this target are only counted"
        );
    }
}
