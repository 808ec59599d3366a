//! Maintenance windows at work: runs become silences when they begin, and end with what made them.
//!
//! In from the API, the file and other managers (what windows there are) and from time; out to the silences and the journal.
//! A silence that somebody changed or ended as a silence is left alone from then on, and so is its run.
//! Runs that are on are compared with the silences at each change, each beginning and once a minute, so that whatever
//! came between (a restart, another manager, a reload) they agree again.

use std::sync::Arc;

use super::Core;
use crate::maintenance::{Origin, Run, Window, WindowError, WindowRecord, held_by};
use crate::record::Record;
use crate::silence::{Silence, SilenceError, SilenceState};

/// Runs that are shown of each window. From the issue: the next five.
pub(crate) const RUNS_SHOWN: usize = 5;

/// A window as the API shows it.
#[derive(Debug)]
pub(crate) struct WindowView {
    pub(crate) id: String,
    pub(crate) window: Arc<Window>,
    pub(crate) origin: Origin,
    pub(crate) updated_at_ms: Option<i64>,
    /// The next ones, that on now first; those that were ended are left out.
    pub(crate) runs: Vec<Run>,
    /// Ids of its silences that are active.
    pub(crate) silences: Vec<String>,
}

impl Core {
    /// Brings silences in line with the windows, when it is time.
    pub(super) fn run_windows(&mut self, now_ms: i64) {
        if now_ms < self.windows.next_ms {
            return;
        }
        let mut wanted: Vec<Silence> = Vec::new();
        let mut next_ms = i64::MAX;
        for (id, window, _) in self.windows.iter() {
            let ended_ms = self.windows.ended_ms(id);
            for run in window.runs(now_ms) {
                if run.starts_at_ms > now_ms {
                    next_ms = next_ms.min(run.starts_at_ms);
                    break;
                }
                if run.starts_at_ms > ended_ms {
                    wanted.push(window.silence(id, run));
                }
            }
        }
        self.windows.next_ms = next_ms;
        // Before the new ones, so that nothing but them is active when it is made.
        self.end_stale_runs(now_ms);
        for silence in wanted {
            self.make_run(silence, now_ms);
        }
    }

    /// Makes the silence of a run, or gives it back what the window says.
    fn make_run(&mut self, mut silence: Silence, now_ms: i64) {
        if let Some(known) = self.silences.get(&silence.id) {
            silence.updated_at_ms = known.updated_at_ms;
            if *known == silence {
                return;
            }
            // Ended by a version of the window in between, or its reason changed.
            silence.updated_at_ms = known.updated_at_ms.saturating_add(1);
            if known.state_at(now_ms) == SilenceState::Expired {
                silence.updated_at_ms = silence.updated_at_ms.max(now_ms);
            }
        }
        self.note_silence(&silence, self.silences.get(&silence.id).is_none(), now_ms);
        self.journal.push(Record::Silence(silence.clone()));
        self.silences.keep(silence);
    }

    /// Ends silences whose windows do not make them any more.
    fn end_stale_runs(&mut self, now_ms: i64) {
        let has_orphans = std::mem::take(&mut self.windows.has_orphans);
        let is_stale = |silence: &&Silence| {
            let Some(id) = held_by(silence).filter(|_| silence.state_at(now_ms) != SilenceState::Expired)
            else {
                return false;
            };
            match self.windows.get(id) {
                Some((window, _)) => {
                    silence.starts_at_ms > self.windows.ended_ms(id) && !window.makes(id, silence)
                }
                None => has_orphans || self.windows.is_deleted(id),
            }
        };
        let stale: Vec<String> = self.silences.iter().filter(is_stale).map(|s| s.id.clone()).collect();
        self.end_silences(&stale, now_ms);
    }

    fn end_silences(&mut self, ids: &[String], now_ms: i64) {
        for id in ids {
            // It is known, or it would not have been found.
            let ended = self.silences.expire(id, now_ms).ok().flatten();
            self.journal.extend(ended.map(Record::Silence));
        }
    }

    /// Makes or changes a silence for the API. One of a window stays known as its own, but is out of its hands.
    pub(super) fn set_but_held(
        &mut self,
        mut silence: Silence,
        new_id: String,
        now_ms: i64,
    ) -> Result<Vec<Silence>, SilenceError> {
        use crate::maintenance::{WINDOW_ID, WINDOW_NAME};
        let old = self.silences.get(&silence.id).filter(|old| held_by(old).is_some()).cloned();
        silence.annotations.retain(|name, _| name != WINDOW_ID && name != WINDOW_NAME);
        let mut changed = self.silences.set(silence, new_id, now_ms)?;
        if let (Some(old), Some(first)) = (old, changed.first_mut())
            && first.id == old.id
        {
            let own =
                old.annotations.into_iter().filter(|(name, _)| name == WINDOW_ID || name == WINDOW_NAME);
            first.annotations.extend(own);
            self.silences.keep(first.clone());
            let first = first.clone();
            self.let_go(Some(&first));
        }
        Ok(changed)
    }

    /// A silence was changed by hand: the window that made it leaves the run alone.
    pub(super) fn let_go(&mut self, silence: Option<&Silence>) {
        let of = silence.and_then(|silence| held_by(silence).map(|id| (id, silence.starts_at_ms)));
        let record = of.and_then(|(id, started_ms)| self.windows.take_out(id, started_ms));
        self.journal.extend(record.map(Record::Maintenance));
    }

    /// Makes a window under `id`, or changes the one there.
    pub(crate) fn set_window(&mut self, id: &str, window: Window, now_ms: i64) -> Result<(), WindowError> {
        let record = self.windows.set(id, window, now_ms)?;
        self.journal.push(Record::Maintenance(record));
        self.run_windows(now_ms);
        Ok(())
    }

    /// Deletes a window; what runs of it ends.
    pub(crate) fn delete_window(&mut self, id: &str, now_ms: i64) -> Result<(), WindowError> {
        let record = self.windows.delete(id, now_ms)?;
        self.journal.push(Record::Maintenance(record));
        self.run_windows(now_ms);
        Ok(())
    }

    /// Ends what runs of a window now; the next run comes as planned.
    pub(crate) fn end_window(&mut self, id: &str, now_ms: i64) -> Result<(), WindowError> {
        let (window, _) = self.windows.get(id).ok_or(WindowError::NotFound)?;
        let begun = window.runs(now_ms).take_while(|run| run.starts_at_ms <= now_ms).last();
        let active = self.active_silences(id, now_ms);
        if active.is_empty() {
            return Err(WindowError::NotRunning);
        }
        let record = begun.and_then(|run| self.windows.take_out(id, run.starts_at_ms));
        self.journal.extend(record.map(Record::Maintenance));
        self.end_silences(&active, now_ms);
        Ok(())
    }

    fn active_silences(&self, id: &str, now_ms: i64) -> Vec<String> {
        let of = |silence: &&Silence| {
            held_by(silence).is_some_and(|held| held == id)
                && silence.state_at(now_ms) == SilenceState::Active
        };
        self.silences.iter().filter(of).map(|silence| silence.id.clone()).collect()
    }

    /// Takes a record of another manager.
    pub(super) fn merge_window(&mut self, record: &WindowRecord, latest_ms: i64, now_ms: i64) {
        if record.updated_at_ms.max(record.ended_ms) > latest_ms || record.is_stale(now_ms, self.retention_ms)
        {
            return;
        }
        let merged = self.windows.merge(record);
        self.journal.extend(merged.map(Record::Maintenance));
    }

    /// Forgets windows that are over, and looks after the others.
    pub(super) fn forget_windows(&mut self, now_ms: i64) {
        let gone = self.windows.collect_garbage(now_ms, self.retention_ms);
        self.journal.extend(gone.into_iter().map(Record::MaintenanceGone));
        self.windows.next_ms = i64::MIN;
    }

    /// All windows: those that run first, then by the next run, those that are over last.
    pub(crate) fn window_views(&self, now_ms: i64) -> Vec<WindowView> {
        let mut views: Vec<WindowView> = self
            .windows
            .iter()
            .map(|(id, window, origin)| self.view_of(id, window, origin, now_ms))
            .collect();
        views.sort_by_key(|view| {
            let next_ms = view.runs.first().map_or(i64::MAX, |run| run.starts_at_ms);
            (view.silences.is_empty(), next_ms, view.window.spec.name.clone())
        });
        views
    }

    /// One window.
    pub(crate) fn window_view(&self, id: &str, now_ms: i64) -> Option<WindowView> {
        self.windows.get(id).map(|(window, origin)| self.view_of(id, window, origin, now_ms))
    }

    fn view_of(&self, id: &str, window: &Arc<Window>, origin: Origin, now_ms: i64) -> WindowView {
        let ended_ms = self.windows.ended_ms(id);
        let runs = window.runs(now_ms).filter(|run| run.starts_at_ms > ended_ms);
        WindowView {
            id: id.to_owned(),
            window: Arc::clone(window),
            origin,
            updated_at_ms: self.windows.updated_at_ms(id),
            runs: runs.take(RUNS_SHOWN).collect(),
            silences: self.active_silences(id, now_ms),
        }
    }
}
