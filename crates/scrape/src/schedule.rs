//! When a target is due: at its own offset within the interval, so that scrapes are spread evenly.
//!
//! Pure: the driver says what time it is. The offset comes from the target's labels and URL and a seed of this server,
//! so it stays the same over restarts, while two servers of a pair scrape at different moments.

/// Timestamps are the scheduled time when a scrape begins within this of it, as in Prometheus: equal distances
/// compress better.
const ALIGN_TOLERANCE_MS_MAX: i64 = 2;
/// Moments of an interval at which targets are due lie so far apart. Chosen: targets that are due together wake the thread up once,
/// and are still spread evenly.
const GRID_MS: i64 = 20;
/// In a short interval there are still so many moments. Chosen.
const MOMENTS_MIN: i64 = 50;
/// Targets inside this process are scraped again so soon after the start, so that the first graphs have rates.
const WARM_UP_MS: [i64; 2] = [1_500, 3_000];

/// 64-bit FNV-1a, the same on every machine and in every version.
#[must_use]
pub fn fnv1a(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        // A byte that is in no UTF-8 text keeps parts apart.
        for byte in part.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    // FNV's high bits are weak for short inputs and the offset is a remainder: mix once (as MurmurHash3 ends).
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing for so many milliseconds, at least 1.
    Wait {
        /// How long.
        ms: i64,
    },
    /// Scrape now, with samples at this time.
    Scrape {
        /// Unix milliseconds.
        t_ms: i64,
        /// Due times passed over since the last scrape took too long.
        n_missed: u64,
    },
}

/// The schedule of one target.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval_ms: i64,
    offset_ms: i64,
    /// Due times out of the ordinary, in order.
    warm_up_ms: Vec<i64>,
    next_ms: i64,
}

impl Schedule {
    /// Due at `hash mod interval_ms` within each interval, first after `now_ms`.
    #[must_use]
    pub fn new(interval_ms: i64, hash: u64, now_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        let offset_ms = i64::try_from(hash % interval_ms.unsigned_abs()).expect("less than an i64");
        let offset_ms = offset_ms - offset_ms % GRID_MS.min(interval_ms / MOMENTS_MIN).max(1);
        Self {
            interval_ms,
            offset_ms,
            warm_up_ms: Vec::new(),
            next_ms: next_after(now_ms - 1, interval_ms, offset_ms),
        }
    }

    /// As [`Schedule::new`], and also due at once, after 1.5 s and after 3 s.
    #[must_use]
    pub fn with_warm_up(interval_ms: i64, hash: u64, now_ms: i64) -> Self {
        let mut schedule = Self::new(interval_ms, hash, now_ms + WARM_UP_MS[1] + 1_000);
        schedule.warm_up_ms = vec![now_ms, now_ms + WARM_UP_MS[0], now_ms + WARM_UP_MS[1]];
        schedule
    }

    /// When it is due next.
    #[must_use]
    pub fn next_ms(&self) -> i64 {
        self.warm_up_ms.first().copied().unwrap_or(self.next_ms)
    }

    /// Between scrapes.
    #[must_use]
    pub fn interval_ms(&self) -> i64 {
        self.interval_ms
    }

    /// What to do at `now_ms`.
    pub fn poll(&mut self, now_ms: i64) -> Step {
        let due_ms = self.next_ms();
        if due_ms > now_ms {
            // The wall clock was set back: do not stand still until it catches up.
            if due_ms - now_ms > self.interval_ms.max(WARM_UP_MS[1] + 1_000) + self.interval_ms {
                self.warm_up_ms.clear();
                self.next_ms = next_after(now_ms, self.interval_ms, self.offset_ms);
                return Step::Wait { ms: (self.next_ms - now_ms).max(1) };
            }
            return Step::Wait { ms: due_ms - now_ms };
        }
        let tolerance_ms = ALIGN_TOLERANCE_MS_MAX.min(self.interval_ms / 100);
        let t_ms = if now_ms - due_ms <= tolerance_ms { due_ms } else { now_ms };
        if !self.warm_up_ms.is_empty() {
            self.warm_up_ms.remove(0);
            return Step::Scrape { t_ms, n_missed: 0 };
        }
        self.next_ms = next_after(now_ms, self.interval_ms, self.offset_ms);
        let n_missed = ((self.next_ms - due_ms) / self.interval_ms - 1).max(0).unsigned_abs();
        Step::Scrape { t_ms, n_missed }
    }
}

/// The first time after `t_ms` that is `offset_ms` into an interval.
fn next_after(t_ms: i64, interval_ms: i64, offset_ms: i64) -> i64 {
    let start = (t_ms - offset_ms).div_euclid(interval_ms) * interval_ms + offset_ms;
    start + interval_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn due_once_per_interval_at_the_offset() {
        let mut schedule = Schedule::new(15_000, 4_000, 100_000);
        assert_eq!(schedule.poll(100_000), Step::Wait { ms: 9_000 });
        assert_eq!(schedule.poll(109_001), Step::Scrape { t_ms: 109_000, n_missed: 0 });
        assert_eq!(schedule.poll(109_100), Step::Wait { ms: 14_900 });
        assert_eq!(schedule.poll(124_050), Step::Scrape { t_ms: 124_050, n_missed: 0 });
        assert_eq!(schedule.poll(170_000), Step::Scrape { t_ms: 170_000, n_missed: 2 });
        assert_eq!(schedule.poll(170_000), Step::Wait { ms: 14_000 });
    }

    #[test]
    fn warm_up_comes_at_once_and_twice_soon() {
        let mut schedule = Schedule::with_warm_up(15_000, 4_000, 100_000);
        assert_eq!(schedule.poll(100_000), Step::Scrape { t_ms: 100_000, n_missed: 0 });
        assert_eq!(schedule.poll(100_100), Step::Wait { ms: 1_400 });
        assert_eq!(schedule.poll(101_500), Step::Scrape { t_ms: 101_500, n_missed: 0 });
        assert_eq!(schedule.poll(103_000), Step::Scrape { t_ms: 103_000, n_missed: 0 });
        assert_eq!(schedule.poll(103_000), Step::Wait { ms: 6_000 });
        assert_eq!(schedule.poll(109_000), Step::Scrape { t_ms: 109_000, n_missed: 0 });
    }

    #[test]
    fn a_clock_set_back_does_not_stop_scrapes() {
        let mut schedule = Schedule::new(15_000, 0, 1_000_000);
        assert!(matches!(schedule.poll(10_000), Step::Wait { ms } if ms <= 15_000));
    }

    #[test]
    fn targets_are_due_together_and_yet_spread() {
        for (interval_ms, n_moments) in [(10, 10), (100, 50), (1_000, 50), (15_000, 750)] {
            let due = (0..100_000).map(|hash| Schedule::new(interval_ms, hash, 0).next_ms());
            let moments: std::collections::BTreeSet<i64> = due.collect();
            assert_eq!(moments.len(), n_moments, "{interval_ms}");
        }
    }

    #[test]
    fn offsets_spread_evenly() {
        let mut per_second = [0u32; 15];
        for i in 0..3_000 {
            let hash = fnv1a(&[b"seed", format!("host-{i}:9100").as_bytes()]);
            per_second[usize::try_from(hash % 15_000 / 1_000).unwrap()] += 1;
        }
        assert!(per_second.iter().all(|n| (140..260).contains(n)), "{per_second:?}");
    }

    proptest! {
        #[test]
        fn never_twice_within_an_interval(steps in proptest::collection::vec(1i64..40_000, 1..50), hash: u64) {
            let mut schedule = Schedule::new(10_000, hash, 0);
            let (mut now_ms, mut slots) = (0, Vec::new());
            for step in steps {
                now_ms += step;
                if let Step::Scrape { .. } = schedule.poll(now_ms) {
                    slots.push((now_ms - schedule.offset_ms).div_euclid(10_000));
                }
            }
            prop_assert!(slots.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
