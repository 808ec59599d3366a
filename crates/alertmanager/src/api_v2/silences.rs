//! `/api/v2/silences` and `/api/v2/silence/{id}`.

use std::collections::BTreeMap;

use model::{MatchOp, Matcher};
use serde::Serialize;

use super::json::read_in_any_case;
use super::params::Params;
use super::{Reply, TEXT_BYTES_MAX, bad_time};
use crate::handle::Handle;
use crate::silence::{Silence, SilenceError, SilenceState};
use crate::time::{api_rfc3339, parse_moment};
use crate::uuid::{is_uuid, new_uuid};

/// Most matchers of one silence. Chosen.
const MATCHERS_MAX: usize = 256;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableSilence {
    id: String,
    status: State,
    updated_at: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    comment: String,
    created_by: String,
    ends_at: String,
    matchers: Vec<JsonMatcher>,
    starts_at: String,
}

#[derive(Debug, Serialize)]
struct State {
    state: &'static str,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonMatcher {
    is_equal: Option<bool>,
    is_regex: Option<bool>,
    name: Option<String>,
    value: Option<String>,
}

read_in_any_case!(JsonMatcher {
    "isEqual" => is_equal,
    "isRegex" => is_regex,
    "name" => name,
    "value" => value,
});

impl From<&Matcher> for JsonMatcher {
    fn from(matcher: &Matcher) -> Self {
        Self {
            is_equal: Some(matches!(matcher.op, MatchOp::Equal | MatchOp::Regex)),
            is_regex: Some(matches!(matcher.op, MatchOp::Regex | MatchOp::NotRegex)),
            name: Some(matcher.name.clone()),
            value: Some(matcher.value.clone()),
        }
    }
}

fn gettable(silence: &Silence, now_ms: i64) -> GettableSilence {
    GettableSilence {
        id: silence.id.clone(),
        status: State { state: silence.state_at(now_ms).text() },
        updated_at: api_rfc3339(silence.updated_at_ms),
        annotations: silence.annotations.clone(),
        comment: silence.comment.clone(),
        created_by: silence.created_by.clone(),
        ends_at: api_rfc3339(silence.ends_at_ms),
        matchers: silence.matchers.iter().map(JsonMatcher::from).collect(),
        starts_at: api_rfc3339(silence.starts_at_ms),
    }
}

/// Active ones by end, pending ones by start, expired ones by end, the latest first.
pub(super) fn list(handle: &Handle, query: &str) -> Reply {
    let params = Params::new(query);
    let filter = match params.matchers("filter") {
        Ok(filter) => filter,
        Err(reply) => return reply,
    };
    handle.shared.look(|core, now_ms| {
        let is_wanted = |silence: &&Silence| {
            let state = silence.state_at(now_ms);
            params.is_on(state.text()) && filter.iter().all(|wanted| silence.matchers.contains(wanted))
        };
        let mut silences: Vec<&Silence> = core.silences.iter().filter(is_wanted).collect();
        // Of those with the same time the one that was made first, as upstream keeps them.
        silences.sort_by_key(|silence| {
            let state = silence.state_at(now_ms);
            let at_ms = match state {
                SilenceState::Active => silence.ends_at_ms,
                SilenceState::Pending => silence.starts_at_ms,
                SilenceState::Expired => silence.ends_at_ms.saturating_neg(),
            };
            (state, at_ms, silence.updated_at_ms)
        });
        Reply::json(&silences.into_iter().map(|silence| gettable(silence, now_ms)).collect::<Vec<_>>())
    })
}

pub(super) fn get(handle: &Handle, id: &str) -> Reply {
    if !is_uuid(id) {
        return not_uuid(id);
    }
    handle.shared.look(|core, now_ms| match core.silences.get(id) {
        Some(silence) => Reply::json(&gettable(silence, now_ms)),
        None => Reply::empty(404),
    })
}

pub(super) fn delete(handle: &Handle, id: &str) -> Reply {
    if !is_uuid(id) {
        return not_uuid(id);
    }
    match handle.shared.change(|core, now_ms| core.expire_silence(id, now_ms)) {
        Ok(()) => {
            if handle.shared.logs_silences {
                tracing::info!(id, "silence ended");
            }
            Reply::empty(200)
        }
        Err(SilenceError::NotFound) => Reply::empty(404),
        Err(err) => Reply::error(500, err.to_string()),
    }
}

fn not_uuid(id: &str) -> Reply {
    let id: String = id.chars().take(100).collect();
    Reply::invalid(601, format!("silenceID in path must be of type uuid: {id:?}"))
}

#[derive(Debug, Default)]
struct PostableSilence {
    id: Option<String>,
    matchers: Option<Vec<JsonMatcher>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

read_in_any_case!(PostableSilence {
    "id" => id,
    "matchers" => matchers,
    "startsAt" => starts_at,
    "endsAt" => ends_at,
    "createdBy" => created_by,
    "comment" => comment,
    "annotations" => annotations,
});

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    #[serde(rename = "silenceID")]
    silence_id: String,
}

pub(super) fn post(handle: &Handle, body: &[u8]) -> Reply {
    if body.trim_ascii().is_empty() {
        return Reply::invalid(602, "silence in body is required");
    }
    let postable: PostableSilence = match serde_json::from_slice(body) {
        Ok(postable) => postable,
        Err(err) => {
            return Reply::invalid(400, format!("parsing silence body from \"\" failed, because {err}"));
        }
    };
    let now_ms = handle.shared.look(|_, now_ms| now_ms);
    let silence = match read(postable, now_ms) {
        Ok(silence) => silence,
        Err(reply) => return reply,
    };
    let Ok(new_id) = new_uuid() else { return Reply::error(500, "the system gives no random numbers") };
    let changed = handle.shared.change(|core, now_ms| core.set_silence(silence, new_id, now_ms));
    match changed {
        Ok(silence_id) => {
            if handle.shared.logs_silences {
                tracing::info!(id = %silence_id, "silence made or changed");
            }
            Reply::json(&Created { silence_id })
        }
        Err(SilenceError::NotFound) => Reply::error(404, SilenceError::NotFound.to_string()),
        Err(err) => Reply::error(400, err.to_string()),
    }
}

/// The silence of a body; faults are found in upstream's order.
fn read(postable: PostableSilence, now_ms: i64) -> Result<Silence, Reply> {
    let required = |what: &str| Reply::invalid(602, format!("{what} in body is required"));
    // What is no time at all is found while reading, before anything is missed; then in the order of names.
    let time = |what: &str, text: &Option<String>| {
        let read = |text: &String| parse_moment(text).ok_or_else(|| bad_time("silence", what, text));
        text.as_ref().map(read).transpose()
    };
    let (starts_at_ms, ends_at_ms) =
        (time("startsAt", &postable.starts_at)?, time("endsAt", &postable.ends_at)?);
    let comment = postable.comment.ok_or_else(|| required("comment"))?;
    let created_by = postable.created_by.ok_or_else(|| required("createdBy"))?;
    let ends_at_ms = ends_at_ms.ok_or_else(|| required("endsAt"))?;
    let matchers = postable.matchers.ok_or_else(|| required("matchers"))?;
    if matchers.is_empty() {
        return Err(Reply::invalid(612, "matchers in body should have at least 1 items"));
    }
    matchers.iter().enumerate().try_for_each(|(idx, json)| is_whole(idx, json))?;
    let starts_at_ms = starts_at_ms.ok_or_else(|| required("startsAt"))?;
    if starts_at_ms >= ends_at_ms {
        return Err(Reply::error(400, "Failed to create silence: start time must be before end time"));
    }
    if ends_at_ms < now_ms {
        return Err(Reply::error(400, "Failed to create silence: end time can't be in the past"));
    }
    if matchers.len() > MATCHERS_MAX {
        return Err(Reply::error(400, format!("invalid silence: more than {MATCHERS_MAX} matchers")));
    }
    let matchers = matchers.into_iter().enumerate().map(|(idx, json)| matcher(idx, json));
    let silence = Silence {
        id: postable.id.unwrap_or_default(),
        matchers: matchers.collect::<Result<_, _>>()?,
        starts_at_ms,
        ends_at_ms,
        updated_at_ms: 0,
        created_by,
        comment,
        annotations: postable.annotations.unwrap_or_default(),
    };
    let annotations = silence.annotations.iter().flat_map(|(name, value)| [name, value]);
    let texts = [&silence.comment, &silence.created_by].into_iter().chain(annotations);
    if texts.map(String::len).any(|bytes| bytes > TEXT_BYTES_MAX) {
        let what = format!("invalid silence: a text is longer than {TEXT_BYTES_MAX} bytes");
        return Err(Reply::error(400, what));
    }
    Ok(silence)
}

/// Whether a matcher has all that it needs, in the order of names, as upstream finds what is missing.
fn is_whole(idx: usize, json: &JsonMatcher) -> Result<(), Reply> {
    let has = [
        ("isRegex", json.is_regex.is_some()),
        ("name", json.name.is_some()),
        ("value", json.value.is_some()),
    ];
    match has.into_iter().find(|(_, is_there)| !is_there) {
        Some((what, _)) => Err(Reply::invalid(602, format!("matchers.{idx}.{what} in body is required"))),
        None => Ok(()),
    }
}

/// The matcher at `idx` of a silence, or of a maintenance window.
pub(super) fn matcher(idx: usize, json: JsonMatcher) -> Result<Matcher, Reply> {
    is_whole(idx, &json)?;
    let (name, value) = (json.name.unwrap_or_default(), json.value.unwrap_or_default());
    let op = match (json.is_equal.unwrap_or(true), json.is_regex.unwrap_or_default()) {
        (true, false) => MatchOp::Equal,
        (false, false) => MatchOp::NotEqual,
        (true, true) => MatchOp::Regex,
        (false, true) => MatchOp::NotRegex,
    };
    if name.len() > TEXT_BYTES_MAX || value.len() > TEXT_BYTES_MAX {
        return Err(Reply::error(
            400,
            format!("invalid silence: a matcher is longer than {TEXT_BYTES_MAX} bytes"),
        ));
    }
    let shown = value.clone();
    Matcher::new(op, name, value).map_err(|err| {
        let what =
            format!("invalid label matcher {idx} in set 0: invalid regular expression {shown:?}: {err}");
        Reply::error(400, format!("invalid silence: {what}"))
    })
}
