//! Which blocks are too old, or too much. Pure.

use super::plan::BlockInfo;

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
