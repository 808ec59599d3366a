//! `/api/v2/status` and `/api/v2/receivers`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Reply;
use super::params::Params;
use crate::handle::Handle;
use crate::time::api_rfc3339;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    cluster: Cluster,
    config: ShownConfig,
    uptime: String,
    version_info: Version,
}

#[derive(Debug, Serialize)]
struct Cluster {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    peers: Vec<Peer>,
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct Peer {
    address: String,
    name: String,
}

impl Cluster {
    fn of(handle: &Handle) -> Self {
        let Some(view) = handle.shared.cluster.as_ref().map(|cluster| cluster.view()) else {
            return Self { name: None, peers: Vec::new(), status: "disabled" };
        };
        Self {
            name: Some(view.name),
            peers: view.peers.into_iter().map(|(name, address)| Peer { address, name }).collect(),
            status: if view.is_ready { "ready" } else { "settling" },
        }
    }
}

#[derive(Debug, Serialize)]
struct ShownConfig {
    original: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    branch: String,
    build_date: String,
    build_user: String,
    go_version: String,
    revision: String,
    version: String,
}

pub(super) fn get(handle: &Handle) -> Reply {
    let build = handle.shared.build.clone();
    let original = handle.shared.look(|core, _| core.config.original.clone());
    Reply::json(&Status {
        cluster: Cluster::of(handle),
        config: ShownConfig { original },
        uptime: api_rfc3339(handle.shared.started_at_ms),
        version_info: Version {
            branch: build.branch,
            build_date: build.build_date,
            build_user: build.build_user,
            go_version: build.compiler,
            revision: build.revision,
            version: build.version,
        },
    })
}

#[derive(Debug, Serialize)]
struct ShownReceiver {
    labels: BTreeMap<String, String>,
    name: String,
}

pub(super) fn get_receivers(handle: &Handle, query: &str) -> Reply {
    let matchers = match Params::new(query).matchers("receiver_matchers") {
        Ok(matchers) => matchers,
        Err(reply) => return reply,
    };
    handle.shared.look(|core, _| {
        let is_wanted = |labels: &BTreeMap<String, String>| {
            matchers.iter().all(|m| m.matches(labels.get(&m.name).map_or("", String::as_str)))
        };
        let receivers = core.config.receivers.iter().filter(|receiver| is_wanted(&receiver.labels));
        let shown = receivers.map(|r| ShownReceiver { labels: r.labels.clone(), name: r.name.clone() });
        Reply::json(&shown.collect::<Vec<_>>())
    })
}
