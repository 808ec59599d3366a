//! `/api/v2/alerts`.

use std::collections::BTreeMap;

use model::{Labels, Matcher};
use serde::{Deserialize, Serialize};

use super::params::Params;
use super::{LABELS_MAX, Named, Reply, TEXT_BYTES_MAX};
use crate::alert::{Alert, Fingerprint, ZERO_TIME_MS};
use crate::dispatch::{AlertStatus, Core};
use crate::handle::{Handle, Incoming};
use crate::time::{api_rfc3339, parse_rfc3339};

type Map = BTreeMap<String, String>;

/// An alert as the API shows it, keys in upstream's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GettableAlert {
    annotations: Map,
    ends_at: String,
    fingerprint: String,
    receivers: Vec<Named>,
    starts_at: String,
    status: GettableStatus,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
    labels: Map,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableStatus {
    inhibited_by: Vec<String>,
    muted_by: Vec<String>,
    silenced_by: Vec<String>,
    state: &'static str,
}

impl GettableAlert {
    pub(super) fn new(
        fingerprint: Fingerprint,
        alert: &Alert,
        receivers: Vec<String>,
        status: AlertStatus,
    ) -> Self {
        Self {
            annotations: map(&alert.annotations),
            ends_at: api_rfc3339(alert.ends_at_ms),
            fingerprint: fingerprint.to_string(),
            receivers: receivers.into_iter().map(|name| Named { name }).collect(),
            starts_at: api_rfc3339(alert.starts_at_ms),
            status: GettableStatus {
                state: status.state(),
                inhibited_by: status.inhibited_by.iter().map(ToString::to_string).collect(),
                muted_by: status.muted_by,
                silenced_by: status.silenced_by,
            },
            updated_at: api_rfc3339(alert.updated_at_ms),
            generator_url: alert.generator_url.clone(),
            labels: map(&alert.labels),
        }
    }
}

pub(super) fn map(labels: &Labels) -> Map {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Which alerts are wanted.
pub(super) struct Filter {
    active: bool,
    silenced: bool,
    inhibited: bool,
    matchers: Vec<Matcher>,
    pub(super) receiver: Option<model::Regex>,
    pub(super) receiver_matchers: Vec<Matcher>,
}

impl Filter {
    pub(super) fn new(params: &Params) -> Result<Self, Reply> {
        Ok(Self {
            active: params.is_on("active"),
            silenced: params.is_on("silenced"),
            inhibited: params.is_on("inhibited"),
            matchers: params.matchers("filter")?,
            receiver: params.receiver()?,
            receiver_matchers: params.matchers("receiver_matchers")?,
        })
    }

    /// The state of an alert, when it is wanted.
    pub(super) fn status(
        &self,
        core: &Core,
        alert: &Alert,
        muted_by: &[String],
        now_ms: i64,
    ) -> Option<AlertStatus> {
        if alert.is_resolved_at(now_ms) || !self.matchers.iter().all(|m| m.matches_labels(&alert.labels)) {
            return None;
        }
        let mut status = core.status_of(&alert.labels, now_ms);
        status.muted_by = muted_by.to_vec();
        let is_wanted = (self.active || status.state() != "active")
            && (self.silenced || status.silenced_by.is_empty())
            && (self.inhibited || status.inhibited_by.is_empty());
        is_wanted.then_some(status)
    }

    /// Whether a receiver is wanted.
    pub(super) fn takes_receiver(&self, core: &Core, name: &str) -> bool {
        if self.receiver.as_ref().is_some_and(|regex| !regex.is_match(name)) {
            return false;
        }
        let labels = core.config.receiver(name).map(|receiver| &receiver.labels);
        let value = |matcher: &Matcher| {
            labels.and_then(|labels| labels.get(&matcher.name)).map_or("", String::as_str)
        };
        self.receiver_matchers.iter().all(|matcher| matcher.matches(value(matcher)))
    }
}

pub(super) fn get(handle: &Handle, query: &str) -> Reply {
    let filter = match Filter::new(&Params::new(query)) {
        Ok(filter) => filter,
        Err(reply) => return reply,
    };
    // Kept by fingerprint, and so sorted by it.
    handle.shared.look(|core, now_ms| {
        let wanted = core.alerts.iter().filter_map(|(fingerprint, alert)| {
            let status = filter.status(core, alert, &[], now_ms)?;
            let receivers = core.receivers_of(&alert.labels);
            if !receivers.iter().any(|name| filter.takes_receiver(core, name)) {
                return None;
            }
            Some(GettableAlert::new(*fingerprint, alert, receivers, status))
        });
        Reply::json(&wanted.collect::<Vec<_>>())
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert {
    labels: Option<Map>,
    annotations: Option<Map>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
}

pub(super) fn post(handle: &Handle, body: &[u8]) -> Reply {
    let postable: Vec<PostableAlert> = match serde_json::from_slice(body) {
        Ok(postable) => postable,
        Err(err) => {
            return Reply::invalid(400, format!("parsing alerts body from \"\" failed, because {err}"));
        }
    };
    if let Some(idx) = postable.iter().position(|alert| alert.labels.is_none()) {
        return Reply::invalid(602, format!("{idx}.labels in body is required"));
    }
    let mut refused = Vec::new();
    let mut incoming = Vec::new();
    for alert in postable {
        match read(alert) {
            Ok(report) => incoming.push(report),
            Err(reason) => {
                handle.shared.metrics.invalid.with(&["v2"]).inc();
                refused.push(reason);
            }
        }
    }
    refused.extend(handle.put(incoming));
    if refused.is_empty() { Reply::empty(200) } else { Reply::error(400, refused.join("\n")) }
}

fn read(alert: PostableAlert) -> Result<Incoming, String> {
    let url = alert.generator_url.unwrap_or_default();
    if url.len() > TEXT_BYTES_MAX {
        return Err(format!("generatorURL is longer than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(Incoming {
        labels: labels("label set", alert.labels.unwrap_or_default())?,
        annotations: labels("annotations", alert.annotations.unwrap_or_default())?,
        starts_at_ms: time("startsAt", alert.starts_at)?,
        ends_at_ms: time("endsAt", alert.ends_at)?,
        generator_url: url,
    })
}

fn labels(what: &str, pairs: Map) -> Result<Labels, String> {
    if pairs.len() > LABELS_MAX {
        return Err(format!("invalid {what}: more than {LABELS_MAX} pairs"));
    }
    for (name, value) in &pairs {
        if name.is_empty() {
            return Err(format!("invalid {what}: invalid name \"\""));
        }
        if name.len() > TEXT_BYTES_MAX || value.len() > TEXT_BYTES_MAX {
            return Err(format!("invalid {what}: a name or value is longer than {TEXT_BYTES_MAX} bytes"));
        }
    }
    Ok(Labels::from_pairs(pairs))
}

/// Only Go's zero time counts as not said.
fn time(what: &str, text: Option<String>) -> Result<Option<i64>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let at_ms = parse_rfc3339(&text).ok_or_else(|| format!("{what}: {text:?} is not a time of RFC 3339"))?;
    Ok((at_ms != ZERO_TIME_MS).then_some(at_ms))
}
