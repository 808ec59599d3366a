//! Value pages: runs, a scale, integers or bit patterns, exceptions.
//!
//! In from columns of floats, out to bytes and back. Sizes are computed for all forms; only the smallest is written.

use model::float::NORMAL_NAN_BITS;
use model::sample::STALE_NAN_BITS;
use stdx::varint;

use super::decimal::{self, Decimals, POWERS};
use super::ints::{self, Form, Plan};
use super::runs::{Runs, Shape};
use super::{PageError, ROWS_MAX, at_end, take_byte, take_count, take_u64, take_varint, xor};

/// Form number: an XOR stream.
const FORM_XOR: u8 = 6;
/// Form number: eight bytes each.
const FORM_RAW: u8 = 7;
/// Where the shape stands in the first byte.
const SHAPE_SHIFT: u32 = 3;
/// Bit of the first byte: exceptions follow the integers.
const HAS_EXCEPTIONS: u8 = 1 << 5;
/// Bit of the scale byte: differences have a divisor.
const IS_DIVIDED: u8 = 1 << 5;
/// Scale: integers are bit patterns of floats, not mantissas.
const SCALE_BITS: u8 = 31;

/// How an exception is coded: its eight bytes.
const EXCEPTION_RAW: u64 = 0;
/// As the exception before.
const EXCEPTION_SAME: u64 = 1;
/// The staleness marker.
const EXCEPTION_STALE: u64 = 2;
/// The usual NaN.
const EXCEPTION_NAN: u64 = 3;

/// Appends `values` as a page. Floats come back bit for bit, also NaN payloads and minus zero.
///
/// # Panics
///
/// With more than [`ROWS_MAX`] values.
pub fn encode_values(values: &[f64], out: &mut Vec<u8>) {
    assert!(values.len() <= ROWS_MAX, "a page holds at most ROWS_MAX values");
    #[cfg(debug_assertions)]
    let begin = out.len();
    encode(values, out);
    #[cfg(debug_assertions)]
    {
        let mut back = Vec::new();
        decode_values(&out[begin..], &mut back).expect("a page that was just written");
        assert!(same_bits(&back, values), "a page gives back what was written");
    }
}

#[cfg(debug_assertions)]
fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

fn encode(values: &[f64], out: &mut Vec<u8>) {
    let starts = run_starts(values);
    let n = values.len();
    let Some(&first) = values.first() else {
        out.extend_from_slice(&[Form::Constant as u8, 0]);
        return;
    };
    let is_dense = starts.len() + 1 == n;
    let levels: Vec<f64> = if is_dense {
        values.to_vec()
    } else {
        std::iter::once(first).chain(starts.iter().map(|&start| values[start as usize])).collect()
    };
    let body = Body::of(&levels);
    let (mut shape, mut shape_bytes) = (Shape::Dense, 0);
    if starts.len() + 1 < n {
        if starts.is_empty() {
            // A constant needs no shape: its one level is all rows.
        } else {
            (shape, shape_bytes) = Shape::of_runs(&starts, n);
        }
    }
    let mut best = body;
    let mut best_starts = &starts[..];
    // Where a fourth of the rows change or more, naming the rows may cost more than repeating values.
    if shape != Shape::Dense && starts.len() * 4 >= n {
        let dense = best.expanded(&starts, values);
        if dense.size_bytes() < best.size_bytes() + shape_bytes {
            (best, shape, best_starts) = (dense, Shape::Dense, &[]);
        }
    }
    out.push(
        best.form()
            | shape.code() << SHAPE_SHIFT
            | if best.exceptions().is_empty() { 0 } else { HAS_EXCEPTIONS },
    );
    varint::put_u64(out, n as u64);
    shape.put(best_starts, n, out);
    best.put(out);
}

/// First rows of all runs but the first.
fn run_starts(values: &[f64]) -> Vec<u32> {
    let Some(first) = values.first() else { return Vec::new() };
    // Three of four columns are constant; this loop over them vectorises.
    let mut differs = 0;
    for value in values {
        differs |= value.to_bits() ^ first.to_bits();
    }
    if differs == 0 {
        return Vec::new();
    }
    let mut starts = vec![0u32; values.len()];
    let mut n_starts = 0;
    for (pair, row) in values.windows(2).zip(1u32..) {
        starts[n_starts] = row;
        n_starts += usize::from(pair[0].to_bits() != pair[1].to_bits());
    }
    starts.truncate(n_starts);
    starts
}

/// The levels of a page in their smallest form.
enum Body {
    Decimal { exponent: u8, mantissas: Vec<i64>, plan: Plan, exceptions: Vec<(u32, u64)> },
    Bits { bits: Vec<i64>, plan: Plan },
    Xor { levels: Vec<f64>, size_bytes: usize },
    Raw { levels: Vec<f64> },
}

impl Body {
    fn of(levels: &[f64]) -> Self {
        let decimal = decimal::of(levels).map(|decimals| Self::decimal(levels, decimals));
        match decimal {
            // A constant page has no shape, which only the integer forms can do without.
            decimal if levels.len() == 1 => decimal.into_iter().fold(Self::bits(levels), Self::smaller),
            // Bit patterns can only win where decimals are long or not all there.
            Some(decimal) if decimal.size_bytes() < levels.len() * 3 + 4 => decimal,
            decimal => {
                let bits = Self::bits(levels);
                let best = [decimal, Some(Self::xor(levels))].into_iter().flatten().fold(bits, Self::smaller);
                if best.size_bytes() > levels.len() * 8 {
                    Self::Raw { levels: levels.to_vec() }
                } else {
                    best
                }
            }
        }
    }

    fn decimal(levels: &[f64], decimals: Decimals) -> Self {
        let Decimals { exponent, mantissas, exceptions } = decimals;
        let plan = Plan::of(&mantissas, false);
        let exceptions = exceptions.iter().map(|&idx| (idx, levels[idx as usize].to_bits())).collect();
        Self::Decimal { exponent, mantissas, plan, exceptions }
    }

    fn bits(levels: &[f64]) -> Self {
        let bits: Vec<i64> = levels.iter().map(|level| level.to_bits() as i64).collect();
        let plan = Plan::of(&bits, false);
        Self::Bits { bits, plan }
    }

    fn xor(levels: &[f64]) -> Self {
        Self::Xor { size_bytes: xor::size_bytes(levels), levels: levels.to_vec() }
    }

    fn smaller(self, other: Self) -> Self {
        if other.size_bytes() < self.size_bytes() { other } else { self }
    }

    /// The same with a level for each row instead of each run.
    fn expanded(&self, starts: &[u32], values: &[f64]) -> Self {
        match self {
            Self::Decimal { exponent, mantissas, exceptions, .. } => {
                let mantissas = expand(mantissas, starts, values.len());
                let plan = Plan::of(&mantissas, false);
                let mut rows = Vec::new();
                for &(idx, bits) in exceptions {
                    let idx = idx as usize;
                    let from = if idx == 0 { 0 } else { starts[idx - 1] };
                    let until = starts.get(idx).copied().unwrap_or(values.len() as u32);
                    rows.extend((from..until).map(|row| (row, bits)));
                }
                Self::Decimal { exponent: *exponent, mantissas, plan, exceptions: rows }
            }
            Self::Bits { bits, .. } => {
                let bits = expand(bits, starts, values.len());
                let plan = Plan::of(&bits, false);
                Self::Bits { bits, plan }
            }
            Self::Xor { .. } => Self::xor(values),
            Self::Raw { .. } => Self::Raw { levels: values.to_vec() },
        }
    }

    fn form(&self) -> u8 {
        match self {
            Self::Decimal { plan, .. } | Self::Bits { plan, .. } => plan.form as u8,
            Self::Xor { .. } => FORM_XOR,
            Self::Raw { .. } => FORM_RAW,
        }
    }

    fn exceptions(&self) -> &[(u32, u64)] {
        match self {
            Self::Decimal { exceptions, .. } => exceptions,
            _ => &[],
        }
    }

    /// Of what [`Body::put`] appends, nearly.
    fn size_bytes(&self) -> usize {
        match self {
            Self::Decimal { plan, exceptions, .. } => 1 + plan.size_bytes + exceptions_bytes(exceptions),
            Self::Bits { plan, .. } => 1 + plan.size_bytes,
            Self::Xor { size_bytes, .. } => *size_bytes,
            Self::Raw { levels } => levels.len() * 8,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Decimal { exponent, plan, exceptions, .. } => {
                out.push(scale_byte(*exponent, plan));
                put_exceptions(exceptions, out);
                plan.put(out);
            }
            Self::Bits { plan, .. } => {
                out.push(scale_byte(SCALE_BITS, plan));
                plan.put(out);
            }
            Self::Xor { levels, .. } => xor::put(levels, out),
            Self::Raw { levels } => {
                levels.iter().for_each(|level| out.extend_from_slice(&level.to_bits().to_le_bytes()));
            }
        }
    }
}

fn scale_byte(scale: u8, plan: &Plan) -> u8 {
    scale | if plan.divisor == 1 { 0 } else { IS_DIVIDED }
}

fn expand(levels: &[i64], starts: &[u32], n: usize) -> Vec<i64> {
    let mut rows = Vec::with_capacity(n);
    for (level, &until) in levels.iter().zip(starts) {
        rows.resize(until as usize, *level);
    }
    rows.resize(n, levels[levels.len() - 1]);
    rows
}

/// Calls `each` with the distance to the exception before, how it is coded, and its bits.
fn code_exceptions(exceptions: &[(u32, u64)], mut each: impl FnMut(u64, u64, u64)) {
    let (mut next, mut before) = (0, None);
    for &(idx, bits) in exceptions {
        let code = match bits {
            STALE_NAN_BITS => EXCEPTION_STALE,
            NORMAL_NAN_BITS => EXCEPTION_NAN,
            _ if before == Some(bits) => EXCEPTION_SAME,
            _ => EXCEPTION_RAW,
        };
        each(u64::from(idx - next), code, bits);
        (next, before) = (idx + 1, Some(bits));
    }
}

fn exceptions_bytes(exceptions: &[(u32, u64)]) -> usize {
    let mut size_bytes = 0;
    code_exceptions(exceptions, |gap, code, _| {
        size_bytes += super::varint_len(gap << 2 | code) + if code == EXCEPTION_RAW { 8 } else { 0 };
    });
    size_bytes + usize::from(size_bytes > 0)
}

fn put_exceptions(exceptions: &[(u32, u64)], out: &mut Vec<u8>) {
    if exceptions.is_empty() {
        return;
    }
    varint::put_u64(out, exceptions.len() as u64);
    code_exceptions(exceptions, |gap, code, bits| {
        varint::put_u64(out, gap << 2 | code);
        if code == EXCEPTION_RAW {
            out.extend_from_slice(&bits.to_le_bytes());
        }
    });
}

/// Reads exceptions of `n_levels` levels as (level, bits), and moves `src` past them.
fn take_exceptions(
    src: &mut &[u8],
    n_levels: usize,
    mut each: impl FnMut(usize, u64),
) -> Result<(), PageError> {
    const PART: &str = "exceptions";
    let n_exceptions = take_count(src, PART)?;
    let (mut next, mut before) = (0usize, None);
    for _ in 0..n_exceptions {
        let gap_and_code = take_varint(src, PART)?;
        let idx = usize::try_from(gap_and_code >> 2).ok().and_then(|gap| next.checked_add(gap));
        let idx = idx
            .filter(|&idx| idx < n_levels)
            .ok_or(PageError::Damaged { what: "an exception behind the last value" })?;
        let bits = match gap_and_code & 3 {
            EXCEPTION_STALE => STALE_NAN_BITS,
            EXCEPTION_NAN => NORMAL_NAN_BITS,
            EXCEPTION_SAME => {
                before.ok_or(PageError::Damaged { what: "a first exception like the one before" })?
            }
            _ => take_u64(src, PART)?,
        };
        each(idx, bits);
        (next, before) = (idx + 1, Some(bits));
    }
    Ok(())
}

/// What a page begins with.
struct Head {
    form: u8,
    shape: u8,
    has_exceptions: bool,
    n: usize,
}

fn take_head(src: &mut &[u8]) -> Result<Head, PageError> {
    let first = take_byte(src, "first byte")?;
    let head = Head {
        form: first & 7,
        shape: first >> SHAPE_SHIFT & 3,
        has_exceptions: first & HAS_EXCEPTIONS != 0,
        n: take_count(src, "number of values")?,
    };
    if first & !(HAS_EXCEPTIONS | 31) != 0 {
        return Err(PageError::Damaged { what: "unknown bits in the first byte" });
    }
    Ok(head)
}

/// The number of values in a page, without decoding them.
///
/// # Errors
///
/// When the first bytes are no page's.
pub fn n_values(mut bytes: &[u8]) -> Result<usize, PageError> {
    take_head(&mut bytes).map(|head| head.n)
}

/// Appends the values of a page to `out`.
///
/// # Errors
///
/// When `bytes` are no page; `out` may then have some of its values.
pub fn decode_values(mut bytes: &[u8], out: &mut Vec<f64>) -> Result<(), PageError> {
    let src = &mut bytes;
    let head = take_head(src)?;
    if head.n == 0 {
        return at_end(src);
    }
    let runs = Runs::take(src, head.shape, head.n)?;
    if let Runs::Dense = runs {
        take_levels(src, &head, head.n, out)?;
    } else {
        let mut levels = Vec::new();
        take_levels(src, &head, runs.n_levels(head.n), &mut levels)?;
        runs.expand(&levels, head.n, out);
    }
    at_end(src)
}

fn take_levels(src: &mut &[u8], head: &Head, n: usize, out: &mut Vec<f64>) -> Result<(), PageError> {
    match head.form {
        FORM_XOR => return xor::take(src, n, out),
        FORM_RAW => {
            let (bytes, rest) = src.split_at_checked(n * 8).ok_or(PageError::Short { part: "raw values" })?;
            *src = rest;
            out.extend(bytes.as_chunks().0.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes))));
            return Ok(());
        }
        _ => {}
    }
    let form = Form::from_code(head.form).ok_or(PageError::Damaged { what: "a form that does not exist" })?;
    let scale = take_byte(src, "scale")?;
    let is_divided = scale & IS_DIVIDED != 0;
    let exceptions_at = *src;
    if head.has_exceptions {
        take_exceptions(src, n, |_, _| {})?;
    }
    let begin = out.len();
    let (mut fields, mut ints) = (Vec::new(), Vec::new());
    ints::take(src, form, is_divided, n, &mut fields, &mut ints)?;
    match scale & !IS_DIVIDED {
        SCALE_BITS => out.extend(ints.iter().map(|&int| f64::from_bits(int as u64))),
        0 => out.extend(ints.iter().map(|&int| int as f64)),
        exponent => {
            let power = POWERS.get(usize::from(exponent));
            let power = *power.ok_or(PageError::Damaged { what: "a scale that does not exist" })?;
            out.extend(ints.iter().map(|&int| int as f64 / power));
        }
    }
    if head.has_exceptions {
        let levels = &mut out[begin..];
        take_exceptions(&mut { exceptions_at }, n, |idx, bits| levels[idx] = f64::from_bits(bits))?;
    }
    Ok(())
}
