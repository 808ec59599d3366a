//! What would become of an alert: its way through the route tree, and what holds it back now.
//!
//! In from the API and the command line: labels; out as [`Explained`]. Asks the same functions that a flush asks, and
//! changes nothing. Without a running manager (`--config.file`) the same over a core that has no alerts.

use std::collections::BTreeMap;

use model::Labels;
use serde::Serialize;

use super::group::GroupId;
use super::holds::Hold;
use super::{Core, CoreOptions, StepView};
use crate::alert::Fingerprint;
use crate::config::Config;
use crate::escalate::Escalation;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::nflog::Entry;
use crate::route::{GroupBy, Route, RouteIdx};
use crate::time::api_rfc3339;

type Map = BTreeMap<String, String>;

/// The answer. Times are RFC 3339, waits are seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained {
    labels: Map,
    at: String,
    /// Whether a running manager was asked: without one nothing is known of silences and other alerts.
    is_live: bool,
    /// Whether an alert with these very labels fires now.
    is_firing: bool,
    tree: Node,
    /// Where it ends, in the order of the file.
    taken: Vec<Taken>,
}

/// A route, and what the alert does there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    key: String,
    matchers: Vec<String>,
    receiver: String,
    #[serde(rename = "continue")]
    is_continue: bool,
    #[serde(flatten)]
    settings: Settings,
    /// Further receivers, when nobody acknowledges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    escalate: Vec<Further>,
    /// `taken`, `passed`, `notMatched`, `notReached`; nothing when no labels were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Matchers that do not fit, and what the alert has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mismatches: Vec<Mismatch>,
    routes: Vec<Node>,
}

#[derive(Debug, Serialize)]
struct Further {
    receiver: String,
    /// How long after the first one.
    after: f64,
}

#[derive(Debug, Serialize)]
struct Mismatch {
    matcher: String,
    /// The alert's value, empty when it has no such label.
    has: String,
}

/// Timers and grouping.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    /// `...` alone for all labels.
    group_by: Vec<String>,
    group_wait: f64,
    group_interval: f64,
    repeat_interval: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mute_time_intervals: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    active_time_intervals: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurrences: Option<Needed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reissue_duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flap: Option<Flap>,
}

/// How often is too often, and when it is over.
#[derive(Debug, Serialize)]
struct Flap {
    changes: usize,
    within: f64,
    stable: f64,
}

#[derive(Debug, Serialize)]
struct Needed {
    count: usize,
    within: f64,
}

/// A route that takes the alert.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    /// Keys of the routes from the root to this one.
    path: Vec<String>,
    receiver: String,
    integrations: Vec<String>,
    group_key: String,
    group_labels: Map,
    #[serde(flatten)]
    settings: Settings,
    /// How many alerts its group has now, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_alerts: Option<usize>,
    /// When the group is looked at next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_flush_at: Option<String>,
    /// When the alert was delivered last to any of the receiver's integrations.
    #[serde(skip_serializing_if = "Option::is_none")]
    told_at: Option<String>,
    /// When it is delivered again while it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    again_at: Option<String>,
    /// Who else is told, and when, while nobody acknowledges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    escalation: Vec<Step>,
    /// What would keep a message back now; empty when nothing does.
    holds: Vec<Hold>,
}

/// A further receiver.
#[derive(Debug, Serialize)]
struct Step {
    receiver: String,
    /// How long after the first one.
    after: f64,
    told: bool,
    /// When it is told; nothing while that time does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

fn map(labels: &Labels) -> Map {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

impl From<&Route> for Settings {
    fn from(route: &Route) -> Self {
        Self {
            group_by: match &route.group_by {
                GroupBy::All => vec!["...".to_owned()],
                GroupBy::Names(names) => names.iter().cloned().collect(),
            },
            group_wait: seconds(route.group_wait_ms),
            group_interval: seconds(route.group_interval_ms),
            repeat_interval: seconds(route.repeat_interval_ms),
            mute_time_intervals: route.mute_intervals.clone(),
            active_time_intervals: route.active_intervals.clone(),
            occurrences: route
                .occurrences
                .map(|needed| Needed { count: needed.count, within: seconds(needed.within_ms) }),
            reissue_duration: route.reissue_ms.map(seconds),
            success_duration: route.success_ms.map(seconds),
            flap: route.flap.map(|flap| Flap {
                changes: flap.changes,
                within: seconds(flap.within_ms),
                stable: seconds(flap.stable_ms),
            }),
        }
    }
}

impl Core {
    /// What would become of an alert with `labels`; the tree alone when there are none.
    pub(crate) fn explain(&self, labels: &Labels, is_live: bool, now_ms: i64) -> Explained {
        let taken = if labels.is_empty() { Vec::new() } else { self.routes.matching(labels) };
        let known = self.alerts.get(&Fingerprint::of(labels));
        Explained {
            labels: map(labels),
            at: api_rfc3339(now_ms),
            is_live,
            is_firing: known.is_some_and(|alert| !alert.is_resolved_at(now_ms)),
            tree: self.node(RouteIdx(0), labels, &taken, false),
            taken: taken.iter().map(|idx| self.taken(*idx, labels, now_ms)).collect(),
        }
    }

    /// Recursion is as deep as the file nests, which its reader bounds.
    fn node(&self, idx: RouteIdx, labels: &Labels, taken: &[RouteIdx], is_cut_off: bool) -> Node {
        let route = self.routes.get(idx);
        let misfits = route.matchers().iter().filter(|matcher| !matcher.matches_labels(labels));
        let mismatches: Vec<Mismatch> = misfits
            .map(|matcher| Mismatch {
                matcher: matcher.to_string(),
                has: labels.get(&matcher.name).unwrap_or_default().to_owned(),
            })
            .collect();
        let outcome = match () {
            () if labels.is_empty() => None,
            () if is_cut_off => Some("notReached"),
            () if !mismatches.is_empty() => Some("notMatched"),
            () if taken.contains(&idx) => Some("taken"),
            () => Some("passed"),
        };
        let is_in = matches!(outcome, Some("taken" | "passed"));
        let mut has_taken = false;
        let mut routes = Vec::new();
        for child in route.children() {
            let node = self.node(child, labels, taken, outcome.is_some() && (!is_in || has_taken));
            let took = matches!(node.outcome, Some("taken" | "passed"));
            has_taken |= took && !node.is_continue;
            routes.push(node);
        }
        Node {
            key: route.key.clone(),
            matchers: route.matchers().iter().map(ToString::to_string).collect(),
            receiver: route.receiver.clone(),
            is_continue: route.is_continue(),
            settings: Settings::from(route),
            escalate: route
                .escalate
                .iter()
                .map(|step| Further { receiver: step.receiver.clone(), after: seconds(step.after_ms) })
                .collect(),
            outcome,
            mismatches: if outcome == Some("notMatched") { mismatches } else { Vec::new() },
            routes,
        }
    }

    fn taken(&self, idx: RouteIdx, labels: &Labels, now_ms: i64) -> Taken {
        let route = self.routes.get(idx);
        let id = GroupId { route: idx, labels: route.group_labels(labels) };
        let group = self.groups.get(&id);
        let integrations = self.config.receiver(&route.receiver).map(|receiver| &receiver.integrations);
        let alert = Fingerprint::of(labels);
        let keys = self.keys_of(&id);
        let entries: Vec<&Entry> = keys.iter().filter_map(|key| self.nflog.get(key)).collect();
        let told = entries.iter().filter(|entry| entry.firing.contains(&alert));
        let told_ms = told.map(|entry| entry.issued.get(&alert).copied().unwrap_or(entry.sent_at_ms)).max();
        let again_ms =
            told_ms.map(|at_ms| at_ms.saturating_add(route.reissue_ms.unwrap_or(route.repeat_interval_ms)));
        Taken {
            path: self.routes.path(idx).into_iter().map(|idx| self.routes.get(idx).key.clone()).collect(),
            receiver: route.receiver.clone(),
            integrations: integrations
                .into_iter()
                .flatten()
                .map(|integration| format!("{}[{}]", integration.name, integration.idx))
                .collect(),
            group_key: self.group_key(&id),
            group_labels: map(&id.labels),
            settings: Settings::from(route),
            group_alerts: group.map(|group| group.alerts.len()),
            next_flush_at: group.map(|group| api_rfc3339(self.flush_at_ms(group))),
            told_at: told_ms.map(api_rfc3339),
            again_at: again_ms.map(api_rfc3339),
            escalation: self.steps_told(&id, alert, now_ms),
            holds: self.holds(&id, labels, now_ms),
        }
    }

    fn steps_told(&self, group: &GroupId, alert: Fingerprint, now_ms: i64) -> Vec<Step> {
        let views = self.steps_of(group, alert, now_ms).into_iter();
        let steps = self.routes.get(group.route).escalate.iter().zip(views);
        let step = |(step, view): (&Escalation, StepView)| Step {
            receiver: view.receiver,
            after: seconds(step.after_ms),
            told: view.is_told,
            at: view.at_ms.map(api_rfc3339),
        };
        steps.map(step).collect()
    }
}

/// As `GET /api/v2/explain` answers, of a file alone: no alerts and no silences are known then.
#[must_use]
pub fn explain_config(config: Config, labels: &Labels, now_ms: i64) -> String {
    let options = CoreOptions { retention_ms: 0, start_ms: now_ms, limits: Limits::default() };
    let metrics = std::sync::Arc::new(Metrics::new(&stdx::metrics::Registry::new()));
    let core = Core::new(std::sync::Arc::new(config), options, metrics);
    serde_json::to_string(&core.explain(labels, false, now_ms))
        .expect("texts and finite numbers always serialise")
}
