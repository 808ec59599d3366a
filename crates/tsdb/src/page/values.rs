//! Value pages: what they begin with, and from page to column.
//!
//! In from blocks as bytes, out to readers as floats. The other direction is `encode`.

use super::decimal::Scale;
use super::ints::{self, Form, Origin};
use super::runs::{self, Runs};
use super::summary::{self, Exact, Summary};
use super::{PageError, at_end, exceptions, take_byte, take_count, xor};

/// Form number: an XOR stream.
pub(super) const FORM_XOR: u8 = 6;
/// Form number: eight bytes each.
pub(super) const FORM_RAW: u8 = 7;
/// Where the shape stands in the first byte.
pub(super) const SHAPE_SHIFT: u32 = 3;
/// Bit of the first byte: there are exceptions.
pub(super) const HAS_EXCEPTIONS: u8 = 1 << 5;
/// Bit of the first byte: there is a summary.
pub(super) const HAS_SUMMARY: u8 = 1 << 6;
/// Bit of the scale byte: differences have a divisor.
pub(super) const IS_DIVIDED: u8 = 1 << 5;
/// Scale: integers are bit patterns of floats, not mantissas.
pub(super) const SCALE_BITS: u8 = 31;
/// A page of fewer levels has no summary: decoding it is as quick as reading one. Chosen.
pub(super) const LEVELS_PER_SUMMARY_MIN: usize = 17;

/// What a page begins with, up to its summary.
pub(super) struct Head {
    pub(super) form: u8,
    pub(super) shape: u8,
    pub(super) has_exceptions: bool,
    pub(super) has_summary: bool,
    pub(super) n: usize,
    pub(super) n_levels: usize,
    pub(super) ints: Option<IntsHead>,
}

/// What pages of integers have besides.
pub(super) struct IntsHead {
    pub(super) form: Form,
    /// `None`: integers are the bits of floats.
    pub(super) scale: Option<Scale>,
    pub(super) origin: Origin,
}

/// Reads a page's first bytes and moves `src` past them. A page of no rows ends there.
pub(super) fn take_head(src: &mut &[u8]) -> Result<Head, PageError> {
    let first = take_byte(src, "first byte")?;
    let n = take_count(src, "number of values")?;
    if first & 0x80 != 0 {
        return Err(PageError::Damaged { what: "unknown bits in the first byte" });
    }
    let mut head = Head {
        form: first & 7,
        shape: first >> SHAPE_SHIFT & 3,
        has_exceptions: first & HAS_EXCEPTIONS != 0,
        has_summary: first & HAS_SUMMARY != 0,
        n,
        n_levels: 0,
        ints: None,
    };
    if n == 0 {
        at_end(src)?;
        return Ok(head);
    }
    head.n_levels = runs::take_n_levels(src, head.shape, n)?;
    if let Some(form) = Form::from_code(head.form) {
        let byte = take_byte(src, "scale")?;
        let scale = match byte & !IS_DIVIDED {
            SCALE_BITS => None,
            code => Some(
                Scale::from_code(code).ok_or(PageError::Damaged { what: "a scale that does not exist" })?,
            ),
        };
        let origin = Origin::take(src, byte & IS_DIVIDED != 0)?;
        head.ints = Some(IntsHead { form, scale, origin });
    } else if head.has_exceptions {
        return Err(PageError::Damaged { what: "exceptions from floats that are all there" });
    }
    Ok(head)
}

/// The number of values in a page, without decoding them.
///
/// # Errors
///
/// When the first bytes are no page's.
pub fn n_values(mut bytes: &[u8]) -> Result<usize, PageError> {
    take_byte(&mut bytes, "first byte")?;
    take_count(&mut bytes, "number of values")
}

/// How the values of a page are coded, for statistics: `unknown` when the bytes are no page's.
#[must_use]
pub fn form_name(bytes: &[u8]) -> &'static str {
    let Ok(head) = take_head(&mut { bytes }) else { return "unknown" };
    let Some(ints) = &head.ints else {
        return if head.form == FORM_XOR { "xor" } else { "raw" };
    };
    match (ints.form, ints.scale.is_some()) {
        (Form::Constant, _) => "constant",
        (Form::Linear, true) => "decimal linear",
        (Form::Levels, true) => "decimal levels",
        (Form::Deltas, true) => "decimal deltas",
        (Form::Deltas2, true) => "decimal second deltas",
        (Form::Line, true) => "decimal line",
        (_, false) => "bit patterns",
    }
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
        return Ok(());
    }
    if head.has_summary {
        summary::skip(src)?;
    }
    let runs = Runs::take(src, head.shape, head.n, head.n_levels)?;
    if let Runs::Dense = runs {
        take_levels(src, &head, out)?;
    } else {
        let mut levels = Vec::new();
        take_levels(src, &head, &mut levels)?;
        runs.expand(&levels, head.n, out);
    }
    at_end(src)
}

/// Facts of a page's values. They are read without decoding the values; where a page has none, its values are few or all the same.
///
/// # Errors
///
/// When the first bytes are no page's; damage behind them is not looked for.
pub fn summary(mut bytes: &[u8]) -> Result<Summary, PageError> {
    let src = &mut bytes;
    let head = take_head(src)?;
    if head.n == 0 {
        return Ok(summary::of_floats(&[], std::iter::empty()));
    }
    if head.has_summary {
        let scale = head.ints.as_ref().and_then(|ints| Some((ints.scale?, ints.origin)));
        return summary::read(summary::skip(src)?, head.n, head.n_levels, scale);
    }
    if let Some(IntsHead { form: Form::Constant, scale, origin }) = head.ints
        && !head.has_exceptions
    {
        let length = std::iter::once(head.n as u32);
        return Ok(match scale {
            Some(scale) => Exact::of(&[origin.first], &[], length).expect("a number").summary(scale),
            None => summary::of_floats(&[f64::from_bits(origin.first as u64)], length),
        });
    }
    let lengths = Runs::take(src, head.shape, head.n, head.n_levels)?.lengths(head.n);
    let Some(ints_head) = &head.ints else {
        let mut levels = Vec::new();
        take_levels(src, &head, &mut levels)?;
        return Ok(summary::of_floats(&levels, lengths.into_iter()));
    };
    let mut listed = Vec::new();
    if head.has_exceptions {
        exceptions::take(src, head.n_levels, |idx, bits| listed.push((idx as u32, bits)))?;
    }
    let mut ints = Vec::new();
    ints::take(src, ints_head.form, ints_head.origin, head.n_levels, &mut Vec::new(), &mut ints)?;
    if let Some(scale) = ints_head.scale
        && let Some(exact) = Exact::of(&ints, &listed, lengths.iter().copied())
    {
        return Ok(exact.summary(scale));
    }
    let mut levels = Vec::new();
    push_floats(&ints, ints_head.scale, &mut levels);
    listed.iter().for_each(|&(idx, bits)| levels[idx as usize] = f64::from_bits(bits));
    Ok(summary::of_floats(&levels, lengths.into_iter()))
}

fn take_levels(src: &mut &[u8], head: &Head, out: &mut Vec<f64>) -> Result<(), PageError> {
    let n = head.n_levels;
    let Some(ints_head) = &head.ints else {
        if head.form == FORM_XOR {
            return xor::take(src, n, out);
        }
        let (bytes, rest) = src.split_at_checked(n * 8).ok_or(PageError::Short { part: "raw values" })?;
        *src = rest;
        out.extend(bytes.as_chunks().0.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes))));
        return Ok(());
    };
    let exceptions_at = *src;
    if head.has_exceptions {
        exceptions::take(src, n, |_, _| {})?;
    }
    let begin = out.len();
    let (mut fields, mut ints) = (Vec::new(), Vec::new());
    ints::take(src, ints_head.form, ints_head.origin, n, &mut fields, &mut ints)?;
    push_floats(&ints, ints_head.scale, out);
    if head.has_exceptions {
        let levels = &mut out[begin..];
        exceptions::take(&mut { exceptions_at }, n, |idx, bits| levels[idx] = f64::from_bits(bits))?;
    }
    Ok(())
}

fn push_floats(ints: &[i64], scale: Option<Scale>, out: &mut Vec<f64>) {
    match scale {
        Some(scale) => scale.extend(ints, out),
        None => out.extend(ints.iter().map(|&int| f64::from_bits(int as u64))),
    }
}
