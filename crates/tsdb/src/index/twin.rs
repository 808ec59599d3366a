//! A file beside an index that has copies of what of it is small: written from the finished index, read only where a part of the
//! index is damaged. Layout: docs/formats/index.md.
//!
//! Knows only stretches of bytes: whoever asks brings the checksum. Never holds more than a stretch.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use stdx::{Dir, File, varint};

use super::codec::Toc;
use super::leaf::{Fence, read_checked};
use super::reader::{COLUMNS, PAGES, PAIRS, POSTINGS, SERIES};
use super::writer::INDEX_HEADER;
use crate::error::TsdbError;
use crate::sink::Sink;

/// First bytes: magic, version, zeros.
const HEADER: [u8; 8] = *b"HITW\x01\0\0\0";
/// Last bytes.
const MAGIC: [u8; 4] = *b"HITE";
/// Place of the directory, checksum of what is before it, its own, magic.
const TRAILER_BYTES: usize = 8 + 4 + 4 + 4;
/// Copies take one part in so many of pages and index at most. Chosen: where a section is larger than that, a leaf of it is a small part of
/// the block, and so is what is lost with one.
const SHARE: u64 = 16;
/// But so much may always be copied. Chosen: little next to what a disk gives a file anyway, and small blocks are wholly doubled.
const ALWAYS_BYTES: u64 = 64 << 10;
/// Stretches in a directory. Chosen: leaves of sixteen gigabytes.
const STRETCHES_MAX: u64 = 1 << 20;
/// Bytes read at once. Chosen.
const PIECE_BYTES: u64 = 1 << 20;

/// In which order sections are copied: what most hangs on comes first.
const BY_WEIGHT: [usize; 5] = [COLUMNS, PAIRS, SERIES, POSTINGS, PAGES];

/// Which stretches of an index are copied: its tables, and whole sections as long as they are small. `fences` by section.
pub(super) fn copied(toc: &Toc, fences: [&[Fence]; 5]) -> Vec<Range<u64>> {
    let mut places: Vec<Range<u64>> =
        toc.tables.iter().map(|table| table.offset..table.offset.saturating_add(table.len)).collect();
    let bytes = |places: &[Range<u64>]| places.iter().map(|place| place.end - place.start).sum::<u64>();
    let bytes_max = ALWAYS_BYTES.max(toc.pages_bytes.saturating_add(toc.tables_end()) / SHARE);
    let mut n_bytes = bytes(&places);
    for section in BY_WEIGHT {
        let more: Vec<Range<u64>> = fences[section].iter().map(Fence::place).collect();
        let n_more = bytes(&more);
        if n_bytes + n_more <= bytes_max {
            n_bytes += n_more;
            places.extend(more);
        }
    }
    places.retain(|place| !place.is_empty());
    places.sort_unstable_by_key(|place| place.start);
    places.dedup_by(|next, before| {
        let touches = next.start == before.end;
        if touches {
            before.end = next.end;
        }
        touches
    });
    places
}

/// Copies `places`, which rise, of `index` to a new file.
pub(super) fn write(
    dir: &dyn Dir,
    path: &Path,
    index: &dyn File,
    places: &[Range<u64>],
) -> Result<(), TsdbError> {
    let mut sink = Sink::create(dir, path, &HEADER)?;
    let mut crc = crc32c::crc32c(&HEADER);
    let crc_of = &mut crc;
    let mut directory = Vec::new();
    varint::put_u64(&mut directory, places.len() as u64);
    let mut end = 0;
    for place in places {
        varint::put_u64(&mut directory, place.start - end);
        varint::put_u64(&mut directory, place.end - place.start);
        end = place.end;
        copy(&mut sink, index, place.clone(), |piece| *crc_of = crc32c::crc32c_append(*crc_of, piece))?;
    }
    let directory_at = sink.end();
    sink.buffer.extend_from_slice(&directory);
    sink.buffer.extend_from_slice(&directory_at.to_le_bytes());
    sink.buffer.extend_from_slice(&crc.to_le_bytes());
    sink.buffer.extend_from_slice(&crc32c::crc32c(&directory).to_le_bytes());
    sink.buffer.extend_from_slice(&MAGIC);
    sink.finish().map(drop)
}

/// Appends a stretch of `from`; `see` is shown each piece of it.
fn copy(
    sink: &mut Sink,
    from: &dyn File,
    place: Range<u64>,
    mut see: impl FnMut(&[u8]),
) -> Result<(), TsdbError> {
    let mut at = place.start;
    while at < place.end {
        let mut piece = vec![0; (place.end - at).min(PIECE_BYTES) as usize];
        let n_read = from.read_at(&mut piece, at).map_err(TsdbError::io("read", sink.path()))?;
        if n_read < piece.len() {
            return Err(TsdbError::corrupt(sink.path(), "what it is made of is shorter than it should be"));
        }
        see(&piece);
        sink.buffer.extend_from_slice(&piece);
        sink.flush_if_large()?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// A stretch of the index, and where it is here.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    offset: u64,
    len: u64,
    at: u64,
}

/// What the end of the file says.
struct Trailer {
    directory_at: u64,
    crc: u32,
    stretches: Vec<Stretch>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct IndexTwin {
    file: Box<dyn File>,
    /// Read when it is first needed; empty when damaged.
    stretches: OnceLock<Vec<Stretch>>,
}

impl IndexTwin {
    pub(crate) fn new(file: Box<dyn File>) -> Self {
        Self { file, stretches: OnceLock::new() }
    }

    /// Its length.
    pub(super) fn n_bytes(&self) -> u64 {
        self.file.len().unwrap_or(0)
    }

    /// A stretch of the index, if it is here and whole.
    pub(super) fn read(&self, offset: u64, len: usize, crc: u32) -> Option<Vec<u8>> {
        let stretches =
            self.stretches.get_or_init(|| self.trailer().map_or_else(|_| Vec::new(), |it| it.stretches));
        let idx = stretches.partition_point(|one| one.offset <= offset).checked_sub(1)?;
        let stretch = stretches[idx];
        let from = offset - stretch.offset;
        if from.checked_add(len as u64)? > stretch.len {
            return None;
        }
        read_checked(&*self.file, stretch.at + from, len, crc, "copy").ok()
    }

    fn trailer(&self) -> Result<Trailer, String> {
        let read = |at: u64, len: usize| {
            let mut bytes = vec![0; len];
            let n_read = self.file.read_at(&mut bytes, at).map_err(|err| err.to_string())?;
            (n_read == len).then_some(bytes).ok_or_else(|| "it ends early".to_owned())
        };
        let n_bytes = self.n_bytes();
        let end = n_bytes.checked_sub(TRAILER_BYTES as u64).ok_or("too short")?;
        let trailer: [u8; TRAILER_BYTES] =
            read(end, TRAILER_BYTES)?.try_into().map_err(|_| "it ends early")?;
        if trailer[16..] != MAGIC {
            return Err("does not end as copies of an index".to_owned());
        }
        let directory_at = u64::from_le_bytes(trailer[..8].try_into().expect("eight bytes"));
        let u32_at =
            |at: usize| u32::from_le_bytes(trailer[at..at + 4].try_into().expect("within the array"));
        let len = end.checked_sub(directory_at).ok_or("its directory lies outside the file")?;
        if len > STRETCHES_MAX.saturating_mul(20) {
            return Err("its directory is too long".to_owned());
        }
        let directory = read(directory_at, len as usize)?;
        if crc32c::crc32c(&directory) != u32_at(12) {
            return Err("checksum of its directory mismatches".to_owned());
        }
        let stretches =
            get_directory(&directory, directory_at).ok_or_else(|| "its directory is malformed".to_owned())?;
        Ok(Trailer { directory_at, crc: u32_at(8), stretches })
    }

    /// Writes the index anew to `path`: what is here from here, what is not from `old`, then `end`.
    pub(super) fn restore(
        &self,
        dir: &dyn Dir,
        path: &Path,
        old: &dyn File,
        tables_end: u64,
        end: &[u8],
    ) -> Result<(), TsdbError> {
        let trailer = self.trailer().map_err(|reason| TsdbError::corrupt(path, reason))?;
        let mut sink = Sink::create(dir, path, &INDEX_HEADER)?;
        for stretch in trailer.stretches {
            let begin = sink.end();
            copy(&mut sink, old, begin..stretch.offset, |_| {})?;
            copy(&mut sink, &*self.file, stretch.at..stretch.at + stretch.len, |_| {})?;
        }
        let begin = sink.end();
        copy(&mut sink, old, begin..tables_end, |_| {})?;
        sink.buffer.extend_from_slice(end);
        sink.finish().map(drop)
    }

    /// What is wrong with it, if anything is: reads all of it.
    pub(crate) fn problem(&self) -> io::Result<Option<String>> {
        let trailer = match self.trailer() {
            Ok(trailer) => trailer,
            Err(reason) => return Ok(Some(reason)),
        };
        let (mut crc, mut at) = (0, 0);
        while at < trailer.directory_at {
            let mut piece = vec![0; (trailer.directory_at - at).min(PIECE_BYTES) as usize];
            let n_read = self.file.read_at(&mut piece, at)?;
            if n_read == 0 {
                break;
            }
            crc = crc32c::crc32c_append(crc, &piece[..n_read]);
            at += n_read as u64;
        }
        Ok((crc != trailer.crc).then(|| "checksum of its copies mismatches".to_owned()))
    }
}

/// `None` when malformed. What it lists lies between the header and `end`.
fn get_directory(mut src: &[u8], end: u64) -> Option<Vec<Stretch>> {
    let src = &mut src;
    let n = varint::get_u64(src).filter(|n| *n <= STRETCHES_MAX)?;
    let (mut stretches, mut offset, mut at) = (Vec::new(), 0u64, HEADER.len() as u64);
    for _ in 0..n {
        offset = offset.checked_add(varint::get_u64(src)?)?;
        let len = varint::get_u64(src)?;
        stretches.push(Stretch { offset, len, at });
        offset = offset.checked_add(len)?;
        at = at.checked_add(len)?;
    }
    (src.is_empty() && at == end).then_some(stretches)
}

/// For fuzzing: any bytes are copies or are refused, and what they say is read without going outside of them.
#[doc(hidden)]
#[must_use]
pub fn fuzz_twin(bytes: &[u8], offset: u64, len: u16) -> bool {
    let (dir, path) = (stdx::MemDir::new(), Path::new("twin"));
    let file = dir.create(path).and_then(|mut file| file.append(bytes).map(|()| file));
    let twin = IndexTwin::new(file.expect("memory holds it"));
    let found = twin.read(offset, usize::from(len), 0);
    assert!(found.is_none_or(|found| found.len() == usize::from(len)), "as much as was asked for");
    twin.problem().expect("memory is read").is_none()
}

#[cfg(test)]
mod tests {
    use stdx::MemDir;

    use super::*;

    fn toc(tables: u64, pages_bytes: u64) -> Toc {
        let mut toc = Toc { pages_bytes, ..Toc::empty() };
        for (idx, table) in toc.tables.iter_mut().enumerate() {
            (table.offset, table.len) = (tables + idx as u64 * 10, 10);
        }
        toc
    }

    #[test]
    fn tables_are_copied_and_sections_as_long_as_they_are_small() {
        let fence = |from: u64, len: u32| vec![Fence::at(from, len)];
        let all = |lens: [u32; 5], pages_bytes: u64| {
            let (mut fences, mut at) = (Vec::new(), 8);
            for len in lens {
                fences.push(fence(at, len));
                at += u64::from(len);
            }
            let refs: Vec<&[Fence]> = fences.iter().map(Vec::as_slice).collect();
            let places = copied(&toc(at, pages_bytes), refs.try_into().unwrap());
            places.into_iter().map(|place| (place.start, place.end)).collect::<Vec<_>>()
        };
        // Series, pages, columns, pairs, postings: all of a small index.
        assert_eq!(all([100, 200, 300, 400, 500], 0), [(8, 1568)]);
        // The pages of series are too much, then what comes after columns and pairs.
        assert_eq!(all([100, 70_000, 300, 400, 500], 0), [(8, 108), (70_108, 71_368)]);
        assert_eq!(all([60_000, 5_000, 30_000, 20_000, 10_000], 0), [(60_008, 125_068)]);
        // A large block has room for more.
        assert_eq!(all([60_000, 5_000, 30_000, 20_000, 10_000], 10 << 20), [(8, 125_068)]);
        // What does not fit is passed over for what does.
        assert_eq!(all([1_000, 1 << 20, 80_000, 1_000, 1_000], 0).len(), 2);
    }

    #[test]
    fn what_is_copied_is_found_and_every_flipped_bit_is_too() {
        let (dir, path) = (MemDir::new(), Path::new("twin"));
        let mut index = dir.create(Path::new("index")).unwrap();
        let bytes: Vec<u8> = (0..200u8).collect();
        index.append(&bytes).unwrap();
        write(&dir, path, &*index, &[10..30, 50..51, 100..200]).unwrap();
        let twin = || IndexTwin::new(dir.open(path).unwrap());
        let found = |offset: usize, len: usize| {
            let crc = crc32c::crc32c(bytes.get(offset..offset + len).unwrap_or_default());
            twin().read(offset as u64, len, crc)
        };
        for (offset, len, is_there) in [
            (10, 20, true),
            (12, 5, true),
            (9, 3, false),
            (25, 6, false),
            (50, 1, true),
            (150, 50, true),
            (150, 51, false),
            (0, 1, false),
        ] {
            let expected = is_there.then(|| bytes[offset..offset + len].to_vec());
            assert_eq!(found(offset, len), expected, "{offset} {len}");
        }
        assert_eq!(twin().read(10, 20, 1), None, "another checksum");
        assert_eq!(twin().problem().unwrap(), None);
        let whole = dir.read(path).unwrap();
        for bit in 0..whole.len() * 8 {
            let image = dir.kill_image();
            image.flip(path, bit / 8, 1 << (bit % 8)).unwrap();
            assert!(IndexTwin::new(image.open(path).unwrap()).problem().unwrap().is_some(), "bit {bit}");
        }
        for len in 0..whole.len() {
            dir.create(path).unwrap().append(&whole[..len]).unwrap();
            assert!(twin().problem().unwrap().is_some(), "{len} bytes");
            assert_eq!(found(10, 20), None, "{len} bytes");
        }
    }
}
