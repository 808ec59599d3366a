//! Alerting rules over stored history: when they would have fired, had they been there then.
//!
//! In from the API: a rule file, or an expression with its `for`; out: firings with their beginning, end, labels and peak. The state
//! machine, labels and what vanishes are those of the live rule ([`crate::alerting`]); only the expression is asked for many times at once.
//! Nothing is stored and nobody is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use promql::{CancelToken, Expr, MatrixSeries, QueryOrigin, RangeParams};

use crate::alerting::{AlertingRule, FiringNow, Surroundings};
use crate::env::Options;
use crate::file::{Expression, GroupSpec, RuleSpec, parse_file};
use crate::manager::Manager;
use crate::measure::Measure;
use crate::no_data::NoDataSpec;
use crate::query::{Querier, Sample};
use crate::template::{Scene, functions};

/// Evaluations of one request at most. Chosen: two weeks of one rule at fifteen seconds.
pub const REPLAY_STEPS_MAX: i64 = 100_000;
/// Firings that are listed of each rule; all are counted. Chosen: more nobody reads.
pub const REPLAY_FIRINGS_MAX: usize = 1_000;
/// How long one request may take. Chosen: below the time that proxies wait.
const TIMEOUT: Duration = Duration::from_secs(50);
/// Steps of one query. Chosen: as of a backfill.
const STEPS_AT_ONCE: i64 = 240;
/// How long before the start a rule is run at most, so that it is at the start in the state it would have been in. Chosen.
const WARM_UP_MS_MAX: i64 = 24 * 3_600_000;
/// The group and the alert of an expression without a name.
const NAMELESS: &str = "tried";

/// What is to be tried.
#[derive(Debug, Clone)]
pub enum ReplayRules {
    /// The text of a rule file; recording rules in it are left out.
    File {
        /// Its name, for errors.
        name: String,
        /// Its text.
        text: String,
    },
    /// One expression.
    Expression {
        /// PromQL.
        expr: String,
        /// The alert's name; may be empty.
        alert: String,
        /// `for`, milliseconds.
        hold_ms: i64,
        /// `keep_firing_for`, milliseconds.
        keep_firing_ms: i64,
    },
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// Unix milliseconds.
    pub start_ms: i64,
    /// Unix milliseconds, inclusive.
    pub end_ms: i64,
    /// Which rules.
    pub rules: ReplayRules,
    /// How often, for groups that do not say, milliseconds; `None` for the server's interval.
    pub interval_ms: Option<i64>,
}

/// An alert that would have fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Firing {
    /// Of the alert, external labels not added.
    pub labels: Labels,
    /// Since when its expression held, Unix milliseconds.
    pub active_at_ms: i64,
    /// When it began to fire, Unix milliseconds.
    pub start_ms: i64,
    /// When it ended; `None` when it fired still at the end of the range.
    pub end_ms: Option<i64>,
    /// The worst value while its expression held.
    pub peak: f64,
}

impl Firing {
    /// How long it lasted, as far as the range goes.
    fn lasted_ms(&self, range_end_ms: i64) -> i64 {
        self.end_ms.unwrap_or(range_end_ms).saturating_sub(self.start_ms).max(0)
    }
}

/// What a rule would have done.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// Its group.
    pub group: String,
    /// The alert's name.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// How often it was evaluated, milliseconds.
    pub interval_ms: i64,
    /// Evaluations.
    pub n_evaluations: u64,
    /// Evaluations that failed, as they would have live.
    pub n_failed: u64,
    /// The first thing that went wrong.
    pub error: Option<String>,
    /// By beginning; the first [`REPLAY_FIRINGS_MAX`].
    pub firings: Vec<Firing>,
    /// How many there were.
    pub n_firings: u64,
    /// Half of them lasted longer, milliseconds.
    pub median_ms: i64,
    /// The longest, milliseconds.
    pub longest_ms: i64,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// What was asked for cannot be done; says why.
    #[error("{0}")]
    Bad(String),
    /// Another one runs.
    #[error("another rule is being tried on this server; try again in a moment")]
    Busy,
    /// [`TIMEOUT`]
    #[error("not done within {} s: ask for a shorter range, or a longer interval", TIMEOUT.as_secs())]
    TooSlow,
}

impl Manager {
    /// Tries rules over stored history. Blocks; one request at a time.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn replay(&self, request: &ReplayRequest) -> Result<Vec<Replayed>, ReplayError> {
        let _one = self.replaying().try_lock().ok_or(ReplayError::Busy)?;
        let options = self.options();
        if request.start_ms >= request.end_ms {
            return Err(ReplayError::Bad("the start must lie before the end".to_owned()));
        }
        let default_ms = request.interval_ms.unwrap_or(options.interval_ms).max(1);
        let groups = groups(request, &options)?;
        let deadline = self.env().clock.monotonic().saturating_add(TIMEOUT);
        let mut plans = Vec::new();
        for spec in &groups {
            let interval_ms = spec.interval_ms.unwrap_or(default_ms);
            for rule in &spec.rules {
                plans.extend(Plan::new(self, &options, spec, rule, interval_ms, request));
            }
        }
        if plans.is_empty() {
            return Err(ReplayError::Bad("there is no alerting rule in it".to_owned()));
        }
        let n_steps: i64 = plans.iter().map(Plan::n_steps).sum();
        if n_steps > REPLAY_STEPS_MAX {
            return Err(ReplayError::Bad(format!(
                "{n_steps} evaluations are more than {REPLAY_STEPS_MAX}: ask for a shorter range, or a longer interval"
            )));
        }
        let is_late = || self.env().clock.monotonic() > deadline;
        plans.into_iter().map(|plan| plan.run(&is_late)).collect()
    }
}

fn groups(request: &ReplayRequest, options: &Options) -> Result<Vec<GroupSpec>, ReplayError> {
    match &request.rules {
        ReplayRules::File { name, text } => parse_file(name, text).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            ReplayError::Bad(errors.join("; "))
        }),
        ReplayRules::Expression { expr, alert, hold_ms, keep_firing_ms } => {
            let parsed = options.engine.parse(expr).map_err(|err| ReplayError::Bad(err.to_string()))?;
            let alert = if alert.is_empty() { NAMELESS } else { alert };
            let rule = RuleSpec::Alerting {
                alert: alert.to_owned(),
                expr: Expression { text: expr.clone(), expr: Arc::new(parsed) },
                hold_ms: *hold_ms,
                keep_firing_ms: *keep_firing_ms,
                no_data: NoDataSpec::default(),
                labels: BTreeMap::new(),
                annotations: BTreeMap::new(),
            };
            Ok(vec![GroupSpec {
                file: String::new(),
                name: NAMELESS.to_owned(),
                interval_ms: None,
                query_offset_ms: None,
                limit: 0,
                rules: vec![rule],
            }])
        }
    }
}

/// One rule on its way through time.
struct Plan<'a> {
    expr: Arc<Expr>,
    rule: AlertingRule,
    querier: Querier,
    options: &'a Options,
    limit: usize,
    offset_ms: i64,
    interval_ms: i64,
    first_ms: i64,
    range: (i64, i64),
    open: HashMap<Labels, Firing>,
    lasted_ms: Vec<i64>,
    done: Replayed,
}

impl<'a> Plan<'a> {
    fn new(
        manager: &Manager,
        options: &'a Options,
        spec: &GroupSpec,
        rule: &RuleSpec,
        interval_ms: i64,
        request: &ReplayRequest,
    ) -> Option<Self> {
        let RuleSpec::Alerting { alert, expr, hold_ms, keep_firing_ms, no_data, labels, .. } = rule else {
            return None;
        };
        let env = manager.env();
        let warm_up_ms = (hold_ms + keep_firing_ms + interval_ms).min(WARM_UP_MS_MAX);
        let phase_ms = spec.phase_ms(interval_ms);
        let from_ms = request.start_ms.saturating_sub(warm_up_ms);
        let measure = (Measure::of(&expr.expr), *no_data);
        Some(Self {
            expr: Arc::clone(&expr.expr),
            // Annotations are read by people when it fires; they take no part in when it does.
            rule: AlertingRule::new(
                alert,
                *hold_ms,
                *keep_firing_ms,
                labels,
                &BTreeMap::new(),
                measure,
                true,
            ),
            querier: Querier {
                engine: options.engine.clone(),
                queryable: Arc::clone(&env.queryable),
                clock: Arc::clone(&env.clock),
                cancel: CancelToken::default(),
                origin: QueryOrigin::Rule { file: spec.file.clone(), group: spec.name.clone() },
            },
            options,
            limit: spec.limit,
            offset_ms: spec.query_offset_ms.unwrap_or(options.query_offset_ms),
            interval_ms,
            first_ms: from_ms + (phase_ms - from_ms).rem_euclid(interval_ms),
            range: (request.start_ms, request.end_ms),
            open: HashMap::new(),
            lasted_ms: Vec::new(),
            done: Replayed {
                group: spec.name.clone(),
                name: alert.clone(),
                query: expr.expr.to_string(),
                interval_ms,
                ..Replayed::default()
            },
        })
    }

    fn n_steps(&self) -> i64 {
        (self.range.1 - self.first_ms).max(0) / self.interval_ms + 1
    }

    fn run(mut self, is_late: &dyn Fn() -> bool) -> Result<Replayed, ReplayError> {
        let mut left = self.n_steps();
        let mut at_ms = self.first_ms;
        while left > 0 {
            let n = left.min(STEPS_AT_ONCE);
            self.steps(at_ms, n, is_late)?;
            at_ms += n * self.interval_ms;
            left -= n;
        }
        Ok(self.finish())
    }

    /// Some steps at once; where the query over all of them fails, over fewer, down to single steps.
    fn steps(&mut self, first_ms: i64, n: i64, is_late: &dyn Fn() -> bool) -> Result<(), ReplayError> {
        if is_late() {
            return Err(ReplayError::TooSlow);
        }
        match self.vectors(first_ms, n) {
            Ok(vectors) => {
                for (idx, samples) in vectors.into_iter().enumerate() {
                    let at_ms = first_ms + idx as i64 * self.interval_ms;
                    let advanced = self.advance(samples, at_ms);
                    self.count(advanced, at_ms);
                }
            }
            Err(why) if n == 1 => self.count(Err(why), first_ms),
            Err(_) => {
                let half = n / 2;
                self.steps(first_ms, half, is_late)?;
                self.steps(first_ms + half * self.interval_ms, n - half, is_late)?;
            }
        }
        Ok(())
    }

    /// What the expression gives at each step.
    fn vectors(&self, first_ms: i64, n: i64) -> Result<Vec<Vec<Sample>>, String> {
        let start_ms = first_ms - self.offset_ms;
        if n == 1 {
            return Ok(vec![self.querier.vector(&self.expr, start_ms)?]);
        }
        let end_ms = start_ms + (n - 1) * self.interval_ms;
        let series =
            self.querier.matrix(&self.expr, RangeParams { start_ms, end_ms, step_ms: self.interval_ms })?;
        let mut vectors = vec![Vec::new(); usize::try_from(n).unwrap_or(0)];
        let step = |t_ms: i64| usize::try_from((t_ms - start_ms) / self.interval_ms).unwrap_or(0);
        for MatrixSeries { labels, points, histograms } in series {
            for (t_ms, value) in points {
                vectors[step(t_ms)].push(Sample::float(labels.clone(), value));
            }
            for (t_ms, histogram) in histograms {
                let sample = Sample { labels: labels.clone(), value: 0.0, histogram: Some(histogram) };
                vectors[step(t_ms)].push(sample);
            }
        }
        Ok(vectors)
    }

    /// One evaluation, as [`crate::group`] makes it.
    fn advance(&mut self, mut samples: Vec<Sample>, at_ms: i64) -> Result<(), String> {
        let sample_ms = at_ms - self.offset_ms;
        if let Some(measure) = self.rule.wanted_presence(&samples) {
            let present = self.querier.vector(&measure, sample_ms)?;
            self.rule.add_vanished(&mut samples, &present, at_ms);
        }
        let scene = Scene {
            querier: self.querier.clone(),
            t_ms: sample_ms,
            external_url: self.options.external_url.clone(),
        };
        let needs_functions = self.rule.has_templates() && !samples.is_empty();
        let functions = functions(needs_functions.then_some(&scene));
        let around = Surroundings {
            functions: &functions,
            external_labels: &self.options.external_labels,
            external_url: &self.options.external_url,
        };
        self.rule.advance(&samples, &around, at_ms, self.limit).map(drop)
    }

    /// Takes note of what an evaluation came to.
    fn count(&mut self, advanced: Result<(), String>, at_ms: i64) {
        self.done.n_evaluations += 1;
        if let Err(why) = advanced {
            self.done.n_failed += 1;
            self.done.error.get_or_insert(why);
        }
        let firing: HashMap<&Labels, FiringNow> = self.rule.firing().collect();
        let ended: Vec<Labels> =
            self.open.keys().filter(|labels| !firing.contains_key(labels)).cloned().collect();
        for (labels, now) in firing {
            let firing = self.open.entry(labels.clone()).or_insert_with(|| Firing {
                labels: labels.clone(),
                active_at_ms: now.active_at_ms,
                start_ms: at_ms,
                end_ms: None,
                peak: now.peak,
            });
            firing.peak = now.peak;
        }
        for labels in ended {
            if let Some(firing) = self.open.remove(&labels) {
                self.keep(Firing { end_ms: Some(at_ms), ..firing });
            }
        }
    }

    /// Keeps what touches the range.
    fn keep(&mut self, firing: Firing) {
        if firing.end_ms.is_some_and(|end_ms| end_ms <= self.range.0) {
            return;
        }
        self.lasted_ms.push(firing.lasted_ms(self.range.1));
        self.done.firings.push(firing);
    }

    fn finish(mut self) -> Replayed {
        let open: Vec<Firing> = self.open.drain().map(|(_, firing)| firing).collect();
        open.into_iter().for_each(|firing| self.keep(firing));
        self.lasted_ms.sort_unstable();
        let mut done = self.done;
        done.n_firings = done.firings.len() as u64;
        done.median_ms = self.lasted_ms.get(self.lasted_ms.len() / 2).copied().unwrap_or(0);
        done.longest_ms = self.lasted_ms.last().copied().unwrap_or(0);
        done.firings.sort_by(|a, b| (a.start_ms, &a.labels).cmp(&(b.start_ms, &b.labels)));
        done.firings.truncate(REPLAY_FIRINGS_MAX);
        done
    }
}
