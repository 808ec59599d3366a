//! The series of one label pair: sixteen bytes while they are few or neighbours, a bitmap when they are many.
//!
//! A target's series get neighbouring ids, so the lists of its labels are one range each and cost nothing per series; a pair with
//! few series stays inline. Never holds an id twice. Method: docs/adr/0002.

use roaring::RoaringBitmap;

use super::SeriesId;
use super::memory::allocated;

/// Ids beside the tag. Chosen: as many as fit sixteen bytes.
const FEW: usize = 3;
/// Longest list of single ids; more become a bitmap. Chosen: a bitmap costs some 200 bytes before its first id.
const LIST_MAX: usize = 64;

/// Ids there may be for each id there is, up to which lists are united as bits: a kilobyte of bits for a thousand ids. Chosen.
const SPAN_PER_ID: usize = 8;

/// What an id costs that came after the last count: two bytes in a list that grows by doubling. Chosen.
const NEW_ID_BYTES: usize = 3;

/// A set of series.
#[derive(Debug, Clone)]
pub(super) enum Postings {
    /// The first `n` of `ids`, rising.
    Few { n: u8, ids: [SeriesId; FEW] },
    /// `len` neighbours; never fewer than four.
    Range { first: SeriesId, len: u32 },
    /// Rising; never more than [`LIST_MAX`]. Boxed twice, since a vector alone would make each pair longer.
    List(Box<List>),
    /// Many.
    Bitmap(Box<Counted>),
}

#[derive(Debug, Clone)]
pub(super) struct List(Vec<SeriesId>);

/// A bitmap and what is known of it without walking it.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    ids: RoaringBitmap,
    len: usize,
    /// As counted when it had `counted_len` ids.
    counted_bytes: usize,
    counted_len: usize,
    /// Length from which on it is packed and counted again.
    recount_at: usize,
}

impl Default for Postings {
    fn default() -> Self {
        Self::Few { n: 0, ids: [0; FEW] }
    }
}

impl Postings {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few { n, .. } => usize::from(*n),
            Self::Range { len, .. } => *len as usize,
            Self::List(list) => list.0.len(),
            Self::Bitmap(bitmap) => bitmap.len,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn first(&self) -> Option<SeriesId> {
        match self {
            Self::Few { .. } | Self::List(_) => self.listed()?.first().copied(),
            Self::Range { first, .. } => Some(*first),
            Self::Bitmap(bitmap) => bitmap.ids.min(),
        }
    }

    fn last(&self) -> Option<SeriesId> {
        match self {
            Self::Few { .. } | Self::List(_) => self.listed()?.last().copied(),
            Self::Range { first, len } => Some(*first + (*len - 1)),
            Self::Bitmap(bitmap) => bitmap.ids.max(),
        }
    }

    /// What uniting it with others costs, in ids.
    pub(super) fn cost(&self) -> usize {
        if let Self::Range { .. } = self { 1 } else { self.len() }
    }

    /// Bytes behind it, at most a quarter of a bitmap out of date.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Few { .. } | Self::Range { .. } => 0,
            Self::List(list) => {
                allocated(size_of::<List>()) + allocated(list.0.capacity() * size_of::<SeriesId>())
            }
            Self::Bitmap(bitmap) => allocated(size_of::<Counted>()) + bitmap.heap_bytes(),
        }
    }

    /// Adds an id, usually one higher than all others.
    pub(super) fn insert(&mut self, id: SeriesId) {
        match self {
            Self::Few { n, ids } => {
                let few = &ids[..usize::from(*n)];
                let Err(at) = few.binary_search(&id) else { return };
                if few.len() < FEW {
                    ids.copy_within(at..usize::from(*n), at + 1);
                    ids[at] = id;
                    *n += 1;
                } else {
                    let mut list = few.to_vec();
                    list.insert(at, id);
                    *self = Self::from_sorted(list);
                }
            }
            Self::Range { first, len } => {
                let end = u64::from(*first) + u64::from(*len);
                if u64::from(id) == end {
                    *len += 1;
                } else if !(u64::from(*first)..end).contains(&u64::from(id)) {
                    let mut ids = self.to_bitmap();
                    ids.insert(id);
                    *self = Self::from_bitmap(ids);
                }
            }
            Self::List(list) => {
                let Err(at) = list.0.binary_search(&id) else { return };
                if list.0.len() < LIST_MAX {
                    list.0.insert(at, id);
                } else {
                    let mut ids = self.to_bitmap();
                    ids.insert(id);
                    *self = Self::from_bitmap(ids);
                }
            }
            Self::Bitmap(bitmap) => bitmap.insert(id),
        }
    }

    /// Removes `dead`; returns how many there were.
    pub(super) fn remove(&mut self, dead: &RoaringBitmap) -> usize {
        let n_before = self.len();
        match self {
            Self::Few { n, ids } => {
                let mut left = 0;
                for at in 0..usize::from(*n) {
                    if !dead.contains(ids[at]) {
                        ids[left] = ids[at];
                        left += 1;
                    }
                }
                *n = left as u8;
            }
            Self::Range { first, len } => match dead.range_cardinality(*first..=*first + (*len - 1)) {
                0 => {}
                n if n == u64::from(*len) => *self = Self::default(),
                _ => *self = Self::from_bitmap(self.to_bitmap() - dead),
            },
            Self::List(list) => {
                list.0.retain(|id| !dead.contains(*id));
                if list.0.len() <= FEW || list.0.len() * 2 < list.0.capacity() {
                    *self = Self::from_sorted(std::mem::take(&mut list.0));
                }
            }
            Self::Bitmap(bitmap) => {
                bitmap.ids -= dead;
                if bitmap.ids.len() != bitmap.len as u64 {
                    *self = Self::from_bitmap(std::mem::take(&mut bitmap.ids));
                }
            }
        }
        n_before - self.len()
    }

    fn from_sorted(mut list: Vec<SeriesId>) -> Self {
        let len = list.len();
        match *list.as_slice() {
            [first, .., last] if len > FEW && (last - first) as usize == len - 1 => {
                Self::Range { first, len: len as u32 }
            }
            _ if len <= FEW => {
                let mut ids = [0; FEW];
                ids[..len].copy_from_slice(&list);
                Self::Few { n: len as u8, ids }
            }
            _ if len <= LIST_MAX => {
                list.shrink_to_fit();
                Self::List(Box::new(List(list)))
            }
            _ => {
                let ids = RoaringBitmap::from_sorted_iter(list).expect("the list rises");
                Self::Bitmap(Box::new(Counted::new(ids)))
            }
        }
    }

    fn from_bitmap(ids: RoaringBitmap) -> Self {
        let len = ids.len();
        if len <= LIST_MAX as u64 {
            return Self::from_sorted(ids.iter().collect());
        }
        match (ids.min(), ids.max(), u32::try_from(len)) {
            (Some(first), Some(last), Ok(len)) if last - first == len - 1 => Self::Range { first, len },
            _ => Self::Bitmap(Box::new(Counted::new(ids))),
        }
    }

    /// Rising ids, where they are listed one by one.
    fn listed(&self) -> Option<&[SeriesId]> {
        match self {
            Self::Few { n, ids } => Some(&ids[..usize::from(*n)]),
            Self::List(list) => Some(&list.0),
            Self::Range { .. } | Self::Bitmap(_) => None,
        }
    }

    pub(super) fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::Bitmap(bitmap) => bitmap.ids.clone(),
            _ => {
                let mut ids = RoaringBitmap::new();
                self.add_to(&mut ids);
                ids
            }
        }
    }

    /// `ids` ∪ these.
    pub(super) fn add_to(&self, ids: &mut RoaringBitmap) {
        match self {
            Self::Few { .. } | Self::List(_) => ids.extend(self.listed().unwrap_or_default()),
            Self::Range { first, len } => {
                ids.insert_range(*first..=*first + (*len - 1));
            }
            Self::Bitmap(bitmap) => *ids |= &bitmap.ids,
        }
    }

    /// `ids` ∩ these.
    pub(super) fn intersect_with(&self, ids: &mut RoaringBitmap) {
        match self {
            Self::Few { .. } | Self::List(_) => {
                let listed = self.listed().unwrap_or_default().iter().copied();
                *ids = listed.filter(|id| ids.contains(*id)).collect();
            }
            Self::Range { first, len } => {
                ids.remove_range(..*first);
                let last = *first + (*len - 1);
                if last < SeriesId::MAX {
                    ids.remove_range(last + 1..);
                }
            }
            Self::Bitmap(bitmap) => *ids &= &bitmap.ids,
        }
    }

    /// `ids` without these.
    pub(super) fn subtract_from(&self, ids: &mut RoaringBitmap) {
        match self {
            Self::Few { .. } | Self::List(_) => {
                self.listed().unwrap_or_default().iter().for_each(|id| {
                    ids.remove(*id);
                });
            }
            Self::Range { first, len } => {
                ids.remove_range(*first..=*first + (*len - 1));
            }
            Self::Bitmap(bitmap) => *ids -= &bitmap.ids,
        }
    }

    /// Whether any is in `ids`.
    pub(super) fn meets(&self, ids: &RoaringBitmap) -> bool {
        match self {
            Self::Few { .. } | Self::List(_) => {
                self.listed().unwrap_or_default().iter().any(|id| ids.contains(*id))
            }
            Self::Range { first, len } => ids.range_cardinality(*first..=*first + (*len - 1)) > 0,
            Self::Bitmap(bitmap) => !bitmap.ids.is_disjoint(ids),
        }
    }
}

impl Counted {
    fn new(ids: RoaringBitmap) -> Self {
        let mut new = Self { ids, len: 0, counted_bytes: 0, counted_len: 0, recount_at: 0 };
        new.recount();
        new
    }

    fn insert(&mut self, id: SeriesId) {
        if self.ids.try_push(id).is_err() && !self.ids.insert(id) {
            return;
        }
        self.len += 1;
        if self.len >= self.recount_at {
            self.recount();
        }
    }

    /// Packs and counts; each time after a quarter more ids, so that an insert pays little for it.
    fn recount(&mut self) {
        self.ids.optimize();
        self.len = usize::try_from(self.ids.len()).unwrap_or(usize::MAX);
        self.counted_bytes = bitmap_bytes(&self.ids);
        self.counted_len = self.len;
        self.recount_at = self.len + self.len / 4 + LIST_MAX;
    }

    fn heap_bytes(&self) -> usize {
        self.counted_bytes + (self.len - self.counted_len) * NEW_ID_BYTES
    }
}

/// Bytes behind a bitmap, estimated from its containers.
fn bitmap_bytes(ids: &RoaringBitmap) -> usize {
    /// Size of a container without its content, as the crate lays it out.
    const CONTAINER_BYTES: usize = 32;
    let stats = ids.statistics();
    let n_containers = stats.n_containers as usize;
    // The crate counts four bytes for each place of an array, which has two.
    let arrays = stats.n_bytes_array_containers as usize / 2;
    let content = arrays + stats.n_bytes_run_containers as usize + stats.n_bytes_bitset_containers as usize;
    // Half an allocation step is lost on each container on average; the list of them has grown by doubling.
    n_containers.next_power_of_two().max(4) * CONTAINER_BYTES + content + n_containers * 8
}

/// All series of any of `lists`.
pub(super) fn union<'a>(lists: impl IntoIterator<Item = &'a Postings>) -> RoaringBitmap {
    let lists: Vec<&Postings> = lists.into_iter().collect();
    let n_ids = lists.iter().map(|list| list.cost()).fold(0, usize::saturating_add);
    let first = lists.iter().filter_map(|list| list.first()).min();
    let last = lists.iter().filter_map(|list| list.last()).max();
    if let (Some(first), Some(last)) = (first, last)
        && (last - first) as usize / SPAN_PER_ID <= n_ids
    {
        return union_as_bits(&lists, first, last);
    }
    let mut listed = Vec::new();
    let mut ids = RoaringBitmap::new();
    for list in lists {
        match list.listed() {
            Some(more) => listed.extend_from_slice(more),
            None => list.add_to(&mut ids),
        }
    }
    listed.sort_unstable();
    listed.dedup();
    ids |= RoaringBitmap::from_sorted_iter(listed).expect("sorted above");
    ids
}

/// The same by one bit for each id there may be: uniting bitmaps of runs one by one moves all that is united at every run.
fn union_as_bits(lists: &[&Postings], first: SeriesId, last: SeriesId) -> RoaringBitmap {
    // Where a container of the bitmap begins, so that its bits are taken as they are.
    let base = first & !0xffff;
    let mut bits = vec![0u8; (last - base) as usize / 8 + 1];
    for list in lists {
        match list {
            Postings::Few { .. } | Postings::List(_) => {
                list.listed().unwrap_or_default().iter().for_each(|id| set(&mut bits, id - base));
            }
            Postings::Range { first, len } => set_range(&mut bits, *first - base, *len),
            Postings::Bitmap(bitmap) => bitmap.ids.iter().for_each(|id| set(&mut bits, id - base)),
        }
    }
    RoaringBitmap::from_lsb0_bytes(base, &bits)
}

fn set(bits: &mut [u8], at: u32) {
    bits[at as usize / 8] |= 1 << (at % 8);
}

fn set_range(bits: &mut [u8], first: u32, len: u32) {
    // In 64 bits, since the end behind the last id there is does not fit in 32.
    let (first, end) = (u64::from(first), u64::from(first) + u64::from(len));
    let (whole, rest) = (first.next_multiple_of(8).min(end), (end & !7).max(first));
    (first..whole).for_each(|at| set(bits, at as u32));
    if whole < rest {
        bits[whole as usize / 8..rest as usize / 8].fill(0xff);
    }
    (rest.max(whole)..end).for_each(|at| set(bits, at as u32));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn list(postings: &Postings) -> Vec<u32> {
        postings.to_bitmap().iter().collect()
    }

    #[test]
    fn sixteen_bytes() {
        assert_eq!(size_of::<Postings>(), 16);
    }

    #[test]
    fn the_last_ids_there_are() {
        let mut postings = Postings::default();
        let ids: Vec<u32> = (u32::MAX - 200..=u32::MAX).collect();
        ids.iter().for_each(|id| postings.insert(*id));
        assert!(matches!(postings, Postings::Range { .. }));
        assert_eq!(list(&postings), ids);
        let mut some: RoaringBitmap = [0, u32::MAX].into_iter().collect();
        postings.intersect_with(&mut some);
        assert_eq!(some.iter().collect::<Vec<_>>(), [u32::MAX]);
        assert_eq!(postings.remove(&some), 1);
        assert_eq!(list(&postings), ids[..200]);
        let mut single = Postings::default();
        single.insert(u32::MAX);
        assert_eq!(union([&postings, &single]).iter().collect::<Vec<_>>(), ids);
    }

    #[test]
    fn many_are_united_as_bits_with_whatever_lies_between() {
        let make = |ids: &[u32]| {
            let mut postings = Postings::default();
            ids.iter().for_each(|id| postings.insert(*id));
            postings
        };
        let strided = |from: u32| (0..900).map(|n| 70_000 + from + 11 * n).collect::<Vec<u32>>();
        let sets =
            [strided(0), strided(5), (70_003..70_020).collect(), (69_995..70_000).collect(), vec![79_999]];
        let lists: Vec<Postings> = sets.iter().map(|ids| make(ids)).collect();
        let lists: Vec<&Postings> = lists.iter().collect();
        let model: BTreeSet<u32> = sets.iter().flatten().copied().collect();
        let expected: Vec<u32> = model.into_iter().collect();
        assert_eq!(union(lists.iter().copied()).iter().collect::<Vec<_>>(), expected);
        assert_eq!(union_as_bits(&lists, 69_995, 80_894).iter().collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn is_a_set(
            steps in proptest::collection::vec((0u32..3_000, 1u32..200, 0u8..4), 0..40),
            other in proptest::collection::btree_set(0u32..3_200, 0..400),
        ) {
            let (mut postings, mut model) = (Postings::default(), BTreeSet::new());
            for (first, len, what) in steps {
                match what {
                    0 => {
                        let dead: RoaringBitmap = (first..first + len).collect();
                        let n_before = model.len();
                        model.retain(|id| !dead.contains(*id));
                        prop_assert_eq!(postings.remove(&dead), n_before - model.len());
                    }
                    1 => { postings.insert(first); model.insert(first); }
                    2 => (first..first + len).for_each(|id| { postings.insert(id); model.insert(id); }),
                    _ => (first..first + len).step_by(3).for_each(|id| { postings.insert(id); model.insert(id); }),
                }
                prop_assert_eq!(postings.len(), model.len());
            }
            prop_assert_eq!(list(&postings), model.iter().copied().collect::<Vec<_>>());
            let others: RoaringBitmap = other.iter().copied().collect();
            let check = |apply: &dyn Fn(&mut RoaringBitmap), expected: Vec<u32>| {
                let mut ids = others.clone();
                apply(&mut ids);
                assert_eq!(ids.iter().collect::<Vec<_>>(), expected);
            };
            check(&|ids| postings.add_to(ids), other.union(&model).copied().collect());
            check(&|ids| postings.intersect_with(ids), other.intersection(&model).copied().collect());
            check(&|ids| postings.subtract_from(ids), other.difference(&model).copied().collect());
            prop_assert_eq!(postings.meets(&others), !other.is_disjoint(&model));
            let mut second = Postings::default();
            other.iter().for_each(|id| second.insert(*id));
            let both = union([&postings, &second]);
            prop_assert_eq!(both.iter().collect::<Vec<_>>(), other.union(&model).copied().collect::<Vec<_>>());
        }
    }
}
