//! Events in the shape of Alertmanager 0.34: which fields its messages have, with their numbers and names.
//!
//! In from the recorder as [`Note`]s; out through [`Fields`], which [`super::json`] and [`super::protobuf`] write down.
//! Fields come by their numbers there. What is zero or empty is left out by those that write.

use model::{Labels, MatchOp, Matcher};

use super::note::{GroupInfo, Note, Sent, What};
use crate::alert::{Alert, Fingerprint};
use crate::inhibit::InhibitRuleConfig;
use crate::nflog::alertmanagers_hash;
use crate::silence::Silence;

/// A field's number in protobuf and its name in JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field(pub(super) u64, pub(super) &'static str);

/// Takes the fields of one message, in order. What is zero or empty leaves no trace, but for messages.
pub(super) trait Fields: Sized {
    fn text(&mut self, field: Field, value: &str);
    fn texts(&mut self, field: Field, values: &[String]);
    /// A number of 32 bits.
    fn count(&mut self, field: Field, value: u32);
    /// A number of 64 bits.
    fn long(&mut self, field: Field, value: u64);
    fn longs(&mut self, field: Field, values: &[u64]);
    fn flag(&mut self, field: Field, value: bool);
    /// One of an enumeration: its number and its name.
    fn choice(&mut self, field: Field, value: Field);
    /// A point in time, in Unix milliseconds.
    fn time(&mut self, field: Field, at_ms: i64);
    /// A duration, in milliseconds.
    fn duration(&mut self, field: Field, ms: i64);
    fn message(&mut self, field: Field, put: impl FnOnce(&mut Self));
    fn messages<T>(
        &mut self,
        field: Field,
        items: impl IntoIterator<Item = T>,
        put: impl FnMut(&mut Self, T),
    );
}

/// The whole event. `position` is that among the replicas.
pub(super) fn event(to: &mut impl Fields, note: &Note, instance: &str, position: u32) {
    to.time(Field(1, "@timestamp"), note.at_ms);
    to.text(Field(2, "instance"), instance);
    to.message(Field(3, "data"), |to| data(to, &note.what, note.at_ms));
    to.count(Field(4, "clusterPosition"), position);
}

fn data(to: &mut impl Fields, what: &What, at_ms: i64) {
    match what {
        What::Started { version, build } => to.message(Field(1, "alertmanagerStartupEvent"), |to| {
            to.text(Field(1, "version"), version);
            to.text(Field(2, "buildContext"), build);
        }),
        What::Stopped => to.message(Field(2, "alertmanagerShutdownEvent"), |_| {}),
        What::Created(made) => to.message(Field(3, "alertCreated"), |to| {
            to.message(Field(1, "alert"), |to| alert(to, made, !made.is_resolved_at(at_ms)));
        }),
        What::Resolved { alert, group } => {
            to.message(Field(4, "alertResolved"), |to| in_group(to, alert, group, at_ms));
        }
        What::Grouped { alert, group } => {
            to.message(Field(5, "alertGrouped"), |to| in_group(to, alert, group, at_ms));
        }
        What::Sent(sent) => to.message(Field(6, "notification"), |to| notification(to, sent)),
        What::SilenceMade(made) => to.message(Field(7, "silenceCreated"), |to| {
            to.message(Field(1, "silence"), |to| silence(to, made));
        }),
        What::SilenceChanged(changed) => to.message(Field(8, "silenceUpdated"), |to| {
            to.message(Field(1, "silence"), |to| silence(to, changed));
        }),
        What::Silenced { silence: by, labels } => to.message(Field(9, "silenceMutedAlert"), |to| {
            to.message(Field(1, "silence"), |to| silence(to, by));
            to.message(Field(2, "mutedAlert"), |to| muted_alert(to, labels));
        }),
        What::Inhibited { rule, labels, by } => to.message(Field(10, "inhibitionMutedAlert"), |to| {
            to.messages(Field(1, "inhibitRules"), rule.iter(), |to, rule| inhibit_rule(to, rule));
            to.message(Field(2, "mutedAlert"), |to| muted_alert(to, labels));
            to.longs(Field(3, "inhibitingFingerprints"), &[by.0]);
        }),
    }
}

fn in_group(to: &mut impl Fields, alert: &Alert, group: &GroupInfo, at_ms: i64) {
    to.message(Field(1, "alert"), |to| grouped_alert(to, alert, Some(!alert.is_resolved_at(at_ms))));
    to.message(Field(2, "groupInfo"), |to| group_info(to, group, &[], ""));
}

fn label_set(to: &mut impl Fields, labels: &Labels) {
    to.messages(Field(1, "labels"), labels.iter(), |to, (key, value)| {
        to.text(Field(1, "key"), key);
        to.text(Field(2, "value"), value);
    });
}

fn alert(to: &mut impl Fields, alert: &Alert, is_firing: bool) {
    to.long(Field(1, "fingerprint"), Fingerprint::of(&alert.labels).0);
    to.text(Field(2, "name"), alert.name());
    to.message(Field(3, "labels"), |to| label_set(to, &alert.labels));
    to.message(Field(4, "annotations"), |to| label_set(to, &alert.annotations));
    to.time(Field(5, "startsAt"), alert.starts_at_ms);
    to.time(Field(6, "endsAt"), alert.ends_at_ms);
    to.flag(Field(7, "resolved"), !is_firing);
}

/// With what is known of the alert, where it is said whether it fires.
fn grouped_alert(to: &mut impl Fields, of: &Alert, is_firing: Option<bool>) {
    to.long(Field(1, "hash"), alertmanagers_hash(&of.labels));
    if let Some(is_firing) = is_firing {
        to.message(Field(2, "details"), |to| alert(to, of, is_firing));
    }
}

fn group_info(to: &mut impl Fields, group: &GroupInfo, matchers: &[Matcher], uuid: &str) {
    to.text(Field(1, "groupKey"), &group.key);
    to.message(Field(2, "groupLabels"), |to| label_set(to, &group.labels));
    to.text(Field(3, "groupId"), &net::auth::sign::hex(&net::auth::sign::sha256(group.key.as_bytes())));
    to.text(Field(4, "receiverName"), &group.receiver);
    to.messages(Field(5, "matchers"), matchers, matcher);
    to.text(Field(6, "groupUuid"), uuid);
}

fn notification(to: &mut impl Fields, sent: &Sent) {
    to.messages(Field(1, "alerts"), &sent.alerts, |to, (alert, is_firing)| {
        grouped_alert(to, alert, Some(*is_firing));
    });
    to.messages(Field(2, "firingAlerts"), &sent.firing, |to, alert| grouped_alert(to, alert, None));
    to.messages(Field(3, "resolvedAlerts"), &sent.resolved, |to, alert| grouped_alert(to, alert, None));
    to.messages(Field(4, "mutedAlerts"), &sent.muted, |to, alert| grouped_alert(to, alert, None));
    let uuid = crate::uuid::of_text(&format!("{} {}", sent.epoch, sent.group.key));
    to.message(Field(5, "groupInfo"), |to| group_info(to, &sent.group, &sent.matchers, &uuid));
    to.duration(Field(6, "repeatInterval"), sent.repeat_interval_ms);
    to.choice(Field(7, "reason"), reason(sent.reason));
    to.long(Field(8, "flushId"), sent.flush_ms.unsigned_abs());
    to.message(Field(9, "integration"), |to| {
        to.text(Field(1, "name"), sent.integration);
        to.long(Field(2, "index"), sent.idx as u64);
    });
}

/// Upstream's; what only we have is none of them.
fn reason(reason: &'static str) -> Field {
    match reason {
        "first notification" => Field(1, "NOTIFY_REASON_FIRST_NOTIFICATION"),
        "new alerts added" => Field(2, "NOTIFY_REASON_NEW_ALERTS_IN_GROUP"),
        "some alerts resolved" => Field(3, "NOTIFY_REASON_NEW_RESOLVED_ALERTS"),
        "all alerts resolved" => Field(4, "NOTIFY_REASON_ALL_ALERTS_RESOLVED"),
        "repeat interval elapsed" => Field(5, "NOTIFY_REASON_REPEAT_INTERVAL_ELAPSED"),
        _ => Field(0, "NOTIFY_REASON_UNSPECIFIED"),
    }
}

fn silence(to: &mut impl Fields, silence: &Silence) {
    to.text(Field(1, "id"), &silence.id);
    to.messages(Field(2, "matchers"), &silence.matchers, matcher);
    to.time(Field(4, "startsAt"), silence.starts_at_ms);
    to.time(Field(5, "endsAt"), silence.ends_at_ms);
    to.time(Field(6, "updatedAt"), silence.updated_at_ms);
    to.text(Field(7, "createdBy"), &silence.created_by);
    to.text(Field(8, "comment"), &silence.comment);
    to.messages(Field(9, "matcherSets"), [&silence.matchers], |to, matchers| {
        to.messages(Field(1, "matchers"), matchers, matcher);
    });
}

fn matcher(to: &mut impl Fields, matcher: &Matcher) {
    let kind = match matcher.op {
        MatchOp::Equal => Field(1, "TYPE_EQUAL"),
        MatchOp::Regex => Field(2, "TYPE_REGEXP"),
        MatchOp::NotEqual => Field(3, "TYPE_NOT_EQUAL"),
        MatchOp::NotRegex => Field(4, "TYPE_NOT_REGEXP"),
    };
    to.choice(Field(1, "type"), kind);
    to.text(Field(2, "name"), &matcher.name);
    to.text(Field(3, "pattern"), &matcher.value);
    to.text(Field(4, "rendered"), &matcher.to_string());
}

fn muted_alert(to: &mut impl Fields, labels: &Labels) {
    to.message(Field(1, "labels"), |to| label_set(to, labels));
    to.long(Field(2, "fingerprint"), Fingerprint::of(labels).0);
}

fn inhibit_rule(to: &mut impl Fields, rule: &InhibitRuleConfig) {
    to.messages(Field(1, "sourceMatchers"), &rule.source, matcher);
    to.messages(Field(2, "targetMatchers"), &rule.target, matcher);
    to.texts(Field(3, "equalLabels"), &rule.equal);
    to.text(Field(4, "name"), &rule.name);
}
