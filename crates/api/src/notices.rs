//! Notices: what somebody who looks at the page should know at once, as Prometheus' `/api/v1/notifications` tells it.
//!
//! In from the binary, by [`Notices::raise`] and [`Notices::clear`]; out to the list and to a live stream of events.
//! Answered before the server is ready and while it stops: that is what some notices are about. A subscriber that does not read
//! loses events and never holds up anybody.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use hyper::body::Frame;
use parking_lot::Mutex;
use stdx::Clock;
use stdx::metrics::{Counter, Gauge, Registry};
use tokio::sync::mpsc;

use crate::json::Json;
use crate::respond::{success, typed_response};
use crate::state::Shell;

/// Said until the store is open.
pub(crate) const STARTING: &str = "Hinomi is starting and replaying its log.";
/// Said from the wish to stop until the end.
pub(crate) const STOPPING: &str = "Hinomi is shutting down and stopping all operations.";

/// Events that wait for one subscriber; as many as Prometheus keeps.
const WAITING_MAX: usize = 10;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Notice {
    text: String,
    /// When it was last raised, Unix milliseconds.
    at_ms: i64,
    is_active: bool,
}

/// All notices that hold now, and who wants to hear of changes.
pub struct Notices {
    clock: Arc<dyn Clock>,
    subscribers_max: usize,
    state: Mutex<Inner>,
    subscribers: Arc<Gauge>,
    sent: Arc<Counter>,
    dropped: Arc<Counter>,
}

#[derive(Default)]
struct Inner {
    held: Vec<Notice>,
    subscribers: Vec<mpsc::Sender<Notice>>,
}

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notices").field("held", &self.state.lock().held).finish_non_exhaustive()
    }
}

impl Notices {
    /// None yet. At most `subscribers_max` may listen at once.
    #[must_use]
    pub(crate) fn new(clock: Arc<dyn Clock>, subscribers_max: usize, registry: &Registry) -> Self {
        Self {
            clock,
            subscribers_max,
            state: Mutex::default(),
            subscribers: registry.gauge(
                "prometheus_api_notification_active_subscribers",
                "The current number of active notification subscribers.",
            ),
            sent: registry.counter(
                "prometheus_api_notification_updates_sent_total",
                "Total number of notification updates sent.",
            ),
            dropped: registry.counter(
                "prometheus_api_notification_updates_dropped_total",
                "Total number of notification updates dropped.",
            ),
        }
    }

    /// `text` holds from now on. Raised again it only gets a newer date.
    pub fn raise(&self, text: &str) {
        let at_ms = self.clock.now_ms();
        let notice = Notice { text: text.to_owned(), at_ms, is_active: true };
        let mut state = self.state.lock();
        match state.held.iter_mut().find(|held| held.text == text) {
            Some(held) => held.at_ms = at_ms,
            None => state.held.push(notice.clone()),
        }
        self.tell(&mut state, &notice);
    }

    /// `text` does not hold any more. Nothing happens when it did not.
    pub fn clear(&self, text: &str) {
        let mut state = self.state.lock();
        let Some(at) = state.held.iter().position(|held| held.text == text) else { return };
        let notice = Notice { is_active: false, ..state.held.remove(at) };
        self.tell(&mut state, &notice);
    }

    /// Ends every live stream, once it has told what it was given: a stop must not wait for browsers.
    pub(crate) fn hang_up(&self) {
        let mut state = self.state.lock();
        state.subscribers.clear();
        self.subscribers.set(0.0);
    }

    fn tell(&self, state: &mut Inner, notice: &Notice) {
        for subscriber in &state.subscribers {
            self.sent.inc();
            if subscriber.try_send(notice.clone()).is_err() {
                self.dropped.inc();
            }
        }
    }

    /// All that hold, then every change. `None` when too many listen already.
    fn subscribe(self: &Arc<Self>) -> Option<Live> {
        let mut state = self.state.lock();
        self.tidy(&mut state);
        if state.subscribers.len() >= self.subscribers_max {
            return None;
        }
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        state.held.iter().take(WAITING_MAX).for_each(|held| drop(sender.try_send(held.clone())));
        state.subscribers.push(sender);
        self.subscribers.set(state.subscribers.len() as f64);
        Some(Live { receiver, notices: self.clone(), has_begun: false })
    }

    fn tidy(&self, state: &mut Inner) {
        state.subscribers.retain(|subscriber| !subscriber.is_closed());
        self.subscribers.set(state.subscribers.len() as f64);
    }
}

/// The body of a live stream: server-sent events, one for each change.
struct Live {
    receiver: mpsc::Receiver<Notice>,
    notices: Arc<Notices>,
    has_begun: bool,
}

impl hyper::body::Body for Live {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        if !std::mem::replace(&mut self.has_begun, true) {
            // A comment: the browser knows at once that the stream is open, and so do proxies between.
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b": live\n\n")))));
        }
        let told = ready!(self.receiver.poll_recv(cx));
        Poll::Ready(told.map(|notice| {
            let mut json = Json::new();
            push(&mut json, &notice);
            Ok(Frame::data(Bytes::from(format!("data: {}\n\n", json.finish()))))
        }))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.receiver.close();
        self.notices.tidy(&mut self.notices.state.lock());
    }
}

fn push(json: &mut Json, notice: &Notice) {
    json.object(|json| {
        json.key("text").text(&notice.text);
        json.key("date").time(notice.at_ms);
        json.key("active").bool(notice.is_active);
    });
}

/// `GET /api/v1/notifications`
pub(crate) async fn list(State(shell): State<Arc<Shell>>) -> Response {
    let held = shell.notices.state.lock().held.clone();
    success(|json| json.array(|json| held.iter().for_each(|notice| push(json, notice))))
}

/// `GET /api/v1/notifications/live`; 204 when as many listen as may.
pub(crate) async fn live(State(shell): State<Arc<Shell>>) -> Response {
    let Some(live) = shell.notices.subscribe() else { return StatusCode::NO_CONTENT.into_response() };
    let mut response = typed_response(StatusCode::OK, "text/event-stream", Body::new(live));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // For nginx, which would wait for more before it passes anything on.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use stdx::TestClock;

    use super::*;

    #[test]
    fn subscribers_hear_what_holds_and_then_what_changes() {
        let registry = Registry::new();
        let notices = Arc::new(Notices::new(Arc::new(TestClock::new()), 1, &registry));
        notices.raise("a");
        notices.raise("a");
        let mut live = notices.subscribe().unwrap();
        assert!(notices.subscribe().is_none(), "one is the most");
        notices.raise("b");
        notices.clear("a");
        notices.clear("never raised");
        let mut heard = Vec::new();
        while let Ok(notice) = live.receiver.try_recv() {
            heard.push((notice.text, notice.is_active));
        }
        let heard: Vec<_> = heard.iter().map(|(text, is_active)| (text.as_str(), *is_active)).collect();
        assert_eq!(heard, [("a", true), ("b", true), ("a", false)]);
        drop(live);
        assert!(notices.subscribe().is_some(), "a place is free again");
    }

    #[test]
    fn who_does_not_read_loses_events_and_is_counted() {
        let registry = Registry::new();
        let notices = Arc::new(Notices::new(Arc::new(TestClock::new()), 1, &registry));
        let live = notices.subscribe();
        (0..WAITING_MAX + 3).for_each(|idx| notices.raise(&idx.to_string()));
        assert_eq!((notices.sent.get(), notices.dropped.get()), (WAITING_MAX as u64 + 3, 3));
        notices.hang_up();
        drop(live);
        assert!(registry.render().contains("prometheus_api_notification_active_subscribers 0"));
    }
}
