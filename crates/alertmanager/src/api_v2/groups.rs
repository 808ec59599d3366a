//! `/api/v2/alerts/groups`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;
use serde::Serialize;

use super::alerts::{Filter, Own, Shown};
use super::json;
use super::params::Params;
use super::{Named, Reply};
use crate::alert::{Alert, Fingerprint};
use crate::dispatch::GroupView;
use crate::handle::Handle;
use crate::notification::{Notification, Snapshot};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableGroup {
    alerts: Vec<Shown>,
    #[serde(serialize_with = "json::labels")]
    labels: Labels,
    receiver: Named,
    route_labels: BTreeMap<String, String>,
}

pub(super) fn get(handle: &Handle, query: &str) -> Reply {
    let params = Params::new(query);
    let filter = match Filter::new(&params) {
        Ok(filter) => filter,
        Err(reply) => return reply,
    };
    let with_muted = params.is_on("muted");
    let (views, asked_ms) = handle.shared.look(|core, now_ms| {
        let mut views = core.group_views();
        views.retain(|view| filter.takes_receiver(core, &view.receiver));
        (views, now_ms)
    });
    // An alert's receivers are those of the groups that are shown, in the order of their names.
    let mut receivers: BTreeMap<Fingerprint, Vec<String>> = BTreeMap::new();
    for view in &views {
        for fingerprint in view.wanted(|alert| filter.takes(alert, asked_ms)) {
            receivers.entry(fingerprint).or_default().push(view.receiver.clone());
        }
    }
    receivers.values_mut().for_each(|names| names.sort());
    let mut groups = Vec::new();
    for view in views.into_iter().filter(|view| with_muted || view.muted_by.is_empty()) {
        let wanted = view.sorted_alerts(|alert| filter.takes(alert, asked_ms));
        if wanted.is_empty() {
            continue;
        }
        // One group under the lock at a time, so that others need not wait for all of them.
        let alerts: Vec<Shown> = handle.shared.look(|core, now_ms| {
            let shown = wanted.into_iter().filter_map(|(fingerprint, alert)| {
                let status = filter.status(core, &alert, &view.muted_by, now_ms)?;
                let receivers = receivers.get(&fingerprint).cloned().unwrap_or_default();
                let own = Own::of(core, fingerprint, &alert, now_ms);
                Some(Shown { fingerprint, alert, receivers, status, own })
            });
            shown.collect()
        });
        if !alerts.is_empty() {
            groups.push(GettableGroup {
                alerts,
                route_labels: route_labels(handle, &view, asked_ms),
                labels: view.labels,
                receiver: Named { name: view.receiver },
            });
        }
    }
    Reply::json(&groups)
}

/// With templates filled in over all alerts of the group.
fn route_labels(handle: &Handle, view: &GroupView, now_ms: i64) -> BTreeMap<String, String> {
    if !view.route_labels.values().any(|text| text.contains("{{")) {
        return view.route_labels.clone();
    }
    let snapshot = |(fingerprint, alert): (Fingerprint, Arc<Alert>)| {
        let is_firing = !alert.is_resolved_at(now_ms);
        Snapshot { fingerprint, alert, is_firing, is_flapping: false }
    };
    let notifier = Arc::clone(&handle.shared.notifier.read());
    notifier.route_labels(&Notification {
        receiver: view.receiver.clone(),
        group_key: String::new(),
        group_labels: view.labels.clone(),
        route_labels: view.route_labels.clone(),
        // As in Alertmanager: nobody is told now.
        reason: "unknown",
        alerts: view.sorted_alerts(|_| true).into_iter().map(snapshot).collect(),
        others_fire: false,
        data: BTreeMap::new(),
        now_ms,
    })
}
