//! Takes OTLP metrics into the store.
//!
//! In: requests from `v1::otlp`, decoded by `wire::otlp`; out: one batch of the store's for each request. Names, labels and kinds are made
//! Prometheus' as its own receiver makes them. Sync: the caller runs it on a blocking thread. A point that cannot be taken is counted and
//! named, the others are stored.

pub(crate) mod batch;
mod config;
mod cumulative;
mod histogram;
mod labels;
mod names;

use std::sync::Arc;
use std::time::Duration;

use model::histogram::ResetHint;
use model::labels::LabelsBuilder;
use model::metadata::MetricType;
use model::sample::STALE_NAN;
use model::{Metadata, float};
use stdx::Clock;
use stdx::metrics::{Counter, Family, Registry};
use storage::{Appendable, StorageError};
use wire::otlp::{
    HistogramPoint, KeyValue, Metric, NO_RECORDED_VALUE, NumberPoint, Partial, Points, Request, SummaryPoint,
    Temporality,
};

use self::batch::{Batch, Moment};
pub use self::config::{OtlpConfig, Strategy};
use self::cumulative::Cumulative;
use self::labels::ResourceLabels;
use self::names::Kind;

/// Requests that are decoded and stored at once, and that may wait. As for remote write.
const REQUESTS_MAX: usize = 8;
const REQUESTS_WAITING_MAX: usize = 64;
/// How long a request may wait. Chosen: as SDKs wait for an answer.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(10);
/// Points may be so far in the future. From Prometheus.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1_000;
/// Samples of `target_info` for one resource of one request. Chosen: 41 hours of points at Prometheus' spacing.
const TARGET_SAMPLES_MAX: i64 = 1_000;
const TARGET_INFO: &str = "target_info";

/// What a receiver needs.
pub struct OtlpOptions {
    /// Where samples go.
    pub store: Arc<dyn Appendable>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For its metrics.
    pub registry: Registry,
    /// `otlp` of the configuration file as it is now.
    pub config: Arc<dyn Fn() -> Arc<OtlpConfig> + Send + Sync>,
    /// `--query.lookback-delta`, in milliseconds: `target_info` is written twice as often.
    pub lookback_ms: i64,
    /// Whether types and units become labels.
    pub type_and_unit_labels: bool,
    /// What becomes of counts since the point before.
    pub delta: Delta,
    /// Whether a counter that begins gets a zero where its sender says it began.
    pub start_zeros: bool,
}

/// What becomes of points that count since the point before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delta {
    /// They are refused by name.
    #[default]
    Refused,
    /// They are stored as they are, without type.
    Stored,
    /// They are summed up, and stored as counts since the start.
    Summed,
}

/// Takes requests. Shared by all connections.
pub struct OtlpReceiver {
    options: OtlpOptions,
    /// Sums up, where that is wanted.
    cumulative: Option<Cumulative>,
    pub(crate) gate: net::Gate,
    samples: Arc<Counter>,
    rejected: Arc<Counter>,
    warnings: Arc<Family<Counter>>,
    shed: Arc<Counter>,
}

impl std::fmt::Debug for OtlpReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpReceiver").finish_non_exhaustive()
    }
}

impl OtlpReceiver {
    /// A receiver.
    #[must_use]
    pub fn new(options: OtlpOptions) -> Self {
        let registry = &options.registry;
        Self {
            gate: net::Gate::new("otlp", REQUESTS_MAX, REQUESTS_WAITING_MAX, registry),
            samples: registry
                .counter("hinomi_otlp_received_samples_total", "Samples and histograms stored from requests of OTLP."),
            rejected: registry
                .counter("hinomi_otlp_rejected_points_total", "Points of OTLP that were not stored, or not whole."),
            warnings: registry.counters(
                "prometheus_api_otlp_translation_warnings_total",
                "The total number of warnings produced while translating OTLP metrics to the Prometheus model, by category.",
                &["category"],
            ),
            shed: registry.counter(
                "hinomi_otlp_shed_total",
                "Requests of OTLP put off, since memory is short (--storage.memory.budget-bytes).",
            ),
            cumulative: (options.delta == Delta::Summed).then(Cumulative::new),
            options,
        }
    }

    /// Whether memory is short. Counts those that are told so.
    pub(crate) fn sheds(&self) -> bool {
        let sheds = self.options.store.is_overloaded();
        self.shed.add(u64::from(sheds));
        sheds
    }

    /// Stores what `request` holds. Blocks on the store.
    pub(crate) fn receive(&self, mut request: Request) -> Result<Partial, StorageError> {
        let now_ms = self.options.clock.now_ms();
        let config = (self.options.config)();
        let mut batch = Batch::new(self.options.store.appender(now_ms), now_ms.saturating_add(AHEAD_MS_MAX));
        batch.has_zeros = self.options.start_zeros;
        if let Some(cumulative) = &self.cumulative {
            cumulative.convert(&mut request, now_ms, |n_points, why| batch.reject(n_points, || why));
        }
        let mut translation = Translation { config: &config, options: &self.options, batch, span_ms: None };
        let step_ms = (self.options.lookback_ms / 2).max(1);
        for resource in &request.resource_metrics {
            let labels = match ResourceLabels::new(&config, &resource.resource) {
                Ok(labels) => labels,
                Err(why) => {
                    let metrics = resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
                    translation.batch.reject(metrics.map(n_points).sum(), || format!("resource: {why}"));
                    continue;
                }
            };
            translation.span_ms = None;
            for scope in &resource.scope_metrics {
                match labels::of_scope(&config, scope) {
                    Ok(of_scope) => {
                        let mut of = Of { resource: &labels, scope: &of_scope, of_metric: Vec::new() };
                        scope.metrics.iter().for_each(|metric| translation.metric(&mut of, metric));
                    }
                    Err(why) => {
                        let n_rejected = scope.metrics.iter().map(n_points).sum();
                        translation
                            .batch
                            .reject(n_rejected, || format!("scope {:?}: {why}", scope.scope.name));
                    }
                }
            }
            translation.target_info(&labels, &resource.resource.attributes, step_ms);
        }
        let done = translation.batch.commit()?;
        self.samples.add(done.n_samples);
        self.rejected.add(done.partial.n_rejected);
        self.warnings.with(&["label_name_collision"]).add(done.n_joined);
        self.warnings.with(&["empty_data_points"]).add(done.n_empty);
        Ok(done.partial)
    }
}

/// Whose points they are.
struct Of<'a> {
    resource: &'a ResourceLabels,
    scope: &'a LabelsBuilder,
    /// Labels of the metric, which win over attributes.
    of_metric: Vec<(&'static str, String)>,
}

/// A request on its way into the store.
struct Translation<'a> {
    config: &'a OtlpConfig,
    options: &'a OtlpOptions,
    batch: Batch<'a>,
    /// First and last point of the resource at hand.
    span_ms: Option<(i64, i64)>,
}

fn n_points(metric: &Metric) -> u64 {
    fn len<P>(points: Option<&Points<P>>) -> usize {
        points.map_or(0, |points| points.data_points.len())
    }
    let numbers = len(metric.gauge.as_ref()) + len(metric.sum.as_ref());
    let histograms = len(metric.histogram.as_ref()) + len(metric.exponential_histogram.as_ref());
    (numbers + histograms + len(metric.summary.as_ref())) as u64
}

impl Translation<'_> {
    fn metric(&mut self, of: &mut Of<'_>, metric: &Metric) {
        let (metric_type, kind, temporality) = kind_of(metric);
        if n_points(metric) == 0 {
            self.batch.n_empty += 1;
            return;
        }
        let is_delta = temporality == Some(Temporality::Delta);
        if temporality == Some(Temporality::Unspecified) || is_delta && self.options.delta == Delta::Refused {
            let hint = if is_delta {
                ": send cumulative ones, or see --enable-feature=otlp-deltatocumulative"
            } else {
                ""
            };
            self.batch.reject(n_points(metric), || {
                format!("invalid temporality and type combination for metric {:?}{hint}", metric.name)
            });
            return;
        }
        let name = match names::metric(self.config, &metric.name, &metric.unit, kind) {
            Ok(name) if !name.is_empty() => name,
            Ok(_) => return self.batch.reject(n_points(metric), || "a metric has no name".to_owned()),
            Err(why) => return self.batch.reject(n_points(metric), || why),
        };
        let metadata = Metadata {
            metric_type: if is_delta { MetricType::Unknown } else { metric_type },
            help: metric.description.clone(),
            unit: names::unit(&metric.unit),
        };
        self.batch.metadata(&name, &metadata);
        if self.options.type_and_unit_labels {
            of.of_metric = metadata.labels().collect();
        }
        self.points(of, metric, &name, if is_delta { ResetHint::Gauge } else { ResetHint::Unknown });
    }

    fn points(&mut self, of: &Of<'_>, metric: &Metric, name: &str, hint: ResetHint) {
        for point in metric.gauge.iter().flat_map(|points| &points.data_points) {
            // What goes up and down begins nowhere.
            let at = Moment::new(point.time_unix_nano, 0);
            self.number(of, name, point, at, false);
        }
        if let Some(sum) = &metric.sum {
            for point in &sum.data_points {
                let start = if sum.is_monotonic { point.start_time_unix_nano } else { 0 };
                let at = Moment::new(point.time_unix_nano, start);
                self.number(of, name, point, at, true);
            }
        }
        for point in metric.histogram.iter().flat_map(|points| &points.data_points) {
            if self.config.convert_histograms_to_nhcb {
                let at = Moment::new(point.time_unix_nano, point.start_time_unix_nano);
                self.point(of, &point.attributes, at, |labels, batch| {
                    let histogram = histogram::custom(point, hint)?;
                    let labels = batch.named(labels, name)?;
                    batch.put_histogram(&labels, at, &histogram)?;
                    batch.put_exemplars(&labels, at, point.exemplars.iter());
                    Ok(())
                });
            } else {
                self.classic(of, name, point);
            }
        }
        for point in metric.exponential_histogram.iter().flat_map(|points| &points.data_points) {
            let at = Moment::new(point.time_unix_nano, point.start_time_unix_nano);
            self.point(of, &point.attributes, at, |labels, batch| {
                let histogram = histogram::exponential(point, hint)?;
                let labels = batch.named(labels, name)?;
                batch.put_histogram(&labels, at, &histogram)?;
                batch.put_exemplars(&labels, at, point.exemplars.iter());
                Ok(())
            });
        }
        for point in metric.summary.iter().flat_map(|points| &points.data_points) {
            self.summary(of, name, point);
        }
    }

    /// One point; what goes wrong with it is counted and named.
    fn point<'p>(
        &mut self,
        of: &Of<'_>,
        attributes: &'p [KeyValue],
        at: Moment,
        put: impl FnOnce(&mut LabelsBuilder, &mut Batch<'_>) -> Result<(), String> + 'p,
    ) {
        let (first_ms, last_ms) = self.span_ms.unwrap_or((at.t_ms, at.t_ms));
        self.span_ms = Some((first_ms.min(at.t_ms), last_ms.max(at.t_ms)));
        let made = labels::of_point(self.config, of.resource, of.scope, attributes);
        let done = made.and_then(|(mut labels, n_joined)| {
            self.batch.n_joined += n_joined;
            for (name, value) in &of.of_metric {
                labels.set(name, value);
            }
            put(&mut labels, &mut self.batch)
        });
        if let Err(why) = done {
            self.batch.reject(1, || why);
        }
    }

    fn number(&mut self, of: &Of<'_>, name: &str, point: &NumberPoint, at: Moment, has_exemplars: bool) {
        self.point(of, &point.attributes, at, |labels, batch| {
            let value = point.as_double.or(point.as_int.map(|value| value as f64)).unwrap_or(0.0);
            let labels = batch.named(labels, name)?;
            batch.put(&labels, at, recorded(value, point.flags))?;
            if has_exemplars {
                batch.put_exemplars(&labels, at, point.exemplars.iter());
            }
            Ok(())
        });
    }

    /// A histogram with explicit bounds, as the series of a classic one.
    fn classic(&mut self, of: &Of<'_>, name: &str, point: &HistogramPoint) {
        let at = Moment::new(point.time_unix_nano, point.start_time_unix_nano);
        self.point(of, &point.attributes, at, |labels, batch| {
            histogram::check_bounds(point)?;
            let count = recorded(point.count as f64, point.flags);
            if let Some(sum) = point.sum {
                let of_sum = batch.named(labels, &format!("{name}_sum"))?;
                batch.put(&of_sum, at, recorded(sum, point.flags))?;
            }
            let of_count = batch.named(labels, &format!("{name}_count"))?;
            batch.put(&of_count, at, count)?;
            let bucket = format!("{name}_bucket");
            let (mut below, mut lower) = (0u64, f64::NEG_INFINITY);
            for (bound, n_in) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
                below = below.saturating_add(*n_in);
                labels.set("le", &float::format_f(*bound));
                let of_bucket = batch.named(labels, &bucket)?;
                batch.put(&of_bucket, at, recorded(below as f64, point.flags))?;
                let here = |value: f64| value > lower && value <= *bound;
                batch.put_exemplars(
                    &of_bucket,
                    at,
                    point.exemplars.iter().filter(|it| here(batch::value_of(it))),
                );
                lower = *bound;
            }
            labels.set("le", "+Inf");
            let of_bucket = batch.named(labels, &bucket)?;
            batch.put(&of_bucket, at, count)?;
            let above = |value: f64| value > lower;
            batch.put_exemplars(
                &of_bucket,
                at,
                point.exemplars.iter().filter(|it| above(batch::value_of(it))),
            );
            Ok(())
        });
    }

    fn summary(&mut self, of: &Of<'_>, name: &str, point: &SummaryPoint) {
        let at = Moment::new(point.time_unix_nano, point.start_time_unix_nano);
        self.point(of, &point.attributes, at, |labels, batch| {
            for (suffix, value) in [("sum", point.sum), ("count", point.count as f64)] {
                let labels = batch.named(labels, &format!("{name}_{suffix}"))?;
                batch.put(&labels, at, recorded(value, point.flags))?;
            }
            for quantile in &point.quantile_values {
                labels.set("quantile", &float::format_f(quantile.quantile));
                let labels = batch.named(labels, name)?;
                batch.put(&labels, at, recorded(quantile.value, point.flags))?;
            }
            Ok(())
        });
    }

    /// What is known of the resource, often enough that queries find it wherever its points are.
    fn target_info(&mut self, resource: &ResourceLabels, attributes: &[KeyValue], step_ms: i64) {
        let Some((first_ms, last_ms)) = self.span_ms else { return };
        let made = labels::of_target(self.config, resource, attributes).and_then(|made| {
            let Some((mut labels, n_joined)) = made else { return Ok(None) };
            self.batch.n_joined += n_joined;
            self.batch.named(&mut labels, TARGET_INFO).map(Some)
        });
        let labels = match made {
            Ok(Some(labels)) => labels,
            Ok(None) => return,
            Err(why) => return self.batch.reject(0, || format!("{TARGET_INFO}: {why}")),
        };
        let help = "Target metadata".to_owned();
        let metadata = Metadata { metric_type: MetricType::Gauge, help, unit: String::new() };
        self.batch.metadata(TARGET_INFO, &metadata);
        let mut t_ms = first_ms.max(last_ms.saturating_sub(step_ms.saturating_mul(TARGET_SAMPLES_MAX)));
        while t_ms < last_ms {
            // The same resource may have sent it already.
            let _ = self.batch.put(&labels, Moment { t_ms, start_ms: 0 }, 1.0);
            t_ms += step_ms;
        }
        let _ = self.batch.put(&labels, Moment { t_ms: last_ms, start_ms: 0 }, 1.0);
    }
}

/// The value, or the end of the series.
fn recorded(value: f64, flags: u32) -> f64 {
    if flags & NO_RECORDED_VALUE != 0 { STALE_NAN } else { value }
}

/// Type for metadata, kind for the name, and what its counts mean.
fn kind_of(metric: &Metric) -> (MetricType, Kind, Option<Temporality>) {
    if metric.gauge.is_some() {
        return (MetricType::Gauge, Kind::Gauge, None);
    }
    if let Some(sum) = &metric.sum {
        let (metric_type, kind) = match sum.is_monotonic {
            true => (MetricType::Counter, Kind::Counter),
            false => (MetricType::Gauge, Kind::Other),
        };
        return (metric_type, kind, Some(sum.aggregation_temporality));
    }
    let histogram = metric.histogram.as_ref().map(|points| points.aggregation_temporality);
    let exponential = metric.exponential_histogram.as_ref().map(|points| points.aggregation_temporality);
    match histogram.or(exponential) {
        Some(temporality) => (MetricType::Histogram, Kind::Other, Some(temporality)),
        None => (MetricType::Summary, Kind::Other, None),
    }
}
