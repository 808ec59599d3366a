//! Which blocks are too old, or too much, and which of their series are. Pure, but for asking a block's index.

use model::Labels;
use roaring::RoaringBitmap;

use super::plan::BlockInfo;
use crate::block::Block;
use crate::error::TsdbError;
use crate::options::{Options, RetentionRule};

/// How long which series are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention<'a> {
    rules: &'a [RetentionRule],
    /// For all other series.
    other_ms: i64,
    /// The newest sample, or now, whichever is earlier.
    newest_ms: i64,
    /// Nothing without a rule goes from here on: it is not rolled up yet.
    floor_ms: i64,
}

impl<'a> Retention<'a> {
    /// `other_ms` is that of series without a rule.
    pub(crate) fn new(options: &'a Options, other_ms: i64, newest_ms: i64) -> Self {
        let rules = &options.retention_rules[..];
        Self { rules, other_ms, newest_ms, floor_ms: i64::MAX }
    }

    /// The same where series without a rule are kept from `floor_ms` on, whatever else holds.
    pub(crate) fn not_beyond(self, floor_ms: i64) -> Self {
        Self { floor_ms, ..self }
    }

    /// Whether a series has a retention of its own.
    pub(crate) fn has_rule(&self, labels: &Labels) -> bool {
        self.rules.iter().any(|rule| rule.fits(labels))
    }

    fn from(&self, retention_ms: i64) -> i64 {
        if retention_ms > 0 { self.newest_ms.saturating_sub(retention_ms) } else { i64::MIN }
    }

    fn other_from(&self) -> i64 {
        self.from(self.other_ms).min(self.floor_ms)
    }

    /// From when on samples of a series are kept, when there are rules.
    pub(crate) fn keep_from(&self, labels: &Labels) -> Option<i64> {
        let rule = self.rules.iter().find(|rule| rule.fits(labels));
        (!self.rules.is_empty())
            .then(|| rule.map_or_else(|| self.other_from(), |rule| self.from(rule.retention_ms)))
    }

    /// Whether a block has series that are too old in all of it.
    pub(crate) fn has_expired(&self, block: &Block) -> Result<bool, TsdbError> {
        let last_ms = block.range().end_ms;
        let is_old = |retention_ms: i64| last_ms < self.from(retention_ms);
        let others_are_old = last_ms < self.other_from();
        let any_old = others_are_old || self.rules.iter().any(|rule| is_old(rule.retention_ms));
        if self.rules.is_empty() || !any_old {
            return Ok(false);
        }
        let resolve = |rule: &RetentionRule| {
            block.index().resolve(&rule.matchers).map_err(|err| block.index_error(err))
        };
        let mut left = RoaringBitmap::from_sorted_iter(0..block.index().toc().n_series).unwrap_or_default();
        left -= &block.deleted().wholly;
        for rule in self.rules {
            let found = resolve(rule)? & &left;
            if is_old(rule.retention_ms) && !found.is_empty() {
                return Ok(true);
            }
            left -= found;
        }
        Ok(others_are_old && !left.is_empty())
    }
}

/// Names of blocks to remove. `blocks` are sorted by time; `other_bytes` is what else counts, such as the WAL.
///
/// By time, a block goes when all of it is older than `retention_ms` before the newest sample or `now_ms`, whichever
/// is earlier: a clock that is ahead while nothing is written removes nothing.
pub(crate) fn expired(
    blocks: &[BlockInfo],
    newest_ms: i64,
    now_ms: i64,
    retention_ms: i64,
    retention_bytes: u64,
    other_bytes: u64,
) -> Vec<String> {
    let oldest_ms = newest_ms.min(now_ms).saturating_sub(retention_ms);
    let too_old = |block: &&BlockInfo| retention_ms > 0 && block.last_ms < oldest_ms;
    let (old, kept): (Vec<&BlockInfo>, Vec<&BlockInfo>) = blocks.iter().partition(too_old);
    let mut names: Vec<String> = old.into_iter().map(|block| block.name.clone()).collect();
    let mut total_bytes = other_bytes + kept.iter().map(|block| block.size_bytes).sum::<u64>();
    if retention_bytes > 0 {
        for block in kept {
            if total_bytes <= retention_bytes {
                break;
            }
            total_bytes -= block.size_bytes;
            names.push(block.name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(now_ms: i64, retention_ms: i64, retention_bytes: u64, expected: &[&str]) {
        let block = |name: &str, last_ms| BlockInfo {
            name: name.to_owned(),
            min_ms: last_ms - 9,
            last_ms,
            size_bytes: 100,
            damaged: false,
        };
        let blocks = [block("a", 9), block("b", 19), block("c", 29)];
        assert_eq!(expired(&blocks, 29, now_ms, retention_ms, retention_bytes, 50), expected);
    }

    #[test]
    fn the_oldest_go_by_time_and_by_size() {
        check(29, 0, 0, &[]);
        check(29, 15, 0, &["a"]);
        check(29, 10, 0, &["a"]);
        check(29, 9, 0, &["a", "b"]);
        check(1_000_000, 15, 0, &["a"]);
        check(12, 15, 0, &[]);
        check(29, 0, 350, &[]);
        check(29, 0, 349, &["a"]);
        check(29, 15, 150, &["a", "b"]);
        check(29, 0, 10, &["a", "b", "c"]);
    }
}
