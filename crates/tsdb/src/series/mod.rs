//! The series table: label sets ↔ dense ids, and from matchers to ids.
//!
//! In from the head, which locks; out to the head, queries and the statistics page. Each text is kept once, a label set is some
//! ten bytes, and the series of a pair are a range or a bitmap. Removing series gives everything back. Knows no samples, no files, no clock.
//! Method: docs/adr/0002-the-storage-engine.md.

pub(crate) mod condition;
mod ids;
mod keep;
mod memory;
mod order;
mod pairs;
mod postings;
mod select;
mod sets;
mod stats;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use model::Labels;
use roaring::RoaringBitmap;
use stdx::varint;
use storage::FirstTexts;

use ids::IdTable;
use pairs::Pairs;
use postings::Postings;
use sets::Sets;

pub use keep::Keep;
pub use stats::CardinalityStats;

/// Number of a series: dense, rising, never given to another series within a run.
pub type SeriesId = u32;

/// Ids that a log may name; those above stay for new series, so that a damaged log cannot use them up. Chosen.
const REPLAYED_IDS_END: SeriesId = SeriesId::MAX - (1 << 24);

/// Label sets and their ids.
#[derive(Default)]
pub struct SeriesTable {
    pairs: Pairs,
    sets: Sets,
    by_set: IdTable,
    hasher: DefaultHashBuilder,
    /// Ids of all series.
    all: Postings,
    next_id: SeriesId,
    /// The label set at hand, encoded; kept for its memory.
    set: Vec<u8>,
}

impl SeriesTable {
    /// Without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The id of the series with `labels`.
    #[must_use]
    pub fn get(&self, labels: &Labels) -> Option<SeriesId> {
        let mut set = Vec::with_capacity(64);
        for (name, value) in labels {
            varint::put_u64(&mut set, u64::from(self.pairs.find(name, value)?));
        }
        self.find(&set)
    }

    /// The id of the series with `labels`, and whether it is new.
    ///
    /// # Panics
    /// When the series is new and [`Self::is_full`].
    pub fn get_or_insert(&mut self, labels: &Labels) -> (SeriesId, bool) {
        let set = self.encode(labels);
        if let Some(id) = self.find(&set) {
            self.set = set;
            return (id, false);
        }
        assert!(!self.is_full(), "the caller asks whether the table is full");
        let id = self.next_id;
        self.insert(id, set);
        (id, true)
    }

    /// Adds the series with `labels` under `id`, as a log says it. Labels that have an id keep it, and it is returned; when `id` is taken
    /// or out of bounds, as only a damaged log has it, a new one is returned.
    pub fn insert_at(&mut self, id: SeriesId, labels: &Labels) -> SeriesId {
        let set = self.encode(labels);
        if let Some(known) = self.find(&set) {
            self.set = set;
            return known;
        }
        let is_free = id < REPLAYED_IDS_END && self.sets.get(id).is_none();
        let id = if is_free { id } else { self.next_id };
        self.insert(id, set);
        id
    }

    /// The id that the next new series gets.
    #[must_use]
    pub fn next_id(&self) -> SeriesId {
        self.next_id
    }

    /// Gives no new series an id less than `below`.
    pub fn reserve_ids(&mut self, below: SeriesId) {
        self.next_id = self.next_id.max(below);
    }

    /// Whether all 2³² ids have been used in this run.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.next_id == SeriesId::MAX
    }

    /// The labels of a series.
    #[must_use]
    pub fn labels(&self, id: SeriesId) -> Option<Labels> {
        let set = self.sets.get(id)?;
        Some(Labels::from_sorted(sets::pairs(set).map(|pair| self.pairs.texts(pair))))
    }

    /// One label of a series, empty when the series has no such label.
    #[must_use]
    pub fn label(&self, id: SeriesId, name: &str) -> Option<&str> {
        let mut texts = sets::pairs(self.sets.get(id)?).map(|pair| self.pairs.texts(pair));
        Some(texts.find(|(other, _)| *other == name).map_or("", |(_, value)| value))
    }

    /// Whether there is a series with this id.
    #[must_use]
    pub fn contains(&self, id: SeriesId) -> bool {
        self.sets.get(id).is_some()
    }

    /// How many series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of all series.
    #[must_use]
    pub fn ids(&self) -> RoaringBitmap {
        self.all.to_bitmap()
    }

    /// Forgets series; ids that are none are passed over. Some 0.3 µs a series: a caller that must not hold its lock for long hands in parts.
    pub fn remove(&mut self, dead: &RoaringBitmap) {
        let mut touched = RoaringBitmap::new();
        for id in dead {
            let Some(set) = self.sets.get(id) else { continue };
            self.by_set.remove(self.hasher.hash_one(set), id);
            touched.extend(sets::pairs(set));
        }
        self.pairs.remove_series(&touched, dead);
        self.all.remove(dead);
        self.sets.remove(dead);
        let (hasher, sets) = (&self.hasher, &self.sets);
        self.by_set.shrink(|id| hasher.hash_one(sets.get(id).unwrap_or_default()));
    }

    /// Names of labels, on any of `among` or on any series.
    pub fn label_names(&self, among: Option<&RoaringBitmap>, out: &mut FirstTexts) {
        match among {
            None => {
                let _ = self.pairs.names().all(|(_, name)| out.put(&name.text));
            }
            Some(among) => {
                for name in self.names_among(among) {
                    out.put(&self.pairs.name(name).text);
                }
            }
        }
    }

    /// Values of the label `name`, on any of `among` or on any series.
    pub fn label_values(&self, name: &str, among: Option<&RoaringBitmap>, out: &mut FirstTexts) {
        let Some(name) = self.pairs.find_name(name) else { return };
        match among {
            // By rising value, so that a limit ends it.
            None => {
                let _ = self.pairs.name(name).values.iter().all(|pair| out.put(self.pairs.value(pair)));
            }
            Some(among) => {
                for pair in self.values_among(name, among) {
                    out.put(self.pairs.value(pair));
                }
            }
        }
    }

    /// Bytes of memory, within a tenth of what an allocator takes for it. O(names).
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.pairs.heap_bytes()
            + self.sets.heap_bytes()
            + self.by_set.heap_bytes()
            + self.all.heap_bytes()
            + self.set.capacity()
    }

    /// The label set as pair numbers, in the buffer of the table; adds pairs that are new.
    fn encode(&mut self, labels: &Labels) -> Vec<u8> {
        let mut set = std::mem::take(&mut self.set);
        set.clear();
        for (name, value) in labels {
            varint::put_u64(&mut set, u64::from(self.pairs.find_or_insert(name, value)));
        }
        set
    }

    fn find(&self, set: &[u8]) -> Option<SeriesId> {
        self.by_set.find(self.hasher.hash_one(set), |id| self.sets.get(id) == Some(set))
    }

    fn insert(&mut self, id: SeriesId, set: Vec<u8>) {
        self.sets.insert(id, &set);
        let (hasher, sets) = (&self.hasher, &self.sets);
        let hash = |set: &[u8]| hasher.hash_one(set);
        self.by_set.insert(hash(&set), id, |id| hash(sets.get(id).unwrap_or_default()));
        for pair in sets::pairs(&set) {
            self.pairs.add_series(pair, id);
        }
        self.all.insert(id);
        self.next_id = self.next_id.max(id.saturating_add(1));
        self.set = set;
    }
}

impl fmt::Debug for SeriesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesTable").field("len", &self.len()).field("next_id", &self.next_id).finish()
    }
}
