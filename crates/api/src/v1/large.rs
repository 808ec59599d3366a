//! Answers too large to be held as text: written piece by piece, on as many threads as a query may use, while the client reads.
//!
//! In from the engine's answer and the text around its rows; out a body. Of the text, two waves of pieces exist at once; rows are let go as they are
//! written. Which threads write, and how fast the client reads, changes no byte. A query that is cancelled meanwhile breaks off, so that nobody takes what
//! came for the whole.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use hyper::body::Frame;
use promql::{CancelToken, MatrixSeries, Ticket, Value, VectorSample};
use tokio::task::JoinHandle;

use super::query::StopOnDrop;
use super::value::{push_sample, push_series};
use crate::json::{Json, TimeTexts};
use crate::respond::typed_response;

/// Points of a matrix, and samples of a vector, from which an answer is large. Chosen: about a megabyte of text.
const POINTS_MIN: usize = 40_000;
const SAMPLES_MIN: usize = 8_000;

/// Rows that are written with them.
enum Part {
    Series(Vec<MatrixSeries>),
    Samples(Vec<VectorSample>),
}

impl Part {
    fn write(&self, times: &TimeTexts, is_first: bool, cancel: &CancelToken) -> String {
        let mut json = if is_first { Json::new() } else { Json::continued() };
        match self {
            Self::Series(all) => push_series(&mut json, all, times, cancel),
            Self::Samples(all) => {
                let samples = all.iter().take_while(|_| !cancel.is_canceled());
                samples.for_each(|sample| push_sample(&mut json, sample));
            }
        }
        json.finish()
    }
}

/// What of an answer is not written yet.
pub(super) struct Rows {
    parts: VecDeque<Part>,
    times: Arc<TimeTexts>,
}

impl Rows {
    /// Takes the rows out of a large value.
    pub(super) fn of_large(value: &mut Value) -> Option<Self> {
        match value {
            Value::Matrix(all) => {
                let n_points = |series: &MatrixSeries| series.points.len() + series.histograms.len();
                if all.iter().map(n_points).sum::<usize>() < POINTS_MIN {
                    return None;
                }
                let times = Arc::new(TimeTexts::of_all(all));
                let parts = in_parts(mem::take(all), POINTS_MIN, n_points);
                Some(Self { parts: parts.map(Part::Series).collect(), times })
            }
            Value::Vector(all) if all.len() >= SAMPLES_MIN => {
                let parts = in_parts(mem::take(all), SAMPLES_MIN, |_| 1);
                Some(Self { parts: parts.map(Part::Samples).collect(), times: Arc::default() })
            }
            _ => None,
        }
    }
}

/// `all` in turn, in parts that end where they have `size` or more.
fn in_parts<T>(all: Vec<T>, size: usize, size_of: impl Fn(&T) -> usize) -> impl Iterator<Item = Vec<T>> {
    let mut all = all.into_iter();
    std::iter::from_fn(move || {
        let (mut part, mut n) = (Vec::new(), 0);
        while n < size {
            let Some(one) = all.next() else { break };
            n += size_of(&one);
            part.push(one);
        }
        (!part.is_empty()).then_some(part)
    })
}

/// The body of a large answer.
pub(super) struct LargeBody {
    /// Written and not sent.
    ready: VecDeque<Bytes>,
    /// Being written.
    wave: Option<JoinHandle<Vec<String>>>,
    rows: Rows,
    /// What stands behind the rows, until it is sent.
    after: Option<String>,
    n_threads: usize,
    has_begun: bool,
    /// Listed as long as it is answered; dropped with the client.
    _stop: StopOnDrop,
    ticket: Ticket,
}

impl LargeBody {
    /// `rows` between two pieces of text.
    pub(super) fn new(
        rows: Rows,
        (before, after): (String, String),
        n_threads: usize,
        ticket: Ticket,
    ) -> Self {
        Self {
            ready: VecDeque::from([Bytes::from(before)]),
            wave: None,
            rows,
            after: Some(after),
            n_threads: n_threads.max(1),
            has_begun: false,
            _stop: StopOnDrop::new(ticket.cancel_token()),
            ticket,
        }
    }

    pub(super) fn into_response(self) -> Response {
        typed_response(StatusCode::OK, "application/json", Body::new(self))
    }

    /// Has the next pieces written, if there are more.
    fn begin_wave(&mut self) {
        let n_parts = self.n_threads.min(self.rows.parts.len());
        if self.wave.is_some() || n_parts == 0 {
            return;
        }
        let parts: Vec<Part> = self.rows.parts.drain(..n_parts).collect();
        let is_first = !mem::replace(&mut self.has_begun, true);
        let (times, cancel) = (Arc::clone(&self.rows.times), self.ticket.cancel_token());
        self.wave = Some(tokio::task::spawn_blocking(move || write_all(&parts, is_first, &times, &cancel)));
    }
}

fn write_all(parts: &[Part], is_first: bool, times: &TimeTexts, cancel: &CancelToken) -> Vec<String> {
    let Some((own, others)) = parts.split_first() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others = others.iter().map(|part| scope.spawn(|| part.write(times, false, cancel)));
        let others: Vec<_> = others.collect();
        let mut pieces = vec![own.write(times, is_first, cancel)];
        // A panic over there is one here: nothing is answered with a piece missing.
        pieces.extend(
            others
                .into_iter()
                .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        );
        pieces
    })
}

impl hyper::body::Body for LargeBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.begin_wave();
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let Some(wave) = &mut self.wave else {
                return Poll::Ready(self.after.take().map(|text| Ok(Frame::data(Bytes::from(text)))));
            };
            let pieces = ready!(Pin::new(wave).poll(cx));
            self.wave = None;
            if self.ticket.cancel_token().is_canceled() {
                return Poll::Ready(Some(Err(io::Error::other("the query was cancelled"))));
            }
            match pieces {
                Ok(pieces) => self.ready = pieces.into_iter().map(Bytes::from).collect(),
                Err(err) => return Poll::Ready(Some(Err(io::Error::other(err)))),
            }
            self.begin_wave();
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use model::Labels;
    use promql::{Guard, QueryInfo, QueryKind, QueryOrigin};

    use super::super::value::push_value;
    use super::*;

    fn matrix(sizes: &[usize]) -> Value {
        let series = |(nth, n_points): (usize, &usize)| MatrixSeries {
            labels: Labels::from_pairs([("n", nth.to_string())]),
            points: (0..*n_points).map(|at| (at as i64 * 500, (at * nth) as f64 / 7.0)).collect(),
            histograms: Vec::new(),
        };
        Value::Matrix(sizes.iter().enumerate().map(series).collect())
    }

    fn vector(n: usize) -> Value {
        let sample = |nth: usize| VectorSample {
            labels: Labels::from_pairs([("n", nth.to_string())]),
            t_ms: 1,
            value: nth as f64,
            histogram: None,
        };
        Value::Vector((0..n).map(sample).collect())
    }

    fn body(mut value: Value, n_threads: usize) -> Option<LargeBody> {
        let rows = Rows::of_large(&mut value)?;
        let info = QueryInfo {
            kind: QueryKind::Instant,
            text: String::new(),
            start_ms: 0,
            end_ms: 0,
            step_ms: 0,
            origin: QueryOrigin::Rule { group: String::new(), file: String::new() },
        };
        let clock: Arc<dyn stdx::Clock> = Arc::new(stdx::TestClock::new());
        let ticket = Guard::default().begin(info, &clock);
        Some(LargeBody::new(rows, ("[".to_owned(), "]".to_owned()), n_threads, ticket))
    }

    #[tokio::test]
    async fn pieces_are_the_whole() {
        for make in [
            || matrix(&[POINTS_MIN]),
            || matrix(&[3, POINTS_MIN, 0, 2]),
            || matrix(&[9_000; 40]),
            || matrix(&[0, 0, POINTS_MIN, 0]),
            || vector(SAMPLES_MIN),
            || vector(5 * SAMPLES_MIN + 1),
        ] {
            let mut whole = Json::new();
            push_value(&mut whole, &make());
            let whole = whole.finish();
            for n_threads in [1, 2, 64] {
                let body = body(make(), n_threads).expect("large");
                let text = body.collect().await.expect("nobody cancels").to_bytes();
                assert!(text == whole, "{n_threads} threads, {} bytes", whole.len());
            }
        }
        assert!(body(matrix(&[POINTS_MIN - 1]), 1).is_none());
        assert!(body(vector(SAMPLES_MIN - 1), 1).is_none());
    }

    #[tokio::test]
    async fn a_cancelled_answer_breaks_off() {
        let mut body = body(vector(20 * SAMPLES_MIN), 1).expect("large");
        body.frame().await.expect("a piece").expect("the text before");
        body.ticket.cancel_token().cancel();
        assert!(body.collect().await.is_err());
    }
}
