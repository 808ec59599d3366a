//! Recording rules over stored history, while the server serves: one backfill at a time, with progress, to be cancelled at any time.
//!
//! In from the API ([`Backfills::prepare`], then [`Backfills::run`] on a thread that may block); out to the store. What a restart cuts off
//! is gone on with ([`Backfills::resume`]), from what docs/formats/rule-backfill.md says is on disk.

mod order;
mod progress;
mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::TimeRange;
use parking_lot::Mutex;
use promql::{CancelToken, Engine};
use serde::{Deserialize, Serialize};

use self::order::Order;
pub use self::progress::ProgressFile;
use self::progress::{Progress, resumed};
use self::run::{End, GroupPlan, Run};
use crate::file::{GroupSpec, RuleSpec, parse_file};
use crate::manager::Manager;

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BackfillRequest {
    /// Times of samples, inclusive, Unix milliseconds.
    pub start_ms: i64,
    /// As above; not ahead of now.
    pub end_ms: i64,
    /// Only groups of this file; with `rules`, the file's name for the group's place in time.
    pub file: String,
    /// Only groups of these names; all when empty.
    pub groups: Vec<String>,
    /// Only rules of these names; all when empty.
    pub records: Vec<String>,
    /// A rule file to take them from, instead of those that are loaded.
    pub rules: Option<String>,
    /// For groups of `rules` that name no interval, milliseconds; `None` for the server's.
    pub interval_ms: Option<i64>,
}

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackfillState {
    /// Under way.
    #[default]
    Running,
    /// Every step was evaluated; some may have failed, as they would have live.
    Done,
    /// It could not go on.
    Failed,
    /// Ended by request.
    Cancelled,
}

impl BackfillState {
    /// As the API names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A backfill as people see it.
#[derive(Debug, Clone, Default)]
pub struct BackfillStatus {
    /// Whether it runs.
    pub state: BackfillState,
    /// Which rules, as group and name.
    pub rules: Vec<(String, String)>,
    /// From when, Unix milliseconds.
    pub start_ms: i64,
    /// To when, Unix milliseconds.
    pub end_ms: i64,
    /// When it was asked for, Unix milliseconds.
    pub started_at_ms: i64,
    /// Evaluations to be made, one for each rule and time.
    pub n_steps: u64,
    /// Of these, made.
    pub n_done: u64,
    /// Samples written, markers of ends included.
    pub n_samples: u64,
    /// Samples that were there already.
    pub n_here: u64,
    /// Evaluations that failed.
    pub n_failed: u64,
    /// Samples that the store did not take.
    pub n_refused: u64,
    /// Alerting rules that were left out.
    pub n_alerting: u64,
    /// Seconds until it ends, by how fast it was so far.
    pub eta_seconds: Option<u64>,
    /// The rule that was evaluated last.
    pub current: String,
    /// The last thing that went wrong.
    pub error: Option<String>,
}

/// Shared by the one who works and those who watch.
#[derive(Debug)]
struct Tracker {
    status: Mutex<BackfillStatus>,
    cancel: CancelToken,
    /// The process ends: what is left is for the next one.
    stops: AtomicBool,
    /// On the monotonic clock.
    began: Duration,
}

impl Tracker {
    fn update(&self, change: impl FnOnce(&mut BackfillStatus)) {
        change(&mut self.status.lock());
    }
}

/// Work that was checked and is the one that runs now; must go through [`Backfills::run`].
pub struct Prepared {
    groups: Vec<GroupPlan>,
    range: TimeRange,
    order: Order,
    engine: Engine,
    progress: Progress,
    tracker: Arc<Tracker>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("range", &self.range).finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Backfills {
    manager: Arc<Manager>,
    file: Option<ProgressFile>,
    newest: Mutex<Option<Arc<Tracker>>>,
}

impl Backfills {
    /// Over the rules, engine and store of `manager`; without `file` a restart ends what runs.
    #[must_use]
    pub fn new(manager: Arc<Manager>, file: Option<ProgressFile>) -> Self {
        Self { manager, file, newest: Mutex::default() }
    }

    /// What the process before this one had not ended, to be run as what [`Backfills::prepare`] gives. To be called once rules are loaded.
    #[must_use]
    pub fn resume(&self) -> Option<Prepared> {
        let file = self.file.as_ref()?;
        let request = resumed(file.read()?);
        match self.prepare(&request) {
            Ok((prepared, _)) => {
                tracing::info!(
                    from_ms = request.start_ms,
                    to_ms = request.end_ms,
                    "a backfill of rules goes on"
                );
                Some(prepared)
            }
            Err(why) => {
                tracing::warn!(why, "a backfill of rules that a restart cut off cannot go on");
                file.remove();
                None
            }
        }
    }

    /// Checks what is wanted and enters it as the one that runs.
    ///
    /// # Errors
    /// For people: nothing fits, a rule file is wrong, or a backfill is running.
    pub fn prepare(&self, request: &BackfillRequest) -> Result<(Prepared, BackfillStatus), String> {
        let now_ms = self.manager.env().clock.now_ms();
        let &BackfillRequest { start_ms, end_ms, .. } = request;
        if end_ms > now_ms {
            return Err("the end lies in the future: rules write there by themselves".to_owned());
        }
        if start_ms > end_ms {
            return Err("the start lies behind the end".to_owned());
        }
        let (mut groups, n_alerting) = self.groups(request)?;
        groups.retain(|group| !group.rules.is_empty());
        if groups.is_empty() {
            return Err(
                "there is no such recording rule: see /api/v1/rules for those that are loaded".to_owned()
            );
        }
        let range = TimeRange::new(start_ms, end_ms);
        let order = order::arrange(&mut groups);
        let n_steps = |group: &GroupPlan| group.steps(range).n.unsigned_abs() * group.rules.len() as u64;
        let names = groups
            .iter()
            .flat_map(|group| group.rules.iter().map(|rule| (group.spec.name.clone(), rule.record.clone())));
        let status = BackfillStatus {
            rules: names.collect(),
            start_ms,
            end_ms,
            started_at_ms: now_ms,
            n_steps: groups.iter().map(n_steps).sum(),
            n_alerting,
            ..BackfillStatus::default()
        };
        let mut newest = self.newest.lock();
        if newest.as_ref().is_some_and(|job| job.status.lock().state == BackfillState::Running) {
            return Err("a backfill is running; wait for it, or cancel it with DELETE".to_owned());
        }
        let began = self.manager.env().clock.monotonic();
        let status_now = Mutex::new(status.clone());
        let (cancel, stops) = (CancelToken::new(), AtomicBool::new(false));
        let tracker = Tracker { status: status_now, cancel, stops, began };
        let tracker = Arc::new(tracker);
        *newest = Some(Arc::clone(&tracker));
        // What is kept of range queries is for those who look again; these do not.
        let engine = self.manager.options().engine.clone().with_cache(None);
        let progress = Progress::new(self.file.clone(), request);
        Ok((Prepared { groups, range, order, engine, progress, tracker }, status))
    }

    /// The groups that are wanted, and how many alerting rules stand in them.
    fn groups(&self, request: &BackfillRequest) -> Result<(Vec<GroupPlan>, u64), String> {
        let options = self.manager.options();
        let specs: Vec<(GroupSpec, i64)> = match &request.rules {
            None => self.manager.loaded(),
            Some(text) => {
                let file = if request.file.is_empty() { "backfill" } else { &request.file };
                let groups = parse_file(file, text).map_err(|errors| {
                    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                })?;
                for rule in groups.iter().flat_map(|group| &group.rules) {
                    let checked = options.engine.options().features.check(&rule.expr().expr);
                    checked.map_err(|err| format!("rule {:?}: {err}", rule.name()))?;
                }
                let default_ms = request.interval_ms.unwrap_or(options.interval_ms).max(1);
                groups
                    .into_iter()
                    .map(|spec| (spec.interval_ms.unwrap_or(default_ms).max(1), spec))
                    .map(|(ms, spec)| (spec, ms))
                    .collect()
            }
        };
        let is_wanted = |name: &str, list: &[String]| list.is_empty() || list.iter().any(|one| one == name);
        let wanted = specs.into_iter().filter(|(spec, _)| {
            is_wanted(&spec.name, &request.groups) && (request.file.is_empty() || spec.file == request.file)
        });
        let mut n_alerting = 0;
        let plans = wanted.map(|(spec, interval_ms)| {
            n_alerting += spec.rules.iter().filter(|rule| matches!(rule, RuleSpec::Alerting { .. })).count();
            let offset_ms = spec.query_offset_ms.unwrap_or(options.query_offset_ms);
            let phase_ms = spec.phase_ms(interval_ms);
            GroupPlan::new(spec, interval_ms, phase_ms, offset_ms, &|record| {
                is_wanted(record, &request.records)
            })
        });
        let plans: Vec<GroupPlan> = plans.collect();
        Ok((plans, n_alerting as u64))
    }

    /// Does the work; returns when it has ended. Blocks.
    pub fn run(&self, prepared: Prepared) {
        let Prepared { mut groups, range, order, engine, progress, tracker } = prepared;
        // Also when an evaluation panics, the next one may begin.
        let _ended = Ended(&tracker);
        let run = Run {
            env: self.manager.env(),
            engine: &engine,
            cancel: &tracker.cancel,
            tracker: &tracker,
            progress: &progress,
        };
        let ended = run.run(&mut groups, range, order);
        if !tracker.stops.load(Ordering::SeqCst) {
            progress.ended();
        }
        tracker.update(|status| {
            status.state = match ended {
                Ok(()) => BackfillState::Done,
                Err(End::Cancelled) => BackfillState::Cancelled,
                Err(End::Failed(why)) => {
                    status.error = Some(why);
                    BackfillState::Failed
                }
            };
            let (state, n_samples, n_here) = (status.state.name(), status.n_samples, status.n_here);
            tracing::info!(
                state,
                n_samples,
                n_here,
                failed = status.n_failed,
                error = status.error,
                "backfill of rules ended"
            );
        });
    }

    /// The newest one.
    #[must_use]
    pub fn status(&self) -> Option<BackfillStatus> {
        let tracker = self.newest.lock().clone()?;
        let mut status = tracker.status.lock().clone();
        if status.state == BackfillState::Running && status.n_done > 0 {
            let elapsed = self.manager.env().clock.monotonic().saturating_sub(tracker.began).as_secs_f64();
            let left = status.n_steps.saturating_sub(status.n_done) as f64;
            status.eta_seconds = Some((left * elapsed / status.n_done as f64).ceil() as u64);
        }
        Some(status)
    }

    /// Ends the one that runs, since the process does; the next one may [resume](Backfills::resume) it.
    pub fn stop(&self) {
        if let Some(job) = self.newest.lock().as_ref() {
            job.stops.store(true, Ordering::SeqCst);
            job.cancel.cancel();
        }
    }

    /// Ends the one that runs; what it wrote stays.
    pub fn cancel(&self) -> Option<BackfillStatus> {
        self.newest.lock().as_ref()?.cancel.cancel();
        self.status()
    }
}

/// Says that the work is over, whatever ended it.
struct Ended<'a>(&'a Tracker);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.update(|status| {
            if status.state == BackfillState::Running {
                status.state = BackfillState::Failed;
                status.error = Some("it ended by a panic; see the log".to_owned());
            }
        });
    }
}
