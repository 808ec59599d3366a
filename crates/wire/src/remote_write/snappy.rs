//! Snappy blocks under a cap.

use super::DECODED_BYTES_MAX;
use super::error::DecodeError;

/// Decompresses `block` into `buffer`, which only grows, up to [`DECODED_BYTES_MAX`]; returns the part that is filled.
///
/// # Errors
/// [`DecodeError::TooLarge`], [`DecodeError::Snappy`].
pub fn decompress<'b>(block: &[u8], buffer: &'b mut Vec<u8>) -> Result<&'b [u8], DecodeError> {
    decompress_within(block, buffer, DECODED_BYTES_MAX)
}

/// As [`decompress`], under another cap.
///
/// # Errors
/// As [`decompress`].
pub fn decompress_within<'b>(
    block: &[u8],
    buffer: &'b mut Vec<u8>,
    bytes_max: usize,
) -> Result<&'b [u8], DecodeError> {
    let n_bytes = snap::raw::decompress_len(block).map_err(|err| DecodeError::Snappy(err.to_string()))?;
    if n_bytes > bytes_max {
        return Err(DecodeError::TooLarge { bytes_max });
    }
    // Kept at its longest, so that only growth writes zeros.
    if buffer.len() < n_bytes {
        buffer.resize(n_bytes, 0);
    }
    let n_bytes = snap::raw::Decoder::new()
        .decompress(block, &mut buffer[..n_bytes])
        .map_err(|err| DecodeError::Snappy(err.to_string()))?;
    Ok(&buffer[..n_bytes])
}
