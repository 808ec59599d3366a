//! The async edge: reads on a blocking thread, sends, waits. Decides nothing that `manager`, `read` and `verdict` have not decided.
//!
//! In from [`crate::Manager`], one task for each queue; out to sockets.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use net::{Limits, Request as HttpRequest};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use crate::config::WriteMessage;
use crate::position::{Position, Step};
use crate::queue::Queue;
use crate::read::{ReadError, Slice, Source, read};
use crate::request::Request;
use crate::verdict::{Answer, Verdict, backoff_ms, judge};

/// Of a receiver's answer. Chosen: it is empty, or some lines of error.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A slice that cannot be sent for so long lets go of the store's pages. Chosen.
const LET_GO_AFTER: Duration = Duration::from_secs(30);
/// How long a stop waits for a slice that is being sent. Chosen, within the five seconds that all parts have.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Between writes of the position. Chosen: a restart sends about so much again.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Before a step is read again that could not be. Chosen.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Reading takes at most one part in so many of the time, and a core. Chosen.
const READ_SHARE: u32 = 4;

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
const RETRY_ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");
const AGENT: &str = concat!("Hinomi/", env!("CARGO_PKG_VERSION"));

/// The token ended it.
struct Stopped;

/// A queue's task.
struct Work {
    queue: Arc<Queue>,
    stop: CancellationToken,
    n_shards: usize,
    /// By the clock's monotonic time.
    saved_at: Duration,
    metadata_at: Duration,
}

/// Sends until `stop`; begins when the task `before`, of the same queue with other settings, has ended.
pub(crate) async fn run(queue: Arc<Queue>, before: Option<JoinHandle<()>>, stop: CancellationToken) {
    if let Some(before) = before {
        let _ = before.await;
    }
    let config = &queue.config.queue;
    let n_shards = usize::try_from(config.min_shards).unwrap_or(1);
    let (metrics, labels) = (&queue.shared.metrics, queue.labels());
    metrics.begin(&labels);
    metrics.shards_max.with(&labels).set(config.max_shards as f64);
    metrics.shards_min.with(&labels).set(config.min_shards as f64);
    metrics.shard_capacity.with(&labels).set(config.capacity as f64);
    metrics.samples_max.with(&labels).set(config.max_samples_per_send as f64);
    let work = Work {
        queue: Arc::clone(&queue),
        stop,
        n_shards,
        saved_at: Duration::ZERO,
        metadata_at: Duration::ZERO,
    };
    work.run().await;
    let _ = tokio::task::spawn_blocking(move || queue.save()).await;
}

impl Work {
    async fn run(mut self) {
        let deadline = self.queue.config.queue.batch_send_deadline.as_std();
        while !self.stop.is_cancelled() {
            let began = self.now();
            let queue = Arc::clone(&self.queue);
            let step = tokio::task::spawn_blocking(move || queue.step()).await.unwrap_or(None);
            let mut wait = deadline;
            if let Some((position, step, is_behind)) = step {
                self.choose_shards(is_behind);
                match self.step(&position, step).await {
                    Ok(Ok(read_for)) if !is_behind => {
                        wait = deadline
                            .saturating_sub(self.now().saturating_sub(began))
                            .max(read_for * (READ_SHARE - 1));
                    }
                    Ok(Ok(_)) => wait = Duration::ZERO,
                    Ok(Err(Stopped)) => return,
                    Err(err) => {
                        let source =
                            std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
                        tracing::error!(url = self.queue.labels()[1], error = %err, source, "remote write waits");
                        wait = READ_AGAIN_AFTER;
                    }
                }
            }
            if self.metadata().await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    fn now(&self) -> Duration {
        self.queue.shared.env.clock.monotonic()
    }

    /// Twice as many while behind, one less when not.
    fn choose_shards(&mut self, is_behind: bool) {
        let config = &self.queue.config.queue;
        let bound = |number: i64| usize::try_from(number).unwrap_or(1);
        let desired =
            if is_behind { self.n_shards.saturating_mul(2) } else { self.n_shards.saturating_sub(1) };
        self.n_shards = desired.clamp(bound(config.min_shards), bound(config.max_shards));
        let (metrics, labels) = (&self.queue.shared.metrics, self.queue.labels());
        metrics.shards_desired.with(&labels).set(desired as f64);
        metrics.shards.with(&labels).set(self.n_shards as f64);
    }

    fn source(&self, position: &Position) -> Source {
        let (config, shared) = (&self.queue.config, &self.queue.shared);
        let bound = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
        Source {
            store: Arc::clone(&shared.env.store),
            journal: Arc::clone(&shared.journal),
            shaper: Arc::clone(&self.queue.shaper),
            message: config.message,
            families: std::collections::BTreeMap::new(),
            is_typed: shared.env.type_and_unit_labels && config.message == WriteMessage::V2,
            n_shards: self.n_shards,
            samples_per_request: bound(config.queue.max_samples_per_send),
            samples_per_slice: bound(config.queue.capacity).saturating_mul(self.n_shards),
            now_ms: shared.env.clock.now_ms(),
            from_ms: position.done_ms,
            from_mark: position.mark,
            ahead: position.ahead,
        }
    }

    /// Sends the rest of a step; returns for how long it was read.
    async fn step(
        &mut self,
        position: &Position,
        mut step: Step,
    ) -> Result<Result<Duration, Stopped>, ReadError> {
        let mut read_for = Duration::ZERO;
        loop {
            let (slices, mut taken) = mpsc::channel(1);
            let (mut source, metadata) = (self.source(position), self.queue.shared.env.metadata.clone());
            let (clock, from) = (Arc::clone(&self.queue.shared.env.clock), step.clone());
            let reading = tokio::task::spawn_blocking(move || {
                if source.message == WriteMessage::V2 {
                    source.families = metadata();
                }
                let (began, mut waited) = (clock.monotonic(), Duration::ZERO);
                let result = read(&source, &from, &mut |slice| {
                    let before = clock.monotonic();
                    let is_wanted = slices.blocking_send(slice).is_ok();
                    waited += clock.monotonic().saturating_sub(before);
                    is_wanted
                });
                result.map(|()| clock.monotonic().saturating_sub(began).saturating_sub(waited))
            });
            let mut listening = true;
            while let Some(slice) = taken.recv().await {
                let (reached, ahead) = (slice.reached.clone(), slice.ahead);
                match self.slice(slice, &mut taken).await {
                    Ok(is_listening) => listening = is_listening,
                    Err(Stopped) => return Ok(Err(Stopped)),
                }
                let is_done = reached.is_none();
                if let Some(at) = &reached {
                    (step.at, step.ahead) = (at.clone(), ahead);
                }
                self.queue.reach(reached, ahead);
                self.save_now_and_then(is_done).await;
                if is_done {
                    drop(taken);
                    if let Ok(Ok(this_time)) = reading.await {
                        read_for += this_time;
                    }
                    return Ok(Ok(read_for));
                }
                if !listening {
                    break;
                }
            }
            drop(taken);
            match reading.await {
                Ok(Ok(this_time)) => read_for += this_time,
                Ok(Err(err)) => return Err(err),
                // A panic has been logged; the step begins again where it was.
                Err(_) => return Ok(Ok(read_for)),
            }
            if listening && self.stop.is_cancelled() {
                return Ok(Err(Stopped));
            }
        }
    }

    async fn save_now_and_then(&mut self, is_done: bool) {
        let now = self.now();
        if is_done || now.saturating_sub(self.saved_at) >= SAVE_EVERY {
            self.saved_at = now;
            let queue = Arc::clone(&self.queue);
            let _ = tokio::task::spawn_blocking(move || queue.save()).await;
        }
    }

    /// Sends all shards of a slice. One that takes long closes `taken`, so that its reader ends; `false` then: the rest is to be read
    /// again. (A closed channel does not say so: a reader that is through has closed it, too, and what it read is still in it.)
    async fn slice(&self, slice: Slice, taken: &mut mpsc::Receiver<Slice>) -> Result<bool, Stopped> {
        let (metrics, labels) = (&self.queue.shared.metrics, self.queue.labels());
        metrics.drop(&labels, slice.dropped);
        let pending = metrics.pending.with(&labels);
        pending.set(slice.n_samples as f64);
        let mut shards: JoinSet<Result<(), Stopped>> = JoinSet::new();
        for requests in slice.shards.into_iter().filter(|requests| !requests.is_empty()) {
            shards.spawn(shard(Arc::clone(&self.queue), requests, self.stop.clone()));
        }
        let mut is_slow = false;
        let grace = async {
            self.stop.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::pin!(grace);
        let outcome = loop {
            tokio::select! {
                ended = shards.join_next() => match ended {
                    None => break Ok(!is_slow),
                    Some(Ok(Ok(()))) => {}
                    Some(_) => break Err(Stopped),
                },
                () = tokio::time::sleep(LET_GO_AFTER), if !is_slow => {
                    is_slow = true;
                    taken.close();
                    // One slice may be in the channel already; it is read again.
                    while taken.try_recv().is_ok() {}
                }
                () = &mut grace => break Err(Stopped),
            }
        };
        pending.set(0.0);
        outcome
    }

    /// What is known of metric families, when its time has come; tried once, and again later.
    async fn metadata(&mut self) -> Result<(), Stopped> {
        let config = &self.queue.config;
        let now = self.now();
        if config.message == WriteMessage::V2 || !config.metadata.send || now < self.metadata_at {
            return Ok(());
        }
        let (metadata, per_request) =
            (self.queue.shared.env.metadata.clone(), config.metadata.max_samples_per_send);
        let per_request = usize::try_from(per_request).unwrap_or(1).max(1);
        let bodies = tokio::task::spawn_blocking(move || {
            let families: Vec<_> = metadata().into_iter().collect();
            let encode = |part: &[(String, model::Metadata)]| {
                let part = part.iter().map(|(name, metadata)| (name.as_str(), metadata));
                wire::remote_write::compress(&wire::remote_write::encode_metadata_v1(part))
            };
            families.chunks(per_request).map(|part| (part.len() as u64, encode(part))).collect::<Vec<_>>()
        });
        let (metrics, labels) = (&self.queue.shared.metrics, self.queue.labels());
        let mut next = now + config.metadata.send_interval.as_std();
        for (n_families, body) in bodies.await.unwrap_or_default() {
            let n_bytes = body.len() as u64;
            let verdict = tokio::select! {
                verdict = post(&self.queue, body, 0).instrument(info_span!("Remote Metadata Send Batch", metadata = n_families)) => verdict,
                () = self.stop.cancelled() => return Err(Stopped),
            };
            match verdict {
                Verdict::Taken => {
                    metrics.metadata.with(&labels).add(n_families);
                    metrics.metadata_bytes.with(&labels).add(n_bytes);
                }
                Verdict::Again { why, .. } => {
                    tracing::debug!(url = labels[1], why, "metadata could not be sent, trying again");
                    metrics.metadata_retried.with(&labels).add(n_families);
                    next = now;
                    break;
                }
                Verdict::Divide { why } | Verdict::Refused { why } => {
                    tracing::warn!(url = labels[1], why, "metadata was refused");
                    metrics.metadata_failed.with(&labels).add(n_families);
                }
            }
        }
        self.metadata_at = next;
        Ok(())
    }
}

/// Sends the requests of a shard, one after the other.
async fn shard(queue: Arc<Queue>, requests: Vec<Request>, stop: CancellationToken) -> Result<(), Stopped> {
    let mut waiting: Vec<Request> = requests.into_iter().rev().collect();
    while let Some(request) = waiting.pop() {
        if let Some([first, second]) = deliver(&queue, request, &stop).await? {
            waiting.extend([second, first]);
        }
    }
    Ok(())
}

/// Sends a request until the receiver takes or refuses it; returns the halves that are to be sent in its place.
async fn deliver(
    queue: &Queue,
    mut request: Request,
    stop: &CancellationToken,
) -> Result<Option<[Request; 2]>, Stopped> {
    let (metrics, labels, config) = (&queue.shared.metrics, queue.labels(), &queue.config.queue);
    let mut n_failures = 0u32;
    loop {
        if n_failures > 0 && queue.shaper.has_age_limit() {
            let mut dropped = crate::shape::Dropped::default();
            request = request.without_old(&queue.shaper, queue.shared.env.clock.now_ms(), &mut dropped);
            metrics.drop(&labels, dropped);
        }
        if request.series.is_empty() {
            return Ok(None);
        }
        let began = queue.shared.env.clock.monotonic();
        let span = info_span!("Remote Send Batch", samples = request.counts().n_samples);
        let verdict = post(queue, request.body.clone(), n_failures).instrument(span).await;
        let taken = queue.shared.env.clock.monotonic().saturating_sub(began);
        metrics.send_seconds.with(&labels).observe(taken.as_secs_f64());
        let (counts, url) = (request.counts(), labels[1]);
        match verdict {
            Verdict::Taken => {
                metrics.sent.add(&labels, counts);
                metrics.bytes.with(&labels).add(request.body.len() as u64);
                return Ok(None);
            }
            Verdict::Again { after_ms, why } => {
                n_failures += 1;
                metrics.retried.add(&labels, counts);
                // The first of a row, and then seldom: it may last for hours.
                if n_failures.is_power_of_two() {
                    tracing::warn!(url, why, n_failures, "samples could not be sent, trying again");
                }
                let backoff_ms =
                    backoff_ms(n_failures, config.min_backoff.as_ms(), config.max_backoff.as_ms());
                let wait_ms = after_ms.unwrap_or(backoff_ms).unsigned_abs();
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                    () = stop.cancelled() => return Err(Stopped),
                }
            }
            Verdict::Divide { why } => {
                tracing::debug!(url, why, n_samples = counts.n_samples, "a request is divided");
                if let Some(halves) = request.halves() {
                    return Ok(Some(halves));
                }
                metrics.failed.add(&labels, counts);
                return Ok(None);
            }
            Verdict::Refused { why } => {
                tracing::error!(
                    url,
                    why,
                    n_samples = counts.n_samples,
                    "samples were refused and are lost for this receiver"
                );
                if queue.config.failed_request_logging {
                    tracing::debug!(url, series = ?request.series, "what was refused");
                }
                metrics.failed.add(&labels, counts);
                return Ok(None);
            }
        }
    }
}

async fn post(queue: &Queue, body: Vec<u8>, attempt: u32) -> Verdict {
    let config = &queue.config;
    let (content_type, version) = match config.message {
        WriteMessage::V1 => ("application/x-protobuf", "0.1.0"),
        WriteMessage::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    let mut request = HttpRequest::post(config.url.clone(), content_type, body);
    add_headers(&mut request.headers, config, version, attempt);
    let limits = Limits {
        timeout: config.timeout.as_std(),
        body_bytes_max: ANSWER_BYTES_MAX,
        decoded_bytes_max: ANSWER_BYTES_MAX,
    };
    let span = info_span!(
        "Remote Store",
        otel.kind = "client",
        remote_name = queue.labels()[0],
        remote_url = queue.labels()[1],
        request_size = request.body.len(),
        r#try = attempt,
        error = Empty
    );
    let answered = queue.client.send(request, &limits).instrument(span.clone()).await;
    match answered {
        Err(err) => {
            let why = err.to_string();
            span.record("error", why.as_str());
            Verdict::Again { after_ms: None, why }
        }
        Ok(response) => {
            if let Err(why) = response.require_success() {
                span.record("error", why.as_str());
            }
            let answer = Answer {
                status: response.status.as_u16(),
                reason: reason(response.status),
                retry_after: response.header(&RETRY_AFTER),
                body: &response.body,
            };
            let now_ms = queue.shared.env.clock.now_ms();
            judge(answer, config.message, config.queue.retry_on_http_429, now_ms)
        }
    }
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or_default()
}

fn add_headers(
    headers: &mut HeaderMap,
    config: &crate::RemoteWriteConfig,
    version: &'static str,
    attempt: u32,
) {
    for (name, value) in &config.headers {
        // Checked when the configuration was read.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    headers.insert(VERSION, HeaderValue::from_static(version));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if attempt > 0 {
        headers.insert(RETRY_ATTEMPT, HeaderValue::from(attempt));
    }
}
