//! Lines of the state file: checksum, space, JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use model::{Labels, MatchOp, Matcher, Measured};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::ack::Ack;
use crate::alert::{Alert, Fingerprint};
use crate::escalate::Pause;
use crate::flap::Changes;
use crate::maintenance::{Spec, Window, WindowRecord};
use crate::nflog::{Entry, NotifyKey};
use crate::promise::{ALONE, Ended, Promised, Who};
use crate::silence::Silence;
use crate::watch::Watch;

type Map = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Line {
    Alert {
        labels: Map,
        annotations: Map,
        starts: i64,
        ends: i64,
        updated: i64,
        url: String,
        timeout: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<MeasuredLine>,
    },
    Renewed {
        fingerprint: String,
        ends: i64,
        updated: i64,
        timeout: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        measured: Option<MeasuredLine>,
    },
    AlertGone {
        fingerprint: String,
    },
    Silence(SilenceLine),
    SilenceGone {
        id: String,
    },
    Notified {
        key: KeyLine,
        sent: i64,
        expires: i64,
        firing: Vec<String>,
        resolved: Vec<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        issued: BTreeMap<String, i64>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        since: BTreeMap<String, i64>,
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        data: Map,
    },
    NotifiedGone {
        key: KeyLine,
    },
    Promised(PromisedLine),
    Doubted {
        key: KeyLine,
        ended: Vec<String>,
    },
    Claimed {
        key: KeyLine,
    },
    Watched {
        fingerprint: String,
        seen: Vec<i64>,
        detected: i64,
        counted: Vec<String>,
    },
    WatchGone {
        fingerprint: String,
    },
    Maintenance {
        id: String,
        updated: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<WindowLine>,
        #[serde(default, skip_serializing_if = "is_zero")]
        ended: i64,
    },
    MaintenanceGone {
        id: String,
    },
    Acked {
        fingerprint: String,
        at: i64,
        by: String,
        note: String,
        starts: i64,
        held: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
        snooze: bool,
    },
    AckGone {
        fingerprint: String,
    },
    Paused {
        group: String,
        fingerprint: String,
        since: i64,
        total: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<i64>,
    },
    Flapped {
        fingerprint: String,
        times: Vec<i64>,
        flapping: BTreeMap<String, i64>,
        settled: BTreeMap<String, i64>,
    },
    FlapGone {
        fingerprint: String,
    },
    Alive {
        at: i64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowLine {
    name: String,
    matchers: Vec<MatcherLine>,
    start: String,
    duration: String,
    recurrence: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
    zone: String,
    owner: String,
    reason: String,
}

/// Numbers that JSON has no way to write are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MeasuredLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    peak: f64,
    low: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SilenceLine {
    id: String,
    matchers: Vec<MatcherLine>,
    starts: i64,
    ends: i64,
    updated: i64,
    by: String,
    comment: String,
    annotations: Map,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatcherLine {
    name: String,
    op: String,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyLine {
    group: String,
    receiver: String,
    integration: String,
    idx: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromisedLine {
    key: KeyLine,
    group: Map,
    at: i64,
    firing: Vec<String>,
    ended: BTreeMap<String, i64>,
    /// Which manager says it; empty for one that is alone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    by: String,
    /// Of each end, for a manager alone; without it the end closes all that was told before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    covers: BTreeMap<String, i64>,
    /// Of each end, for each manager.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    covered: BTreeMap<String, BTreeMap<String, i64>>,
    /// Those that were not told after all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withdrawn: Vec<String>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) records: Vec<Record>,
    /// Lines that were skipped.
    pub(crate) n_damaged: u64,
}

/// Reads a whole file. A last line without newline was cut short and is dropped silently.
pub(crate) fn replay(bytes: &[u8], header: &str) -> Replayed {
    let mut replayed = Replayed::default();
    if bytes.is_empty() {
        return replayed;
    }
    let Some(rest) = bytes.strip_prefix(header.as_bytes()) else {
        replayed.n_damaged = 1;
        return replayed;
    };
    let whole = rest.iter().rposition(|b| *b == b'\n').map_or(&rest[..0], |end| &rest[..end]);
    for line in whole.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        match read(line) {
            Some(record) => replayed.records.push(record),
            None => replayed.n_damaged += 1,
        }
    }
    replayed
}

fn read(line: &[u8]) -> Option<Record> {
    let (crc, json) = (line.get(..8)?, line.get(9..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    if line[8] != b' ' || crc32c::crc32c(json) != crc {
        return None;
    }
    from_line(serde_json::from_slice(json).ok()?)
}

/// One record as JSON, the same for the same content.
pub(crate) fn json(record: &Record) -> String {
    serde_json::to_string(&to_line(record)).expect("maps of texts and numbers always serialise")
}

/// Appends one record to `out`.
pub(crate) fn push(out: &mut String, record: &Record) {
    let json = json(record);
    let _ = writeln!(out, "{:08x} {json}", crc32c::crc32c(json.as_bytes()));
}

fn map(labels: &Labels) -> Map {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn texts(fingerprints: &BTreeSet<Fingerprint>) -> Vec<String> {
    fingerprints.iter().map(ToString::to_string).collect()
}

fn key_line(key: &NotifyKey) -> KeyLine {
    KeyLine {
        group: key.group_key.clone(),
        receiver: key.receiver.clone(),
        integration: key.integration.clone(),
        idx: key.idx,
    }
}

fn notified_line(key: &NotifyKey, entry: &Entry) -> Line {
    Line::Notified {
        key: key_line(key),
        sent: entry.sent_at_ms,
        expires: entry.expires_at_ms,
        firing: texts(&entry.firing),
        resolved: texts(&entry.resolved),
        issued: times(&entry.issued),
        since: times(&entry.since),
        data: entry.data.clone(),
    }
}

fn watch_of(seen: Vec<i64>, detected_ms: i64, counted: Vec<String>) -> Watch {
    let (seen, counted) = (seen.into(), counted.into_iter().collect());
    Watch { seen, detected_ms, deaf_until_ms: 0, counted }
}

fn promised_line(said: &Promised) -> Line {
    let is_alone = |ended: &Ended| ended.covers.keys().eq([&ALONE]);
    let alone = said.ended.iter().filter(|(_, ended)| is_alone(ended));
    let shared = said.ended.iter().filter(|(_, ended)| !is_alone(ended));
    let covered = |ended: &Ended| ended.covers.iter().map(|(who, ms)| (who_text(*who), *ms)).collect();
    Line::Promised(PromisedLine {
        key: key_line(&said.key),
        group: map(&said.group_labels),
        at: said.at_ms,
        firing: texts(&said.firing),
        ended: said.ended.iter().map(|(id, ended)| (id.to_string(), ended.ends_at_ms)).collect(),
        by: if said.by == ALONE { String::new() } else { who_text(said.by) },
        covers: alone.filter_map(|(id, ended)| Some((id.to_string(), *ended.covers.get(&ALONE)?))).collect(),
        covered: shared.map(|(id, ended)| (id.to_string(), covered(ended))).collect(),
        withdrawn: texts(&said.withdrawn),
    })
}

/// As fingerprints are written.
fn who_text(who: Who) -> String {
    format!("{who:016x}")
}

fn ack_line(alert: Fingerprint, ack: &Ack) -> Line {
    Line::Acked {
        fingerprint: alert.to_string(),
        at: ack.at_ms,
        by: ack.by.clone(),
        note: ack.note.clone(),
        starts: ack.starts_at_ms,
        held: ack.is_held,
        until: ack.until_ms,
        snooze: ack.is_snooze,
    }
}

fn ack_of(
    (at_ms, starts_at_ms, until_ms, is_held, is_snooze): (i64, i64, Option<i64>, bool, bool),
    by: String,
    note: String,
) -> Ack {
    Ack { at_ms, by, note, starts_at_ms, is_held, until_ms, is_snooze }
}

pub(crate) fn to_line(record: &Record) -> Line {
    match record {
        Record::Alert(alert) => Line::Alert {
            labels: map(&alert.labels),
            annotations: map(&alert.annotations),
            starts: alert.starts_at_ms,
            ends: alert.ends_at_ms,
            updated: alert.updated_at_ms,
            url: alert.generator_url.clone(),
            timeout: alert.is_timeout,
            measured: alert.measured.and_then(measured_line),
        },
        Record::Renewed { fingerprint, ends_at_ms, updated_at_ms, is_timeout, measured } => Line::Renewed {
            fingerprint: fingerprint.to_string(),
            ends: *ends_at_ms,
            updated: *updated_at_ms,
            timeout: *is_timeout,
            measured: measured.and_then(measured_line),
        },
        Record::AlertGone(fingerprint) => Line::AlertGone { fingerprint: fingerprint.to_string() },
        Record::Silence(silence) => Line::Silence(SilenceLine {
            id: silence.id.clone(),
            matchers: matcher_lines(&silence.matchers),
            starts: silence.starts_at_ms,
            ends: silence.ends_at_ms,
            updated: silence.updated_at_ms,
            by: silence.created_by.clone(),
            comment: silence.comment.clone(),
            annotations: silence.annotations.clone(),
        }),
        Record::SilenceGone(id) => Line::SilenceGone { id: id.clone() },
        Record::Notified(key, entry) => notified_line(key, entry),
        Record::NotifiedGone(key) => Line::NotifiedGone { key: key_line(key) },
        Record::Promised(said) => promised_line(said),
        Record::Doubted(key, ended) => Line::Doubted { key: key_line(key), ended: texts(ended) },
        Record::Claimed(key) => Line::Claimed { key: key_line(key) },
        Record::Watched(alert, watch) => Line::Watched {
            fingerprint: alert.to_string(),
            seen: watch.seen.iter().copied().collect(),
            detected: watch.detected_ms,
            counted: watch.counted.iter().cloned().collect(),
        },
        Record::WatchGone(alert) => Line::WatchGone { fingerprint: alert.to_string() },
        Record::Maintenance(record) => Line::Maintenance {
            id: record.id.clone(),
            updated: record.updated_at_ms,
            window: record.window.as_ref().map(|window| window_line(&window.spec)),
            ended: record.ended_ms,
        },
        Record::MaintenanceGone(id) => Line::MaintenanceGone { id: id.clone() },
        Record::Acked(alert, ack) => ack_line(*alert, ack),
        Record::AckGone(alert) => Line::AckGone { fingerprint: alert.to_string() },
        Record::Paused(group, alert, pause) => Line::Paused {
            group: group.clone(),
            fingerprint: alert.to_string(),
            since: pause.since_ms,
            total: pause.total_ms,
            from: pause.from_ms,
        },
        Record::Flapped(alert, changes) => Line::Flapped {
            fingerprint: alert.to_string(),
            times: changes.times.iter().copied().collect(),
            flapping: changes.flapping.clone(),
            settled: changes.settled.clone(),
        },
        Record::FlapGone(alert) => Line::FlapGone { fingerprint: alert.to_string() },
        Record::Alive(at_ms) => Line::Alive { at: *at_ms },
    }
}

fn matcher_lines(matchers: &[Matcher]) -> Vec<MatcherLine> {
    let line =
        |m: &Matcher| MatcherLine { name: m.name.clone(), op: m.op.to_string(), value: m.value.clone() };
    matchers.iter().map(line).collect()
}

fn window_line(spec: &Spec) -> WindowLine {
    let spec = spec.clone();
    WindowLine {
        name: spec.name,
        matchers: matcher_lines(&spec.matchers),
        start: spec.start,
        duration: spec.duration,
        recurrence: spec.recurrence,
        except: spec.except,
        zone: spec.time_zone,
        owner: spec.owner,
        reason: spec.reason,
    }
}

fn window(line: WindowLine) -> Option<Arc<Window>> {
    let spec = Spec {
        name: line.name,
        matchers: line.matchers.into_iter().map(matcher).collect::<Option<_>>()?,
        start: line.start,
        duration: line.duration,
        recurrence: line.recurrence,
        except: line.except,
        time_zone: line.zone,
        owner: line.owner,
        reason: line.reason,
    };
    Window::new(spec).ok().map(Arc::new)
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    u64::from_str_radix(text, 16).ok().map(Fingerprint)
}

fn set(texts: Vec<String>) -> Option<BTreeSet<Fingerprint>> {
    texts.iter().map(|text| fingerprint(text)).collect()
}

fn measured_line(measured: Measured) -> Option<MeasuredLine> {
    let Measured { value, peak, lower_is_worse } = measured;
    let value = value.filter(|value| value.is_finite());
    peak.is_finite().then_some(MeasuredLine { value, peak, low: lower_is_worse })
}

fn of_line(line: MeasuredLine) -> Measured {
    Measured { value: line.value, peak: line.peak, lower_is_worse: line.low }
}

fn times(times: &BTreeMap<Fingerprint, i64>) -> BTreeMap<String, i64> {
    times.iter().map(|(id, at_ms)| (id.to_string(), *at_ms)).collect()
}

fn by_alert(times: &BTreeMap<String, i64>) -> Option<BTreeMap<Fingerprint, i64>> {
    times.iter().map(|(text, at_ms)| Some((fingerprint(text)?, *at_ms))).collect()
}

fn who(text: &str) -> Option<Who> {
    if text.is_empty() { Some(ALONE) } else { u64::from_str_radix(text, 16).ok() }
}

fn promised(line: PromisedLine) -> Option<Promised> {
    let ended = ends(&line)?;
    Some(Promised {
        key: key(line.key),
        group_labels: Labels::from_pairs(line.group),
        at_ms: line.at,
        by: who(&line.by)?,
        firing: set(line.firing)?,
        ended,
        withdrawn: set(line.withdrawn)?,
    })
}

/// What a promise says of ends; without a word on what one covers it covers all that was told before.
fn ends(line: &PromisedLine) -> Option<BTreeMap<Fingerprint, Ended>> {
    let end = |(text, ends_at_ms): (&String, &i64)| {
        let covers = match line.covered.get(text) {
            Some(covered) => covered.iter().map(|(by, ms)| Some((who(by)?, *ms))).collect::<Option<_>>()?,
            None => BTreeMap::from([(ALONE, line.covers.get(text).copied().unwrap_or(line.at))]),
        };
        Some((fingerprint(text)?, Ended { ends_at_ms: *ends_at_ms, covers }))
    };
    line.ended.iter().map(end).collect()
}

fn key(line: KeyLine) -> NotifyKey {
    NotifyKey { group_key: line.group, receiver: line.receiver, integration: line.integration, idx: line.idx }
}

fn matcher(line: MatcherLine) -> Option<Matcher> {
    let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
    let op = ops.into_iter().find(|op| op.to_string() == line.op)?;
    Matcher::new(op, line.name, line.value).ok()
}

fn silence(line: SilenceLine) -> Option<Silence> {
    Some(Silence {
        id: line.id,
        matchers: line.matchers.into_iter().map(matcher).collect::<Option<_>>()?,
        starts_at_ms: line.starts,
        ends_at_ms: line.ends,
        updated_at_ms: line.updated,
        created_by: line.by,
        comment: line.comment,
        annotations: line.annotations,
    })
}

pub(crate) fn from_line(line: Line) -> Option<Record> {
    Some(match line {
        Line::Alert { labels, annotations, starts, ends, updated, url, timeout, measured } => {
            Record::Alert(Arc::new(Alert {
                labels: Labels::from_pairs(labels),
                annotations: Labels::from_pairs(annotations),
                starts_at_ms: starts,
                ends_at_ms: ends,
                generator_url: url,
                updated_at_ms: updated,
                is_timeout: timeout,
                measured: measured.map(of_line),
            }))
        }
        Line::Renewed { fingerprint: text, ends, updated, timeout, measured } => Record::Renewed {
            fingerprint: fingerprint(&text)?,
            ends_at_ms: ends,
            updated_at_ms: updated,
            is_timeout: timeout,
            measured: measured.map(of_line),
        },
        Line::AlertGone { fingerprint: text } => Record::AlertGone(fingerprint(&text)?),
        Line::Silence(line) => Record::Silence(silence(line)?),
        Line::SilenceGone { id } => Record::SilenceGone(id),
        Line::Notified { key: key_line, sent, expires, firing, resolved, issued, since, data } => {
            let entry = Entry {
                sent_at_ms: sent,
                expires_at_ms: expires,
                firing: set(firing)?,
                resolved: set(resolved)?,
                issued: by_alert(&issued)?,
                since: by_alert(&since)?,
                data,
            };
            Record::Notified(key(key_line), entry)
        }
        Line::NotifiedGone { key: key_line } => Record::NotifiedGone(key(key_line)),
        Line::Promised(line) => Record::Promised(promised(line)?),
        Line::Doubted { key: key_line, ended } => Record::Doubted(key(key_line), set(ended)?),
        Line::Claimed { key: key_line } => Record::Claimed(key(key_line)),
        Line::Watched { fingerprint: text, seen, detected, counted } => {
            Record::Watched(fingerprint(&text)?, watch_of(seen, detected, counted))
        }
        Line::WatchGone { fingerprint: text } => Record::WatchGone(fingerprint(&text)?),
        Line::Maintenance { id, updated, window: line, ended } => {
            let window = line.map_or(Some(None), |line| window(line).map(Some))?;
            Record::Maintenance(WindowRecord { id, updated_at_ms: updated, window, ended_ms: ended })
        }
        Line::MaintenanceGone { id } => Record::MaintenanceGone(id),
        Line::Acked { fingerprint: text, at, by, note, starts, held, until, snooze } => {
            let ack = (at, starts, until, held, snooze);
            Record::Acked(fingerprint(&text)?, ack_of(ack, by, note))
        }
        Line::AckGone { fingerprint: text } => Record::AckGone(fingerprint(&text)?),
        Line::Paused { group, fingerprint: text, since, total, from } => {
            let pause = Pause { since_ms: since, total_ms: total, from_ms: from };
            Record::Paused(group, fingerprint(&text)?, pause)
        }
        Line::Flapped { fingerprint: text, times, flapping, settled } => {
            Record::Flapped(fingerprint(&text)?, Changes { times: times.into(), flapping, settled })
        }
        Line::FlapGone { fingerprint: text } => Record::FlapGone(fingerprint(&text)?),
        Line::Alive { at } => Record::Alive(at),
    })
}
