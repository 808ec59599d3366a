//! What the API and the web page see of the core: states of alerts and groups, computed when asked.

use std::ops::Bound;
use std::sync::Arc;

use model::Labels;

use super::history::{ALERTS_PER_LOOK, Counts};
use super::{Core, Group, GroupId};
use crate::alert::{Alert, Fingerprint, alert_order, label_order};

/// Whether an alert is heard, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AlertStatus {
    pub(crate) silenced_by: Vec<String>,
    pub(crate) inhibited_by: Vec<Fingerprint>,
    pub(crate) muted_by: Vec<String>,
}

impl AlertStatus {
    /// `active` or `suppressed`.
    pub(crate) fn state(&self) -> &'static str {
        let is_active =
            self.silenced_by.is_empty() && self.inhibited_by.is_empty() && self.muted_by.is_empty();
        if is_active { "active" } else { "suppressed" }
    }
}

/// A group as it is now.
#[derive(Debug)]
pub(crate) struct GroupView {
    pub(crate) labels: Labels,
    pub(crate) receiver: String,
    pub(crate) route_labels: std::collections::BTreeMap<String, String>,
    pub(crate) muted_by: Vec<String>,
    /// In no order.
    alerts: Vec<(Fingerprint, Arc<Alert>)>,
}

impl GroupView {
    /// Which of its alerts are wanted, in no order.
    pub(crate) fn wanted(&self, is_wanted: impl Fn(&Alert) -> bool) -> impl Iterator<Item = Fingerprint> {
        self.alerts.iter().filter(move |(_, alert)| is_wanted(alert)).map(|(fingerprint, _)| *fingerprint)
    }

    /// Those of its alerts that are wanted, by job, instance, labels.
    pub(crate) fn sorted_alerts(&self, is_wanted: impl Fn(&Alert) -> bool) -> Vec<(Fingerprint, Arc<Alert>)> {
        let wanted = self.alerts.iter().filter(|(_, alert)| is_wanted(alert));
        let mut alerts: Vec<_> =
            wanted.map(|(fingerprint, alert)| (*fingerprint, Arc::clone(alert))).collect();
        alerts.sort_by(|a, b| alert_order(&a.1.labels, &b.1.labels));
        alerts
    }
}

impl Core {
    /// The state of an alert with `labels`.
    pub(crate) fn status_of(&self, labels: &Labels, now_ms: i64) -> AlertStatus {
        self.metrics.keeping.silence_queries.inc();
        let stored = |fingerprint| self.alerts.get(&fingerprint).map(|alert| &**alert);
        AlertStatus {
            silenced_by: self.silences.silencing(labels, now_ms),
            inhibited_by: self.inhibitor.inhibited_by(labels, now_ms, stored).into_iter().collect(),
            muted_by: Vec::new(),
        }
    }

    /// Names of the receivers that `labels` lead to, in the order of the routes.
    pub(crate) fn receivers_of(&self, labels: &Labels) -> Vec<String> {
        self.routes.matching(labels).into_iter().map(|idx| self.routes.get(idx).receiver.clone()).collect()
    }

    /// The time intervals that keep every route of `labels` quiet; none when one route speaks.
    pub(crate) fn muted_everywhere(&self, labels: &Labels, now_ms: i64) -> Vec<String> {
        if self.config.intervals.is_empty() {
            return Vec::new();
        }
        let mut names = Vec::new();
        for idx in self.routes.matching(labels) {
            let muting = self.muting_intervals(self.routes.get(idx), now_ms);
            if muting.is_empty() {
                return Vec::new();
            }
            names.extend(muting);
        }
        names.sort();
        names.dedup();
        names
    }

    /// All groups, by the number of their labels, labels, then receiver.
    pub(crate) fn group_views(&self) -> Vec<GroupView> {
        let mut views: Vec<GroupView> = self
            .groups
            .iter()
            .map(|(id, group)| {
                let route = self.routes.get(id.route);
                GroupView {
                    labels: id.labels.clone(),
                    receiver: route.receiver.clone(),
                    route_labels: route.labels.clone(),
                    muted_by: group.muted_by.clone(),
                    alerts: group.alerts.iter().map(|(f, alert)| (*f, Arc::clone(alert))).collect(),
                }
            })
            .collect();
        views.sort_by(|a, b| label_order(&a.labels, &b.labels).then_with(|| a.receiver.cmp(&b.receiver)));
        views
    }

    /// How many groups there are.
    pub(crate) fn n_groups(&self) -> usize {
        self.groups.len()
    }

    /// Alerts that fire, by group: of some groups behind `after`, or of the first ones, and behind which to go on.
    pub(crate) fn count_groups(
        &self,
        after: Option<&GroupId>,
        now_ms: i64,
    ) -> (Vec<(String, Counts)>, Option<GroupId>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut groups, mut n_alerts) = (Vec::new(), 0);
        for (id, group) in self.groups.range::<GroupId, _>((from, Bound::Unbounded)) {
            groups.push((self.group_key(id), self.count_group(group, now_ms)));
            n_alerts += group.alerts.len();
            if n_alerts >= ALERTS_PER_LOOK {
                return (groups, Some(id.clone()));
            }
        }
        (groups, None)
    }

    fn count_group(&self, group: &Group, now_ms: i64) -> Counts {
        let mut counts = Counts::default();
        for alert in group.alerts.values().filter(|alert| !alert.is_resolved_at(now_ms)) {
            counts.add(&self.status_of(&alert.labels, now_ms));
        }
        counts
    }
}
