//! Bit streams, most significant bit first.
//!
//! In from chunk codecs; out to byte buffers they own. Reading never panics: past the end it answers `None`.

/// A field of this width and the bits of a begun byte fit 64 bits together.
const FIELD_BITS_MAX: u32 = 56;

/// Adds bits at the end of a byte buffer. Bits not written yet are zero.
#[derive(Debug, Clone, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Free bits in the last byte, 0..=7.
    n_free: u32,
}

impl BitWriter {
    /// Goes on after the whole bytes of `bytes`.
    #[must_use]
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, n_free: 0 }
    }

    /// Writes the lowest `n_bits` of `value`, at most 64.
    #[inline]
    pub fn put(&mut self, value: u64, n_bits: u32) {
        debug_assert!(n_bits <= 64, "a value has 64 bits");
        if n_bits > FIELD_BITS_MAX {
            self.put(value >> 32, n_bits - 32);
            return self.put(value, 32);
        }
        if n_bits == 0 {
            return;
        }
        // The bits stand left-aligned behind those of the last byte, and go out byte by byte.
        let n_used = (8 - self.n_free) % 8;
        let mut window = (value << (64 - n_bits)) >> n_used;
        if n_used > 0 {
            window |= u64::from(self.bytes.pop().unwrap_or(0)) << 56;
        }
        let n_total = n_used + n_bits;
        let n_bytes = n_total.div_ceil(8);
        self.bytes.extend_from_slice(&window.to_be_bytes()[..n_bytes as usize]);
        self.n_free = n_bytes * 8 - n_total;
    }

    /// Bytes so far, the last one padded with zero bits.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to patch headers in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The bytes, padded with zero bits.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads bits from a byte slice.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position of the next bit.
    pos_bits: usize,
}

impl<'a> BitReader<'a> {
    /// From the first bit of `bytes` on.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos_bits: 0 }
    }

    /// The next `n_bits`, at most 64, as the lowest bits of the answer; `None` when there are fewer left.
    #[inline]
    pub fn get(&mut self, n_bits: u32) -> Option<u64> {
        debug_assert!(n_bits <= 64, "a value has 64 bits");
        if n_bits == 0 {
            return Some(0);
        }
        let (at, shift) = (self.pos_bits >> 3, (self.pos_bits & 7) as u32);
        // Fast path: all bits lie within eight bytes.
        if shift + n_bits <= 64
            && let Some(window) = self.bytes.get(at..at + 8)
        {
            let word = u64::from_be_bytes(window.try_into().ok()?);
            self.pos_bits += n_bits as usize;
            return Some((word << shift) >> (64 - n_bits));
        }
        self.get_slow(n_bits)
    }

    /// Slow path: near the end, or across nine bytes.
    fn get_slow(&mut self, n_bits: u32) -> Option<u64> {
        if self.bytes.len() * 8 - self.pos_bits < n_bits as usize {
            return None;
        }
        let mut value = 0;
        let mut left = n_bits;
        while left > 0 {
            let (at, shift) = (self.pos_bits >> 3, (self.pos_bits & 7) as u32);
            let n = left.min(8 - shift);
            let byte = u32::from(*self.bytes.get(at)?);
            let part = (byte >> (8 - shift - n)) & ((1 << n) - 1);
            value = (value << n) | u64::from(part);
            self.pos_bits += n as usize;
            left -= n;
        }
        Some(value)
    }

    /// The next bit.
    #[inline]
    pub fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.pos_bits >> 3)?;
        let bit = byte >> (7 - (self.pos_bits & 7)) & 1;
        self.pos_bits += 1;
        Some(bit == 1)
    }

    /// How many whole or begun bytes were read.
    #[must_use]
    pub fn bytes_read(&self) -> usize {
        self.pos_bits.div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_come_back(fields in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..50)) {
            let mut writer = BitWriter::default();
            for (value, n_bits) in &fields {
                writer.put(*value, *n_bits);
            }
            let bytes = writer.finish();
            let n_bits: u32 = fields.iter().map(|(_, n)| n).sum();
            prop_assert_eq!(bytes.len(), (n_bits as usize).div_ceil(8));
            let mut reader = BitReader::new(&bytes);
            for (value, n_bits) in &fields {
                let mask = if *n_bits == 0 { 0 } else { u64::MAX >> (64 - n_bits) };
                prop_assert_eq!(reader.get(*n_bits), Some(value & mask));
            }
            prop_assert_eq!(reader.get(8), None);
        }

        #[test]
        fn single_bits_read_as_fields_do(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let (mut bits, mut fields) = (BitReader::new(&bytes), BitReader::new(&bytes));
            for _ in 0..bytes.len() * 8 + 1 {
                prop_assert_eq!(bits.bit().map(u64::from), fields.get(1));
            }
        }
    }
}
