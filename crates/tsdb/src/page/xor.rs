//! The fallback for floats that are no short decimals: each one's bits XOR those of the one before.
//!
//! In from `values`, out to page bytes. Method: Facebook's Gorilla (Pelkonen et al.), with 6-bit fields for both ends of the window.
//!
//! A stream of bits, least significant first: the first float in 64 bits; then for each float `0` when it has the bits of
//! the one before, `01` and the bits of the last window, or `11`, 6 bits leading zeros, 6 bits window width less one, and the window.

use super::PageError;

/// Bits that announce a new window.
const WINDOW_HEAD_BITS: u32 = 2 + 6 + 6;

/// Leading zeros and width of the last window.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    leading: u32,
    width: u32,
}

impl Window {
    fn of(xor: u64) -> Self {
        let leading = xor.leading_zeros();
        Self { leading, width: 64 - leading - xor.trailing_zeros() }
    }

    /// Zeros behind the window; 64 before there is one.
    fn trailing(self) -> u32 {
        64 - self.leading - self.width
    }

    /// The window to write `xor` in, and whether it is the one before. A new one that pays its head by being narrower is better.
    fn next(self, xor: u64) -> (Self, bool) {
        let new = Self::of(xor);
        let fits = self.width > 0 && new.leading >= self.leading && new.trailing() >= self.trailing();
        if fits && self.width + 2 <= new.width + WINDOW_HEAD_BITS { (self, true) } else { (new, false) }
    }
}

/// Bytes that [`put`] appends.
pub(super) fn size_bytes(values: &[f64]) -> usize {
    let mut n_bits = 64usize;
    let mut window = Window::default();
    for pair in values.windows(2) {
        let xor = pair[0].to_bits() ^ pair[1].to_bits();
        if xor == 0 {
            n_bits += 1;
            continue;
        }
        let (next, is_same) = window.next(xor);
        n_bits += (next.width + if is_same { 2 } else { WINDOW_HEAD_BITS }) as usize;
        window = next;
    }
    n_bits.div_ceil(8)
}

/// Appends `values`, at least one.
pub(super) fn put(values: &[f64], out: &mut Vec<u8>) {
    let mut bits = Writer { out, word: 0, n_bits: 0 };
    bits.put(values[0].to_bits(), 64);
    let mut window = Window::default();
    for pair in values.windows(2) {
        let xor = pair[0].to_bits() ^ pair[1].to_bits();
        if xor == 0 {
            bits.put(0, 1);
            continue;
        }
        let (next, is_same) = window.next(xor);
        if is_same {
            bits.put(0b01, 2);
        } else {
            bits.put(0b11 | u64::from(next.leading) << 2 | u64::from(next.width - 1) << 8, WINDOW_HEAD_BITS);
        }
        bits.put(xor >> next.trailing(), next.width);
        window = next;
    }
    bits.finish();
}

/// Reads `n` floats, at least one, appends them to `out`, and moves `src` past them.
pub(super) fn take(src: &mut &[u8], n: usize, out: &mut Vec<f64>) -> Result<(), PageError> {
    // A float takes a bit at least.
    if n > src.len() * 8 {
        return Err(PageError::Short { part: "XOR stream" });
    }
    let mut bits = Reader { bytes: src, pos: 0 };
    let mut value = bits.take(64)?;
    out.reserve(n);
    out.push(f64::from_bits(value));
    let mut window = Window::default();
    for _ in 1..n {
        if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                let head = bits.take(12)?;
                window = Window { leading: head as u32 & 63, width: (head >> 6) as u32 + 1 };
                if window.leading + window.width > 64 {
                    return Err(PageError::Damaged { what: "a window wider than a float" });
                }
            } else if window.width == 0 {
                return Err(PageError::Damaged { what: "the last window before the first" });
            }
            value ^= bits.take(window.width)? << window.trailing();
        }
        out.push(f64::from_bits(value));
    }
    *src = &src[bits.pos.div_ceil(8)..];
    Ok(())
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    /// Used in `word`, below 64.
    n_bits: u32,
}

impl Writer<'_> {
    /// The lowest `n_bits` of `value`, which has no others; 1 to 64.
    fn put(&mut self, value: u64, n_bits: u32) {
        self.word |= value << self.n_bits;
        self.n_bits += n_bits;
        if self.n_bits >= 64 {
            self.out.extend_from_slice(&self.word.to_le_bytes());
            self.n_bits -= 64;
            self.word = if self.n_bits == 0 { 0 } else { value >> (n_bits - self.n_bits) };
        }
    }

    fn finish(self) {
        self.out.extend_from_slice(&self.word.to_le_bytes()[..self.n_bits.div_ceil(8) as usize]);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// In bits.
    pos: usize,
}

impl Reader<'_> {
    /// The next 1 to 64 bits.
    #[inline]
    fn take(&mut self, n_bits: u32) -> Result<u64, PageError> {
        let (at, shift) = (self.pos / 8, (self.pos % 8) as u32);
        let mut word = [0u8; 9];
        match self.bytes.get(at..at + 9) {
            Some(nine) => word.copy_from_slice(nine),
            None => {
                let rest = self.bytes.get(at..).unwrap_or_default();
                if rest.len() * 8 < (shift + n_bits) as usize {
                    return Err(PageError::Short { part: "XOR stream" });
                }
                word[..rest.len()].copy_from_slice(rest);
            }
        }
        self.pos += n_bits as usize;
        let low = u64::from_le_bytes(word[..8].try_into().expect("eight bytes")) >> shift;
        let high = u64::from(word[8]) << (63 - shift) << 1;
        Ok((low | high) & (u64::MAX >> (64 - n_bits)))
    }
}
