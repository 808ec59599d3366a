//! `/api/v2/alerts`.

use std::sync::Arc;

use model::labels::quoted;
use model::{Labels, Matcher, Measured};
use serde::{Deserialize, Serialize, Serializer};

use super::acks::Held;
use super::json::{self, BodyPairs, BodyText, LabelMap, Texts, Time, read_in_any_case};
use super::params::Params;
use super::uri::is_uri;
use super::watched::IgnoredBy;
use super::{LABELS_MAX, Reply, TEXT_BYTES_MAX, bad_time};
use crate::alert::{Alert, Fingerprint, ZERO_TIME_MS};
use crate::dispatch::{AlertStatus, Core, StepView};
use crate::handle::{Handle, Incoming};
use crate::matcher::is_label_name;
use crate::time::parse_moment;
use crate::watch::Ignore;

/// How many alerts are looked at under the core's lock at once: others wait for well under a millisecond. Chosen.
const CHUNK_ALERTS: usize = 256;

/// An alert with what is known of it at the moment of the question.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) fingerprint: Fingerprint,
    pub(super) alert: Arc<Alert>,
    pub(super) receivers: Vec<String>,
    pub(super) status: AlertStatus,
    pub(super) own: Own,
}

/// As the API shows it, keys in upstream's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableAlert<'a> {
    annotations: LabelMap<'a>,
    ends_at: Time,
    #[serde(serialize_with = "json::fingerprint")]
    fingerprint: Fingerprint,
    receivers: Vec<Name<'a>>,
    starts_at: Time,
    status: GettableStatus<'a>,
    updated_at: Time,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
    #[serde(skip_serializing_if = "GettableOwn::is_empty")]
    hinomi: GettableOwn<'a>,
    labels: LabelMap<'a>,
}

/// Ours: what Alertmanager does not know of an alert.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableOwn<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    measured: Option<GettableMeasured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<&'a Held>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    escalation: &'a [ShownStep],
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_because: Option<ShownParent<'a>>,
    /// Until when it waits for what it depends on to be reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flapping: Option<ShownFlapping>,
    /// The rule that ignores it on every route it takes: nobody is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_by: Option<IgnoredBy<'a>>,
    /// Time intervals that keep every route it takes quiet; `status.mutedBy` is of groups alone, as upstream's.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    muted_by: &'a [String],
}

/// An alert that changes its state too often.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownFlapping {
    since: Time,
    changes: usize,
    stable_at: Time,
}

/// The alert because of which this one is no news.
#[derive(Debug, Serialize)]
struct ShownParent<'a> {
    #[serde(serialize_with = "json::fingerprint")]
    fingerprint: Fingerprint,
    labels: LabelMap<'a>,
}

impl GettableOwn<'_> {
    fn is_empty(&self) -> bool {
        let is_loud = self.hidden_because.is_none()
            && self.waits_until.is_none()
            && self.flapping.is_none()
            && self.ignored_by.is_none()
            && self.muted_by.is_empty();
        self.measured.is_none() && self.acknowledged.is_none() && self.escalation.is_empty() && is_loud
    }
}

/// A further receiver, and when it is told.
#[derive(Debug, Serialize)]
pub(super) struct ShownStep {
    receiver: String,
    told: bool,
    /// Absent while that time does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Time>,
}

impl From<StepView> for ShownStep {
    fn from(step: StepView) -> Self {
        Self { receiver: step.receiver, told: step.is_told, at: step.at_ms.map(Time) }
    }
}

/// What is known of an alert by our own settings.
#[derive(Debug, Default)]
pub(super) struct Own {
    held: Option<Held>,
    steps: Vec<ShownStep>,
    parent: Option<(Fingerprint, Arc<Alert>)>,
    waits_until_ms: Option<i64>,
    flapping: Option<(i64, usize, i64)>,
    ignored_by: Option<Ignore>,
    muted_by: Vec<String>,
}

impl Own {
    pub(super) fn of(core: &Core, id: Fingerprint, alert: &Alert, now_ms: i64) -> Self {
        Self {
            held: core.ack_of(id, alert, now_ms).map(Held::from),
            steps: core.escalation_of(id, now_ms).into_iter().map(ShownStep::from).collect(),
            parent: core.hidden_because(&alert.labels, now_ms),
            waits_until_ms: core.waits_until_ms(alert, now_ms),
            flapping: core.flapping(id, alert, now_ms),
            ignored_by: core.ignored_everywhere(&alert.labels, now_ms).cloned(),
            muted_by: core.muted_everywhere(&alert.labels, now_ms),
        }
    }
}

/// Ours: the value as it was reported last, and the worst since the alert began.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableMeasured {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    peak: f64,
    lower_is_worse: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GettableStatus<'a> {
    inhibited_by: Texts<'a, Fingerprint>,
    muted_by: &'a [String],
    silenced_by: &'a [String],
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct Name<'a> {
    name: &'a str,
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { fingerprint, alert, receivers, status, own } = self;
        let measured = alert.measured.filter(|of| of.peak.is_finite());
        let shown = GettableAlert {
            annotations: LabelMap(&alert.annotations),
            ends_at: Time(alert.ends_at_ms),
            fingerprint: *fingerprint,
            receivers: receivers.iter().map(|name| Name { name }).collect(),
            starts_at: Time(alert.starts_at_ms),
            status: GettableStatus {
                state: status.state(),
                inhibited_by: Texts(&status.inhibited_by),
                muted_by: &status.muted_by,
                silenced_by: &status.silenced_by,
            },
            updated_at: Time(alert.updated_at_ms),
            generator_url: &alert.generator_url,
            hinomi: GettableOwn {
                measured: measured.map(|of| GettableMeasured {
                    value: of.value,
                    peak: of.peak,
                    lower_is_worse: of.lower_is_worse,
                }),
                acknowledged: own.held.as_ref(),
                escalation: &own.steps,
                hidden_because: own
                    .parent
                    .as_ref()
                    .map(|(id, parent)| ShownParent { fingerprint: *id, labels: LabelMap(&parent.labels) }),
                waits_until: own.waits_until_ms.map(Time),
                flapping: own.flapping.map(|(since_ms, changes, stable_ms)| ShownFlapping {
                    since: Time(since_ms),
                    changes,
                    stable_at: Time(stable_ms),
                }),
                ignored_by: own.ignored_by.as_ref().map(IgnoredBy::from),
                muted_by: &own.muted_by,
            },
            labels: LabelMap(&alert.labels),
        };
        shown.serialize(serializer)
    }
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

    /// Whether an alert may be wanted, as far as that is known without its state.
    pub(super) fn takes(&self, alert: &Alert, now_ms: i64) -> bool {
        !alert.is_resolved_at(now_ms) && self.matchers.iter().all(|m| m.matches_labels(&alert.labels))
    }

    /// The state of an alert that [`Filter::takes`], when it is wanted.
    pub(super) fn status(
        &self,
        core: &Core,
        alert: &Alert,
        muted_by: &[String],
        now_ms: i64,
    ) -> Option<AlertStatus> {
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
    let (all, now_ms) = handle.shared.look(|core, now_ms| {
        let all: Vec<_> = core.alerts.iter().map(|(id, alert)| (*id, Arc::clone(alert))).collect();
        (all, now_ms)
    });
    let wanted: Vec<_> = all.into_iter().filter(|(_, alert)| filter.takes(alert, now_ms)).collect();
    let mut shown: Vec<Shown> = Vec::new();
    for chunk in wanted.chunks(CHUNK_ALERTS) {
        handle.shared.look(|core, now_ms| {
            shown.extend(chunk.iter().filter_map(|(fingerprint, alert)| {
                let status = filter.status(core, alert, &[], now_ms)?;
                let receivers = core.receivers_of(&alert.labels);
                let is_wanted = receivers.iter().any(|name| filter.takes_receiver(core, name));
                is_wanted.then(|| Shown {
                    fingerprint: *fingerprint,
                    alert: Arc::clone(alert),
                    receivers,
                    status,
                    own: Own::of(core, *fingerprint, alert, now_ms),
                })
            }));
        });
    }
    Reply::json(&shown)
}

#[derive(Debug, Default)]
struct PostableAlert<'a> {
    labels: Option<BodyPairs<'a>>,
    annotations: Option<BodyPairs<'a>>,
    starts_at: Option<BodyText<'a>>,
    ends_at: Option<BodyText<'a>>,
    generator_url: Option<BodyText<'a>>,
    hinomi: Option<PostableMeasured>,
}

read_in_any_case!(PostableAlert<'de> {
    "labels" => labels,
    "annotations" => annotations,
    "startsAt" => starts_at,
    "endsAt" => ends_at,
    "generatorURL" => generator_url,
    "hinomi" => hinomi,
});

/// What a Hinomi that evaluates rules adds to a report.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostableMeasured {
    value: Option<f64>,
    peak: f64,
    #[serde(default)]
    lower_is_worse: bool,
}

pub(super) fn post(handle: &Handle, body: &[u8]) -> Reply {
    if body.trim_ascii().is_empty() {
        return Reply::invalid(602, "alerts in body is required");
    }
    let postable: Vec<PostableAlert<'_>> = match serde_json::from_slice::<Option<_>>(body) {
        Ok(postable) => postable.unwrap_or_default(),
        Err(err) => {
            return Reply::invalid(400, format!("parsing alerts body from \"\" failed, because {err}"));
        }
    };
    // As upstream's framework: what cannot be read before what is read and wrong.
    let wrong = || postable.iter().enumerate().find_map(|(idx, alert)| wrong(idx, alert));
    if let Some(reply) = postable.iter().find_map(unreadable).or_else(wrong) {
        return reply;
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

/// What upstream refuses a whole body for: a time that is none.
fn unreadable(alert: &PostableAlert<'_>) -> Option<Reply> {
    [("startsAt", &alert.starts_at), ("endsAt", &alert.ends_at)].into_iter().find_map(|(name, text)| {
        let text = text.as_ref().map(|text| &*text.0).filter(|text| parse_moment(text).is_none())?;
        Some(bad_time("alerts", name, text))
    })
}

/// What else upstream refuses a whole body for: an address that is none, no labels.
fn wrong(idx: usize, alert: &PostableAlert<'_>) -> Option<Reply> {
    if let Some(BodyText(url)) = alert.generator_url.as_ref().filter(|url| !is_uri(&url.0)) {
        return Some(Reply::invalid(
            601,
            format!("{idx}.generatorURL in body must be of type uri: {}", quoted(url)),
        ));
    }
    let has_labels = alert.labels.is_some();
    (!has_labels).then(|| Reply::invalid(602, format!("{idx}.labels in body is required")))
}

fn read(alert: PostableAlert<'_>) -> Result<Incoming, String> {
    let url = alert.generator_url.map(|url| url.0).unwrap_or_default();
    if url.len() > TEXT_BYTES_MAX {
        return Err(format!("generatorURL is longer than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(Incoming {
        labels: labels("label set", &alert.labels.unwrap_or_default(), false)?,
        annotations: labels("annotations", &alert.annotations.unwrap_or_default(), true)?,
        starts_at_ms: time(alert.starts_at),
        ends_at_ms: time(alert.ends_at),
        generator_url: url.into_owned(),
        measured: alert.hinomi.map(|of| Measured {
            value: of.value,
            peak: of.peak,
            lower_is_worse: of.lower_is_worse,
        }),
    })
}

/// An annotation may be empty; a label that is empty is none.
fn labels(what: &str, BodyPairs(pairs): &BodyPairs<'_>, keeps_empty: bool) -> Result<Labels, String> {
    if pairs.len() > LABELS_MAX {
        return Err(format!("invalid {what}: more than {LABELS_MAX} pairs"));
    }
    for (BodyText(name), BodyText(value)) in pairs {
        if !is_label_name(name) {
            return Err(format!("invalid {what}: invalid name {name:?}"));
        }
        if name.len() > TEXT_BYTES_MAX || value.len() > TEXT_BYTES_MAX {
            return Err(format!("invalid {what}: a name or value is longer than {TEXT_BYTES_MAX} bytes"));
        }
    }
    let mut sorted: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&*name.0, &*value.0)).collect();
    // Of a name that is there twice the last one counts, as in every reader of JSON: it comes first here, and stays.
    sorted.reverse();
    sorted.sort_by_key(|(name, _)| *name);
    sorted.dedup_by_key(|(name, _)| *name);
    Ok(Labels::from_sorted(sorted.into_iter().filter(|(_, value)| keeps_empty || !value.is_empty())))
}

/// Go's zero time counts as not said, and so does an empty text, which upstream takes for 1970. It was checked above.
fn time(text: Option<BodyText<'_>>) -> Option<i64> {
    let text = text.filter(|text| !text.0.is_empty())?;
    parse_moment(&text.0).filter(|at_ms| *at_ms != ZERO_TIME_MS)
}
