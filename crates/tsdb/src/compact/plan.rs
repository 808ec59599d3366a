//! Which blocks to merge next. Pure.
//!
//! Method: Prometheus' levelled compaction: ranges grow threefold from the block range up to a tenth of the retention;
//! overlapping blocks come first; the newest block waits, since its neighbours may still come.

/// No block spans more. From Prometheus.
const RANGE_MS_MAX: i64 = 31 * 24 * 60 * 60 * 1000;
/// Each level spans this many of the one below. From Prometheus.
const LEVEL_FACTOR: i64 = 3;

/// What the plan needs to know about a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockInfo {
    pub(crate) name: String,
    pub(crate) min_ms: i64,
    /// Last millisecond.
    pub(crate) last_ms: i64,
    pub(crate) size_bytes: u64,
    /// Not to be touched.
    pub(crate) damaged: bool,
}

/// The ranges that blocks grow through, smallest first.
pub(crate) fn compaction_ranges(block_ms: i64, retention_ms: i64) -> Vec<i64> {
    let limit = if retention_ms > 0 {
        (retention_ms / 10).clamp(block_ms, RANGE_MS_MAX.max(block_ms))
    } else {
        RANGE_MS_MAX
    };
    let next = |range: &i64| range.checked_mul(LEVEL_FACTOR).filter(|next| *next <= limit);
    std::iter::successors(Some(block_ms), next).collect()
}

/// What to merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Places in the list of blocks, rising; empty when there is nothing to do.
    pub(crate) group: Vec<usize>,
    /// Where one new block ends and the next begins.
    pub(crate) cuts: Vec<i64>,
}

/// The blocks to merge next. A block belongs to the range that it begins in, if it is no longer than that.
pub(crate) fn plan(blocks: &[BlockInfo], ranges: &[i64]) -> Plan {
    let mut whole: Vec<usize> = (0..blocks.len()).filter(|idx| !blocks[*idx].damaged).collect();
    whole.sort_by_key(|idx| (blocks[*idx].min_ms, *idx));
    let mut overlapping = overlapping(blocks, &whole);
    if !overlapping.is_empty() {
        let cuts = cuts(blocks, &overlapping);
        overlapping.sort_unstable();
        return Plan { group: overlapping, cuts };
    }
    let Some((newest, older)) = whole.split_last() else { return Plan::default() };
    let newest_ms = blocks[*newest].min_ms;
    for range_ms in ranges {
        let mut at = 0;
        while at < older.len() {
            let start_ms = blocks[older[at]].min_ms.div_euclid(*range_ms).saturating_mul(*range_ms);
            let end_ms = start_ms.saturating_add(*range_ms);
            let inside = |idx: &&usize| {
                let block = &blocks[**idx];
                block.min_ms >= start_ms && block.min_ms < end_ms && block.last_ms - block.min_ms < *range_ms
            };
            let mut group: Vec<usize> = older[at..].iter().take_while(inside).copied().collect();
            // Complete: nothing more will come into the range.
            if group.len() > 1 && newest_ms >= end_ms {
                group.sort_unstable();
                return Plan { group, cuts: Vec::new() };
            }
            at += group.len().max(1);
        }
    }
    Plan::default()
}

/// The first blocks that overlap each other, directly or through others.
fn overlapping(blocks: &[BlockInfo], by_time: &[usize]) -> Vec<usize> {
    let mut group: Vec<usize> = Vec::new();
    let mut last_ms = i64::MIN;
    for idx in by_time {
        let block = &blocks[*idx];
        if group.is_empty() || block.min_ms > last_ms {
            if group.len() > 1 {
                break;
            }
            group.clear();
            last_ms = block.last_ms;
        }
        group.push(*idx);
        last_ms = last_ms.max(block.last_ms);
    }
    if group.len() > 1 { group } else { Vec::new() }
}

/// So that a few late samples do not make one block of many, the largest blocks of the group that do not overlap each
/// other stay apart, and the rest goes to them.
fn cuts(blocks: &[BlockInfo], group: &[usize]) -> Vec<i64> {
    let mut by_size = group.to_vec();
    by_size.sort_by_key(|idx| (std::cmp::Reverse(blocks[*idx].size_bytes), *idx));
    let mut anchors: Vec<usize> = Vec::new();
    for idx in by_size {
        let block = &blocks[idx];
        let apart =
            |other: &usize| blocks[*other].last_ms < block.min_ms || block.last_ms < blocks[*other].min_ms;
        if anchors.iter().all(apart) {
            anchors.push(idx);
        }
    }
    let mut starts: Vec<i64> = anchors.iter().map(|idx| blocks[*idx].min_ms).collect();
    starts.sort_unstable();
    starts.remove(0);
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `spans` are first and last hour of each block.
    fn check(spans: &[(i64, i64)], expected: &[usize]) {
        let info = |(first, last): &(i64, i64)| BlockInfo {
            name: String::new(),
            min_ms: *first,
            last_ms: *last,
            size_bytes: 0,
            damaged: false,
        };
        let blocks: Vec<BlockInfo> = spans.iter().map(info).collect();
        assert_eq!(plan(&blocks, &[20, 60, 180]).group, expected, "{spans:?}");
    }

    #[test]
    fn plans_are_as_in_prometheus() {
        check(&[], &[]);
        check(&[(0, 19)], &[]);
        check(&[(0, 19), (20, 39), (40, 59)], &[]);
        check(&[(0, 19), (20, 39), (40, 59), (60, 79)], &[0, 1, 2]);
        check(&[(0, 19), (40, 59), (60, 79)], &[0, 1]);
        check(&[(0, 19), (40, 59), (50, 79)], &[1, 2]);
        check(&[(0, 59), (60, 119), (120, 179), (180, 199)], &[0, 1, 2]);
        check(&[(0, 59), (60, 119), (120, 139), (140, 159)], &[]);
        check(&[(-20, -1), (0, 19), (60, 79)], &[]);
        check(&[(-60, -41), (-40, -21), (0, 19), (60, 79)], &[0, 1]);
    }

    #[test]
    fn ranges_grow_to_a_tenth_of_the_retention() {
        assert_eq!(compaction_ranges(2, 1_000), [2, 6, 18, 54]);
        assert_eq!(compaction_ranges(2, 10), [2]);
        assert_eq!(compaction_ranges(2, 0).last(), Some(&(2 * 3i64.pow(19))));
    }
}
