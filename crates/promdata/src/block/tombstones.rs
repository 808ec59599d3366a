//! `tombstones`: intervals of series that were deleted.

use std::collections::HashMap;
use std::path::Path;

use model::TimeRange;
use stdx::Dir;

use crate::bytes::Cursor;
use crate::error::PromDataError;

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;

/// Deleted intervals, by series number.
pub(super) type Tombstones = HashMap<u64, Vec<TimeRange>>;

/// Reads the file; none is as good as an empty one.
pub(super) fn read(dir: &dyn Dir, path: &Path) -> Result<Tombstones, PromDataError> {
    if !dir.exists(path) {
        return Ok(Tombstones::new());
    }
    let bytes = dir.read(path).map_err(PromDataError::io("read", path))?;
    parse(&bytes).map_err(|(at, reason)| PromDataError::corrupt(path, at as u64, reason))
}

fn parse(bytes: &[u8]) -> Result<Tombstones, (usize, &'static str)> {
    let n_body = bytes.len().checked_sub(CRC_BYTES).ok_or((0, "it ends early"))?;
    let (body, crc) = bytes.split_at(n_body);
    let mut cursor = Cursor::new(body);
    if cursor.u32() != Some(MAGIC) || cursor.u8() != Some(VERSION) {
        return Err((0, "not a tombstones file of version 1"));
    }
    // The version byte is outside of the checksum.
    let stones = &body[5..];
    if Cursor::new(crc).u32() != Some(crc32c::crc32c(stones)) {
        return Err((n_body, "checksum mismatch"));
    }
    let mut out = Tombstones::new();
    while cursor.left() > 0 {
        let at = body.len() - cursor.left();
        let stone = (|| Some((cursor.uvarint()?, cursor.varint()?, cursor.varint()?)))();
        let (series, from_ms, to_ms) = stone.ok_or((at, "it ends early"))?;
        out.entry(series).or_default().push(TimeRange::new(from_ms, to_ms));
    }
    Ok(out)
}

/// A file without tombstones, which Prometheus' tools expect to be there.
pub(super) fn empty() -> Vec<u8> {
    sealed(&[])
}

/// A file with these tombstones.
pub(crate) fn sealed(stones: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_be_bytes().to_vec();
    out.push(VERSION);
    out.extend_from_slice(stones);
    out.extend_from_slice(&crc32c::crc32c(stones).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::varint;

    #[test]
    fn intervals_come_back_and_flips_are_found() {
        let mut stones = Vec::new();
        varint::put_u64(&mut stones, 7);
        varint::put_i64(&mut stones, -5);
        varint::put_i64(&mut stones, 9);
        let bytes = sealed(&stones);
        assert_eq!(parse(&bytes).unwrap()[&7], [TimeRange::new(-5, 9)]);
        assert!(parse(&empty()).unwrap().is_empty());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(parse(&flipped).is_err(), "{at}");
        }
    }
}
