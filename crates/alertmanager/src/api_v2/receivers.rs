//! `/api/v2/receivers/integrations` and `/api/v2/receivers/test`: ours.

use std::collections::BTreeMap;

use model::Labels;
use serde::{Deserialize, Serialize};

use super::json::Time;
use super::{LABELS_MAX, Reply, TEXT_BYTES_MAX};
use crate::handle::Handle;
use crate::history::LastAttempt;
use crate::route::{Route, RouteTree};
use crate::trying::{Refused, TESTS_MAX};

#[derive(Debug, Serialize)]
struct ShownReceiver {
    name: String,
    labels: BTreeMap<String, String>,
    /// Keys of the routes that lead to it.
    routes: Vec<String>,
    /// Keys of those that escalate to it.
    escalations: Vec<String>,
    integrations: Vec<ShownIntegration>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownIntegration {
    name: &'static str,
    index: usize,
    send_resolved: bool,
    /// What the last attempt since the start came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<ShownLast>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownLast {
    at: Time,
    is_delivered: bool,
    took_seconds: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

impl From<&LastAttempt> for ShownLast {
    fn from(last: &LastAttempt) -> Self {
        Self {
            at: Time(last.at_ms),
            is_delivered: last.is_delivered,
            took_seconds: last.took_ms as f64 / 1e3,
            error: last.error.clone(),
        }
    }
}

fn keys(routes: &RouteTree, is_wanted: impl Fn(&Route) -> bool) -> Vec<String> {
    routes.iter().filter(|route| is_wanted(route)).map(|route| route.key.clone()).collect()
}

pub(super) fn list(handle: &Handle) -> Reply {
    handle.shared.look(|core, _| {
        let shown = core.config.receivers.iter().map(|receiver| ShownReceiver {
            name: receiver.name.clone(),
            labels: receiver.labels.clone(),
            routes: keys(&core.routes, |route| route.receiver == receiver.name),
            escalations: keys(&core.routes, |route| {
                route.escalate.iter().any(|step| step.receiver == receiver.name)
            }),
            integrations: receiver
                .integrations
                .iter()
                .map(|integration| ShownIntegration {
                    name: integration.name,
                    index: integration.idx,
                    send_resolved: integration.sends_resolved,
                    last: core
                        .history
                        .last_attempt(&receiver.name, integration.name, integration.idx)
                        .map(ShownLast::from),
                })
                .collect(),
        });
        Reply::json(&shown.collect::<Vec<_>>())
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    receiver: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

pub(super) async fn test(handle: &Handle, body: &[u8]) -> Reply {
    let test: Test = match serde_json::from_slice(body) {
        Ok(test) => test,
        Err(err) => return Reply::error(400, format!("the body is none of a test: {err}")),
    };
    let is_long = |(name, value): (&String, &String)| name.is_empty() || value.len() > TEXT_BYTES_MAX;
    if test.labels.len() > LABELS_MAX || test.labels.iter().any(is_long) {
        return Reply::error(400, "labels: too many, too long, or without a name");
    }
    match handle.test(&test.receiver, &Labels::from_pairs(test.labels)).await {
        Ok(tested) => Reply::json(&tested),
        Err(Refused::NoReceiver) => {
            let names = handle.shared.look(|core, _| {
                core.config
                    .receivers
                    .iter()
                    .map(|receiver| format!("{:?}", receiver.name))
                    .collect::<Vec<_>>()
            });
            Reply::error(
                404,
                format!("no receiver is called {:?}; there are {}", test.receiver, names.join(", ")),
            )
        }
        Err(Refused::TooMany) => Reply::error(
            429,
            format!("at most {TESTS_MAX} tests of receivers are sent within a minute; try again in a minute"),
        ),
    }
}
