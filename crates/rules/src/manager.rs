//! All groups: when each is due, reloads, and what the API shows.
//!
//! In from the binary (reload) and [`crate::driver`] (due groups, the time); out to groups.
//! Sync; may be shared between threads: groups run side by side, one group never twice at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use model::Labels;
use parking_lot::{Mutex, RwLock};
use promql::{CancelToken, QueryOrigin};
use stdx::metrics::Registry;
use tracing::info_span;

use crate::env::{Env, Options};
use crate::file::GroupSpec;
use crate::grid::{first_after, key_of};
use crate::group::{GroupState, Round, mark_stale};
use crate::metrics::RuleMetrics;
use crate::query::Querier;
use crate::view::GroupView;

/// One group with its timetable.
pub(crate) struct GroupCell {
    spec: GroupSpec,
    /// `file;name`, for metrics.
    key: String,
    interval_ms: i64,
    /// The next time on its grid.
    next_ms: AtomicI64,
    /// Handed out by [`Manager::due`] and not yet through [`Manager::run`].
    is_running: AtomicBool,
    /// Taken out by a reload; must not run again.
    is_retired: AtomicBool,
    state: Mutex<GroupState>,
    view: RwLock<Arc<GroupView>>,
}

/// Sets the flag back when it goes.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Series of a removed group, ended two of its intervals later so that a group that takes them over goes on with them.
struct Removed {
    due_ms: i64,
    series: HashSet<Labels>,
}

/// All groups.
pub struct Manager {
    env: Env,
    options: RwLock<Arc<Options>>,
    groups: RwLock<Vec<Arc<GroupCell>>>,
    removed: Mutex<Vec<Removed>>,
    metrics: RuleMetrics,
    cancel: CancelToken,
    /// Held while rules are tried over stored history.
    replaying: Mutex<()>,
    /// Groups were loaded once, so those that come now have no state from before the restart to take up.
    was_loaded: AtomicBool,
    /// Told when the timetable changed.
    pub(crate) changed: tokio::sync::Notify,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("n_groups", &self.groups.read().len()).finish_non_exhaustive()
    }
}

impl Manager {
    /// Without groups; [`Manager::reload`] brings them.
    #[must_use]
    pub fn new(env: Env, registry: &Registry) -> Self {
        Self {
            env,
            options: RwLock::new(Arc::new(Options::default())),
            groups: RwLock::default(),
            removed: Mutex::default(),
            metrics: RuleMetrics::register(registry),
            cancel: CancelToken::new(),
            replaying: Mutex::default(),
            was_loaded: AtomicBool::new(false),
            changed: tokio::sync::Notify::new(),
        }
    }

    /// Takes `specs` in place of the groups there are. Groups that did not change go on untouched; of those that did,
    /// rules with the same name and labels keep their alerts. Waits for groups that change to finish evaluating.
    pub fn reload(&self, specs: Vec<GroupSpec>, options: Options, now_ms: i64) {
        let must_restore = !self.was_loaded.swap(true, Ordering::SeqCst);
        let default_interval_ms = options.interval_ms.max(1);
        *self.options.write() = Arc::new(options);
        let mut old: HashMap<String, Arc<GroupCell>> =
            self.groups.read().iter().map(|cell| (cell.key.clone(), Arc::clone(cell))).collect();
        let mut cells = Vec::with_capacity(specs.len());
        let mut specs = specs;
        specs.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        for spec in specs {
            let key = key_of(&spec.file, &spec.name);
            let interval_ms = spec.interval_ms.unwrap_or(default_interval_ms).max(1);
            let known = old.remove(&key);
            if let Some(known) =
                known.as_ref().filter(|cell| cell.spec == spec && cell.interval_ms == interval_ms)
            {
                cells.push(Arc::clone(known));
                continue;
            }
            let mut state = GroupState::new(&spec, must_restore);
            if let Some(known) = known {
                known.is_retired.store(true, Ordering::SeqCst);
                state.take_over(&mut known.state.lock());
            }
            self.metrics.group_interval.with(&[&key]).set(interval_ms as f64 / 1_000.0);
            self.metrics.group_rules.with(&[&key]).set(spec.rules.len() as f64);
            // Zeros from the start, so that rate() sees the first failure.
            for counters in
                [&self.metrics.failures, &self.metrics.iterations_missed, &self.metrics.evaluations]
            {
                counters.with(&[&key]);
            }
            cells.push(Arc::new(GroupCell {
                next_ms: AtomicI64::new(first_after(now_ms, interval_ms, &key)),
                view: RwLock::new(Arc::new(state.view(&spec, interval_ms))),
                state: Mutex::new(state),
                is_running: AtomicBool::new(false),
                is_retired: AtomicBool::new(false),
                spec,
                key,
                interval_ms,
            }));
        }
        *self.groups.write() = cells;
        for cell in old.into_values() {
            self.retire(&cell, now_ms);
        }
        self.changed.notify_one();
    }

    fn retire(&self, cell: &GroupCell, now_ms: i64) {
        cell.is_retired.store(true, Ordering::SeqCst);
        let series = cell.state.lock().stored();
        self.removed.lock().push(Removed { due_ms: now_ms + 2 * cell.interval_ms, series });
        self.metrics.remove_group(&cell.key);
    }

    /// When something is due next, Unix milliseconds; `i64::MAX` for never. Groups being evaluated do not count.
    #[must_use]
    pub fn next_deadline_ms(&self) -> i64 {
        let groups = self.groups.read();
        let waiting = groups.iter().filter(|cell| !cell.is_running.load(Ordering::SeqCst));
        let next = waiting.map(|cell| cell.next_ms.load(Ordering::SeqCst)).min().unwrap_or(i64::MAX);
        let removed = self.removed.lock().iter().map(|removed| removed.due_ms).min();
        next.min(removed.unwrap_or(i64::MAX))
    }

    /// Evaluates every group that is due, one after another.
    pub fn poll(&self, now_ms: i64) {
        for cell in self.due(now_ms, usize::MAX) {
            self.run(&cell, now_ms);
        }
        self.end_removed(now_ms);
    }

    /// At most `n_max` groups that are due and not being evaluated at this moment; each must go through
    /// [`Manager::run`] before it is handed out again.
    pub(crate) fn due(&self, now_ms: i64, n_max: usize) -> Vec<Arc<GroupCell>> {
        let groups = self.groups.read();
        let due = groups.iter().filter(|cell| {
            let next_ms = cell.next_ms.load(Ordering::SeqCst);
            // The clock was set back by more than an interval: begin anew rather than wait.
            if next_ms - now_ms > 2 * cell.interval_ms {
                cell.next_ms.store(first_after(now_ms, cell.interval_ms, &cell.key), Ordering::SeqCst);
                return false;
            }
            next_ms <= now_ms && !cell.is_running.swap(true, Ordering::SeqCst)
        });
        due.take(n_max).cloned().collect()
    }

    /// Evaluates one group at the latest time on its grid that has come; earlier ones not yet evaluated are missed.
    pub(crate) fn run(&self, cell: &GroupCell, now_ms: i64) {
        // Also when a rule panics: the group runs again next time.
        let _running = Running(&cell.is_running);
        self.evaluate(cell, now_ms);
    }

    fn evaluate(&self, cell: &GroupCell, now_ms: i64) {
        let mut state = cell.state.lock();
        let next_ms = cell.next_ms.load(Ordering::SeqCst);
        if next_ms > now_ms || cell.is_retired.load(Ordering::SeqCst) {
            return;
        }
        let n_missed = (now_ms - next_ms) / cell.interval_ms;
        let at_ms = next_ms + n_missed * cell.interval_ms;
        cell.next_ms.store(at_ms + cell.interval_ms, Ordering::SeqCst);
        self.metrics.iterations.with(&[&cell.key]).add(n_missed.unsigned_abs() + 1);
        self.metrics.iterations_missed.with(&[&cell.key]).add(n_missed.unsigned_abs());
        let (name, file) = (cell.spec.name.as_str(), cell.spec.file.as_str());
        let interval_ms = cell.interval_ms;
        let _span = info_span!("rule group", name, file, interval_ms, otel.start_ms = at_ms).entered();
        // From the scheduled time until now.
        drop(info_span!("scheduleDelay", otel.start_ms = at_ms));
        let options = Arc::clone(&self.options.read());
        let round = Round {
            spec: &cell.spec,
            key: &cell.key,
            env: &self.env,
            options: &options,
            metrics: &self.metrics,
            querier: Querier {
                engine: options.engine.clone(),
                queryable: Arc::clone(&self.env.queryable),
                clock: Arc::clone(&self.env.clock),
                cancel: self.cancel.clone(),
                origin: QueryOrigin::Rule { file: cell.spec.file.clone(), group: cell.spec.name.clone() },
            },
            interval_ms: cell.interval_ms,
            at_ms,
            now_ms,
        };
        state.evaluate(&round);
        *cell.view.write() = Arc::new(state.view(&cell.spec, cell.interval_ms));
    }

    /// Held while rules are tried over stored history.
    pub(crate) fn replaying(&self) -> &Mutex<()> {
        &self.replaying
    }

    /// What rules work on.
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// What the configuration says now.
    pub(crate) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read())
    }

    /// The groups that are loaded, each with its interval in milliseconds.
    pub(crate) fn loaded(&self) -> Vec<(GroupSpec, i64)> {
        self.groups.read().iter().map(|cell| (cell.spec.clone(), cell.interval_ms)).collect()
    }

    /// Whether series of removed groups are to be ended.
    pub(crate) fn has_removed(&self, now_ms: i64) -> bool {
        self.removed.lock().iter().any(|removed| removed.due_ms <= now_ms)
    }

    /// Ends the series of removed groups whose time has come, but for those that another group goes on with.
    pub(crate) fn end_removed(&self, now_ms: i64) {
        let due: Vec<Removed> = {
            let mut removed = self.removed.lock();
            removed.extract_if(.., |removed| removed.due_ms <= now_ms).collect()
        };
        for removed in due {
            let groups = self.groups.read().clone();
            let taken_over = |labels: &Labels| groups.iter().any(|cell| cell.state.lock().stores(labels));
            let gone = removed.series.into_iter().filter(|labels| !taken_over(labels)).collect();
            mark_stale(&*self.env.appendable, gone, now_ms, now_ms);
        }
    }

    /// Ends running queries, for a quick stop. Nothing is evaluated from now on.
    pub fn stop(&self) {
        self.cancel.cancel();
    }

    /// All groups by file and name, as of their last evaluation.
    #[must_use]
    pub fn views(&self) -> Vec<Arc<GroupView>> {
        self.groups.read().iter().map(|cell| Arc::clone(&cell.view.read())).collect()
    }
}
