//! File headers and record frames: lengths and checksums around payloads.
//!
//! Pure: bytes in, bytes out. Tells a torn tail, which is harmless, from damage, which is not.

/// Size of the header of a segment or snapshot.
pub(super) const FILE_HEADER_BYTES: usize = 32;
/// Size of what stands before each payload.
pub(super) const RECORD_HEADER_BYTES: usize = 12;
/// A payload is never longer. Writers stop far below.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 28;

const MAGIC: [u8; 4] = *b"HWAL";
const VERSION: u8 = 2;

/// What a file is. Version 1 had 1 and 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Series = 3,
    Snapshot = 4,
    Rows = 5,
}

/// The first bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) kind: FileKind,
    pub(super) number: u64,
    /// Valid length of the segment before this one; 0 when there is none.
    pub(super) previous_bytes: u64,
}

impl FileHeader {
    pub(super) fn encode(self) -> [u8; FILE_HEADER_BYTES] {
        let mut out = [0; FILE_HEADER_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5] = self.kind as u8;
        out[8..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..24].copy_from_slice(&self.previous_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8], kind: FileKind, number: u64) -> Result<Self, FrameError> {
        let Some(header) = bytes.first_chunk::<FILE_HEADER_BYTES>() else { return Err(FrameError::Torn) };
        if header.iter().all(|byte| *byte == 0) {
            return Err(FrameError::Torn);
        }
        if crc32c::crc32c(&header[..28]) != u32_at(header, 28) {
            return Err(FrameError::Damaged("header checksum mismatch"));
        }
        if header[..4] != MAGIC || header[5] != kind as u8 {
            return Err(FrameError::Damaged("not a file of this log"));
        }
        if header[4] != VERSION {
            return Err(FrameError::Damaged("written in a format version that this program does not know"));
        }
        if u64_at(header, 8) != number {
            return Err(FrameError::Damaged("its number is not the one in its name"));
        }
        Ok(Self { kind, number, previous_bytes: u64_at(header, 16) })
    }
}

/// Why there is no record at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameError {
    /// The rest is an unfinished write, or zeros.
    Torn,
    /// The bytes are not what was written.
    Damaged(&'static str),
}

/// Appends `payload` with its frame.
pub(super) fn put_record(out: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(!payload.is_empty() && payload.len() <= PAYLOAD_BYTES_MAX, "writers keep the limit");
    let start = out.len();
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
}

/// A payload and what follows it.
type Record<'a> = (&'a [u8], &'a [u8]);

/// The record at the start of `bytes`; `None` at the end.
pub(super) fn get_record(bytes: &[u8]) -> Result<Option<Record<'_>>, FrameError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return Err(FrameError::Torn);
    };
    if bytes.iter().take(RECORD_HEADER_BYTES).all(|b| *b == 0) && rest.iter().all(|byte| *byte == 0) {
        return Err(FrameError::Torn);
    }
    if crc32c::crc32c(&header[..8]) != u32_at(header, 8) {
        return Err(FrameError::Damaged("record header checksum mismatch"));
    }
    let n_bytes = u32_at(header, 0) as usize;
    if n_bytes == 0 || n_bytes > PAYLOAD_BYTES_MAX {
        return Err(FrameError::Damaged("impossible record length"));
    }
    let Some((payload, after)) = rest.split_at_checked(n_bytes) else { return Err(FrameError::Torn) };
    if crc32c::crc32c(payload) != u32_at(header, 4) {
        return Err(FrameError::Damaged("record checksum mismatch"));
    }
    Ok(Some((payload, after)))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes of a checked header"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of a checked header"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn two_records() -> Vec<u8> {
        let mut bytes = Vec::new();
        put_record(&mut bytes, b"first record");
        put_record(&mut bytes, b"second");
        bytes
    }

    #[test]
    fn records_come_back_one_after_another() {
        let bytes = two_records();
        let (first, rest) = get_record(&bytes).unwrap().unwrap();
        let (second, rest) = get_record(rest).unwrap().unwrap();
        assert_eq!((first, second), (&b"first record"[..], &b"second"[..]));
        assert_eq!(get_record(rest), Ok(None));
    }

    #[test]
    fn a_cut_record_is_torn_and_a_flipped_one_is_damaged() {
        let bytes = two_records();
        let first_len = RECORD_HEADER_BYTES + 12;
        for len in 1..first_len {
            assert_eq!(get_record(&bytes[..len]), Err(FrameError::Torn), "{len}");
        }
        for at in 0..first_len {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(matches!(get_record(&flipped), Err(FrameError::Damaged(_))), "{at}");
        }
        assert_eq!(get_record(&[0; 100]), Err(FrameError::Torn));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = get_record(&bytes);
            let _ = FileHeader::decode(&bytes, FileKind::Rows, 1);
        }
    }
}
