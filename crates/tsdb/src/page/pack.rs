//! Unsigned integers in fields of one width, the few that are wider patched in behind.
//!
//! In from `ints` and `runs`, out to page bytes. The width is the one of smallest total size.
//! Method: patched frame of reference (Zukowski et al., «Super-Scalar RAM-CPU Cache Compression»).

use stdx::varint;

use super::{PageError, take_byte, take_varint, varint_len};

/// Bit of the width byte: a list of patches comes before the fields.
const PATCHED: u8 = 0x80;
/// A width below that of the widest field is tried as long as at most one field in this many needs a patch. Chosen.
const FIELDS_PER_PATCH_MIN: u32 = 6;

/// How often each bit length occurs in a list of integers.
pub(super) struct Lengths {
    counts: [u32; 65],
    n: u32,
}

impl Lengths {
    /// Of all of `fields`.
    pub(super) fn of(fields: impl Iterator<Item = u64>) -> Self {
        let mut lengths = Self { counts: [0; 65], n: 0 };
        for field in fields {
            lengths.counts[bit_length(field) as usize] += 1;
            lengths.n += 1;
        }
        lengths
    }

    /// The best width and the size of the packed list in bytes. The size is exact as long as patches lie less than
    /// 128 fields apart.
    pub(super) fn best(&self) -> Packing {
        let widest = (0..=64).rev().find(|&length| self.counts[length as usize] > 0).unwrap_or(0);
        let mut best = Packing { width: widest, size_bytes: packed_bytes(self.n as usize, widest) + 1 };
        let mut n_patches = 0;
        for width in (0..widest).rev() {
            n_patches += self.counts[width as usize + 1];
            if n_patches > self.n / FIELDS_PER_PATCH_MIN + 1 {
                break;
            }
            let patches: usize = (width + 1..=widest)
                .map(|length| {
                    self.counts[length as usize] as usize * (1 + (length - width).div_ceil(7) as usize)
                })
                .sum();
            let size_bytes =
                packed_bytes(self.n as usize, width) + 1 + varint_len(u64::from(n_patches)) + patches;
            if size_bytes < best.size_bytes {
                best = Packing { width, size_bytes };
            }
        }
        best
    }
}

/// A choice of width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packing {
    /// Bits a field, 0..=64.
    pub(super) width: u32,
    /// Of the whole list, with its header.
    pub(super) size_bytes: usize,
}

/// Bits that `value` needs.
pub(super) fn bit_length(value: u64) -> u32 {
    64 - value.leading_zeros()
}

fn packed_bytes(n: usize, width: u32) -> usize {
    (n * width as usize).div_ceil(8)
}

/// Appends `fields` at `width` bits.
pub(super) fn put(fields: &[u64], width: u32, out: &mut Vec<u8>) {
    let is_patched = |field: u64| bit_length(field) > width;
    let n_patches = fields.iter().filter(|&&field| is_patched(field)).count();
    out.push(width as u8 | if n_patches > 0 { PATCHED } else { 0 });
    if n_patches > 0 {
        varint::put_u64(out, n_patches as u64);
        let mut next = 0;
        for (idx, &field) in fields.iter().enumerate().filter(|(_, field)| is_patched(**field)) {
            varint::put_u64(out, (idx - next) as u64);
            varint::put_u64(out, field >> width);
            next = idx + 1;
        }
    }
    put_fields(fields, width, out);
}

fn put_fields(fields: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = u64::MAX >> (64 - width);
    let end = out.len() + packed_bytes(fields.len(), width);
    let (mut word, mut n_bits) = (0u64, 0u32);
    for &field in fields {
        let field = field & mask;
        word |= field << n_bits;
        n_bits += width;
        if n_bits >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            n_bits -= 64;
            // What did not fit: the upper `n_bits` bits of the field.
            word = if n_bits == 0 { 0 } else { field >> (width - n_bits) };
        }
    }
    let n_left = end - out.len();
    out.extend_from_slice(&word.to_le_bytes()[..n_left]);
}

/// Reads `n` fields, replacing what `out` has, and moves `src` past them.
pub(super) fn take(src: &mut &[u8], n: usize, out: &mut Vec<u64>) -> Result<(), PageError> {
    let head = take_byte(src, "fields")?;
    let width = u32::from(head & !PATCHED);
    if width > 64 {
        return Err(PageError::Damaged { what: "fields wider than 64 bits" });
    }
    let mut patches = *src;
    let n_patches = if head & PATCHED == 0 { 0 } else { take_varint(&mut patches, "patches")? };
    *src = patches;
    // First over the patches, only to find the fields behind them.
    for _ in 0..n_patches {
        take_varint(src, "patches")?;
        take_varint(src, "patches")?;
    }
    let n_bytes = packed_bytes(n, width);
    let (packed, rest) = src.split_at_checked(n_bytes).ok_or(PageError::Short { part: "fields" })?;
    out.clear();
    out.resize(n, 0);
    unpack(packed, width, out);
    *src = rest;
    apply_patches(patches, n_patches, width, out)
}

/// Field number `idx` of `n`, as [`take`] reads them. `idx` is below `n`.
pub(super) fn get(mut src: &[u8], n: usize, idx: usize) -> Result<u64, PageError> {
    let src = &mut src;
    let head = take_byte(src, "fields")?;
    let width = u32::from(head & !PATCHED);
    if width > 64 {
        return Err(PageError::Damaged { what: "fields wider than 64 bits" });
    }
    let n_patches = if head & PATCHED == 0 { 0 } else { take_varint(src, "patches")? };
    let (mut next, mut patch) = (0u64, 0);
    for _ in 0..n_patches {
        let at = next.saturating_add(take_varint(src, "patches")?);
        let high = take_varint(src, "patches")?;
        if at == idx as u64 {
            patch = high.checked_shl(width).ok_or(PageError::Damaged { what: "a patch of full width" })?;
        }
        next = at.saturating_add(1);
    }
    let packed = src.get(..packed_bytes(n, width)).ok_or(PageError::Short { part: "fields" })?;
    if width == 0 {
        return Ok(patch);
    }
    let pos = idx * width as usize;
    let (at, n_bytes) = (pos / 8, (pos % 8 + width as usize).div_ceil(8));
    let mut word = [0u8; 16];
    word[..n_bytes].copy_from_slice(&packed[at..at + n_bytes]);
    Ok((u128::from_le_bytes(word) >> (pos % 8)) as u64 & (u64::MAX >> (64 - width)) | patch)
}

fn apply_patches(mut patches: &[u8], n_patches: u64, width: u32, out: &mut [u64]) -> Result<(), PageError> {
    let mut next = 0usize;
    for _ in 0..n_patches {
        let gap = take_varint(&mut patches, "patches")?;
        let high = take_varint(&mut patches, "patches")?;
        let idx = usize::try_from(gap).ok().and_then(|gap| next.checked_add(gap));
        let field = idx.and_then(|idx| out.get_mut(idx));
        let (Some(idx), Some(field)) = (idx, field) else {
            return Err(PageError::Damaged { what: "a patch behind the last field" });
        };
        if width >= 64 {
            return Err(PageError::Damaged { what: "a patch of full width" });
        }
        *field |= high << width;
        next = idx + 1;
    }
    Ok(())
}

/// Unpacks into all of `out`. `packed` has the bytes of exactly so many fields.
fn unpack(packed: &[u8], width: u32, out: &mut [u64]) {
    if width == 0 {
        return;
    }
    let (eights, tail) = out.as_chunks_mut::<8>();
    // As many eights as have eight bytes behind them, so that every word is read whole.
    let n_whole = (packed.len().saturating_sub(8) / width as usize).min(eights.len());
    let n_done = if unpack_eights(packed, width, &mut eights[..n_whole]) { n_whole * 8 } else { 0 };
    let step = width as usize;
    let mut pos = n_done * step;
    let mask = u64::MAX >> (64 - width);
    for field in eights.as_flattened_mut()[n_done..].iter_mut().chain(tail) {
        let (at, n_bits) = (pos / 8, pos % 8 + step);
        let mut word = [0u8; 16];
        let n_bytes = n_bits.div_ceil(8);
        word[..n_bytes].copy_from_slice(&packed[at..at + n_bytes]);
        *field = (u128::from_le_bytes(word) >> (pos % 8)) as u64 & mask;
        pos += step;
    }
}

/// Unpacks eight fields at once, which begin and end with a byte. False, and nothing is done, where fields do not fit words.
fn unpack_eights(packed: &[u8], width: u32, out: &mut [[u64; 8]]) -> bool {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                $($width => unpack_width::<$width>(packed, out),)*
                _ => return false,
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57);
    true
}

/// With the width known, every shift and offset is a constant: no branch and no multiplication for a field.
#[inline(always)]
fn unpack_width<const WIDTH: usize>(packed: &[u8], out: &mut [[u64; 8]]) {
    let mask = u64::MAX >> (64 - WIDTH);
    for (bytes, eight) in packed.windows(WIDTH + 8).step_by(WIDTH).zip(out) {
        for (idx, field) in eight.iter_mut().enumerate() {
            let at = idx * WIDTH / 8;
            let word = bytes[at..at + 8].try_into().expect("eight bytes");
            *field = u64::from_le_bytes(word) >> (idx * WIDTH % 8) & mask;
        }
    }
}
