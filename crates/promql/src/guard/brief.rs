//! Which queries are known to be brief: so cheap the last time that they may run where they came in, without changing threads.
//!
//! In from whoever answers queries, which tells the cost after each; out a yes or no by the query's text. What is said here is a
//! guess from the past: the one who trusts it sets [`crate::QueryOptions::cost_max`], which ends a query that became dear.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Cost up to which a query is brief, in [`crate::Meter::cost`]'s units of about a nanosecond. Chosen: two hundred series, a tenth of
/// a millisecond, so that a thread which drives sockets is not kept from them.
pub const BRIEF_COST_MAX: u64 = 100_000;

/// Texts that are remembered, one for each place by hash; a newer one takes the place. Chosen: a few hundred dashboards.
const PLACES: usize = 4_096;

/// Remembers brief queries by hash of their text.
pub(super) struct Brief {
    hasher: RandomState,
    places: Vec<AtomicU64>,
}

impl Default for Brief {
    fn default() -> Self {
        Self { hasher: RandomState::new(), places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Brief {
    fn place(&self, text: &str) -> (&AtomicU64, u64) {
        // Zero is for places that are free.
        let hash = self.hasher.hash_one(text).max(1);
        (&self.places[hash as usize % PLACES], hash)
    }

    pub(super) fn knows(&self, text: &str) -> bool {
        let (place, hash) = self.place(text);
        place.load(Ordering::Relaxed) == hash
    }

    pub(super) fn remember(&self, text: &str, is_brief: bool) {
        let (place, hash) = self.place(text);
        if is_brief {
            place.store(hash, Ordering::Relaxed);
        } else {
            let _ = place.compare_exchange(hash, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_brief_until_it_was_not() {
        let brief = Brief::default();
        assert!(!brief.knows("up"));
        brief.remember("up", true);
        assert!(brief.knows("up") && !brief.knows("down"));
        brief.remember("down", false);
        assert!(brief.knows("up"));
        brief.remember("up", false);
        assert!(!brief.knows("up"));
    }
}
