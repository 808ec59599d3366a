//! What a target says of a metric: type, help, unit.

use std::fmt;

/// The type that `# TYPE` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Only grows, but for resets.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// Buckets whose counts go down, too.
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// A constant 1 with facts as labels.
    Info,
    /// One of several states.
    StateSet,
    /// Not said.
    #[default]
    Unknown,
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        })
    }
}

/// What one target says of one metric family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// Its type.
    pub metric_type: MetricType,
    /// Its help text, unescaped.
    pub help: String,
    /// Its unit; empty when none was given.
    pub unit: String,
}
