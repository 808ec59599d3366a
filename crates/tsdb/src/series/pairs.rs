//! Label pairs: their texts once, numbers for them, and the series of each.
//!
//! A pair's number goes to another pair once no series has it, the lowest first, so that numbers stay short. Values are
//! kept sorted for each name. Knows nothing of label sets.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use roaring::RoaringBitmap;

use super::SeriesId;
use super::ids::IdTable;
use super::memory::allocated;
use super::postings::Postings;
use super::values::SortedPairs;

/// Pairs of a page. Chosen: ten kilobytes, given back as one.
const PAGE_PAIRS: usize = 256;

/// Number of a pair.
pub(super) type PairId = u32;
/// Number of a name.
pub(super) type NameId = u32;

/// All label pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    slots: Slots,
    by_text: IdTable,
    hasher: DefaultHashBuilder,
    names: Vec<Name>,
    free_names: Vec<NameId>,
    by_name: BTreeMap<Arc<str>, NameId>,
    /// Of values, postings and names' texts.
    bytes: usize,
}

/// One label pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) name: NameId,
    pub(super) value: Box<str>,
    pub(super) postings: Postings,
}

/// One label name.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: Arc<str>,
    /// Its pairs by rising value.
    pub(super) values: SortedPairs,
    /// Series with this label.
    pub(super) n_series: usize,
    /// Bytes of values, once for each series.
    pub(super) value_bytes: u64,
}

impl Pairs {
    pub(super) fn len(&self) -> usize {
        self.slots.len
    }

    /// A pair that is.
    pub(super) fn get(&self, pair: PairId) -> &Pair {
        self.slots.get(pair).expect("label sets and lists hold only pairs that are")
    }

    pub(super) fn value(&self, pair: PairId) -> &str {
        &self.get(pair).value
    }

    pub(super) fn name(&self, name: NameId) -> &Name {
        &self.names[name as usize]
    }

    pub(super) fn texts(&self, pair: PairId) -> (&str, &str) {
        let pair = self.get(pair);
        (&self.name(pair.name).text, &pair.value)
    }

    /// The name `text`, if any series has it.
    pub(super) fn find_name(&self, text: &str) -> Option<NameId> {
        self.by_name.get(text).copied()
    }

    /// Names by rising text.
    pub(super) fn names(&self) -> impl Iterator<Item = (NameId, &Name)> {
        self.by_name.values().map(|name| (*name, self.name(*name)))
    }

    /// All pairs, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PairId, &Pair)> {
        self.slots.iter()
    }

    /// A number above all pairs'.
    pub(super) fn end(&self) -> PairId {
        self.slots.end()
    }

    pub(super) fn find(&self, name: &str, value: &str) -> Option<PairId> {
        self.find_hashed(self.hasher.hash_one((name, value)), name, value)
    }

    fn find_hashed(&self, hash: u64, name: &str, value: &str) -> Option<PairId> {
        self.by_text.find(hash, |pair| {
            let pair = self.get(pair);
            *pair.value == *value && *self.name(pair.name).text == *name
        })
    }

    /// The pair's number; a new pair has no series yet, and must get one.
    pub(super) fn find_or_insert(&mut self, name: &str, value: &str) -> PairId {
        let hash = self.hasher.hash_one((name, value));
        if let Some(pair) = self.find_hashed(hash, name, value) {
            return pair;
        }
        let name = self.find_name(name).unwrap_or_else(|| self.insert_name(name));
        let id = self.slots.insert(Pair { name, value: value.into(), postings: Postings::default() });
        let Self { slots, names, hasher, by_text, .. } = self;
        let text = |pair| slots.get(pair).map_or("", |pair| &*pair.value);
        names[name as usize].values.insert(id, value, text);
        let rehash = |pair| slots.get(pair).map_or(0, |pair| hash_of(hasher, names, pair));
        by_text.insert(hash, id, rehash);
        self.bytes += allocated(value.len());
        id
    }

    fn insert_name(&mut self, text: &str) -> NameId {
        let text: Arc<str> = text.into();
        let name = Name { text: text.clone(), values: SortedPairs::default(), n_series: 0, value_bytes: 0 };
        self.bytes += name_bytes(&text);
        let id = match self.free_names.pop() {
            Some(id) => {
                self.names[id as usize] = name;
                id
            }
            None => {
                self.names.push(name);
                (self.names.len() - 1) as NameId
            }
        };
        self.by_name.insert(text, id);
        id
    }

    /// Gives a series to a pair that has not got it.
    pub(super) fn add_series(&mut self, pair: PairId, series: SeriesId) {
        let Some(pair) = self.slots.get_mut(pair) else { return };
        let name = &mut self.names[pair.name as usize];
        name.n_series += 1;
        name.value_bytes += pair.value.len() as u64;
        self.bytes -= pair.postings.heap_bytes();
        pair.postings.insert(series);
        self.bytes += pair.postings.heap_bytes();
    }

    /// Takes `dead` from `touched`, which are all the pairs they have, and removes pairs and names that are left without series.
    pub(super) fn remove_series(&mut self, touched: &RoaringBitmap, dead: &RoaringBitmap) {
        let mut gone = RoaringBitmap::new();
        let mut poorer = BTreeSet::new();
        for id in touched {
            let Some(pair) = self.slots.get_mut(id) else { continue };
            self.bytes -= pair.postings.heap_bytes();
            let n = pair.postings.remove(dead);
            self.bytes += pair.postings.heap_bytes();
            let name = &mut self.names[pair.name as usize];
            name.n_series -= n;
            name.value_bytes -= (n * pair.value.len()) as u64;
            if pair.postings.is_empty() {
                gone.insert(id);
                poorer.insert(pair.name);
            }
        }
        let slots = &self.slots;
        let text = |pair| slots.get(pair).map_or("", |pair| &*pair.value);
        for name in poorer {
            self.names[name as usize].values.remove(|pair| gone.contains(pair), text);
            if self.names[name as usize].values.len() == 0 {
                // Its pairs are still hashed by its text below; the number is free afterwards.
                self.free_names.push(name);
            }
        }
        self.forget(&gone);
    }

    /// Frees pairs that no list holds any more.
    fn forget(&mut self, gone: &RoaringBitmap) {
        let Self { slots, names, hasher, by_text, .. } = self;
        for id in gone {
            let Some(pair) = slots.get(id) else { continue };
            by_text.remove(hash_of(hasher, names, pair), id);
        }
        for id in gone {
            let Some(pair) = slots.remove(id) else { continue };
            self.bytes -= allocated(pair.value.len());
            let name = &mut names[pair.name as usize];
            if name.values.len() == 0
                && let Some((text, _)) = self.by_name.remove_entry(&name.text)
            {
                self.bytes -= name_bytes(&text);
                name.text = Arc::from("");
            }
        }
        by_text.shrink(|pair| slots.get(pair).map_or(0, |pair| hash_of(hasher, names, pair)));
        if names.last().is_some_and(|name| name.n_series == 0) {
            let end = names.iter().rposition(|name| name.n_series > 0).map_or(0, |last| last + 1);
            names.truncate(end);
            self.free_names.retain(|name| (*name as usize) < end);
            names.shrink_to(end * 2);
            self.free_names.shrink_to(end * 2);
        }
    }

    /// O(names + values / 256).
    pub(super) fn heap_bytes(&self) -> usize {
        let lists = self.names.iter().map(|name| name.values.heap_bytes()).sum::<usize>();
        self.bytes
            + self.slots.heap_bytes()
            + self.by_text.heap_bytes()
            + lists
            + allocated(self.names.capacity() * size_of::<Name>())
            + allocated(self.free_names.capacity() * size_of::<NameId>())
    }
}

fn hash_of(hasher: &DefaultHashBuilder, names: &[Name], pair: &Pair) -> u64 {
    hasher.hash_one((&*names[pair.name as usize].text, &*pair.value))
}

/// A name's text with its two counts, and its place in the map, whose nodes are two thirds full.
fn name_bytes(text: &str) -> usize {
    allocated(text.len() + 16) + size_of::<(Arc<str>, NameId)>() * 3 / 2
}

/// Pairs in pages, lowest free number first.
#[derive(Debug, Default)]
struct Slots {
    pages: Vec<Page>,
    /// Numbers below [`Slots::end`] without a pair.
    free: RoaringBitmap,
    len: usize,
}

#[derive(Debug, Default)]
struct Page {
    /// As long as a page, or shorter for the last, or empty when no pair is left.
    slots: Vec<Option<Pair>>,
    n_pairs: usize,
}

impl Slots {
    fn end(&self) -> PairId {
        let full = self.pages.len().saturating_sub(1) * PAGE_PAIRS;
        (full + self.pages.last().map_or(0, |page| page.slots.len())) as PairId
    }

    fn get(&self, id: PairId) -> Option<&Pair> {
        self.pages.get(id as usize / PAGE_PAIRS)?.slots.get(id as usize % PAGE_PAIRS)?.as_ref()
    }

    fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pages.get_mut(id as usize / PAGE_PAIRS)?.slots.get_mut(id as usize % PAGE_PAIRS)?.as_mut()
    }

    fn iter(&self) -> impl Iterator<Item = (PairId, &Pair)> {
        let pages = (0..).step_by(PAGE_PAIRS).zip(&self.pages);
        pages.flat_map(|(first, page)| {
            (first..).zip(&page.slots).filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
        })
    }

    fn insert(&mut self, pair: Pair) -> PairId {
        self.len += 1;
        if let Some(id) = self.free.min() {
            self.free.remove(id);
            let page = &mut self.pages[id as usize / PAGE_PAIRS];
            if page.slots.is_empty() {
                page.slots.resize_with(PAGE_PAIRS, || None);
            }
            page.slots[id as usize % PAGE_PAIRS] = Some(pair);
            page.n_pairs += 1;
            return id;
        }
        if self.pages.last().is_none_or(|page| page.slots.len() == PAGE_PAIRS) {
            self.pages.push(Page { slots: Vec::with_capacity(PAGE_PAIRS), n_pairs: 0 });
        }
        let id = self.end();
        let page = self.pages.last_mut().expect("pushed above");
        page.slots.push(Some(pair));
        page.n_pairs += 1;
        id
    }

    fn remove(&mut self, id: PairId) -> Option<Pair> {
        let last = self.pages.len().checked_sub(1)?;
        let number = id as usize / PAGE_PAIRS;
        let page = self.pages.get_mut(number)?;
        let pair = page.slots.get_mut(id as usize % PAGE_PAIRS)?.take()?;
        page.n_pairs -= 1;
        self.len -= 1;
        self.free.insert(id);
        if page.n_pairs == 0 && number < last {
            page.slots = Vec::new();
        }
        while self.pages.last().is_some_and(|page| page.n_pairs == 0) {
            self.pages.pop();
            self.free.remove_range((self.pages.len() * PAGE_PAIRS) as PairId..);
            // Pages before the last are full or empty.
        }
        Some(pair)
    }

    fn heap_bytes(&self) -> usize {
        let pages = self.pages.iter().filter(|page| page.slots.capacity() > 0).count();
        pages * allocated(PAGE_PAIRS * size_of::<Option<Pair>>())
            + allocated(self.pages.capacity() * size_of::<Page>())
            + self.free.serialized_size()
    }
}
