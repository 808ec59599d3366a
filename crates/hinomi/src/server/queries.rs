//! What stands around queries: budgets from flags, the list of those that run, the log of those that were slow, and the
//! query log file of the configuration.
//!
//! In from flags and file; out to the engine that `api` and `rules` share, and to logs. Lines of the log file are
//! Prometheus': one JSON object for each query.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use parking_lot::Mutex;
use promql::{FinishedQuery, Guard, QueryOrigin, ResultCache};
use serde_json::{Value, json};
use stdx::metrics::{Counter, Gauge, Registry};
use stdx::{Clock, Dir as _, DiskDir, File};
use tracing::warn;

use crate::config::Config;
use crate::flags::Values;

/// Knows every query of the process.
pub(super) struct Queries {
    guard: Guard,
    /// `None` when it is switched off.
    cache: Option<ResultCache>,
    clock: Arc<dyn Clock>,
    /// 0 for none.
    slow: Duration,
    log_enabled: Arc<Gauge>,
    log_failures: Arc<Counter>,
}

/// A query log file, if there is one.
pub(super) struct LogFile(Option<Box<dyn File>>);

/// `--query.max-concurrency` places, and `--query.max-queue` that wait.
pub(super) fn gate(flags: &Values, registry: &Registry) -> Result<net::Gate> {
    let n_queries = usize::try_from(flags.count("query.max-concurrency")?)?;
    let n_waiting = usize::try_from(flags.count("query.max-queue")?)?;
    let max =
        registry.gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries.");
    max.set(n_queries as f64);
    Ok(net::Gate::new("query", n_queries, n_waiting, registry))
}

impl Queries {
    /// Logs the queries that ran when the last process died.
    pub(super) fn open(
        flags: &Values,
        data_path: &Path,
        registry: &Registry,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self> {
        let total_bytes = flags.query_memory("query.total-memory-bytes")?;
        let dir = DiskDir::open(data_path).with_context(|| format!("cannot use {}", data_path.display()))?;
        let (guard, unfinished) = Guard::open(total_bytes, Arc::new(dir), registry);
        for query in unfinished {
            warn!(query, "this query did not finish in the last run");
        }
        let slow = Duration::from_millis(flags.duration_ms("query.log-slower-than")?.unsigned_abs());
        let log_enabled = registry.gauge("prometheus_engine_query_log_enabled", "State of the query log.");
        let log_failures = registry
            .counter("prometheus_engine_query_log_failures_total", "The number of query log failures.");
        let cache_bytes = flags.bytes("query.cache.max-bytes")?;
        let cache = (cache_bytes > 0).then(|| ResultCache::new(cache_bytes, registry));
        Ok(Self { guard, cache, clock: Arc::clone(clock), slow, log_enabled, log_failures })
    }

    /// The engine that flags and file ask for.
    pub(super) fn engine(&self, flags: &Values, config: &Config) -> Result<promql::Engine> {
        let (features, _) = flags.features()?;
        let options = promql::EngineOptions {
            lookback_ms: flags.duration_ms("query.lookback-delta")?,
            samples_max: flags.count("query.max-samples")?,
            threads: flags.threads("query.threads")?,
            series_max: flags.limit("query.max-series")?,
            memory_bytes_max: flags.query_memory("query.max-memory-bytes")?,
            timeout: flags.positive_duration("query.timeout")?,
            subquery_step_ms: config.global.evaluation_interval.as_ms(),
            features: features.language,
            delayed_name_removal: features.delayed_name_removal,
            start_timestamps: features.use_start_timestamps,
            type_and_unit_labels: features.scrapes.type_and_unit_labels,
            ..promql::EngineOptions::default()
        };
        Ok(promql::Engine::new(options).with_guard(self.guard.clone()).with_cache(self.cache.clone()))
    }

    /// Opens the query log of `config`, to be written at its end.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open_log(&self, config: &Config, config_path: Option<&Path>) -> Result<LogFile> {
        let name = config.global.query_log_file.as_str();
        if name.is_empty() {
            return Ok(LogFile(None));
        }
        let path = config_path.and_then(Path::parent).unwrap_or(Path::new("")).join(name);
        let disk = DiskDir::anywhere();
        let file = if disk.exists(&path) { disk.open(&path) } else { disk.create(&path) };
        let file = file.with_context(|| format!("global.query_log_file: cannot open {}", path.display()))?;
        Ok(LogFile(Some(file)))
    }

    /// From now on queries go to `file`.
    pub(super) fn take_log(&self, LogFile(file): LogFile) {
        self.log_enabled.set(if file.is_some() { 1.0 } else { 0.0 });
        if file.is_none() && self.slow.is_zero() {
            return self.guard.set_log(None);
        }
        let (slow, clock, failures) = (self.slow, Arc::clone(&self.clock), Arc::clone(&self.log_failures));
        let file = file.map(Mutex::new);
        self.guard.set_log(Some(Arc::new(move |query| {
            if !slow.is_zero() && query.evaluated >= slow {
                warn_slow(query);
            }
            if let Some(file) = &file {
                let line = format!("{}\n", line(query, clock.now_ms()));
                if file.lock().append(line.as_bytes()).is_err() {
                    failures.inc();
                }
            }
        })));
    }
}

fn warn_slow(query: &FinishedQuery<'_>) {
    let (asked_by, how) = match &query.info.origin {
        QueryOrigin::Http { client, user_agent, .. } => (client, user_agent),
        QueryOrigin::Rule { file, group } => (file, group),
    };
    warn!(
        seconds = query.evaluated.as_secs_f64(),
        kind = query.info.kind.name(),
        query = query.info.text,
        start = time(query.info.start_ms),
        end = time(query.info.end_ms),
        step_seconds = query.info.step_ms as f64 / 1_000.0,
        series_read = query.meter.n_series(),
        samples_read = query.meter.n_samples(),
        peak_samples = query.meter.n_samples_peak(),
        asked_by,
        how,
        error = query.error,
        "slow query"
    );
}

fn time(t_ms: i64) -> String {
    Timestamp::from_millisecond(t_ms).map_or_else(|_| t_ms.to_string(), |time| format!("{time:.3}"))
}

/// One line of the query log.
fn line(query: &FinishedQuery<'_>, now_ms: i64) -> Value {
    let (queued, evaluated) = (query.queued.as_secs_f64(), query.evaluated.as_secs_f64());
    let mut line = json!({
        "time": time(now_ms),
        "level": "INFO",
        "msg": "promql query logged",
        "params": {
            "query": query.info.text,
            "start": time(query.info.start_ms),
            "end": time(query.info.end_ms),
            "step": query.info.step_ms / 1_000,
        },
        "stats": {
            "timings": {
                "evalTotalTime": evaluated,
                "innerEvalTime": evaluated,
                "execQueueTime": queued,
                "execTotalTime": queued + evaluated,
            },
            "samples": {
                "seriesRead": query.meter.n_series(),
                "samplesRead": query.meter.n_samples(),
                "peakSamples": query.meter.n_samples_peak(),
            },
        },
    });
    match &query.info.origin {
        QueryOrigin::Http { client, method, path, .. } => {
            line["httpRequest"] = json!({ "clientIP": client, "method": method, "path": path });
        }
        QueryOrigin::Rule { file, group } => line["ruleGroup"] = json!({ "file": file, "name": group }),
    }
    if let Some(error) = query.error {
        line["error"] = json!(error);
    }
    line
}
