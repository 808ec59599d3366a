//! The segments on disk: appended to, begun anew when long, forgotten when old.
//!
//! In from [`super::History::flush`]; out to files. Format: docs/formats/alert-history.md. Keeps in memory which
//! segments there are and which alerts the last one names. A failing disk is remembered as [`Log::problem`], never an error.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use stdx::{Dir, File};

use super::codec;
use super::event::Event;
use super::{HistoryLimits, codec::Line};
use crate::alert::Fingerprint;

/// Of how many segments the history is made when it is full. Chosen: forgetting one forgets little.
const SEGMENTS: u64 = 16;
/// Bounds of one segment, in bytes. Chosen: one is read into memory as a whole.
const SEGMENT_BYTES_MAX: u64 = 4 << 20;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    pub(super) number: u32,
    pub(super) bytes: u64,
    pub(super) created_ms: i64,
}

impl SegmentInfo {
    /// Its file.
    pub(super) fn file(&self) -> String {
        format!("{:08}", self.number)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Log {
    dir: Arc<dyn Dir>,
    limits: HistoryLimits,
    /// The oldest first.
    segments: Vec<SegmentInfo>,
    /// The last one, to be appended to; `None` when a new one must begin.
    file: Option<Box<dyn File>>,
    named: HashSet<Fingerprint>,
    problem: Option<String>,
}

impl Log {
    /// Finds the segments in `dir`, and takes the last one up where it was cut.
    pub(super) fn open(dir: Arc<dyn Dir>, limits: HistoryLimits) -> Self {
        let mut log =
            Self { dir, limits, segments: Vec::new(), file: None, named: HashSet::new(), problem: None };
        if let Err(err) = log.find() {
            log.problem = Some(err.to_string());
        }
        log
    }

    fn find(&mut self) -> io::Result<()> {
        if self.limits.bytes_max == 0 {
            return Ok(());
        }
        self.dir.create_dir_all(Path::new(""))?;
        for entry in self.dir.list(Path::new(""))? {
            let Some(number) = number_of(&entry.name) else { continue };
            let mut header = [0; codec::HEADER_BYTES];
            let n_read = self.dir.open(Path::new(&entry.name))?.read_at(&mut header, 0)?;
            // Of another version, or cut before its first line was whole: its number stays taken, and nothing is older for it.
            let created_ms = codec::read_header(&header[..n_read]).unwrap_or(i64::MAX);
            self.segments.push(SegmentInfo { number, bytes: entry.len_bytes, created_ms });
        }
        self.segments.sort_by_key(|segment| segment.number);
        self.take_up()
    }

    fn take_up(&mut self) -> io::Result<()> {
        let Some(last) = self.segments.last_mut().filter(|last| last.bytes <= 2 * SEGMENT_BYTES_MAX) else {
            return Ok(());
        };
        let name = last.file();
        let bytes = self.dir.read(Path::new(&name))?;
        let Some(segment) = codec::read(&bytes) else { return Ok(()) };
        if segment.n_damaged > 0 {
            tracing::warn!(file = %name, lines = segment.n_damaged, "damaged lines in the alert history are skipped");
        }
        let mut file = self.dir.open(Path::new(&name))?;
        if segment.whole_bytes < bytes.len() {
            file.truncate(segment.whole_bytes as u64)?;
        }
        last.bytes = segment.whole_bytes as u64;
        self.named = segment
            .lines
            .iter()
            .filter_map(|(_, line)| match line {
                Line::Alert(id, _) => Some(*id),
                Line::Event(_) => None,
            })
            .collect();
        self.file = Some(file);
        Ok(())
    }

    /// Appends `events` and forgets what is too old; `false` when the disk would not have it.
    pub(super) fn append(&mut self, events: &[Event], now_ms: i64) -> bool {
        if self.limits.bytes_max == 0 || events.is_empty() {
            return self.problem.is_none();
        }
        match self.write(events, now_ms) {
            Ok(()) => {
                self.problem = None;
                true
            }
            Err(err) => {
                self.problem = Some(err.to_string());
                self.file = None;
                false
            }
        }
    }

    fn write(&mut self, events: &[Event], now_ms: i64) -> io::Result<()> {
        let segment_bytes = (self.limits.bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let mut rest = events;
        while let Some(first) = rest.first() {
            let is_full = self.segments.last().is_some_and(|last| last.bytes >= segment_bytes);
            if self.file.is_none() || is_full {
                self.begin(first.at_ms)?;
            }
            let begun = self.segments.last().map_or(0, |last| last.bytes);
            let mut text = String::new();
            let mut n_events = 0;
            while n_events < rest.len() && begun + (text.len() as u64) < segment_bytes {
                self.push(&mut text, &rest[n_events]);
                n_events += 1;
            }
            let file = self.file.as_mut().expect("begun above");
            file.append(text.as_bytes())?;
            file.sync()?;
            if let Some(last) = self.segments.last_mut() {
                last.bytes += text.len() as u64;
            }
            rest = &rest[n_events..];
        }
        self.forget(now_ms)
    }

    fn push(&mut self, text: &mut String, event: &Event) {
        for (id, alert) in event.alerts() {
            if self.named.insert(id) {
                codec::push_alert(text, id, &alert.labels);
            }
        }
        codec::push_event(text, &event.line());
    }

    /// Begins the next segment.
    fn begin(&mut self, created_ms: i64) -> io::Result<()> {
        let number = self.segments.last().map_or(1, |last| last.number.saturating_add(1));
        let header = codec::header(created_ms);
        let segment = SegmentInfo { number, bytes: header.len() as u64, created_ms };
        let name = segment.file();
        let mut file = self.dir.create(Path::new(&name))?;
        file.append(header.as_bytes())?;
        self.dir.sync_dir(Path::new(""))?;
        self.named.clear();
        self.segments.push(segment);
        self.file = Some(file);
        Ok(())
    }

    /// Removes the oldest segments while there is too much, or they are too old. The last one stays.
    fn forget(&mut self, now_ms: i64) -> io::Result<()> {
        while self.segments.len() > 1 {
            let is_old = self.segments[1].created_ms.saturating_add(self.limits.keep_ms) < now_ms;
            if !is_old && self.bytes() <= self.limits.bytes_max {
                break;
            }
            match self.dir.remove_file(Path::new(&self.segments[0].file())) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => drop(self.segments.remove(0)),
            }
        }
        Ok(())
    }

    /// How long all of them are together.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Why it could not be written last time.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Where the files are.
    pub(super) fn dir(&self) -> Arc<dyn Dir> {
        Arc::clone(&self.dir)
    }

    /// What there is to read now.
    pub(super) fn segments(&self) -> Vec<SegmentInfo> {
        self.segments.clone()
    }
}

fn number_of(name: &str) -> Option<u32> {
    name.parse().ok().filter(|_| name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit()))
}
