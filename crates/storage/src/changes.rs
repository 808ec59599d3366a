//! What has changed in a store since a moment, told by time: for caches of answers.
//!
//! In from the store, after each change and before it is acknowledged; out to whoever keeps answers. Says less than is true, never
//! more: "nothing before this time has changed".

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Moments told apart; older ones are joined, which makes their answers look older than they are. Chosen: hours of scrapes of a
/// thousand targets, as only changes that go further back than all later ones are kept.
const ENTRIES_MAX: usize = 4_096;

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    /// Epoch, and the earliest time that this or any later change touched; both rise.
    earliest: VecDeque<(u64, i64)>,
}

/// Knows how far back changes reach.
#[derive(Debug, Default)]
pub struct ChangeLog {
    state: Mutex<State>,
}

impl ChangeLog {
    /// Samples from `from_ms` on may be other than before. To be called after readers can see it, and before whoever made the
    /// change is told that it is done.
    pub fn touched(&self, from_ms: i64) {
        let mut state = self.state.lock();
        state.epoch += 1;
        while state.earliest.back().is_some_and(|(_, earlier_ms)| *earlier_ms >= from_ms) {
            state.earliest.pop_back();
        }
        let epoch = state.epoch;
        state.earliest.push_back((epoch, from_ms));
        if state.earliest.len() > ENTRIES_MAX
            && let Some((_, oldest_ms)) = state.earliest.pop_front()
            && let Some(next) = state.earliest.front_mut()
        {
            next.1 = oldest_ms;
        }
    }

    /// Now. What is read from here on has at least all changes up to this epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.state.lock().epoch
    }

    /// Nothing before this time has changed since `epoch`; `i64::MAX` when nothing has.
    #[must_use]
    pub fn unchanged_before_ms(&self, epoch: u64) -> i64 {
        let state = self.state.lock();
        let idx = state.earliest.partition_point(|(at, _)| *at <= epoch);
        state.earliest.get(idx).map_or(i64::MAX, |(_, from_ms)| *from_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_change_since_a_moment_counts() {
        let log = ChangeLog::default();
        assert_eq!(log.unchanged_before_ms(log.epoch()), i64::MAX);
        let mut epochs = vec![log.epoch()];
        for from_ms in [10, 20, 15, 30] {
            log.touched(from_ms);
            epochs.push(log.epoch());
        }
        let before: Vec<i64> = epochs.iter().map(|epoch| log.unchanged_before_ms(*epoch)).collect();
        assert_eq!(before, [10, 15, 15, 30, i64::MAX]);
    }

    #[test]
    fn joining_old_moments_never_says_more_than_is_true() {
        let log = ChangeLog::default();
        let first = log.epoch();
        for from_ms in 0..10 * ENTRIES_MAX as i64 {
            let before = log.epoch();
            log.touched(from_ms);
            assert_eq!(log.unchanged_before_ms(before), from_ms);
        }
        assert_eq!(log.unchanged_before_ms(first), 0);
        assert_eq!(log.unchanged_before_ms(first + 7), 0);
    }
}
