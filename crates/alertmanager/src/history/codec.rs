//! Lines of a segment: checksum, tag, JSON. Format: docs/formats/alert-history.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::Labels;
use serde::{Deserialize, Serialize};

use super::event::Kind;
use crate::alert::Fingerprint;

/// The first line but for its time.
const HEADER: &str = "hinomi-alert-history 1 ";
/// How long the first line is: with 13 digits and a newline.
pub(super) const HEADER_BYTES: usize = HEADER.len() + 14;
/// Longest line that is read, in bytes: an event with all it may name, and labels at the API's limits. Longer ones were not
/// written by us.
const LINE_BYTES_MAX: usize = 32 << 20;

/// Labels by name.
pub(crate) type Map = BTreeMap<String, String>;

/// One event as it is written; what has nothing to say is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventLine {
    pub(crate) at: i64,
    pub(crate) kind: Kind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alerts: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) resolved: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n_alerts: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n_resolved: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) starts: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peak: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) by: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) receiver: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) integration: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idx: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Map>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) took: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) matchers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<u64>,
}

impl EventLine {
    /// With nothing to say but when and what.
    pub(crate) fn new(at: i64, kind: Kind) -> Self {
        Self {
            at,
            kind,
            alerts: Vec::new(),
            resolved: Vec::new(),
            n_alerts: None,
            n_resolved: None,
            starts: None,
            ends: None,
            value: None,
            peak: None,
            by: Vec::new(),
            receiver: None,
            integration: None,
            idx: None,
            group: None,
            reason: None,
            error: None,
            attempt: None,
            took: None,
            id: None,
            matchers: Vec::new(),
            author: None,
            comment: None,
            n: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertLine {
    id: String,
    labels: Map,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    Alert(Fingerprint, Map),
    Event(Box<EventLine>),
}

/// The labels as a map.
pub(super) fn map(labels: &Labels) -> Map {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Fingerprint of 16 hexadecimal digits.
pub(super) fn fingerprint(text: &str) -> Option<Fingerprint> {
    u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16).map(Fingerprint)
}

/// The first line of a segment.
pub(super) fn header(created_ms: i64) -> String {
    format!("{HEADER}{:013}\n", created_ms.clamp(0, 9_999_999_999_999))
}

/// When a segment began, if `bytes` begin as one does.
pub(super) fn read_header(bytes: &[u8]) -> Option<i64> {
    let line = std::str::from_utf8(bytes.get(..HEADER_BYTES)?).ok()?;
    let digits = line.strip_prefix(HEADER)?.strip_suffix('\n')?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn push(out: &mut String, tag: char, value: &impl Serialize) {
    let json = serde_json::to_string(value).expect("texts, numbers and maps of texts always serialise");
    let body = format!("{tag} {json}");
    let _ = writeln!(out, "{:08x} {body}", crc32c::crc32c(body.as_bytes()));
}

/// Appends the line of an alert.
pub(super) fn push_alert(out: &mut String, id: Fingerprint, labels: &Labels) {
    push(out, 'a', &AlertLine { id: id.to_string(), labels: map(labels) });
}

/// Appends the line of an event.
pub(super) fn push_event(out: &mut String, event: &EventLine) {
    push(out, 'e', event);
}

fn read_line(line: &[u8]) -> Option<Line> {
    if line.len() > LINE_BYTES_MAX {
        return None;
    }
    let (crc, body) = (line.get(..8)?, line.get(9..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    if line[8] != b' ' || crc32c::crc32c(body) != crc {
        return None;
    }
    let json = body.get(2..)?;
    match &body[..2] {
        b"a " => {
            let line: AlertLine = serde_json::from_slice(json).ok()?;
            Some(Line::Alert(fingerprint(&line.id)?, line.labels))
        }
        b"e " => Some(Line::Event(Box::new(serde_json::from_slice(json).ok()?))),
        _ => None,
    }
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// Each with where its line begins.
    pub(super) lines: Vec<(u64, Line)>,
    /// Lines that were skipped.
    pub(super) n_damaged: u64,
    /// Where the whole lines end.
    pub(super) whole_bytes: usize,
}

/// Reads a segment. A last line without newline was cut short and is left out; bytes that are no segment have no lines.
pub(super) fn read(bytes: &[u8]) -> Option<Segment> {
    read_header(bytes)?;
    let mut segment = Segment { whole_bytes: HEADER_BYTES, ..Segment::default() };
    let mut at = HEADER_BYTES;
    while let Some(len) = bytes[at..].iter().position(|b| *b == b'\n') {
        match read_line(&bytes[at..at + len]) {
            Some(line) => segment.lines.push((at as u64, line)),
            None => segment.n_damaged += 1,
        }
        at += len + 1;
        segment.whole_bytes = at;
    }
    Some(segment)
}

/// How many whole and how many damaged lines a segment of the alert history has; `None` for bytes that are none.
#[must_use]
pub fn read_segment(bytes: &[u8]) -> Option<(usize, u64)> {
    read(bytes).map(|segment| (segment.lines.len(), segment.n_damaged))
}
