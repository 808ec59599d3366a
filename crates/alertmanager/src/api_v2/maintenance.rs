//! `/api/v2/maintenance`: windows of planned quiet; ours, as Alertmanager knows nothing of the kind.

use std::sync::Arc;

use model::{Labels, Matcher};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::json::{self, Time};
use super::silences::{JsonMatcher, matcher};
use super::{Reply, TEXT_BYTES_MAX};
use crate::alert::{Alert, Fingerprint};
use crate::dispatch::{RUNS_SHOWN, WindowView};
use crate::handle::Handle;
use crate::maintenance::{Origin, Run, Spec, Window, WindowError};
use crate::matcher::parse_matchers;
use crate::uuid::{is_uuid, new_uuid};

/// Alerts that a preview lists; it counts them all. Chosen.
const ALERTS_LISTED: usize = 200;

/// A window as it is asked for. What [`Shown`] has besides is read over, so that an answer can be changed and sent back.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Posted {
    name: String,
    matchers: Vec<PostedMatcher>,
    start: String,
    duration: String,
    recurrence: String,
    except: Vec<String>,
    time_zone: String,
    owner: String,
    reason: String,
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "origin")]
    _origin: IgnoredAny,
    #[serde(rename = "state")]
    _state: IgnoredAny,
    #[serde(rename = "updatedAt")]
    _updated_at: IgnoredAny,
    #[serde(rename = "runs")]
    _runs: IgnoredAny,
    #[serde(rename = "silences")]
    _silences: IgnoredAny,
    #[serde(rename = "matchedAlerts")]
    _matched_alerts: IgnoredAny,
}

/// An object as silences have it, or a text as the file has it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PostedMatcher {
    Text(String),
    Object(JsonMatcher),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    /// `file` or `api`.
    origin: &'static str,
    state: &'static str,
    matchers: Vec<JsonMatcher>,
    start: &'a str,
    duration: &'a str,
    recurrence: &'a str,
    except: &'a [String],
    time_zone: &'a str,
    owner: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Time>,
    runs: Vec<ShownRun>,
    silences: &'a [String],
    matched_alerts: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRun {
    starts_at: Time,
    ends_at: Time,
}

impl From<&Run> for ShownRun {
    fn from(run: &Run) -> Self {
        Self { starts_at: Time(run.starts_at_ms), ends_at: Time(run.ends_at_ms) }
    }
}

impl<'a> Shown<'a> {
    fn new(view: &'a WindowView, firing: &[(Fingerprint, Arc<Alert>)]) -> Self {
        let spec = &view.window.spec;
        Self {
            id: &view.id,
            name: &spec.name,
            origin: match view.origin {
                Origin::File => "file",
                Origin::Api => "api",
            },
            state: match (view.silences.is_empty(), view.runs.is_empty()) {
                (false, _) => "active",
                (true, false) => "waiting",
                (true, true) => "over",
            },
            matchers: spec.matchers.iter().map(JsonMatcher::from).collect(),
            start: &spec.start,
            duration: &spec.duration,
            recurrence: &spec.recurrence,
            except: &spec.except,
            time_zone: if spec.time_zone.is_empty() { "UTC" } else { &spec.time_zone },
            owner: &spec.owner,
            reason: &spec.reason,
            updated_at: view.updated_at_ms.map(Time),
            runs: view.runs.iter().map(ShownRun::from).collect(),
            silences: &view.silences,
            matched_alerts: firing.iter().filter(|(_, alert)| view.window.hides(&alert.labels)).count(),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Preview<'a> {
    runs: Vec<ShownRun>,
    /// All of them.
    matched_alerts: usize,
    /// The first of them, by labels.
    alerts: Vec<PreviewAlert<'a>>,
}

#[derive(Debug, Serialize)]
struct PreviewAlert<'a> {
    #[serde(serialize_with = "json::fingerprint")]
    fingerprint: Fingerprint,
    #[serde(serialize_with = "json::labels")]
    labels: &'a Labels,
}

/// Matching is done behind the lock: of a hundred thousand alerts nobody else should wait for it.
pub(super) fn list(handle: &Handle) -> Reply {
    let (views, firing) =
        handle.shared.look(|core, now_ms| (core.window_views(now_ms), core.firing(&[], &[], now_ms)));
    Reply::json(&views.iter().map(|view| Shown::new(view, &firing)).collect::<Vec<_>>())
}

pub(super) fn get(handle: &Handle, id: &str) -> Reply {
    match handle
        .shared
        .look(|core, now_ms| core.window_view(id, now_ms).map(|view| (view, core.firing(&[], &[], now_ms))))
    {
        Some((view, firing)) => Reply::json(&Shown::new(&view, &firing)),
        None => refused(&WindowError::NotFound),
    }
}

pub(super) fn post(handle: &Handle, body: &[u8]) -> Reply {
    let Ok(id) = new_uuid() else { return Reply::error(500, "the system gives no random numbers") };
    match read(body) {
        Ok(window) => set(handle, &id, window, "maintenance window made"),
        Err(reply) => reply,
    }
}

pub(super) fn put(handle: &Handle, id: &str, body: &[u8]) -> Reply {
    if !is_uuid(id) || handle.shared.look(|core, _| core.windows.get(id).is_none()) {
        return refused(&WindowError::NotFound);
    }
    match read(body) {
        Ok(window) => set(handle, id, window, "maintenance window changed"),
        Err(reply) => reply,
    }
}

fn set(handle: &Handle, id: &str, window: Window, done: &'static str) -> Reply {
    if window.runs(handle.shared.clock.now_ms()).next().is_none() {
        return refused(&WindowError::Past);
    }
    let (name, owner) = (window.spec.name.clone(), window.spec.owner.clone());
    match handle.shared.change(|core, now_ms| core.set_window(id, window, now_ms)) {
        Ok(()) => {
            tracing::info!(id, name, owner, "{done}");
            get(handle, id)
        }
        Err(err) => refused(&err),
    }
}

pub(super) fn delete(handle: &Handle, id: &str) -> Reply {
    match handle.shared.change(|core, now_ms| core.delete_window(id, now_ms)) {
        Ok(()) => {
            tracing::info!(id, "maintenance window deleted");
            Reply::empty(200)
        }
        Err(err) => refused(&err),
    }
}

pub(super) fn end(handle: &Handle, id: &str) -> Reply {
    match handle.shared.change(|core, now_ms| core.end_window(id, now_ms)) {
        Ok(()) => {
            tracing::info!(id, "run of a maintenance window ended");
            get(handle, id)
        }
        Err(err) => refused(&err),
    }
}

/// What a window that is not kept would hide, and when. Who answers for it need not be known yet.
pub(super) fn preview(handle: &Handle, body: &[u8]) -> Reply {
    let mut spec = match read_spec(body) {
        Ok(spec) => spec,
        Err(reply) => return reply,
    };
    for text in [&mut spec.name, &mut spec.owner, &mut spec.reason] {
        if text.trim().is_empty() {
            "preview".clone_into(text);
        }
    }
    match Window::new(spec) {
        Ok(window) => show_preview(handle, &window),
        Err(err) => refused(&err),
    }
}

pub(super) fn preview_of(handle: &Handle, id: &str) -> Reply {
    match handle.shared.look(|core, _| core.windows.get(id).map(|(window, _)| Arc::clone(window))) {
        Some(window) => show_preview(handle, &window),
        None => refused(&WindowError::NotFound),
    }
}

fn show_preview(handle: &Handle, window: &Window) -> Reply {
    let (mut matched, now_ms) = handle.shared.look(|core, now_ms| (core.firing(&[], &[], now_ms), now_ms));
    matched.retain(|(_, alert)| window.hides(&alert.labels));
    matched.sort_by(|(_, a), (_, b)| a.labels.cmp(&b.labels));
    let runs: Vec<Run> = window.runs(now_ms).take(RUNS_SHOWN).collect();
    Reply::json(&Preview {
        runs: runs.iter().map(ShownRun::from).collect(),
        matched_alerts: matched.len(),
        alerts: matched
            .iter()
            .take(ALERTS_LISTED)
            .map(|(id, alert)| PreviewAlert { fingerprint: *id, labels: &alert.labels })
            .collect(),
    })
}

fn read(body: &[u8]) -> Result<Window, Reply> {
    read_spec(body).and_then(|spec| Window::new(spec).map_err(|err| refused(&err)))
}

fn read_spec(body: &[u8]) -> Result<Spec, Reply> {
    let posted: Posted = serde_json::from_slice(body)
        .map_err(|err| Reply::error(400, format!("the body is no maintenance window: {err}")))?;
    let mut matchers: Vec<Matcher> = Vec::new();
    for posted in posted.matchers {
        match posted {
            PostedMatcher::Object(object) => matchers.push(matcher(matchers.len(), object)?),
            PostedMatcher::Text(text) if text.len() > TEXT_BYTES_MAX => {
                return Err(Reply::error(
                    400,
                    format!("matchers: one is longer than {TEXT_BYTES_MAX} bytes"),
                ));
            }
            PostedMatcher::Text(text) => {
                let read = parse_matchers(&text);
                matchers.extend(read.map_err(|err| Reply::error(400, format!("matchers: {text}: {err}")))?);
            }
        }
    }
    Ok(Spec {
        name: posted.name.trim().to_owned(),
        matchers,
        start: posted.start.trim().to_owned(),
        duration: posted.duration.trim().to_owned(),
        recurrence: posted.recurrence.trim().to_owned(),
        except: posted.except,
        time_zone: posted.time_zone.trim().to_owned(),
        owner: posted.owner,
        reason: posted.reason,
    })
}

fn refused(err: &WindowError) -> Reply {
    let status = match err {
        WindowError::NotFound => 404,
        WindowError::OfFile | WindowError::NotRunning => 409,
        _ => 400,
    };
    Reply::error(status, err.to_string())
}
