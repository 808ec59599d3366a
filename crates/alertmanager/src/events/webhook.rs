//! Events to an HTTP endpoint: a bounded queue, some workers that take from it, retries with growing waits.

use std::sync::Arc;
use std::time::Duration;

use net::{HttpClient, Limits, Request};
use stdx::metrics::Counter;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use url::Url;

use super::config::{Batch, WebhookConfig};

/// Most events that wait for one endpoint; more are dropped and counted. From Alertmanager.
const QUEUE_MAX: usize = 1_024;
/// The longest wait between attempts. From Alertmanager.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Most of an answer that is read, in bytes; nobody looks at it.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// One endpoint and the workers that speak to it.
#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) name: String,
    queue: mpsc::Sender<String>,
    dropped: Arc<Counter>,
    workers: JoinSet<()>,
}

impl Webhook {
    /// Starts the workers on the current runtime.
    pub(super) fn start(config: WebhookConfig, client: HttpClient, dropped: Arc<Counter>) -> Self {
        let name = name_of(&config.url);
        let (queue, events) = mpsc::channel(QUEUE_MAX);
        let inlet = Arc::new(Mutex::new(Inlet { events, carried: None }));
        let (config, client) = (Arc::new(config), Arc::new(client));
        let mut workers = JoinSet::new();
        for _ in 0..config.n_workers {
            workers.spawn(work(Arc::clone(&config), Arc::clone(&client), Arc::clone(&inlet), name.clone()));
        }
        Self { name, queue, dropped, workers }
    }

    /// Takes an event to be sent; returns at once.
    pub(super) fn offer(&self, event: String) {
        if self.queue.try_send(event).is_err() {
            self.dropped.inc();
            tracing::warn!(output = %self.name, "event dropped: too many wait for this output");
        }
    }

    /// Lets what waits be sent; what is not within `time` is given up.
    pub(super) async fn close(self, time: Duration) {
        let Self { name, queue, mut workers, .. } = self;
        drop(queue);
        let all = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(time, all).await.is_err() {
            tracing::warn!(output = %name, "events given up at the end: the output takes none");
        }
    }
}

/// `webhook:` and the address without what may be a secret.
pub(super) fn name_of(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    format!("webhook:{url}")
}

/// What the workers take from, one at a time.
#[derive(Debug)]
struct Inlet {
    events: mpsc::Receiver<String>,
    /// One that did not fit into the request before.
    carried: Option<String>,
}

impl Inlet {
    async fn next(&mut self) -> Option<String> {
        match self.carried.take() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// The next body: one event, or a list of them; `None` at the end.
    async fn body(&mut self, batch: Option<Batch>) -> Option<String> {
        let first = self.next().await?;
        let Some(batch) = batch else { return Some(first) };
        let (mut body, mut n_events) = (format!("[{first}"), 1);
        let full = tokio::time::sleep(batch.flush);
        tokio::pin!(full);
        while n_events < batch.events_max && body.len() < batch.bytes_max {
            let event = tokio::select! {
                () = &mut full => break,
                event = self.events.recv() => event,
            };
            let Some(event) = event else { break };
            // A comma and the bracket at the end.
            if body.len() + event.len() + 2 > batch.bytes_max {
                self.carried = Some(event);
                break;
            }
            body.push(',');
            body.push_str(&event);
            n_events += 1;
        }
        body.push(']');
        Some(body)
    }
}

async fn work(config: Arc<WebhookConfig>, client: Arc<HttpClient>, inlet: Arc<Mutex<Inlet>>, name: String) {
    loop {
        // The lock is held while waiting, so that one worker gathers a batch; it is let go before the request.
        let body = inlet.lock().await.body(config.batch).await;
        let Some(body) = body else { return };
        post(&config, &client, &name, body).await;
    }
}

async fn post(config: &WebhookConfig, client: &HttpClient, name: &str, body: String) {
    let body = Request::post(config.url.clone(), "application/json", body).body;
    for attempt in 1..=config.attempts_max {
        let request = Request::post(config.url.clone(), "application/json", body.clone());
        let limits = Limits {
            timeout: config.timeout,
            body_bytes_max: ANSWER_BYTES_MAX,
            decoded_bytes_max: ANSWER_BYTES_MAX,
        };
        let problem = match client.request(request, &limits).await {
            Ok(response) if response.status.is_success() => return,
            Ok(response) => format!("the endpoint answered {}", response.status.as_u16()),
            Err(err) => err.to_string().replace(config.url.as_str(), name),
        };
        if attempt == config.attempts_max {
            tracing::error!(output = %name, attempts = attempt, error = %problem, "event dropped: not delivered");
            return;
        }
        tracing::warn!(output = %name, attempt, error = %problem, "event not delivered, trying again");
        tokio::time::sleep(wait_after(config.backoff, attempt)).await;
    }
}

fn wait_after(backoff: Duration, attempt: u32) -> Duration {
    backoff.saturating_mul(1 << (attempt - 1).min(16)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_gather_until_a_request_is_full_or_its_time_is_over() {
        let batch = Batch { events_max: 3, bytes_max: 20, flush: Duration::from_millis(20) };
        let (queue, events) = mpsc::channel(10);
        let mut inlet = Inlet { events, carried: None };
        for event in ["11", "22", "33", "44", "a long event that is alone", "5555555555", "666666666"] {
            queue.send(event.to_owned()).await.expect("room");
        }
        assert_eq!(inlet.body(None).await.as_deref(), Some("11"));
        assert_eq!(inlet.body(Some(batch)).await.as_deref(), Some("[22,33,44]"));
        assert_eq!(inlet.body(Some(batch)).await.as_deref(), Some("[a long event that is alone]"));
        assert_eq!(
            inlet.body(Some(batch)).await.as_deref(),
            Some("[5555555555]"),
            "the next one is too long"
        );
        assert_eq!(inlet.body(Some(batch)).await.as_deref(), Some("[666666666]"), "nothing comes any more");
        drop(queue);
        assert_eq!(inlet.body(Some(batch)).await, None);
    }

    #[test]
    fn waits_double_up_to_half_a_minute() {
        let wait = |attempt| wait_after(Duration::from_millis(500), attempt).as_millis();
        assert_eq!([wait(1), wait(2), wait(3), wait(7), wait(40)], [500, 1_000, 2_000, 30_000, 30_000]);
    }

    #[test]
    fn names_have_no_secrets() {
        let url = Url::parse("https://u:p@h:1/a/b?token=x#f").expect("a URL");
        assert_eq!(name_of(&url), "webhook:https://h:1/a/b");
    }
}
