//! What a commit brings that is in no row: late samples, starts, histograms, exemplars, and values that were stored first.
//!
//! In from a commit and from replay, so that both come into the same state.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Exemplar, Histogram};

use super::Head;

/// Applies what stands in place of values in rows.
pub(crate) fn apply_firsts(head: &Head, firsts: &[(u32, i64, u64)]) {
    if firsts.is_empty() {
        return;
    }
    head.has_side.store(true, Ordering::Release);
    let mut side = head.side.lock();
    for (series, t_ms, bits) in firsts {
        head.newest_late_ms.fetch_max(*t_ms, Ordering::AcqRel);
        side.put_first(*series, *t_ms, *bits);
    }
}

/// Applies what stands beside rows.
pub(crate) fn apply_beside(
    head: &Head,
    epoch: u32,
    late: Vec<(u32, i64, u64)>,
    starts: Vec<(u32, i64, i64)>,
    histograms: Vec<(u32, i64, i64, Arc<Histogram>)>,
    exemplars: Vec<(u32, Exemplar)>,
) {
    if !late.is_empty() || !histograms.is_empty() || !starts.is_empty() {
        head.has_side.store(true, Ordering::Release);
        if !starts.is_empty() {
            head.has_starts.store(true, Ordering::Release);
        }
        let mut side = head.side.lock();
        for (series, t_ms, bits) in late {
            head.newest_late_ms.fetch_max(t_ms, Ordering::AcqRel);
            side.put_late(series, t_ms, bits);
        }
        for (series, t_ms, start_ms) in starts {
            let known = side.starts.entry(series).or_default();
            known.epoch = epoch;
            known.put(t_ms, start_ms);
        }
        for (series, t_ms, start_ms, histogram) in histograms {
            side.put_histogram(series, t_ms, (start_ms, histogram));
        }
    }
    if !exemplars.is_empty() {
        let mut ring = head.exemplars.lock();
        exemplars.into_iter().for_each(|(series, exemplar)| ring.put(series, exemplar));
    }
}
