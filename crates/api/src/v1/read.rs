//! `POST /api/v1/read`: remote read, as samples in one message or as a stream of chunks.
//!
//! External labels are added to what is answered, and matchers on them taken as met, so that a reader sees what remote write would have
//! brought it. Statuses and wording from Prometheus.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderValue, StatusCode};
use hyper::body::Frame;
use model::{Labels, MatchOp, Matcher};
use storage::{QueryError, Queryable, SelectHints, Series};
use tokio::sync::mpsc;
use wire::remote_write::{
    ChunkRef, ReadQuery, ResponseType, Sample, TimeSeries, compress, decode_read_request, decompress,
    encode_read_response, put_chunked_frame,
};

use super::{aside, chain};
use crate::respond::{text_response, typed_response};
use crate::state::{Shared, Shell};

/// A body as it is sent. As the decompressed one.
const BODY_BYTES_MAX: usize = wire::remote_write::DECODED_BYTES_MAX;
/// How long a request waits for its turn. Chosen: as long as Prometheus waits for the answer.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Frames that wait for a slow reader. Chosen.
const FRAMES_WAITING: usize = 4;
/// Of a chunk beside its data and of a frame beside its chunks, roughly.
const OVERHEAD_BYTES: usize = 32;

const SAMPLES: &str = "application/x-protobuf";
const CHUNKS: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Limits of remote read.
#[derive(Debug)]
pub struct ReadLimits {
    /// Of one answer that is not streamed; 0 for none.
    pub samples_max: u64,
    /// Of one frame; a single chunk may be longer.
    pub frame_bytes_max: usize,
    /// How many requests at once; `None` for any number.
    pub gate: Option<net::Gate>,
}

/// `POST /api/v1/read`
pub(crate) async fn read(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let services = match Shared::from_request_parts(&mut parts, &shell).await {
        Ok(Shared(services)) => services,
        Err(response) => return response,
    };
    let bad = |why: String| text_response(StatusCode::BAD_REQUEST, format!("{why}\n"));
    let permit = match &services.read_limits.gate {
        None => None,
        Some(gate) => match gate.enter(WAIT_MAX).await {
            Ok(permit) => Some(permit),
            Err(err) => return text_response(StatusCode::SERVICE_UNAVAILABLE, format!("{err}\n")),
        },
    };
    let body = match to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(err) => return bad(format!("cannot read the body: {}", chain(&err))),
    };
    let mut buffer = Vec::new();
    let decoded = decompress(&body, &mut buffer).map_err(|err| err.to_string());
    let decoded = decoded.and_then(|message| decode_read_request(message).map_err(|err| err.to_string()));
    let (mut queries, kind) = match decoded {
        Ok(decoded) => decoded,
        Err(why) => return bad(why),
    };
    let external = shell.config.load().external_labels.clone();
    queries.iter_mut().for_each(|query| take_external_as_met(&mut query.matchers, &external));
    let (queryable, limits) = (services.queryable.clone(), services.read_limits.clone());
    match kind {
        ResponseType::Samples => {
            let answered = aside(move || {
                let _held = permit;
                samples(&*queryable, &queries, &external, limits.samples_max)
            });
            match answered.await {
                Ok(Ok(body)) => {
                    let mut response = typed_response(StatusCode::OK, SAMPLES, body);
                    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
                    response
                }
                Ok(Err(ReadError::TooMany(limit))) => bad(format!("exceeded sample limit ({limit})")),
                Ok(Err(ReadError::Store(err))) => {
                    text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", chain(&err)))
                }
                Err(err) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{err}\n")),
            }
        }
        ResponseType::Chunks => {
            let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
            tokio::task::spawn_blocking(move || {
                let _held = permit;
                if let Err(err) = chunks(&*queryable, &queries, &external, limits.frame_bytes_max, &frames) {
                    tracing::warn!(error = %chain(&err), "an answer to remote read ends early");
                    // The reader must not take the part for the whole.
                    let _ = frames.blocking_send(Err(err));
                }
            });
            typed_response(StatusCode::OK, CHUNKS, Body::new(Frames(waiting)))
        }
    }
}

/// Why there is no answer.
enum ReadError {
    TooMany(u64),
    Store(QueryError),
}

/// A matcher that asks for an external label of ours asks for series that have no such label here.
fn take_external_as_met(matchers: &mut [Matcher], external: &Labels) {
    for matcher in matchers {
        if matcher.op == MatchOp::Equal && external.get(&matcher.name) == Some(matcher.value.as_str()) {
            *matcher = Matcher::equal(matcher.name.clone(), "");
        }
    }
}

fn with_external(labels: &Labels, external: &Labels) -> Labels {
    if external.iter().all(|(name, _)| labels.get(name).is_some()) {
        return labels.clone();
    }
    let mut builder = labels.to_builder();
    for (name, value) in external {
        if labels.get(name).is_none() {
            builder.set(name, value);
        }
    }
    builder.build()
}

fn hints(query: &ReadQuery) -> SelectHints {
    // Steps and functions let a store leave samples out, which is the reader's business here.
    SelectHints { range_ms: query.range_ms, ..SelectHints::default() }
}

fn samples(
    queryable: &dyn Queryable,
    queries: &[ReadQuery],
    external: &Labels,
    samples_max: u64,
) -> Result<Vec<u8>, ReadError> {
    let (mut results, mut n_samples) = (Vec::new(), 0);
    for query in queries {
        let mut result = Vec::new();
        let mut set =
            queryable.select(&query.matchers, query.range(), &hints(query)).map_err(ReadError::Store)?;
        while let Some(series) = set.next().map_err(ReadError::Store)? {
            n_samples += (series.values.len() + series.histograms.len()) as u64;
            if samples_max > 0 && n_samples > samples_max {
                return Err(ReadError::TooMany(samples_max));
            }
            result.push(to_send(&series, external));
        }
        results.push(result);
    }
    Ok(compress(&encode_read_response(&results)))
}

fn to_send(series: &Series, external: &Labels) -> TimeSeries {
    let samples = series.timestamps.iter().zip(&series.values);
    let histograms = series.histograms.iter();
    TimeSeries {
        labels: with_external(&series.labels, external),
        samples: samples.map(|(t_ms, value)| Sample { t_ms: *t_ms, start_ms: 0, value: *value }).collect(),
        histograms: histograms.map(|one| (one.t_ms, one.start_ms, (*one.histogram).clone())).collect(),
        ..TimeSeries::default()
    }
}

type FrameSender = mpsc::Sender<Result<Bytes, QueryError>>;

fn chunks(
    queryable: &dyn Queryable,
    queries: &[ReadQuery],
    external: &Labels,
    frame_bytes_max: usize,
    frames: &FrameSender,
) -> Result<(), QueryError> {
    for (query_idx, query) in queries.iter().enumerate() {
        let mut set = queryable.select(&query.matchers, query.range(), &hints(query))?;
        while let Some(series) = set.next()? {
            let labels = with_external(&series.labels, external);
            let chunks = promdata::encode_chunks(&series);
            let mut rest = &chunks[..];
            while !rest.is_empty() {
                let room = frame_bytes_max.saturating_sub(labels.packed_bytes() + OVERHEAD_BYTES);
                let (part, later) = rest.split_at(n_fitting(rest, room));
                rest = later;
                let part: Vec<ChunkRef<'_>> = part
                    .iter()
                    .map(|chunk| ChunkRef {
                        min_ms: chunk.min_ms,
                        max_ms: chunk.max_ms,
                        encoding: chunk.encoding,
                        data: &chunk.data,
                    })
                    .collect();
                let mut frame = Vec::new();
                put_chunked_frame(&mut frame, query_idx, &labels, &part);
                if frames.blocking_send(Ok(Bytes::from(frame))).is_err() {
                    // The reader has gone.
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// How many of the chunks fit; at least one.
fn n_fitting(chunks: &[promdata::ChunkOut], room_bytes: usize) -> usize {
    let mut n_bytes = 0;
    let fits = |chunk: &promdata::ChunkOut| {
        n_bytes += chunk.data.len() + OVERHEAD_BYTES;
        n_bytes <= room_bytes
    };
    chunks.iter().map(fits).take_while(|fits| *fits).count().max(1)
}

/// A body of frames as they come.
struct Frames(mpsc::Receiver<Result<Bytes, QueryError>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = QueryError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, QueryError>>> {
        self.0.poll_recv(context).map(|next| next.map(|frame| frame.map(Frame::data)))
    }
}
