//! `/api/v2/alerts/watched` and `/api/v2/ignores`: ours, as Alertmanager knows nothing of the kind.

use serde::Serialize;

use super::Reply;
use super::json::{self, LabelMap, Time};
use super::params::Params;
use crate::alert::{Alert, Fingerprint};
use crate::dispatch::{WatchState, WatchedView};
use crate::handle::Handle;
use crate::hosts::Host;
use crate::watch::Ignore;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Watched<'a> {
    #[serde(serialize_with = "json::fingerprint")]
    fingerprint: Fingerprint,
    labels: LabelMap<'a>,
    route: &'a str,
    receiver: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurrences: Option<ShownOccurrences>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detected_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reissue_at: Option<Time>,
    /// When it is over, unless it is detected again.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<ShownHost<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_by: Option<IgnoredBy<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownOccurrences {
    seen: usize,
    needed: usize,
    within_seconds: f64,
}

#[derive(Debug, Serialize)]
struct ShownHost<'a> {
    label: &'a str,
    value: &'a str,
    state: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IgnoredBy<'a> {
    owner: &'a str,
    reason: &'a str,
    ends_at: Time,
}

impl<'a> From<&'a Ignore> for IgnoredBy<'a> {
    fn from(ignore: &'a Ignore) -> Self {
        Self { owner: &ignore.owner, reason: &ignore.reason, ends_at: Time(ignore.ends_at_ms) }
    }
}

impl WatchState {
    fn text(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Counting => "counting",
            Self::Waiting => "waiting",
            Self::Issued => "issued",
            Self::Clearing => "clearing",
            Self::HostAway => "hostAway",
        }
    }
}

fn host((host, is_active): &(Host, Option<bool>)) -> ShownHost<'_> {
    let state = match is_active {
        Some(true) => "active",
        Some(false) => "inactive",
        None => "unknown",
    };
    ShownHost { label: &host.label, value: &host.value, state }
}

impl<'a> From<&'a WatchedView> for Watched<'a> {
    fn from(view: &'a WatchedView) -> Self {
        let occurrences = view.occurrences.map(|(seen, asked)| ShownOccurrences {
            seen,
            needed: asked.count,
            within_seconds: asked.within_ms as f64 / 1e3,
        });
        Self {
            fingerprint: view.fingerprint,
            labels: LabelMap(&view.alert.labels),
            route: &view.route,
            receiver: &view.receiver,
            state: view.state.text(),
            occurrences,
            detected_at: view.detected_ms.map(Time),
            issued_at: view.issued_ms.map(Time),
            reissue_at: view.reissue_ms.map(Time),
            success_at: view.over_at_ms.map(Time),
            host: view.host.as_ref().map(host),
            ignored_by: view.ignored_by.as_ref().map(IgnoredBy::from),
        }
    }
}

pub(super) fn get(handle: &Handle, query: &str) -> Reply {
    let matchers = match Params::new(query).matchers("filter") {
        Ok(matchers) => matchers,
        Err(reply) => return reply,
    };
    let is_wanted = |alert: &Alert| matchers.iter().all(|matcher| matcher.matches_labels(&alert.labels));
    let views = handle.shared.look(|core, now_ms| core.watched_views(is_wanted, now_ms));
    Reply::json(&views.iter().map(Watched::from).collect::<Vec<_>>())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownIgnore<'a> {
    route: &'a str,
    matchers: Vec<String>,
    owner: &'a str,
    reason: &'a str,
    ends_at: Time,
    state: &'static str,
    /// Alerts it hides now.
    hides: usize,
}

pub(super) fn get_ignores(handle: &Handle) -> Reply {
    let (views, now_ms) = handle.shared.look(|core, now_ms| (core.ignore_views(now_ms), now_ms));
    let shown = views.iter().map(|(route, ignore, hides)| ShownIgnore {
        route,
        matchers: ignore.matchers.iter().map(ToString::to_string).collect(),
        owner: &ignore.owner,
        reason: &ignore.reason,
        ends_at: Time(ignore.ends_at_ms),
        state: if now_ms < ignore.ends_at_ms { "active" } else { "expired" },
        hides: *hides,
    });
    Reply::json(&shown.collect::<Vec<_>>())
}
