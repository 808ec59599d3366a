//! Blocks: what pages are made of besides values, shared between all targets that write the same bytes.
//!
//! A block is a run of lines, mostly one family with its comments. It holds every byte but the samples' tails (value,
//! timestamp, exemplar). Targets of one exporter differ in a few families only, so the others are held once.
//! Never grows without bound: blocks that no page uses any more are dropped from the table as it grows.

use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use hashbrown::{DefaultHashBuilder, HashMap};
use model::metadata::MetricType;
use parking_lot::Mutex;

/// Most lines of a block without comments between them. Chosen: what is read anew when one of them changes.
const LINES_MAX: usize = 256;
/// Fewest lines of such a block before its content may end it. Chosen.
const LINES_MIN: usize = 16;
/// One in so many keys ends a block of such lines, so that blocks after an inserted line are found again. Chosen.
const KEYS_PER_END: u64 = 64;
/// Blocks in the table before dead ones are first looked for. Chosen: some pages of different exporters.
const SWEEP_MIN: usize = 4_096;

/// Lines of a page, without the tails of its samples.
#[derive(Debug)]
pub(super) struct Block {
    /// Comments, blanks, keys, and the blank after each key.
    text: Box<[u8]>,
    /// For each sample: where its key begins, and where the text up to its tail ends.
    keys: Box<[(u32, u32)]>,
    /// Of the last `# TYPE` line in it.
    metric_type: Option<MetricType>,
    /// A key runs into its value without a blank: the next page's key might be longer, so this block must be read anew.
    is_volatile: bool,
}

impl Block {
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn n_lines(&self) -> usize {
        self.keys.len()
    }

    /// For each sample, the end of its text.
    pub(super) fn ends(&self) -> impl Iterator<Item = usize> {
        self.keys.iter().map(|(_, end)| *end as usize)
    }

    pub(super) fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    /// The type its samples have, where the lines before it said `before`.
    pub(super) fn metric_type(&self, before: MetricType) -> MetricType {
        self.metric_type.unwrap_or(before)
    }

    /// Names and labels of its samples, as written.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(start, end)| {
            let key = &self.text[*start as usize..*end as usize];
            let key = key.strip_suffix(b" ").or_else(|| key.strip_suffix(b"\t")).unwrap_or(key);
            std::str::from_utf8(key).expect("the parser has checked the keys it found")
        })
    }

    /// What stands before its first sample: all of its comments.
    pub(super) fn comments(&self) -> &[u8] {
        &self.text[..self.keys.first().map_or(self.text.len(), |(start, _)| *start as usize)]
    }

    /// Whether a page that goes on with `rest` may have this block here.
    pub(super) fn begins(&self, rest: &[u8]) -> bool {
        match self.keys.first() {
            _ if self.is_volatile => false,
            Some((_, end)) => rest.starts_with(&self.text[..*end as usize]),
            None => *rest == *self.text,
        }
    }

    /// Bytes of memory, the block's own included.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + self.text.len() + size_of_val(&*self.keys)
    }
}

/// Collects the lines of a block while they are read.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    text: Vec<u8>,
    keys: Vec<(u32, u32)>,
    metric_type: Option<MetricType>,
    is_volatile: bool,
    ends_here: bool,
}

impl BlockBuilder {
    /// Adds the text before a sample's tail; its key begins at `key_start` of it.
    pub(super) fn push_line(&mut self, text: &[u8], key_start: usize) {
        let offset = |bytes: usize| u32::try_from(bytes).expect("a page is far under four gigabytes");
        let start = self.text.len() + key_start;
        self.text.extend_from_slice(text);
        self.keys.push((offset(start), offset(self.text.len())));
        self.is_volatile |= !matches!(text.last(), Some(b' ' | b'\t' | b'}'));
        let is_long = self.keys.len() >= LINES_MIN;
        self.ends_here = is_long && (self.keys.len() >= LINES_MAX || is_end(&text[key_start..]));
    }

    /// Adds the rest of a page, which has no more samples.
    pub(super) fn push_rest(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    pub(super) fn set_type(&mut self, metric_type: MetricType) {
        self.metric_type = Some(metric_type);
    }

    pub(super) fn n_lines(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether the next line begins another block although no comment stands between.
    pub(super) fn ends_here(&self) -> bool {
        self.ends_here
    }

    /// The block, from the table when it is there already; the builder is empty again.
    pub(super) fn finish(&mut self, blocks: &Blocks) -> Arc<Block> {
        let found = blocks.intern(self);
        self.text.clear();
        self.keys.clear();
        (self.metric_type, self.is_volatile, self.ends_here) = (None, false, false);
        found
    }
}

/// FNV-1a: the same in every process, so that blocks end at the same keys.
fn is_end(key: &[u8]) -> bool {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32).is_multiple_of(KEYS_PER_END)
}

/// The table of all blocks in use. One for all targets of a process.
#[derive(Debug, Default)]
pub struct Blocks {
    hasher: DefaultHashBuilder,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_hash: HashMap<u64, Weak<Block>>,
    sweep_at: usize,
}

impl Blocks {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of memory of all blocks in use, each counted once.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.lock().by_hash.values().filter_map(Weak::upgrade).map(|block| block.memory_bytes()).sum()
    }

    fn intern(&self, wanted: &BlockBuilder) -> Arc<Block> {
        let is_same = |block: &Arc<Block>| {
            *block.text == *wanted.text
                && *block.keys == *wanted.keys
                && block.metric_type == wanted.metric_type
        };
        let hash = self.hasher.hash_one((&wanted.text, wanted.metric_type));
        let mut table = self.table.lock();
        let known = table.by_hash.get(&hash).and_then(Weak::upgrade);
        if let Some(block) = known.filter(is_same) {
            return block;
        }
        let block = Arc::new(Block {
            text: wanted.text.as_slice().into(),
            keys: wanted.keys.as_slice().into(),
            metric_type: wanted.metric_type,
            is_volatile: wanted.is_volatile,
        });
        // Two blocks with the same hash are so rare that the older one just stops being shared.
        table.by_hash.insert(hash, Arc::downgrade(&block));
        if table.by_hash.len() > table.sweep_at.max(SWEEP_MIN) {
            table.by_hash.retain(|_, block| block.strong_count() > 0);
            table.sweep_at = 2 * table.by_hash.len();
        }
        block
    }
}
