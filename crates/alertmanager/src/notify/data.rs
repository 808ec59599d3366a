//! What templates and webhooks see of a notification: one model, two forms.

use std::collections::BTreeMap;

use gotemplate::{Items, Object, Value};
use model::{Labels, Measured};

use super::Notification;
use crate::alert::{Fingerprint, ZERO_TIME_MS};
use crate::notification::Snapshot;

/// The label that comes first in lists of pairs.
const FIRST_LABEL: &str = "alertname";

pub(crate) type Kv = BTreeMap<String, String>;

/// One alert in a message.
#[derive(Debug, Clone)]
pub(crate) struct AlertData {
    pub(crate) is_firing: bool,
    pub(crate) labels: Kv,
    pub(crate) annotations: Kv,
    pub(crate) starts_at_ms: i64,
    /// Go's zero time while firing.
    pub(crate) ends_at_ms: i64,
    pub(crate) generator_url: String,
    pub(crate) fingerprint: Fingerprint,
    /// Its value, when the sender said it.
    pub(crate) measured: Option<Measured>,
    /// How long it has lasted, or lasted.
    pub(crate) lasted_ms: i64,
}

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    /// Quoted for use in a regular expression, as upstream has it.
    pub(crate) receiver: String,
    pub(crate) alerts: Vec<AlertData>,
    pub(crate) reason: &'static str,
    pub(crate) group_labels: Kv,
    pub(crate) common_labels: Kv,
    pub(crate) common_annotations: Kv,
    pub(crate) route_labels: Kv,
    pub(crate) external_url: String,
    /// How many alerts a limit left out.
    pub(crate) n_truncated: usize,
    /// Whether others of the group fire of which this says nothing.
    others_fire: bool,
}

/// How long an alert has lasted by `now_ms`, or did until it ended.
fn lasted_ms(snapshot: &Snapshot, now_ms: i64) -> i64 {
    let alert = &snapshot.alert;
    let until_ms = if snapshot.is_firing { now_ms } else { alert.ends_at_ms.min(now_ms) };
    until_ms.saturating_sub(alert.starts_at_ms).max(0)
}

fn kv(labels: &Labels) -> Kv {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The pairs that all of `sets` have.
fn common<'a>(mut sets: impl Iterator<Item = &'a Kv>) -> Kv {
    let mut common = sets.next().cloned().unwrap_or_default();
    for set in sets {
        common.retain(|name, value| set.get(name) == Some(value));
    }
    common
}

/// Go's regexp.QuoteMeta.
fn quote_meta(text: &str) -> String {
    text.chars().flat_map(|c| r"\.+*?()|[]{}^$".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

impl Data {
    /// Of `notification`; of more than `alerts_max` alerts (0: no limit) the first ones stay, and what is common is
    /// common to them.
    pub(crate) fn new(notification: &Notification, external_url: &str, alerts_max: usize) -> Self {
        let n_all = notification.alerts.len();
        let n_kept = if alerts_max == 0 { n_all } else { n_all.min(alerts_max) };
        let alerts: Vec<AlertData> = notification.alerts[..n_kept]
            .iter()
            .map(|snapshot| AlertData {
                is_firing: snapshot.is_firing,
                labels: kv(&snapshot.alert.labels),
                annotations: kv(&snapshot.alert.annotations),
                starts_at_ms: snapshot.alert.starts_at_ms,
                ends_at_ms: if snapshot.is_firing { ZERO_TIME_MS } else { snapshot.alert.ends_at_ms },
                generator_url: snapshot.alert.generator_url.clone(),
                fingerprint: snapshot.fingerprint,
                measured: snapshot.alert.measured,
                lasted_ms: lasted_ms(snapshot, notification.now_ms),
            })
            .collect();
        Self {
            receiver: quote_meta(&notification.receiver),
            reason: notification.reason,
            group_labels: kv(&notification.group_labels),
            common_labels: common(alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
            route_labels: notification.route_labels.clone(),
            external_url: external_url.to_owned(),
            alerts,
            n_truncated: n_all - n_kept,
            others_fire: notification.others_fire,
        }
    }

    /// `firing` when any alert of the group fires.
    pub(crate) fn status(&self) -> &'static str {
        status(self.others_fire || self.alerts.iter().any(|alert| alert.is_firing))
    }

    /// As templates see it.
    pub(crate) fn to_value(&self) -> Value {
        Value::object(DataObject(self.clone()))
    }
}

/// The API's word.
pub(crate) fn status(is_firing: bool) -> &'static str {
    if is_firing { "firing" } else { "resolved" }
}

#[derive(Debug)]
struct DataObject(Data);

impl Object for DataObject {
    fn type_name(&self) -> &str {
        "*template.Data"
    }

    fn json_keys(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("receiver", "Receiver"),
            ("status", "Status"),
            ("alerts", "Alerts"),
            ("notification_reason", "NotificationReason"),
            ("groupLabels", "GroupLabels"),
            ("commonLabels", "CommonLabels"),
            ("commonAnnotations", "CommonAnnotations"),
            ("routeLabels", "RouteLabels"),
            ("externalURL", "ExternalURL"),
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let data = &self.0;
        Some(match name {
            "Receiver" => Value::str(&data.receiver),
            "Status" => Value::str(data.status()),
            "Alerts" => Value::object(AlertList(data.alerts.clone())),
            "NotificationReason" => Value::str(data.reason),
            "GroupLabels" => kv_value(&data.group_labels),
            "CommonLabels" => kv_value(&data.common_labels),
            "CommonAnnotations" => kv_value(&data.common_annotations),
            "RouteLabels" => kv_value(&data.route_labels),
            "ExternalURL" => Value::str(&data.external_url),
            _ => return None,
        })
    }

    fn display(&self) -> String {
        let data = &self.0;
        // Behind the fields stands one of Go's own: that the route's labels are filled in.
        format!(
            "{{{} {} {} {} {} {} {} {} {} true}}",
            data.receiver,
            data.status(),
            AlertList(data.alerts.clone()).display(),
            data.reason,
            kv_value(&data.group_labels),
            kv_value(&data.common_labels),
            kv_value(&data.common_annotations),
            kv_value(&data.route_labels),
            data.external_url
        )
    }
}

#[derive(Debug)]
struct AlertList(Vec<AlertData>);

impl AlertList {
    fn only(&self, is_firing: bool) -> Value {
        Value::list(self.0.iter().filter(|alert| alert.is_firing == is_firing).map(alert_value))
    }
}

impl Object for AlertList {
    fn type_name(&self) -> &str {
        "template.Alerts"
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        match (method, args) {
            ("Firing", []) => Some(Ok(self.only(true))),
            ("Resolved", []) => Some(Ok(self.only(false))),
            ("Firing" | "Resolved", args) => Some(Err(wrong_count(method, 0, args))),
            _ => None,
        }
    }

    fn items(&self) -> Option<Items> {
        Some(Items::List(self.0.iter().map(alert_value).collect()))
    }

    fn display(&self) -> String {
        let alerts: Vec<String> = self.0.iter().map(AlertData::display).collect();
        format!("[{}]", alerts.join(" "))
    }
}

fn wrong_count(method: &str, wanted: usize, args: &[Value]) -> String {
    format!("wrong number of args for {method}: want {wanted} got {}", args.len())
}

fn alert_value(alert: &AlertData) -> Value {
    Value::object(AlertObject(alert.clone()))
}

/// A finite number in four significant digits, which is what a person reads: `0.9312`, `12.5`, `1.234e9`.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    let magnitude = rounded.abs();
    if magnitude == 0.0 || (1e-4..1e9).contains(&magnitude) {
        rounded.to_string()
    } else {
        format!("{rounded:e}")
    }
}

/// `1h12m`, `45s`: two units at most.
fn lasted(lasted_ms: i64) -> String {
    let seconds = lasted_ms / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |a: i64, a_unit: char, b: i64, b_unit: char| match b {
        0 => format!("{a}{a_unit}"),
        b => format!("{a}{a_unit}{b}{b_unit}"),
    };
    match () {
        () if days > 0 => two(days, 'd', hours, 'h'),
        () if hours > 0 => two(hours, 'h', minutes, 'm'),
        () if minutes > 0 => two(minutes, 'm', seconds % 60, 's'),
        () => format!("{seconds}s"),
    }
}

impl AlertData {
    /// As Go prints the structure.
    fn display(&self) -> String {
        format!(
            "{{{} {} {} {} {} {} {}}}",
            status(self.is_firing),
            kv_value(&self.labels),
            kv_value(&self.annotations),
            Value::time_ms(self.starts_at_ms),
            Value::time_ms(self.ends_at_ms),
            self.generator_url,
            self.fingerprint
        )
    }
}

#[derive(Debug)]
struct AlertObject(AlertData);

impl Object for AlertObject {
    fn type_name(&self) -> &str {
        "template.Alert"
    }

    /// What is ours in an alert is not among them.
    fn json_keys(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("status", "Status"),
            ("labels", "Labels"),
            ("annotations", "Annotations"),
            ("startsAt", "StartsAt"),
            ("endsAt", "EndsAt"),
            ("generatorURL", "GeneratorURL"),
            ("fingerprint", "Fingerprint"),
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let alert = &self.0;
        Some(match name {
            "Status" => Value::str(status(alert.is_firing)),
            "Labels" => kv_value(&alert.labels),
            "Annotations" => kv_value(&alert.annotations),
            "StartsAt" => Value::time_ms(alert.starts_at_ms),
            "EndsAt" => Value::time_ms(alert.ends_at_ms),
            "GeneratorURL" => Value::str(&alert.generator_url),
            "Fingerprint" => Value::str(alert.fingerprint.to_string()),
            // Ours. Texts, so that what is not known is empty, and `with` passes over it.
            "Value" => Value::str(
                alert
                    .measured
                    .and_then(|of| of.value)
                    .filter(|value| value.is_finite())
                    .map(number)
                    .unwrap_or_default(),
            ),
            "Peak" => Value::str(
                alert.measured.filter(|of| of.peak.is_finite()).map(|of| number(of.peak)).unwrap_or_default(),
            ),
            "Lasted" => Value::str(lasted(alert.lasted_ms)),
            _ => return None,
        })
    }

    fn display(&self) -> String {
        self.0.display()
    }
}

/// A set of labels or annotations.
pub(crate) fn kv_value(kv: &Kv) -> Value {
    Value::object(KvObject(kv.clone()))
}

#[derive(Debug)]
struct KvObject(Kv);

impl KvObject {
    /// The alert's name first, then by name.
    fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs: Vec<_> = self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        pairs.sort_by_key(|(name, _)| name != FIRST_LABEL);
        pairs
    }
}

impl Object for KvObject {
    fn type_name(&self) -> &str {
        "template.KV"
    }

    /// A missing name is empty.
    fn field(&self, name: &str) -> Option<Value> {
        Some(Value::str(self.0.get(name).map_or("", String::as_str)))
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let pairs = || Pairs(self.pairs());
        Some(match (method, args) {
            ("SortedPairs", []) => Ok(Value::object(pairs())),
            ("Names" | "Values" | "String", []) => return pairs().call(method, args),
            ("Remove", [names]) => texts(names).map(|names| {
                let mut left = self.0.clone();
                left.retain(|name, _| !names.contains(name));
                kv_value(&left)
            }),
            ("SortedPairs" | "Names" | "Values" | "String", args) => Err(wrong_count(method, 0, args)),
            ("Remove", args) => Err(wrong_count(method, 1, args)),
            _ => return None,
        })
    }

    fn items(&self) -> Option<Items> {
        Some(Items::Map(self.0.iter().map(|(name, value)| (Value::str(name), Value::str(value))).collect()))
    }

    fn display(&self) -> String {
        Pairs(self.pairs()).display()
    }
}

#[derive(Debug)]
struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn named(&self, of: impl Fn(&(String, String)) -> &String) -> Value {
        Value::object(Strings {
            texts: self.0.iter().map(|pair| of(pair).clone()).collect(),
            type_name: NAMED,
        })
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &str {
        "template.Pairs"
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        Some(match (method, args) {
            ("Names", []) => Ok(self.named(|pair| &pair.0)),
            ("Values", []) => Ok(self.named(|pair| &pair.1)),
            ("String", []) => Ok(Value::str(self.display())),
            ("Names" | "Values" | "String", args) => Err(wrong_count(method, 0, args)),
            _ => return None,
        })
    }

    fn items(&self) -> Option<Items> {
        Some(Items::List(
            self.0.iter().map(|(name, value)| Value::object(Pair(name.clone(), value.clone()))).collect(),
        ))
    }

    fn display(&self) -> String {
        let texts: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        texts.join(", ")
    }
}

#[derive(Debug)]
struct Pair(String, String);

impl Object for Pair {
    fn type_name(&self) -> &str {
        "template.Pair"
    }

    fn json_keys(&self) -> &'static [(&'static str, &'static str)] {
        &[("Name", "Name"), ("Value", "Value")]
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(Value::str(&self.0)),
            "Value" => Some(Value::str(&self.1)),
            _ => None,
        }
    }

    fn display(&self) -> String {
        format!("{{{} {}}}", self.0, self.1)
    }
}

/// A list of texts that can be joined.
#[derive(Debug)]
struct Strings {
    texts: Vec<String>,
    /// Names and values have a type of their own in Go.
    type_name: &'static str,
}

const NAMED: &str = "template.Strings";
const PLAIN: &str = "[]string";

impl Object for Strings {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        match (method, args) {
            ("Join", [separator]) => {
                Some(Ok(Value::str(self.texts.join(separator.as_str().unwrap_or_default()))))
            }
            ("Join", args) => Some(Err(wrong_count(method, 1, args))),
            _ => None,
        }
    }

    fn items(&self) -> Option<Items> {
        Some(Items::List(self.texts.iter().map(Value::str).collect()))
    }

    fn display(&self) -> String {
        format!("[{}]", self.texts.join(" "))
    }
}

/// A list of texts, as a value.
pub(crate) fn strings(texts: impl Iterator<Item = String>) -> Value {
    Value::object(Strings { texts: texts.collect(), type_name: PLAIN })
}

/// The texts of a list of texts; a list of anything is none, whatever it holds.
pub(crate) fn texts(value: &Value) -> Result<Vec<String>, String> {
    let wrong = |name: &str| format!("wrong type for value; expected []string; got {name}");
    match value {
        Value::Object(object) if [NAMED, PLAIN].contains(&object.type_name()) => match object.items() {
            Some(Items::List(list)) => Ok(list.iter().map(ToString::to_string).collect()),
            _ => Ok(Vec::new()),
        },
        other => Err(wrong(&other.type_name())),
    }
}
