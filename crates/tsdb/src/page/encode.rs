//! From a column of floats to a page: runs, a scale, integers or bit patterns, exceptions.
//!
//! In from `super`, out to bytes. Sizes are computed for the forms that can win; only the smallest is written.

use std::borrow::Cow;

use stdx::varint;

use super::decimal::{self, Decimals, Scale};
use super::ints::{Form, Plan};
use super::runs::Shape;
use super::summary::{self, Exact};
use super::values::{
    FORM_RAW, FORM_XOR, HAS_EXCEPTIONS, HAS_SUMMARY, IS_DIVIDED, LEVELS_PER_SUMMARY_MIN, SCALE_BITS,
    SHAPE_SHIFT,
};
use super::{ROWS_MAX, exceptions, xor};

/// Appends `values` as a page. Floats come back bit for bit, also NaN payloads and minus zero.
///
/// # Panics
///
/// With more than [`ROWS_MAX`] values.
pub fn encode_values(values: &[f64], out: &mut Vec<u8>) {
    assert!(values.len() <= ROWS_MAX, "a page holds at most ROWS_MAX values");
    encode_and_check(values, true, out);
}

/// As [`encode_values`], for columns that are part of something else.
pub(super) fn encode_without_summary(values: &[f64], out: &mut Vec<u8>) {
    encode_and_check(values, false, out);
}

fn encode_and_check(values: &[f64], with_summary: bool, out: &mut Vec<u8>) {
    let begin = out.len();
    encode(values, with_summary, out);
    if cfg!(debug_assertions) {
        let mut back = Vec::new();
        super::decode_values(&out[begin..], &mut back).expect("a page that was just written");
        let same =
            back.len() == values.len() && back.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "a page gives back what was written");
    }
}

fn encode(values: &[f64], with_summary: bool, out: &mut Vec<u8>) {
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
    put(&best, shape, best_starts, values.len(), with_summary, out);
}

fn put(body: &Body, shape: Shape, starts: &[u32], n: usize, with_summary: bool, out: &mut Vec<u8>) {
    let n_levels = if shape == Shape::Dense { n } else { starts.len() + 1 };
    let has_exceptions = !body.exceptions().is_empty();
    let is_plain = body.form() <= Form::Linear as u8 && shape == Shape::Dense && !has_exceptions;
    let is_summed = with_summary && n_levels >= LEVELS_PER_SUMMARY_MIN && !is_plain;
    out.push(
        body.form()
            | shape.code() << SHAPE_SHIFT
            | if has_exceptions { HAS_EXCEPTIONS } else { 0 }
            | if is_summed { HAS_SUMMARY } else { 0 },
    );
    varint::put_u64(out, n as u64);
    shape.put_count(starts, out);
    body.put_origin(out);
    if is_summed {
        let ends = starts.iter().copied().chain([n as u32]);
        let lengths =
            std::iter::once(0).chain(starts.iter().copied()).zip(ends).map(|(start, end)| end - start);
        if shape == Shape::Dense {
            put_summary(body, n_levels, std::iter::repeat_n(1, n), out);
        } else {
            put_summary(body, n_levels, lengths, out);
        }
    }
    shape.put(starts, n, out);
    body.put_rest(out);
}

fn put_summary(body: &Body, n_levels: usize, lengths: impl Iterator<Item = u32> + Clone, out: &mut Vec<u8>) {
    if let Body::Decimal { mantissas, plan, exceptions, .. } = body
        && let Some(exact) = Exact::of(mantissas, exceptions, lengths.clone())
        && exact.put(n_levels, plan.divisor, out)
    {
        return;
    }
    summary::put_floats(&summary::of_floats(&body.levels(), lengths), n_levels, out);
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
    Decimal { scale: Scale, mantissas: Vec<i64>, plan: Plan, exceptions: Vec<(u32, u64)> },
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
        let Decimals { scale, mantissas, exceptions } = decimals;
        let plan = Plan::of(&mantissas, false);
        let exceptions = exceptions.iter().map(|&idx| (idx, levels[idx as usize].to_bits())).collect();
        Self::Decimal { scale, mantissas, plan, exceptions }
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
            Self::Decimal { scale, mantissas, exceptions, .. } => {
                let mantissas = expand(mantissas, starts, values.len());
                let plan = Plan::of(&mantissas, false);
                let mut rows = Vec::new();
                for &(idx, bits) in exceptions {
                    let idx = idx as usize;
                    let from = if idx == 0 { 0 } else { starts[idx - 1] };
                    let until = starts.get(idx).copied().unwrap_or(values.len() as u32);
                    rows.extend((from..until).map(|row| (row, bits)));
                }
                Self::Decimal { scale: *scale, mantissas, plan, exceptions: rows }
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
            Self::Decimal { plan, exceptions, .. } => {
                1 + plan.size_bytes + exceptions::size_bytes(exceptions)
            }
            Self::Bits { plan, .. } => 1 + plan.size_bytes,
            Self::Xor { size_bytes, .. } => *size_bytes,
            Self::Raw { levels } => levels.len() * 8,
        }
    }

    fn put_origin(&self, out: &mut Vec<u8>) {
        let (code, plan) = match self {
            Self::Decimal { scale, plan, .. } => (scale.code(), plan),
            Self::Bits { plan, .. } => (SCALE_BITS, plan),
            Self::Xor { .. } | Self::Raw { .. } => return,
        };
        out.push(code | if plan.divisor == 1 { 0 } else { IS_DIVIDED });
        plan.put_origin(out);
    }

    fn put_rest(&self, out: &mut Vec<u8>) {
        match self {
            Self::Decimal { plan, exceptions, .. } => {
                exceptions::put(exceptions, out);
                plan.put_rest(out);
            }
            Self::Bits { plan, .. } => plan.put_rest(out),
            Self::Xor { levels, .. } => xor::put(levels, out),
            Self::Raw { levels } => {
                levels.iter().for_each(|level| out.extend_from_slice(&level.to_bits().to_le_bytes()));
            }
        }
    }

    /// The floats that it stands for.
    fn levels(&self) -> Cow<'_, [f64]> {
        match self {
            Self::Decimal { scale, mantissas, exceptions, .. } => {
                let mut levels = Vec::with_capacity(mantissas.len());
                scale.extend(mantissas, &mut levels);
                for &(idx, bits) in exceptions {
                    levels[idx as usize] = f64::from_bits(bits);
                }
                Cow::Owned(levels)
            }
            Self::Bits { bits, .. } => bits.iter().map(|&bits| f64::from_bits(bits as u64)).collect(),
            Self::Xor { levels, .. } | Self::Raw { levels } => Cow::Borrowed(levels),
        }
    }
}

fn expand(levels: &[i64], starts: &[u32], n: usize) -> Vec<i64> {
    let mut rows = Vec::with_capacity(n);
    for (level, &until) in levels.iter().zip(starts) {
        rows.resize(until as usize, *level);
    }
    rows.resize(n, levels[levels.len() - 1]);
    rows
}
