//! Facts of a value page, so that long windows need not decode it.
//!
//! In from `encode` (mantissas or floats, with the lengths of their runs), out to page bytes and back. For decimals all facts are
//! integers in units of the page's divisor, relative to its first value: some eight bytes. For others they are floats.

use model::sample::STALE_NAN_BITS;
use stdx::varint;

use super::decimal::Scale;
use super::ints::Origin;
use super::{PageError, take_byte, take_u64, take_varint, take_zigzag};

/// Bit of the flags: values never fall, so that the first is the lowest and the last the highest.
const NEVER_FALLS: u8 = 1;
/// Bit of the flags: there are staleness markers or NaN.
const HAS_NANS: u8 = 2;
/// Bit of the flags: facts are floats.
const IN_FLOATS: u8 = 4;
/// Bit of the flags: the number of changes is not the number of levels less one.
const HAS_CHANGES: u8 = 8;

/// What is known of a page without decoding its values.
///
/// NaN and staleness markers are counted, and left out of everything but `n` and, for NaN, `n_changes`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Rows.
    pub n: u32,
    /// Rows that are neither NaN nor stale. `n - n_numbers - n_stale` are NaN.
    pub n_numbers: u32,
    /// Rows with the staleness marker.
    pub n_stale: u32,
    /// Lowest number; NaN when there is none.
    pub min: f64,
    /// Highest number; NaN when there is none.
    pub max: f64,
    /// Sum of all numbers: of decimals exact but for one rounding, of others compensated; 0 when there is none.
    pub sum: f64,
    /// First number; NaN when there is none.
    pub first: f64,
    /// Last number; NaN when there is none.
    pub last: f64,
    /// Sum of the numbers before each fall: what an increase over the page adds to `last - first`.
    pub reset_sum: f64,
    /// Falls: numbers below the number before.
    pub n_resets: u32,
    /// Values that differ from the one before, staleness markers left out; all NaN are the same value here.
    pub n_changes: u32,
}

/// Running facts over numbers of either kind.
#[derive(Debug, Clone, Copy)]
struct Walk<T> {
    n_stale: u32,
    n_nan: u32,
    n_resets: u32,
    n_changes: u32,
    /// First, last, lowest and highest number.
    numbers: Option<(T, T, T, T)>,
    /// Whether the last value was NaN; `None` before there is one.
    was_nan: Option<bool>,
}

impl<T: Copy + PartialOrd> Walk<T> {
    fn new() -> Self {
        Self { n_stale: 0, n_nan: 0, n_resets: 0, n_changes: 0, numbers: None, was_nan: None }
    }

    fn add_nan(&mut self, bits: u64, length: u32) {
        if bits == STALE_NAN_BITS {
            self.n_stale += length;
            return;
        }
        self.n_nan += length;
        self.n_changes += u32::from(self.was_nan == Some(false));
        self.was_nan = Some(true);
    }

    /// Answers the number before, when this one is below it.
    #[inline]
    fn add(&mut self, number: T) -> Option<T> {
        let Some((_, last, min, max)) = &mut self.numbers else {
            self.numbers = Some((number, number, number, number));
            self.n_changes += u32::from(self.was_nan == Some(true));
            self.was_nan = Some(false);
            return None;
        };
        let before = std::mem::replace(last, number);
        self.n_changes += u32::from(self.was_nan == Some(true) || before != number);
        self.was_nan = Some(false);
        if number > *max {
            *max = number;
        }
        if number < before {
            if number < *min {
                *min = number;
            }
            self.n_resets += 1;
            return Some(before);
        }
        None
    }
}

/// Facts in units of mantissas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact {
    walk: Walk<i64>,
    n: u32,
    sum: i128,
    reset_sum: i128,
}

impl Exact {
    /// Of mantissas with the lengths of their runs. `None` when an exception is a number, or when nothing is one.
    pub(super) fn of(
        mantissas: &[i64],
        exceptions: &[(u32, u64)],
        lengths: impl Iterator<Item = u32>,
    ) -> Option<Self> {
        if exceptions.iter().any(|(_, bits)| !f64::from_bits(*bits).is_nan()) {
            return None;
        }
        let mut exact = Self { walk: Walk::new(), n: 0, sum: 0, reset_sum: 0 };
        let mut exceptions = exceptions.iter().peekable();
        for ((&mantissa, length), idx) in mantissas.iter().zip(lengths).zip(0u32..) {
            exact.n += length;
            if let Some((_, bits)) = exceptions.next_if(|(at, _)| *at == idx) {
                exact.walk.add_nan(*bits, length);
                continue;
            }
            exact.sum += i128::from(mantissa) * i128::from(length);
            if let Some(before) = exact.walk.add(mantissa) {
                exact.reset_sum += i128::from(before);
            }
        }
        exact.walk.numbers.map(|_| exact)
    }

    /// As floats.
    pub(super) fn summary(&self, scale: Scale) -> Summary {
        let (first, last, min, max) = self.walk.numbers.unwrap_or_default();
        let float = |mantissa: i64| scale.value(mantissa as f64);
        Summary {
            n: self.n,
            n_numbers: self.n - self.walk.n_stale - self.walk.n_nan,
            n_stale: self.walk.n_stale,
            min: float(min),
            max: float(max),
            sum: scale.value(self.sum as f64),
            first: float(first),
            last: float(last),
            reset_sum: scale.value(self.reset_sum as f64),
            n_resets: self.walk.n_resets,
            n_changes: self.walk.n_changes,
        }
    }

    /// Appends the facts. False, and nothing is appended, when they are too large for it.
    pub(super) fn put(&self, n_levels: usize, divisor: u64, out: &mut Vec<u8>) -> bool {
        let Some((first, last, min, max)) = self.walk.numbers else { return false };
        let n_numbers = i128::from(self.n - self.walk.n_stale - self.walk.n_nan);
        let (first, last) = (i128::from(first), i128::from(last));
        let divisor = i128::from(divisor);
        let last = (last - first) / divisor;
        let sum = (self.sum - n_numbers * first) / divisor - n_numbers * last / 2;
        let reset_sum = (self.reset_sum - i128::from(self.walk.n_resets) * first) / divisor;
        let (Ok(last), Ok(sum), Ok(reset_sum)) = (last.try_into(), sum.try_into(), reset_sum.try_into())
        else {
            return false;
        };
        let mut flags = 0;
        let never_falls = self.walk.n_resets == 0;
        put_flag(&mut flags, NEVER_FALLS, never_falls);
        let begin = begin(out);
        out.push(flags);
        self.walk.put_counts(n_levels, begin + 1, out);
        varint::put_i64(out, last);
        if !never_falls {
            varint::put_u64(out, ((first - i128::from(min)) / divisor) as u64);
            varint::put_u64(out, ((i128::from(max) - first) / divisor) as u64);
            varint::put_u64(out, u64::from(self.walk.n_resets));
            varint::put_i64(out, reset_sum);
        }
        varint::put_i64(out, sum);
        end(begin, out);
        true
    }
}

fn put_flag(flags: &mut u8, flag: u8, is_set: bool) {
    if is_set {
        *flags |= flag;
    }
}

/// Leaves room for the length, and answers where.
fn begin(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

fn end(begin: usize, out: &mut [u8]) {
    // At most three counts and six floats.
    out[begin] = (out.len() - begin - 1) as u8;
}

impl<T> Walk<T> {
    /// Appends the counts that are not usual, and sets their flags at `flags_at`.
    fn put_counts(&self, n_levels: usize, flags_at: usize, out: &mut Vec<u8>) {
        if self.n_stale + self.n_nan > 0 {
            out[flags_at] |= HAS_NANS;
            varint::put_u64(out, u64::from(self.n_stale));
            varint::put_u64(out, u64::from(self.n_nan));
        }
        if self.n_changes as usize + 1 != n_levels {
            out[flags_at] |= HAS_CHANGES;
            varint::put_u64(out, u64::from(self.n_changes));
        }
    }
}

/// Facts of floats that are no decimals.
pub(super) fn of_floats(levels: &[f64], lengths: impl Iterator<Item = u32>) -> Summary {
    let mut walk = Walk::new();
    let (mut n, mut sum, mut reset_sum) = (0, Total::default(), Total::default());
    for (&level, length) in levels.iter().zip(lengths) {
        n += length;
        if level.is_nan() {
            walk.add_nan(level.to_bits(), length);
            continue;
        }
        sum.add(level * f64::from(length));
        if let Some(before) = walk.add(level) {
            reset_sum.add(before);
        }
    }
    let (first, last, min, max) = walk.numbers.unwrap_or((f64::NAN, f64::NAN, f64::NAN, f64::NAN));
    Summary {
        n,
        n_numbers: n - walk.n_stale - walk.n_nan,
        n_stale: walk.n_stale,
        min,
        max,
        sum: sum.value(),
        first,
        last,
        reset_sum: reset_sum.value(),
        n_resets: walk.n_resets,
        n_changes: walk.n_changes,
    }
}

/// A sum with its rounding errors beside it, as Neumaier's variant of Kahan's.
#[derive(Default)]
struct Total {
    sum: f64,
    lost: f64,
}

impl Total {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    /// An infinite sum has no meaningful error.
    fn value(&self) -> f64 {
        if self.sum.is_finite() && self.lost.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

/// Appends the facts of [`of_floats`].
pub(super) fn put_floats(summary: &Summary, n_levels: usize, out: &mut Vec<u8>) {
    let begin = begin(out);
    out.push(IN_FLOATS);
    let walk = Walk::<f64> {
        n_stale: summary.n_stale,
        n_nan: summary.n - summary.n_numbers - summary.n_stale,
        n_changes: summary.n_changes,
        ..Walk::new()
    };
    walk.put_counts(n_levels, begin + 1, out);
    varint::put_u64(out, u64::from(summary.n_resets));
    for fact in [summary.min, summary.max, summary.sum, summary.first, summary.last, summary.reset_sum] {
        out.extend_from_slice(&fact.to_bits().to_le_bytes());
    }
    end(begin, out);
}

/// Moves `src` past a summary.
pub(super) fn skip<'a>(src: &mut &'a [u8]) -> Result<&'a [u8], PageError> {
    let n_bytes = usize::from(take_byte(src, "summary")?);
    let (summary, rest) = src.split_at_checked(n_bytes).ok_or(PageError::Short { part: "summary" })?;
    *src = rest;
    Ok(summary)
}

/// Reads the bytes of a summary. `scale` and `origin` are those of the page's integers, if it has any.
pub(super) fn read(
    mut bytes: &[u8],
    n: usize,
    n_levels: usize,
    scale: Option<(Scale, Origin)>,
) -> Result<Summary, PageError> {
    const PART: &str = "summary";
    let src = &mut bytes;
    let n = n as u32;
    let flags = take_byte(src, PART)?;
    let (n_stale, n_nan) =
        if flags & HAS_NANS == 0 { (0, 0) } else { (take_count_to(src, n)?, take_count_to(src, n)?) };
    let n_numbers = n
        .checked_sub(n_stale)
        .and_then(|n| n.checked_sub(n_nan))
        .ok_or(PageError::Damaged { what: "a summary of more rows than there are" })?;
    let n_changes = if flags & HAS_CHANGES == 0 { n_levels as u32 - 1 } else { take_count_to(src, n)? };
    if flags & IN_FLOATS != 0 {
        let n_resets = take_count_to(src, n)?;
        let mut facts = [0.0; 6];
        for fact in &mut facts {
            *fact = f64::from_bits(take_u64(src, PART)?);
        }
        let [min, max, sum, first, last, reset_sum] = facts;
        return Ok(Summary {
            n,
            n_numbers,
            n_stale,
            min,
            max,
            sum,
            first,
            last,
            reset_sum,
            n_resets,
            n_changes,
        });
    }
    let (scale, origin) =
        scale.ok_or(PageError::Damaged { what: "a summary in units that the page has not" })?;
    let (divisor, first) = (i128::from(origin.divisor), i128::from(origin.first));
    let last = i128::from(take_zigzag(src, PART)?);
    let (mut below, mut above, mut n_resets, mut reset_sum) = (0, last, 0, 0);
    if flags & NEVER_FALLS == 0 {
        below = i128::from(take_varint(src, PART)?);
        above = i128::from(take_varint(src, PART)?);
        n_resets = take_count_to(src, n)?;
        reset_sum = i128::from(take_zigzag(src, PART)?);
    }
    let sum = i128::from(take_zigzag(src, PART)?) + i128::from(n_numbers) * last / 2;
    // Of damaged bytes the products may wrap; what comes out is wrong then, as they are.
    let float = |units: i128, n: u32| {
        scale.value(units.wrapping_mul(divisor).wrapping_add(first * i128::from(n)) as f64)
    };
    Ok(Summary {
        n,
        n_numbers,
        n_stale,
        min: float(-below, 1),
        max: float(above, 1),
        sum: float(sum, n_numbers),
        first: float(0, 1),
        last: float(last, 1),
        reset_sum: float(reset_sum, n_resets),
        n_resets,
        n_changes,
    })
}

/// A count of rows, at most `n`.
fn take_count_to(src: &mut &[u8], n: u32) -> Result<u32, PageError> {
    let count = take_varint(src, "summary")?;
    if count > u64::from(n) {
        return Err(PageError::Damaged { what: "a summary of more rows than there are" });
    }
    Ok(count as u32)
}
