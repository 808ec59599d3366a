//! The sync core: alerts in, notifications out, and the timers between.
//!
//! In from `driver` (time, outcomes of attempts) and from the handle (alerts, silences, configuration); out as
//! [`Action`]s that the driver carries out, and as [`Record`]s that the handle writes to the state file.
//! Knows no socket, no file and no clock: time is an argument. Semantics are Alertmanager's dispatcher and pipeline:
//! group, flush, inhibit, mute, silence, deduplicate, send, remember.
//! Invariant: for one notification key at most one job exists, so that nobody is told twice at once.

mod claim;
mod damped;
mod due;
mod explain;
mod group;
mod history;
mod holds;
mod job;
mod noted;
mod oncall;
mod owed;
mod pledge;
mod steps;
mod turn;
mod view;
mod watched;
mod windows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use explain::explain_config;
pub(crate) use group::{Group, GroupId};
pub(crate) use history::Counts;
pub(crate) use job::{Job, JobId};
pub(crate) use oncall::{Word, WordError};
pub(crate) use pledge::Doubts;
pub(crate) use steps::StepView;
pub(crate) use turn::Turn;
pub(crate) use view::{AlertStatus, GroupView};
pub(crate) use watched::{WatchState, WatchedView};
pub(crate) use windows::{RUNS_SHOWN, WindowView};

use crate::ack::Acks;
use crate::alert::{Alert, Fingerprint};
use crate::config::{Config, Integration};
use crate::escalate::Pauses;
use crate::flap::Flaps;
use crate::history::Recorder;
use crate::hosts::{Host, Hosts};
use crate::inhibit::Inhibitor;
use crate::limits::{ALERTS_MAX, Limits};
use crate::maintenance::Windows;
use crate::metrics::Metrics;
use crate::nflog::{self, Entry, Issued, NotifyKey, NotifyLog};
use crate::notification::Notification;
use crate::notification::{Outcome, Reason, ReceiverData, Snapshot};
use crate::promise::Promises;
use crate::record::Record;
use crate::route::{Route, RouteTree};
use crate::silence::{Silence, SilenceError, SilenceLimits, Silences};
use crate::watch::Watches;
use due::Due;
use noted::Notes;
use steps::Line;

/// How many attempts of one receiver run at once; more wait. Chosen: enough for a slow mail server, few enough that a
/// flood of groups does not become a flood of connections.
pub const RECEIVER_ATTEMPTS_MAX: usize = 8;

/// A flush has at least this long, however short the group interval is. From Alertmanager.
const FLUSH_MS_MIN: i64 = 10_000;
/// How often what is over is forgotten, and that we are alive is noted, unless maintenance is asked for more often. Chosen.
const GC_INTERVAL_MS: i64 = 60_000;

/// What the driver must do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Try to deliver, then tell [`Core::on_outcome`].
    Send {
        job: JobId,
        integration: Arc<Integration>,
        notification: Arc<Notification>,
        /// When the attempt must be over.
        deadline_ms: i64,
    },
    /// Find out which hosts send samples, then tell [`Core::on_hosts`].
    AskHosts {
        hosts: Vec<Host>,
        /// How old the last sample of an active host may be.
        fresh: std::time::Duration,
    },
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Arc<Config>,
    pub(crate) routes: RouteTree,
    pub(crate) silences: Silences,
    pub(crate) windows: Windows,
    pub(crate) nflog: NotifyLog,
    pub(crate) promises: Promises,
    /// Ends that may have been told.
    pub(crate) doubts: Doubts,
    pub(crate) watches: Watches,
    pub(crate) acks: Acks,
    pub(crate) pauses: Pauses,
    pub(crate) flaps: Flaps,
    pub(crate) alerts: BTreeMap<Fingerprint, Arc<Alert>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) history: Recorder,
    notes: Notes,
    inhibitor: Inhibitor,
    groups: BTreeMap<GroupId, Group>,
    jobs: BTreeMap<JobId, Job>,
    /// Keys that a job is at work for.
    busy: HashMap<NotifyKey, JobId>,
    /// Keys that this or another manager is about to tell.
    claims: claim::Claims,
    journal: Vec<Record>,
    next_job: u64,
    /// Counts configurations: groups of an older one are gone.
    epoch: u64,
    /// No group is flushed before.
    start_ms: i64,
    next_gc_ms: i64,
    retention_ms: i64,
    limits: Limits,
    /// How many alerts are kept of each name; empty without a limit of them.
    n_by_name: HashMap<String, usize>,
    is_stopping: bool,
    turn: Turn,
    next_sweep_ms: i64,
    hosts: Hosts,
    next_ask_ms: i64,
    next_look_ms: i64,
}

/// The alerts of a group at a flush: all of them, and those that nothing keeps back.
#[derive(Debug)]
struct Heard {
    /// When it was due: what is to be repeated is counted to then, however many milliseconds later somebody looks.
    at_ms: i64,
    all: Vec<Snapshot>,
    loud: Vec<Snapshot>,
}

/// Why a new alert is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// [`ALERTS_MAX`]
    TooMany,
    /// As many of its name as the flag allows; its sender is told nothing, as upstream has it.
    TooManyOfName,
}

/// What an integration was told, to be remembered.
struct Told {
    firing: BTreeSet<Fingerprint>,
    resolved: BTreeSet<Fingerprint>,
    issued: Issued,
    since: due::Since,
    data: ReceiverData,
    repeat_interval_ms: i64,
}

/// What does not change while the process runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoreOptions {
    /// How long silences are kept after their end, and log entries at most.
    pub(crate) retention_ms: i64,
    /// When the first group may be flushed.
    pub(crate) start_ms: i64,
    pub(crate) limits: Limits,
}

impl Core {
    /// Without alerts, silences and memory; see `state` for what puts them back.
    pub(crate) fn new(config: Arc<Config>, options: CoreOptions, metrics: Arc<Metrics>) -> Self {
        let mut windows = Windows::default();
        windows.set_file(&config.windows);
        Self {
            routes: RouteTree::new(&config.route),
            inhibitor: Inhibitor::new(&config.inhibit_rules, config.new_dependencies()),
            windows,
            silences: Silences::new(SilenceLimits {
                silences_max: options.limits.silences_max,
                silence_bytes_max: options.limits.silence_bytes_max,
            }),
            nflog: NotifyLog::default(),
            promises: Promises::default(),
            doubts: Doubts::default(),
            watches: Watches::default(),
            acks: Acks::default(),
            pauses: Pauses::default(),
            flaps: Flaps::default(),
            alerts: BTreeMap::new(),
            history: if options.limits.history_bytes_max > 0 { Recorder::on() } else { Recorder::default() },
            notes: Notes::new(!config.events.is_empty()),
            config,
            metrics,
            groups: BTreeMap::new(),
            jobs: BTreeMap::new(),
            busy: HashMap::new(),
            claims: claim::Claims::default(),
            journal: Vec::new(),
            next_job: 0,
            epoch: 0,
            start_ms: options.start_ms,
            next_gc_ms: i64::MIN,
            retention_ms: options.retention_ms,
            limits: options.limits,
            n_by_name: HashMap::new(),
            is_stopping: false,
            turn: Turn::default(),
            next_sweep_ms: i64::MIN,
            hosts: Hosts::default(),
            next_ask_ms: i64::MIN,
            next_look_ms: i64::MIN,
        }
    }

    /// Takes a report of an alert, unless a limit refuses a new one.
    pub(crate) fn put_alert(&mut self, new: Alert, now_ms: i64) -> Result<(), Refused> {
        let fingerprint = Fingerprint::of(&new.labels);
        let is_detection = !new.is_resolved_at(now_ms);
        let was_firing = self.alerts.get(&fingerprint).is_some_and(|alert| !alert.is_resolved_at(now_ms));
        let (kept, is_renewal) = match self.alerts.get(&fingerprint) {
            Some(known) => {
                let kept = known.merged_with(new, self.soon_ms(now_ms));
                let is_renewal = kept.renews(known);
                (Arc::new(kept), is_renewal)
            }
            None => {
                self.admit(&new)?;
                self.inhibitor.insert(fingerprint, &new.labels);
                (Arc::new(new), false)
            }
        };
        self.journal.push(match is_renewal {
            true => Record::Renewed {
                fingerprint,
                ends_at_ms: kept.ends_at_ms,
                updated_at_ms: kept.updated_at_ms,
                is_timeout: kept.is_timeout,
                measured: kept.measured,
            },
            false => Record::Alert(Arc::clone(&kept)),
        });
        let known = self.alerts.insert(fingerprint, Arc::clone(&kept));
        if known.is_none() {
            self.note_created(&kept, now_ms);
        }
        self.history.report(fingerprint, known.as_ref(), &kept, now_ms);
        let is_watching = self.routes.is_watching();
        let counts = if is_watching && is_detection {
            self.detect(fingerprint, &kept.labels, now_ms)
        } else {
            Vec::new()
        };
        self.group(fingerprint, &kept, now_ms);
        self.note_change(fingerprint, known.as_deref(), &kept, now_ms);
        counts.into_iter().for_each(|route| self.wait_anew(route, &kept.labels, now_ms));
        if is_watching && !is_detection {
            self.hasten_all_of(&kept.labels, now_ms);
            if was_firing {
                self.note_awaited(&kept);
            }
        }
        Ok(())
    }

    /// Counts a new alert, or refuses it.
    fn admit(&mut self, new: &Alert) -> Result<(), Refused> {
        let per_name_max = self.limits.alerts_per_name_max;
        let refused = if self.alerts.len() >= ALERTS_MAX {
            Err(Refused::TooMany)
        } else if per_name_max > 0 && self.n_by_name.get(new.name()).is_some_and(|n| *n >= per_name_max) {
            Err(Refused::TooManyOfName)
        } else {
            self.count_name(new);
            Ok(())
        };
        if refused.is_err() {
            self.metrics.note_limited(new.name());
        }
        refused
    }

    fn count_name(&mut self, alert: &Alert) {
        if self.limits.alerts_per_name_max > 0 {
            *self.n_by_name.entry(alert.name().to_owned()).or_default() += 1;
        }
    }

    /// Puts an alert back from the state file.
    pub(crate) fn restore_alert(&mut self, alert: Alert, now_ms: i64) {
        let fingerprint = Fingerprint::of(&alert.labels);
        self.count_name(&alert);
        self.history.restore(fingerprint, &alert, now_ms);
        let alert = Arc::new(alert);
        self.inhibitor.insert(fingerprint, &alert.labels);
        self.alerts.insert(fingerprint, Arc::clone(&alert));
        self.group(fingerprint, &alert, now_ms);
    }

    /// Adds an alert to the groups its labels lead to.
    fn group(&mut self, fingerprint: Fingerprint, alert: &Arc<Alert>, now_ms: i64) {
        for idx in self.routes.matching(&alert.labels) {
            let route = self.routes.get(idx);
            let wait_ms = route.group_wait_ms;
            if route.is_watching() {
                self.watches.begin(fingerprint, alert.updated_at_ms);
            }
            let id = GroupId { route: idx, labels: route.group_labels(&alert.labels) };
            self.note_grouped(&id, alert, now_ms);
            let group = self.groups.entry(id).or_insert_with(|| Group::new(now_ms.saturating_add(wait_ms)));
            group.insert(fingerprint, Arc::clone(alert), wait_ms, now_ms);
        }
    }

    /// Takes a new configuration. Groups are built anew, their timers start again but for those that other managers look
    /// at, too; the notification log keeps anybody from being told twice. Attempts that are under way end as they would have.
    pub(crate) fn reload(&mut self, config: Arc<Config>, now_ms: i64) {
        // Before the routes change, which groups are known by.
        let timers = self.take_timers();
        self.routes = RouteTree::new(&config.route);
        self.inhibitor = Inhibitor::new(&config.inhibit_rules, config.new_dependencies());
        self.windows.set_file(&config.windows);
        self.notes.switch(!config.events.is_empty());
        self.config = config;
        self.epoch += 1;
        let waiting: Vec<JobId> =
            self.jobs.iter().filter(|(_, job)| !job.is_in_flight).map(|(id, _)| *id).collect();
        for id in waiting {
            self.forget_job(id);
        }
        let alerts: Vec<_> =
            self.alerts.iter().map(|(fingerprint, alert)| (*fingerprint, Arc::clone(alert))).collect();
        for (fingerprint, alert) in alerts {
            self.inhibitor.insert(fingerprint, &alert.labels);
            self.group(fingerprint, &alert, now_ms);
        }
        self.keep_timers(timers, now_ms);
    }

    /// Creates or changes a silence; returns its id.
    pub(crate) fn set_silence(
        &mut self,
        silence: Silence,
        new_id: String,
        now_ms: i64,
    ) -> Result<String, SilenceError> {
        let changed = self.set_but_held(silence, new_id.clone(), now_ms)?;
        let id = changed.last().map(|silence| silence.id.clone()).unwrap_or_default();
        if let Some(set) = changed.last() {
            self.note_silence(set, id == new_id, now_ms);
        }
        changed.iter().for_each(|silence| self.history.silence(silence, now_ms));
        self.journal.extend(changed.into_iter().map(Record::Silence));
        Ok(id)
    }

    /// Ends a silence.
    pub(crate) fn expire_silence(&mut self, id: &str, now_ms: i64) -> Result<(), SilenceError> {
        let changed = self.silences.expire(id, now_ms)?;
        self.let_go(changed.as_ref());
        changed.iter().for_each(|silence| self.history.silence(silence, now_ms));
        self.journal.extend(changed.map(Record::Silence));
        Ok(())
    }

    /// What happened since the last call, for the state file.
    pub(crate) fn take_journal(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.journal)
    }

    /// Starts nothing new from now on.
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// How many attempts are under way.
    pub(crate) fn n_in_flight(&self) -> usize {
        self.jobs.values().filter(|job| job.is_in_flight).count()
    }

    /// When [`Core::poll`] has something to do next, if nothing happens before.
    pub(crate) fn next_deadline_ms(&self) -> i64 {
        if self.is_stopping {
            return i64::MAX;
        }
        let flushes = self.groups.values().filter(|group| group.flush.is_none() && self.turn.is_ready);
        let flushes = flushes.map(|group| self.flush_at_ms(group));
        let attempts = self.jobs.values().filter(|job| !job.is_in_flight).map(|job| job.next_attempt_ms);
        flushes
            .chain(attempts)
            .min()
            .unwrap_or(i64::MAX)
            .min(self.next_gc_ms)
            .min(self.windows.next_ms)
            .min(self.next_sweep_ms())
            .min(self.next_ask_ms())
            .min(self.next_look_ms().max(self.start_ms))
    }

    /// Advances to `now_ms`; returns what the driver must do, in order.
    pub(crate) fn poll(&mut self, now_ms: i64) -> Vec<Action> {
        if self.is_stopping {
            return Vec::new();
        }
        if now_ms >= self.next_gc_ms {
            self.collect_garbage(now_ms);
            let interval_ms = self.limits.maintenance_interval.as_ms().clamp(1, GC_INTERVAL_MS);
            self.next_gc_ms = now_ms.saturating_add(interval_ms);
        }
        self.run_windows(now_ms);
        if self.turn.is_ready && now_ms >= self.start_ms {
            self.look_at_clocks(now_ms);
            let is_due = |group: &Group| group.flush.is_none() && self.flush_at_ms(group) <= now_ms;
            let due: Vec<GroupId> =
                self.groups.iter().filter(|(_, group)| is_due(group)).map(|(id, _)| id.clone()).collect();
            for id in due {
                self.flush(&id, now_ms);
            }
            self.sweep_promises(now_ms);
        }
        let mut actions = self.attempts(now_ms);
        actions.extend(self.ask_hosts(now_ms));
        actions
    }

    /// The text that webhooks and the notification log know a group by.
    fn group_key(&self, id: &GroupId) -> String {
        format!("{}:{}", self.routes.get(id.route).key, id.labels)
    }

    /// Looks at one group: decides what to tell whom, and starts the jobs.
    fn flush(&mut self, id: &GroupId, now_ms: i64) {
        let route = self.routes.get(id.route).clone();
        let lines = self.lines_of(id);
        let keys: Vec<NotifyKey> = lines.iter().map(|line| line.key.clone()).collect();
        // After a reload an attempt of the old configuration may still run for the same key: wait for its outcome.
        if keys.iter().any(|key| self.busy.contains_key(key)) {
            self.put_off(id, now_ms.saturating_add(100));
            return;
        }
        if self.park(id, &route, &keys, now_ms) {
            return;
        }
        if let Some(at_ms) = self.flush_held_until_ms(id, &route, &lines, now_ms) {
            self.put_off(id, at_ms);
            return;
        }
        let muted_by = self.muting_intervals(&route, now_ms);
        let Some(group) = self.groups.get_mut(id) else { return };
        group.muted_by = muted_by;
        let at_ms = group.due_at(now_ms);
        let parked = group.unpark(now_ms);
        let (at_ms, alerts) = match &parked {
            Some(parked) => {
                // What is stable since is told by the next look, not as what it was.
                self.settle_flaps(id, now_ms);
                (parked.since_ms, parked.alerts.clone())
            }
            None => (at_ms, self.begin_flush(id, &route, at_ms, now_ms)),
        };
        let resolved = alerts.iter().filter(|alert| !alert.is_firing);
        let resolved = resolved.map(|alert| (alert.fingerprint, alert.alert.updated_at_ms)).collect();
        let mut flush = group::Flush { n_pending: 0, has_failed: false, resolved };
        let mut heard = Heard { at_ms, ..self.hear(alerts, &route, now_ms) };
        if let Some(parked) = &parked {
            heard.loud.retain(|alert| parked.tells(alert));
        }
        self.record_flush(id, &route, &heard, now_ms);
        self.note_flush(&heard, now_ms);
        for line in lines {
            let told_since =
                parked.as_ref().is_some_and(|parked| parked.is_told_since(&line.key, &self.nflog));
            let started = match told_since {
                false => self.start_job(id, &route, line, &heard, now_ms),
                // Another manager spoke while this one waited its turn: what it waited with and what is true now must
                // both be news.
                true if self.due_on(&line, &heard, &route, now_ms).is_none() => false,
                true => {
                    let now = self.hear(self.as_of_now(&route, &heard.all, now_ms), &route, now_ms);
                    self.start_job(id, &route, line, &now, now_ms)
                }
            };
            flush.n_pending += usize::from(started);
        }
        self.end_flush_if_done(id, flush, now_ms);
    }

    /// Has a flush that cannot go on now looked at again at `at_ms`.
    fn put_off(&mut self, id: &GroupId, at_ms: i64) {
        let Some(group) = self.groups.get_mut(id) else { return };
        match &mut group.parked {
            Some(parked) => parked.not_before_ms = at_ms,
            None => group.next_flush_ms = at_ms,
        }
    }

    /// The next interval of a group begins, at `from_ms`; returns its alerts.
    fn begin_flush(&mut self, id: &GroupId, route: &Route, from_ms: i64, now_ms: i64) -> Vec<Snapshot> {
        let Some(group) = self.groups.get_mut(id) else { return Vec::new() };
        group.begin_flush(route.group_interval_ms, self.turn.wait_ms, from_ms);
        let alerts = group.snapshot(now_ms);
        self.look_sooner(id, now_ms);
        self.seen(route, alerts, now_ms)
    }

    /// Parts what nothing keeps back from all alerts of a group.
    fn hear(&self, all: Vec<Snapshot>, route: &Route, now_ms: i64) -> Heard {
        Heard { at_ms: now_ms, loud: self.audible(all.clone(), route, now_ms), all }
    }

    /// Leaves out what is kept back, and counts it by what keeps it.
    fn audible(&self, alerts: Vec<Snapshot>, route: &Route, now_ms: i64) -> Vec<Snapshot> {
        let (loud, kept) = self.sift(alerts, route, now_ms);
        kept.iter().for_each(|(reason, n)| self.metrics.suppressed.with(&[reason]).add(*n as u64));
        loud
    }

    /// Parts what nothing keeps back from what is inhibited, muted, ignored or silenced, in this order: reasons, and how
    /// many.
    fn sift(
        &self,
        alerts: Vec<Snapshot>,
        route: &Route,
        now_ms: i64,
    ) -> (Vec<Snapshot>, Vec<(&'static str, usize)>) {
        let stored = |fingerprint| self.alerts.get(&fingerprint).map(|alert| &**alert);
        let (loud, inhibited): (Vec<_>, Vec<_>) = alerts.into_iter().partition(|snapshot| {
            self.inhibitor.inhibited_by(&snapshot.alert.labels, now_ms, stored).is_none()
        });
        let mut kept = vec![("inhibition", inhibited.len())];
        let dependencies = self.inhibitor.dependencies();
        let (loud, waiting): (Vec<_>, Vec<_>) = loud.into_iter().partition(|snapshot| {
            !snapshot.is_firing || dependencies.waits_until_ms(&snapshot.alert, now_ms).is_none()
        });
        kept.push(("dependency", waiting.len()));
        if !self.muting_intervals(route, now_ms).is_empty() {
            let has_active = !route.active_intervals.is_empty();
            let reason = if has_active { "active_time_interval" } else { "mute_time_interval" };
            kept.push((reason, loud.len()));
            return (Vec::new(), kept);
        }
        let (loud, ignored): (Vec<_>, Vec<_>) =
            loud.into_iter().partition(|alert| route.ignored_by(&alert.alert.labels, now_ms).is_none());
        kept.push(("ignore", ignored.len()));
        self.metrics.keeping.silence_queries.add(loud.len() as u64);
        let is_loud = |snapshot: &Snapshot| !self.silences.is_silenced(&snapshot.alert.labels, now_ms);
        let (loud, silenced): (Vec<_>, Vec<_>) = loud.into_iter().partition(is_loud);
        kept.push(("silence", silenced.len()));
        (loud, kept)
    }

    /// Names of the intervals that keep a route quiet at `now_ms`; none when it may speak.
    fn muting_intervals(&self, route: &Route, now_ms: i64) -> Vec<String> {
        let (mute, active) = (&route.mute_intervals, &route.active_intervals);
        let contains = |name: &String| {
            self.config
                .intervals
                .get(name)
                .is_some_and(|list| list.iter().any(|interval| interval.contains(now_ms)))
        };
        if !active.is_empty() && !active.iter().any(contains) {
            return active.clone();
        }
        mute.iter().filter(|name| contains(name)).cloned().collect()
    }

    /// Decides for one integration; `true` when a job was started.
    fn start_job(&mut self, group: &GroupId, route: &Route, line: Line, heard: &Heard, now_ms: i64) -> bool {
        let Some(due) = self.due_on(&line, heard, route, now_ms) else { return false };
        self.launch((group, self.epoch), route, line, due, now_ms)
    }

    /// Starts the job that says what is due; `false` where there is nothing to say, but to remember.
    fn launch(
        &mut self,
        (group, epoch): (&GroupId, u64),
        route: &Route,
        line: Line,
        due: Due,
        now_ms: i64,
    ) -> bool {
        let Due { reason, alerts, firing, resolved, issued, since, others_fire, data } = due;
        let Line { integration, key, .. } = line;
        let told: Vec<Snapshot> =
            alerts.iter().filter(|alert| alert.is_firing || integration.sends_resolved).cloned().collect();
        if told.is_empty() {
            // Nothing to say to whom resolved alerts are not sent, but remembered: the next firing is news.
            let repeat_interval_ms = route.repeat_interval_ms;
            let told = Told { firing, resolved, issued, since, data, repeat_interval_ms };
            self.remember(key, told, now_ms);
            return false;
        }
        let notification = Notification {
            receiver: integration.receiver.clone(),
            group_key: key.group_key.clone(),
            group_labels: group.labels.clone(),
            route_labels: route.labels.clone(),
            reason: reason.text(),
            alerts: told,
            others_fire,
            data,
            now_ms,
        };
        let id = JobId(self.next_job);
        self.next_job += 1;
        self.metrics.deliveries.note_begun(&integration);
        if reason == nflog::Reason::Escalated {
            self.metrics.on_call.escalations.inc();
        }
        self.occupy(&key, id);
        let ends = self.ends_said(&key, &notification.alerts, now_ms);
        let job = Job {
            epoch,
            group: group.clone(),
            integration,
            key,
            notification: Arc::new(notification),
            firing,
            resolved,
            ends,
            pledged: None,
            issued,
            since,
            repeat_interval_ms: route.repeat_interval_ms,
            deadline_ms: now_ms.saturating_add(route.group_interval_ms.max(FLUSH_MS_MIN)),
            next_attempt_ms: now_ms,
            began_ms: now_ms,
            n_attempts: 0,
            is_in_flight: false,
        };
        self.jobs.insert(id, job);
        true
    }

    /// Starts the attempts that are due, as far as their receivers have room.
    fn attempts(&mut self, now_ms: i64) -> Vec<Action> {
        let mut running: HashMap<String, usize> = HashMap::new();
        for job in self.jobs.values().filter(|job| job.is_in_flight) {
            *running.entry(job.integration.receiver.clone()).or_default() += 1;
        }
        let is_due = |job: &Job| !job.is_in_flight && job.next_attempt_ms <= now_ms;
        let due: Vec<JobId> = self.jobs.iter().filter(|(_, job)| is_due(job)).map(|(id, _)| *id).collect();
        let mut actions = Vec::new();
        for id in due {
            if self.is_outdated(id, now_ms) {
                self.decide_again(id, now_ms);
                continue;
            }
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            if now_ms >= job.deadline_ms {
                tracing::warn!(receiver = %job.key.receiver, integration = %job.key.integration,
                    attempts = job.n_attempts, "notification given up: its group interval is over");
                self.record_given_up(id, now_ms);
                self.end_job(id, Some(Reason::Deadline), now_ms);
                continue;
            }
            let n_running = running.entry(job.integration.receiver.clone()).or_default();
            if *n_running >= RECEIVER_ATTEMPTS_MAX {
                // Looked at again when one of them ends; until then no busy loop.
                job.next_attempt_ms = now_ms.saturating_add(100);
                continue;
            }
            *n_running += 1;
            job.is_in_flight = true;
            job.began_ms = now_ms;
            job.n_attempts += 1;
            self.metrics.deliveries.note_request(&job.integration);
            actions.push(Action::Send {
                job: id,
                integration: Arc::clone(&job.integration),
                notification: Arc::clone(&job.notification),
                deadline_ms: job.deadline_ms,
            });
            self.pledge(id, now_ms);
        }
        actions
    }

    /// Whether a message that could not be delivered tells of a firing that is kept back since.
    fn is_outdated(&self, id: JobId, now_ms: i64) -> bool {
        let Some(job) = self.jobs.get(&id).filter(|job| job.n_attempts > 0 && !job.firing.is_empty()) else {
            return false;
        };
        let Some(route) = self.groups.get(&job.group).map(|_| self.routes.get(job.group.route)) else {
            return false;
        };
        let firing = job.notification.alerts.iter().filter(|alert| alert.is_firing);
        let firing: Vec<Snapshot> = firing.cloned().collect();
        let n_firing = firing.len();
        self.sift(firing, route, now_ms).0.len() < n_firing
    }

    /// Drops a message and has its group looked at now, which decides by what is true. A further receiver's is decided anew by
    /// the next look at its clock.
    fn decide_again(&mut self, id: JobId, now_ms: i64) {
        let Some(job) = self.jobs.get(&id) else { return };
        tracing::debug!(receiver = %job.key.receiver, "notification decided anew: something keeps it back since");
        let group = (job.epoch == self.epoch).then(|| job.group.clone());
        self.end_job(id, Some(Reason::Other), now_ms);
        group.iter().for_each(|group| self.flush_by(group, now_ms));
    }

    /// Takes what an attempt came to.
    pub(crate) fn on_outcome(&mut self, id: JobId, outcome: &Outcome, now_ms: i64) {
        let epoch = self.epoch;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.is_in_flight = false;
        match outcome {
            Outcome::Delivered(data) => {
                let told = Told {
                    firing: job.firing.clone(),
                    resolved: job.resolved.clone(),
                    issued: job.issued.clone(),
                    since: job.since.clone(),
                    data: data.clone(),
                    repeat_interval_ms: job.repeat_interval_ms,
                };
                let key = job.key.clone();
                let group = (job.epoch == epoch).then(|| job.group.clone());
                let step = (job.epoch == owed::NO_EPOCH).then(|| job.group.clone());
                self.record_outcome(id, outcome, true, now_ms);
                self.note_sent(id, now_ms);
                self.promise(id, now_ms);
                self.remember(key, told, now_ms);
                self.end_job(id, None, now_ms);
                if let Some(group) = group {
                    self.hasten(&group, now_ms);
                }
                if let Some(group) = step {
                    self.note_step_told(&group, now_ms);
                }
            }
            Outcome::Failed { is_retryable, reason, message, wait_ms } => {
                let integration = job.integration.name;
                self.metrics.deliveries.note_request_failed(&job.integration);
                job.next_attempt_ms = now_ms.saturating_add(job.backoff_ms(id).max(*wait_ms));
                // A job of an older configuration has nobody to retry for: the new groups decide.
                let is_over = !is_retryable || job.next_attempt_ms >= job.deadline_ms || job.epoch != epoch;
                // Once for the first failure and once for the end; a server that is down is not worth a line per try.
                if job.n_attempts == 1 || is_over {
                    tracing::warn!(receiver = %job.key.receiver, integration, attempts = job.n_attempts,
                        error = %message, gives_up = is_over, "notification attempt failed");
                }
                self.record_outcome(id, outcome, is_over, now_ms);
                self.withdraw(id);
                if is_over {
                    self.end_job(id, Some(*reason), now_ms);
                }
            }
        }
    }

    /// Removes a job and, with the last one, ends its flush.
    fn end_job(&mut self, id: JobId, failed: Option<Reason>, now_ms: i64) {
        let Some(job) = self.forget_job(id) else { return };
        if let Some(reason) = failed {
            self.metrics.deliveries.note_failed(&job.integration, reason);
        }
        if job.epoch != self.epoch {
            return;
        }
        self.note_reached(&job.group, &job.key.receiver, failed.is_none(), now_ms);
        let Some(group) = self.groups.get_mut(&job.group) else { return };
        let Some(mut flush) = group.flush.take() else { return };
        flush.n_pending -= 1;
        flush.has_failed |= failed.is_some();
        self.end_flush_if_done(&job.group, flush, now_ms);
    }

    fn forget_job(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.busy.remove(&job.key);
        Some(job)
    }

    /// Ends `flush` when nothing is pending, and with it the group when nothing is left in it.
    fn end_flush_if_done(&mut self, id: &GroupId, flush: group::Flush, now_ms: i64) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if flush.n_pending > 0 {
            group.flush = Some(flush);
            return;
        }
        let ended = group.finish(&flush);
        if group.alerts.is_empty() {
            self.groups.remove(id);
        }
        self.note_ended(id, &ended, now_ms);
        let ended: Vec<Fingerprint> = ended.iter().map(|alert| Fingerprint::of(&alert.labels)).collect();
        self.uncount(id.route, &ended);
        self.end_acks(&ended, now_ms);
    }

    fn remember(&mut self, key: NotifyKey, told: Told, now_ms: i64) {
        // Twice the repeat interval is long enough to decide; upstream's rule.
        let keep_ms = self.retention_ms.min(told.repeat_interval_ms.saturating_mul(2));
        let sent_at_ms = self.later_than_known(&key, now_ms);
        let entry = Entry {
            sent_at_ms,
            expires_at_ms: now_ms.saturating_add(keep_ms),
            firing: told.firing,
            resolved: told.resolved,
            issued: told.issued,
            since: told.since.into_iter().map(|(id, at_ms)| (id, at_ms.unwrap_or(now_ms))).collect(),
            data: told.data,
        };
        self.journal.push(Record::Notified(key.clone(), entry.clone()));
        self.believe(&key);
        self.nflog.put(key, entry);
    }

    /// Forgets what is over: log entries, silences, and resolved alerts that no group waits to tell about.
    fn collect_garbage(&mut self, now_ms: i64) {
        self.metrics.keeping.maintenance.iter().for_each(|counter| counter.inc());
        let alive: std::collections::HashSet<String> =
            self.groups.keys().map(|id| self.group_key(id)).collect();
        let gone = self.nflog.collect_garbage(now_ms, |key| alive.contains(&key.group_key));
        self.journal.extend(gone.into_iter().map(Record::NotifiedGone));
        self.history.keep_groups(|key| alive.contains(key));
        let gone = self.silences.collect_garbage(now_ms, self.retention_ms);
        self.history.forget_silences(&gone);
        self.journal.extend(gone.into_iter().map(Record::SilenceGone));
        self.forget_windows(now_ms);
        let grouped: std::collections::HashSet<Fingerprint> =
            self.groups.values().flat_map(|group| group.alerts.keys().copied()).collect();
        let keep_ms = self.limits.resolved_keep.as_ms();
        let is_old = |alert: &Alert| alert.ends_at_ms.saturating_add(keep_ms) <= now_ms;
        let gone: Vec<Fingerprint> = self
            .alerts
            .iter()
            .filter(|(id, alert)| is_old(alert) && !grouped.contains(id) && !self.promises.has_open(**id))
            .map(|(id, _)| *id)
            .collect();
        for fingerprint in gone {
            if let Some(alert) = self.alerts.remove(&fingerprint) {
                self.history.expire(fingerprint, &alert, now_ms);
                self.history.forget_host(fingerprint);
                self.inhibitor.remove(fingerprint, &alert.labels);
                if let Some(n) = self.n_by_name.get_mut(alert.name()) {
                    *n -= 1;
                }
                self.journal.push(Record::AlertGone(fingerprint));
            }
        }
        self.promises.collect_garbage(now_ms);
        self.doubts.collect_garbage(|id| self.alerts.contains_key(id));
        self.claims.collect_garbage(now_ms);
        self.forget_watches(now_ms);
        self.forget_acks(now_ms);
        self.forget_flaps(now_ms);
        self.journal.push(Record::Alive(now_ms));
    }
}

#[cfg(test)]
mod tests;
