//! Events as Alertmanager 0.34 writes them: its messages of protobuf, in protobuf's JSON.
//!
//! Fields come by their numbers there; what is zero or empty is left out; numbers of 64 bits are texts.

use model::{Labels, MatchOp, Matcher};
use serde::{Serialize, Serializer};

use super::note::{GroupInfo, Note, Sent, What};
use crate::alert::{Alert, Fingerprint};
use crate::inhibit::InhibitRuleConfig;
use crate::nflog::alertmanagers_hash;
use crate::time::api_rfc3339;

/// One line, without its end.
pub(super) fn line(note: &Note, instance: &str, position: u32) -> String {
    let event = Event {
        timestamp: Time(note.at_ms),
        instance,
        data: Data::of(&note.what, note.at_ms),
        cluster_position: position,
    };
    serde_json::to_string(&event).expect("texts, numbers and lists always serialise")
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: Time,
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    data: Data<'a>,
    #[serde(rename = "clusterPosition", skip_serializing_if = "is_zero")]
    cluster_position: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Data<'a> {
    AlertmanagerStartupEvent {
        #[serde(skip_serializing_if = "str::is_empty")]
        version: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        build_context: &'a str,
    },
    AlertmanagerShutdownEvent {},
    AlertCreated {
        alert: AlertJson<'a>,
    },
    AlertResolved {
        alert: GroupedAlert<'a>,
        group_info: GroupJson<'a>,
    },
    AlertGrouped {
        alert: GroupedAlert<'a>,
        group_info: GroupJson<'a>,
    },
    Notification(Box<Notification<'a>>),
    SilenceCreated {
        silence: SilenceJson<'a>,
    },
    SilenceUpdated {
        silence: SilenceJson<'a>,
    },
    SilenceMutedAlert {
        silence: SilenceJson<'a>,
        muted_alert: MutedAlert<'a>,
    },
    InhibitionMutedAlert {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        inhibit_rules: Vec<InhibitRule<'a>>,
        muted_alert: MutedAlert<'a>,
        inhibiting_fingerprints: [Long; 1],
    },
}

impl<'a> Data<'a> {
    fn of(what: &'a What, at_ms: i64) -> Self {
        let grouped = |alert: &'a Alert| GroupedAlert {
            hash: hash(alert),
            details: Some(AlertJson::of(alert, !alert.is_resolved_at(at_ms))),
        };
        match what {
            What::Started { version, build } => {
                Self::AlertmanagerStartupEvent { version, build_context: build }
            }
            What::Stopped => Self::AlertmanagerShutdownEvent {},
            What::Created(alert) => {
                Self::AlertCreated { alert: AlertJson::of(alert, !alert.is_resolved_at(at_ms)) }
            }
            What::Grouped { alert, group } => {
                Self::AlertGrouped { alert: grouped(alert), group_info: GroupJson::of(group) }
            }
            What::Resolved { alert, group } => {
                Self::AlertResolved { alert: grouped(alert), group_info: GroupJson::of(group) }
            }
            What::Sent(sent) => Self::Notification(Box::new(Notification::of(sent))),
            What::SilenceMade(silence) => Self::SilenceCreated { silence: SilenceJson(silence) },
            What::SilenceChanged(silence) => Self::SilenceUpdated { silence: SilenceJson(silence) },
            What::Silenced { silence, labels } => {
                Self::SilenceMutedAlert { silence: SilenceJson(silence), muted_alert: MutedAlert::of(labels) }
            }
            What::Inhibited { rule, labels, by } => Self::InhibitionMutedAlert {
                inhibit_rules: rule.iter().map(|rule| InhibitRule::of(rule)).collect(),
                muted_alert: MutedAlert::of(labels),
                inhibiting_fingerprints: [Long(by.0)],
            },
        }
    }
}

/// 64 bits, as text.
#[derive(Clone, Copy)]
struct Long(u64);

impl Serialize for Long {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Three digits behind the second, or none, as protobuf has them.
struct Time(i64);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&api_rfc3339(self.0).replace(".000Z", "Z"))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(bit: &bool) -> bool {
    !bit
}

struct LabelSet<'a>(&'a Labels);

impl Serialize for LabelSet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Pair<'a> {
            key: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            value: &'a str,
        }
        #[derive(Serialize)]
        struct Set<'a> {
            #[serde(skip_serializing_if = "Vec::is_empty")]
            labels: Vec<Pair<'a>>,
        }
        Set { labels: self.0.iter().map(|(key, value)| Pair { key, value }).collect() }.serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlertJson<'a> {
    fingerprint: Long,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    labels: LabelSet<'a>,
    annotations: LabelSet<'a>,
    starts_at: Time,
    ends_at: Time,
    #[serde(skip_serializing_if = "is_false")]
    resolved: bool,
}

impl<'a> AlertJson<'a> {
    fn of(alert: &'a Alert, is_firing: bool) -> Self {
        Self {
            fingerprint: Long(Fingerprint::of(&alert.labels).0),
            name: alert.name(),
            labels: LabelSet(&alert.labels),
            annotations: LabelSet(&alert.annotations),
            starts_at: Time(alert.starts_at_ms),
            ends_at: Time(alert.ends_at_ms),
            resolved: !is_firing,
        }
    }
}

fn hash(alert: &Alert) -> Long {
    Long(alertmanagers_hash(&alert.labels))
}

#[derive(Serialize)]
struct GroupedAlert<'a> {
    hash: Long,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<AlertJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupJson<'a> {
    group_key: &'a str,
    group_labels: LabelSet<'a>,
    group_id: String,
    receiver_name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<MatcherJson<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    group_uuid: String,
}

impl<'a> GroupJson<'a> {
    fn of(group: &'a GroupInfo) -> Self {
        Self {
            group_key: &group.key,
            group_labels: LabelSet(&group.labels),
            group_id: net::auth::sign::hex(&net::auth::sign::sha256(group.key.as_bytes())),
            receiver_name: &group.receiver,
            matchers: Vec::new(),
            group_uuid: String::new(),
        }
    }
}

#[derive(Serialize)]
struct MatcherJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pattern: &'a str,
    rendered: String,
}

fn matchers(matchers: &[Matcher]) -> Vec<MatcherJson<'_>> {
    let kind = |op| match op {
        MatchOp::Equal => "TYPE_EQUAL",
        MatchOp::NotEqual => "TYPE_NOT_EQUAL",
        MatchOp::Regex => "TYPE_REGEXP",
        MatchOp::NotRegex => "TYPE_NOT_REGEXP",
    };
    matchers
        .iter()
        .map(|matcher| MatcherJson {
            kind: kind(matcher.op),
            name: &matcher.name,
            pattern: &matcher.value,
            rendered: matcher.to_string(),
        })
        .collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    alerts: Vec<GroupedAlert<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    firing_alerts: Vec<GroupedAlert<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolved_alerts: Vec<GroupedAlert<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    muted_alerts: Vec<GroupedAlert<'a>>,
    group_info: GroupJson<'a>,
    repeat_interval: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    flush_id: Long,
    integration: Integration,
}

#[derive(Serialize)]
struct Integration {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<Long>,
}

impl<'a> Notification<'a> {
    fn of(sent: &'a Sent) -> Self {
        let hashes = |alerts: &'a [std::sync::Arc<Alert>]| {
            alerts.iter().map(|alert| GroupedAlert { hash: hash(alert), details: None }).collect()
        };
        let said = sent.alerts.iter().map(|(alert, is_firing)| GroupedAlert {
            hash: hash(alert),
            details: Some(AlertJson::of(alert, *is_firing)),
        });
        let group_info = GroupJson {
            matchers: matchers(&sent.matchers),
            group_uuid: crate::uuid::of_text(&format!("{} {}", sent.epoch, sent.group.key)),
            ..GroupJson::of(&sent.group)
        };
        Self {
            alerts: said.collect(),
            firing_alerts: hashes(&sent.firing),
            resolved_alerts: hashes(&sent.resolved),
            muted_alerts: hashes(&sent.muted),
            group_info,
            repeat_interval: seconds(sent.repeat_interval_ms),
            reason: reason(sent.reason),
            flush_id: Long(sent.flush_ms.unsigned_abs()),
            integration: Integration {
                name: sent.integration,
                index: (sent.idx > 0).then_some(Long(sent.idx as u64)),
            },
        }
    }
}

/// `14400s`, `0.500s`.
fn seconds(ms: i64) -> String {
    let (secs, millis) = (ms / 1_000, ms % 1_000);
    if millis == 0 { format!("{secs}s") } else { format!("{secs}.{millis:03}s") }
}

/// Upstream's words; what only we have is none of them.
fn reason(reason: &'static str) -> &'static str {
    match reason {
        "first notification" => "NOTIFY_REASON_FIRST_NOTIFICATION",
        "new alerts added" => "NOTIFY_REASON_NEW_ALERTS_IN_GROUP",
        "some alerts resolved" => "NOTIFY_REASON_NEW_RESOLVED_ALERTS",
        "all alerts resolved" => "NOTIFY_REASON_ALL_ALERTS_RESOLVED",
        "repeat interval elapsed" => "NOTIFY_REASON_REPEAT_INTERVAL_ELAPSED",
        _ => "",
    }
}

struct SilenceJson<'a>(&'a crate::silence::Silence);

impl Serialize for SilenceJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct MatcherSet<'a> {
            matchers: Vec<MatcherJson<'a>>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape<'a> {
            id: &'a str,
            matchers: Vec<MatcherJson<'a>>,
            starts_at: Time,
            ends_at: Time,
            updated_at: Time,
            #[serde(skip_serializing_if = "str::is_empty")]
            created_by: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            comment: &'a str,
            matcher_sets: [MatcherSet<'a>; 1],
        }
        let silence = self.0;
        Shape {
            id: &silence.id,
            matchers: matchers(&silence.matchers),
            starts_at: Time(silence.starts_at_ms),
            ends_at: Time(silence.ends_at_ms),
            updated_at: Time(silence.updated_at_ms),
            created_by: &silence.created_by,
            comment: &silence.comment,
            matcher_sets: [MatcherSet { matchers: matchers(&silence.matchers) }],
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct MutedAlert<'a> {
    labels: LabelSet<'a>,
    fingerprint: Long,
}

impl<'a> MutedAlert<'a> {
    fn of(labels: &'a Labels) -> Self {
        Self { labels: LabelSet(labels), fingerprint: Long(Fingerprint::of(labels).0) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InhibitRule<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_matchers: Vec<MatcherJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_matchers: Vec<MatcherJson<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    equal_labels: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

impl<'a> InhibitRule<'a> {
    fn of(rule: &'a InhibitRuleConfig) -> Self {
        Self {
            source_matchers: matchers(&rule.source),
            target_matchers: matchers(&rule.target),
            equal_labels: &rule.equal,
            name: &rule.name,
        }
    }
}
