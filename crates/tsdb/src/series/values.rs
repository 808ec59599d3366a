//! The pairs of one name, sorted by their values: a list in blocks, so that adding to a million moves two kilobytes.
//!
//! Knows numbers only; the texts come from a closure of the caller.

use super::memory::allocated;

/// Pairs of a block. Chosen: 2 KB are moved in some 50 ns, and the list of blocks stays short.
const BLOCK_MAX: usize = 512;

/// Pair numbers by rising value.
#[derive(Debug, Default)]
pub(super) struct SortedPairs {
    /// None is empty.
    blocks: Vec<Vec<u32>>,
    len: usize,
}

impl SortedPairs {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a pair whose value is not there yet.
    pub(super) fn insert<'a>(&mut self, pair: u32, value: &str, text: impl Fn(u32) -> &'a str) {
        self.len += 1;
        let after = self.blocks.partition_point(|block| text(block[0]) <= value);
        let Some(at) = after.checked_sub(1) else {
            match self.blocks.first_mut() {
                Some(block) if block.len() < BLOCK_MAX => block.insert(0, pair),
                _ => self.blocks.insert(0, vec![pair]),
            }
            return;
        };
        let block = &mut self.blocks[at];
        let place = block.partition_point(|other| text(*other) < value);
        if block.len() < BLOCK_MAX {
            block.insert(place, pair);
        } else if place == block.len() {
            // Values that come sorted leave full blocks behind.
            self.blocks.insert(at + 1, vec![pair]);
        } else {
            let mut upper = block.split_off(BLOCK_MAX / 2);
            block.shrink_to_fit();
            match place.checked_sub(block.len()) {
                Some(place) => upper.insert(place, pair),
                None => block.insert(place, pair),
            }
            self.blocks.insert(at + 1, upper);
        }
    }

    /// Removes the pairs for which `is_dead` holds. O(pairs).
    pub(super) fn remove(&mut self, is_dead: impl Fn(u32) -> bool) {
        let mut left: Vec<Vec<u32>> = Vec::new();
        self.len = 0;
        for mut block in std::mem::take(&mut self.blocks) {
            block.retain(|pair| !is_dead(*pair));
            self.len += block.len();
            match left.last_mut() {
                _ if block.is_empty() => {}
                Some(last) if last.len() + block.len() <= BLOCK_MAX / 2 => last.extend_from_slice(&block),
                _ => {
                    if block.len() * 2 < block.capacity() {
                        block.shrink_to_fit();
                    }
                    left.push(block);
                }
            }
        }
        left.shrink_to_fit();
        self.blocks = left;
    }

    /// All pairs.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.blocks.iter().flatten().copied()
    }

    /// The pairs whose values are not less than `value`.
    pub(super) fn iter_from<'a>(
        &self,
        value: &str,
        text: impl Fn(u32) -> &'a str,
    ) -> impl Iterator<Item = u32> + '_ {
        let after = self.blocks.partition_point(|block| text(block[0]) <= value);
        let at = after.saturating_sub(1);
        let skip = self.blocks.get(at).map_or(0, |block| block.partition_point(|pair| text(*pair) < value));
        self.blocks[at.min(self.blocks.len())..].iter().flatten().copied().skip(skip)
    }

    /// O(blocks).
    pub(super) fn heap_bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| allocated(block.capacity() * size_of::<u32>()));
        blocks.sum::<usize>() + allocated(self.blocks.capacity() * size_of::<Vec<u32>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn stays_sorted(
            steps in proptest::collection::vec((0usize..3_000, 0usize..1_500, any::<bool>(), any::<bool>()), 1..12),
            seek in 0usize..4_000,
        ) {
            let texts: Vec<String> = (0..5_000).map(|n| format!("{:04}", n * 7 % 5_000)).collect();
            let text = |pair: u32| texts[pair as usize].as_str();
            let (mut list, mut model) = (SortedPairs::default(), BTreeMap::new());
            for (first, len, is_insert, is_rising) in steps {
                let pairs: BTreeSet<u32> = (first..first + len).map(|n| if is_rising { n * 2_143 % 5_000 } else { n } as u32).collect();
                if is_insert {
                    for pair in pairs {
                        if model.insert(text(pair), pair).is_none() {
                            list.insert(pair, text(pair), text);
                        }
                    }
                } else {
                    list.remove(|pair| pairs.contains(&pair));
                    model.retain(|_, pair| !pairs.contains(pair));
                }
            }
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
            prop_assert!(list.blocks.iter().all(|block| !block.is_empty() && block.len() <= BLOCK_MAX));
            let seek = format!("{seek:04}");
            let expected: Vec<u32> = model.range(seek.as_str()..).map(|(_, pair)| *pair).collect();
            prop_assert_eq!(list.iter_from(&seek, text).collect::<Vec<_>>(), expected);
        }
    }
}
