//! Random well-typed expressions, asked of two servers; where the answers differ, the smallest expression that shows it.
//!
//! In from two servers' HTTP APIs that hold the same data; out to a count, the differences, and how often each listed
//! rule was needed. Deterministic for a seed and the same data. Knows PromQL's grammar, not our parser.

pub mod ask;
pub mod catalogue;
pub mod compare;
pub mod coverage;
pub mod data;
pub mod expr;
pub mod generate;
pub mod modern;
pub mod shrink;
pub(crate) mod table;

/// A small generator of random numbers (SplitMix64), so that a seed gives the same expressions everywhere.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Seeded.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next_u64() % n as u64) as usize
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
