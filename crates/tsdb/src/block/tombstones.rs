//! What was deleted from a block: intervals of series, kept twice. Layout: docs/formats/tombstones.md.

use std::collections::BTreeMap;
use std::path::Path;

use model::TimeRange;
use stdx::{Dir, varint};

use super::{TOMBSTONES_COPY_FILE, TOMBSTONES_FILE};
use crate::error::TsdbError;

/// First bytes of the file: magic, version, zeros.
const HEADER: [u8; 8] = *b"HTMB\x01\0\0\0";

/// Deleted intervals by series number; they rise and lie apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tombstones {
    series: BTreeMap<u32, Vec<TimeRange>>,
}

impl Tombstones {
    /// Whether nothing is deleted.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Series with deletions, rising.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[TimeRange])> {
        self.series.iter().map(|(number, intervals)| (*number, &intervals[..]))
    }

    /// What is deleted of a series.
    pub(crate) fn of(&self, number: u32) -> &[TimeRange] {
        self.series.get(&number).map_or(&[], Vec::as_slice)
    }

    /// Deletes `range` of a series, joining what touches. A range that ends before it begins deletes nothing.
    pub(crate) fn add(&mut self, number: u32, range: TimeRange) {
        if range.start_ms > range.end_ms {
            return;
        }
        let intervals = self.series.entry(number).or_default();
        let mut joined = range;
        intervals.retain(|old| {
            let apart = old.end_ms < joined.start_ms.saturating_sub(1)
                || old.start_ms > joined.end_ms.saturating_add(1);
            if !apart {
                joined = TimeRange::new(joined.start_ms.min(old.start_ms), joined.end_ms.max(old.end_ms));
            }
            apart
        });
        let at = intervals.partition_point(|old| old.start_ms < joined.start_ms);
        intervals.insert(at, joined);
    }

    /// Deletes what `other` does, too.
    fn join(&mut self, other: &Self) {
        for (number, intervals) in other.iter() {
            intervals.iter().for_each(|range| self.add(number, *range));
        }
    }

    /// The file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        varint::put_u64(&mut out, self.series.len() as u64);
        let mut last = 0;
        for (number, intervals) in &self.series {
            varint::put_u64(&mut out, u64::from(number - last));
            last = *number;
            varint::put_u64(&mut out, intervals.len() as u64);
            let mut end_ms = 0i64;
            for interval in intervals {
                varint::put_i64(&mut out, interval.start_ms.wrapping_sub(end_ms));
                varint::put_u64(&mut out, interval.end_ms.wrapping_sub(interval.start_ms) as u64);
                end_ms = interval.end_ms;
            }
        }
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// On failure says what is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or("too short")?;
        if body.get(..4) != Some(&HEADER[..4]) {
            return Err("not a file of tombstones");
        }
        if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
            return Err("checksum mismatches");
        }
        let src = body
            .strip_prefix(&HEADER)
            .ok_or("written in a format version that this program does not know")?;
        Self::parse_body(src).ok_or("malformed")
    }

    fn parse_body(mut src: &[u8]) -> Option<Self> {
        let src = &mut src;
        let n_series = varint::get_u64(src)?;
        let mut series = BTreeMap::new();
        let mut number = 0u32;
        for idx in 0..n_series {
            let step = u32::try_from(varint::get_u64(src)?).ok().filter(|step| idx == 0 || *step > 0)?;
            number = number.checked_add(step)?;
            let n_intervals = varint::get_u64(src).filter(|n| *n > 0)?;
            let (mut intervals, mut end_ms) = (Vec::<TimeRange>::new(), 0i64);
            for _ in 0..n_intervals {
                let start_ms = end_ms.wrapping_add(varint::get_i64(src)?);
                if intervals.last().is_some_and(|last| start_ms <= last.end_ms) {
                    return None;
                }
                end_ms = start_ms.checked_add_unsigned(varint::get_u64(src)?)?;
                intervals.push(TimeRange::new(start_ms, end_ms));
            }
            series.insert(number, intervals);
        }
        src.is_empty().then_some(Self { series })
    }
}

/// What is found of a block's deletions.
#[derive(Debug, Default)]
pub(super) struct FoundTombstones {
    pub(super) tombstones: Tombstones,
    /// Of both files.
    pub(super) n_bytes: u64,
    /// A file that is damaged or missing, for which the other one stands in, and why.
    pub(super) mended: Option<(&'static str, String)>,
    /// Nothing can be read, and why.
    pub(super) lost: Option<String>,
}

/// Reads both files in the folder of a block. Of two that differ, as an interrupted write leaves them, both count: deletions only grow.
pub(super) fn read_tombstones(dir: &dyn Dir, folder: &Path) -> Result<FoundTombstones, TsdbError> {
    let mut found = FoundTombstones::default();
    let (mut failed, mut bad, mut n_good) = (None, Vec::new(), 0);
    let [first, second] = [TOMBSTONES_FILE, TOMBSTONES_COPY_FILE].map(|file| {
        let path = folder.join(file);
        let is_there = dir.exists(&path);
        (file, is_there.then(|| dir.read(&path).map_err(TsdbError::io("read", &path))))
    });
    let is_first_missing = first.1.is_none() && second.1.is_some();
    for (file, read) in [first, second] {
        match read {
            None => {}
            Some(Err(err)) => {
                bad.push((file, err.to_string()));
                failed = Some(err);
            }
            Some(Ok(bytes)) => {
                found.n_bytes += bytes.len() as u64;
                match Tombstones::parse(&bytes) {
                    Ok(tombstones) => {
                        found.tombstones.join(&tombstones);
                        n_good += 1;
                    }
                    Err(reason) => bad.push((file, reason.to_owned())),
                }
            }
        }
    }
    if n_good == 0 {
        if let Some(err) = failed {
            return Err(err);
        }
        found.lost = bad.pop().map(|(_, reason)| reason);
    } else if is_first_missing {
        // The copy is written after it and removed before it.
        found.mended = Some((TOMBSTONES_FILE, "the file is missing".to_owned()));
    } else {
        found.mended = bad.pop();
    }
    Ok(found)
}

/// Writes both files, durably, one after the other.
pub(crate) fn write_tombstones(
    dir: &dyn Dir,
    folder: &Path,
    tombstones: &Tombstones,
) -> Result<(), TsdbError> {
    let bytes = tombstones.to_bytes();
    [TOMBSTONES_FILE, TOMBSTONES_COPY_FILE].into_iter().try_for_each(|file| {
        let path = folder.join(file);
        dir.write_atomic(&path, &bytes).map_err(TsdbError::io("write", &path))
    })
}

/// For fuzzing: reads `bytes`; what is accepted must come back.
#[doc(hidden)]
#[must_use]
pub fn fuzz_tombstones(bytes: &[u8]) -> bool {
    // The checksum is made right, so that what lies behind it is reached.
    let mut bytes = bytes.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let Ok(tombstones) = Tombstones::parse(&bytes) else { return false };
    assert_eq!(
        Tombstones::parse(&tombstones.to_bytes()).as_ref(),
        Ok(&tombstones),
        "what is read can be written"
    );
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(i64, i64)];

    #[test]
    fn intervals_join_and_come_back() {
        let cases: [(Pairs, Pairs); 6] = [
            (&[(5, 9)], &[(5, 9)]),
            (&[(5, 4)], &[]),
            (&[(5, 9), (20, 30), (-4, -2)], &[(-4, -2), (5, 9), (20, 30)]),
            (&[(5, 9), (10, 12)], &[(5, 12)]),
            (&[(5, 9), (20, 30), (8, 22)], &[(5, 30)]),
            (&[(i64::MIN, 4), (i64::MAX - 3, i64::MAX)], &[(i64::MIN, 4), (i64::MAX - 3, i64::MAX)]),
        ];
        let ranges =
            |pairs: &[(i64, i64)]| pairs.iter().map(|(a, b)| TimeRange::new(*a, *b)).collect::<Vec<_>>();
        for (add, expected) in cases {
            let mut tombstones = Tombstones::default();
            ranges(add).into_iter().for_each(|range| tombstones.add(7, range));
            assert_eq!(tombstones.of(7), ranges(expected), "{add:?}");
            assert_eq!(tombstones.of(6), []);
            if expected.iter().all(|(a, b)| b.checked_sub(*a).is_some()) {
                assert_eq!(Tombstones::parse(&tombstones.to_bytes()), Ok(tombstones));
            }
        }
    }

    #[test]
    fn of_two_files_one_is_enough_and_what_is_wrong_is_told() {
        let folder = Path::new("block");
        let of = |numbers: &[u32]| {
            let mut tombstones = Tombstones::default();
            numbers.iter().for_each(|number| tombstones.add(*number, TimeRange::new(1, 2)));
            tombstones
        };
        let (one, two) = (of(&[1]).to_bytes(), of(&[1, 2]).to_bytes());
        let bad = b"HTMB".to_vec();
        // First file, second file; series deleted, which file is told, whether all is lost.
        let cases = [
            (None, None, vec![], None, false),
            (Some(&two), Some(&two), vec![1, 2], None, false),
            (Some(&two), Some(&one), vec![1, 2], None, false),
            (Some(&two), None, vec![1, 2], None, false),
            (None, Some(&two), vec![1, 2], Some(TOMBSTONES_FILE), false),
            (Some(&bad), Some(&two), vec![1, 2], Some(TOMBSTONES_FILE), false),
            (Some(&two), Some(&bad), vec![1, 2], Some(TOMBSTONES_COPY_FILE), false),
            (Some(&bad), None, vec![], None, true),
            (None, Some(&bad), vec![], None, true),
            (Some(&bad), Some(&bad), vec![], None, true),
        ];
        for (idx, (first, second, series, told, lost)) in cases.into_iter().enumerate() {
            let dir = stdx::MemDir::new();
            dir.create_dir_all(folder).unwrap();
            for (file, bytes) in [(TOMBSTONES_FILE, first), (TOMBSTONES_COPY_FILE, second)] {
                if let Some(bytes) = bytes {
                    dir.create(&folder.join(file)).unwrap().append(bytes).unwrap();
                }
            }
            let found = read_tombstones(&dir, folder).unwrap();
            assert_eq!(found.tombstones, of(&series), "{idx}");
            assert_eq!(found.mended.map(|(file, _)| file), told, "{idx}");
            assert_eq!(found.lost.is_some(), lost, "{idx}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let mut tombstones = Tombstones::default();
        tombstones.add(3, TimeRange::new(100, 200));
        tombstones.add(9, TimeRange::new(-5, 5));
        let bytes = tombstones.to_bytes();
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(Tombstones::parse(&bad).is_err(), "bit {at}");
        }
    }
}
