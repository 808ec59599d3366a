//! Start timestamps behind the samples of the later encodings.
//!
//! A byte of the chunk's header says whether the first sample has one, and from which sample on the others do. Samples before
//! that have the first one's. Each stands as its distance to the time of the sample before, distances relative to each other.

use stdx::bits::BitReader;

use super::ChunkError;
use super::varbit::{get_int, get_varint};

/// The first sample has a start timestamp.
pub(super) const FIRST_IS_KNOWN: u8 = 0x80;
/// Number of the first sample that has one of its own, other than the first; 0 for none.
pub(super) const OWN_FROM: u8 = 0x7f;

/// Walks through the start timestamps of a chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Starts {
    header: u8,
    start_ms: i64,
    distance_ms: i64,
}

impl Starts {
    /// As the header's byte says; 0 for a chunk without any.
    pub(super) fn new(header: u8) -> Self {
        Self { header, ..Self::default() }
    }

    /// That of sample `idx` at `t_ms`, when the one before it was at `before_ms`; 0 when it has none.
    pub(super) fn get(
        &mut self,
        bits: &mut BitReader<'_>,
        idx: usize,
        t_ms: i64,
        before_ms: i64,
    ) -> Result<i64, ChunkError> {
        let own_from = usize::from(self.header & OWN_FROM);
        if idx == 0 {
            if self.header & FIRST_IS_KNOWN != 0 {
                self.start_ms = t_ms.wrapping_sub(get_varint(bits)?);
            }
        } else if own_from > 0 && idx >= own_from {
            // The first of its own is whole, the later ones are differences.
            let step_ms = get_int(bits)?;
            self.distance_ms = if idx == own_from { step_ms } else { self.distance_ms.wrapping_add(step_ms) };
            self.start_ms = before_ms.wrapping_sub(self.distance_ms);
        }
        Ok(self.start_ms)
    }
}

/// The writer's side, for round trips.
#[cfg(test)]
pub(super) struct StartsOut {
    pub(super) header: u8,
    last_ms: i64,
    distance_ms: i64,
}

#[cfg(test)]
impl StartsOut {
    pub(super) fn new() -> Self {
        Self { header: 0, last_ms: 0, distance_ms: 0 }
    }

    pub(super) fn put(
        &mut self,
        bits: &mut stdx::bits::BitWriter,
        idx: usize,
        t_ms: i64,
        before_ms: i64,
        start_ms: i64,
    ) {
        if idx == 0 {
            if start_ms != 0 {
                self.header = FIRST_IS_KNOWN;
                let mut bytes = Vec::new();
                stdx::varint::put_i64(&mut bytes, t_ms - start_ms);
                bytes.iter().for_each(|byte| bits.put(u64::from(*byte), 8));
            }
        } else if self.header & OWN_FROM > 0 {
            let distance_ms = before_ms - start_ms;
            super::varbit::put_int(bits, distance_ms - self.distance_ms);
            self.distance_ms = distance_ms;
        } else if start_ms != self.last_ms || idx == usize::from(OWN_FROM) {
            self.header |= idx as u8;
            self.distance_ms = before_ms - start_ms;
            super::varbit::put_int(bits, self.distance_ms);
        }
        self.last_ms = start_ms;
    }
}
