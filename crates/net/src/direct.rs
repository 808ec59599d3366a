//! Requests that come again and again to the same place: a connection each, and memory shared by all.
//!
//! In from `scrape`; out to sockets. What the pooled client does is the same for callers, and stays the way for TLS, proxies and redirects.
//! Here a request is one task that wakes up twice, and its body comes into memory that the last one left warm (measured:
//! docs/perf/0004-the-storage-engine.md). Invariant: a connection is kept only while nothing of an answer is outstanding.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::Instant;
use url::{Position, Url};

use crate::answer::{Answer, AnswerError, AnswerReader, Progress};
use crate::client::{AGENT, HttpClient, IDLE_TIMEOUT, Limits, Request, exchange_error, is_redirect};
use crate::connect::Reach;
use crate::connect::dial;
use crate::error::{Cause, HttpError, plain_io_error};
use crate::trace;

/// Memory of this size is read into first, in bytes. Chosen: most pages with their head.
const FIRST_BYTES: usize = 160 << 10;
/// How much more memory a longer answer is given at least, in bytes. Chosen.
const GROW_BYTES_MIN: usize = 1 << 20;
/// Pieces of memory kept. Chosen: as many answers arrive at one moment on few processors.
const KEPT_MAX: usize = 8;
/// Largest piece of memory kept, in bytes. Chosen: larger bodies are rare, and pay for a new one.
const KEPT_BYTES_MAX: usize = 2 << 20;

/// Answers up to this size fit what the system lets a server send before it has to wait, in bytes: Linux' 64 KiB less a head.
const WINDOW_BYTES_FREE: usize = 60 << 10;
/// Largest answer that a connection is given a window for, in bytes. Chosen: the system finds the right one for larger ones, and a
/// window that was set keeps it from doing so.
const WINDOW_BYTES_MAX: usize = 1 << 20;

/// A request that is repeated as it is.
#[derive(Debug)]
pub struct Repeated {
    request: Request,
    /// As it is sent, once it was made; not for those whose credentials stand in files.
    head: Option<Vec<u8>>,
}

impl From<Request> for Repeated {
    fn from(request: Request) -> Self {
        Self { request, head: None }
    }
}

/// Memory for bodies, used again.
#[derive(Debug, Default)]
pub struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_else(|| Vec::with_capacity(FIRST_BYTES))
    }

    fn put_back(&self, mut memory: Vec<u8>) {
        let mut kept = self.0.lock();
        if kept.len() < KEPT_MAX && memory.capacity() <= KEPT_BYTES_MAX {
            memory.clear();
            kept.push(memory);
        }
    }
}

/// Memory that goes back.
#[derive(Debug)]
struct Lent {
    memory: Vec<u8>,
    home: Arc<Buffers>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.put_back(std::mem::take(&mut self.memory));
    }
}

/// A body, as sent.
#[derive(Debug)]
pub struct Body(Inner);

#[derive(Debug)]
enum Inner {
    Lent(Lent, std::ops::Range<usize>),
    Own(Bytes),
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Lent(lent, range) => &lent.memory[range.clone()],
            Inner::Own(bytes) => bytes,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Own(bytes))
    }
}

/// What came back.
#[derive(Debug)]
pub struct Fetched {
    /// The status.
    pub status: StatusCode,
    /// Empty when there is none.
    pub content_type: String,
    /// Empty when there is none.
    pub content_encoding: String,
    /// As sent.
    pub body: Body,
}

/// A connection nothing is outstanding on.
#[derive(Debug)]
struct Idle {
    /// Where to.
    authority: String,
    stream: TcpStream,
    since: Instant,
}

/// The connection to one place, kept from request to request.
#[derive(Debug)]
pub struct Line {
    buffers: Arc<Buffers>,
    idle: Option<Idle>,
    /// How much of an answer may be on its way to new connections, in bytes; 0 leaves it to the system.
    window_bytes: usize,
    /// Answers have been larger than any window.
    is_large: bool,
    /// This place answers with redirects, which the pooled client follows.
    redirects: bool,
}

impl Line {
    /// Not connected yet.
    #[must_use]
    pub fn new(buffers: Arc<Buffers>) -> Self {
        Self { buffers, idle: None, window_bytes: 0, is_large: false, redirects: false }
    }

    /// The connection to `authority`, when it is still good.
    fn take(&mut self, authority: &str) -> Option<TcpStream> {
        let idle = self.idle.take()?;
        let is_quiet = || {
            let seen = idle.stream.try_read(&mut [0]);
            seen.is_err_and(|err| err.kind() == std::io::ErrorKind::WouldBlock)
        };
        (idle.authority == authority && idle.since.elapsed() < IDLE_TIMEOUT && is_quiet())
            .then_some(idle.stream)
    }

    /// Keeps a connection whose last answer had `answer_bytes`. One that makes answers of that size wait halfway, each time, for us to
    /// have read its beginning is given up for a better one.
    fn keep(&mut self, authority: &str, stream: TcpStream, answer_bytes: usize) {
        let before = self.window_bytes;
        self.is_large |= answer_bytes > WINDOW_BYTES_MAX;
        if self.is_large {
            self.window_bytes = 0;
        } else if answer_bytes > WINDOW_BYTES_FREE.max(self.window_bytes) {
            self.window_bytes = (answer_bytes + answer_bytes / 2).next_power_of_two();
        }
        if self.window_bytes == before {
            self.idle = Some(Idle { authority: authority.to_owned(), stream, since: Instant::now() });
        }
    }
}

impl HttpClient {
    /// As [`HttpClient::send`], for a GET that is repeated: over `line` where that can be.
    ///
    /// # Errors
    /// As [`HttpClient::request`].
    pub async fn fetch(
        &self,
        repeated: &mut Repeated,
        limits: &Limits,
        line: &mut Line,
    ) -> Result<Fetched, HttpError> {
        if !line.redirects && self.is_direct(&repeated.request.url) {
            let exchange = self.exchange_direct(repeated, limits.body_bytes_max, line);
            let answered = tokio::time::timeout(limits.timeout, exchange).await;
            let Request { method, url, .. } = &repeated.request;
            let fetched = answered.unwrap_or_else(|_| Err(exchange_error(method, url, Cause::Timeout)))?;
            if !self.config().follow_redirects || !is_redirect(fetched.status) {
                return Ok(fetched);
            }
            (line.redirects, line.idle) = (true, None);
        }
        let response = self.send(repeated.request.clone(), limits).await?;
        Ok(Fetched {
            status: response.status,
            content_type: response.header(&CONTENT_TYPE).to_owned(),
            content_encoding: response.header(&CONTENT_ENCODING).to_owned(),
            body: response.body.into(),
        })
    }

    /// Whether a request goes straight to its host, without TLS, and no token has to be asked for first.
    fn is_direct(&self, url: &Url) -> bool {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        url.scheme() == "http"
            && *self.reach() == Reach::Usual
            && !self.is_authorized()
            && self.proxy_of(false, host, port.unwrap_or_default()).is_none()
    }

    async fn exchange_direct(
        &self,
        repeated: &mut Repeated,
        body_bytes_max: usize,
        line: &mut Line,
    ) -> Result<Fetched, HttpError> {
        let request = &repeated.request;
        let url = &request.url;
        let failed = |cause: Cause| exchange_error(&request.method, url, cause);
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        // Of a trace each request is another part: what says so is of this one alone.
        let traced =
            trace::parent().map(|parent| self.head_of(request, authority, Some(parent))).transpose()?;
        if traced.is_none() && (repeated.head.is_none() || self.reads_credentials()) {
            repeated.head = Some(self.head_of(request, authority, None)?);
        }
        let head = traced.as_ref().or(repeated.head.as_ref()).expect("made above");
        let kept = line.take(authority);
        let mut was_kept = kept.is_some();
        let mut stream = match kept {
            Some(stream) => stream,
            None => dial_url(url, line.window_bytes).await.map_err(failed)?,
        };
        loop {
            let mut memory: Option<Lent> = None;
            let answered = exchange(&mut stream, head, body_bytes_max, &line.buffers, &mut memory).await;
            let is_stale =
                |failure: &Failure| matches!(failure, Failure::Wire(cause) if cause.is_closed_connection());
            let has_begun =
                |memory: &Option<Lent>| memory.as_ref().is_some_and(|lent| !lent.memory.is_empty());
            match answered {
                // Closed at the very moment it was used again: as in Go, the request is then sent once more.
                Err(failure) if was_kept && is_stale(&failure) && !has_begun(&memory) => {
                    was_kept = false;
                    stream = dial_url(url, line.window_bytes).await.map_err(failed)?;
                }
                Err(Failure::Wire(cause)) => return Err(failed(cause)),
                Err(Failure::TooLarge) => {
                    return Err(HttpError::BodyTooLarge { limit_bytes: body_bytes_max });
                }
                Ok(answer) => {
                    let lent = memory.expect("an answer was read into it");
                    if answer.keeps_open {
                        line.keep(authority, stream, lent.memory.len());
                    }
                    let status = StatusCode::from_u16(answer.status).map_err(|_| {
                        failed(Cause::Malformed("invalid HTTP status-code parsed".to_owned()))
                    })?;
                    return Ok(Fetched {
                        status,
                        content_type: answer.content_type,
                        content_encoding: answer.content_encoding,
                        body: Body(Inner::Lent(lent, answer.body)),
                    });
                }
            }
        }
    }

    /// The request as it is sent.
    fn head_of(
        &self,
        request: &Request,
        authority: &str,
        parent: Option<HeaderValue>,
    ) -> Result<Vec<u8>, HttpError> {
        let mut headers = request.headers.clone();
        headers.extend(parent.map(|parent| (trace::PARENT, parent)));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        self.add_credentials(&mut headers, &request.url)?;
        let mut head = Vec::with_capacity(1 << 10);
        head.extend_from_slice(request.method.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(request.url[Position::BeforePath..Position::AfterQuery].as_bytes());
        head.extend_from_slice(b" HTTP/1.1\r\n");
        let mut put = |name: &str, value: &[u8]| {
            [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| head.extend_from_slice(part));
        };
        if !headers.contains_key(HOST) {
            put("host", authority.as_bytes());
        }
        headers.iter().for_each(|(name, value)| put(name.as_str(), value.as_bytes()));
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

/// Why there is no answer.
enum Failure {
    Wire(Cause),
    TooLarge,
}

impl From<std::io::Error> for Failure {
    fn from(err: std::io::Error) -> Self {
        if err.kind() == std::io::ErrorKind::UnexpectedEof {
            return Self::Wire(Cause::Eof);
        }
        Self::Wire(Cause::Other(plain_io_error(&err)))
    }
}

impl From<AnswerError> for Failure {
    fn from(err: AnswerError) -> Self {
        match err {
            AnswerError::BodyTooLarge => Self::TooLarge,
            AnswerError::Eof => Self::Wire(Cause::Eof),
            other => Self::Wire(Cause::Malformed(other.to_string())),
        }
    }
}

async fn dial_url(url: &Url, window_bytes: usize) -> Result<TcpStream, Cause> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    dial(host, url.port_or_known_default().unwrap_or_default(), window_bytes, false).await
}

/// Sends `head` and reads the answer into `memory`, which is some once something has come.
async fn exchange(
    stream: &mut TcpStream,
    head: &[u8],
    body_bytes_max: usize,
    buffers: &Arc<Buffers>,
    memory: &mut Option<Lent>,
) -> Result<Answer, Failure> {
    stream.write_all(head).await?;
    let mut reader = AnswerReader::new(body_bytes_max);
    // Only then memory, so that those who wait for an answer hold none.
    stream.readable().await?;
    let bytes = &mut memory.insert(Lent { memory: buffers.take(), home: Arc::clone(buffers) }).memory;
    loop {
        let room = bytes.capacity() - bytes.len();
        match stream.try_read_buf(bytes) {
            Ok(0) if bytes.is_empty() => return Err(AnswerError::Eof.into()),
            Ok(0) => return Ok(reader.end(bytes)?),
            Ok(n_bytes) => match reader.advance(bytes)? {
                Progress::Done(answer) => {
                    if n_bytes < room {
                        // All that was there is read: whatever comes next tells, and until then nobody need ask the system.
                        let _ = stream.try_io(Interest::READABLE, || {
                            Err::<(), _>(std::io::Error::from(std::io::ErrorKind::WouldBlock))
                        });
                    }
                    return Ok(answer);
                }
                // Grows with what has come, whatever was announced.
                Progress::More(n_bytes) => bytes.reserve(n_bytes.min(bytes.len().max(GROW_BYTES_MIN))),
            },
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => stream.readable().await?,
            Err(err) => return Err(err.into()),
        }
    }
}

#[cfg(test)]
mod tests;
