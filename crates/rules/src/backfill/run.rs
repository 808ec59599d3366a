//! Evaluates recording rules at times that have passed and stores what is missing: what the rules would have written live.
//!
//! In from [`super::Backfills`]; out to the store, window by window. A sample that is there already stays as it is, so that a second
//! run writes nothing. Memory holds one rule's results of one window.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::{Histogram, Labels, Matcher, STALE_NAN, TimeRange};
use promql::{CancelToken, Engine, Expr, MatrixSeries, QueryOrigin, RangeParams};
use storage::{AppendError, SelectHints};

use super::Tracker;
use super::order::Order;
use super::progress::Progress;
use crate::env::Env;
use crate::file::{GroupSpec, RuleSpec};
use crate::query::{Querier, Sample};
use crate::recording;

/// So much time is evaluated of one rule before the next one follows. Chosen: a block of Prometheus.
pub(super) const WINDOW_MS: i64 = 2 * 60 * 60 * 1_000;
/// Steps of one query at most. Chosen: what it holds stays small; more than that and the time per step no longer falls.
const STEPS_MAX: i64 = 240;

/// A recording rule of the plan.
pub(super) struct RulePlan {
    pub(super) record: String,
    pub(super) expr: Arc<Expr>,
    labels: BTreeMap<String, String>,
    /// What the step before stored: what is missing at the next gets a staleness marker.
    stored: HashSet<Labels>,
}

/// A group of the plan, with its grid of times.
pub(super) struct GroupPlan {
    pub(super) spec: GroupSpec,
    pub(super) rules: Vec<RulePlan>,
    /// Rules read what they wrote a step before: one step at a time.
    pub(super) stepwise: bool,
    interval_ms: i64,
    /// How far samples lie behind the time of their evaluation.
    offset_ms: i64,
    /// Times of samples are this, modulo the interval.
    phase_ms: i64,
}

impl GroupPlan {
    /// The recording rules of `spec` that `is_wanted`. `at_phase_ms` is where evaluations lie on the group's grid.
    pub(super) fn new(
        spec: GroupSpec,
        interval_ms: i64,
        at_phase_ms: i64,
        offset_ms: i64,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Self {
        let rules = spec.rules.iter().filter_map(|rule| match rule {
            RuleSpec::Recording { record, expr, labels } if is_wanted(record) => Some(RulePlan {
                record: record.clone(),
                expr: Arc::clone(&expr.expr),
                labels: labels.clone(),
                stored: HashSet::new(),
            }),
            _ => None,
        });
        let phase_ms = (at_phase_ms - offset_ms).rem_euclid(interval_ms);
        Self { rules: rules.collect(), spec, stepwise: false, interval_ms, offset_ms, phase_ms }
    }

    /// Its times within `range`.
    pub(super) fn steps(&self, range: TimeRange) -> Steps {
        let ahead_ms = (self.phase_ms - range.start_ms).rem_euclid(self.interval_ms);
        let first_ms = range.start_ms + ahead_ms;
        let n = if first_ms > range.end_ms { 0 } else { (range.end_ms - first_ms) / self.interval_ms + 1 };
        Steps { first_ms, n, interval_ms: self.interval_ms }
    }
}

/// Equally spaced times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) first_ms: i64,
    pub(super) n: i64,
    interval_ms: i64,
}

impl Steps {
    fn at(self, idx: i64) -> i64 {
        self.first_ms + idx * self.interval_ms
    }

    fn last_ms(self) -> i64 {
        self.at(self.n - 1)
    }

    fn index(self, t_ms: i64) -> usize {
        ((t_ms - self.first_ms) / self.interval_ms).max(0) as usize
    }

    /// The first `n` of them, and the others.
    fn split(self, n: i64) -> (Self, Self) {
        (Self { n, ..self }, Self { first_ms: self.at(n), n: self.n - n, ..self })
    }
}

/// Why a run ends before its end.
#[derive(Debug)]
pub(super) enum End {
    /// It was told to.
    Cancelled,
    /// The store cannot go on.
    Failed(String),
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) env: &'a Env,
    pub(super) engine: &'a Engine,
    pub(super) cancel: &'a CancelToken,
    pub(super) tracker: &'a Tracker,
    pub(super) progress: &'a Progress,
}

/// The results of one rule: by series, what it has at which step.
type Results = BTreeMap<Labels, BTreeMap<usize, Point>>;

enum Point {
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Run<'_> {
    /// Evaluates `groups` over `range`, in `order`.
    pub(super) fn run(&self, groups: &mut [GroupPlan], range: TimeRange, order: Order) -> Result<(), End> {
        let mut start_ms = range.start_ms;
        while start_ms <= range.end_ms {
            let next_ms = (start_ms.div_euclid(WINDOW_MS) + 1) * WINDOW_MS;
            let window = TimeRange::new(start_ms, range.end_ms.min(next_ms - 1));
            self.progress.reached(start_ms);
            match order {
                Order::Groups => groups.iter_mut().try_for_each(|group| self.group(group, window))?,
                Order::Times => self.together(groups, window)?,
            }
            start_ms = next_ms;
        }
        Ok(())
    }

    fn group(&self, group: &mut GroupPlan, window: TimeRange) -> Result<(), End> {
        let steps = group.steps(window);
        let one_by_one = if group.stepwise { 1 } else { STEPS_MAX };
        let mut left = steps;
        while left.n > 0 {
            let (now, rest) = left.split(one_by_one.min(left.n));
            for rule in &mut group.rules {
                self.rule(&group.spec, rule, now)?;
            }
            left = rest;
        }
        Ok(())
    }

    /// Group by group at each time, as they would have run.
    fn together(&self, groups: &mut [GroupPlan], window: TimeRange) -> Result<(), End> {
        let mut times: Vec<(i64, usize, Steps)> = Vec::new();
        for (idx, group) in groups.iter().enumerate() {
            let mut left = group.steps(window);
            while left.n > 0 {
                let (now, rest) = left.split(1);
                times.push((now.first_ms + group.offset_ms, idx, now));
                left = rest;
            }
        }
        times.sort_by_key(|(at_ms, idx, _)| (*at_ms, *idx));
        for (_, idx, now) in times {
            let group = &mut groups[idx];
            for rule in &mut group.rules {
                self.rule(&group.spec, rule, now)?;
            }
        }
        Ok(())
    }

    /// Some steps of one rule; where a query over all of them fails, over fewer, down to single steps.
    fn rule(&self, spec: &GroupSpec, rule: &mut RulePlan, steps: Steps) -> Result<(), End> {
        if self.cancel.is_canceled() {
            return Err(End::Cancelled);
        }
        if self.env.appendable.is_overloaded() {
            let why = "the store is short of memory; run it again later, it passes over what is there";
            return Err(End::Failed(why.to_owned()));
        }
        match self.results(spec, rule, steps) {
            Ok(results) => {
                self.store(rule, steps, results)?;
                self.tracker.update(|status| {
                    status.n_done += steps.n.unsigned_abs();
                    if status.current != rule.record {
                        status.current.clone_from(&rule.record);
                    }
                });
                Ok(())
            }
            Err(_) if self.cancel.is_canceled() => Err(End::Cancelled),
            Err(why) if steps.n == 1 => {
                // As live: the step is left out, and the next one that goes well is compared with the last one that did.
                self.tracker.update(|status| {
                    status.n_done += 1;
                    status.n_failed += 1;
                    status.error = Some(format!("{} at {}: {why}", rule.record, time(steps.first_ms)));
                });
                Ok(())
            }
            Err(_) => {
                let (first, second) = steps.split(steps.n / 2);
                self.rule(spec, rule, first)?;
                self.rule(spec, rule, second)
            }
        }
    }

    fn results(&self, spec: &GroupSpec, rule: &RulePlan, steps: Steps) -> Result<Results, String> {
        let querier = Querier {
            engine: self.engine.clone(),
            queryable: Arc::clone(&self.env.queryable),
            clock: Arc::clone(&self.env.clock),
            cancel: self.cancel.clone(),
            origin: QueryOrigin::Rule { file: spec.file.clone(), group: spec.name.clone() },
        };
        if steps.n == 1 {
            let samples = querier.vector(&rule.expr, steps.first_ms)?;
            let samples = recording::apply(&rule.record, &rule.labels, samples, spec.limit)?;
            let one = |sample: Sample| {
                let point = sample.histogram.map_or(Point::Float(sample.value), Point::Histogram);
                (sample.labels, BTreeMap::from([(0, point)]))
            };
            return Ok(samples.into_iter().map(one).collect());
        }
        let (start_ms, end_ms) = (steps.first_ms, steps.last_ms());
        let params = RangeParams { start_ms, end_ms, step_ms: steps.interval_ms };
        let results = renamed(rule, steps, querier.matrix(&rule.expr, params)?)?;
        if spec.limit > 0 {
            let mut counts = vec![0; steps.n as usize];
            results.values().flat_map(BTreeMap::keys).for_each(|&step| counts[step] += 1);
            // Which steps it is, single ones tell.
            if counts.iter().any(|&count| count > spec.limit) {
                return Err("exceeded limit".to_owned());
            }
        }
        Ok(results)
    }

    /// Stores what is not there yet, and staleness markers where a series ended.
    fn store(&self, rule: &mut RulePlan, steps: Steps, results: Results) -> Result<(), End> {
        let (last, n) = (steps.n as usize - 1, steps.n as usize);
        let gone = rule.stored.iter().filter(|labels| !results.contains_key(*labels)).cloned();
        let gone: Vec<Labels> = gone.collect();
        if results.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let present = self.present(rule, steps)?;
        let is_there = |labels: &Labels, t_ms: i64| {
            present.get(labels).is_some_and(|times| times.binary_search(&t_ms).is_ok())
        };
        let mut appender = self.env.appendable.appender(self.env.clock.now_ms());
        let (mut n_samples, mut n_here, mut refused) = (0, 0, Vec::new());
        let mut stored = HashSet::with_capacity(results.len());
        let mut put = |labels: &Labels, t_ms: i64, point: &Point| {
            if is_there(labels, t_ms) {
                n_here += 1;
                return;
            }
            let appended = match point {
                Point::Float(value) => appender.append(None, labels, t_ms, *value),
                Point::Histogram(histogram) => appender.append_histogram(None, labels, t_ms, 0, histogram),
            };
            match appended {
                Ok(_) => n_samples += 1,
                // The live rule came first, just now.
                Err(AppendError::DuplicateForTimestamp) => n_here += 1,
                Err(err) => refused.push(err),
            }
        };
        let stale = Point::Float(STALE_NAN);
        for (labels, points) in &results {
            let mut was_there = rule.stored.contains(labels);
            for step in 0..n {
                let point = points.get(&step);
                if let Some(point) = point.or(was_there.then_some(&stale)) {
                    put(labels, steps.at(step as i64), point);
                }
                was_there = point.is_some();
            }
            if points.contains_key(&last) {
                stored.insert(labels.clone());
            }
        }
        gone.iter().for_each(|labels| put(labels, steps.first_ms, &stale));
        appender
            .commit()
            .map_err(|err| End::Failed(format!("cannot store the results of {}: {err}", rule.record)))?;
        rule.stored = stored;
        self.tracker.update(|status| {
            status.n_samples += n_samples;
            status.n_here += n_here;
            status.n_refused += refused.len() as u64;
            if let Some(err) = refused.first() {
                let when = time(steps.first_ms);
                status.error =
                    Some(format!("the store refused samples of {} from {when} on: {err}", rule.record));
            }
        });
        Ok(())
    }

    /// The times that series of the rule's name have already.
    fn present(&self, rule: &RulePlan, steps: Steps) -> Result<HashMap<Labels, Vec<i64>>, End> {
        let range = TimeRange::new(steps.first_ms, steps.last_ms());
        let matchers = [Matcher::equal(METRIC_NAME, rule.record.as_str())];
        let failed = |err| End::Failed(format!("cannot read what there is of {}: {err}", rule.record));
        let hints = SelectHints::default();
        let mut set = self.env.queryable.select(&matchers, range, &hints).map_err(failed)?;
        let mut present = HashMap::new();
        while let Some(series) = set.next().map_err(failed)? {
            let mut times = series.timestamps.to_vec();
            times.extend(series.histograms.iter().map(|sample| sample.t_ms));
            times.sort_unstable();
            present.insert(series.labels, times);
        }
        Ok(present)
    }
}

/// `series` under the rule's name and labels. Two that become one must not meet at a step.
fn renamed(rule: &RulePlan, steps: Steps, series: Vec<MatrixSeries>) -> Result<Results, String> {
    let mut results = Results::new();
    for one in series {
        let labels = recording::renamed_labels(&rule.record, &rule.labels, &one.labels);
        let points = results.entry(labels).or_default();
        let floats = one.points.into_iter().map(|(t_ms, value)| (t_ms, Point::Float(value)));
        let histograms = one.histograms.into_iter().map(|(t_ms, it)| (t_ms, Point::Histogram(it)));
        for (t_ms, point) in floats.chain(histograms) {
            if points.insert(steps.index(t_ms), point).is_some() {
                return Err("two results with one label set".to_owned());
            }
        }
    }
    Ok(results)
}

fn time(t_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(t_ms).map_or_else(|_| t_ms.to_string(), |time| time.to_string())
}
