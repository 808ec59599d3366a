//! The answer of roll-ups to a selection: rows of all blocks that were asked, joined, and made samples of.
//!
//! Of each block the columns that the function needs are read side by side. Rows of which a column is damaged are left out.

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange};
use storage::{HistogramSample, QueryError, SelectHints, Series, SeriesSet};

use super::serve::{Need, Row, repeats};
use crate::block::Block;
use crate::page::PageKind;

/// A block and which of its rows are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) block: Arc<Block>,
    pub(crate) interval_ms: i64,
    pub(crate) range: TimeRange,
}

/// One column of one block.
type Peeked<'a> = (Box<dyn SeriesSet + 'a>, Option<Series>);

struct Cursor<'a> {
    interval_ms: i64,
    columns: Vec<Peeked<'a>>,
}

/// See the module.
pub(crate) struct RolledUpSet<'a> {
    /// Of equal rows the first cursor's counts.
    cursors: Vec<Cursor<'a>>,
    need: Need,
    hints: SelectHints,
    range: TimeRange,
    /// Raw samples follow in the same answer.
    beside_raw: bool,
    has_begun: bool,
}

impl RolledUpSet<'_> {
    /// Answers from `sources` with samples within `range`, after which raw samples follow or not.
    pub(crate) fn new(
        sources: &[Source],
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
        beside_raw: bool,
    ) -> Result<Self, QueryError> {
        let hints = SelectHints { summaries: false, ..hints.clone() };
        let need = if hints.labels_only { Need::Last } else { Need::of(&hints) };
        let mut cursors = Vec::with_capacity(sources.len());
        for source in sources {
            let mut columns: Vec<Peeked<'_>> = Vec::new();
            for kind in need.columns() {
                let set = match kind {
                    PageKind::Floats => source.block.select(matchers, source.range, &hints)?,
                    other => source.block.select_column(matchers, source.range, *other)?,
                };
                columns.push((set, None));
            }
            cursors.push(Cursor { interval_ms: source.interval_ms, columns });
        }
        Ok(Self { cursors, need, hints, range, beside_raw, has_begun: false })
    }

    fn begin(&mut self) -> Result<(), QueryError> {
        if !std::mem::replace(&mut self.has_begun, true) {
            for (set, peeked) in self.cursors.iter_mut().flat_map(|cursor| &mut cursor.columns) {
                *peeked = set.next()?;
            }
        }
        Ok(())
    }

    /// Samples of the rows and histograms of one series.
    fn series(
        &self,
        labels: Labels,
        mut rows: Vec<Row>,
        mut histograms: Vec<(i64, HistogramSample)>,
    ) -> Series {
        if !rows.is_sorted_by(|a, b| a.end_ms < b.end_ms) {
            rows.sort_by_key(|row| row.end_ms);
            rows.dedup_by_key(|row| row.end_ms);
        }
        if !histograms.is_sorted_by(|a, b| a.1.t_ms < b.1.t_ms) {
            histograms.sort_by_key(|(_, sample)| sample.t_ms);
            histograms.dedup_by_key(|(_, sample)| sample.t_ms);
        }
        let (times, values) = self.need.samples(&rows, &self.hints, self.range, self.beside_raw);
        let mut series = Series::floats(labels, Arc::new(times), values);
        series.histograms = self.histograms(&histograms);
        if !series.histograms.is_empty() {
            let times = Arc::clone(&series.timestamps);
            series.histograms.retain(|sample| times.binary_search(&sample.t_ms).is_err());
        }
        series
    }

    /// As floats are served, but not between samples.
    fn histograms(&self, samples: &[(i64, HistogramSample)]) -> Vec<HistogramSample> {
        let hints = &self.hints;
        let reach_ms = match self.need {
            Need::Last if hints.range_ms == 0 => hints.lookback_ms,
            Need::Last if hints.function == "last_over_time" => hints.range_ms,
            _ => 0,
        };
        let mut out = Vec::new();
        for (idx, (interval_ms, sample)) in samples.iter().enumerate() {
            let next_ms = samples.get(idx + 1).map_or(i64::MAX, |(_, next)| next.t_ms);
            let times = repeats(sample.t_ms, *interval_ms, reach_ms);
            for t_ms in times.filter(|t_ms| *t_ms < next_ms && self.range.contains(*t_ms)) {
                out.push(HistogramSample { t_ms, ..sample.clone() });
            }
        }
        out
    }
}

impl Cursor<'_> {
    /// Takes the next series of every column that has `labels`.
    fn take(
        &mut self,
        labels: &Labels,
        rows: &mut Vec<Row>,
        histograms: &mut Vec<(i64, HistogramSample)>,
    ) -> Result<(), QueryError> {
        let mut taken: Vec<Option<Series>> = Vec::with_capacity(self.columns.len());
        for (set, peeked) in &mut self.columns {
            let is_due = peeked.as_ref().is_some_and(|series| series.labels == *labels);
            taken.push(if is_due { std::mem::replace(peeked, set.next()?) } else { None });
        }
        if let Some(first) = taken.first_mut().and_then(Option::as_mut) {
            let own = std::mem::take(&mut first.histograms);
            histograms.extend(own.into_iter().map(|sample| (self.interval_ms, sample)));
        }
        let whole: Option<Vec<Series>> = taken.into_iter().collect();
        let Some([first, others @ ..]) = whole.as_deref() else { return Ok(()) };
        'rows: for (idx, (end_ms, value)) in first.timestamps.iter().zip(&first.values).enumerate() {
            let mut values = [*value, 0.0, 0.0];
            for (other, value) in others.iter().zip(&mut values[1..]) {
                // The same rows, but where something is damaged.
                let at = match other.timestamps.get(idx) {
                    Some(t_ms) if t_ms == end_ms => idx,
                    _ => match other.timestamps.binary_search(end_ms) {
                        Ok(at) => at,
                        Err(_) => continue 'rows,
                    },
                };
                *value = other.values[at];
            }
            rows.push(Row { end_ms: *end_ms, interval_ms: self.interval_ms, values });
        }
        Ok(())
    }
}

impl SeriesSet for RolledUpSet<'_> {
    fn next(&mut self) -> Result<Option<Series>, QueryError> {
        self.begin()?;
        loop {
            let peeked = self.cursors.iter().flat_map(|cursor| &cursor.columns);
            let labels = peeked.filter_map(|(_, peeked)| peeked.as_ref()).map(|series| &series.labels).min();
            let Some(labels) = labels.cloned() else { return Ok(None) };
            let (mut rows, mut histograms) = (Vec::new(), Vec::new());
            for cursor in &mut self.cursors {
                cursor.take(&labels, &mut rows, &mut histograms)?;
            }
            let series = self.series(labels, rows, histograms);
            if self.hints.labels_only || !series.is_empty() {
                return Ok(Some(series));
            }
        }
    }
    fn n_series_max(&self) -> usize {
        let of_cursor = |cursor: &Cursor<'_>| cursor.columns.first().map_or(0, |(set, _)| set.n_series_max());
        self.cursors.iter().map(of_cursor).max().unwrap_or(0)
    }

    fn cuts(&mut self, n: usize) -> Vec<Labels> {
        let columns = self.cursors.iter_mut().filter_map(|cursor| cursor.columns.first_mut());
        let largest = columns.max_by_key(|(set, _)| set.n_series_max());
        largest.map(|(set, _)| set.cuts(n)).unwrap_or_default()
    }

    fn split<'s>(&mut self, n: usize, cuts: &[Labels]) -> Vec<Box<dyn SeriesSet + 's>>
    where
        Self: 's,
    {
        let empty = || RolledUpSet {
            cursors: Vec::new(),
            need: self.need,
            hints: self.hints.clone(),
            range: self.range,
            beside_raw: self.beside_raw,
            has_begun: false,
        };
        let mut shares: Vec<RolledUpSet<'s>> = (0..n).map(|_| empty()).collect();
        for cursor in self.cursors.drain(..) {
            for share in &mut shares {
                share.cursors.push(Cursor { interval_ms: cursor.interval_ms, columns: Vec::new() });
            }
            for (mut set, _) in cursor.columns {
                for (share, part) in shares.iter_mut().zip(set.split(n, cuts)) {
                    if let Some(own) = share.cursors.last_mut() {
                        own.columns.push((part, None));
                    }
                }
            }
        }
        shares.into_iter().map(|share| -> Box<dyn SeriesSet + 's> { Box::new(share) }).collect()
    }
}
