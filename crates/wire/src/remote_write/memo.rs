//! From a series' hash to the number its store gave it.
//!
//! A flat table of 16-byte entries, probed in order from where the hash leads. It grows by a quarter when it is 85 % full,
//! which takes 19 to 24 bytes for each series, and since entries stand nearly sorted by hash, growing is one walk.
//! Entries that were not met for a while go when it would grow, and above the limit everything that is not of now.
//! Sides: a hit is marked by an atomic store, so that readers share; adding needs the table for itself.
//!
//! An entry keeps 92 bits of the hash. The hash is keyed by a secret of this process, so that nobody can make two label
//! sets collide on purpose; by chance, a million series against a million others collide with a probability under 1e-15.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_128_with_secret;

/// Bytes of an entry.
pub const MEMO_ENTRY_BYTES: usize = 16;
/// Bytes of secret that the hash reads: XXH3's own default is as long.
const SECRET_BYTES: usize = 192;
/// Fewest places. Chosen: a page of memory.
const PLACES_MIN: usize = 256;
/// Above this share of taken places the table grows: thousandths. Chosen: probes stay around four entries, one line or two.
const FULL_PERMILLE: usize = 850;
/// Generations are told apart by four bits.
const GENERATIONS: u64 = 16;
/// Entries not met for so many generations go. Chosen.
const GENERATIONS_KEPT: u64 = 2;
/// Length of a generation. Chosen: how far a query looks back, so that whatever is written often enough to be seen is met in each; of
/// what comes less often the labels are looked up again, some microseconds each time.
const GENERATION_MS: i64 = 5 * 60 * 1_000;

const GENERATION_MASK: u64 = GENERATIONS - 1;
const TAG_MASK: u64 = 0xffff_fff0;

/// The key of the hashes, drawn anew for each process and never shown.
pub struct HashSecret {
    bytes: [u8; SECRET_BYTES],
    mixed: [u8; SECRET_BYTES],
}

impl HashSecret {
    /// A secret from a source of random numbers.
    pub fn new(mut random: impl FnMut() -> u64) -> Self {
        let (mut bytes, mut mixed) = ([0; SECRET_BYTES], [0; SECRET_BYTES]);
        for secret in [&mut bytes, &mut mixed] {
            secret.as_chunks_mut::<8>().0.iter_mut().for_each(|chunk| *chunk = random().to_le_bytes());
        }
        Self { bytes, mixed }
    }

    /// The hash of a label region, or of a text.
    #[inline]
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.bytes)
    }

    /// Likewise of a run of hashes; never equal to one of a region, but by chance.
    #[inline]
    #[must_use]
    pub(super) fn hash_of_hashes(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.mixed)
    }
}

impl std::fmt::Debug for HashSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashSecret").finish_non_exhaustive()
    }
}

/// The table.
#[derive(Debug)]
pub struct SeriesMemo {
    entries: Vec<Entry>,
    len: usize,
    len_max: usize,
    generation: u64,
}

/// `place` is the hash's upper half; `rest` the number in its upper 32 bits, then 28 bits of the hash's lower half, then
/// the generation. A free entry has place 0.
#[derive(Debug, Default)]
struct Entry {
    place: AtomicU64,
    rest: AtomicU64,
}

impl SeriesMemo {
    /// An empty memo for at most `len_max` series.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self { entries: Vec::new(), len: 0, len_max: len_max.max(1), generation: 0 }
    }

    /// How many series it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory behind it.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * MEMO_ENTRY_BYTES
    }

    /// Moves the clock on by which entries get old.
    pub fn set_now(&mut self, now_ms: i64) {
        self.generation = now_ms.div_euclid(GENERATION_MS) as u64 & GENERATION_MASK;
    }

    /// Whether [`SeriesMemo::set_now`] would change anything.
    #[must_use]
    pub fn is_now(&self, now_ms: i64) -> bool {
        self.generation == now_ms.div_euclid(GENERATION_MS) as u64 & GENERATION_MASK
    }

    /// The number stored for `hash`.
    #[inline]
    #[must_use]
    pub fn get(&self, hash: u128) -> Option<u32> {
        let (place, tag) = split(hash);
        let mut idx = home(place, self.entries.len());
        loop {
            let entry = self.entries.get(idx)?;
            let rest = entry.rest.load(Relaxed);
            if entry.place.load(Relaxed) == place && rest & TAG_MASK == tag {
                let met = rest & !GENERATION_MASK | self.generation;
                if met != rest {
                    entry.rest.store(met, Relaxed);
                }
                return Some((rest >> 32) as u32);
            }
            if entry.is_free() {
                return None;
            }
            idx = if idx + 1 == self.entries.len() { 0 } else { idx + 1 };
        }
    }

    /// Remembers `number` for `hash`, in place of what was there.
    pub fn insert(&mut self, hash: u128, number: u32) {
        let (place, tag) = split(hash);
        if self.len >= self.len_max || (self.len + 1) * 1_000 > self.entries.len() * FULL_PERMILLE {
            self.rebuild();
        }
        let rest = u64::from(number) << 32 | tag | self.generation;
        self.len += usize::from(put(&mut self.entries, place, rest));
    }

    /// Leaves out what is old, and makes room for a quarter more than is left.
    fn rebuild(&mut self) {
        let generation = self.generation;
        let age = |entry: &Entry| {
            let rest = entry.rest.load(Relaxed);
            generation.wrapping_sub(rest) & GENERATION_MASK
        };
        let kept = |entry: &&Entry, age_max: u64| !entry.is_free() && age(entry) <= age_max;
        let mut age_max = GENERATIONS_KEPT;
        let mut n_kept = self.entries.iter().filter(|entry| kept(entry, age_max)).count();
        if n_kept >= self.len_max {
            age_max = 0;
            n_kept = self.entries.iter().filter(|entry| kept(entry, age_max)).count();
        }
        let is_over = n_kept >= self.len_max;
        let n_kept = if is_over { 0 } else { n_kept };
        let n_wanted = (n_kept + n_kept / 4 + 1).min(self.len_max);
        let n_places = (n_wanted * 1_000 / FULL_PERMILLE + 2).max(PLACES_MIN);
        let old = std::mem::take(&mut self.entries);
        self.entries = Vec::with_capacity(n_places);
        self.entries.resize_with(n_places, Entry::default);
        self.len = 0;
        if is_over {
            return;
        }
        for entry in old.iter().filter(|entry| kept(entry, age_max)) {
            self.len +=
                usize::from(put(&mut self.entries, entry.place.load(Relaxed), entry.rest.load(Relaxed)));
        }
    }
}

impl Entry {
    #[inline]
    fn is_free(&self) -> bool {
        self.place.load(Relaxed) == 0
    }
}

/// Where an entry goes, and the bits that tell it from others there. A place is never 0, which is what free ones have.
#[inline]
fn split(hash: u128) -> (u64, u64) {
    (((hash >> 64) as u64).max(1), hash as u64 & TAG_MASK)
}

/// Monotone in `place`, so that entries stand nearly sorted.
#[inline]
fn home(place: u64, n_places: usize) -> usize {
    ((u128::from(place) * n_places as u128) >> 64) as usize
}

/// Whether an entry was added rather than replaced. There is always a free place.
fn put(entries: &mut [Entry], place: u64, rest: u64) -> bool {
    let n_places = entries.len();
    let mut idx = home(place, n_places);
    loop {
        let entry = &mut entries[idx];
        let is_free = entry.is_free();
        if is_free || (*entry.place.get_mut() == place && (*entry.rest.get_mut() ^ rest) & TAG_MASK == 0) {
            *entry.place.get_mut() = place;
            *entry.rest.get_mut() = rest;
            return is_free;
        }
        idx = if idx + 1 == n_places { 0 } else { idx + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(i: u64) -> u128 {
        let mixed = xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes());
        // Some have the last place as their home, so that probes are long and wrap around.
        if i < 100 { mixed | u128::from(u32::MAX) << 96 } else { mixed }
    }

    #[test]
    fn what_was_put_in_comes_out_within_24_bytes_a_series() {
        let mut memo = SeriesMemo::new(1 << 20);
        assert_eq!(memo.get(hash(1)), None);
        for i in 0..200_000 {
            memo.insert(hash(i), i as u32);
            if i > 1_000 {
                assert!(memo.memory_bytes() <= 24 * memo.len(), "{} for {}", memo.memory_bytes(), memo.len());
            }
        }
        assert_eq!(memo.len(), 200_000);
        for i in 0..200_000 {
            assert_eq!(memo.get(hash(i)), Some(i as u32));
        }
        assert_eq!(memo.get(hash(200_001)), None);
        memo.insert(hash(5), 77);
        assert_eq!((memo.get(hash(5)), memo.len()), (Some(77), 200_000));
    }

    #[test]
    fn the_limit_holds_and_what_is_met_stays() {
        let mut memo = SeriesMemo::new(10_000);
        let mut next = 1_000;
        for round in 0..40 {
            memo.set_now(round * GENERATION_MS);
            assert!(memo.is_now(round * GENERATION_MS + 1) && !memo.is_now((round + 1) * GENERATION_MS));
            for i in 0..1_000 {
                if memo.get(hash(i)).is_none() {
                    assert_eq!(round, 0, "{i} was met in every generation");
                    memo.insert(hash(i), i as u32);
                }
            }
            for _ in 0..3_000 {
                next += 1;
                memo.insert(hash(next), next as u32);
                assert!(memo.len() <= 10_000);
            }
        }
        assert!(memo.memory_bytes() <= 24 * 10_000, "{}", memo.memory_bytes());
        // All of one generation: everything goes, and it goes on.
        for i in 0..50_000 {
            memo.insert(hash(1_000_000 + i), i as u32);
            assert!(memo.len() <= 10_000 && memo.get(hash(1_000_000 + i)) == Some(i as u32));
        }
    }

    #[test]
    fn a_secret_is_not_shown_and_keys_the_hash() {
        let (a, b) = (HashSecret::new(|| 1), HashSecret::new(|| 2));
        assert_ne!(a.hash(b"x"), b.hash(b"x"));
        let mut i = 0;
        let c = HashSecret::new(|| {
            i += 1;
            i
        });
        assert_ne!(c.hash(b"x"), c.hash_of_hashes(b"x"));
        assert_eq!(format!("{a:?}"), "HashSecret { .. }");
    }
}
