//! Segments: pages of 32 KiB with fragments of records.

use crate::bytes::Cursor;

const PAGE_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
/// A record decompressed is never longer, in bytes. Chosen: far above a commit of the largest scrape.
const RECORD_BYTES_MAX: usize = 256 << 20;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const SNAPPY: u8 = 0x08;
const ZSTD: u8 = 0x10;

/// Where in the segment, and what is wrong.
pub(super) type Damage = (usize, String);

/// Hands each record's payload to `take`. A tail that ends early is no damage.
pub(super) fn records(bytes: &[u8], take: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), Damage> {
    let mut record = Vec::new();
    // Not the same as an empty `record`: a first fragment at the very end of a page holds nothing.
    let mut is_open = false;
    let mut at = 0;
    while at < bytes.len() {
        let in_page = PAGE_BYTES - at % PAGE_BYTES;
        // What is too short for a header, and all after a zero byte, is padding.
        if in_page < HEADER_BYTES || bytes[at] == 0 {
            at += in_page;
            continue;
        }
        let Some((kind, flags, data, crc)) = fragment(&bytes[at..]) else { return Ok(()) };
        if HEADER_BYTES + data.len() > in_page {
            return Err((at, "a fragment that leaves its page".to_owned()));
        }
        if crc32c::crc32c(data) != crc {
            // The last write may have been cut in the middle.
            let is_tail = at + HEADER_BYTES + data.len() >= bytes.len();
            return if is_tail { Ok(()) } else { Err((at, "checksum mismatch".to_owned())) };
        }
        let begins = matches!(kind, FULL | FIRST);
        if begins == is_open {
            return Err((at, format!("fragment of kind {kind} in the wrong place")));
        }
        record.extend_from_slice(data);
        if matches!(kind, FULL | LAST) {
            let payload = decompress(&record, flags).map_err(|reason| (at, reason))?;
            take(payload.as_deref().unwrap_or(&record)).map_err(|reason| (at, reason))?;
            record.clear();
            is_open = false;
        } else if !matches!(kind, FIRST | MIDDLE) {
            return Err((at, format!("fragment of unknown kind {kind}")));
        } else {
            is_open = true;
        }
        at += HEADER_BYTES + data.len();
    }
    Ok(())
}

/// Kind, compression flags, data and checksum of a fragment; `None` when it is cut off.
fn fragment(bytes: &[u8]) -> Option<(u8, u8, &[u8], u32)> {
    let mut cursor = Cursor::new(bytes);
    let first = cursor.u8()?;
    let n_bytes = cursor.take(2).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])))?;
    let crc = cursor.u32()?;
    Some((first & 0x07, first & (SNAPPY | ZSTD), cursor.take(n_bytes)?, crc))
}

fn decompress(record: &[u8], flags: u8) -> Result<Option<Vec<u8>>, String> {
    match flags {
        0 => Ok(None),
        SNAPPY => {
            let n_bytes = snap::raw::decompress_len(record).map_err(|err| err.to_string())?;
            if n_bytes > RECORD_BYTES_MAX {
                return Err(format!("a record of {n_bytes} bytes"));
            }
            snap::raw::Decoder::new().decompress_vec(record).map(Some).map_err(|err| err.to_string())
        }
        ZSTD => zstd::bulk::decompress(record, RECORD_BYTES_MAX).map(Some).map_err(|err| err.to_string()),
        _ => Err("a record compressed in two ways".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
        out.push(kind);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(data).to_be_bytes());
        out.extend_from_slice(data);
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), Damage>) {
        let mut all = Vec::new();
        let result = records(bytes, &mut |payload| {
            all.push(payload.to_vec());
            Ok(())
        });
        (all, result)
    }

    #[test]
    fn fragments_are_joined_and_padding_is_skipped() {
        let mut bytes = Vec::new();
        put(&mut bytes, FULL, b"one");
        put(&mut bytes, FIRST, b"tw");
        bytes.resize(PAGE_BYTES, 0);
        put(&mut bytes, LAST, b"o");
        // Seven bytes are left in the page: a first fragment without data.
        let filler = vec![7; 2 * PAGE_BYTES - 2 * HEADER_BYTES - bytes.len()];
        put(&mut bytes, FULL, &filler);
        put(&mut bytes, FIRST, b"");
        put(&mut bytes, LAST, b"wide");
        put(&mut bytes, FULL | SNAPPY, &snap::raw::Encoder::new().compress_vec(b"three").unwrap());
        put(&mut bytes, FULL | ZSTD, &zstd::bulk::compress(b"four", 1).unwrap());
        let (all, result) = read(&bytes);
        assert_eq!(all, [&b"one"[..], b"two", &filler, b"wide", b"three", b"four"]);
        assert_eq!(result, Ok(()));
        // Cut anywhere: what is whole is read, the rest is a torn tail.
        for len in (0..bytes.len()).step_by(13) {
            let (part, result) = read(&bytes[..len]);
            assert!(all.starts_with(&part) && result.is_ok(), "{len}: {result:?}");
        }
        bytes[8] ^= 1;
        assert!(read(&bytes).1.is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
