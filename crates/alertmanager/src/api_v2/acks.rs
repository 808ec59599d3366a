//! `/api/v2/acknowledgements`: who has which alert. Ours, as Alertmanager knows nothing of the kind.

use model::Labels;
use serde::{Deserialize, Serialize};

use super::json::{self, LabelMap, Time};
use super::params::Params;
use super::{Reply, TEXT_BYTES_MAX};
use crate::ack::Ack;
use crate::alert::Fingerprint;
use crate::dispatch::{Word, WordError};
use crate::handle::Handle;
use crate::matcher::parse_matcher;
use crate::time::parse_rfc3339;

/// Longest name and note, in bytes. Chosen: one is kept for each alert.
const NOTE_BYTES_MAX: usize = 4 << 10;
/// Most matchers of one request. Chosen, as for silences.
const MATCHERS_MAX: usize = 256;

/// Who has an alert, as answers show it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Held {
    by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
    snoozed: bool,
}

impl From<&Ack> for Held {
    fn from(ack: &Ack) -> Self {
        Self {
            by: ack.by.clone(),
            comment: ack.note.clone(),
            at: Time(ack.at_ms),
            until: ack.until_ms.map(Time),
            snoozed: ack.is_snooze,
        }
    }
}

#[derive(Debug, Serialize)]
struct Listed {
    #[serde(serialize_with = "json::fingerprint")]
    fingerprint: Fingerprint,
    #[serde(serialize_with = "json::labels")]
    labels: Labels,
    #[serde(flatten)]
    held: Held,
}

pub(super) fn list(handle: &Handle, query: &str) -> Reply {
    let matchers = match Params::new(query).matchers("filter") {
        Ok(matchers) => matchers,
        Err(reply) => return reply,
    };
    let listed = handle.shared.look(|core, now_ms| {
        let listed = core.acks.after(None).filter_map(|(id, _)| {
            let alert = core.alerts.get(&id)?;
            let ack = core.ack_of(id, alert, now_ms)?;
            let is_wanted = matchers.iter().all(|matcher| matcher.matches_labels(&alert.labels));
            is_wanted.then(|| Listed { fingerprint: id, labels: alert.labels.clone(), held: ack.into() })
        });
        listed.collect::<Vec<_>>()
    });
    Reply::json(&listed)
}

/// Which alerts, by whom, and until when.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Postable {
    #[serde(default)]
    fingerprints: Vec<String>,
    #[serde(default)]
    matchers: Vec<String>,
    created_by: Option<String>,
    #[serde(default)]
    comment: String,
    ends_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Changed<'a> {
    alerts: Vec<Named<'a>>,
}

#[derive(Debug, Serialize)]
struct Named<'a> {
    #[serde(serialize_with = "json::fingerprint")]
    fingerprint: Fingerprint,
    labels: LabelMap<'a>,
}

/// Takes alerts in hand, or with `is_held` off gives them back.
pub(super) fn post(handle: &Handle, body: &[u8], is_held: bool) -> Reply {
    let postable: Postable = match serde_json::from_slice(body) {
        Ok(postable) => postable,
        Err(err) => {
            return Reply::invalid(
                400,
                format!("parsing acknowledgement body from \"\" failed, because {err}"),
            );
        }
    };
    let (fingerprints, matchers, word) = match read(&postable, is_held) {
        Ok(read) => read,
        Err(reply) => return reply,
    };
    let changed = handle.shared.change(|core, now_ms| {
        if word.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Err(Reply::error(400, "endsAt must lie in the future"));
        }
        let alerts = core.firing(&fingerprints, &matchers, now_ms);
        core.say(alerts, &word, now_ms).map_err(|err| {
            let status = if err == WordError::TooMany { 400 } else { 404 };
            Reply::error(status, err.to_string())
        })
    });
    match changed {
        Ok(alerts) => {
            let named =
                alerts.iter().map(|(id, alert)| Named { fingerprint: *id, labels: LabelMap(&alert.labels) });
            Reply::json(&Changed { alerts: named.collect() })
        }
        Err(reply) => reply,
    }
}

type Asked = (Vec<Fingerprint>, Vec<model::Matcher>, Word);

fn read(postable: &Postable, is_held: bool) -> Result<Asked, Reply> {
    let by = postable.created_by.as_deref().map(str::trim).filter(|by| !by.is_empty());
    let by = by.ok_or_else(|| Reply::invalid(602, "createdBy in body is required: who says so"))?;
    if by.len() > NOTE_BYTES_MAX || postable.comment.len() > NOTE_BYTES_MAX {
        return Err(Reply::error(400, format!("createdBy or comment is longer than {NOTE_BYTES_MAX} bytes")));
    }
    if postable.fingerprints.is_empty() && postable.matchers.is_empty() {
        return Err(Reply::error(400, "fingerprints or matchers are needed: which alerts"));
    }
    if postable.matchers.len() > MATCHERS_MAX {
        return Err(Reply::error(400, format!("more than {MATCHERS_MAX} matchers")));
    }
    let fingerprint = |text: &String| {
        let bad =
            || Reply::error(400, format!("bad fingerprint: {text:?}: 16 hexadecimal digits are needed"));
        let is_good = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| is_good).map(Fingerprint).ok_or_else(bad)
    };
    let matcher = |text: &String| {
        let is_short = text.len() <= TEXT_BYTES_MAX;
        let parsed = if is_short {
            parse_matcher(text).map_err(|err| err.to_string())
        } else {
            Err("too long".into())
        };
        parsed.map_err(|err| {
            let shown: String = text.chars().take(100).collect();
            Reply::error(400, format!("bad matcher format: {shown}: {err}"))
        })
    };
    let until_ms = match postable.ends_at.as_ref().filter(|_| is_held) {
        None => None,
        Some(text) => Some(parse_rfc3339(text).ok_or_else(|| {
            Reply::invalid(601, format!("endsAt in body must be of type date-time: {text:?}"))
        })?),
    };
    let word = Word { by: by.to_owned(), note: postable.comment.clone(), until_ms, is_held };
    Ok((
        postable.fingerprints.iter().map(fingerprint).collect::<Result<_, _>>()?,
        postable.matchers.iter().map(matcher).collect::<Result<_, _>>()?,
        word,
    ))
}
