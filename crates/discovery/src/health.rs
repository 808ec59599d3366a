//! Whether a configuration's targets can be found just now, and since when not: for those who look at a page.
//!
//! In from [`crate::driver`]; out as [`SdHealth`], which may outlive what it speaks of.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::SdError;

/// Why no targets, or only those of before, come from a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong last, with its causes.
    pub error: String,
    /// When it first failed since it last went well, Unix milliseconds.
    pub since_ms: i64,
}

/// How one configuration does. Cheap to clone; all clones say the same.
#[derive(Debug, Clone)]
pub struct SdHealth {
    mechanism: &'static str,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl SdHealth {
    pub(crate) fn new(mechanism: &'static str) -> Self {
        Self { mechanism, trouble: Arc::default() }
    }

    pub(crate) fn failed(&self, error: &SdError, now_ms: i64) {
        let mut trouble = self.trouble.lock();
        let since_ms = trouble.as_ref().map_or(now_ms, |trouble| trouble.since_ms);
        *trouble = Some(Trouble { error: error.to_string(), since_ms });
    }

    pub(crate) fn recovered(&self) {
        *self.trouble.lock() = None;
    }

    /// The kind: `static`, `http` and so on.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// What is wrong; `None` when the last look went well, or there was none yet.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_has_its_first_time_and_its_last_words() {
        let health = SdHealth::new("http");
        assert_eq!(health.trouble(), None);
        health.failed(&SdError::other("one"), 5);
        health.failed(&SdError::other("two"), 9);
        let seen = health.clone().trouble().unwrap();
        assert_eq!((seen.error.as_str(), seen.since_ms), ("two", 5));
        health.recovered();
        assert_eq!(health.trouble(), None);
    }
}
