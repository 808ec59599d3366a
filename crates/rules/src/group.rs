//! One group: its rules evaluated in order, results stored before the next rule runs.
//!
//! In from [`crate::Manager`], with the time; out to the store and the alert sink.
//! Invariant: samples of one group carry rising times, on the grid of its interval.

use std::collections::HashSet;

use model::{Labels, STALE_NAN};
use storage::{AppendError, Appendable};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::alerting::{AlertingRule, Surroundings};
use crate::env::{Env, Options};
use crate::file::{Expression, GroupSpec, RuleSpec, label_set};
use crate::measure::Measure;
use crate::metrics::RuleMetrics;
use crate::query::{Querier, Sample};
use crate::recording;
use crate::restore::{self, Tolerance, restore};
use crate::template::{Scene, expression_link, functions};
use crate::view::{AlertState, AlertingView, GroupView, Health, RuleView};

/// A rule that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFailure {
    /// The rule's name.
    pub rule: String,
    /// Why.
    pub error: String,
}

/// A rule with what is known of it.
pub(crate) struct RuleState {
    spec: RuleSpec,
    /// The expression as the API and links show it.
    query: String,
    alerting: Option<AlertingRule>,
    health: Health,
    last_error: String,
    evaluation_seconds: f64,
    last_evaluation_ms: Option<i64>,
    /// What the last evaluation that went well stored; what is missing next time gets a staleness marker.
    stored: HashSet<Labels>,
}

impl RuleState {
    fn new(spec: &RuleSpec, is_restored: bool) -> Self {
        let alerting = match spec {
            RuleSpec::Recording { .. } => None,
            RuleSpec::Alerting { alert, expr, hold_ms, keep_firing_ms, no_data, labels, annotations } => {
                let measure = (Measure::of(&expr.expr), *no_data);
                let (hold_ms, keep_ms) = (*hold_ms, *keep_firing_ms);
                Some(AlertingRule::new(alert, hold_ms, keep_ms, labels, annotations, measure, is_restored))
            }
        };
        Self {
            spec: spec.clone(),
            query: spec.expr().expr.to_string(),
            alerting,
            health: Health::Unknown,
            last_error: String::new(),
            evaluation_seconds: 0.0,
            last_evaluation_ms: None,
            stored: HashSet::new(),
        }
    }

    fn is_same_rule(&self, other: &Self) -> bool {
        self.spec.is_alerting() == other.spec.is_alerting()
            && self.spec.name() == other.spec.name()
            && self.spec.labels() == other.spec.labels()
    }

    fn view(&self) -> RuleView {
        let alerting = match (&self.spec, &self.alerting) {
            (RuleSpec::Alerting { hold_ms, keep_firing_ms, no_data, annotations, .. }, Some(rule)) => {
                Some(AlertingView {
                    state: if self.last_evaluation_ms.is_some() { rule.state() } else { AlertState::Unknown },
                    hold_ms: *hold_ms,
                    keep_firing_ms: *keep_firing_ms,
                    no_data: *no_data,
                    annotations: label_set(annotations),
                    alerts: rule.views(),
                })
            }
            _ => None,
        };
        RuleView {
            name: self.spec.name().to_owned(),
            query: self.query.clone(),
            labels: label_set(self.spec.labels()),
            health: self.health,
            last_error: self.last_error.clone(),
            evaluation_seconds: self.evaluation_seconds,
            last_evaluation_ms: self.last_evaluation_ms,
            alerting,
        }
    }
}

/// A group's state, changed only while it is being evaluated or taken over by a reload.
pub(crate) struct GroupState {
    rules: Vec<RuleState>,
    /// Series of rules that a reload took away; they get staleness markers.
    orphans: HashSet<Labels>,
    /// State from before the restart is still to be taken up.
    must_restore: bool,
    n_iterations: u64,
    evaluation_seconds: f64,
    last_evaluation_ms: Option<i64>,
}

/// What one evaluation needs.
pub(crate) struct Round<'a> {
    pub(crate) spec: &'a GroupSpec,
    pub(crate) key: &'a str,
    pub(crate) env: &'a Env,
    pub(crate) options: &'a Options,
    pub(crate) metrics: &'a RuleMetrics,
    pub(crate) querier: Querier,
    pub(crate) interval_ms: i64,
    /// The time on the grid.
    pub(crate) at_ms: i64,
    /// The time now, a little later.
    pub(crate) now_ms: i64,
}

impl GroupState {
    pub(crate) fn new(spec: &GroupSpec, must_restore: bool) -> Self {
        let rules = spec.rules.iter().map(|rule| RuleState::new(rule, !must_restore)).collect();
        Self {
            rules,
            orphans: HashSet::new(),
            must_restore,
            n_iterations: 0,
            evaluation_seconds: 0.0,
            last_evaluation_ms: None,
        }
    }

    /// Takes over what `old`, the same group before a reload, knew of rules with the same name and labels.
    pub(crate) fn take_over(&mut self, old: &mut Self) {
        self.must_restore = old.must_restore;
        self.n_iterations = old.n_iterations;
        self.evaluation_seconds = old.evaluation_seconds;
        self.last_evaluation_ms = old.last_evaluation_ms;
        self.orphans = std::mem::take(&mut old.orphans);
        let mut old_rules: Vec<Option<RuleState>> =
            std::mem::take(&mut old.rules).into_iter().map(Some).collect();
        for rule in &mut self.rules {
            let same =
                old_rules.iter_mut().find(|old| old.as_ref().is_some_and(|old| rule.is_same_rule(old)));
            let Some(old) = same.and_then(Option::take) else { continue };
            rule.stored = old.stored;
            rule.health = old.health;
            rule.last_error = old.last_error;
            rule.evaluation_seconds = old.evaluation_seconds;
            rule.last_evaluation_ms = old.last_evaluation_ms;
            if let (Some(new), Some(old)) = (&mut rule.alerting, old.alerting) {
                new.active = old.active;
                new.is_restored = old.is_restored;
            }
        }
        self.orphans.extend(old_rules.into_iter().flatten().flat_map(|old| old.stored));
    }

    /// Every series the group last stored.
    pub(crate) fn stored(&mut self) -> HashSet<Labels> {
        let mut all = std::mem::take(&mut self.orphans);
        for rule in &mut self.rules {
            all.extend(std::mem::take(&mut rule.stored));
        }
        all
    }

    /// Whether one of its rules stores `labels`.
    pub(crate) fn stores(&self, labels: &Labels) -> bool {
        self.rules.iter().any(|rule| rule.stored.contains(labels))
    }

    /// Evaluates every rule once.
    pub(crate) fn evaluate(&mut self, round: &Round<'_>) {
        let started = round.env.clock.monotonic();
        self.n_iterations += 1;
        let mut n_samples = 0;
        for (index, rule) in self.rules.iter_mut().enumerate() {
            if round.querier.cancel.is_canceled() {
                return;
            }
            if self.must_restore && self.n_iterations == 1 {
                rule.remember(round);
            }
            let (name, group) = (rule.spec.name(), round.spec.name.as_str());
            let span = info_span!("rule", name, group, index, num_series = Empty, error = Empty);
            n_samples += span.in_scope(|| rule.evaluate(round));
        }
        self.mark_orphans(round);
        if self.must_restore && self.n_iterations >= 2 {
            self.restore(round);
        }
        self.evaluation_seconds = round.env.clock.monotonic().saturating_sub(started).as_secs_f64();
        self.last_evaluation_ms = Some(round.at_ms);
        let (metrics, key) = (round.metrics, [round.key]);
        metrics.group_samples.with(&key).set(n_samples as f64);
        metrics.group_last_evaluation.with(&key).set(round.at_ms as f64 / 1_000.0);
        metrics.group_last_duration.with(&key).set(self.evaluation_seconds);
    }

    fn mark_orphans(&mut self, round: &Round<'_>) {
        let orphans: Vec<_> = self.orphans.drain().collect();
        let gone: Vec<_> = orphans.into_iter().filter(|labels| !self.stores(labels)).collect();
        mark_stale(&*round.env.appendable, gone, round.sample_ms(), round.now_ms);
    }

    fn restore(&mut self, round: &Round<'_>) {
        self.must_restore = false;
        let tolerance = Tolerance {
            outage_ms: round.options.outage_tolerance_ms,
            grace_ms: round.options.grace_period_ms,
        };
        for rule in self.rules.iter_mut().filter_map(|rule| rule.alerting.as_mut()) {
            if let Err(err) = restore(rule, &*round.env.queryable, round.now_ms, tolerance) {
                tracing::error!(alert = rule.name, error = %err, "cannot take up the state of alerts from before the restart");
            }
            rule.is_restored = true;
        }
    }

    /// Rules whose last evaluation failed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = RuleFailure> {
        let failed = self.rules.iter().filter(|rule| rule.health == Health::Err);
        failed.map(|rule| RuleFailure { rule: rule.spec.name().to_owned(), error: rule.last_error.clone() })
    }

    pub(crate) fn view(&self, spec: &GroupSpec, interval_ms: i64) -> GroupView {
        GroupView {
            name: spec.name.clone(),
            file: spec.file.clone(),
            interval_ms,
            limit: spec.limit,
            evaluation_seconds: self.evaluation_seconds,
            last_evaluation_ms: self.last_evaluation_ms,
            rules: self.rules.iter().map(RuleState::view).collect(),
        }
    }
}

impl Round<'_> {
    fn offset_ms(&self) -> i64 {
        self.spec.query_offset_ms.unwrap_or(self.options.query_offset_ms)
    }

    /// The time that is asked about and that results carry.
    fn sample_ms(&self) -> i64 {
        self.at_ms - self.offset_ms()
    }
}

impl RuleState {
    /// Returns how many samples it gave.
    fn evaluate(&mut self, round: &Round<'_>) -> usize {
        let started = round.env.clock.monotonic();
        let key = [round.key];
        round.metrics.evaluations.with(&key).inc();
        let outcome = self.results(round).and_then(|samples| {
            let n_samples = samples.len();
            self.measure(round);
            self.send(round);
            self.store(samples, round).map(|()| n_samples)
        });
        let taken = round.env.clock.monotonic().saturating_sub(started).as_secs_f64();
        round.metrics.evaluation_seconds.with(&[]).observe(taken);
        self.evaluation_seconds = taken;
        self.last_evaluation_ms = Some(round.at_ms);
        match outcome {
            Ok(n_samples) => {
                Span::current().record("num_series", n_samples);
                self.health = Health::Ok;
                self.last_error.clear();
                n_samples
            }
            Err(err) => {
                Span::current().record("error", err.as_str());
                round.metrics.failures.with(&key).inc();
                // Said once, not at every evaluation.
                if self.last_error != err {
                    let (file, group) = (&round.spec.file, &round.spec.name);
                    tracing::warn!(
                        file,
                        group,
                        rule = self.spec.name(),
                        error = err,
                        "rule evaluation failed"
                    );
                }
                self.health = Health::Err;
                self.last_error = err;
                0
            }
        }
    }

    /// Takes up which alerts there were before a restart, where they stay without data.
    fn remember(&mut self, round: &Round<'_>) {
        let Some(rule) = self.alerting.as_mut().filter(|rule| rule.keeps_vanished()) else { return };
        let outage_ms = round.options.outage_tolerance_ms;
        if let Err(err) = restore::remember(rule, &*round.env.queryable, round.now_ms, outage_ms) {
            tracing::error!(alert = rule.name, error = %err, "cannot read which alerts there were before the restart");
        }
    }

    fn results(&mut self, round: &Round<'_>) -> Result<Vec<Sample>, String> {
        let Expression { expr, .. } = self.spec.expr();
        let mut samples = round.querier.vector(expr, round.sample_ms())?;
        match (&self.spec, &mut self.alerting) {
            (RuleSpec::Recording { record, labels, .. }, _) => {
                recording::apply(record, labels, samples, round.spec.limit)
            }
            (_, Some(rule)) => {
                if let Some(measure) = rule.wanted_presence(&samples) {
                    let present = round.querier.vector(&measure, round.sample_ms())?;
                    rule.add_vanished(&mut samples, &present, round.at_ms);
                }
                let needs_functions = rule.has_templates() && !samples.is_empty();
                let scene = Scene {
                    querier: round.querier.clone(),
                    t_ms: round.sample_ms(),
                    external_url: round.options.external_url.clone(),
                };
                let functions = if needs_functions { functions(Some(&scene)) } else { functions(None) };
                let around = Surroundings {
                    functions: &functions,
                    external_labels: &round.options.external_labels,
                    external_url: &round.options.external_url,
                };
                rule.advance(&samples, &around, round.at_ms, round.spec.limit)
            }
            (RuleSpec::Alerting { .. }, None) => unreachable!("new makes an alerting rule for this spec"),
        }
    }

    /// Looks where the value is of alerts that ended just now. Whoever cannot be asked leaves it unknown.
    fn measure(&mut self, round: &Round<'_>) {
        let Some(rule) = &mut self.alerting else { return };
        let Some(expr) = rule.wanted_measure(round.at_ms) else { return };
        if let Ok(samples) = round.querier.vector(&expr, round.sample_ms()) {
            rule.measured(&samples, round.at_ms);
        }
    }

    fn send(&mut self, round: &Round<'_>) {
        let Some(rule) = &mut self.alerting else { return };
        let url = format!("{}{}", round.options.external_url, expression_link(&self.query, 1));
        let alerts = rule.take_due(round.at_ms, round.interval_ms, round.options.resend_delay_ms, &url);
        if !alerts.is_empty() {
            round.env.sink.send(round.options.prepared(alerts));
        }
    }

    /// Stores the results, and staleness markers for what was there last time and is not now.
    fn store(&mut self, samples: Vec<Sample>, round: &Round<'_>) -> Result<(), String> {
        let t_ms = round.sample_ms();
        let append = info_span!("ruleAppendResults").entered();
        let mut appender = round.env.appendable.appender(round.now_ms);
        let mut stored = HashSet::with_capacity(samples.len());
        let mut refused = None;
        for sample in samples {
            let appended = match &sample.histogram {
                Some(histogram) => appender.append_histogram(None, &sample.labels, t_ms, 0, histogram),
                None => appender.append(None, &sample.labels, t_ms, sample.value),
            };
            match appended {
                Ok(_) => {
                    stored.insert(sample.labels);
                }
                Err(err) => {
                    round.metrics.samples_refused.inc();
                    // A clock that went back, or a second evaluation of one time: the next one is fine again.
                    if !matches!(err, AppendError::OutOfOrder | AppendError::DuplicateForTimestamp) {
                        refused = Some(err.to_string());
                    }
                }
            }
        }
        for gone in self.stored.difference(&stored) {
            let _ = appender.append(None, gone, t_ms, STALE_NAN);
        }
        drop(append);
        let committed = info_span!("ruleCommit").in_scope(|| appender.commit());
        committed.map_err(|err| format!("cannot store the rule's results: {err}"))?;
        self.stored = stored;
        refused.map_or(Ok(()), |err| Err(format!("the store refused results of the rule: {err}")))
    }
}

/// Ends `series` at `t_ms`. What cannot be appended was written by somebody else since.
pub(crate) fn mark_stale(appendable: &dyn Appendable, series: Vec<Labels>, t_ms: i64, now_ms: i64) {
    if series.is_empty() {
        return;
    }
    let mut appender = appendable.appender(now_ms);
    for labels in &series {
        let _ = appender.append(None, labels, t_ms, STALE_NAN);
    }
    if let Err(err) = appender.commit() {
        tracing::warn!(error = %err, n_series = series.len(), "cannot mark series of removed rules as ended");
    }
}
