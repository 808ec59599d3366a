//! Leaves of all open blocks that were read lately: one cache of limited size, shared.
//!
//! Method: CLOCK. A leaf that was asked for since the hand came by stays once more. Also counts damage, since every
//! reader of a block has it at hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use stdx::metrics::{Counter, Gauge, Registry};

use super::reader::Leaf;

/// Which leaf: of which open block, of which section, the how manieth.
pub(super) type LeafKey = (u64, u8, u32);

/// See the module.
#[derive(Debug)]
pub(crate) struct BlockCache {
    bytes_max: usize,
    /// Memory is short: an eighth has to do.
    is_small: AtomicBool,
    clock: Mutex<Clock>,
    next_id: AtomicU64,
    damaged: Arc<Counter>,
    held: Arc<Gauge>,
}

#[derive(Debug, Default)]
struct Clock {
    slots: Vec<Slot>,
    by_key: HashMap<LeafKey, usize>,
    hand: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    key: LeafKey,
    leaf: Arc<Leaf>,
    n_bytes: usize,
    used: bool,
}

impl BlockCache {
    /// A cache that holds up to `bytes_max`.
    pub(crate) fn new(bytes_max: usize, registry: &Registry) -> Self {
        let damaged = registry.counter(
            "tsdb_blocks_damaged_parts_total",
            "Times a reader met a page or a part of an index that is damaged.",
        );
        let held = registry.gauge("tsdb_index_cache_bytes", "Parts of block indexes held in memory.");
        Self {
            bytes_max,
            is_small: AtomicBool::new(false),
            clock: Mutex::default(),
            next_id: AtomicU64::new(0),
            damaged,
            held,
        }
    }

    fn bytes_max(&self) -> usize {
        if self.is_small.load(Ordering::Relaxed) { self.bytes_max / 8 } else { self.bytes_max }
    }

    /// Holds an eighth of what it may while memory is short. Whether it does now and did not before.
    pub(crate) fn set_small(&self, is_small: bool) -> bool {
        let was_small = self.is_small.swap(is_small, Ordering::Relaxed);
        let mut clock = self.clock.lock();
        clock.make_room(self.bytes_max());
        self.held.set(clock.bytes as f64);
        is_small && !was_small
    }

    /// A number for a block that is being opened.
    pub(super) fn take_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> usize {
        self.clock.lock().bytes
    }

    /// Counts a damaged page or leaf.
    pub(crate) fn count_damage(&self) {
        self.damaged.inc();
    }

    pub(super) fn get(&self, key: LeafKey) -> Option<Arc<Leaf>> {
        let mut clock = self.clock.lock();
        let at = *clock.by_key.get(&key)?;
        let slot = &mut clock.slots[at];
        slot.used = true;
        Some(Arc::clone(&slot.leaf))
    }

    pub(super) fn put(&self, key: LeafKey, leaf: Arc<Leaf>) {
        let n_bytes = leaf.memory_bytes();
        let mut clock = self.clock.lock();
        let bytes_max = self.bytes_max();
        if n_bytes > bytes_max || clock.by_key.contains_key(&key) {
            return;
        }
        clock.make_room(bytes_max - n_bytes);
        let at = clock.slots.len();
        clock.slots.push(Slot { key, leaf, n_bytes, used: false });
        clock.by_key.insert(key, at);
        clock.bytes += n_bytes;
        self.held.set(clock.bytes as f64);
    }

    /// Forgets the leaves of a block that is closed.
    pub(super) fn forget(&self, id: u64) {
        let mut clock = self.clock.lock();
        let mut at = 0;
        while at < clock.slots.len() {
            if clock.slots[at].key.0 == id { clock.remove(at) } else { at += 1 }
        }
        self.held.set(clock.bytes as f64);
    }
}

impl Clock {
    fn make_room(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && !self.slots.is_empty() {
            self.hand %= self.slots.len();
            if std::mem::replace(&mut self.slots[self.hand].used, false) {
                self.hand += 1;
            } else {
                self.remove(self.hand);
            }
        }
    }

    fn remove(&mut self, at: usize) {
        let slot = self.slots.swap_remove(at);
        self.bytes -= slot.n_bytes;
        self.by_key.remove(&slot.key);
        if let Some(moved) = self.slots.get(at) {
            self.by_key.insert(moved.key, at);
        }
    }
}
