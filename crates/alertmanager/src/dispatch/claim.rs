//! Claims: among managers, who is about to tell somebody says so first.
//!
//! In from flushes, escalations and ends that are owed, before they tell, and from other managers by way of `turn`; out as
//! records that are sent to them and not kept. Turns keep apart managers whose groups are in step. Groups that are not,
//! since one manager heard of an alert before its look and another after it, or has no group for what another tells, come
//! to speak at any moment, also at the same, and what is on its way stands in no log yet. So whoever waited its turn
//! claims what it is about to tell, and listens for a moment. Of two that claim the same the one whose turn is first goes
//! on; the other looks again when that has told. Meaning: docs/adr/0006-replicas-of-managers.md.
//! Invariant: a claim holds for `HOLD_MS` at most, so that who claims and dies keeps nobody quiet.

use std::collections::HashMap;

use super::group::{Group, GroupId};
use super::steps::Line;
use super::{Core, Heard, JobId, Record};
use crate::nflog::NotifyKey;
use crate::notification::Snapshot;
use crate::route::Route;

/// How long one listens after a claim, in milliseconds: what a message travels, back and forth, and a receiver that answers at
/// once. Chosen; never longer than one waits for the others.
const LISTEN_MS: i64 = 2_000;
/// How long a claim holds, in milliseconds: its listening, and a receiver that takes its time. Chosen.
const HOLD_MS: i64 = 5_000;
/// How soon one that was held looks again, in milliseconds. Chosen.
const LOOK_AGAIN_MS: i64 = 100;

/// Who is about to tell whom.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Own ones, and when they were made.
    own: HashMap<NotifyKey, i64>,
    /// Those of other managers, and until when they hold.
    others: HashMap<NotifyKey, i64>,
}

impl Claims {
    /// Another manager told what it claimed.
    pub(super) fn release(&mut self, key: &NotifyKey) {
        self.others.remove(key);
    }

    /// Forgets claims that hold no more.
    pub(super) fn collect_garbage(&mut self, now_ms: i64) {
        self.own.retain(|_, at_ms| at_ms.saturating_add(HOLD_MS) > now_ms);
        self.others.retain(|_, until_ms| *until_ms > now_ms);
    }
}

impl Core {
    /// Whether `key` may be told now; otherwise when to ask again. Who asks must have something to tell.
    pub(super) fn held_until_ms(&mut self, key: &NotifyKey, now_ms: i64) -> Option<i64> {
        if self.claims.others.get(key).is_some_and(|until_ms| now_ms < *until_ms) {
            self.claims.own.remove(key);
            return Some(now_ms.saturating_add(LOOK_AGAIN_MS));
        }
        let listen_ms = LISTEN_MS.min(self.turn.wait_ms);
        if listen_ms <= 0 {
            return None;
        }
        let known_ms =
            self.claims.own.get(key).filter(|at_ms| now_ms < at_ms.saturating_add(HOLD_MS)).copied();
        if known_ms.is_none() {
            self.claims.own.insert(key.clone(), now_ms);
            self.journal.push(Record::Claimed(key.clone()));
        }
        let heard_ms = known_ms.unwrap_or(now_ms).saturating_add(listen_ms);
        (now_ms < heard_ms).then_some(heard_ms)
    }

    /// The same for a flush: when the last of those whom it has something to tell may be told.
    pub(super) fn flush_held_until_ms(
        &mut self,
        id: &GroupId,
        route: &Route,
        lines: &[Line],
        now_ms: i64,
    ) -> Option<i64> {
        let is_claimed = |line: &Line| self.claims.others.contains_key(&line.key);
        if self.turn.wait_ms <= 0 && !lines.iter().any(is_claimed) {
            return None;
        }
        self.settle_flaps(id, now_ms);
        let all = self.to_be_told(self.groups.get(id)?, route, now_ms);
        let mut loud = self.sift(all.clone(), route, now_ms).0;
        let parked = self.groups.get(id)?.parked.as_ref();
        if let Some(parked) = parked {
            loud.retain(|alert| parked.tells(alert));
        }
        let heard = Heard { at_ms: parked.map_or(now_ms, |parked| parked.since_ms), all, loud };
        let due = lines.iter().filter(|line| self.due_on(line, &heard, route, now_ms).is_some());
        let due: Vec<NotifyKey> = due.map(|line| line.key.clone()).collect();
        due.iter().filter_map(|key| self.held_until_ms(key, now_ms)).max()
    }

    /// The alerts that a flush of `group` would tell of.
    fn to_be_told(&self, group: &Group, route: &Route, now_ms: i64) -> Vec<Snapshot> {
        match &group.parked {
            Some(parked) => parked.alerts.clone(),
            None => self.seen(route, group.snapshot(now_ms), now_ms),
        }
    }

    /// A message to `key` starts on its way. Who waited for nobody says so now: the others listen.
    pub(super) fn occupy(&mut self, key: &NotifyKey, id: JobId) {
        self.busy.insert(key.clone(), id);
        if self.claims.own.remove(key).is_none() && self.turn.is_shared {
            self.journal.push(Record::Claimed(key.clone()));
        }
    }

    /// Another manager, which waits `waited_ms` for its turn, is about to tell `key`.
    pub(super) fn take_claim(&mut self, key: &NotifyKey, waited_ms: i64, now_ms: i64) {
        let is_own = self.busy.contains_key(key) || self.claims.own.contains_key(key);
        if waited_ms < self.turn.wait_ms || !is_own {
            self.claims.others.insert(key.clone(), now_ms.saturating_add(HOLD_MS));
        }
    }
}
