//! How well a fleet was scraped, from nothing but moments: due, done, missed, and how late.
//!
//! In: the moments of each target, by the generator's own clock or as stored. Out: a [`Summary`]. No server tells its schedule, but it
//! has one: every target is due once an interval at an offset that stays. The earliest that a target ever came within its interval is
//! taken for its schedule, and lag is counted from there, so that all servers are judged alike. A schedule that drifts would show as lag.

/// What became of the scrapes that were due in a span of time.
#[derive(Debug, Default, PartialEq, Clone)]
pub struct Summary {
    pub due: u64,
    pub done: u64,
    /// Milliseconds behind the schedule of those done, in order.
    pub lags_ms: Vec<i64>,
}

impl Summary {
    pub fn missed(&self) -> u64 {
        self.due - self.done
    }

    /// Lag that a share of the scrapes stayed within, in seconds.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.lags_ms, share)
    }
}

/// Of values in order, in thousandths; 0 where there are none.
pub fn quantile(sorted: &[i64], share: f64) -> f64 {
    let nth = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(nth.clamp(1, sorted.len().max(1)) - 1).map_or(0.0, |ms| *ms as f64 / 1_000.0)
}

/// Judges what was due in `from_ms..to_ms`. Moments outside of it help to find the schedule.
pub fn judge<'a>(
    targets: impl Iterator<Item = &'a [i64]>,
    interval_ms: i64,
    from_ms: i64,
    to_ms: i64,
) -> Summary {
    let mut all = Summary::default();
    for moments in targets {
        let Some(&first) = moments.first() else {
            all.due += ((to_ms - from_ms) / interval_ms).unsigned_abs();
            continue;
        };
        // The nearest whole number of intervals after the first: nobody is late by half an interval and yet in time.
        let slot = |at: i64| (at - first + interval_ms / 2).div_euclid(interval_ms);
        let start = moments.iter().map(|at| at - slot(*at) * interval_ms).min().unwrap_or(first);
        let wanted = |slot: i64| (from_ms..to_ms).contains(&(start + slot * interval_ms));
        let first_slot = (from_ms - start + interval_ms - 1).div_euclid(interval_ms);
        let end_slot = (to_ms - start + interval_ms - 1).div_euclid(interval_ms);
        all.due += (end_slot - first_slot).max(0).unsigned_abs();
        let mut last = None;
        for &at in moments.iter().filter(|at| wanted(slot(**at))) {
            if last.replace(slot(at)) != Some(slot(at)) {
                all.done += 1;
                all.lags_ms.push(at - start - slot(at) * interval_ms);
            }
        }
    }
    all.lags_ms.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_is_done_late_or_missed() {
        let check = |moments: &[i64], due: u64, lags_ms: &[i64]| {
            let found = judge([moments].into_iter(), 1_000, 10_000, 14_000);
            let want = Summary { due, done: lags_ms.len() as u64, lags_ms: lags_ms.to_vec() };
            assert_eq!(found, want, "{moments:?}");
        };
        check(&[9_300, 10_300, 11_300, 12_300, 13_300, 14_300], 4, &[0, 0, 0, 0]);
        // The first was late itself; the third did not come.
        check(&[10_350, 11_300, 13_700], 4, &[0, 50, 400]);
        // Due within, done after the end.
        check(&[9_900, 10_900, 11_900, 12_900, 14_100], 4, &[0, 0, 0, 200]);
        // Twice in an interval is once.
        check(&[10_000, 10_100, 11_000, 12_000, 13_000], 4, &[0, 0, 0, 0]);
        check(&[], 4, &[]);
        let found = judge([&[0_i64, 1_000][..], &[500, 1_510]].into_iter(), 1_000, 0, 2_000);
        assert_eq!((found.due, found.missed()), (4, 0));
        assert_eq!((found.quantile(0.5), found.quantile(0.99)), (0.0, 0.01));
    }
}
