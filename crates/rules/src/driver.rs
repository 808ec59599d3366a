//! The async edge: waits for groups to be due and for alerts to be queued. Decides nothing.
//!
//! In from the binary, as two tasks; out to blocking threads (evaluation) and sockets (notifications).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use net::{Limits, Request};
use stdx::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};
use url::Url;

use crate::manager::Manager;
use crate::notifier::{Endpoint, Notifier, Sent, Source, payload};

/// Groups evaluated at once, at most. Chosen, as Prometheus' default for concurrent rule evaluations.
const GROUPS_AT_ONCE: usize = 4;
/// Longest sleep, so that a wall clock that is set is noticed. Chosen.
const SLEEP_MAX_MS: i64 = 1_000;
/// Of an Alertmanager's answer. Chosen: it is empty, or one line of error.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Evaluates groups when they are due, until `stop`. A stop ends running queries.
pub async fn run_rules(manager: Arc<Manager>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut running: JoinSet<()> = JoinSet::new();
    while !stop.is_cancelled() {
        let now_ms = clock.now_ms();
        // Nothing is queued: a group that finds no room is still due at the next look.
        for cell in manager.due(now_ms, GROUPS_AT_ONCE.saturating_sub(running.len())) {
            let (manager, clock) = (Arc::clone(&manager), Arc::clone(&clock));
            running.spawn_blocking(move || manager.run(&cell, clock.now_ms()));
        }
        if manager.has_removed(now_ms) && running.len() < GROUPS_AT_ONCE {
            let manager = Arc::clone(&manager);
            running.spawn_blocking(move || manager.end_removed(now_ms));
        }
        let wait_ms = manager.next_deadline_ms().saturating_sub(clock.now_ms()).clamp(1, SLEEP_MAX_MS);
        let has_room = running.len() < GROUPS_AT_ONCE;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())), if has_room => {}
            () = manager.changed.notified() => {}
            Some(ended) = running.join_next() => {
                if let Err(err) = ended {
                    tracing::error!(error = %err, "evaluating a rule group failed");
                }
            }
            () = stop.cancelled() => {}
        }
    }
    manager.stop();
    while running.join_next().await.is_some() {}
}

/// Sends queued alerts, one request at a time to each Alertmanager, until `stop`; then for a short while what waits.
pub async fn run_notifier(notifier: Arc<Notifier>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut known: HashMap<Url, (Arc<Endpoint>, CancellationToken)> = HashMap::new();
    let mut sources: Vec<Source> = Vec::new();
    while !stop.is_cancelled() {
        if let Some(fresh) = notifier.take_sources() {
            sources = fresh;
        }
        notifier.discovered(&mut sources);
        let endpoints = notifier.endpoints();
        known.retain(|_, (endpoint, stop)| {
            let stays = endpoints.iter().any(|now| Arc::ptr_eq(now, endpoint));
            if !stays {
                stop.cancel();
            }
            stays
        });
        for endpoint in endpoints {
            if known.contains_key(&endpoint.url) {
                continue;
            }
            let token = stop.child_token();
            known.insert(endpoint.url.clone(), (Arc::clone(&endpoint), token.clone()));
            tasks.spawn(serve(Arc::clone(&notifier), endpoint, Arc::clone(&clock), token));
        }
        tokio::select! {
            () = notifier.changed.notified() => {}
            () = any_changed(&mut sources) => {}
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.cancelled() => {}
        }
    }
    let drain = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_millis(notifier.drain_ms()), drain).await;
}

/// Waits until a source has something new to say.
async fn any_changed(sources: &mut [Source]) {
    if sources.is_empty() {
        std::future::pending::<()>().await;
    }
    let changes = sources.iter_mut().map(|(_, _, source)| Box::pin(source.changed()));
    futures_util::future::select_all(changes).await;
}

/// Sends to one Alertmanager; after a stop, each batch that waits once.
async fn serve(
    notifier: Arc<Notifier>,
    endpoint: Arc<Endpoint>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        let now_ms = clock.now_ms();
        let batch = notifier.take_batch(&endpoint, now_ms);
        if batch.is_empty() {
            if stop.is_cancelled() {
                return;
            }
            let wait_ms = Notifier::wait_ms(&endpoint, now_ms).map_or(60_000, |ms| ms.max(1));
            tokio::select! {
                () = endpoint.filled.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())) => {}
                () = stop.cancelled() => {}
            }
            continue;
        }
        let started = clock.monotonic();
        let (url, n_alerts) = (endpoint.url.as_str(), batch.len());
        let span = info_span!("sendAlerts", otel.kind = "client", url, n_alerts, error = Empty);
        let outcome = post(&endpoint, payload(&batch)).instrument(span.clone()).await;
        if let Sent::Refused(err) | Sent::Failed(err) = &outcome {
            span.record("error", err.as_str());
        }
        drop(span);
        let taken = clock.monotonic().saturating_sub(started).as_secs_f64();
        notifier.metrics.latency.with(&[endpoint.url.as_str()]).observe(taken);
        notifier.sent(&endpoint, batch, &outcome, clock.now_ms());
        if stop.is_cancelled() && outcome != Sent::Ok {
            return;
        }
    }
}

async fn post(endpoint: &Endpoint, body: Vec<u8>) -> Sent {
    let limits = Limits {
        timeout: endpoint.timeout,
        body_bytes_max: ANSWER_BYTES_MAX,
        decoded_bytes_max: ANSWER_BYTES_MAX,
    };
    let request = Request::post(endpoint.url.clone(), "application/json", body);
    match endpoint.client.request(request, &limits).await {
        Err(err) => Sent::Failed(error_chain(&err)),
        Ok(response) => match response.require_success() {
            Ok(()) => Sent::Ok,
            Err(err) => {
                let said = String::from_utf8_lossy(&response.body);
                let error = format!("{err}: {}", said.trim());
                let status = response.status.as_u16();
                // The body itself is wrong; anything else may be well again later.
                if matches!(status, 400 | 413 | 422) { Sent::Refused(error) } else { Sent::Failed(error) }
            }
        },
    }
}

fn error_chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        text.push_str(": ");
        text.push_str(&err.to_string());
        source = err.source();
    }
    text
}
