//! What ends a query early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stdx::Clock;

/// Tells a running query to stop. Clones share one switch.
#[derive(Debug, Clone, Default)]
pub struct CancelToken {
    canceled: Arc<AtomicBool>,
    /// Another switch that counts, too.
    other: Option<Arc<AtomicBool>>,
}

impl CancelToken {
    /// A token that has not been used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops every query that holds a clone of this token.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    /// Whether it was used.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
            || self.other.as_ref().is_some_and(|other| other.load(Ordering::Relaxed))
    }

    /// A token that is used when this one is, or `other` is (`other`'s own second switch does not count).
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self { canceled: Arc::clone(&self.canceled), other: Some(Arc::clone(&other.canceled)) }
    }
}

/// When a query must be over, on a monotonic clock.
#[derive(Debug, Clone)]
pub struct Deadline {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The end, as [`Clock::monotonic`] counts.
    pub at: Duration,
}

impl Deadline {
    /// `timeout` from now.
    #[must_use]
    pub fn after(clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        let at = clock.monotonic().saturating_add(timeout);
        Self { clock, at }
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.clock.monotonic() >= self.at
    }
}
