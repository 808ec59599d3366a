//! One value of a value page, without decoding the others where the form allows it.
//!
//! In from blocks as bytes, out to readers of newest samples. The same layout as `values`, which is its twin in tests. Whoever calls has
//! checked the page's checksum: damage behind the value is not looked for.

use super::ints::{self, Origin};
use super::runs;
use super::values::{Head, IntsHead, take_head};
use super::{PageError, exceptions, summary, xor};

/// Memory that is used from page to page.
#[derive(Debug, Default)]
pub struct PointBuffer {
    fields: Vec<u64>,
    floats: Vec<f64>,
}

/// Whether the first bytes tell that this is a page of `n_rows` values, and all of them numbers.
#[must_use]
pub fn has_only_numbers(mut bytes: &[u8], n_rows: usize) -> bool {
    let Ok(head) = take_head(&mut bytes) else { return false };
    head.n == n_rows && !head.has_exceptions && head.ints.is_some_and(|ints| ints.scale.is_some())
}

/// The value of row `row` of a page that has `n_rows`.
///
/// # Errors
///
/// When `bytes` are no page of so many rows.
pub fn value_at(
    mut bytes: &[u8],
    row: usize,
    n_rows: usize,
    buffer: &mut PointBuffer,
) -> Result<f64, PageError> {
    let src = &mut bytes;
    let head = take_head(src)?;
    if head.n != n_rows || row >= n_rows {
        return Err(PageError::Damaged { what: "another number of rows than it belongs to" });
    }
    if head.has_summary {
        summary::skip(src)?;
    }
    let level = runs::level_of(src, head.shape, head.n, head.n_levels, row, &mut buffer.fields)?;
    let Head { n_levels, has_exceptions, ref ints, .. } = head;
    let Some(IntsHead { form, scale, origin }) = ints else { return float_at(src, &head, level, buffer) };
    if has_exceptions {
        let mut found = None;
        exceptions::take(src, n_levels, |idx, bits| {
            if idx == level {
                found = Some(bits);
            }
        })?;
        if let Some(bits) = found {
            return Ok(f64::from_bits(bits));
        }
    }
    let origin: Origin = *origin;
    let int = ints::at(src, *form, origin, n_levels, level, &mut buffer.fields)?;
    Ok(match scale {
        Some(scale) => scale.value(int as f64),
        None => f64::from_bits(int as u64),
    })
}

fn float_at(src: &mut &[u8], head: &Head, level: usize, buffer: &mut PointBuffer) -> Result<f64, PageError> {
    if head.form == super::values::FORM_XOR {
        buffer.floats.clear();
        xor::take(src, level + 1, &mut buffer.floats)?;
        return Ok(buffer.floats[level]);
    }
    let at = level.checked_mul(8).and_then(|at| src.get(at..));
    let bytes = at.and_then(|rest| rest.first_chunk()).ok_or(PageError::Short { part: "raw values" })?;
    Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
}
