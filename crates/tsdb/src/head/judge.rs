//! Whether a sample that comes alone is taken, and where it goes. One rule for append and commit.

use super::group::Group;
use crate::row::GroupKind;

/// Where a sample of a series that is a column goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Into a new row.
    Row,
    /// Into this row of the open page.
    Join(u32),
    /// Same time, same bits: silently fine.
    Already,
    /// Same time, other bits.
    Duplicate,
    /// In order, but not for its group: it goes to another one.
    Displaced,
    /// Older than the column's newest, or beside the rows of a target.
    Late,
}

impl Group {
    /// `trusted_ms`: a newest row after this came from a clock that was wrong, and does not hold up the column.
    pub(crate) fn judge(&self, column: u32, t_ms: i64, bits: u64, trusted_ms: i64) -> Verdict {
        let Some(state) = self.page.columns.get(column as usize) else { return Verdict::Row };
        let compare = |have: u64| if have == bits { Verdict::Already } else { Verdict::Duplicate };
        let n_rows = self.n_rows();
        if self.kind == GroupKind::Following {
            return match self.newest_of_following(column) {
                Some(newest_ms) if t_ms > newest_ms && !state.is_live() => Verdict::Displaced,
                None if !state.is_live() => Verdict::Displaced,
                Some(newest_ms) if t_ms > newest_ms => Verdict::Late,
                _ => self.value_at(column, t_ms).map_or(Verdict::Late, compare),
            };
        }
        if t_ms > self.newest_ms {
            return Verdict::Row;
        }
        if self.newest_ms > trusted_ms && t_ms <= trusted_ms {
            return self.value_at(column, t_ms).map_or(Verdict::Row, compare);
        }
        if t_ms == self.newest_ms {
            return match state.upto(n_rows) {
                Some(row) if row + 1 == n_rows => compare(state.last_bits()),
                _ if n_rows > 0 => Verdict::Join(n_rows - 1),
                _ if state.was_at_last() => compare(state.last_bits()),
                _ => Verdict::Row,
            };
        }
        if let Some(have) = self.value_at(column, t_ms) {
            return compare(have);
        }
        match self.newest_of(column) {
            Some(newest_ms) if newest_ms > t_ms => Verdict::Late,
            _ => self.row_at(t_ms).map_or(Verdict::Displaced, Verdict::Join),
        }
    }

    /// Time of the newest sample of column `idx`, repeated ones included; `None` when not known.
    pub(crate) fn newest_of_any(&self, column: u32) -> Option<i64> {
        match self.kind {
            GroupKind::Following => self.newest_of_following(column),
            GroupKind::Explicit => self.newest_of(column),
        }
    }

    fn newest_of_following(&self, column: u32) -> Option<i64> {
        let state = self.page.columns.get(column as usize)?;
        if state.is_live() { Some(self.newest_ms) } else { self.newest_of(column) }
    }
}
