//! All windows: those of the file, those of the API, and which runs were taken out of their hands.
//!
//! A record is two registers: what the window says, of which the last word counts (of two at the same time the greater text),
//! and up to when runs are over or looked after by somebody, which only grows. So records merge in any order.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::window::{RUN_MS_MAX, Window, WindowError};
use crate::record::{Record, codec};

/// Most windows made by the API. Chosen.
pub(crate) const WINDOWS_MAX: usize = 1_000;
/// Most records, of deleted ones too. Chosen: they are kept for as long as a run may last, so that other managers hear of it.
const RECORDS_MAX: usize = 10_000;

/// Where a window was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    File,
    Api,
}

/// What is kept and shared of a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WindowRecord {
    pub(crate) id: String,
    /// When `window` was said; 0 for a window of the file.
    pub(crate) updated_at_ms: i64,
    /// `None` when it was deleted, or stands in the file.
    pub(crate) window: Option<Arc<Window>>,
    /// Runs that began then or before are out of the window's hands: ended, or changed as silences.
    pub(crate) ended_ms: i64,
}

impl WindowRecord {
    fn empty(id: &str) -> Self {
        Self { id: id.to_owned(), updated_at_ms: 0, window: None, ended_ms: 0 }
    }

    /// Whether it says nothing any more: no run since, and nobody left who could not have heard of its end.
    pub(crate) fn is_stale(&self, now_ms: i64, retention_ms: i64) -> bool {
        let since_ms = now_ms.saturating_sub(retention_ms);
        match &self.window {
            Some(window) => self.updated_at_ms < since_ms && window.runs(since_ms).next().is_none(),
            None => self.updated_at_ms.max(self.ended_ms).saturating_add(RUN_MS_MAX) < since_ms,
        }
    }

    /// Takes what `other` knows more; returns whether it did.
    fn merge(&mut self, other: &Self) -> bool {
        let text = |record: &Self| codec::json(&Record::Maintenance(Self { ended_ms: 0, ..record.clone() }));
        let is_later = match other.updated_at_ms.cmp(&self.updated_at_ms) {
            std::cmp::Ordering::Equal => other.window != self.window && text(other) > text(self),
            order => order.is_gt(),
        };
        if is_later {
            self.updated_at_ms = other.updated_at_ms;
            self.window.clone_from(&other.window);
        }
        let is_further = other.ended_ms > self.ended_ms;
        self.ended_ms = self.ended_ms.max(other.ended_ms);
        is_later || is_further
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    of_file: BTreeMap<String, Arc<Window>>,
    records: BTreeMap<String, WindowRecord>,
    /// When the next run begins; before that nothing is to be done.
    pub(crate) next_ms: i64,
    /// Whether silences of windows that nobody knows are to be ended: after a start, and after a reload.
    pub(crate) has_orphans: bool,
}

impl Windows {
    /// Those of the file, by id, in place of those before.
    pub(crate) fn set_file(&mut self, windows: &[(String, Arc<Window>)]) {
        self.of_file = windows.iter().cloned().collect();
        self.has_orphans = true;
        self.next_ms = i64::MIN;
    }

    /// A window, and where it was made.
    pub(crate) fn get(&self, id: &str) -> Option<(&Arc<Window>, Origin)> {
        let of_api = || self.records.get(id).and_then(|record| record.window.as_ref());
        self.of_file
            .get(id)
            .map(|window| (window, Origin::File))
            .or_else(|| of_api().map(|window| (window, Origin::Api)))
    }

    /// Whether it was there once: its runs end with it. Of one never heard of nothing is known.
    pub(crate) fn is_deleted(&self, id: &str) -> bool {
        self.get(id).is_none() && self.records.get(id).is_some_and(|record| record.updated_at_ms > 0)
    }

    /// All windows there are, with their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Window>, Origin)> {
        let of_file = self.of_file.iter().map(|(id, window)| (id.as_str(), window, Origin::File));
        let of_api = self.records.iter().filter(|(id, _)| !self.of_file.contains_key(*id));
        let of_api = of_api.filter_map(|(id, record)| {
            record.window.as_ref().map(|window| (id.as_str(), window, Origin::Api))
        });
        of_file.chain(of_api)
    }

    /// Up to which beginning runs are out of its hands.
    pub(crate) fn ended_ms(&self, id: &str) -> i64 {
        self.records.get(id).map_or(i64::MIN, |record| record.ended_ms)
    }

    /// When it was made or changed; `None` for one of the file.
    pub(crate) fn updated_at_ms(&self, id: &str) -> Option<i64> {
        self.records.get(id).map(|record| record.updated_at_ms).filter(|at_ms| *at_ms > 0)
    }

    /// Makes a window under `id`, or changes the one there.
    pub(crate) fn set(&mut self, id: &str, window: Window, now_ms: i64) -> Result<WindowRecord, WindowError> {
        if self.of_file.contains_key(id) {
            return Err(WindowError::OfFile);
        }
        if !self.records.contains_key(id) {
            let n_windows = self.records.values().filter(|record| record.window.is_some()).count();
            if n_windows >= WINDOWS_MAX {
                return Err(WindowError::TooMany(WINDOWS_MAX));
            }
            if self.records.len() >= RECORDS_MAX {
                return Err(WindowError::TooMany(RECORDS_MAX));
            }
        }
        Ok(self.say(id, Some(Arc::new(window)), now_ms))
    }

    /// Deletes a window of the API.
    pub(crate) fn delete(&mut self, id: &str, now_ms: i64) -> Result<WindowRecord, WindowError> {
        match self.get(id) {
            None => Err(WindowError::NotFound),
            Some((_, Origin::File)) => Err(WindowError::OfFile),
            Some((_, Origin::Api)) => Ok(self.say(id, None, now_ms)),
        }
    }

    fn say(&mut self, id: &str, window: Option<Arc<Window>>, now_ms: i64) -> WindowRecord {
        let record = self.records.entry(id.to_owned()).or_insert_with(|| WindowRecord::empty(id));
        // The last word counts among managers, also where the clock of the one before was ahead.
        record.updated_at_ms = now_ms.max(record.updated_at_ms.saturating_add(1));
        record.window = window;
        self.next_ms = i64::MIN;
        record.clone()
    }

    /// Takes runs that began at `started_ms` or before out of its hands. `None` when they were, or it is not known.
    pub(crate) fn take_out(&mut self, id: &str, started_ms: i64) -> Option<WindowRecord> {
        self.get(id)?;
        let record = self.records.entry(id.to_owned()).or_insert_with(|| WindowRecord::empty(id));
        if record.ended_ms >= started_ms {
            return None;
        }
        record.ended_ms = started_ms;
        Some(record.clone())
    }

    /// Takes a record of another manager, or of the state file; what is known then, if that is more than before.
    pub(crate) fn merge(&mut self, record: &WindowRecord) -> Option<WindowRecord> {
        let known = self.records.get(&record.id);
        if known.is_none() && self.records.len() >= RECORDS_MAX {
            return None;
        }
        let mut merged = known.cloned().unwrap_or_else(|| WindowRecord::empty(&record.id));
        if !merged.merge(record) {
            return None;
        }
        self.records.insert(record.id.clone(), merged.clone());
        self.next_ms = i64::MIN;
        Some(merged)
    }

    /// Records of ids after `id`, all of them without one.
    pub(crate) fn after(&self, id: Option<&str>) -> impl Iterator<Item = &WindowRecord> {
        let from = id.map_or(Unbounded, Excluded);
        self.records.range::<str, _>((from, Unbounded)).map(|(_, record)| record)
    }

    /// Forgets a record, when the state file says it went.
    pub(crate) fn remove(&mut self, id: &str) {
        self.records.remove(id);
    }

    /// Forgets what says nothing any more; returns the ids.
    pub(crate) fn collect_garbage(&mut self, now_ms: i64, retention_ms: i64) -> Vec<String> {
        let is_stale = |record: &&WindowRecord| record.is_stale(now_ms, retention_ms);
        let gone: Vec<String> =
            self.records.values().filter(is_stale).map(|record| record.id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id));
        gone
    }
}
