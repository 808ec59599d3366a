//! What there is to ask about: metrics, labels, values, the time the data spans, and what of the language the reference has.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::ask::{Server, When};

/// Metrics taken into account. Chosen: enough variety, few enough for joins to find partners.
const METRICS_MAX: usize = 60;
/// Values kept for each label.
const VALUES_MAX: usize = 40;
/// A function that was renamed in 3.0.
const SMOOTHING: &str = "double_exponential_smoothing";
const SMOOTHING_BEFORE_3: &str = "holt_winters";
/// How far back data is looked for, in milliseconds: a year.
const SPAN_MS: i64 = 365 * 24 * 3600 * 1000;

/// Parts of the language that not every version has, or not without a feature flag, each with a query that needs it.
const FORMS: [(&str, &str); 8] = [
    ("anchored", "rate(x[1m] anchored)"),
    ("duration", "rate(x[1m + 1m])"),
    ("fill", "x + fill (0) y"),
    ("fill_left", "x + fill_left (0) y"),
    ("fill_right", "x + fill_right (0) y"),
    ("limit_ratio", "limit_ratio(1, x)"),
    ("limitk", "limitk(1, x)"),
    ("smoothed", "x smoothed"),
];

/// What both servers hold.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Metric names.
    pub metrics: Vec<String>,
    /// Metrics that are classic histogram buckets.
    pub buckets: Vec<String>,
    /// Metrics that are native histograms.
    pub histograms: Vec<String>,
    /// Values of each label.
    pub labels: BTreeMap<String, Vec<String>>,
    /// First and last sample, in milliseconds.
    pub span: (i64, i64),
    /// A number of milliseconds within a second at which no sample lies: evaluating there keeps samples off the edges
    /// of windows, which are open on the left since Prometheus 3.
    pub quiet_ms: i64,
    /// The milliseconds within a second at which samples lie, where it is always the same.
    pub sample_ms: Option<i64>,
    /// The number before the first point of the reference's version.
    pub major_version: u32,
    /// Functions, aggregations and modifiers that the reference does not know.
    pub unknown: BTreeSet<String>,
    /// The reference knows `double_exponential_smoothing` by its name before 3.0.
    pub says_holt_winters: bool,
}

impl Catalogue {
    /// Asks the reference. `now_ms` is where data is looked for backwards from.
    ///
    /// # Errors
    /// When it cannot be asked, or has no data.
    pub fn learn(reference: &Server, now_ms: i64, functions: &[&str]) -> Result<Self> {
        let times =
            [("start", now_ms - SPAN_MS), ("end", now_ms)].map(|(n, ms)| (n, (ms / 1000).to_string()));
        let form: Vec<(&str, &str)> = times.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut form = form;
        form.push(("match[]", "{__name__=~\".+\"}"));
        let found = reference.post("series", &form)?.map_err(anyhow::Error::msg)?.data;
        let mut out = Self { major_version: reference.major_version()?, ..Self::default() };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for series in found.as_array().context("the reference names no series")? {
            for (name, value) in series.as_object().into_iter().flatten() {
                let value = value.as_str().unwrap_or_default().to_owned();
                if name == "__name__" {
                    *counts.entry(value).or_default() += 1;
                } else {
                    values.entry(name.clone()).or_default().insert(value);
                }
            }
        }
        out.choose_metrics(counts);
        out.labels = values
            .into_iter()
            .map(|(name, values)| (name, values.into_iter().take(VALUES_MAX).collect()))
            .collect();
        anyhow::ensure!(!out.metrics.is_empty(), "the reference has no series in the last year");
        out.find_span(reference, now_ms)?;
        out.find_histograms(reference, now_ms)?;
        for name in functions {
            let answer = reference.eval(&format!("{name}()"), When::Instant(now_ms))?;
            // `start` and `end` were keywords before they were functions.
            let is_unknown = |why: &String| {
                ["unknown function", "is not enabled", "unexpected \"(\"", "unexpected \\\"(\\\""]
                    .iter()
                    .any(|words| why.contains(words))
            };
            if answer.as_ref().is_err_and(is_unknown) {
                out.unknown.insert((*name).to_owned());
            }
        }
        for (name, query) in FORMS {
            if reference.eval(query, When::Instant(now_ms))?.is_err() {
                out.unknown.insert(name.to_owned());
            }
        }
        if out.unknown.contains(SMOOTHING) {
            let answer = reference.eval(&format!("{SMOOTHING_BEFORE_3}()"), When::Instant(now_ms))?;
            out.says_holt_winters = answer.is_err_and(|why| !why.contains("unknown function"));
            if out.says_holt_winters {
                out.unknown.remove(SMOOTHING);
            }
        }
        Ok(out)
    }

    /// An expression as the reference writes it.
    #[must_use]
    pub fn in_words_of_the_reference(&self, expr: &str) -> String {
        if self.says_holt_winters { expr.replace(SMOOTHING, SMOOTHING_BEFORE_3) } else { expr.to_owned() }
    }

    /// Few metrics with many series would make every query slow; many metrics keep a mix.
    fn choose_metrics(&mut self, counts: BTreeMap<String, usize>) {
        let mut by_count: Vec<(String, usize)> = counts.into_iter().collect();
        by_count.sort_by_key(|(name, count)| (*count < 2, name.clone()));
        let stride = by_count.len().div_ceil(METRICS_MAX).max(1);
        let chosen = by_count.iter().step_by(stride).map(|(name, _)| name.clone());
        let buckets = by_count.iter().map(|(name, _)| name.clone()).filter(|name| name.ends_with("_bucket"));
        self.buckets = buckets.take(5).collect();
        self.metrics = chosen.chain(self.buckets.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    }

    /// Whether the reference knows a function, aggregation or modifier.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        !self.unknown.contains(name)
    }

    /// Whether the reference means the same language as the target, so that its words and notices are compared, too.
    #[must_use]
    pub fn is_modern(&self) -> bool {
        self.major_version >= 3
    }

    fn find_histograms(&mut self, reference: &Server, now_ms: i64) -> Result<()> {
        for metric in &self.metrics {
            let query = format!("count(histogram_count(last_over_time({}[365d])))", as_selector(metric));
            let found = reference.eval(&query, When::Instant(now_ms))?;
            if found.is_ok_and(|reply| n_samples(&reply.data) > 0) {
                self.histograms.push(metric.clone());
            }
        }
        Ok(())
    }

    fn find_span(&mut self, reference: &Server, now_ms: i64) -> Result<()> {
        let metric = &self.metrics[0];
        let raw = reference.eval(&format!("{}[365d]", as_selector(metric)), When::Instant(now_ms))?;
        let raw = raw.map_err(anyhow::Error::msg)?.data;
        let mut times: Vec<i64> = Vec::new();
        for series in raw["result"].as_array().into_iter().flatten() {
            let values = ["values", "histograms"].iter().flat_map(|key| series[key].as_array()).flatten();
            times.extend(
                values.filter_map(|pair| pair[0].as_f64()).map(|secs| (secs * 1000.0).round() as i64),
            );
        }
        let first = times.iter().min().copied().context("the first metric has no samples")?;
        let last = times.iter().max().copied().context("the first metric has no samples")?;
        self.span = (first, last);
        let used: BTreeSet<i64> = times.iter().map(|t_ms| t_ms.rem_euclid(1000)).collect();
        self.quiet_ms = (1..1000).find(|ms| !used.contains(ms)).unwrap_or(1);
        self.sample_ms = used.first().copied().filter(|_| used.len() == 1);
        Ok(())
    }
}

/// How many samples an answer has.
#[must_use]
pub fn n_samples(data: &Value) -> usize {
    let series = data["result"].as_array().map_or(&[][..], Vec::as_slice);
    let n_points = |one: &Value| {
        ["values", "histograms"].iter().filter_map(|key| one[key].as_array()).map(Vec::len).sum::<usize>()
    };
    series.iter().map(|one| n_points(one).max(1)).sum()
}

/// A metric's name as a selector: in quotes and braces where it needs them.
#[must_use]
pub fn as_selector(metric: &str) -> String {
    if model::labels::is_legacy_metric_name(metric) { metric.to_owned() } else { format!("{{{metric:?}}}") }
}
