//! Series in the order of their labels, without building labels.
//!
//! Method: the pairs at hand get ranks by name and value, once; a label set is then a row of small numbers, of which as many as fit
//! are packed into one integer. Most comparisons are one instruction.

use std::cmp::Ordering;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::pairs::PairId;
use super::{SeriesId, SeriesTable, sets};

/// Ranks of pairs, from one up.
enum Ranks {
    /// Of all pairs, by number.
    All(Vec<u32>),
    /// Of some.
    Some(HashMap<PairId, u32>),
}

impl Ranks {
    fn get(&self, pair: PairId) -> u32 {
        match self {
            Self::All(ranks) => ranks[pair as usize],
            Self::Some(ranks) => ranks[&pair],
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::All(ranks) => ranks.len(),
            Self::Some(ranks) => ranks.len(),
        }
    }
}

impl SeriesTable {
    /// `ids` in the order of their labels, as [`model::Labels`] compare. Ids without a series are left out.
    #[must_use]
    pub fn sorted_by_labels(&self, ids: &RoaringBitmap) -> Vec<SeriesId> {
        let ranks = self.ranks(ids);
        let rank_bits = usize::BITS - ranks.len().leading_zeros();
        let n_packed = (u128::BITS / rank_bits.max(1)) as usize;
        let key = |set: &[u8]| {
            let mut left = u128::BITS;
            let mut key = 0;
            for pair in sets::pairs(set).take(n_packed) {
                left -= rank_bits;
                key |= u128::from(ranks.get(pair)) << left;
            }
            key
        };
        let mut sorted: Vec<(u128, SeriesId)> =
            ids.iter().filter_map(|id| Some((key(self.sets.get(id)?), id))).collect();
        let rest = |id: SeriesId| {
            let pairs = sets::pairs(self.sets.get(id).unwrap_or_default()).skip(n_packed);
            pairs.map(|pair| ranks.get(pair))
        };
        sorted.sort_unstable_by(|(a_key, a), (b_key, b)| match a_key.cmp(b_key) {
            Ordering::Equal => rest(*a).cmp(rest(*b)),
            order => order,
        });
        sorted.into_iter().map(|(_, id)| id).collect()
    }

    fn ranks(&self, ids: &RoaringBitmap) -> Ranks {
        /// Ranking all pairs costs a walk; ranking some costs a sort. Chosen.
        const WALK_RATIO: u64 = 4;
        if ids.len().saturating_mul(WALK_RATIO) >= self.pairs.len() as u64 {
            let mut ranks = vec![0; self.pairs.end() as usize];
            let pairs = self.pairs.names().flat_map(|(_, name)| name.values.iter());
            for (rank, pair) in (1..).zip(pairs) {
                ranks[pair as usize] = rank;
            }
            return Ranks::All(ranks);
        }
        let mut ranks = HashMap::new();
        for id in ids {
            ranks.extend(sets::pairs(self.sets.get(id).unwrap_or_default()).map(|pair| (pair, 0)));
        }
        let mut sorted: Vec<PairId> = ranks.keys().copied().collect();
        sorted.sort_unstable_by(|a, b| self.compare_pairs(*a, *b));
        for (rank, pair) in (1..).zip(sorted) {
            ranks.insert(pair, rank);
        }
        Ranks::Some(ranks)
    }

    fn compare_pairs(&self, a: PairId, b: PairId) -> Ordering {
        let (a, b) = (self.pairs.get(a), self.pairs.get(b));
        if a.name == b.name {
            return a.value.cmp(&b.value);
        }
        self.pairs.name(a.name).text.cmp(&self.pairs.name(b.name).text)
    }
}
