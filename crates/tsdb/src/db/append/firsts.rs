//! Rows that say something else than what is stored: of two values at one time the first stays.
//!
//! In from the plan of a batch, which is settled and not written yet; out as its `firsts`. A sample that comes alone is judged before it is
//! planned. A row is taken whole: it repeats columns that nobody looks at, and may meet a late sample, or a row of the group that its
//! series was in before. Nearly all rows are newer than any of those, which costs two comparisons.

use std::sync::atomic::Ordering;

use super::follow::spelled_out;
use super::plan::Plan;
use crate::head::{NO_SERIES, Table};
use crate::row::GroupKind;

impl Plan<'_> {
    /// Finds what was stored first where planned rows have something else.
    pub(super) fn find_firsts(&mut self, table: &Table) {
        let late_ms = self.head.newest_late_ms.load(Ordering::Acquire);
        let mut firsts = Vec::new();
        for plan in self.groups.iter().filter(|plan| plan.kind == GroupKind::Following) {
            let upto_ms = plan.elsewhere_ms.max(late_ms);
            if plan.rows.first().is_none_or(|row| row.t_ms > upto_ms) {
                continue;
            }
            let (samples, columns) = spelled_out(self, plan, upto_ms);
            for (t_ms, column, bits) in samples {
                let series = columns.get(column as usize).copied().unwrap_or(NO_SERIES);
                if series == NO_SERIES {
                    continue;
                }
                let first = self.stored_at(table, series, plan.id, t_ms);
                firsts.extend(first.filter(|first| *first != bits).map(|first| (series, t_ms, first)));
            }
        }
        self.stats.n_refused += firsts.len() as u64;
        self.firsts = firsts;
    }

    /// The value that a series has at `t_ms` outside of `group`.
    fn stored_at(&self, table: &Table, series: u32, group: u32, t_ms: i64) -> Option<u64> {
        let beside = self.head.late_at(series, t_ms);
        let elsewhere = || {
            let mut places = table.places_of(series).filter(|place| place.group != group);
            places.find_map(|place| table.value_at(place, t_ms))
        };
        beside.or_else(elsewhere)
    }
}
