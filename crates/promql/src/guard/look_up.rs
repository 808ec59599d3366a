//! What reads labels alone is bounded as queries are: by time, and by the memory that all of them share.
//!
//! In from whoever gathers label sets, names or values; out: whether it may go on.

use super::{Guard, Meter, SAMPLE_BYTES};
use crate::error::EvalError;
use crate::{CancelToken, Deadline};

/// A look-up that is under way. What it took of the memory for queries goes back with it.
#[derive(Debug)]
pub struct LookUp {
    meter: Meter,
    deadline: Deadline,
    cancel: CancelToken,
}

impl Guard {
    /// A look-up that may go on until `deadline`, or `cancel` says that nobody waits for it.
    #[must_use]
    pub fn look_up(&self, deadline: Deadline, cancel: CancelToken) -> LookUp {
        LookUp { meter: Meter::of(&self.inner.pool), deadline, cancel }
    }
}

impl LookUp {
    /// Takes `n_bytes` more of the memory for queries.
    ///
    /// # Errors
    /// When there is no more, the time is over, or nobody waits for the answer.
    pub fn take(&self, n_bytes: u64) -> Result<(), EvalError> {
        if self.cancel.is_canceled() {
            return Err(EvalError::Canceled);
        }
        if self.deadline.has_passed() {
            return Err(EvalError::Timeout);
        }
        Ok(self.meter.hold(n_bytes.div_ceil(SAMPLE_BYTES), false)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use stdx::metrics::Registry;
    use stdx::{Clock, MemDir, TestClock};

    use super::*;

    #[test]
    fn a_look_up_ends_where_memory_time_or_its_caller_do() {
        let clock = Arc::new(TestClock::new());
        let (guard, _) = Guard::open(4 << 20, Arc::new(MemDir::new()), &Registry::new());
        let begin = |cancel: &CancelToken| {
            let clock: Arc<dyn Clock> = clock.clone();
            guard.look_up(Deadline::after(clock, Duration::from_secs(9)), cancel.clone())
        };
        let cancel = CancelToken::new();
        let look_up = begin(&cancel);
        assert!(look_up.take(3 << 20).is_ok());
        assert!(matches!(look_up.take(2 << 20), Err(EvalError::MemoryUsedUp { limit_bytes: 4_194_304 })));
        drop(look_up);
        assert_eq!(guard.memory_bytes(), 0);
        let look_up = begin(&cancel);
        clock.advance_ms(9_000);
        assert!(matches!(look_up.take(1), Err(EvalError::Timeout)));
        cancel.cancel();
        assert!(matches!(look_up.take(1), Err(EvalError::Canceled)));
    }
}
