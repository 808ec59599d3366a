//! Tests of a receiver: one message of an alert that says it is a test, and what each integration's other side answered.
//!
//! In from the API; out through [`crate::notify`], by the way of every message. Groups, the notification log and promises never
//! hear of it; the history does. A few a minute, so that nobody floods a pager.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use model::alert::ALERT_NAME;
use serde::Serialize;

use crate::alert::{Alert, Fingerprint};
use crate::config::Integration;
use crate::handle::Handle;
use crate::history::{Attempted, Kind};
use crate::notification::{Notification, Outcome, Snapshot};
use crate::notify::{Exchange, Notifier};
use crate::time::api_rfc3339;

/// Most tests within [`WINDOW_MS`]. Chosen: enough for somebody who sets a receiver up, too few to be a nuisance to others.
pub(crate) const TESTS_MAX: usize = 6;
const WINDOW_MS: i64 = 60_000;
/// How long one message may take. Chosen: somebody waits for the answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long the alert says it lasts, for receivers that end it by themselves. Chosen.
const LASTS_MS: i64 = 300_000;
/// What stands before the alert's name, so that every template shows it.
const MARK: &str = "[TEST] ";
/// Why it is sent, in messages and in the history.
const REASON: &str = "test";
/// Its name when nobody gives one.
const NAME: &str = "NotificationTest";

/// Why no test was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NoReceiver,
    TooMany,
}

/// What a test came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tested {
    receiver: String,
    at: String,
    labels: BTreeMap<String, String>,
    integrations: Vec<TestedIntegration>,
}

#[derive(Debug, Serialize)]
struct TestedIntegration {
    name: &'static str,
    index: usize,
    /// The alert as it fires, and where ends are told, its end.
    messages: Vec<Message>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    status: &'static str,
    is_delivered: bool,
    took_seconds: f64,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    exchanges: Vec<Exchange>,
}

/// When tests were sent.
#[derive(Debug, Default)]
pub(crate) struct Tests(VecDeque<i64>);

impl Tests {
    /// Whether another may be sent now; counts it then.
    fn admit(&mut self, now_ms: i64) -> bool {
        while self.0.front().is_some_and(|at_ms| at_ms.saturating_add(WINDOW_MS) <= now_ms) {
            self.0.pop_front();
        }
        let has_room = self.0.len() < TESTS_MAX;
        if has_room {
            self.0.push_back(now_ms);
        }
        has_room
    }
}

/// The labels of the test's alert, marked.
fn marked(labels: &Labels) -> Labels {
    let name = labels.get(ALERT_NAME).unwrap_or(NAME);
    let mut marked = labels.clone().to_builder();
    marked.set(ALERT_NAME, &format!("{MARK}{name}"));
    marked.build()
}

fn alert(labels: &Labels, receiver: &str, now_ms: i64) -> Alert {
    let text = format!(
        "This is a test of the receiver {receiver:?}. Nothing is wrong, and nothing needs to be done."
    );
    Alert {
        labels: labels.clone(),
        annotations: Labels::from_pairs([("summary", text.as_str()), ("description", text.as_str())]),
        starts_at_ms: now_ms,
        ends_at_ms: now_ms.saturating_add(LASTS_MS),
        generator_url: String::new(),
        updated_at_ms: now_ms,
        is_timeout: false,
        measured: None,
    }
}

fn notification(receiver: &str, alert: Alert, is_firing: bool, now_ms: i64) -> Notification {
    let labels = alert.labels.clone();
    Notification {
        receiver: receiver.to_owned(),
        // One of its own for each test, so that it is no part of a real incident, and its end finds it.
        group_key: format!("hinomi-test/{receiver}:{labels}"),
        group_labels: labels,
        route_labels: BTreeMap::new(),
        reason: REASON,
        alerts: vec![Snapshot {
            fingerprint: Fingerprint::of(&alert.labels),
            alert: Arc::new(alert),
            is_firing,
            is_flapping: false,
        }],
        others_fire: false,
        data: BTreeMap::new(),
        now_ms,
    }
}

impl Handle {
    /// Sends a test of `receiver` and waits for the answers.
    pub(crate) async fn test(&self, receiver: &str, labels: &Labels) -> Result<Tested, Refused> {
        let shared = &self.shared;
        let now_ms = shared.clock.now_ms();
        let found =
            shared.look(|core, _| core.config.receiver(receiver).cloned()).ok_or(Refused::NoReceiver)?;
        if !shared.tests.lock().admit(now_ms) {
            return Err(Refused::TooMany);
        }
        let notifier = Arc::clone(&shared.notifier.read());
        let labels = marked(labels);
        let mut running = Vec::new();
        for integration in &found.integrations {
            let (handle, notifier, integration) =
                (self.clone(), Arc::clone(&notifier), Arc::clone(integration));
            let alert = alert(&labels, receiver, now_ms);
            running.push(tokio::spawn(async move { handle.try_one(&notifier, &integration, alert).await }));
        }
        let mut integrations = Vec::new();
        for one in running {
            match one.await {
                Ok(tested) => integrations.push(tested),
                Err(err) => tracing::error!(error = %err, "a test of a receiver broke off"),
            }
        }
        let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Tested { receiver: receiver.to_owned(), at: api_rfc3339(now_ms), labels, integrations })
    }

    async fn try_one(
        &self,
        notifier: &Notifier,
        integration: &Arc<Integration>,
        alert: Alert,
    ) -> TestedIntegration {
        let now_ms = alert.starts_at_ms;
        let first = notification(&integration.receiver, alert.clone(), true, now_ms);
        let (message, data) = self.say(notifier, integration, first).await;
        let is_delivered = message.is_delivered;
        let mut messages = vec![message];
        // What a pager opened it must close.
        if integration.sends_resolved && is_delivered {
            let end_ms = self.shared.clock.now_ms().max(now_ms.saturating_add(1));
            let over = Alert { ends_at_ms: end_ms, updated_at_ms: end_ms, ..alert };
            let last = Notification { data, ..notification(&integration.receiver, over, false, end_ms) };
            messages.push(self.say(notifier, integration, last).await.0);
        }
        TestedIntegration { name: integration.name, index: integration.idx, messages }
    }

    /// One message; what the receiver noted about it is for the next.
    async fn say(
        &self,
        notifier: &Notifier,
        integration: &Arc<Integration>,
        notification: Notification,
    ) -> (Message, crate::notification::ReceiverData) {
        let shared = &self.shared;
        let began = shared.clock.monotonic();
        let (outcome, exchanges) = notifier.send_traced(integration, &notification, TIMEOUT).await;
        let took = shared.clock.monotonic().saturating_sub(began);
        let is_firing = notification.alerts.iter().any(|alert| alert.is_firing);
        let (is_delivered, reason, error, data) = match outcome {
            Outcome::Delivered(data) => (true, None, String::new(), data),
            Outcome::Failed { reason, message, .. } => (false, Some(reason.text()), message, BTreeMap::new()),
        };
        let attempted = Attempted {
            kind: if is_delivered { Kind::Sent } else { Kind::Failed },
            notification: Arc::new(notification),
            integration: integration.name,
            idx: integration.idx,
            attempt: 1,
            took_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            reason: if is_delivered { REASON } else { reason.unwrap_or(REASON) },
            error: error.clone(),
        };
        shared.change(|core, now_ms| core.history.attempt(now_ms, || attempted));
        let status = if is_firing { "firing" } else { "resolved" };
        (Message { status, is_delivered, took_seconds: took.as_secs_f64(), error, reason, exchanges }, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_tests_a_minute() {
        let mut tests = Tests::default();
        let n_admitted = (0..20).filter(|i| tests.admit(i * 1_000)).count();
        assert_eq!(n_admitted, TESTS_MAX);
        assert!(!tests.admit(59_999) && tests.admit(60_000) && !tests.admit(60_001) && tests.admit(61_000));
    }

    #[test]
    fn every_test_says_that_it_is_one() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let labels = marked(&Labels::from_pairs(pairs.iter().copied()));
            assert_eq!(labels.to_string(), expected);
            let alert = alert(&labels, "team", 0);
            assert!(
                alert.annotations.get("summary").is_some_and(|text| text.contains("test of the receiver"))
            );
        };
        check(&[], r#"{alertname="[TEST] NotificationTest"}"#);
        check(&[("alertname", "Load"), ("a", "b")], r#"{a="b", alertname="[TEST] Load"}"#);
    }
}
