//! Variable-length integers: LEB128 for unsigned, zigzag before it for signed.
//!
//! Append style: the caller owns the buffer. Readers take a slice cursor and move it on.

/// The longest encoding of a `u64`, in bytes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` as LEB128: seven bits a byte, low bits first, the high bit set on all but the last.
pub fn put_u64(dst: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        dst.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    dst.push(value as u8);
}

/// Appends `value` zigzag-coded, so that small magnitudes of either sign are short.
pub fn put_i64(dst: &mut Vec<u8>, value: i64) {
    put_u64(dst, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads one LEB128 integer and moves `src` past it.
///
/// `None` when `src` ends early or the integer does not fit 64 bits; `src` is then unspecified.
#[must_use]
pub fn get_u64(src: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for i in 0..VARINT_BYTES_MAX {
        let (&byte, rest) = src.split_first()?;
        *src = rest;
        // The tenth byte holds the 64th bit alone.
        if i == VARINT_BYTES_MAX - 1 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads one zigzag-coded integer and moves `src` past it. `None` as for [`get_u64`].
#[must_use]
pub fn get_i64(src: &mut &[u8]) -> Option<i64> {
    let raw = get_u64(src)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Reads a length written by [`put_u64`] and that many bytes after it.
#[must_use]
pub fn get_bytes<'a>(src: &mut &'a [u8]) -> Option<&'a [u8]> {
    let n_bytes = usize::try_from(get_u64(src)?).ok()?;
    let bytes = src.get(..n_bytes)?;
    *src = &src[n_bytes..];
    Some(bytes)
}

/// Appends `bytes` with its length before it.
pub fn put_bytes(dst: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(dst, bytes.len() as u64);
    dst.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_u64_comes_back(value: u64) {
            let mut buf = Vec::new();
            put_u64(&mut buf, value);
            let mut src = &buf[..];
            prop_assert_eq!(get_u64(&mut src), Some(value));
            prop_assert!(src.is_empty());
        }

        #[test]
        fn every_i64_comes_back(value: i64) {
            let mut buf = Vec::new();
            put_i64(&mut buf, value);
            prop_assert_eq!(get_i64(&mut &buf[..]), Some(value));
        }

        #[test]
        fn any_bytes_decode_or_refuse(bytes: Vec<u8>) {
            let _ = get_u64(&mut &bytes[..]);
            let _ = get_bytes(&mut &bytes[..]);
        }
    }

    #[test]
    fn overlong_and_truncated_are_refused() {
        assert_eq!(get_u64(&mut &[0x80u8][..]), None);
        assert_eq!(get_u64(&mut &[0xffu8; 11][..]), None);
        assert_eq!(get_bytes(&mut &[5u8, 1, 2][..]), None);
    }
}
