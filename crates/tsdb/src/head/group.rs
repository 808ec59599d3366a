//! Series that are sampled together: the times of their rows once, and a column for each.
//!
//! In from `commit`, which has written a row to the log before it is applied here, and from replay; out to `query` and to the
//! seal as pages. A group lives behind one lock: a reader sees all of a row or nothing of it.
//! Invariant: only a commit, which holds the log's lock, adds to a group.

use std::sync::Arc;

use model::STALE_NAN_BITS;
use parking_lot::Mutex;

use super::column::{Column, NO_SERIES};
use super::times::Times;
use crate::row::{GroupKind, Row};

/// Rows and columns, open or closed.
#[derive(Debug)]
pub(crate) struct Page {
    /// When it began: the number of the seal before it.
    pub(crate) epoch: u32,
    pub(crate) times: Times,
    pub(crate) columns: Vec<Column>,
}

impl Page {
    pub(crate) fn n_rows(&self) -> u32 {
        self.times.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let columns = self.columns.capacity() * size_of::<Column>();
        columns + self.times.memory_bytes() + self.columns.iter().map(Column::memory_bytes).sum::<usize>()
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: u32,
    pub(crate) kind: GroupKind,
    /// Time of the newest row, also after its page is gone; `i64::MIN` for none.
    pub(crate) newest_ms: i64,
    /// Its series may have samples in other groups up to this time; `i64::MIN` for never.
    pub(crate) elsewhere_ms: i64,
    pub(crate) page: Page,
    /// Pages to be sealed, oldest first.
    pub(crate) closed: Vec<Arc<Page>>,
    /// Columns of the last row, against which the log codes the next row's.
    pub(crate) mask: Vec<u64>,
    /// Columns that went to another group and that the writer does not know of yet.
    pub(crate) moved: Vec<u32>,
    n_live: u32,
    /// No longer in the table.
    pub(crate) gone: bool,
}

/// A group as it is shared.
pub(crate) type SharedGroup = Arc<Mutex<Group>>;

impl Group {
    pub(crate) fn new(id: u32, kind: GroupKind, epoch: u32) -> Self {
        Self {
            id,
            kind,
            newest_ms: i64::MIN,
            elsewhere_ms: i64::MIN,
            page: Page { epoch, times: Times::default(), columns: Vec::new() },
            closed: Vec::new(),
            mask: Vec::new(),
            moved: Vec::new(),
            n_live: 0,
            gone: false,
        }
    }

    pub(crate) fn n_rows(&self) -> u32 {
        self.page.n_rows()
    }

    /// Puts `series` at column `idx`, leaving places before it empty.
    pub(crate) fn set_column(&mut self, idx: u32, series: u32) {
        let idx = idx as usize;
        while self.page.columns.len() <= idx {
            self.page.columns.push(Column::new(NO_SERIES));
        }
        if self.page.columns[idx].series != series {
            self.page.columns[idx] = Column::new(series);
        }
    }

    /// Ends a column whose series is now elsewhere.
    pub(crate) fn close_column(&mut self, idx: u32) {
        let n_rows = self.n_rows();
        if let Some(column) = self.page.columns.get_mut(idx as usize) {
            self.n_live -= u32::from(column.is_live());
            column.close(n_rows);
        }
    }

    /// Begins a new page when this one has rows.
    pub(crate) fn turn_page(&mut self, epoch: u32) {
        let n_rows = self.n_rows();
        if n_rows > 0 {
            let times = std::mem::take(&mut self.page.times);
            let columns = self.page.columns.iter_mut().map(|column| column.turn_page(n_rows)).collect();
            self.closed.push(Arc::new(Page { epoch: self.page.epoch, times, columns }));
        }
        self.page.epoch = epoch;
    }

    /// All live columns with their values, changed by `changes` (by rising column): what the first row of a page says.
    pub(crate) fn full_changes(&self, changes: &[(u32, u64)]) -> Vec<(u32, u64)> {
        let mut out = Vec::with_capacity(self.n_live as usize + changes.len());
        let mut rest = changes.iter().copied().peekable();
        for (idx, column) in self.page.columns.iter().enumerate() {
            let idx = idx as u32;
            if let Some(change) = rest.next_if(|(at, _)| *at == idx) {
                out.push(change);
            } else if column.is_live() {
                out.push((idx, column.last_bits()));
            }
        }
        out.extend(rest);
        out
    }

    /// Applies a row; returns how many samples it has. Columns that do not exist are left out.
    pub(crate) fn apply(&mut self, row: Row) -> u64 {
        if row.full {
            self.turn_page(self.page.epoch);
            if self.kind == GroupKind::Following {
                self.page.columns.iter_mut().for_each(Column::forget);
                self.n_live = 0;
            }
        }
        let at = row.join.unwrap_or_else(|| self.page.times.push(row.t_ms));
        if row.join.is_none() {
            self.newest_ms = row.t_ms;
        }
        let mut n_samples = 0;
        for (idx, bits) in row.changes {
            let Some(column) = self.page.columns.get_mut(idx as usize) else { continue };
            match self.kind {
                GroupKind::Following => {
                    let was_live = column.is_live();
                    column.put_following(at, bits);
                    n_samples += u64::from(bits == STALE_NAN_BITS);
                    self.n_live = self.n_live + u32::from(column.is_live()) - u32::from(was_live);
                }
                GroupKind::Explicit => {
                    column.put_explicit(at, bits);
                    n_samples += 1;
                }
            }
        }
        self.mask = row.mask;
        n_samples + if self.kind == GroupKind::Following { u64::from(self.n_live) } else { 0 }
    }

    /// The number of the row at `t_ms` in the open page.
    pub(crate) fn row_at(&self, t_ms: i64) -> Option<u32> {
        if self.page.times.last_ms() == Some(t_ms) {
            return Some(self.n_rows() - 1);
        }
        if self.page.times.first_ms().is_none_or(|first_ms| t_ms < first_ms) || t_ms > self.newest_ms {
            return None;
        }
        self.page.times.decode().binary_search(&t_ms).ok().map(|row| row as u32)
    }

    /// The value of column `idx` at `t_ms`, in any page.
    pub(crate) fn value_at(&self, idx: u32, t_ms: i64) -> Option<u64> {
        let pages = self.closed.iter().map(|page| &**page).chain([&self.page]);
        for page in pages {
            let (Some(first_ms), Some(last_ms)) = (page.times.first_ms(), page.times.last_ms()) else {
                continue;
            };
            if t_ms < first_ms || t_ms > last_ms {
                continue;
            }
            if let Some(column) = page.columns.get(idx as usize)
                && let Ok(row) = page.times.decode().binary_search(&t_ms)
                && let Some(bits) = column.at(page.n_rows(), row as u32)
            {
                return Some(bits);
            }
        }
        None
    }

    /// Time of the newest sample of column `idx`; `None` when not known.
    pub(crate) fn newest_of(&self, idx: u32) -> Option<i64> {
        let column = self.page.columns.get(idx as usize)?;
        match column.upto(self.n_rows()) {
            Some(row) if row + 1 == self.n_rows() => self.page.times.last_ms(),
            Some(row) => self.page.times.decode().get(row as usize).copied(),
            None if column.was_at_last() => {
                let page_before = self.closed.last().and_then(|page| page.times.last_ms());
                page_before.or((self.n_rows() == 0).then_some(self.newest_ms))
            }
            None => None,
        }
    }

    /// First and last time of its pages.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let pages = self.closed.iter().map(|page| &page.times).chain([&self.page.times]);
        let spans = pages.filter_map(|times| Some((times.first_ms()?, times.last_ms()?)));
        spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let closed: usize = self.closed.iter().map(|page| page.memory_bytes()).sum();
        size_of::<Self>() + 64 + closed + self.page.memory_bytes() + self.mask.capacity() * 8
    }
}
