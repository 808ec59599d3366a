//! Prefix codes for integers and XOR'd floats.

use stdx::bits::{BitReader, BitWriter};
use stdx::varint::{self, VARINT_BYTES_MAX};

use super::ChunkError;

/// Widths behind one, two, … leading ones; the last has no zero after its ones.
const WIDTHS: [u32; 8] = [3, 6, 9, 12, 18, 25, 56, 64];

/// Whether a signed value lies in the range of `width` bits, which reaches one further up than down.
fn fits(value: i64, width: u32) -> bool {
    width == 64 || (-((1i64 << (width - 1)) - 1)..=1i64 << (width - 1)).contains(&value)
}

/// Undoes the shifted two's complement of [`fits`].
pub(super) fn signed(raw: u64, width: u32) -> i64 {
    if width < 64 && raw > 1 << (width - 1) { raw.wrapping_sub(1 << width) as i64 } else { raw as i64 }
}

fn put(bits: &mut BitWriter, value: u64, bucket: usize) {
    let ones = bucket as u32 + 1;
    if bucket == WIDTHS.len() - 1 {
        bits.put(0xff, 8);
    } else {
        bits.put(((1 << ones) - 1) << 1, ones + 1);
    }
    bits.put(value, WIDTHS[bucket]);
}

pub(super) fn put_int(bits: &mut BitWriter, value: i64) {
    if value == 0 {
        return bits.put(0, 1);
    }
    let bucket = WIDTHS.iter().position(|width| fits(value, *width)).expect("64 bits hold it");
    put(bits, value as u64, bucket);
}

pub(super) fn put_uint(bits: &mut BitWriter, value: u64) {
    if value == 0 {
        return bits.put(0, 1);
    }
    let n_bits = 64 - value.leading_zeros();
    let bucket = WIDTHS.iter().position(|width| n_bits <= *width).expect("64 bits hold it");
    put(bits, value, bucket);
}

/// The raw bits and their width; width 0 for zero.
fn get(bits: &mut BitReader<'_>) -> Result<(u64, u32), ChunkError> {
    let mut ones = 0;
    while ones < WIDTHS.len() && bits.bit().ok_or(ChunkError::Truncated)? {
        ones += 1;
    }
    if ones == 0 {
        return Ok((0, 0));
    }
    let width = WIDTHS[ones - 1];
    Ok((bits.get(width).ok_or(ChunkError::Truncated)?, width))
}

pub(super) fn get_int(bits: &mut BitReader<'_>) -> Result<i64, ChunkError> {
    let (raw, width) = get(bits)?;
    Ok(if width == 0 { 0 } else { signed(raw, width) })
}

pub(super) fn get_uint(bits: &mut BitReader<'_>) -> Result<u64, ChunkError> {
    Ok(get(bits)?.0)
}

pub(super) fn get_f64(bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    Ok(f64::from_bits(bits.get(64).ok_or(ChunkError::Truncated)?))
}

/// A varint at any bit.
pub(super) fn get_uvarint(bits: &mut BitReader<'_>) -> Result<u64, ChunkError> {
    let mut bytes = Vec::with_capacity(VARINT_BYTES_MAX);
    while bytes.len() < VARINT_BYTES_MAX {
        let byte = bits.get(8).ok_or(ChunkError::Truncated)? as u8;
        bytes.push(byte);
        if byte < 0x80 {
            break;
        }
    }
    varint::get_u64(&mut &bytes[..]).ok_or(ChunkError::Field("varint"))
}

/// A zigzag-coded varint at any bit.
pub(super) fn get_varint(bits: &mut BitReader<'_>) -> Result<i64, ChunkError> {
    let raw = get_uvarint(bits)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// One column of floats, each XOR'd with the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct XorState {
    last: u64,
    /// Leading and trailing zero bits of the last window written.
    window: Option<(u32, u32)>,
}

impl XorState {
    pub(super) fn after(value: f64) -> Self {
        Self { last: value.to_bits(), window: None }
    }

    /// The last one.
    pub(super) fn value(&self) -> f64 {
        f64::from_bits(self.last)
    }

    pub(super) fn put(&mut self, bits: &mut BitWriter, value: f64) {
        if self.last == value.to_bits() {
            return bits.put(0, 1);
        }
        bits.put(1, 1);
        self.put_in_window(bits, value, (1, 1));
    }

    /// A value that differs: a zero, or a new window behind the bits that announce one; then the bits within it.
    pub(super) fn put_in_window(&mut self, bits: &mut BitWriter, value: f64, announce: (u64, u32)) {
        let xor = self.last ^ value.to_bits();
        self.last = value.to_bits();
        // Five bits hold the leading zeros.
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        if let Some((lead, trail)) = self.window
            && leading >= lead
            && trailing >= trail
        {
            bits.put(0, 1);
            return bits.put(xor >> trail, 64 - lead - trail);
        }
        self.window = Some((leading, trailing));
        let width = 64 - leading - trailing;
        bits.put(announce.0, announce.1);
        bits.put(u64::from(leading), 5);
        // 64 does not fit into six bits and stands as 0.
        bits.put(u64::from(width), 6);
        bits.put(xor >> trailing, width);
    }

    pub(super) fn get(&mut self, bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
        if !bits.bit().ok_or(ChunkError::Truncated)? {
            return Ok(self.value());
        }
        if bits.bit().ok_or(ChunkError::Truncated)? {
            self.get_window(bits)?;
        }
        self.get_in_window(bits)
    }

    /// A new window.
    pub(super) fn get_window(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        let leading = bits.get(5).ok_or(ChunkError::Truncated)? as u32;
        let width = match bits.get(6).ok_or(ChunkError::Truncated)? as u32 {
            0 => 64,
            width => width,
        };
        if leading + width > 64 {
            return Err(ChunkError::Field("window of a float"));
        }
        self.window = Some((leading, 64 - leading - width));
        Ok(())
    }

    /// The next value within the window. All 64 bits are one until there is another: Prometheus writes so when it goes on with
    /// a chunk that it closed before.
    pub(super) fn get_in_window(&mut self, bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
        let (leading, trailing) = self.window.unwrap_or((0, 0));
        let raw = bits.get(64 - leading - trailing).ok_or(ChunkError::Truncated)?;
        self.last ^= raw << trailing;
        Ok(self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(ints in proptest::collection::vec((any::<i64>(), 0u32..64), 0..40)) {
            let ints: Vec<i64> = ints.into_iter().map(|(int, shift)| int >> shift).collect();
            let mut bits = BitWriter::default();
            for int in &ints {
                put_int(&mut bits, *int);
                put_uint(&mut bits, int.unsigned_abs());
            }
            let bytes = bits.finish();
            let mut bits = BitReader::new(&bytes);
            for int in &ints {
                prop_assert_eq!(get_int(&mut bits), Ok(*int));
                prop_assert_eq!(get_uint(&mut bits), Ok(int.unsigned_abs()));
            }
        }

        #[test]
        fn floats_come_back(floats in proptest::collection::vec(any::<u64>(), 1..40)) {
            let mut bits = BitWriter::default();
            let mut state = XorState::after(1.5);
            floats.iter().for_each(|raw| state.put(&mut bits, f64::from_bits(*raw)));
            let bytes = bits.finish();
            let (mut bits, mut state) = (BitReader::new(&bytes), XorState::after(1.5));
            for raw in &floats {
                prop_assert_eq!(state.get(&mut bits).map(f64::to_bits), Ok(*raw));
            }
        }
    }
}
