//! Searching: segments from the newest on, events of a segment from its end on, until there is enough.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use model::{MatchOp, Matcher};
use stdx::Dir;

use super::codec::{self, EventLine, Line, Map};
use super::event::Kind;
use super::log::SegmentInfo;
use crate::alert::Fingerprint;
use crate::matcher;

/// Most bytes that one request reads; the cursor goes on from there. Chosen: well under a second of one core.
const SCAN_BYTES_MAX: u64 = 32 << 20;
/// Most alerts that one found event shows of each state. Chosen: a page of a hundred events stays readable.
const ALERTS_SHOWN_MAX: usize = 20;

/// What to look for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// All must match labels of one of its alerts, of its group, or of what a silence hides.
    pub(crate) matchers: Vec<Matcher>,
    /// Any of these; all when empty.
    pub(crate) kinds: BTreeSet<Kind>,
    /// Of this receiver alone.
    pub(crate) receiver: Option<String>,
    /// Inclusive.
    pub(crate) since_ms: Option<i64>,
    /// Inclusive.
    pub(crate) until_ms: Option<i64>,
    /// At most so many.
    pub(crate) limit: usize,
    /// Where the page before ended.
    pub(crate) cursor: Option<Cursor>,
}

/// A place in the log: what lies before it is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.segment, self.offset)
    }
}

impl std::str::FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("cursor {text:?} is none of an answer's");
        let (segment, offset) = text.split_once('-').ok_or_else(bad)?;
        Ok(Self { segment: segment.parse().map_err(|_| bad())?, offset: offset.parse().map_err(|_| bad())? })
    }
}

/// An event with the labels of its alerts.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) event: Box<EventLine>,
    /// The first of those that fire, or the alert it is about, with labels where they are known.
    pub(crate) alerts: Vec<(String, Arc<Map>)>,
    /// The first of those that are over.
    pub(crate) resolved: Vec<(String, Arc<Map>)>,
}

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The newest first.
    pub(crate) events: Vec<Found>,
    /// Where to go on, when there may be more.
    pub(crate) next: Option<String>,
    /// Lines that could not be read.
    pub(crate) n_damaged: u64,
    /// Why nothing can be written now.
    pub(crate) problem: Option<String>,
}

type Known = HashMap<Fingerprint, Arc<Map>>;

/// Reads until `wanted` is met, there is no more, or enough was read.
pub(super) fn search(dir: &dyn Dir, segments: &[SegmentInfo], wanted: &Wanted) -> Page {
    let mut page = Page::default();
    let mut n_read = 0;
    for (i, segment) in segments.iter().enumerate().rev() {
        let is_read = wanted.cursor.is_some_and(|cursor| segment.number > cursor.segment);
        let is_after = wanted.until_ms.is_some_and(|until_ms| segment.created_ms > until_ms);
        if is_read || is_after {
            continue;
        }
        let ended_ms = segments.get(i + 1).map(|next| next.created_ms);
        if wanted.since_ms.zip(ended_ms).is_some_and(|(since_ms, ended_ms)| ended_ms < since_ms) {
            break;
        }
        if n_read >= SCAN_BYTES_MAX {
            page.next = Some(Cursor { segment: segment.number, offset: u64::MAX }.to_string());
            break;
        }
        n_read += segment.bytes;
        // Forgotten or unreadable meanwhile: the others still answer.
        let Ok(bytes) = dir.read(Path::new(&segment.file())) else { continue };
        let Some(read) = codec::read(&bytes) else { continue };
        page.n_damaged += read.n_damaged;
        if look(segment.number, read.lines, wanted, &mut page) {
            break;
        }
    }
    page
}

/// Takes what is wanted of one segment; `true` when there is enough.
fn look(segment: u32, lines: Vec<(u64, Line)>, wanted: &Wanted, page: &mut Page) -> bool {
    let mut known = Known::new();
    let mut events = Vec::new();
    for (offset, line) in lines {
        match line {
            Line::Alert(id, labels) => drop(known.insert(id, Arc::new(labels))),
            Line::Event(event) => events.push((offset, event)),
        }
    }
    let end =
        wanted.cursor.filter(|cursor| cursor.segment == segment).map_or(u64::MAX, |cursor| cursor.offset);
    for (offset, event) in events.into_iter().rev().filter(|(offset, _)| *offset < end) {
        let Some(found) = wanted.take(event, &known) else { continue };
        page.events.push(found);
        if page.events.len() >= wanted.limit {
            page.next = Some(Cursor { segment, offset }.to_string());
            return true;
        }
    }
    false
}

impl Wanted {
    /// The event with its labels, if it is wanted.
    fn take(&self, event: Box<EventLine>, known: &Known) -> Option<Found> {
        let in_time = self.since_ms.is_none_or(|since_ms| event.at >= since_ms)
            && self.until_ms.is_none_or(|until_ms| event.at <= until_ms);
        let of_kind = self.kinds.is_empty() || self.kinds.contains(&event.kind);
        let of_receiver = self.receiver.is_none() || event.receiver == self.receiver;
        if !in_time || !of_kind || !of_receiver {
            return None;
        }
        let with_labels = |ids: &[String]| -> Vec<(String, Arc<Map>)> {
            let labels = |id: &String| codec::fingerprint(id).and_then(|id| known.get(&id)).cloned();
            ids.iter().map(|id| (id.clone(), labels(id).unwrap_or_default())).collect()
        };
        let (mut alerts, mut resolved) = (with_labels(&event.alerts), with_labels(&event.resolved));
        if !self.matchers.is_empty() && !self.matches(&event, &mut alerts, &mut resolved) {
            return None;
        }
        alerts.truncate(ALERTS_SHOWN_MAX);
        resolved.truncate(ALERTS_SHOWN_MAX);
        Some(Found { event, alerts, resolved })
    }

    /// Whether the matchers fit; alerts they fit come first.
    fn matches(
        &self,
        event: &EventLine,
        alerts: &mut [(String, Arc<Map>)],
        resolved: &mut [(String, Arc<Map>)],
    ) -> bool {
        // Whatever was dropped may have been about this too.
        if event.kind == Kind::Dropped {
            return true;
        }
        let mut is_match = false;
        for list in [alerts, resolved] {
            list.sort_by_key(|(_, labels)| !self.fits(labels));
            is_match |= list.first().is_some_and(|(_, labels)| self.fits(labels));
        }
        let has_alerts = !event.alerts.is_empty() || !event.resolved.is_empty();
        is_match
            || !has_alerts && event.group.as_ref().is_some_and(|labels| self.fits(labels))
            || event.id.is_some() && self.fits(&silenced_labels(&event.matchers))
    }

    fn fits(&self, labels: &Map) -> bool {
        self.matchers.iter().all(|m| m.matches(labels.get(&m.name).map_or("", String::as_str)))
    }
}

/// The labels that a silence asks for by name and value.
fn silenced_labels(matchers: &[String]) -> Map {
    let read = matchers.iter().filter_map(|text| matcher::parse_matcher(text).ok());
    read.filter(|matcher| matcher.op == MatchOp::Equal).map(|matcher| (matcher.name, matcher.value)).collect()
}
