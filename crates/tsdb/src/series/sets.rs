//! Label sets as the varint numbers of their pairs, found by series id.
//!
//! Ids rise and are never given twice, so sets lie in pages of neighbouring ids. A page keeps only sets that live, packed; one without any is
//! freed, and what stays of 256 dead ids is one empty pointer. Never looks into the pairs.

use roaring::RoaringBitmap;
use stdx::varint;

use super::SeriesId;
use super::memory::allocated;

/// Ids of a page. Chosen: rewriting a page on removal copies some 3 KB.
const PAGE_IDS: usize = 256;
const PAGE_WORDS: usize = PAGE_IDS / 64;

/// Label sets by id.
#[derive(Debug, Default)]
pub(super) struct Sets {
    pages: Vec<Option<Box<Page>>>,
    len: usize,
    /// Of the pages, without the list of them.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Page {
    /// Which ids live.
    live: [u64; PAGE_WORDS],
    /// Where each set ends in `bytes`; only those that live, by rising id.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl Sets {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The set of `id`, encoded.
    pub(super) fn get(&self, id: SeriesId) -> Option<&[u8]> {
        let (page, slot) = split(id);
        let page = self.pages.get(page)?.as_ref()?;
        page.has(slot).then(|| page.at(page.rank(slot)))
    }

    /// Adds a set under an id that has none.
    pub(super) fn insert(&mut self, id: SeriesId, set: &[u8]) {
        let (number, slot) = split(id);
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let mut page = self.pages[number].take().unwrap_or_default();
        self.bytes -= page.heap_bytes();
        page.insert(slot, set);
        self.bytes += page.heap_bytes();
        self.pages[number] = Some(page);
        self.len += 1;
    }

    /// Removes the sets of `dead`; ids without one are passed over.
    pub(super) fn remove(&mut self, dead: &RoaringBitmap) {
        let mut ids = dead.iter().peekable();
        while let Some((number, slot)) = ids.next().map(split) {
            let mut gone = [0u64; PAGE_WORDS];
            gone[slot / 64] |= 1 << (slot % 64);
            while let Some((_, slot)) = ids.peek().map(|id| split(*id)).filter(|(page, _)| *page == number) {
                gone[slot / 64] |= 1 << (slot % 64);
                ids.next();
            }
            let Some(place) = self.pages.get_mut(number) else { return };
            let Some(page) = place else { continue };
            let (n_before, bytes_before) = (page.ends.len(), page.heap_bytes());
            page.remove(&gone);
            self.len -= n_before - page.ends.len();
            self.bytes -= bytes_before;
            if page.ends.is_empty() {
                *place = None;
            } else {
                self.bytes += page.heap_bytes();
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes + allocated(self.pages.capacity() * size_of::<Option<Box<Page>>>())
    }
}

impl Page {
    fn has(&self, slot: usize) -> bool {
        self.live[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// How many sets of lower slots live.
    fn rank(&self, slot: usize) -> usize {
        let below = self.live[..slot / 64].iter().map(|word| word.count_ones()).sum::<u32>();
        (below + (self.live[slot / 64] & ((1 << (slot % 64)) - 1)).count_ones()) as usize
    }

    fn start(&self, rank: usize) -> usize {
        if rank == 0 { 0 } else { self.ends[rank - 1] as usize }
    }

    fn at(&self, rank: usize) -> &[u8] {
        &self.bytes[self.start(rank)..self.ends[rank] as usize]
    }

    fn insert(&mut self, slot: usize, set: &[u8]) {
        let rank = self.rank(slot);
        let n_bytes = u32::try_from(set.len()).expect("a label set is far under 4 GB");
        self.live[slot / 64] |= 1 << (slot % 64);
        if rank == self.ends.len() {
            // As ids are given: at the end.
            self.bytes.extend_from_slice(set);
            self.ends.push(self.bytes.len() as u32);
        } else {
            let start = self.start(rank);
            self.bytes.splice(start..start, set.iter().copied());
            self.ends.insert(rank, start as u32);
            self.ends[rank..].iter_mut().for_each(|end| *end += n_bytes);
        }
        if slot + 1 == PAGE_IDS {
            // The last of rising ids: the page grows no more.
            self.bytes.shrink_to_fit();
            self.ends.shrink_to_fit();
        }
    }

    fn remove(&mut self, gone: &[u64; PAGE_WORDS]) {
        let mut left = Self::default();
        let slots = (0..PAGE_IDS).filter(|slot| self.has(*slot));
        for (rank, slot) in slots.enumerate() {
            if gone[slot / 64] >> (slot % 64) & 1 == 0 {
                left.live[slot / 64] |= 1 << (slot % 64);
                left.bytes.extend_from_slice(self.at(rank));
                left.ends.push(left.bytes.len() as u32);
            }
        }
        left.bytes.shrink_to_fit();
        left.ends.shrink_to_fit();
        *self = left;
    }

    fn heap_bytes(&self) -> usize {
        if self.ends.is_empty() {
            return 0;
        }
        allocated(size_of::<Self>())
            + allocated(self.bytes.capacity())
            + allocated(self.ends.capacity() * size_of::<u32>())
    }
}

fn split(id: SeriesId) -> (usize, usize) {
    (id as usize / PAGE_IDS, id as usize % PAGE_IDS)
}

/// The pairs of an encoded set, in the order of their names.
pub(super) fn pairs(mut set: &[u8]) -> impl Iterator<Item = u32> + '_ {
    std::iter::from_fn(move || varint::get_u64(&mut set).map(|pair| pair as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn holds_what_lives(steps in proptest::collection::vec((0u32..1_000, any::<bool>(), 0usize..12), 0..400)) {
            let (mut sets, mut model) = (Sets::default(), BTreeMap::new());
            for (id, is_insert, len) in steps {
                if !is_insert {
                    let dead: RoaringBitmap = (id..id + len as u32).collect();
                    sets.remove(&dead);
                    model.retain(|id, _| !dead.contains(*id));
                } else {
                    model.entry(id).or_insert_with(|| {
                        let set = vec![id as u8; len];
                        sets.insert(id, &set);
                        set
                    });
                }
            }
            prop_assert_eq!(sets.len(), model.len());
            for id in 0..1_100 {
                prop_assert_eq!(sets.get(id), model.get(&id).map(Vec::as_slice));
            }
            sets.remove(&(0..2_000).collect());
            prop_assert_eq!((sets.len(), sets.bytes), (0, 0));
        }
    }
}
