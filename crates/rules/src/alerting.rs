//! Alerting rules: inactive → pending → firing → resolved. Pure: the vector and the time come in.
//!
//! In from [`crate::group`]; out: alerts to send, and samples of `ALERTS` and `ALERTS_FOR_STATE`.
//! Method: Prometheus' `rules/alerting.go`.

mod no_data;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use gotemplate::Functions;
use model::alert::ALERT_NAME;
use model::labels::METRIC_NAME;
use model::{Alert, Labels, Measured};
use promql::Expr;

use crate::humanize::rfc3339;
use crate::measure::Measure;
use crate::no_data::{NoData, NoDataSpec};
use crate::query::Sample;
use crate::template::{Text, alert_data};
use crate::view::{AlertState, AlertView};

/// How long a resolved alert is kept and sent again, so that an Alertmanager that was away hears of it. From Prometheus.
pub(crate) const RESOLVED_KEPT_MS: i64 = 15 * 60_000;

/// The series that says which alerts are pending or firing.
pub(crate) const ALERTS: &str = "ALERTS";
/// The series that says since when, for [`crate::restore`].
pub(crate) const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// The annotation that says that an alert stays although its series has no data.
const NO_DATA: &str = "no_data";
/// `pending` or `firing`, on `ALERTS`.
const ALERT_STATE: &str = "alertstate";

/// One alert, from when the expression first holds until some time after it was resolved.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) state: AlertState,
    pub(crate) value: f64,
    pub(crate) active_at_ms: i64,
    fired_at_ms: i64,
    resolved_at_ms: Option<i64>,
    last_sent_ms: Option<i64>,
    valid_until_ms: i64,
    keep_firing_since_ms: Option<i64>,
    /// Of the sample it came from, as the measured expression has them.
    series: Labels,
    /// The worst value since the expression first held.
    peak: f64,
    /// Since when its series has no data.
    pub(crate) no_data_since_ms: Option<i64>,
    /// The value when it ended; `None` while it goes on and where nobody knows.
    end_value: Option<f64>,
}

/// What an alerting rule is made of, and its alerts.
#[derive(Debug, Clone)]
pub(crate) struct AlertingRule {
    pub(crate) name: String,
    pub(crate) hold_ms: i64,
    keep_firing_ms: i64,
    labels: Vec<(String, Text)>,
    annotations: Vec<(String, Text)>,
    measure: Measure,
    no_data: NoDataSpec,
    /// Series without data, and when they had some last; with [`NoData::Alert`] every series that is measured.
    seen: HashMap<Labels, i64>,
    /// By label set.
    pub(crate) active: HashMap<Labels, Active>,
    /// Whether state from before a restart was taken up, or none is wanted. Until then nothing is written, so that
    /// what is to be taken up stays.
    pub(crate) is_restored: bool,
}

/// An alert that fires, for those who watch a rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FiringNow {
    pub(crate) active_at_ms: i64,
    /// The worst value since the expression first held.
    pub(crate) peak: f64,
}

/// What templates need besides the sample.
pub(crate) struct Surroundings<'a> {
    pub(crate) functions: &'a Functions,
    pub(crate) external_labels: &'a Labels,
    pub(crate) external_url: &'a str,
}

impl AlertingRule {
    pub(crate) fn new(
        name: &str,
        hold_ms: i64,
        keep_firing_ms: i64,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        (measure, no_data): (Measure, NoDataSpec),
        is_restored: bool,
    ) -> Self {
        let texts = |texts: &BTreeMap<String, String>| {
            texts.iter().map(|(key, text)| (key.clone(), Text::new(name, text))).collect()
        };
        Self {
            name: name.to_owned(),
            hold_ms,
            keep_firing_ms,
            labels: texts(labels),
            annotations: texts(annotations),
            measure,
            no_data,
            seen: HashMap::new(),
            active: HashMap::new(),
            is_restored,
        }
    }

    /// Whether any text needs functions.
    pub(crate) fn has_templates(&self) -> bool {
        self.labels.iter().chain(&self.annotations).any(|(_, text)| text.is_template())
    }

    /// Labels that are the same on all alerts of this rule.
    pub(crate) fn plain_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().filter_map(|(name, text)| match text {
            Text::Plain(text) => Some((name.as_str(), text.as_str())),
            _ => None,
        })
    }

    fn found(&self, sample: &Sample, around: &Surroundings<'_>, at_ms: i64) -> Active {
        let own = sample.labels.without_metric_name();
        let data = alert_data(&sample.labels, sample.value, around.external_labels, around.external_url);
        let mut labels = own.clone().to_builder();
        for (name, text) in &self.labels {
            labels.set(name, &text.expand(around.functions, &data));
        }
        labels.set(ALERT_NAME, &self.name);
        let annotations =
            self.annotations.iter().map(|(name, text)| (name, text.expand(around.functions, &data)));
        // What is remembered and was not measured now stands here without data, and says so from its first message on.
        let no_data_since_ms = self.seen.get(&own).copied().filter(|last_ms| *last_ms < at_ms);
        Active {
            labels: labels.build(),
            annotations: Labels::from_pairs(annotations),
            state: AlertState::Pending,
            value: sample.value,
            active_at_ms: at_ms,
            fired_at_ms: 0,
            resolved_at_ms: None,
            last_sent_ms: None,
            valid_until_ms: 0,
            keep_firing_since_ms: None,
            series: own,
            peak: sample.value,
            no_data_since_ms,
            end_value: None,
        }
    }

    /// Whether alerts stay whose series vanish.
    pub(crate) fn keeps_vanished(&self) -> bool {
        self.no_data.what != NoData::Resolve && self.measure.expr.is_some()
    }

    /// What to ask at `at_ms`, when alerts ended then whose value is of interest.
    pub(crate) fn wanted_measure(&self, at_ms: i64) -> Option<Arc<Expr>> {
        let has_ended = self.active.values().any(|alert| alert.resolved_at_ms == Some(at_ms));
        self.measure.expr.clone().filter(|_| has_ended)
    }

    /// Takes the values of what is measured, for alerts that ended at `at_ms`.
    pub(crate) fn measured(&mut self, samples: &[Sample], at_ms: i64) {
        let by_series: HashMap<Labels, f64> = samples
            .iter()
            .filter(|sample| sample.histogram.is_none())
            .map(|sample| (sample.labels.without_metric_name(), sample.value))
            .collect();
        for alert in self.active.values_mut().filter(|alert| alert.resolved_at_ms == Some(at_ms)) {
            alert.end_value = by_series.get(&alert.series).copied();
        }
    }

    /// Takes in what the expression gave at `at_ms`; returns the samples to store.
    ///
    /// # Errors
    /// In Prometheus' words: two alerts with one label set (state unchanged), or more alerts than `limit` (0 for any;
    /// all alerts are dropped).
    pub(crate) fn advance(
        &mut self,
        samples: &[Sample],
        around: &Surroundings<'_>,
        at_ms: i64,
        limit: usize,
    ) -> Result<Vec<Sample>, String> {
        let mut found: Vec<Active> = Vec::with_capacity(samples.len());
        let mut holding = HashSet::with_capacity(samples.len());
        for sample in samples {
            let alert = self.found(sample, around, at_ms);
            if !holding.insert(alert.labels.clone()) {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels".to_owned()
                );
            }
            found.push(alert);
        }
        for alert in found {
            match self.active.get_mut(&alert.labels) {
                Some(known) if known.state != AlertState::Inactive => {
                    known.value = alert.value;
                    let worse = if self.measure.lower_is_worse { f64::min } else { f64::max };
                    known.peak = worse(known.peak, alert.value);
                    known.annotations = alert.annotations;
                }
                _ => {
                    self.active.insert(alert.labels.clone(), alert);
                }
            }
        }
        let (hold_ms, keep_firing_ms) = (self.hold_ms, self.keep_firing_ms);
        self.active
            .retain(|labels, alert| alert.advance(holding.contains(labels), at_ms, hold_ms, keep_firing_ms));
        let n_active = self.active.values().filter(|alert| alert.state != AlertState::Inactive).count();
        if limit > 0 && n_active > limit {
            self.active.clear();
            return Err(format!("exceeded limit of {limit} with {n_active} alerts"));
        }
        Ok(self.samples())
    }

    fn samples(&self) -> Vec<Sample> {
        if !self.is_restored {
            return Vec::new();
        }
        let live = self.active.values().filter(|alert| alert.state != AlertState::Inactive);
        live.flat_map(|alert| [alert.alerts_sample(), alert.for_state_sample()]).collect()
    }

    /// Alerts to send at `at_ms`: those that fire or were resolved, anew or not sent for `resend_delay_ms`.
    pub(crate) fn take_due(
        &mut self,
        at_ms: i64,
        interval_ms: i64,
        resend_delay_ms: i64,
        url: &str,
    ) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for alert in self.active.values_mut() {
            if !alert.needs_sending(at_ms, resend_delay_ms) {
                continue;
            }
            alert.last_sent_ms = Some(at_ms);
            // Two evaluations or two sendings may fail before it counts as resolved.
            alert.valid_until_ms = at_ms.saturating_add(4 * interval_ms.max(resend_delay_ms));
            let mut annotations = alert.annotations.clone();
            if let Some(since_ms) = alert.no_data_since_ms {
                let mut with_remark = annotations.to_builder();
                with_remark.set(NO_DATA, &format!("no data since {}", rfc3339(since_ms)));
                annotations = with_remark.build();
            }
            alerts.push(Alert {
                labels: alert.labels.clone(),
                annotations,
                starts_at_ms: alert.fired_at_ms,
                ends_at_ms: alert.resolved_at_ms.unwrap_or(alert.valid_until_ms),
                generator_url: url.to_owned(),
                measured: Some(Measured {
                    value: if alert.resolved_at_ms.is_some() { alert.end_value } else { Some(alert.value) },
                    peak: alert.peak,
                    lower_is_worse: self.measure.lower_is_worse,
                }),
            });
        }
        alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
        alerts
    }

    /// Alerts that fire, by labels.
    pub(crate) fn firing(&self) -> impl Iterator<Item = (&Labels, FiringNow)> {
        let firing = self.active.iter().filter(|(_, alert)| alert.state == AlertState::Firing);
        firing
            .map(|(labels, alert)| (labels, FiringNow { active_at_ms: alert.active_at_ms, peak: alert.peak }))
    }

    /// The worst state of its alerts.
    pub(crate) fn state(&self) -> AlertState {
        self.active.values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// Pending and firing alerts, sorted by labels.
    pub(crate) fn views(&self) -> Vec<AlertView> {
        let live = self.active.values().filter(|alert| alert.state != AlertState::Inactive);
        let mut views: Vec<_> = live
            .map(|alert| AlertView {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                state: alert.state,
                active_at_ms: alert.active_at_ms,
                keep_firing_since_ms: alert.keep_firing_since_ms,
                value: alert.value,
                no_data_since_ms: alert.no_data_since_ms,
            })
            .collect();
        views.sort_by(|a, b| a.labels.cmp(&b.labels));
        views
    }
}

impl Active {
    /// Moves to `at_ms`; `false` when the alert may be forgotten.
    fn advance(&mut self, holds: bool, at_ms: i64, hold_ms: i64, keep_firing_ms: i64) -> bool {
        if holds {
            self.keep_firing_since_ms = None;
        } else {
            let mut keeps_firing = false;
            if self.state == AlertState::Firing && keep_firing_ms > 0 {
                let since_ms = *self.keep_firing_since_ms.get_or_insert(at_ms);
                keeps_firing = at_ms - since_ms < keep_firing_ms;
            }
            if !keeps_firing {
                let was_resolved_long_ago =
                    self.resolved_at_ms.is_some_and(|ms| at_ms - ms > RESOLVED_KEPT_MS);
                if self.state == AlertState::Pending || was_resolved_long_ago {
                    return false;
                }
                if self.state != AlertState::Inactive {
                    self.state = AlertState::Inactive;
                    self.resolved_at_ms = Some(at_ms);
                }
                return true;
            }
        }
        let is_due = at_ms - self.active_at_ms >= hold_ms;
        if self.state == AlertState::Pending && is_due {
            self.state = AlertState::Firing;
            self.fired_at_ms = at_ms;
        } else if self.state == AlertState::Firing && !is_due {
            // `for` was made longer by a reload.
            self.state = AlertState::Pending;
            self.fired_at_ms = 0;
        }
        true
    }

    fn needs_sending(&self, at_ms: i64, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let Some(last_sent_ms) = self.last_sent_ms else { return true };
        // Resolved since it was last sent, or quiet for too long.
        self.resolved_at_ms.is_some_and(|ms| ms > last_sent_ms) || last_sent_ms + resend_delay_ms < at_ms
    }

    fn alerts_sample(&self) -> Sample {
        let mut labels = self.labels.to_builder();
        labels.set(METRIC_NAME, ALERTS).set(ALERT_NAME, self.labels.get(ALERT_NAME).unwrap_or(""));
        labels.set(ALERT_STATE, self.state.as_str());
        Sample::float(labels.build(), 1.0)
    }

    fn for_state_sample(&self) -> Sample {
        Sample::float(self.for_state_labels(), self.active_at_ms.div_euclid(1_000) as f64)
    }

    pub(crate) fn for_state_labels(&self) -> Labels {
        let mut labels = self.labels.to_builder();
        labels.set(METRIC_NAME, ALERTS_FOR_STATE);
        labels.build()
    }
}
