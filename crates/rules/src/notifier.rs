//! Alerts on their way to external Alertmanagers: one bounded queue each, sent in batches, tried again until taken.
//!
//! In as an [`AlertSink`]; out through [`crate::driver`], which asks for batches and tells how they went.
//! Unlike Prometheus, a failed batch is not lost: it waits and is tried again. Of one alert only the newest word
//! waits, so that a long outage fills the queue with alerts, not with repetitions.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use discovery::{Groups, Hub, Owner, Subscription};
use model::relabel::{self, RelabelConfig};
use model::{Alert, Labels};
use net::HttpClient;
use parking_lot::{Mutex, RwLock};
use stdx::metrics::Registry;
use url::Url;

use crate::config::{AlertingConfig, AlertmanagerConfig};
use crate::env::AlertSink;
use crate::humanize::rfc3339;
use crate::metrics::NotifierMetrics;

/// Alerts in one request. From Prometheus.
const BATCH_MAX: usize = 256;
/// Wait after the first failure; doubles up to [`BACKOFF_MAX_MS`]. Chosen.
const BACKOFF_MIN_MS: i64 = 1_000;
/// Chosen: an Alertmanager that is back hears of what burns within half a minute.
const BACKOFF_MAX_MS: i64 = 30_000;

/// How the notifier queues.
#[derive(Debug, Clone, Copy)]
pub struct NotifierOptions {
    /// Alerts that may wait for one Alertmanager (`--alertmanager.notification-queue-capacity`).
    pub queue_capacity: usize,
    /// How long a stop may take to send what waits, milliseconds.
    pub drain_ms: u64,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        Self { queue_capacity: 10_000, drain_ms: 2_000 }
    }
}

/// Waiting alerts, oldest first, each label set once.
#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<Labels>,
    newest: HashMap<Labels, Alert>,
    n_failures: u32,
    retry_at_ms: i64,
}

impl Queue {
    /// Returns how many alerts were dropped to make room.
    fn push(&mut self, alerts: Vec<Alert>, capacity: usize) -> u64 {
        let mut n_dropped = 0;
        for alert in alerts {
            let labels = alert.labels.clone();
            if self.newest.insert(labels.clone(), alert).is_none() {
                self.order.push_back(labels);
            }
        }
        while self.order.len() > capacity {
            let oldest = self.order.pop_front().expect("longer than the capacity, so not empty");
            self.newest.remove(&oldest);
            n_dropped += 1;
        }
        n_dropped
    }

    fn take(&mut self) -> Vec<Alert> {
        let n_alerts = self.order.len().min(BATCH_MAX);
        let labels: Vec<_> = self.order.drain(..n_alerts).collect();
        labels.iter().filter_map(|labels| self.newest.remove(labels)).collect()
    }

    /// Puts a batch back in front, but for alerts of which there is newer word.
    fn put_back(&mut self, batch: Vec<Alert>) {
        for alert in batch.into_iter().rev() {
            if !self.newest.contains_key(&alert.labels) {
                self.order.push_front(alert.labels.clone());
                self.newest.insert(alert.labels.clone(), alert);
            }
        }
    }
}

/// One external Alertmanager.
#[derive(Debug)]
pub struct Endpoint {
    /// Where alerts are posted.
    pub url: Url,
    pub(crate) client: Arc<HttpClient>,
    pub(crate) timeout: std::time::Duration,
    relabel: Vec<RelabelConfig>,
    queue: Mutex<Queue>,
    /// Told when alerts were queued.
    pub(crate) filled: tokio::sync::Notify,
}

impl Section {
    fn endpoint(&self, url: Url) -> Endpoint {
        Endpoint {
            url,
            client: Arc::clone(&self.client),
            timeout: self.config.timeout.as_std(),
            relabel: self.config.alert_relabel_configs.clone(),
            queue: Mutex::default(),
            filled: tokio::sync::Notify::new(),
        }
    }
}

/// How an attempt to send went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The Alertmanager took the batch.
    Ok,
    /// It refused the batch and would again.
    Refused(String),
    /// It could not be reached, or was busy or broken.
    Failed(String),
}

/// One entry of `alertmanagers`, and what its discovery last said.
#[derive(Debug)]
struct Section {
    config: AlertmanagerConfig,
    client: Arc<HttpClient>,
    owner: Owner,
    /// By source; `None` until it has spoken.
    found: Vec<Option<Groups>>,
}

/// Sends to every configured Alertmanager.
#[derive(Debug)]
pub struct Notifier {
    options: NotifierOptions,
    discovery: Arc<Hub>,
    sections: Mutex<Vec<Section>>,
    /// Of the newest configuration, with the place of each; the driver takes them.
    fresh: Mutex<Option<Vec<Source>>>,
    endpoints: RwLock<Vec<Arc<Endpoint>>>,
    pub(crate) metrics: NotifierMetrics,
    /// Told when the endpoints changed.
    pub(crate) changed: tokio::sync::Notify,
}

/// A source of addresses: its section, its place there, and what it says.
pub(crate) type Source = (usize, usize, Subscription);

impl Notifier {
    /// Without Alertmanagers; [`Notifier::reload`] brings them.
    #[must_use]
    pub fn new(options: NotifierOptions, registry: &Registry, discovery: Arc<Hub>) -> Self {
        let metrics = NotifierMetrics::register(registry);
        metrics.queue_capacity.set(options.queue_capacity as f64);
        Self {
            options,
            discovery,
            sections: Mutex::default(),
            fresh: Mutex::default(),
            endpoints: RwLock::default(),
            metrics,
            changed: tokio::sync::Notify::new(),
        }
    }

    /// Takes the Alertmanagers of `config`. What waits for one that stays goes on waiting, and those that were known stay
    /// until discovery has said anew where they are.
    ///
    /// # Errors
    /// When a client cannot be made (a TLS file is missing, say); nothing has changed then.
    pub fn reload(&self, config: &AlertingConfig) -> Result<(), String> {
        let mut sections = Vec::new();
        let mut sources: Vec<Source> = Vec::new();
        for (i, alertmanager) in config.alertmanagers.iter().enumerate() {
            let client = HttpClient::signed(&alertmanager.http, alertmanager.signing.as_ref())
                .map_err(|err| format!("alertmanagers: {err}"))?;
            let owner = Owner { name: "notify", config: format!("config-{i}") };
            let mut found = Vec::new();
            for (place, sd) in alertmanager.sd.iter().enumerate() {
                let mut source = self.discovery.subscribe(sd, &owner);
                found.push(source.take());
                sources.push((i, place, source));
            }
            sections.push(Section { config: alertmanager.clone(), client: Arc::new(client), owner, found });
        }
        let gone = std::mem::replace(&mut *self.sections.lock(), sections);
        gone.iter()
            .skip(config.alertmanagers.len())
            .for_each(|section| self.discovery.forget(&section.owner));
        *self.fresh.lock() = Some(sources);
        self.settle();
        Ok(())
    }

    /// The sources of a new configuration, once.
    pub(crate) fn take_sources(&self) -> Option<Vec<Source>> {
        self.fresh.lock().take()
    }

    /// Takes note of what sources say now.
    pub(crate) fn discovered(&self, sources: &mut [Source]) {
        let mut has_changed = false;
        {
            let mut sections = self.sections.lock();
            for (section, place, source) in sources {
                // A reload may have come between; its own sources follow.
                let known = sections.get_mut(*section).and_then(|section| section.found.get_mut(*place));
                if let (Some(known), Some(groups)) = (known, source.take()) {
                    *known = Some(groups);
                    has_changed = true;
                }
            }
        }
        if has_changed {
            self.settle();
        }
    }

    /// Makes the endpoints what the sections say; those that stay keep what waits for them.
    fn settle(&self) {
        let sections = self.sections.lock();
        let mut current = self.endpoints.write();
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::new();
        let is_complete = sections.iter().flat_map(|section| &section.found).all(Option::is_some);
        for section in sections.iter() {
            let groups = || section.found.iter().flatten().flat_map(|groups| groups.iter());
            let n_targets = groups().map(|group| group.targets.len()).sum();
            self.discovery.note_targets(&section.owner, n_targets);
            for url in section.config.urls(groups()) {
                match url {
                    Ok(url) if endpoints.iter().all(|known| known.url != url) => {
                        // The same one of the same section goes on undisturbed.
                        let same = |known: &&Arc<Endpoint>| {
                            known.url == url && Arc::ptr_eq(&known.client, &section.client)
                        };
                        let known = current.iter().find(same).cloned();
                        endpoints.push(known.unwrap_or_else(|| Arc::new(section.endpoint(url))));
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(error, "an Alertmanager that was found cannot be used"),
                }
            }
        }
        for endpoint in &endpoints {
            let old = current.iter().find(|old| old.url == endpoint.url);
            if let Some(old) = old.filter(|old| !Arc::ptr_eq(old, endpoint)) {
                *endpoint.queue.lock() = std::mem::take(&mut *old.queue.lock());
            }
        }
        let is_new = |old: &&Arc<Endpoint>| endpoints.iter().all(|endpoint| endpoint.url != old.url);
        if is_complete {
            for old in current.iter().filter(is_new) {
                self.metrics.queue_length.remove(&[old.url.as_str()]);
            }
        } else {
            let staying: Vec<_> = current.iter().filter(is_new).cloned().collect();
            endpoints.extend(staying);
        }
        for endpoint in &endpoints {
            // Zeros from the start, so that rate() sees the first failure.
            for counters in [&self.metrics.sent, &self.metrics.errors, &self.metrics.dropped] {
                counters.with(&[endpoint.url.as_str()]);
            }
            self.note_length(endpoint);
        }
        self.metrics.alertmanagers.set(endpoints.len() as f64);
        *current = endpoints;
        drop(current);
        self.changed.notify_one();
    }

    /// The Alertmanagers, for `/api/v1/alertmanagers`.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.read().clone()
    }

    pub(crate) fn drain_ms(&self) -> u64 {
        self.options.drain_ms
    }

    fn note_length(&self, endpoint: &Endpoint) {
        let n_waiting = endpoint.queue.lock().order.len();
        self.metrics.queue_length.with(&[endpoint.url.as_str()]).set(n_waiting as f64);
    }

    /// The next batch for `endpoint`; empty when nothing waits, or when the last attempt failed too recently.
    pub(crate) fn take_batch(&self, endpoint: &Endpoint, now_ms: i64) -> Vec<Alert> {
        let batch = {
            let mut queue = endpoint.queue.lock();
            // A clock that was set back must not keep alerts waiting.
            let is_backing_off = now_ms < queue.retry_at_ms && queue.retry_at_ms - now_ms <= BACKOFF_MAX_MS;
            if is_backing_off { Vec::new() } else { queue.take() }
        };
        self.note_length(endpoint);
        batch
    }

    /// How long to wait before asking for a batch again; `None` until alerts come.
    pub(crate) fn wait_ms(endpoint: &Endpoint, now_ms: i64) -> Option<i64> {
        let queue = endpoint.queue.lock();
        (!queue.order.is_empty()).then(|| (queue.retry_at_ms - now_ms).clamp(0, BACKOFF_MAX_MS))
    }

    /// Takes note of how a batch went.
    pub(crate) fn sent(&self, endpoint: &Endpoint, batch: Vec<Alert>, outcome: &Sent, now_ms: i64) {
        let url = [endpoint.url.as_str()];
        let n_alerts = batch.len() as u64;
        let n_dropped = {
            let mut queue = endpoint.queue.lock();
            match outcome {
                Sent::Ok => {
                    self.metrics.sent.with(&url).add(n_alerts);
                    (queue.n_failures, queue.retry_at_ms) = (0, 0);
                    0
                }
                Sent::Refused(_) => {
                    (queue.n_failures, queue.retry_at_ms) = (0, 0);
                    n_alerts
                }
                Sent::Failed(_) => {
                    let backoff_ms = BACKOFF_MIN_MS << queue.n_failures.min(10);
                    queue.retry_at_ms = now_ms + backoff_ms.min(BACKOFF_MAX_MS);
                    queue.n_failures += 1;
                    queue.put_back(batch);
                    queue.push(Vec::new(), self.options.queue_capacity)
                }
            }
        };
        match outcome {
            Sent::Ok => {}
            Sent::Refused(error) => {
                self.metrics.errors.with(&url).add(n_alerts);
                tracing::error!(alertmanager = url[0], n_alerts, error, "alerts were refused and are lost");
            }
            Sent::Failed(error) => {
                self.metrics.errors.with(&url).add(n_alerts);
                tracing::warn!(
                    alertmanager = url[0],
                    n_alerts,
                    error,
                    "alerts could not be sent, trying again"
                );
            }
        }
        self.metrics.dropped.with(&url).add(n_dropped);
        self.note_length(endpoint);
    }
}

impl AlertSink for Notifier {
    fn send(&self, alerts: Vec<Alert>) {
        for endpoint in self.endpoints.read().iter() {
            let relabelled = alerts.iter().filter_map(|alert| {
                let labels = relabel::process(&alert.labels, &endpoint.relabel)?;
                (!labels.is_empty()).then(|| Alert { labels, ..alert.clone() })
            });
            let n_dropped = endpoint.queue.lock().push(relabelled.collect(), self.options.queue_capacity);
            if n_dropped > 0 {
                let url = endpoint.url.as_str();
                self.metrics.dropped.with(&[url]).add(n_dropped);
                tracing::error!(alertmanager = url, n_dropped, "queue is full, oldest alerts dropped");
            }
            self.note_length(endpoint);
            endpoint.filled.notify_one();
        }
    }
}

/// The body of a request to `/api/v2/alerts`.
pub(crate) fn payload(alerts: &[Alert]) -> Vec<u8> {
    let labels = |labels: &Labels| {
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), serde_json::Value::from(value)));
        serde_json::Value::Object(pairs.collect())
    };
    let alerts: Vec<_> = alerts
        .iter()
        .map(|alert| {
            let mut body = serde_json::json!({
                "labels": labels(&alert.labels),
                "startsAt": rfc3339(alert.starts_at_ms),
                "endsAt": rfc3339(alert.ends_at_ms),
                "generatorURL": alert.generator_url,
            });
            // As Prometheus leaves it out.
            if !alert.annotations.is_empty() {
                body["annotations"] = labels(&alert.annotations);
            }
            // Alertmanager passes over what it does not know.
            if let Some(measured) = alert.measured.filter(|measured| measured.peak.is_finite()) {
                body["hinomi"] = serde_json::json!({
                    "value": measured.value,
                    "peak": measured.peak,
                    "lowerIsWorse": measured.lower_is_worse,
                });
            }
            body
        })
        .collect();
    serde_json::to_vec(&alerts).expect("maps with text keys always serialise")
}
