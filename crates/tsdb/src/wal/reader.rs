//! Reads the log at start, tells torn tails from damage, and says where writing goes on.
//!
//! Changes nothing but leftovers: the caller first makes what was read safe elsewhere, then sets damage aside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stdx::Dir;

use super::frame::{FILE_HEADER_BYTES, FileHeader, FileKind, FrameError, get_record};
use super::record::{
    BadRecord, CheckpointRecord, CommitRecord, NewSeries, WalSample, decode_checkpoint, decode_commit,
};
use super::{WAL_DIR, WalFile, checkpoint_path, classify, segment_path};
use crate::error::TsdbError;

/// What the head is given, in order.
#[derive(Debug)]
pub(crate) enum ReplayEvent<'a> {
    /// A series with its chunks, from a checkpoint.
    Series { series: NewSeries, chunks: Vec<&'a [u8]> },
    /// One batch.
    Commit { series: &'a [NewSeries], samples: &'a [WalSample] },
    /// Series numbers below this are taken.
    NextSeries(u64),
}

/// What was found.
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
    /// Files to set aside, with the reason, once a checkpoint holds what was read.
    pub(crate) damaged: Vec<(PathBuf, String)>,
}

/// Reads everything and hands it to `take`.
pub(crate) fn replay(dir: &dyn Dir, take: &mut dyn FnMut(ReplayEvent<'_>)) -> Result<Replay, TsdbError> {
    let wal_dir = Path::new(WAL_DIR);
    let entries = dir.list(wal_dir).map_err(TsdbError::io("list", wal_dir))?;
    let (mut numbers, mut checkpoints) = (Vec::new(), Vec::new());
    for entry in &entries {
        match classify(&entry.name) {
            WalFile::Segment(number) => numbers.push(number),
            WalFile::Checkpoint(number) => checkpoints.push(number),
            WalFile::Leftover => {
                let path = wal_dir.join(&entry.name);
                dir.remove_file(&path).map_err(TsdbError::io("remove", &path))?;
            }
            WalFile::Foreign => {}
        }
    }
    numbers.sort_unstable();
    checkpoints.sort_unstable();
    let mut found = Replay::default();
    let newest = checkpoints.pop();
    for old in checkpoints {
        let path = checkpoint_path(old);
        dir.remove_file(&path).map_err(TsdbError::io("remove", &path))?;
    }
    if let Some(number) = newest {
        read_checkpoint(dir, number, take, &mut found)?;
        // A crash came before these could be removed.
        for old in numbers.iter().filter(|old| **old < number) {
            let path = segment_path(*old);
            dir.remove_file(&path).map_err(TsdbError::io("remove", &path))?;
        }
        numbers.retain(|segment| *segment >= number);
    }
    found.next_number = newest.unwrap_or(1);
    read_segments(dir, &numbers, newest, take, &mut found)?;
    if !found.damaged.is_empty() {
        // Should this start end early, the next one must meet the same damage: the new segment's header may hide nothing.
        let last = segment_path(found.next_number - 1);
        let last = entries.iter().find(|entry| wal_dir.join(&entry.name) == last);
        found.previous_bytes = last.map_or(0, |entry| entry.len_bytes);
    }
    Ok(found)
}

fn read_checkpoint(
    dir: &dyn Dir,
    number: u64,
    take: &mut dyn FnMut(ReplayEvent<'_>),
    found: &mut Replay,
) -> Result<(), TsdbError> {
    let path = checkpoint_path(number);
    let bytes = dir.read(&path).map_err(TsdbError::io("read", &path))?;
    if let Err(reason) = take_checkpoint(&bytes, number, take) {
        found.damaged.push((path, reason));
    }
    Ok(())
}

fn take_checkpoint(bytes: &[u8], number: u64, take: &mut dyn FnMut(ReplayEvent<'_>)) -> Result<(), String> {
    FileHeader::decode(bytes, FileKind::Checkpoint, number).map_err(describe)?;
    let mut rest = &bytes[FILE_HEADER_BYTES..];
    let mut n_taken = 0;
    loop {
        let at = bytes.len() - rest.len();
        let (payload, after) = match get_record(rest) {
            Ok(Some(found)) => found,
            Ok(None) => return Err("its end is missing".to_owned()),
            Err(err) => return Err(format!("{} at byte {at}", describe(err))),
        };
        rest = after;
        match decode_checkpoint(payload) {
            Ok(CheckpointRecord::Series { series, chunks }) => {
                n_taken += 1;
                take(ReplayEvent::Series { series, chunks });
            }
            Ok(CheckpointRecord::End { next_series, n_series }) => {
                take(ReplayEvent::NextSeries(next_series));
                let whole = n_series == n_taken && rest.is_empty();
                return if whole {
                    Ok(())
                } else {
                    Err("it holds another number of series than it says".to_owned())
                };
            }
            Err(BadRecord(reason)) => return Err(format!("{reason} at byte {at}")),
        }
    }
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

fn load(dir: &dyn Dir, number: u64) -> Result<Segment, TsdbError> {
    let path = segment_path(number);
    let bytes = dir.read(&path).map_err(TsdbError::io("read", &path))?;
    let header = FileHeader::decode(&bytes, FileKind::Segment, number);
    Ok(Segment { number, bytes, header })
}

fn read_segments(
    dir: &dyn Dir,
    numbers: &[u64],
    checkpoint: Option<u64>,
    take: &mut dyn FnMut(ReplayEvent<'_>),
    found: &mut Replay,
) -> Result<(), TsdbError> {
    let mut rest = numbers.iter().copied().peekable();
    let mut expected = checkpoint.or(numbers.first().copied());
    let mut next = rest.next().map(|number| load(dir, number)).transpose()?;
    while let Some(segment) = next.take() {
        next = rest.next().map(|number| load(dir, number)).transpose()?;
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
            found.damaged.push((segment_path(segment.number), reason));
            let later = next.map(|next| next.number).into_iter().chain(rest);
            for number in later {
                found.damaged.push((segment_path(number), "it follows a damaged segment".to_owned()));
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
    take: &mut dyn FnMut(ReplayEvent<'_>),
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
fn take_records(bytes: &[u8], take: &mut dyn FnMut(ReplayEvent<'_>)) -> Result<(), (usize, FrameError)> {
    let mut rest = bytes.get(FILE_HEADER_BYTES..).ok_or((0, FrameError::Torn))?;
    let (mut series, mut samples) = (Vec::new(), Vec::new());
    loop {
        let at = bytes.len() - rest.len();
        let Some((payload, after)) = get_record(rest).map_err(|err| (at, err))? else { return Ok(()) };
        rest = after;
        series.clear();
        samples.clear();
        decode_commit(payload, &mut |part| match part {
            CommitRecord::Series(new) => series.push(new),
            CommitRecord::Sample(sample) => samples.push(sample),
        })
        .map_err(|BadRecord(reason)| (at, FrameError::Damaged(reason)))?;
        take(ReplayEvent::Commit { series: &series, samples: &samples });
    }
}
