//! A series of an intermediate result: one value per step, some of them absent; and the steps themselves.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use model::labels::{METRIC_NAME, METRIC_TYPE, METRIC_UNIT};
use model::{Histogram, Labels};

use super::pace::{LABELS_VALUES, Pace};
use crate::error::EvalError;
use crate::limits::STEPS_PER_SAMPLE;
use crate::options::QueryOptions;

/// Labels that are dropped together with the metric's name, as they describe it.
const METADATA_LABELS: [&str; 3] = [METRIC_NAME, METRIC_TYPE, METRIC_UNIT];

/// The steps of an evaluation, `start_ms + i * step_ms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) n_steps: usize,
}

impl Grid {
    /// A single step.
    pub(crate) fn instant(t_ms: i64) -> Self {
        Self { start_ms: t_ms, step_ms: 1, n_steps: 1 }
    }

    pub(crate) fn t_ms(&self, step: usize) -> i64 {
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step as i64))
    }

    /// The last step; the start when there is none.
    pub(crate) fn end_ms(&self) -> i64 {
        self.t_ms(self.n_steps.saturating_sub(1))
    }

    pub(crate) fn is_instant(&self) -> bool {
        self.n_steps == 1
    }
}

/// One series over the steps of a grid.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) labels: Labels,
    /// With delayed name removal: the name goes at the end of the query.
    pub(crate) drop_name: bool,
    /// More than the name was dropped from `labels`.
    pub(crate) lost_metadata: bool,
    pub(crate) values: Vec<f64>,
    /// Where `values` count.
    pub(crate) present: Vec<bool>,
    /// Native histograms, one place per step; empty when there is none. A step has a float or a histogram, never both.
    pub(crate) histograms: Vec<Option<Arc<Histogram>>>,
}

/// A value at one step.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl From<Histogram> for Cell {
    fn from(histogram: Histogram) -> Self {
        Self::Histogram(Arc::new(histogram))
    }
}

impl Column {
    pub(crate) fn absent(labels: Labels, n_steps: usize) -> Self {
        Self {
            labels,
            drop_name: false,
            lost_metadata: false,
            values: vec![0.0; n_steps],
            present: vec![false; n_steps],
            histograms: Vec::new(),
        }
    }

    pub(crate) fn full(labels: Labels, values: Vec<f64>) -> Self {
        let present = vec![true; values.len()];
        Self { labels, drop_name: false, lost_metadata: false, values, present, histograms: Vec::new() }
    }

    /// Without values, as another for which `self` stands.
    pub(crate) fn emptied(&self) -> Self {
        Self { drop_name: self.drop_name, ..Self::absent(self.labels.clone(), self.present.len()) }
    }

    pub(crate) fn get(&self, step: usize) -> Option<f64> {
        self.present[step].then(|| self.values[step])
    }

    pub(crate) fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present[step] = true;
    }

    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step)?.as_ref()
    }

    pub(crate) fn set_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.present.len()];
        }
        self.histograms[step] = Some(histogram);
    }

    /// The value of either kind.
    pub(crate) fn cell(&self, step: usize) -> Option<Cell> {
        match self.histogram(step) {
            Some(histogram) => Some(Cell::Histogram(Arc::clone(histogram))),
            None => self.get(step).map(Cell::Float),
        }
    }

    pub(crate) fn set_cell(&mut self, step: usize, cell: Cell) {
        match cell {
            Cell::Float(value) => self.set(step, value),
            Cell::Histogram(histogram) => self.set_histogram(step, histogram),
        }
    }

    /// Whether there is a value of either kind.
    pub(crate) fn has(&self, step: usize) -> bool {
        self.present[step] || self.histogram(step).is_some()
    }

    /// Where there are values of either kind.
    pub(crate) fn presence(&self) -> std::borrow::Cow<'_, [bool]> {
        if self.histograms.is_empty() {
            return std::borrow::Cow::Borrowed(&self.present);
        }
        (0..self.present.len()).map(|step| self.has(step)).collect()
    }

    /// Leaves only the steps at which `keep` holds.
    pub(crate) fn mask(&mut self, keep: impl Fn(usize) -> bool) {
        for (step, present) in self.present.iter_mut().enumerate() {
            *present &= keep(step);
        }
        for (step, histogram) in self.histograms.iter_mut().enumerate() {
            if !keep(step) {
                *histogram = None;
            }
        }
    }

    /// How many samples it counts for: those it has, but no less than its share of the memory for its steps.
    pub(crate) fn n_samples(&self) -> u64 {
        let n_present = self.present.iter().filter(|p| **p).count();
        let n_in_histograms: u64 = self.histograms.iter().flatten().map(|h| histogram_samples(h)).sum();
        n_present.max(self.present.len() / STEPS_PER_SAMPLE) as u64 + n_in_histograms
    }

    pub(crate) fn is_absent(&self) -> bool {
        !self.present.iter().any(|p| *p) && self.histograms.iter().all(Option::is_none)
    }

    /// The same value at `n_steps` steps.
    fn repeated(self, n_steps: usize) -> Self {
        let (value, present) = (self.values[0], self.present[0]);
        let histograms = self.histograms.first().map(|h| vec![h.clone(); n_steps]).unwrap_or_default();
        Self { values: vec![value; n_steps], present: vec![present; n_steps], histograms, ..self }
    }

    /// Takes the values of `other`; false when both have one at the same step.
    fn absorb(&mut self, other: &Self) -> bool {
        for step in 0..other.present.len() {
            if let Some(cell) = other.cell(step) {
                if self.has(step) {
                    return false;
                }
                self.set_cell(step, cell);
            }
        }
        true
    }
}

/// How many samples a histogram counts for, by its memory.
pub(crate) fn histogram_samples(h: &Histogram) -> u64 {
    const SAMPLE_BYTES: usize = 16;
    let n_words = h.positive_spans.len()
        + h.negative_spans.len()
        + h.positive_buckets.len()
        + h.negative_buckets.len()
        + h.custom_bounds.len();
    ((size_of::<Histogram>() + 8 * n_words) / SAMPLE_BYTES) as u64
}

/// What an expression evaluates to.
#[derive(Debug, Clone)]
pub(crate) enum Evaluated {
    /// One value per step.
    Scalar(Vec<f64>),
    /// A text.
    Text(String),
    /// Series, in the order that the expression gives.
    Vector(Vec<Column>),
}

impl Evaluated {
    pub(crate) fn n_samples(&self) -> u64 {
        match self {
            Self::Scalar(values) => values.len() as u64,
            Self::Text(_) => 0,
            Self::Vector(columns) => columns.iter().map(Column::n_samples).sum(),
        }
    }

    /// A value of one step, repeated.
    pub(crate) fn repeated(self, n_steps: usize) -> Self {
        match self {
            Self::Scalar(values) => Self::Scalar(vec![values[0]; n_steps]),
            Self::Text(text) => Self::Text(text),
            Self::Vector(columns) => Self::Vector(columns.into_iter().map(|c| c.repeated(n_steps)).collect()),
        }
    }
}

pub(crate) fn same_labelset() -> EvalError {
    EvalError::Execution("vector cannot contain metrics with the same labelset".to_owned())
}

/// Without the name and what describes it.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    without(labels, &METADATA_LABELS)
}

/// Without the labels in `names`.
pub(crate) fn without<S: AsRef<str>>(labels: &Labels, names: &[S]) -> Labels {
    if labels.iter().all(|(name, _)| !names.iter().any(|n| n.as_ref() == name)) {
        return labels.clone();
    }
    Labels::from_sorted(labels.iter().filter(|(name, _)| !names.iter().any(|n| n.as_ref() == *name)))
}

/// Only the labels in `names`.
pub(crate) fn only<S: AsRef<str>>(labels: &Labels, names: &[S]) -> Labels {
    Labels::from_sorted(labels.iter().filter(|(name, _)| names.iter().any(|n| n.as_ref() == *name)))
}

/// Joins series that came to have the same labels.
///
/// # Errors
/// When two of them have a value at the same step, or the query is to stop.
pub(crate) fn merge_equal(query: &QueryOptions, columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
    let mut pace = Pace::new(query);
    let mut seen: HashMap<Labels, usize> = HashMap::with_capacity(columns.len());
    let mut merged: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        pace.pass(LABELS_VALUES)?;
        match seen.entry(column.labels.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(merged.len());
                merged.push(column);
            }
            Entry::Occupied(slot) => {
                pace.pass(column.present.len())?;
                if !merged[*slot.get()].absorb(&column) {
                    return Err(same_labelset());
                }
            }
        }
    }
    Ok(merged)
}
