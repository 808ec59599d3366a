//! Floats of a decimal page that are no decimals, as bit patterns beside the mantissas.
//!
//! In from `encode`, out to page bytes; read by `decode`. NaN of the two usual kinds and repeats take one or two bytes.

use model::float::NORMAL_NAN_BITS;
use model::sample::STALE_NAN_BITS;
use stdx::varint;

use super::{PageError, take_count, take_u64, take_varint, varint_len};

/// How an exception is coded: its eight bytes.
const EXCEPTION_RAW: u64 = 0;
/// As the exception before.
const EXCEPTION_SAME: u64 = 1;
/// The staleness marker.
const EXCEPTION_STALE: u64 = 2;
/// The usual NaN.
const EXCEPTION_NAN: u64 = 3;

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

/// Of what [`put`] appends.
pub(super) fn size_bytes(exceptions: &[(u32, u64)]) -> usize {
    let mut size_bytes = 0;
    code_exceptions(exceptions, |gap, code, _| {
        size_bytes += varint_len(gap << 2 | code) + if code == EXCEPTION_RAW { 8 } else { 0 };
    });
    size_bytes + usize::from(size_bytes > 0)
}

/// Appends `exceptions`, (level, bits) with rising levels; nothing when there are none.
pub(super) fn put(exceptions: &[(u32, u64)], out: &mut Vec<u8>) {
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
pub(super) fn take(
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
