//! Taking turns: among managers that share their notification log, each waits by its position before it speaks.
//!
//! In from `cluster`, which knows the position; out to the flush. While a flush waits, its alerts stay as they were when
//! its time came: what happens meanwhile belongs to the next flush, or intervals would shrink to the wait. What another
//! manager said meanwhile is in the log by then. Semantics of the wait are Alertmanager's; looking again at what is true
//! after it is ours, so that nobody hears of a fire that was said to be over.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{Group, GroupId};
use super::{Core, Record};
use crate::ack::{ACKS_MAX, Acks};
use crate::alert::Fingerprint;
use crate::nflog::{Entry, NotifyKey, NotifyLog};
use crate::notification::Snapshot;
use crate::promise::{ALONE, Who};
use crate::record::codec;
use crate::route::Route;
use crate::silence::SILENCES_MAX;

/// How far ahead of our clock a record of another manager may be dated, in milliseconds. Chosen: no clock that anybody
/// looks after is a day wrong, and the last word wins, so that one from next year would win for a year.
const AHEAD_MS_MAX: i64 = 24 * 3_600_000;

/// Groups of two managers that are looked at within so many milliseconds are in step: what a message travels, and far less
/// than one waits for the other. Chosen.
pub(super) const IN_STEP_MS: u64 = 2_000;

/// How far ahead the end may lie that a report states, in milliseconds, to count as one that was reached. Chosen: no clocks that
/// somebody looks after are so far apart, and reports of what fires state an end that is minutes ahead.
const SOON_MS: i64 = 5_000;

/// Groups before a reload and whom they tell, by their keys.
pub(super) type Timers = BTreeMap<String, (Group, BTreeSet<NotifyKey>)>;

/// When groups were told of by other managers, by key and receiver.
type Told = BTreeMap<(String, String), i64>;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// How long this manager waits for others to speak first, in milliseconds.
    pub(crate) wait_ms: i64,
    /// Whether it may speak at all; not before it knows what others said.
    pub(crate) is_ready: bool,
    /// Whether there may be others.
    pub(crate) is_shared: bool,
    /// By which they know this one.
    pub(crate) me: Who,
}

impl Default for Turn {
    /// Alone.
    fn default() -> Self {
        Self { wait_ms: 0, is_ready: true, is_shared: false, me: ALONE }
    }
}

/// A flush that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(super) since_ms: i64,
    /// Whether one that waited before went over into this one.
    pub(super) has_joined: bool,
    /// Not before, since a message to the same receiver is on its way.
    pub(super) not_before_ms: i64,
    pub(super) alerts: Vec<Snapshot>,
    /// Those of them that were kept back then, or an interval before: what was let out since belongs to the next flush. Managers
    /// whose groups are not in step, since they had nothing to tell, would else tell it at once; within the
    /// interval the first of them does.
    kept_back: BTreeSet<Fingerprint>,
    /// When each integration had been told last.
    told: Vec<(NotifyKey, Option<i64>)>,
}

fn sent_at(log: &NotifyLog, key: &NotifyKey) -> Option<i64> {
    log.get(key).map(|entry| entry.sent_at_ms)
}

impl Parked {
    /// Whether it may tell of an alert: of a firing only where nothing kept it back when its time came.
    pub(super) fn tells(&self, alert: &Snapshot) -> bool {
        !alert.is_firing || !self.kept_back.contains(&alert.fingerprint)
    }

    /// Whether `key` was told something since.
    pub(super) fn is_told_since(&self, key: &NotifyKey, log: &NotifyLog) -> bool {
        let before = self.told.iter().find(|(told, _)| told == key).and_then(|(_, at_ms)| *at_ms);
        sent_at(log, key) != before
    }
}

impl Core {
    /// Takes what the cluster says about positions. Flushes that wait go by it at once.
    pub(crate) fn set_turn(&mut self, turn: Turn) {
        self.turn = turn;
    }

    /// Until when an end that a report states counts as reached: among managers each must see the same ends, also one whose
    /// clock is a little behind.
    pub(super) fn soon_ms(&self, now_ms: i64) -> i64 {
        if self.turn.is_shared { now_ms.saturating_add(SOON_MS) } else { now_ms }
    }

    /// Whether it may speak, for tests and gauges.
    pub(crate) fn turn(&self) -> Turn {
        self.turn
    }

    /// When `group` is looked at next.
    pub(super) fn flush_at_ms(&self, group: &Group) -> i64 {
        match &group.parked {
            Some(parked) => parked.since_ms.saturating_add(self.turn.wait_ms).max(parked.not_before_ms),
            None => group.next_flush_ms.max(self.start_ms),
        }
    }

    /// Lets a flush wait whose time has come; `false` when it need not, or has.
    pub(super) fn park(&mut self, id: &GroupId, route: &Route, keys: &[NotifyKey], now_ms: i64) -> bool {
        if self.turn.wait_ms <= 0 {
            return false;
        }
        let was_parked = self.groups.get(id).is_none_or(|group| group.parked.is_some());
        if was_parked && !self.groups.get_mut(id).is_some_and(|group| group.joins_next(now_ms)) {
            return false;
        }
        let since_ms = self.groups.get_mut(id).and_then(|group| group.due_ms.take()).unwrap_or(now_ms);
        let alerts = self.begin_flush(id, route, since_ms, now_ms);
        let heard = self.hear(alerts.clone(), route, now_ms);
        let loud: BTreeSet<Fingerprint> = heard.loud.iter().map(|alert| alert.fingerprint).collect();
        let quiet: BTreeSet<Fingerprint> =
            alerts.iter().map(|alert| alert.fingerprint).filter(|id| !loud.contains(id)).collect();
        let told = keys.iter().map(|key| (key.clone(), sent_at(&self.nflog, key))).collect();
        if let Some(group) = self.groups.get_mut(id) {
            // A look that begins late has not waited long enough for what began since it was due.
            let is_late =
                |of: &&Snapshot| since_ms < now_ms && of.is_firing && of.alert.starts_at_ms > since_ms;
            let late = alerts.iter().filter(is_late).map(|alert| alert.fingerprint);
            let kept_back = group.quiet.union(&quiet).copied().chain(late).collect();
            group.quiet = quiet;
            group.parked = Some(Parked {
                since_ms,
                not_before_ms: now_ms,
                has_joined: was_parked,
                alerts,
                kept_back,
                told,
            });
        }
        true
    }

    /// The same alerts as `route` sees them now.
    pub(super) fn as_of_now(&self, route: &Route, alerts: &[Snapshot], now_ms: i64) -> Vec<Snapshot> {
        let now = |snapshot: &Snapshot| {
            let alert = self.alerts.get(&snapshot.fingerprint).unwrap_or(&snapshot.alert);
            Snapshot {
                fingerprint: snapshot.fingerprint,
                alert: alert.clone(),
                is_firing: !alert.is_resolved_at(now_ms),
                is_flapping: false,
            }
        };
        self.seen(route, alerts.iter().map(now).collect(), now_ms)
    }

    /// Alerts that another manager told of and this one has not heard of: they stay told.
    pub(super) fn known_to_others(&self, last: Option<&Entry>) -> BTreeSet<Fingerprint> {
        let last = last.filter(|_| self.turn.is_shared);
        let unknown = |id: &&Fingerprint| !self.alerts.contains_key(id);
        last.map(|entry| entry.firing.iter().filter(unknown).copied().collect()).unwrap_or_default()
    }

    /// A time for the log that is later than its last entry for `key`, also where another manager's clock is ahead.
    pub(super) fn later_than_known(&self, key: &NotifyKey, now_ms: i64) -> i64 {
        sent_at(&self.nflog, key).map_or(now_ms, |last_ms| now_ms.max(last_ms.saturating_add(1)))
    }

    /// Takes records of another manager, those that say more than is known; they are in the journal then.
    ///
    /// The last word counts; of two at the same time the greater text. So managers that took the same records in any
    /// order, any number of times, know the same.
    ///
    /// With `waited_ms` they were written just now by a manager that waits so long: groups it told of fall into step.
    pub(crate) fn merge(&mut self, records: Vec<Record>, waited_ms: Option<i64>, now_ms: i64) {
        let mut told: Told = BTreeMap::new();
        let latest_ms = now_ms.saturating_add(AHEAD_MS_MAX);
        for record in records {
            let is_news = match &record {
                Record::Silence(silence) => {
                    let known = self.silences.get(&silence.id);
                    let is_over = silence.ends_at_ms.saturating_add(self.retention_ms) < now_ms;
                    let has_room = known.is_some() || self.silences.len() < SILENCES_MAX;
                    let old = known.map(|known| (known.updated_at_ms, Record::Silence(known.clone())));
                    has_room && !is_over && wins(silence.updated_at_ms, latest_ms, &record, old)
                }
                Record::Notified(key, entry) => {
                    let known = self.nflog.get(key);
                    // Also when somebody else was quicker to hand it on.
                    if known.is_none_or(|known| known.sent_at_ms <= entry.sent_at_ms) {
                        told.insert((key.group_key.clone(), key.receiver.clone()), entry.sent_at_ms);
                    }
                    let old =
                        known.map(|known| (known.sent_at_ms, Record::Notified(key.clone(), known.clone())));
                    entry.expires_at_ms > now_ms && wins(entry.sent_at_ms, latest_ms, &record, old)
                }
                Record::Claimed(key) => {
                    waited_ms.into_iter().for_each(|waited_ms| self.take_claim(key, waited_ms, now_ms));
                    false
                }
                Record::Doubted(key, ended) => {
                    waited_ms.iter().for_each(|_| self.take_doubt(key, ended, now_ms));
                    false
                }
                Record::Promised(said) => said.at_ms <= latest_ms && self.promises.merge(said),
                Record::Maintenance(window) => {
                    self.merge_window(window, latest_ms, now_ms);
                    false
                }
                Record::Acked(id, ack) => {
                    let known = self.acks.get(*id);
                    let has_room = known.is_some() || self.acks.len() < ACKS_MAX;
                    let is_over = Acks::is_stale(ack, now_ms) && !self.alerts.contains_key(id);
                    let old = known.map(|known| (known.at_ms, Record::Acked(*id, known.clone())));
                    has_room && !is_over && wins(ack.at_ms, latest_ms, &record, old)
                }
                _ => false,
            };
            if !is_news {
                continue;
            }
            match &record {
                Record::Silence(silence) => self.silences.keep(silence.clone()),
                Record::Notified(key, entry) => {
                    self.claims.release(key);
                    self.nflog.put(key.clone(), entry.clone());
                }
                Record::Acked(id, ack) => self.take_ack(*id, ack.clone(), now_ms),
                _ => {}
            }
            self.journal.push(record);
        }
        self.run_windows(now_ms);
        if let Some(waited_ms) = waited_ms.filter(|_| !told.is_empty()) {
            self.fall_into_step(&told, now_ms.saturating_sub(waited_ms), now_ms);
        }
    }

    /// Takes all groups away; returns them by their keys, with whom they tell, where others look at them, too.
    pub(super) fn take_timers(&mut self) -> Timers {
        let groups = std::mem::take(&mut self.groups);
        let groups = groups.into_iter().filter(|_| self.turn.is_shared);
        let of = |(id, group): (GroupId, Group)| {
            let keys = self.lines_of(&id).into_iter().map(|line| line.key).collect();
            (self.group_key(&id), (group, keys))
        };
        groups.map(of).collect()
    }

    /// Groups of a new configuration are looked at when they would have been without it. A look out of turn would meet
    /// another manager's by chance, and then both would speak.
    ///
    /// Only one that tells somebody it did not tell before, or whose messages were on their way, is looked at at once; it falls
    /// back into step behind that.
    pub(super) fn keep_timers(&mut self, mut timers: Timers, now_ms: i64) {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            let Some((old, keys)) = timers.remove(&self.group_key(&id)) else { continue };
            let tells_others = self.lines_of(&id).iter().any(|line| !keys.contains(&line.key));
            let route = self.routes.get(id.route);
            let wait_ms = if old.has_flushed { route.group_interval_ms } else { route.group_wait_ms };
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if tells_others || old.flush.is_some() {
                group.in_step_ms = Some(old.next_flush_ms);
                group.quiet = old.quiet;
            } else {
                group.keep_timer(old, now_ms.saturating_add(wait_ms));
            }
        }
    }

    /// Brings the next look at groups of these keys to a whole interval after `base_ms`, when another manager looked at
    /// them. Timers of managers that began at different moments would else meet by chance, and then both would speak.
    fn fall_into_step(&mut self, told: &Told, base_ms: i64, now_ms: i64) {
        // Further receivers are told at other times.
        let told_at = |id: &GroupId| {
            let of = (self.group_key(id), self.routes.get(id.route).receiver.clone());
            told.get(&of).map(|sent_at_ms| (id.clone(), *sent_at_ms))
        };
        let ids: Vec<(GroupId, i64)> = self.groups.keys().filter_map(told_at).collect();
        for (id, sent_at_ms) in ids {
            let interval_ms = self.routes.get(id.route).group_interval_ms;
            let Some(group) = self.groups.get_mut(&id).filter(|group| group.has_flushed) else { continue };
            // What is said again, since an answer was lost, is no news of when.
            if group.in_step_with == Some(sent_at_ms) {
                continue;
            }
            group.in_step_with = Some(sent_at_ms);
            // In step, also where something is to be looked at before the interval is over: the other will look then, too.
            if base_ms.abs_diff(group.began_ms) <= IN_STEP_MS {
                continue;
            }
            let next_ms = base_ms.saturating_add(interval_ms).max(now_ms);
            if next_ms.abs_diff(group.next_flush_ms) <= IN_STEP_MS {
                continue;
            }
            if next_ms > group.next_flush_ms {
                // Once only, or one that speaks at every interval would put others off for ever.
                // Not at this moment: what the other tells further receivers of the same look is still on its way.
                if group.is_put_off {
                    group.next_flush_ms = now_ms.saturating_add_unsigned(IN_STEP_MS);
                    group.in_step_ms = Some(next_ms);
                    continue;
                }
                group.is_put_off = true;
            }
            group.next_flush_ms = next_ms;
            // The look that is put off would have found what has to be looked at sooner, as that of the other did.
            self.look_sooner(&id, now_ms);
        }
    }

    /// Has a group looked at before its interval is over, when one of its alerts is stable, has waited or is due again.
    pub(super) fn look_sooner(&mut self, id: &GroupId, now_ms: i64) {
        self.settle_flaps(id, now_ms);
        self.hasten(id, now_ms);
    }
}

/// Whether a record of `at_ms` takes the place of an `old` one.
fn wins(at_ms: i64, latest_ms: i64, record: &Record, old: Option<(i64, Record)>) -> bool {
    if at_ms > latest_ms {
        return false;
    }
    let Some((old_ms, old)) = old else { return true };
    match at_ms.cmp(&old_ms) {
        std::cmp::Ordering::Equal => codec::json(record) > codec::json(&old),
        order => order.is_gt(),
    }
}
