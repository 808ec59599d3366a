//! Pages of timestamps and of start timestamps.
//!
//! In from columns of Unix milliseconds, out to bytes and back. The same integer forms as for values, without a scale.

use stdx::varint;

use super::ints::{self, Form, Origin, Plan};
use super::runs::{self, Runs, Shape};
use super::{PageError, ROWS_MAX, at_end, take_byte, take_count};

/// Where the shape stands in the first byte.
const SHAPE_SHIFT: u32 = 3;
/// Bit of the first byte: differences have a divisor.
const IS_DIVIDED: u8 = 1 << 5;

/// Appends strictly rising times, in Unix milliseconds, as a page.
///
/// # Panics
///
/// With more than [`ROWS_MAX`] times. Times that do not rise make a page that [`decode_times`] refuses.
pub fn encode_times(times_ms: &[i64], out: &mut Vec<u8>) {
    debug_assert!(times_ms.is_sorted_by(|a, b| a < b), "times rise");
    encode(times_ms, true, out);
}

/// Appends the times of a page to `out`.
///
/// # Errors
///
/// When `bytes` are no page, or its times do not strictly rise; `out` may then have some of its times.
pub fn decode_times(bytes: &[u8], out: &mut Vec<i64>) -> Result<(), PageError> {
    let begin = out.len();
    decode(bytes, out)?;
    if out[begin..].is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(PageError::Damaged { what: "times that do not rise" })
    }
}

/// Appends start timestamps, in Unix milliseconds and in any order, as a page. They seldom change.
///
/// # Panics
///
/// With more than [`ROWS_MAX`] of them.
pub fn encode_starts(starts_ms: &[i64], out: &mut Vec<u8>) {
    encode(starts_ms, false, out);
}

/// Appends the start timestamps of a page to `out`.
///
/// # Errors
///
/// When `bytes` are no page; `out` may then have some of its rows.
pub fn decode_starts(bytes: &[u8], out: &mut Vec<i64>) -> Result<(), PageError> {
    decode(bytes, out)
}

fn encode(ints: &[i64], is_clock: bool, out: &mut Vec<u8>) {
    assert!(ints.len() <= ROWS_MAX, "a page holds at most ROWS_MAX rows");
    let n = ints.len();
    let Some(&first) = ints.first() else {
        out.extend_from_slice(&[Form::Constant as u8, 0]);
        return;
    };
    let mut plan = Plan::of(ints, is_clock);
    let (mut shape, mut starts) = (Shape::Dense, Vec::new());
    if !is_clock {
        starts = (1..n as u32).filter(|&row| ints[row as usize] != ints[row as usize - 1]).collect();
        if !starts.is_empty() {
            let levels: Vec<i64> =
                std::iter::once(first).chain(starts.iter().map(|&start| ints[start as usize])).collect();
            let (runs, runs_bytes) = Shape::of_runs(&starts, n);
            let run_plan = Plan::of(&levels, false);
            if run_plan.size_bytes + runs_bytes < plan.size_bytes {
                (plan, shape) = (run_plan, runs);
            }
        }
    }
    out.push(plan.form as u8 | shape.code() << SHAPE_SHIFT | if plan.divisor == 1 { 0 } else { IS_DIVIDED });
    varint::put_u64(out, n as u64);
    shape.put_count(&starts, out);
    plan.put_origin(out);
    shape.put(&starts, n, out);
    plan.put_rest(out);
}

fn decode(mut bytes: &[u8], out: &mut Vec<i64>) -> Result<(), PageError> {
    let src = &mut bytes;
    let first = take_byte(src, "first byte")?;
    let n = take_count(src, "number of rows")?;
    if first & !(IS_DIVIDED | 31) != 0 {
        return Err(PageError::Damaged { what: "unknown bits in the first byte" });
    }
    let form = Form::from_code(first & 7).ok_or(PageError::Damaged { what: "a form that does not exist" })?;
    if n == 0 {
        return at_end(src);
    }
    let shape = first >> SHAPE_SHIFT & 3;
    let n_levels = runs::take_n_levels(src, shape, n)?;
    let origin = Origin::take(src, first & IS_DIVIDED != 0)?;
    let runs = Runs::take(src, shape, n, n_levels)?;
    let (mut fields, mut levels) = (Vec::new(), Vec::new());
    ints::take(src, form, origin, n_levels, &mut fields, &mut levels)?;
    runs.expand(&levels, n, out);
    at_end(src)
}
