//! What functions of range vectors see: the samples of one series within one window; and what they say about it.

use std::ops::Range;

use model::Labels;
use storage::HistogramSample;

use super::start_time::is_overlap;
use crate::QueryOptions;
use crate::annotations::{Details, Severity, texts};
use crate::parse::ast::Span;

/// Samples of one series, and where the window's edges are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Unix milliseconds, rising.
    pub(crate) t_ms: &'a [i64],
    pub(crate) values: &'a [f64],
    /// Number of the first of `values` in its series; 0 where nobody asks.
    pub(crate) offset: usize,
    /// Since when `values` count, 0 where not known; empty where that is of no interest.
    pub(crate) starts: &'a [i64],
    /// By rising time.
    pub(crate) histograms: &'a [HistogramSample],
    /// The step at which the function is evaluated.
    pub(crate) eval_ms: i64,
    /// The left edge, which is not part of the window.
    pub(crate) start_ms: i64,
    /// The right edge, which is.
    pub(crate) end_ms: i64,
    /// Width as written.
    pub(crate) range_ms: i64,
    /// Tells functions of long windows when to stop: what they say then is not used.
    pub(crate) query: Option<&'a QueryOptions>,
}

/// Values that a function passes without a look whether to stop. Chosen: some milliseconds of work.
pub(crate) const PIECE: usize = 1 << 20;
/// Likewise of native histograms.
pub(crate) const HISTOGRAMS_PIECE: usize = 1 << 13;

impl<'a> Window<'a> {
    /// Whether somebody waits for the answer. Reads a clock.
    pub(crate) fn goes_on(&self) -> bool {
        self.query.is_none_or(|query| query.check_stop().is_ok())
    }

    /// Where the pieces of `n` samples begin and end; ends early when the query is to stop.
    pub(crate) fn pieces_of(&self, n: usize, piece: usize) -> impl Iterator<Item = Range<usize>> {
        let mut from = 0;
        std::iter::from_fn(move || {
            if from >= n || from > 0 && !self.goes_on() {
                return None;
            }
            let range = from..n.min(from + piece);
            from = range.end;
            Some(range)
        })
    }

    /// The floats, piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &'a [f64]> {
        let values = self.values;
        self.pieces_of(values.len(), PIECE).map(move |range| &values[range])
    }

    /// How many floats there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn range_s(&self) -> f64 {
        self.range_ms as f64 / 1000.0
    }

    /// When and since when the float `idx` is.
    pub(crate) fn stamp(&self, idx: usize) -> Stamp {
        Stamp { t_ms: self.t_ms[idx], start_ms: self.starts.get(idx).copied().unwrap_or(0) }
    }
}

/// When a sample was taken, and since when it counts (0 where not known).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) t_ms: i64,
    pub(crate) start_ms: i64,
}

impl From<&HistogramSample> for Stamp {
    fn from(sample: &HistogramSample) -> Self {
        Self { t_ms: sample.t_ms, start_ms: sample.start_ms }
    }
}

/// One thing to say.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) severity: Severity,
    pub(crate) text: String,
    pub(crate) details: Option<Details>,
}

/// What is to be said about one series, each text once.
#[derive(Debug)]
pub(crate) struct Notes<'a> {
    pub(crate) metric: &'a str,
    finished: FinishedNotes,
}

/// Notes without their series.
#[derive(Debug)]
pub(crate) struct FinishedNotes {
    pub(crate) span: Span,
    pub(crate) list: Vec<Note>,
}

impl FinishedNotes {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a> Notes<'a> {
    pub(crate) fn new(labels: &'a Labels, span: Span) -> Self {
        Self { metric: labels.metric_name(), finished: FinishedNotes { span, list: Vec::new() } }
    }

    fn add(&mut self, severity: Severity, text: String, details: Option<Details>) {
        let list = &mut self.finished.list;
        match list.iter_mut().find(|note| note.severity == severity && note.text == text) {
            Some(known) => {
                if let (Some(known), Some(new)) = (&mut known.details, details) {
                    known.join(new);
                }
            }
            None => list.push(Note { severity, text, details }),
        }
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.add(Severity::Warning, text.into(), None);
    }

    pub(crate) fn info(&mut self, text: impl Into<String>) {
        self.add(Severity::Info, text.into(), None);
    }

    /// Warns when any sample began to count before the one before it was taken, once per window.
    pub(crate) fn check_overlap(&mut self, stamps: impl Iterator<Item = Stamp>) {
        let mut previous: Option<Stamp> = None;
        for stamp in stamps {
            if previous.is_some_and(|previous| is_overlap(previous, stamp)) {
                let text = texts::start_time_overlap(self.metric);
                self.add(Severity::Warning, text, Some(Details::Occurrences(1)));
                return;
            }
            previous = Some(stamp);
        }
    }

    pub(crate) fn finish(self) -> FinishedNotes {
        self.finished
    }
}
