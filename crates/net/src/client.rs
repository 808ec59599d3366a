//! The HTTP client: pooled connections, authentication, redirects, limits.
//!
//! In from `scrape`, `rules` (notifier), `alertmanager` (receivers), `probe`; out to sockets.
//! Files named by the configuration are read again at every request. Credentials never follow a redirect to another
//! host, and never appear in an error.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::RwLock;
use stdx::dir::DiskDir;
use url::Url;

use crate::auth::{Authorizer, Signing};
use crate::config::HttpClientConfig;
use crate::connect::{Connector, Reach};
use crate::decompress;
use crate::error::{BuildError, Cause, HttpError, plain_io_error};
use crate::proxy::{ProxyRules, ProxyServer};
use crate::secret::{basic_header, read_secret, secret_value};
use crate::tls::TlsFiles;
use crate::trace;

/// How many redirects are followed. From Go's http.Client.
const REDIRECTS_MAX: usize = 10;
/// How long an idle connection is kept. From Prometheus: five minutes, longer than usual scrape intervals.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Idle connections kept per host. Chosen: one target is scraped by few jobs at once.
const IDLE_PER_HOST_MAX: usize = 8;
/// A connection of HTTP/2 that says nothing for this long is asked whether it still stands. From Prometheus.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(60);
/// It is given up when it does not say so by then. From Go's HTTP/2.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(15);
/// How much of an answer may be on its way, in bytes. From Go's HTTP/2.
const HTTP2_WINDOW_BYTES: u32 = 4 << 20;
/// Sent unless the request names another.
pub(crate) const AGENT: &str = concat!("Hinomi/", env!("CARGO_PKG_VERSION"));

/// What to send.
#[derive(Debug, Clone)]
pub struct Request {
    /// Usually GET or POST.
    pub method: Method,
    /// `http://` or `https://`.
    pub url: Url,
    /// Besides those the configuration adds.
    pub headers: HeaderMap,
    /// May be empty.
    pub body: Bytes,
}

impl Request {
    /// A GET without headers.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A POST of `body`.
    #[must_use]
    pub fn post(url: Url, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { method: Method::POST, url, headers, body: body.into() }
    }
}

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For everything from the name's look-up to the body's last byte, redirects included.
    pub timeout: Duration,
    /// Of the body as sent.
    pub body_bytes_max: usize,
    /// Of the body once decompressed.
    pub decoded_bytes_max: usize,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body: decompressed by [`HttpClient::request`], as sent by [`HttpClient::send`].
    pub body: Bytes,
}

impl Response {
    /// An error with Prometheus' words unless the status is 2xx.
    ///
    /// # Errors
    /// `server returned HTTP status 500 Internal Server Error`.
    pub fn require_success(&self) -> Result<(), String> {
        if self.status.is_success() { Ok(()) } else { Err(status_error(self.status)) }
    }

    /// The header `name` as text; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// `server returned HTTP status 404 Not Found`.
#[must_use]
pub fn status_error(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("server returned HTTP status {} {reason}", status.as_u16()),
        None => format!("server returned HTTP status {}", status.as_u16()),
    }
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Over TLS what both sides know best, otherwise HTTP/1.1.
    Usual,
    /// HTTP/2 from the first byte, without TLS too, as gRPC needs it.
    Http2,
}

type Pool = Client<Connector, Full<Bytes>>;

/// A client with one configuration and its pool of connections.
pub struct HttpClient {
    config: HttpClientConfig,
    reach: Reach,
    version: Version,
    proxy: ProxyRules,
    dir: DiskDir,
    /// Adds what only another server's answer can give.
    authorizer: Option<Authorizer>,
    /// The pool, with the content of the TLS files it was made from.
    pool: RwLock<(TlsFiles, Pool)>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("config", &self.config).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client; certificates and keys are read and checked now.
    ///
    /// # Errors
    /// When a TLS file cannot be read or used.
    pub fn new(config: &HttpClientConfig) -> Result<Self, BuildError> {
        Self::signed(config, None)
    }

    /// As [`HttpClient::new`], for a cloud that wants its requests signed.
    ///
    /// # Errors
    /// When a TLS file cannot be read or used, or `signing` lacks what only the environment can tell.
    pub fn signed(config: &HttpClientConfig, signing: Option<&Signing>) -> Result<Self, BuildError> {
        Self::reaching(config, signing, Reach::Usual)
    }

    /// As [`HttpClient::signed`], for a server that is found in this way.
    ///
    /// # Errors
    /// As [`HttpClient::signed`].
    pub fn reaching(
        config: &HttpClientConfig,
        signing: Option<&Signing>,
        reach: Reach,
    ) -> Result<Self, BuildError> {
        Self::speaking(Version::Usual, config, signing, reach)
    }

    pub(crate) fn speaking(
        version: Version,
        config: &HttpClientConfig,
        signing: Option<&Signing>,
        reach: Reach,
    ) -> Result<Self, BuildError> {
        let proxy = ProxyRules::new(&config.proxy, |name| std::env::var(name).ok());
        let dir = DiskDir::anywhere();
        let files = match &config.tls_config {
            Some(tls) => {
                let files = TlsFiles::read(tls, &dir)?;
                crate::tls::client_config(tls, &files)?;
                files
            }
            None => TlsFiles::default(),
        };
        let pool = pool(version, Connector::new(config, files.clone(), proxy.clone(), reach.clone()));
        let authorizer = Authorizer::new(config, signing)?;
        let pool = RwLock::new((files, pool));
        Ok(Self { config: config.clone(), reach, version, proxy, dir, authorizer, pool })
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &HttpClientConfig {
        &self.config
    }

    /// How its servers are found.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Which proxy a request goes through.
    pub(crate) fn proxy_of(&self, is_https: bool, host: &str, port: u16) -> Option<&ProxyServer> {
        self.proxy.choose(is_https, host, port)
    }

    /// Sends, and decompresses the answer. Asks for gzip.
    ///
    /// # Errors
    /// When there is no whole answer within the limits. A status other than 2xx is an answer, not an error.
    pub async fn request(&self, mut request: Request, limits: &Limits) -> Result<Response, HttpError> {
        request.headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        let mut response = self.send(request, limits).await?;
        let encoding = response.header(&CONTENT_ENCODING).to_owned();
        response.body = decompress::decode(&encoding, response.body, limits.decoded_bytes_max)?;
        Ok(response)
    }

    /// As [`HttpClient::request`], for callers to whom the status says enough: of a body that breaks off, does not end in
    /// time, is longer than the limits or cannot be decompressed, what can be read is kept, which may be nothing.
    ///
    /// # Errors
    /// When no headers come within the time.
    pub async fn request_for_status(
        &self,
        mut request: Request,
        limits: &Limits,
    ) -> Result<Response, HttpError> {
        request.headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        let deadline = tokio::time::Instant::now() + limits.timeout;
        let mut answer = self.open(request, limits.timeout).await?;
        let mut body = Vec::new();
        while body.len() < limits.body_bytes_max {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let Ok(Some(piece)) = answer.next(left).await else { break };
            body.extend_from_slice(&piece);
        }
        body.truncate(limits.body_bytes_max);
        let mut response = Response { status: answer.status, headers: answer.headers, body: body.into() };
        let encoding = response.header(&CONTENT_ENCODING).to_owned();
        let body = decompress::decode(&encoding, response.body, limits.decoded_bytes_max);
        response.body = body.unwrap_or_default();
        Ok(response)
    }

    /// Sends, and returns the body as it was sent; for callers that decompress on another thread.
    ///
    /// # Errors
    /// As [`HttpClient::request`].
    pub async fn send(&self, request: Request, limits: &Limits) -> Result<Response, HttpError> {
        let (method, url) = (request.method.clone(), request.url.clone());
        match tokio::time::timeout(limits.timeout, self.exchange(request, limits.body_bytes_max)).await {
            Ok(answer) => answer,
            Err(_) => Err(exchange_error(&method, &url, Cause::Timeout)),
        }
    }

    /// One request with its redirects, and the whole body.
    async fn exchange(&self, request: Request, body_bytes_max: usize) -> Result<Response, HttpError> {
        let (response, method, url) = self.follow(request).await?;
        read_body(response, &method, &url, body_bytes_max).await
    }

    /// One request with its redirects, until the last one's headers are there; with what was asked at last.
    pub(crate) async fn follow(
        &self,
        request: Request,
    ) -> Result<(http::Response<Incoming>, Method, Url), HttpError> {
        let Request { mut method, mut url, mut headers, mut body } = request;
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let origin = url.clone();
        let pool = self.current_pool()?;
        for _ in 0..=REDIRECTS_MAX {
            let is_trusted = may_see_credentials(&origin, &url);
            let mut sent_headers = headers.clone();
            if is_trusted {
                self.add_credentials(&mut sent_headers, &url)?;
                if let Some(authorizer) = &self.authorizer {
                    authorizer.authorize(&method, &url, &mut sent_headers, &body).await?;
                }
            } else {
                sent_headers.remove(AUTHORIZATION);
                sent_headers.remove(http::header::COOKIE);
            }
            let response = self.send_or_repeat(&pool, &method, &url, sent_headers, body.clone()).await?;
            let status = response.status();
            if !self.config.follow_redirects || !is_redirect(status) {
                return Ok((response, method, url));
            }
            let Some(location) = response.headers().get(LOCATION) else {
                return Ok((response, method, url));
            };
            let bad = || exchange_error(&method, &url, Cause::BadRedirect { status: status.as_u16() });
            let next = location.to_str().ok().and_then(|text| url.join(text).ok()).ok_or_else(bad)?;
            if !matches!(next.scheme(), "http" | "https") {
                return Err(bad());
            }
            // 307 and 308 repeat the request; the older ones turn everything but HEAD into GET.
            if !matches!(status.as_u16(), 307 | 308) && method != Method::HEAD {
                method = Method::GET;
                body = Bytes::new();
                headers.remove(CONTENT_TYPE);
                headers.remove(CONTENT_LENGTH);
            }
            url = next;
        }
        Err(exchange_error(&method, &url, Cause::TooManyRedirects))
    }

    /// A kept connection may be closed by the other side at the very moment it is used again. As in Go, a request that
    /// changes nothing is then sent once more.
    async fn send_or_repeat(
        &self,
        pool: &Pool,
        method: &Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, HttpError> {
        let first = self.send_once(pool, method, url, headers.clone(), body.clone()).await;
        match first {
            Err(HttpError::Exchange { cause, .. }) if method.is_safe() && cause.is_closed_connection() => {
                self.send_once(pool, method, url, headers, body).await
            }
            other => other,
        }
    }

    async fn send_once(
        &self,
        pool: &Pool,
        method: &Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, HttpError> {
        let invalid = |reason: String| HttpError::Invalid(reason);
        if let Some(proxy) = self.proxy.choose(
            url.scheme() == "https",
            url.host_str().unwrap_or_default(),
            url.port_or_known_default().unwrap_or_default(),
        ) && url.scheme() == "http"
            && !proxy.is_socks()
            && !matches!(self.reach, Reach::Socket(_))
            && let Some(authorization) = proxy.authorization()
        {
            headers.insert(http::header::PROXY_AUTHORIZATION, secret_value(&authorization)?);
        }
        let mut bare = url.clone();
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        bare.set_fragment(None);
        if let Some(parent) = trace::parent() {
            headers.entry(trace::PARENT).or_insert(parent);
        }
        // hyper leaves the length of an empty body out, and some servers answer 411 then.
        if body.is_empty() && matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let uri: Uri = bare.as_str().parse().map_err(|err| invalid(format!("{err}: {}", shown(url))))?;
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        pool.request(request).await.map_err(|err| exchange_error(method, url, cause_of(&err)))
    }

    /// The pool; a new one when a TLS file has changed.
    fn current_pool(&self) -> Result<Pool, HttpError> {
        let Some(tls) = &self.config.tls_config else {
            return Ok(self.pool.read().1.clone());
        };
        let files = TlsFiles::read(tls, &self.dir)?;
        {
            let made = self.pool.read();
            if made.0 == files {
                return Ok(made.1.clone());
            }
        }
        let connector = Connector::new(&self.config, files.clone(), self.proxy.clone(), self.reach.clone());
        let fresh = pool(self.version, connector);
        *self.pool.write() = (files, fresh.clone());
        Ok(fresh)
    }

    pub(crate) fn add_credentials(&self, headers: &mut HeaderMap, url: &Url) -> Result<(), HttpError> {
        for (name, header) in &self.config.http_headers {
            let name =
                HeaderName::try_from(name.as_str()).map_err(|err| HttpError::Invalid(err.to_string()))?;
            let secrets = header.secrets.iter().map(|secret| secret.expose().to_owned());
            for value in header.values.iter().cloned().chain(secrets) {
                headers.append(name.clone(), secret_value(&value)?);
            }
            for file in &header.files {
                headers.append(name.clone(), secret_value(&self.read_secret("http_headers", file)?)?);
            }
        }
        if headers.contains_key(AUTHORIZATION) {
            return Ok(());
        }
        let value = if let Some(auth) = &self.config.basic_auth {
            let name = match &auth.username_file {
                Some(file) => self.read_secret("username", file)?,
                None => auth.username.clone(),
            };
            let password = match &auth.password_file {
                Some(file) => self.read_secret("password", file)?,
                None => auth.password.expose().to_owned(),
            };
            basic_header(&name, &password)
        } else if let Some(auth) = &self.config.authorization {
            let credentials = match &auth.credentials_file {
                Some(file) => self.read_secret("credentials", file)?,
                None => auth.credentials.expose().to_owned(),
            };
            format!("{} {credentials}", auth.kind)
        } else if !url.username().is_empty() {
            let decode =
                |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            basic_header(&decode(url.username()), &decode(url.password().unwrap_or_default()))
        } else {
            return Ok(());
        };
        headers.insert(AUTHORIZATION, secret_value(&value)?);
        Ok(())
    }

    /// Whether credentials stand in files, which are read again at every request.
    pub(crate) fn reads_credentials(&self) -> bool {
        let in_headers = self.config.http_headers.values().any(|header| !header.files.is_empty());
        let basic = self.config.basic_auth.as_ref();
        let in_basic = basic.is_some_and(|auth| auth.username_file.is_some() || auth.password_file.is_some());
        let bearer = self.config.authorization.as_ref();
        in_headers || in_basic || bearer.is_some_and(|auth| auth.credentials_file.is_some())
    }

    fn read_secret(&self, what: &'static str, path: &Path) -> Result<String, BuildError> {
        read_secret(&self.dir, what, path)
    }

    /// Whether each request gets headers that are asked for elsewhere first.
    pub(crate) fn is_authorized(&self) -> bool {
        self.authorizer.is_some()
    }
}

fn pool(version: Version, connector: Connector) -> Pool {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
        .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .http2_initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .http2_initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .http2_only(version == Version::Http2)
        .build(connector)
}

pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether credentials meant for `origin` may be sent to `url`: the same host and port, or that host's step up from
/// plain http to https on their usual ports.
fn may_see_credentials(origin: &Url, url: &Url) -> bool {
    let is_upgrade = origin.scheme() == "http" && url.scheme() == "https";
    let same_port = origin.port_or_known_default() == url.port_or_known_default();
    origin.host() == url.host()
        && ((origin.scheme() == url.scheme() && same_port)
            || (is_upgrade && origin.port().is_none() && url.port().is_none()))
}

pub(crate) async fn read_body(
    response: http::Response<Incoming>,
    method: &Method,
    url: &Url,
    body_bytes_max: usize,
) -> Result<Response, HttpError> {
    let (parts, mut incoming) = response.into_parts();
    let too_large = HttpError::BodyTooLarge { limit_bytes: body_bytes_max };
    let announced =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n_bytes| n_bytes > body_bytes_max as u64) {
        return Err(too_large);
    }
    let mut chunks: Vec<Bytes> = Vec::new();
    let mut n_bytes = 0;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|err| exchange_error(method, url, cause_of(&err)))?;
        let Ok(chunk) = frame.into_data() else { continue };
        n_bytes += chunk.len();
        if n_bytes > body_bytes_max {
            return Err(too_large);
        }
        chunks.push(chunk);
    }
    let body = if chunks.len() == 1 { chunks.swap_remove(0) } else { Bytes::from(chunks.concat()) };
    Ok(Response { status: parts.status, headers: parts.headers, body })
}

/// The URL as it may be shown: no password.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        let _ = url.set_password(Some("xxxxx"));
    }
    url.to_string()
}

pub(crate) fn exchange_error(method: &Method, url: &Url, cause: Cause) -> HttpError {
    HttpError::Exchange { method: method.to_string(), url: shown(url), cause }
}

/// Finds in hyper's chain of errors what a user can act upon.
pub(crate) fn cause_of(err: &(dyn std::error::Error + 'static)) -> Cause {
    let mut next = Some(err);
    let mut last_text = String::new();
    while let Some(err) = next {
        if let Some(cause) = err.downcast_ref::<Cause>() {
            return cause.clone();
        }
        if let Some(hyper) = err.downcast_ref::<hyper::Error>() {
            if hyper.is_incomplete_message() {
                return Cause::Eof;
            }
            if hyper.is_parse() {
                return Cause::Malformed(hyper.to_string());
            }
        }
        if let Some(io) = err.downcast_ref::<std::io::Error>() {
            if io.kind() == std::io::ErrorKind::UnexpectedEof {
                return Cause::Eof;
            }
            return Cause::Other(plain_io_error(io));
        }
        last_text = err.to_string();
        next = err.source();
    }
    Cause::Other(last_text)
}

#[cfg(test)]
pub(crate) mod tests;
