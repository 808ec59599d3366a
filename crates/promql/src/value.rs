//! What a query answers.

use std::sync::Arc;

use model::{Histogram, Labels};

use crate::annotations::Annotations;

/// The answer of a query: its value and what should be said about it.
#[derive(Debug, Clone)]
pub struct Output {
    /// The value.
    pub value: Value,
    /// Warnings and infos, with positions in the query.
    pub annotations: Annotations,
    /// How many samples each step looked at, as Prometheus counts them for `stats`; empty unless that was asked for.
    pub samples_by_step: Vec<SampleCounts>,
}

/// Samples of a step, as Prometheus counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// All that it looked at.
    pub looked: u64,
    /// Of those, what the windows of the step before did not hold.
    pub read: u64,
}

impl SampleCounts {
    /// Of something that looks at each sample once.
    pub(crate) fn once(n: u64) -> Self {
        Self { looked: n, read: n }
    }
}

impl std::ops::AddAssign for SampleCounts {
    fn add_assign(&mut self, other: Self) {
        self.looked += other.looked;
        self.read += other.read;
    }
}

impl std::iter::Sum for SampleCounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

/// One of PromQL's four types of value.
#[derive(Debug, Clone)]
pub enum Value {
    /// A number.
    Scalar {
        /// Unix milliseconds.
        t_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// Unix milliseconds.
        t_ms: i64,
        /// The text.
        text: String,
    },
    /// Series with one value each, in the order that the expression gives (sorted ones stay sorted).
    Vector(Vec<VectorSample>),
    /// Series with several values each, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// A series with one value.
#[derive(Debug, Clone)]
pub struct VectorSample {
    /// Its identity.
    pub labels: Labels,
    /// Unix milliseconds.
    pub t_ms: i64,
    /// The value; 0 where it is a histogram.
    pub value: f64,
    /// The value, where it is a native histogram.
    pub histogram: Option<Arc<Histogram>>,
}

/// A series with several values.
#[derive(Debug, Clone)]
pub struct MatrixSeries {
    /// Its identity.
    pub labels: Labels,
    /// Unix milliseconds and value, by rising time.
    pub points: Vec<(i64, f64)>,
    /// Unix milliseconds and native histogram, by rising time. No time is also in `points`.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

impl Value {
    /// How the HTTP API names the type: `scalar`, `string`, `vector`, `matrix`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar { .. } => "scalar",
            Self::String { .. } => "string",
            Self::Vector(_) => "vector",
            Self::Matrix(_) => "matrix",
        }
    }
}
