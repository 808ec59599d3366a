//! A hash table of numbers whose keys live elsewhere, in shards so that growing one never moves all of them at once.
//!
//! In a hash and a way to compare; out a number. Never stores keys.

use hashbrown::HashTable;

/// Shards of a table. Chosen: growing to two million entries then moves 64 Ki at a time, some milliseconds.
const N_SHARDS: usize = 32;
/// A shard gives memory back when it is filled to less than a quarter, unless it is this small. Chosen.
const SHRINK_MIN: usize = 64;

/// Numbers found by hash.
#[derive(Debug)]
pub(super) struct IdTable {
    shards: Box<[HashTable<u32>]>,
}

impl Default for IdTable {
    fn default() -> Self {
        Self { shards: (0..N_SHARDS).map(|_| HashTable::new()).collect() }
    }
}

impl IdTable {
    /// The number with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(hash, |id| is_it(*id)).copied()
    }

    /// Adds a number that is not there yet. `rehash` gives the hash of any number that is.
    pub(super) fn insert(&mut self, hash: u64, id: u32, rehash: impl Fn(u32) -> u64) {
        self.shards[shard(hash)].insert_unique(hash, id, |id| rehash(*id));
    }

    /// Removes a number.
    pub(super) fn remove(&mut self, hash: u64, id: u32) {
        if let Ok(entry) = self.shards[shard(hash)].find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    /// Gives back what many removals have left over.
    pub(super) fn shrink(&mut self, rehash: impl Fn(u32) -> u64) {
        for shard in &mut self.shards {
            if shard.capacity() > SHRINK_MIN && shard.len() * 4 < shard.capacity() {
                shard.shrink_to(shard.len() * 2, |id| rehash(*id));
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let shards = self.shards.iter().map(HashTable::allocation_size).sum::<usize>();
        shards + size_of_val(&*self.shards)
    }
}

/// Bits that hashbrown takes neither for the bucket of a small table nor for its tags.
fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % N_SHARDS
}
