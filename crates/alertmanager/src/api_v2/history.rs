//! `/api/v2/alerts/history`: ours, as Alertmanager keeps none.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::Reply;
use super::json::Time;
use super::params::Params;
use crate::handle::Handle;
use crate::history::{Found, Kind, Map, Wanted};

/// Events of one answer when nobody says how many, and at most. Chosen.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 5_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    events: Vec<ShownEvent<'a>>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    /// Lines of the log that could not be read.
    damaged: u64,
    /// Why nothing can be written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ShownAlert<'a> {
    fingerprint: &'a str,
    labels: &'a Map,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownEvent<'a> {
    at: Time,
    kind: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<ShownAlert<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolved: Vec<ShownAlert<'a>>,
    /// How many there were of each; the lists hold the first of them.
    #[serde(skip_serializing_if = "is_zero")]
    alerts_total: u64,
    #[serde(skip_serializing_if = "is_zero")]
    resolved_total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    by: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    integration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_labels: Option<&'a Map>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silence: Option<ShownSilence<'a>>,
    /// Events that were dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownSilence<'a> {
    id: &'a str,
    matchers: &'a [String],
    created_by: &'a str,
    comment: &'a str,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn shown_alerts(alerts: &[(String, Arc<Map>)]) -> Vec<ShownAlert<'_>> {
    alerts.iter().map(|(fingerprint, labels)| ShownAlert { fingerprint, labels }).collect()
}

impl<'a> From<&'a Found> for ShownEvent<'a> {
    fn from(found: &'a Found) -> Self {
        let event = &found.event;
        let total = |n: Option<u64>, named: &[String]| n.unwrap_or(named.len() as u64);
        Self {
            at: Time(event.at),
            kind: event.kind.word(),
            alerts: shown_alerts(&found.alerts),
            resolved: shown_alerts(&found.resolved),
            alerts_total: total(event.n_alerts, &event.alerts),
            resolved_total: total(event.n_resolved, &event.resolved),
            starts_at: event.starts.map(Time),
            ends_at: event.ends.map(Time),
            value: event.value,
            peak: event.peak,
            by: &event.by,
            receiver: event.receiver.as_deref(),
            integration: event.integration.as_deref(),
            index: event.idx,
            group_labels: event.group.as_ref(),
            reason: event.reason.as_deref(),
            error: event.error.as_deref(),
            attempt: event.attempt,
            took_seconds: event.took.map(|took_ms| took_ms as f64 / 1e3),
            silence: event.id.as_deref().map(|id| ShownSilence {
                id,
                matchers: &event.matchers,
                created_by: event.author.as_deref().unwrap_or_default(),
                comment: event.comment.as_deref().unwrap_or_default(),
            }),
            count: event.n,
        }
    }
}

fn kinds(params: &Params) -> Result<BTreeSet<Kind>, Reply> {
    let read = |word: &str| {
        let bad = || Reply::error(400, format!("kind: {word:?} is none of {}", Kind::words()));
        Kind::of_word(word).ok_or_else(bad)
    };
    params.words("kind").map(read).collect()
}

fn wanted(query: &str) -> Result<Wanted, Reply> {
    let params = Params::new(query);
    let limit = match params.first("limit").filter(|text| !text.is_empty()) {
        None => LIMIT_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
            .ok_or_else(|| Reply::error(400, format!("limit: {text:?} is not from 1 to {LIMIT_MAX}")))?,
    };
    let (since_ms, until_ms) = (params.moment("since")?, params.moment("until")?);
    if since_ms.zip(until_ms).is_some_and(|(since_ms, until_ms)| until_ms < since_ms) {
        return Err(Reply::error(400, "until lies before since: nothing can have happened between"));
    }
    let cursor = params.first("cursor").filter(|text| !text.is_empty());
    Ok(Wanted {
        matchers: params.matchers("filter")?,
        kinds: kinds(&params)?,
        receiver: params.first("receiver").filter(|name| !name.is_empty()).map(str::to_owned),
        since_ms,
        until_ms,
        limit,
        cursor: cursor.map(str::parse).transpose().map_err(|err: String| Reply::error(400, err))?,
    })
}

pub(super) fn get(handle: &Handle, query: &str) -> Reply {
    let wanted = match wanted(query) {
        Ok(wanted) => wanted,
        Err(reply) => return reply,
    };
    let shared = &handle.shared;
    if !shared.look(|core, _| core.history.is_on()) {
        return Reply::error(404, "no history is kept: --alerts.history-max-bytes is 0");
    }
    let page = shared.history.search(&wanted, shared.clock.now_ms());
    Reply::json(&Answer {
        events: page.events.iter().map(ShownEvent::from).collect(),
        next: page.next.as_deref(),
        damaged: page.n_damaged,
        problem: page.problem.as_deref(),
    })
}
