//! Runs of equal values: where a column changes, apart from what it changes to.
//!
//! In from `values` and `times`, out to page bytes. A column is levels, one for each run, and a shape: row numbers in
//! fields where changes are rare, one bit a row where they are not.

use stdx::varint;

use super::pack::{self, Lengths, Packing};
use super::{PageError, take_varint, varint_len};

/// How page bytes say where runs begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Every row is a level of its own.
    Dense,
    /// The lengths of all runs but the last, less one, packed.
    Sparse(Packing),
    /// One bit for each row but the first: 1 begins a run.
    Bitmap,
}

impl Shape {
    /// The smaller one of the two with runs, and its size in bytes. `starts` has the first rows of all runs but the first.
    pub(super) fn of_runs(starts: &[u32], n: usize) -> (Self, usize) {
        let head = varint_len(starts.len() as u64);
        let sparse = Lengths::of(gaps(starts)).best();
        let bitmap_bytes = (n - 1).div_ceil(8);
        if sparse.size_bytes <= bitmap_bytes {
            (Self::Sparse(sparse), head + sparse.size_bytes)
        } else {
            (Self::Bitmap, head + bitmap_bytes)
        }
    }

    /// The number of this shape in a page's first byte.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Dense => 0,
            Self::Sparse(_) => 1,
            Self::Bitmap => 2,
        }
    }

    /// Appends the number of changes; nothing when dense.
    pub(super) fn put_count(self, starts: &[u32], out: &mut Vec<u8>) {
        if self != Self::Dense {
            varint::put_u64(out, starts.len() as u64);
        }
    }

    /// Appends where the changes are; nothing when dense.
    pub(super) fn put(self, starts: &[u32], n: usize, out: &mut Vec<u8>) {
        match self {
            Self::Dense => {}
            Self::Sparse(packing) => {
                let gaps: Vec<u64> = gaps(starts).collect();
                pack::put(&gaps, packing.width, out);
            }
            Self::Bitmap => {
                let begin = out.len();
                out.resize(begin + (n - 1).div_ceil(8), 0);
                for &start in starts {
                    let bit = start as usize - 1;
                    out[begin + bit / 8] |= 1 << (bit % 8);
                }
            }
        }
    }
}

/// Lengths of all runs but the last, less one.
fn gaps(starts: &[u32]) -> impl Iterator<Item = u64> {
    let before = std::iter::once(0).chain(starts.iter().copied());
    starts.iter().zip(before).map(|(start, before)| u64::from(start - before - 1))
}

/// Where runs begin, as read from a page.
#[derive(Debug)]
pub(super) enum Runs<'a> {
    /// Every row is a level of its own.
    Dense,
    /// Lengths of all runs but the last, less one.
    Sparse(Vec<u64>),
    /// A bit for each row but the first.
    Bitmap(&'a [u8]),
}

/// Reads the number of levels in `n` rows, `n` at least 1, and moves `src` past it.
pub(super) fn take_n_levels(src: &mut &[u8], code: u8, n: usize) -> Result<usize, PageError> {
    if code == 0 {
        return Ok(n);
    }
    let n_changes = take_varint(src, "number of changes")?;
    if n_changes >= n as u64 {
        return Err(PageError::Damaged { what: "as many changes as rows" });
    }
    Ok(n_changes as usize + 1)
}

/// The level of row `row` of `n`, and moves `src` past the runs.
pub(super) fn level_of(
    src: &mut &[u8],
    code: u8,
    n: usize,
    n_levels: usize,
    row: usize,
    gaps: &mut Vec<u64>,
) -> Result<usize, PageError> {
    match code {
        1 => {
            pack::take(src, n_levels - 1, gaps)?;
            let mut end = 0u64;
            let is_before = |gap: &&u64| {
                end = end.saturating_add(gap.saturating_add(1));
                end <= row as u64
            };
            Ok(gaps.iter().take_while(is_before).count())
        }
        _ => match Runs::take(src, code, n, n_levels)? {
            Runs::Bitmap(bits) => {
                // Bit `r - 1` belongs to row `r`.
                let whole: u32 = bits[..row / 8].iter().map(|byte| byte.count_ones()).sum();
                let rest = bits.get(row / 8).map_or(0, |byte| (byte & ((1u8 << (row % 8)) - 1)).count_ones());
                Ok((whole + rest) as usize)
            }
            _ => Ok(row),
        },
    }
}

impl<'a> Runs<'a> {
    /// Reads the runs of `n` rows, `n` at least 1, and moves `src` past them.
    pub(super) fn take(src: &mut &'a [u8], code: u8, n: usize, n_levels: usize) -> Result<Self, PageError> {
        let n_changes = n_levels - 1;
        match code {
            0 => Ok(Self::Dense),
            1 => {
                let mut gaps = Vec::new();
                pack::take(src, n_changes, &mut gaps)?;
                let n_before = gaps.iter().try_fold(0u64, |sum, gap| sum.checked_add(gap.checked_add(1)?));
                if n_before.is_none_or(|n_before| n_before >= n as u64) {
                    return Err(PageError::Damaged { what: "a change behind the last row" });
                }
                Ok(Self::Sparse(gaps))
            }
            2 => {
                let (bits, rest) =
                    src.split_at_checked((n - 1).div_ceil(8)).ok_or(PageError::Short { part: "bitmap" })?;
                *src = rest;
                let n_ones: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                let n_padding = bits.len() * 8 - (n - 1);
                let padding = bits.last().map_or(0, |last| u32::from(*last) >> (8 - n_padding));
                if n_ones as usize != n_changes || padding != 0 {
                    return Err(PageError::Damaged { what: "a bitmap with another number of changes" });
                }
                Ok(Self::Bitmap(bits))
            }
            _ => Err(PageError::Damaged { what: "a shape of runs that does not exist" }),
        }
    }

    /// Lengths of all runs of `n` rows.
    pub(super) fn lengths(&self, n: usize) -> Vec<u32> {
        let mut rows = Vec::new();
        match self {
            Self::Dense => return vec![1; n],
            Self::Sparse(gaps) => rows.extend(gaps.iter().map(|gap| *gap as u32 + 1)),
            Self::Bitmap(bits) => {
                let mut length = 1;
                for row in 0..n - 1 {
                    if bits[row / 8] >> (row % 8) & 1 == 1 {
                        rows.push(length);
                        length = 0;
                    }
                    length += 1;
                }
            }
        }
        rows.push(n as u32 - rows.iter().sum::<u32>());
        rows
    }

    /// Appends `n` rows of `levels`, as many as there are runs.
    pub(super) fn expand<T: Copy>(&self, levels: &[T], n: usize, out: &mut Vec<T>) {
        match self {
            Self::Dense => out.extend_from_slice(levels),
            Self::Sparse(gaps) => {
                let end = out.len() + n;
                for (gap, level) in gaps.iter().zip(levels) {
                    out.resize(out.len() + *gap as usize + 1, *level);
                }
                out.resize(end, levels[levels.len() - 1]);
            }
            Self::Bitmap(bits) => {
                let begin = out.len();
                out.resize(begin + n, levels[0]);
                let mut idx = 0usize;
                let rows = &mut out[begin + 1..];
                for (byte, rows) in bits.iter().zip(rows.chunks_mut(8)) {
                    for (bit, row) in rows.iter_mut().enumerate() {
                        idx += usize::from(byte >> bit & 1);
                        *row = levels[idx];
                    }
                }
            }
        }
    }
}
