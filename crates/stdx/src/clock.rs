//! The clock seam: the only place that reads the wall clock.
//!
//! Engines take `now_ms` as an argument; services hold an `Arc<dyn Clock>`.
//! Tests use [`TestClock`], which stands still until it is told to move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where simulated time begins: 2025-01-01T00:00:00Z. A constant, so that a seed replays.
pub const TEST_EPOCH_MS: i64 = 1_735_689_600_000;

/// Reads time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Unix time in milliseconds. May jump in either direction when the machine's clock is set.
    fn now_ms(&self) -> i64;

    /// Time since an arbitrary origin. Never goes back; for durations only.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the machine's clock")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// Whether the machine's clock shows a time before 1970, which is 0 here and does not pass.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the machine's clock")]
    pub fn is_before_1970(&self) -> bool {
        SystemTime::now() < UNIX_EPOCH
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the machine's clock")]
    fn now_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that moves only when told to. Starts at [`TEST_EPOCH_MS`].
#[derive(Debug)]
pub struct TestClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
}

impl TestClock {
    /// A clock standing at [`TEST_EPOCH_MS`].
    #[must_use]
    pub fn new() -> Self {
        Self { wall_ms: AtomicI64::new(TEST_EPOCH_MS), monotonic_ms: AtomicI64::new(0) }
    }

    /// Moves both the wall clock and the monotonic clock on by `delta_ms`, which must not be negative.
    pub fn advance_ms(&self, delta_ms: i64) {
        assert!(delta_ms >= 0, "a monotonic clock cannot go back; use jump_wall_ms");
        self.wall_ms.fetch_add(delta_ms, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(delta_ms, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an administrator or NTP would.
    pub fn jump_wall_ms(&self, wall_ms: i64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.monotonic_ms.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_clock_stands_still_until_told() {
        let clock = TestClock::new();
        assert_eq!(clock.now_ms(), TEST_EPOCH_MS);
        clock.advance_ms(1_500);
        assert_eq!(clock.now_ms(), TEST_EPOCH_MS + 1_500);
        clock.jump_wall_ms(7);
        assert_eq!(clock.now_ms(), 7);
        assert_eq!(clock.monotonic(), Duration::from_millis(1_500));
    }

    #[test]
    fn system_clock_is_after_the_test_epoch() {
        assert!(SystemClock::new().now_ms() > TEST_EPOCH_MS);
    }
}
