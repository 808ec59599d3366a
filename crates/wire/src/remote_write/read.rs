//! Remote read: requests as a reader sends them, answers as samples or as frames of chunks.
//!
//! In: the decompressed message `prometheus.ReadRequest`; out: queries of the model. The other way: series as `prometheus.ReadResponse`, or as
//! frames of `prometheus.ChunkedReadResponse`: a varint length, a big-endian CRC32C, the message.
//! Source: Prometheus' `prompb/remote.proto`, whose messages of series are those of remote write 1.0.

use model::{Labels, MatchOp, Matcher, TimeRange};
use stdx::varint::put_u64;

use super::encode::{TimeSeries, encode_v1, put_field, put_label_pairs, put_number};
use super::error::DecodeError;
use super::histogram;
use super::proto::Fields;
use super::v1::{Item, RequestV1};

/// Queries of one request. Chosen: Prometheus sends one.
pub const READ_QUERIES_MAX: usize = 1_000;
/// Matchers of one query. Chosen: far more than anybody writes.
pub const READ_MATCHERS_MAX: usize = 1_000;

/// How answers may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseType {
    /// One message with all samples.
    Samples,
    /// Frames of chunks.
    Chunks,
}

/// A query of remote read.
#[derive(Debug, Clone, Default)]
pub struct ReadQuery {
    /// First and last millisecond, both included.
    pub start_ms: i64,
    /// See `start_ms`.
    pub end_ms: i64,
    /// All must hold.
    pub matchers: Vec<Matcher>,
    /// The function around the selector; empty for none.
    pub function: String,
    /// Distance of evaluation steps, in milliseconds; 0 when not said.
    pub step_ms: i64,
    /// Of a range selector, in milliseconds; 0 when not said.
    pub range_ms: i64,
}

impl ReadQuery {
    /// What is asked for.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.start_ms, self.end_ms)
    }
}

/// Why a request of remote read cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadRequestError {
    /// The bytes are no request.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A matcher of a kind that is not known, or with a regular expression that is none.
    #[error("invalid matcher: {0}")]
    Matcher(String),
    /// Queries or matchers beyond [`READ_QUERIES_MAX`] and [`READ_MATCHERS_MAX`].
    #[error("too many queries or matchers")]
    TooMany,
    /// None of the types of answer that are accepted is known.
    #[error(
        "server does not support any of the requested response types; supported: SAMPLES, STREAMED_XOR_CHUNKS"
    )]
    ResponseType,
}

/// The queries, and how the reader wants the answer: the first type of its list that is known.
///
/// # Errors
/// See [`ReadRequestError`].
pub fn decode_read_request(message: &[u8]) -> Result<(Vec<ReadQuery>, ResponseType), ReadRequestError> {
    let (mut queries, mut accepted) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(message, "ReadRequest");
    while let Some(field) = fields.next()? {
        match field.number {
            1 if queries.len() >= READ_QUERIES_MAX => return Err(ReadRequestError::TooMany),
            1 => queries.push(query(field.bytes()?)?),
            2 => field.repeated_varint(|kind| {
                let known = match kind {
                    0 => Some(ResponseType::Samples),
                    1 => Some(ResponseType::Chunks),
                    _ => None,
                };
                if accepted.len() < 2 {
                    accepted.push(known);
                }
            })?,
            _ => {}
        }
    }
    if accepted.is_empty() {
        return Ok((queries, ResponseType::Samples));
    }
    let chosen = accepted.into_iter().flatten().next().ok_or(ReadRequestError::ResponseType)?;
    Ok((queries, chosen))
}

fn query(bytes: &[u8]) -> Result<ReadQuery, ReadRequestError> {
    let mut query = ReadQuery::default();
    let mut fields = Fields::new(bytes, "Query");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => query.start_ms = field.int64()?,
            2 => query.end_ms = field.int64()?,
            3 if query.matchers.len() >= READ_MATCHERS_MAX => return Err(ReadRequestError::TooMany),
            3 => query.matchers.push(matcher(field.bytes()?)?),
            4 => {
                let mut hints = Fields::new(field.bytes()?, "ReadHints");
                while let Some(hint) = hints.next()? {
                    match hint.number {
                        1 => query.step_ms = hint.int64()?,
                        2 => query.function = text(hint.bytes()?)?,
                        7 => query.range_ms = hint.int64()?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(query)
}

fn matcher(bytes: &[u8]) -> Result<Matcher, ReadRequestError> {
    let (mut kind, mut name, mut value) = (0, String::new(), String::new());
    let mut fields = Fields::new(bytes, "LabelMatcher");
    while let Some(field) = fields.next()? {
        match field.number {
            1 => kind = field.varint()?,
            2 => name = text(field.bytes()?)?,
            3 => value = text(field.bytes()?)?,
            _ => {}
        }
    }
    let op = match kind {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        kind => return Err(ReadRequestError::Matcher(format!("unknown type {kind}"))),
    };
    Matcher::new(op, name, value).map_err(|err| ReadRequestError::Matcher(err.to_string()))
}

fn text(bytes: &[u8]) -> Result<String, ReadRequestError> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| ReadRequestError::Matcher("it is not UTF-8".to_owned()))
}

/// A request of one query, which wants chunks, or else all samples in one message. Not compressed.
#[must_use]
pub fn encode_read_request(query: &ReadQuery) -> Vec<u8> {
    let mut message = Vec::new();
    put_number(&mut message, 1, query.start_ms as u64);
    put_number(&mut message, 2, query.end_ms as u64);
    for matcher in &query.matchers {
        let mut inner = Vec::new();
        let kind = match matcher.op {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        put_number(&mut inner, 1, kind);
        put_field(&mut inner, 2, matcher.name.as_bytes());
        put_field(&mut inner, 3, matcher.value.as_bytes());
        put_field(&mut message, 3, &inner);
    }
    let mut hints = Vec::new();
    put_number(&mut hints, 1, query.step_ms as u64);
    put_field(&mut hints, 2, query.function.as_bytes());
    put_number(&mut hints, 3, query.start_ms as u64);
    put_number(&mut hints, 4, query.end_ms as u64);
    put_number(&mut hints, 7, query.range_ms as u64);
    put_field(&mut message, 4, &hints);
    let mut out = Vec::new();
    put_field(&mut out, 1, &message);
    // STREAMED_XOR_CHUNKS, SAMPLES
    put_field(&mut out, 2, &[1, 0]);
    out
}

/// The series of an answer with samples, of all queries. Series whose labels cannot be used and histograms that contradict themselves are
/// left out.
///
/// # Errors
/// When the bytes are no answer.
pub fn decode_read_response(message: &[u8]) -> Result<Vec<TimeSeries>, DecodeError> {
    let mut all = Vec::new();
    let mut fields = Fields::new(message, "ReadResponse");
    while let Some(field) = fields.next()? {
        if field.number != 1 {
            continue;
        }
        // A result has its series under the number that they have in a request of remote write.
        let mut request = RequestV1::new(field.bytes()?);
        while let Some(item) = request.next()? {
            let Item::Series(view) = item else { continue };
            let Ok(labels) = view.labels()? else { continue };
            let mut series = TimeSeries { labels, ..TimeSeries::default() };
            let mut samples = view.samples();
            while let Some(sample) = samples.next()? {
                series.samples.push(sample);
            }
            view.histograms(|message| {
                let decoded = histogram::decode(message)?;
                if let Ok(histogram) = decoded.histogram {
                    series.histograms.push((decoded.t_ms, decoded.start_ms, histogram));
                }
                Ok::<_, DecodeError>(())
            })?;
            all.push(series);
        }
    }
    Ok(all)
}

/// The answer with all samples: of each query its series. Not compressed.
#[must_use]
pub fn encode_read_response(results: &[Vec<TimeSeries>]) -> Vec<u8> {
    let mut out = Vec::new();
    // A result has its series under the number that they have in a request of remote write.
    results.iter().for_each(|series| put_field(&mut out, 1, &encode_v1(series)));
    out
}

/// A part of a series.
#[derive(Debug, Clone, Copy)]
pub struct ChunkRef<'a> {
    /// First time, in Unix milliseconds.
    pub min_ms: i64,
    /// Last time.
    pub max_ms: i64,
    /// 1 for floats, 2 for histograms of whole counts, 3 for those of floats.
    pub encoding: u8,
    /// As in Prometheus' blocks.
    pub data: &'a [u8],
}

/// Adds a frame with chunks of one series, for the query at `query_idx`.
pub fn put_chunked_frame(out: &mut Vec<u8>, query_idx: usize, labels: &Labels, chunks: &[ChunkRef<'_>]) {
    let mut series = Vec::new();
    put_label_pairs(&mut series, labels);
    for chunk in chunks {
        let mut inner = Vec::with_capacity(chunk.data.len() + 32);
        put_number(&mut inner, 1, chunk.min_ms as u64);
        put_number(&mut inner, 2, chunk.max_ms as u64);
        put_number(&mut inner, 3, u64::from(chunk.encoding));
        put_field(&mut inner, 4, chunk.data);
        put_field(&mut series, 2, &inner);
    }
    let mut message = Vec::with_capacity(series.len() + 16);
    put_field(&mut message, 1, &series);
    put_number(&mut message, 2, query_idx as u64);
    put_u64(out, message.len() as u64);
    out.extend_from_slice(&crc32c::crc32c(&message).to_be_bytes());
    out.extend_from_slice(&message);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sample::Sample;
    use super::*;

    /// Start, end, and matchers: kind, name, value.
    type Asked<'a> = (i64, i64, &'a [(u64, &'a str, &'a str)]);

    fn request(queries: &[Asked<'_>], accepted: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        for (start_ms, end_ms, matchers) in queries {
            let mut query = Vec::new();
            put_number(&mut query, 1, *start_ms as u64);
            put_number(&mut query, 2, *end_ms as u64);
            for (kind, name, value) in *matchers {
                let mut matcher = Vec::new();
                put_number(&mut matcher, 1, *kind);
                put_field(&mut matcher, 2, name.as_bytes());
                put_field(&mut matcher, 3, value.as_bytes());
                put_field(&mut query, 3, &matcher);
            }
            let mut hints = Vec::new();
            put_number(&mut hints, 1, 15_000);
            put_field(&mut hints, 2, b"rate");
            put_field(&mut query, 4, &hints);
            put_field(&mut out, 1, &query);
        }
        accepted.iter().for_each(|kind| put_number(&mut out, 2, *kind));
        out
    }

    #[test]
    fn requests_are_read_as_prometheus_writes_them() {
        let message = request(&[(-5, 9, &[(0, "__name__", "up"), (3, "job", "a|b")])], &[1, 0]);
        let (queries, kind) = decode_read_request(&message).unwrap();
        assert_eq!(kind, ResponseType::Chunks);
        assert_eq!((queries[0].start_ms, queries[0].end_ms, queries[0].step_ms), (-5, 9, 15_000));
        assert_eq!(queries[0].function, "rate");
        let shown: Vec<_> = queries[0].matchers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["__name__=\"up\"", "job!~\"a|b\""]);
        assert_eq!(decode_read_request(&[]).unwrap().1, ResponseType::Samples);
    }

    #[test]
    fn what_is_asked_and_answered_reads_back() {
        let query = ReadQuery {
            start_ms: -5,
            end_ms: 9,
            matchers: vec![Matcher::new(MatchOp::NotRegex, "job", "a|b").unwrap()],
            function: "rate".to_owned(),
            step_ms: 15_000,
            range_ms: 60_000,
        };
        let (queries, kind) = decode_read_request(&encode_read_request(&query)).unwrap();
        assert_eq!((format!("{queries:?}"), kind), (format!("{:?}", [query]), ResponseType::Chunks));
        let samples = (0..3).map(|t_ms| Sample { t_ms, start_ms: 0, value: t_ms as f64 }).collect();
        let series =
            TimeSeries { labels: Labels::from_pairs([("__name__", "up")]), samples, ..TimeSeries::default() };
        let answer = encode_read_response(&[vec![series.clone()], vec![series.clone()]]);
        assert_eq!(decode_read_response(&answer).unwrap(), [series.clone(), series]);
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        fn check(message: &[u8], expected: &str) {
            let err = decode_read_request(message).unwrap_err().to_string();
            assert!(err.contains(expected), "{err}");
        }
        check(&request(&[], &[7]), "does not support any of the requested response types");
        check(&request(&[(0, 0, &[(4, "a", "b")])], &[]), "unknown type 4");
        check(&request(&[(0, 0, &[(2, "a", "(")])], &[]), "invalid matcher");
        check(&[0x0a, 5], "ReadRequest ends within a field");
    }

    #[test]
    fn a_frame_says_its_length_and_checksum() {
        let mut out = Vec::new();
        let chunk = ChunkRef { min_ms: 1, max_ms: 2, encoding: 1, data: b"data" };
        put_chunked_frame(&mut out, 3, &Labels::from_pairs([("__name__", "up")]), &[chunk]);
        let (len, rest) = (out[0] as usize, &out[1..]);
        let (sum, message) = rest.split_first_chunk::<4>().unwrap();
        assert_eq!(message.len(), len);
        assert_eq!(u32::from_be_bytes(*sum), crc32c::crc32c(message));
        assert!(message.ends_with(&[0x10, 3]));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at: usize, byte: u8) {
            let _ = decode_read_request(&bytes);
            let _ = decode_read_response(&bytes);
            let mut message = request(&[(1, 2, &[(2, "a", "b.*")])], &[1]);
            let at = at % message.len();
            message[at] = byte;
            let _ = decode_read_request(&message);
            let _ = decode_read_request(&message[..at]);
        }
    }
}
