//! The pairs of one name, sorted by their values: a list in blocks, so that adding to a million moves one kilobyte.
//!
//! Knows numbers only; the texts come from a closure of the caller.

use super::memory::allocated;

/// Pairs of a block. Chosen: large enough that the blocks' first values stay in the processor's cache, small enough to search.
const BLOCK_MAX: usize = 256;

/// Pair numbers by rising value.
#[derive(Debug, Default)]
pub(super) struct SortedPairs {
    blocks: Vec<Block>,
    len: usize,
}

/// Neighbours in order; never none.
#[derive(Debug)]
struct Block {
    /// A copy of the first pair's value, so that finding a block reads no pair.
    first: Box<str>,
    pairs: Vec<u32>,
}

impl SortedPairs {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a pair whose value is not there yet.
    pub(super) fn insert<'a>(&mut self, pair: u32, value: &str, text: impl Fn(u32) -> &'a str) {
        self.len += 1;
        let at = self.block_of(value);
        let Some(block) = self.blocks.get_mut(at) else {
            // Most names have few values: no room for more blocks yet.
            self.blocks.reserve_exact(1);
            self.blocks.push(Block { first: value.into(), pairs: vec![pair] });
            return;
        };
        let place = block.pairs.partition_point(|other| text(*other) < value);
        if block.pairs.len() == BLOCK_MAX && place == BLOCK_MAX {
            // Values that come sorted leave full blocks behind.
            self.blocks.insert(at + 1, Block { first: value.into(), pairs: vec![pair] });
            return;
        }
        block.pairs.insert(place, pair);
        if place == 0 {
            block.first = value.into();
        }
        if block.pairs.len() > BLOCK_MAX {
            let pairs = block.pairs.split_off(BLOCK_MAX / 2);
            block.pairs.shrink_to_fit();
            self.blocks.insert(at + 1, Block { first: text(pairs[0]).into(), pairs });
        }
    }

    /// Removes the pairs for which `is_dead` holds. O(pairs).
    pub(super) fn remove<'a>(&mut self, is_dead: impl Fn(u32) -> bool, text: impl Fn(u32) -> &'a str) {
        let mut left: Vec<Block> = Vec::new();
        self.len = 0;
        for mut block in std::mem::take(&mut self.blocks) {
            let is_first_dead = is_dead(block.pairs[0]);
            block.pairs.retain(|pair| !is_dead(*pair));
            self.len += block.pairs.len();
            let Some(first) = block.pairs.first() else { continue };
            match left.last_mut() {
                Some(last) if last.pairs.len() + block.pairs.len() <= BLOCK_MAX / 2 => {
                    last.pairs.extend_from_slice(&block.pairs);
                }
                _ => {
                    if is_first_dead {
                        block.first = text(*first).into();
                    }
                    if block.pairs.len() * 2 < block.pairs.capacity() {
                        block.pairs.shrink_to_fit();
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
        self.blocks.iter().flat_map(|block| &block.pairs).copied()
    }

    /// The pairs whose values are not less than `value`.
    pub(super) fn iter_from<'a>(
        &self,
        value: &str,
        text: impl Fn(u32) -> &'a str,
    ) -> impl Iterator<Item = u32> + '_ {
        let blocks = self.blocks.get(self.block_of(value)..).unwrap_or_default();
        let skip = blocks.first().map_or(0, |block| block.pairs.partition_point(|pair| text(*pair) < value));
        blocks.iter().flat_map(|block| &block.pairs).copied().skip(skip)
    }

    /// The block that `value` belongs to: the last that begins at or before it, or the first.
    fn block_of(&self, value: &str) -> usize {
        self.blocks.partition_point(|block| *block.first <= *value).saturating_sub(1)
    }

    /// O(blocks).
    pub(super) fn heap_bytes(&self) -> usize {
        let of = |block: &Block| {
            allocated(block.first.len()) + allocated(block.pairs.capacity() * size_of::<u32>())
        };
        self.blocks.iter().map(of).sum::<usize>() + allocated(self.blocks.capacity() * size_of::<Block>())
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
                    list.remove(|pair| pairs.contains(&pair), text);
                    model.retain(|_, pair| !pairs.contains(pair));
                }
            }
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.iter().collect::<Vec<_>>(), model.values().copied().collect::<Vec<_>>());
            prop_assert!(list.blocks.iter().all(|block| *block.first == *text(block.pairs[0]) && block.pairs.len() <= BLOCK_MAX));
            let seek = format!("{seek:04}");
            let expected: Vec<u32> = model.range(seek.as_str()..).map(|(_, pair)| *pair).collect();
            prop_assert_eq!(list.iter_from(&seek, text).collect::<Vec<_>>(), expected);
        }
    }
}
