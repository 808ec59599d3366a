//! Reads a log at start, tells torn tails from damage, and says where writing goes on.
//!
//! Changes nothing but leftovers: the caller first makes what was read safe elsewhere, then sets damage aside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stdx::Dir;

use super::frame::{FILE_HEADER_BYTES, FileHeader, FileKind, FrameError, get_record};
use super::record::{BadRecord, Definition, decode_definitions};
use super::snapshot::remove_leftover;
use super::{Log, WAL_DIR, WalFile, classify, snapshot_path};
use crate::error::TsdbError;

/// What was found of one log.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// The next segment to write.
    pub(crate) next_number: u64,
    /// Valid bytes of the segment before it; 0 when there is none.
    pub(crate) previous_bytes: u64,
    /// Sizes of the segments that stay.
    pub(crate) segments: BTreeMap<u64, u64>,
    /// Bytes of an unfinished write at the end.
    pub(crate) torn_bytes: u64,
    /// Files to set aside, with the reason, once what was read is safe elsewhere.
    pub(crate) damaged: Vec<(PathBuf, String)>,
}

/// Is given payloads of records, in order.
pub(crate) type Take<'a> = dyn FnMut(&[u8]) -> Result<(), BadRecord> + 'a;

/// Reads all of `log` and hands its records to `take`. Segments before `floor` are gone on purpose, or about to be.
pub(crate) fn replay(
    dir: &dyn Dir,
    log: Log,
    floor: Option<u64>,
    take: &mut Take<'_>,
) -> Result<Replay, TsdbError> {
    let wal_dir = Path::new(WAL_DIR);
    let entries = dir.list(wal_dir).map_err(TsdbError::io("list", wal_dir))?;
    let (mut numbers, mut snapshots) = (Vec::new(), Vec::new());
    for entry in &entries {
        match classify(&entry.name) {
            WalFile::Segment(of, number) if of == log => numbers.push(number),
            WalFile::Snapshot(number) if log == Log::Series => snapshots.push(number),
            WalFile::Leftover => remove_leftover(dir, &wal_dir.join(&entry.name))?,
            _ => {}
        }
    }
    numbers.sort_unstable();
    snapshots.sort_unstable();
    let mut found = Replay::default();
    let newest = snapshots.pop();
    for old in snapshots {
        remove_leftover(dir, &snapshot_path(old))?;
    }
    if let Some(number) = newest {
        let path = snapshot_path(number);
        let bytes = dir.read(&path).map_err(TsdbError::io("read", &path))?;
        if let Err(reason) = take_snapshot(&bytes, number, take) {
            found.damaged.push((path, reason));
        }
    }
    // Segments of definitions go only when a snapshot stands for them.
    let first = newest.or(floor).or((log == Log::Series).then_some(1));
    // A crash came before these could be removed.
    for old in numbers.iter().filter(|old| first.is_some_and(|first| **old < first)) {
        remove_leftover(dir, &log.segment_path(*old))?;
    }
    numbers.retain(|segment| first.is_none_or(|first| *segment >= first));
    found.next_number = first.unwrap_or(1);
    read_segments(dir, log, &numbers, first, take, &mut found)?;
    if !found.damaged.is_empty() {
        // Should this start end early, the next one must meet the same damage: the new segment's header may hide nothing.
        let last = log.segment_path(found.next_number - 1);
        let last = entries.iter().find(|entry| wal_dir.join(&entry.name) == last);
        found.previous_bytes = last.map_or(0, |entry| entry.len_bytes);
    }
    Ok(found)
}

fn take_snapshot(bytes: &[u8], number: u64, take: &mut Take<'_>) -> Result<(), String> {
    FileHeader::decode(bytes, FileKind::Snapshot, number).map_err(describe)?;
    let mut rest = &bytes[FILE_HEADER_BYTES..];
    let (mut n_taken, mut end) = (0, None);
    while end.is_none() {
        let at = bytes.len() - rest.len();
        let (payload, after) = match get_record(rest) {
            Ok(Some(found)) => found,
            Ok(None) => return Err("its end is missing".to_owned()),
            Err(err) => return Err(format!("{} at byte {at}", describe(err))),
        };
        rest = after;
        let counted = decode_definitions(payload, &mut |part| match part {
            Definition::Series(_) => n_taken += 1,
            Definition::End { n_series, .. } => end = Some(n_series),
            _ => {}
        });
        counted.and_then(|()| take(payload)).map_err(|BadRecord(reason)| format!("{reason} at byte {at}"))?;
    }
    let whole = end == Some(n_taken) && rest.is_empty();
    if whole { Ok(()) } else { Err("it holds another number of series than it says".to_owned()) }
}

fn describe(err: FrameError) -> String {
    match err {
        FrameError::Torn => "it ends early".to_owned(),
        FrameError::Damaged(reason) => reason.to_owned(),
    }
}

/// A segment's bytes and header.
struct Segment {
    number: u64,
    bytes: Vec<u8>,
    header: Result<FileHeader, FrameError>,
}

fn load(dir: &dyn Dir, log: Log, number: u64) -> Result<Segment, TsdbError> {
    let path = log.segment_path(number);
    let bytes = dir.read(&path).map_err(TsdbError::io("read", &path))?;
    let header = FileHeader::decode(&bytes, log.segment_kind(), number);
    Ok(Segment { number, bytes, header })
}

fn read_segments(
    dir: &dyn Dir,
    log: Log,
    numbers: &[u64],
    first: Option<u64>,
    take: &mut Take<'_>,
    found: &mut Replay,
) -> Result<(), TsdbError> {
    let mut rest = numbers.iter().copied().peekable();
    let mut expected = first.or(numbers.first().copied());
    let mut next = rest.next().map(|number| load(dir, log, number)).transpose()?;
    while let Some(segment) = next.take() {
        next = rest.next().map(|number| load(dir, log, number)).transpose()?;
        let torn_last = segment.header == Err(FrameError::Torn) && next.is_none();
        if torn_last {
            // Begun, and nothing in it yet; it is begun anew.
            found.torn_bytes += segment.bytes.len() as u64;
            return Ok(());
        }
        let problem = if Some(segment.number) != expected {
            Some("the segment before it is missing".to_owned())
        } else {
            segment.header.err().map(describe)
        };
        let limit = next.as_ref().and_then(|next| next.header.ok()).map(|header| header.previous_bytes);
        // A next segment without a header, itself the last one, says nothing about this one's length.
        let is_last = match &next {
            None => true,
            Some(next) => next.header == Err(FrameError::Torn) && rest.peek().is_none(),
        };
        let problem = match problem {
            Some(reason) => Some(reason),
            None => take_segment(&segment, limit, is_last, take, found).err(),
        };
        found.next_number = segment.number + 1;
        if let Some(reason) = problem {
            found.damaged.push((log.segment_path(segment.number), reason));
            let later = next.map(|next| next.number).into_iter().chain(rest);
            for number in later {
                found.damaged.push((log.segment_path(number), "it follows a damaged segment".to_owned()));
                found.next_number = number + 1;
            }
            return Ok(());
        }
        expected = Some(segment.number + 1);
    }
    Ok(())
}

fn take_segment(
    segment: &Segment,
    limit: Option<u64>,
    is_last: bool,
    take: &mut Take<'_>,
    found: &mut Replay,
) -> Result<(), String> {
    let len = segment.bytes.len();
    let valid = limit.map_or(len, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let Some(bytes) = segment.bytes.get(..valid) else {
        // What is there is good, so it is kept; what comes later has lost its base.
        take_records(&segment.bytes, take).map_err(|(at, err)| format!("{} at byte {at}", describe(err)))?;
        return Err(format!("{len} bytes long, though {valid} were written"));
    };
    let end = match take_records(bytes, take) {
        Ok(()) => bytes.len(),
        Err((at, FrameError::Torn)) if is_last && limit.is_none() => {
            found.torn_bytes += (len - at) as u64;
            at
        }
        Err((at, err)) => return Err(format!("{} at byte {at}", describe(err))),
    };
    found.previous_bytes = end as u64;
    found.segments.insert(segment.number, end as u64);
    Ok(())
}

/// Hands out the records of a segment; on failure says where.
fn take_records(bytes: &[u8], take: &mut Take<'_>) -> Result<(), (usize, FrameError)> {
    let mut rest = bytes.get(FILE_HEADER_BYTES..).ok_or((0, FrameError::Torn))?;
    loop {
        let at = bytes.len() - rest.len();
        let Some((payload, after)) = get_record(rest).map_err(|err| (at, err))? else { return Ok(()) };
        rest = after;
        take(payload).map_err(|BadRecord(reason)| (at, FrameError::Damaged(reason)))?;
    }
}
