//! Metrics about ourselves: counters, gauges and histograms that any crate can hold, and one registry that lists them.
//!
//! Each crate declares its metrics once, in its `metrics.rs`, by name, help and label names, and registers them when
//! its task is built. The `/metrics` page and the self-scrape read [`Registry::render`].
//! Never blocks writers: values are atomics; only making a new labelled child takes a lock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

/// A value that only grows.
#[derive(Debug, Default)]
pub struct Counter {
    bits: AtomicU64,
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.bits.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.bits.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge {
    bits: AtomicU64,
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, delta: f64) {
        let _ = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + delta).to_bits())
        });
    }

    /// The value now.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }
}

/// A classic histogram with fixed upper bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    buckets: Vec<AtomicU64>,
    sum: Gauge,
}

/// Bounds in seconds for requests and disk work, from 1 ms to 10 s. Chosen.
pub const SECONDS_BOUNDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Histogram {
    /// An empty histogram; `bounds` must rise.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: Gauge::default() }
    }

    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        let idx = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.buckets[idx].fetch_add(1, Ordering::Relaxed);
        self.sum.add(value);
    }
}

/// One child of a family, for each set of label values.
#[derive(Debug)]
pub struct Family<M> {
    label_names: &'static [&'static str],
    children: RwLock<BTreeMap<Vec<String>, Arc<M>>>,
    make: fn() -> M,
}

impl<M> Family<M> {
    /// The child with these label values, made at first use. The caller bounds how many there can be.
    pub fn with(&self, label_values: &[&str]) -> Arc<M> {
        assert_eq!(label_values.len(), self.label_names.len(), "one value for each label name");
        let key: Vec<String> = label_values.iter().map(|value| (*value).to_owned()).collect();
        if let Some(child) = self.children.read().get(&key) {
            return Arc::clone(child);
        }
        Arc::clone(self.children.write().entry(key).or_insert_with(|| Arc::new((self.make)())))
    }

    /// Forgets children whose label values are not to be kept.
    pub fn retain(&self, keep: impl Fn(&[String]) -> bool) {
        self.children.write().retain(|values, _| keep(values));
    }

    /// Forgets a child, for things that went away.
    pub fn remove(&self, label_values: &[&str]) {
        let key: Vec<String> = label_values.iter().map(|value| (*value).to_owned()).collect();
        self.children.write().remove(&key);
    }
}

/// What a family is, in the exposition format's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

trait Render: Send + Sync + std::fmt::Debug {
    fn render(&self, name: &str, out: &mut String);
}

#[derive(Debug, Clone)]
struct Entry {
    help: &'static str,
    kind: Kind,
    metric: Arc<dyn Render>,
}

/// Computed when somebody looks, for values that live elsewhere.
type GaugeFn = Box<dyn Fn() -> f64 + Send + Sync>;

struct Computed(GaugeFn);

impl std::fmt::Debug for Computed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Computed")
    }
}

/// All metrics of this process.
#[derive(Debug, Default, Clone)]
pub struct Registry {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter without labels. `name` ends in `_total`.
    pub fn counter(&self, name: &str, help: &'static str) -> Arc<Counter> {
        self.counters(name, help, &[]).with(&[])
    }

    /// Counters told apart by labels.
    pub fn counters(
        &self,
        name: &str,
        help: &'static str,
        label_names: &'static [&'static str],
    ) -> Arc<Family<Counter>> {
        let family = Arc::new(Family { label_names, children: RwLock::default(), make: Counter::default });
        self.insert(name, help, Kind::Counter, family.clone());
        family
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &str, help: &'static str) -> Arc<Gauge> {
        self.gauges(name, help, &[]).with(&[])
    }

    /// Gauges told apart by labels.
    pub fn gauges(
        &self,
        name: &str,
        help: &'static str,
        label_names: &'static [&'static str],
    ) -> Arc<Family<Gauge>> {
        let family = Arc::new(Family { label_names, children: RwLock::default(), make: Gauge::default });
        self.insert(name, help, Kind::Gauge, family.clone());
        family
    }

    /// A gauge whose value is computed whenever the metrics are read.
    pub fn gauge_fn(&self, name: &str, help: &'static str, read: impl Fn() -> f64 + Send + Sync + 'static) {
        self.insert(name, help, Kind::Gauge, Arc::new(Computed(Box::new(read))));
    }

    /// A histogram of seconds, with [`SECONDS_BOUNDS`], told apart by labels.
    pub fn seconds(
        &self,
        name: &str,
        help: &'static str,
        label_names: &'static [&'static str],
    ) -> Arc<Family<Histogram>> {
        self.histograms(name, help, label_names, || Histogram::new(SECONDS_BOUNDS))
    }

    /// Histograms with bounds of their own, told apart by labels.
    pub fn histograms(
        &self,
        name: &str,
        help: &'static str,
        label_names: &'static [&'static str],
        make: fn() -> Histogram,
    ) -> Arc<Family<Histogram>> {
        let family = Arc::new(Family { label_names, children: RwLock::default(), make });
        self.insert(name, help, Kind::Histogram, family.clone());
        family
    }

    /// A second name for what is registered as `of`, for those who know it by that.
    pub fn also(&self, name: &str, of: &str) {
        let mut entries = self.entries.lock();
        let entry = entries.get(of).cloned();
        debug_assert!(entry.is_some(), "{of} is not registered yet");
        if let Some(entry) = entry {
            entries.insert(name.to_owned(), entry);
        }
    }

    /// Everything, in the Prometheus text format 0.0.4, sorted by name.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (name, entry) in self.entries.lock().iter() {
            let kind = match entry.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", entry.help);
            entry.metric.render(name, &mut out);
        }
        out
    }

    /// A second registration of a name takes the place of the first, as a task built anew after a reload does.
    fn insert(&self, name: &str, help: &'static str, kind: Kind, metric: Arc<dyn Render>) {
        self.entries.lock().insert(name.to_owned(), Entry { help, kind, metric });
    }
}

impl Render for Computed {
    fn render(&self, name: &str, out: &mut String) {
        let _ = writeln!(out, "{name} {}", Number((self.0)()));
    }
}

impl Render for Family<Counter> {
    fn render(&self, name: &str, out: &mut String) {
        for (values, child) in self.children.read().iter() {
            let _ = writeln!(out, "{name}{} {}", LabelText(self.label_names, values, None), child.get());
        }
    }
}

impl Render for Family<Gauge> {
    fn render(&self, name: &str, out: &mut String) {
        for (values, child) in self.children.read().iter() {
            let _ =
                writeln!(out, "{name}{} {}", LabelText(self.label_names, values, None), Number(child.get()));
        }
    }
}

impl Render for Family<Histogram> {
    fn render(&self, name: &str, out: &mut String) {
        for (values, child) in self.children.read().iter() {
            let mut n_below = 0;
            for (idx, bucket) in child.buckets.iter().enumerate() {
                n_below += bucket.load(Ordering::Relaxed);
                let bound = child.bounds.get(idx).copied().unwrap_or(f64::INFINITY);
                let labels = LabelText(self.label_names, values, Some(bound));
                let _ = writeln!(out, "{name}_bucket{labels} {n_below}");
            }
            let labels = LabelText(self.label_names, values, None);
            let _ = writeln!(out, "{name}_sum{labels} {}", Number(child.sum.get()));
            let _ = writeln!(out, "{name}_count{labels} {n_below}");
        }
    }
}

/// Writes `{a="x",le="0.1"}`, or nothing where there are no labels.
struct LabelText<'a>(&'a [&'a str], &'a [String], Option<f64>);

impl std::fmt::Display for LabelText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sep = '{';
        for (name, value) in self.0.iter().zip(self.1) {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            write!(f, "{sep}{name}=\"{value}\"")?;
            sep = ',';
        }
        if let Some(bound) = self.2 {
            write!(f, "{sep}le=\"{}\"", Number(bound))?;
            sep = ',';
        }
        if sep == ',' { f.write_str("}") } else { Ok(()) }
    }
}

/// A float as the text format spells it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            v if v == f64::INFINITY => f.write_str("+Inf"),
            v if v == f64::NEG_INFINITY => f.write_str("-Inf"),
            v if v.is_nan() => f.write_str("NaN"),
            v => write!(f, "{v}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_the_text_format() {
        let registry = Registry::new();
        let counter = registry.counter("a_total", "Counts.");
        registry.also("e_total", "a_total");
        counter.add(3);
        registry.gauges("b", "Gauges.", &["x"]).with(&["q\"\n"]).set(1.5);
        registry.gauge_fn("d", "Computed.", || f64::INFINITY);
        registry.seconds("c_seconds", "Took.", &[]).with(&[]).observe(0.3);
        let text = registry.render();
        assert!(text.starts_with("# HELP a_total Counts.\n# TYPE a_total counter\na_total 3\n"), "{text}");
        assert!(text.contains("b{x=\"q\\\"\\n\"} 1.5\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{le=\"0.25\"} 0\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{le=\"0.5\"} 1\n"), "{text}");
        assert!(text.contains("c_seconds_bucket{le=\"+Inf\"} 1\n"), "{text}");
        assert!(text.contains("c_seconds_count 1\n"), "{text}");
        assert!(text.contains("d +Inf\n"), "{text}");
        assert!(text.ends_with("# HELP e_total Counts.\n# TYPE e_total counter\ne_total 3\n"), "{text}");
    }
}
