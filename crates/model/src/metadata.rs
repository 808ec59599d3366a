//! What a target says of a metric: type, help, unit.

use std::fmt;

use crate::labels::{Labels, METRIC_TYPE, METRIC_UNIT};

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

impl MetricType {
    /// The type of this name, as OpenMetrics has them; `None` for any other text.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            "unknown" => Self::Unknown,
            _ => return None,
        })
    }

    /// The name, as OpenMetrics has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

impl Metadata {
    /// What labels say of type and unit.
    #[must_use]
    pub fn from_labels(labels: &Labels) -> Self {
        let metric_type = labels.get(METRIC_TYPE).and_then(MetricType::from_name).unwrap_or_default();
        Self { metric_type, help: String::new(), unit: labels.get(METRIC_UNIT).unwrap_or("").to_owned() }
    }

    /// Type and unit as labels of a series (`type-and-unit-labels`); what is not known is no label.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, String)> + use<'_> {
        let of_type = Some(self.metric_type).filter(|it| *it != MetricType::Unknown);
        let unit = Some(&self.unit).filter(|unit| !unit.is_empty());
        let of_type = of_type.map(|it| (METRIC_TYPE, it.to_string()));
        of_type.into_iter().chain(unit.map(|unit| (METRIC_UNIT, unit.clone())))
    }
}
