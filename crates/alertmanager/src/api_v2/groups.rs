//! `/api/v2/alerts/groups`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::alerts::{Filter, GettableAlert, map};
use super::params::Params;
use super::{Named, Reply};
use crate::handle::Handle;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableGroup {
    alerts: Vec<GettableAlert>,
    labels: BTreeMap<String, String>,
    receiver: Named,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    route_labels: BTreeMap<String, String>,
}

pub(super) fn get(handle: &Handle, query: &str) -> Reply {
    let params = Params::new(query);
    let filter = match Filter::new(&params) {
        Ok(filter) => filter,
        Err(reply) => return reply,
    };
    let with_muted = params.is_on("muted");
    handle.shared.look(|core, now_ms| {
        let mut groups = Vec::new();
        for view in core.group_views() {
            if !filter.takes_receiver(core, &view.receiver) || (!with_muted && !view.muted_by.is_empty()) {
                continue;
            }
            let alerts = view.alerts.iter().filter_map(|(fingerprint, alert)| {
                let status = filter.status(core, alert, &view.muted_by, now_ms)?;
                Some(GettableAlert::new(*fingerprint, alert, core.receivers_of(&alert.labels), status))
            });
            let alerts: Vec<_> = alerts.collect();
            if !alerts.is_empty() {
                groups.push(GettableGroup {
                    alerts,
                    labels: map(&view.labels),
                    receiver: Named { name: view.receiver },
                    route_labels: view.route_labels,
                });
            }
        }
        Reply::json(&groups)
    })
}
