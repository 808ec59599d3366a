//! Pages taken apart and put together again: what overlaps, what is small, and what is partly deleted.

use model::{Histogram, TimeRange};

use crate::page::PageKind;
use crate::page::{self, PageError};

/// Decoded rows of one kind, by rising time.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
    pub(super) histograms: Vec<Histogram>,
    /// Empty when none is known.
    pub(super) starts: Vec<i64>,
}

impl Rows {
    /// Of histograms by rising time.
    pub(crate) fn of_histograms(times: Vec<i64>, histograms: Vec<Histogram>) -> Self {
        Self { times, histograms, ..Self::default() }
    }

    /// When they are.
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    /// Adds the rows of a page, whose times are `times`. On failure `self` is unspecified.
    pub(super) fn decode(
        &mut self,
        kind: PageKind,
        times: &[i64],
        bytes: &[u8],
        starts: Option<&[u8]>,
    ) -> Result<(), PageError> {
        let before = self.times.len();
        self.times.extend_from_slice(times);
        if kind == PageKind::Histograms {
            page::decode_histograms(bytes, &mut self.histograms)?;
        } else {
            page::decode_values(bytes, &mut self.values)?;
        }
        if let Some(starts) = starts {
            self.starts.resize(before, 0);
            page::decode_starts(starts, &mut self.starts)?;
        } else if !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
        let n_rows = self.values.len().max(self.histograms.len());
        if n_rows != self.times.len() || !self.starts.is_empty() && self.starts.len() != n_rows {
            return Err(PageError::Damaged { what: "it has not as many rows as its column" });
        }
        Ok(())
    }

    /// Whether times rise strictly.
    pub(super) fn rises(&self) -> bool {
        self.times.windows(2).all(|pair| pair[0] < pair[1])
    }

    /// Sorts by time; of several rows at one time the first stays.
    pub(super) fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|idx| self.times[*idx]);
        order.dedup_by_key(|idx| self.times[*idx]);
        self.pick(&order);
    }

    /// Keeps the rows at which `keep` holds.
    pub(super) fn retain(&mut self, keep: impl Fn(i64) -> bool) {
        if self.times.iter().all(|t_ms| keep(*t_ms)) {
            return;
        }
        let order: Vec<usize> = (0..self.times.len()).filter(|idx| keep(self.times[*idx])).collect();
        self.pick(&order);
    }

    fn pick(&mut self, order: &[usize]) {
        self.times = order.iter().map(|idx| self.times[*idx]).collect();
        if !self.values.is_empty() {
            self.values = order.iter().map(|idx| self.values[*idx]).collect();
        }
        if !self.histograms.is_empty() {
            self.histograms = order.iter().map(|idx| std::mem::take(&mut self.histograms[*idx])).collect();
        }
        if !self.starts.is_empty() {
            self.starts = order.iter().map(|idx| self.starts[*idx]).collect();
        }
    }

    /// Appends `other`, whose rows come later.
    pub(super) fn append(&mut self, mut other: Self) {
        if !other.starts.is_empty() || !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
            other.starts.resize(other.times.len(), 0);
            self.starts.append(&mut other.starts);
        }
        self.times.append(&mut other.times);
        self.values.append(&mut other.values);
        self.histograms.append(&mut other.histograms);
    }

    /// Where a page that begins with row `from` has to end, at the latest `to`: histograms can be large.
    pub(crate) fn page_end(&self, from: usize, to: usize) -> usize {
        let mut n_cells = 0;
        let fits = |histogram: &&Histogram| {
            n_cells += page::histogram_cells(histogram);
            n_cells <= page::HISTOGRAM_CELLS_MAX
        };
        match self.histograms.get(from..to) {
            Some(histograms) => from + histograms.iter().take_while(fits).count().max(1),
            None => to,
        }
    }

    /// The page of rows `from..to`, and that of their start timestamps when one is known.
    pub(crate) fn encode(&self, kind: PageKind, from: usize, to: usize) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut bytes = Vec::new();
        if kind == PageKind::Histograms {
            let histograms: Vec<&Histogram> = self.histograms[from..to].iter().collect();
            page::encode_histograms(&histograms, &mut bytes);
        } else {
            page::encode_values(&self.values[from..to], &mut bytes);
        }
        let starts = self.starts.get(from..to).filter(|starts| starts.iter().any(|start_ms| *start_ms != 0));
        let starts = starts.map(|starts| {
            let mut bytes = Vec::new();
            page::encode_starts(starts, &mut bytes);
            bytes
        });
        (bytes, starts)
    }
}

/// Whether `t_ms` is in one of the rising intervals.
pub(super) fn is_in(intervals: &[TimeRange], t_ms: i64) -> bool {
    let at = intervals.partition_point(|interval| interval.end_ms < t_ms);
    intervals.get(at).is_some_and(|interval| interval.contains(t_ms))
}
