//! Connections for the pooled client: direct, through a proxy, over a socket of the file system, with TLS on top where the URL says
//! https. Over TLS, HTTP/2 is offered and taken as the configuration says; without TLS it is never spoken.
//!
//! Errors are [`Cause`]s, so that they come out of hyper's error chain in our own words.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ring::rand::SecureRandom;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{HttpClientConfig, TlsConfig};
use crate::error::{Cause, plain_io_error};
use crate::proxy::{ProxyRules, ProxyServer};
use crate::socks;
use crate::tls::{TlsFiles, client_config, plain_tls_error};

/// Longest accepted answer to `CONNECT`. Chosen: a status line and some headers.
const CONNECT_ANSWER_BYTES_MAX: usize = 8 << 10;

/// Look-ups at once. Chosen: each takes a thread for as long as the resolver does not answer, and those threads also
/// run queries and store scrapes.
const LOOKUPS_MAX: usize = 8;
static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// What is said of HTTP in a TLS handshake. RFC 7301, RFC 9113 §3.2.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Bytes both ways, whatever carries them.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How a server is found, where the URL is not all that says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// The first address of the URL's host that answers.
    #[default]
    Usual,
    /// Any one of its addresses, for each connection anew.
    AnyAddress,
    /// This socket of the file system; of the URL only path and query count.
    Socket(PathBuf),
}

/// One connection.
pub(crate) struct Conn {
    io: TokioIo<Box<dyn Stream>>,
    /// Plain HTTP to a proxy: requests name the whole URL.
    is_proxied: bool,
    /// The server chose HTTP/2.
    is_http2: bool,
}

impl Connection for Conn {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_proxied);
        if self.is_http2 { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Conn {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: Arc<Inner>,
}

struct Inner {
    tls: TlsConfig,
    files: TlsFiles,
    /// Made at the first https connection: a client that never needs TLS never reads the machine's authorities.
    tls_client: Mutex<Option<TlsClients>>,
    may_http2: bool,
    reach: Reach,
    proxy: ProxyRules,
    proxy_headers: Vec<(String, String)>,
}

/// One configuration of TLS, for whom it is spoken with.
#[derive(Clone)]
struct TlsClients {
    target: Arc<ClientConfig>,
    /// To these nothing but HTTP/1.1 is said.
    proxy: Arc<ClientConfig>,
}

/// To whom TLS is spoken.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Target,
    Proxy,
}

impl Connector {
    pub(crate) fn new(config: &HttpClientConfig, files: TlsFiles, proxy: ProxyRules, reach: Reach) -> Self {
        let headers = config.proxy.proxy_connect_header.iter();
        let proxy_headers = headers
            .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.expose().to_owned())));
        Self {
            inner: Arc::new(Inner {
                tls: config.tls_config.clone().unwrap_or_default(),
                files,
                tls_client: Mutex::new(None),
                may_http2: config.enable_http2,
                reach,
                proxy,
                proxy_headers: proxy_headers.collect(),
            }),
        }
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Conn;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, Cause>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.connect(&uri).await })
    }
}

impl Inner {
    async fn connect(&self, uri: &Uri) -> Result<Conn, Cause> {
        let is_https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let io: Box<dyn Stream> = if let Reach::Socket(path) = &self.reach {
            Box::new(dial_socket(path).await?)
        } else if let Some(proxy) = self.proxy.choose(is_https, host, port) {
            let to_proxy = self.dial_proxy(proxy).await?;
            if proxy.is_socks() {
                through_socks(to_proxy, proxy, host, port).await?
            } else if is_https {
                self.tunnel(to_proxy, proxy, uri.host().unwrap_or_default(), port).await?
            } else {
                return Ok(Conn { io: TokioIo::new(to_proxy), is_proxied: true, is_http2: false });
            }
        } else {
            Box::new(dial(host, port, 0, self.reach == Reach::AnyAddress).await?)
        };
        if !is_https {
            return Ok(Conn { io: TokioIo::new(io), is_proxied: false, is_http2: false });
        }
        let (io, is_http2) = self.tls_over(io, host, Peer::Target).await?;
        Ok(Conn { io: TokioIo::new(io), is_proxied: false, is_http2 })
    }

    async fn dial_proxy(&self, proxy: &ProxyServer) -> Result<Box<dyn Stream>, Cause> {
        let (host, port) = proxy.addr();
        let tcp = dial(&host, port, 0, self.reach == Reach::AnyAddress).await;
        let tcp = tcp.map_err(|cause| Cause::Proxy(cause.to_string()))?;
        if proxy.url.scheme() != "https" {
            return Ok(Box::new(tcp));
        }
        Ok(self.tls_over(tcp, &host, Peer::Proxy).await?.0)
    }

    /// Asks the proxy for a tunnel.
    async fn tunnel(
        &self,
        mut io: Box<dyn Stream>,
        proxy: &ProxyServer,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Stream>, Cause> {
        let fail = |err: std::io::Error| Cause::Proxy(plain_io_error(&err));
        let mut ask = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(authorization) = proxy.authorization() {
            ask += &format!("Proxy-Authorization: {authorization}\r\n");
        }
        for (name, value) in &self.proxy_headers {
            ask += &format!("{name}: {value}\r\n");
        }
        ask += "\r\n";
        io.write_all(ask.as_bytes()).await.map_err(fail)?;
        let mut answer = Vec::new();
        // Byte by byte, so that nothing of the tunnel itself is swallowed; the answer is short and comes once.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= CONNECT_ANSWER_BYTES_MAX {
                return Err(Cause::Proxy("answer to CONNECT is too long".to_owned()));
            }
            match io.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(err) => return Err(fail(err)),
            }
        }
        let status = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        let is_ok = status.split(' ').nth(1).is_some_and(|code| code.starts_with('2') && code.len() == 3);
        if is_ok { Ok(io) } else { Err(Cause::Proxy(status)) }
    }

    /// TLS over `io`, and whether the other side chose HTTP/2.
    async fn tls_over<S: Stream + 'static>(
        &self,
        io: S,
        host: &str,
        peer: Peer,
    ) -> Result<(Box<dyn Stream>, bool), Cause> {
        let clients = self.tls_clients()?;
        let config = if peer == Peer::Proxy { clients.proxy } else { clients.target };
        let stream = handshake(config, &self.tls, host, io).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((Box::new(stream), is_http2))
    }

    fn tls_clients(&self) -> Result<TlsClients, Cause> {
        let mut made = self.tls_client.lock();
        if let Some(clients) = made.as_ref() {
            return Ok(clients.clone());
        }
        let proxy = client_config(&self.tls, &self.files).map_err(|err| Cause::Tls(err.to_string()))?;
        let mut target = proxy.clone();
        if self.may_http2 {
            target.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        }
        let clients = TlsClients { target: Arc::new(target), proxy: Arc::new(proxy) };
        *made = Some(clients.clone());
        Ok(clients)
    }
}

/// TLS over `io`, spoken with `host` or whom the settings name instead.
pub(crate) async fn handshake<S: Stream>(
    config: Arc<ClientConfig>,
    tls: &TlsConfig,
    host: &str,
    io: S,
) -> Result<TlsStream<S>, Cause> {
    let name = if tls.server_name.is_empty() { host } else { &tls.server_name };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Cause::Tls(format!("tls: {name:?} is not a name a certificate can have")))?;
    let handshake = TlsConnector::from(config).connect(name, io).await;
    handshake.map_err(|err| {
        let tls = err.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
        match tls {
            Some(tls) => Cause::Tls(plain_tls_error(tls)),
            None if err.kind() == std::io::ErrorKind::UnexpectedEof => Cause::Eof,
            None => Cause::Tls(format!("tls: {}", plain_io_error(&err))),
        }
    })
}

/// Asks a SOCKS proxy for a connection.
async fn through_socks(
    mut io: Box<dyn Stream>,
    proxy: &ProxyServer,
    host: &str,
    port: u16,
) -> Result<Box<dyn Stream>, Cause> {
    let (proxy_host, proxy_port) = proxy.addr();
    socks::connect(&mut io, proxy.user(), host, port).await.map_err(|reason| Cause::Socks {
        proxy: join_host_port(&proxy_host, proxy_port),
        target: join_host_port(host, port),
        reason,
    })?;
    Ok(io)
}

fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn dial_socket(path: &Path) -> Result<UnixStream, Cause> {
    let fail = |err: std::io::Error| Cause::Socket {
        path: path.display().to_string(),
        reason: plain_io_error(&err),
    };
    UnixStream::connect(path).await.map_err(fail)
}

/// A TCP connection to the first address of `host` that answers; with `at_random` any one of the addresses is tried, and no other. The
/// other side may send `window_bytes` before it has to wait, as far as the system allows; 0 leaves that to the system.
pub(crate) async fn dial(
    host: &str,
    port: u16,
    window_bytes: usize,
    at_random: bool,
) -> Result<TcpStream, Cause> {
    let mut addrs: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => {
            let _permit = LOOKUPS.acquire().await.expect("the semaphore is never closed");
            let found = tokio::net::lookup_host((host, port)).await;
            let fail = |err| Cause::Lookup { host: host.to_owned(), reason: lookup_reason(&err) };
            found.map_err(fail)?.collect()
        }
    };
    if at_random {
        any_of(&mut addrs);
    }
    let mut last = Cause::Lookup { host: host.to_owned(), reason: "no such host".to_owned() };
    for addr in addrs {
        match connect(addr, window_bytes).await {
            Ok(tcp) => {
                // Requests are one write; waiting for more to send would only delay them.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(err) => last = Cause::Connect { addr: addr.to_string(), reason: plain_io_error(&err) },
        }
    }
    Err(last)
}

/// Leaves one. Without randomness from the system all stay, and the first that answers is taken as usual.
fn any_of(addrs: &mut Vec<SocketAddr>) {
    addrs.sort_unstable();
    addrs.dedup();
    let mut random = [0; 8];
    if !addrs.is_empty() && ring::rand::SystemRandom::new().fill(&mut random).is_ok() {
        let chosen = u64::from_le_bytes(random) % addrs.len() as u64;
        *addrs = vec![addrs[usize::try_from(chosen).expect("below a length")]];
    }
}

async fn connect(addr: SocketAddr, window_bytes: usize) -> std::io::Result<TcpStream> {
    if window_bytes == 0 {
        return TcpStream::connect(addr).await;
    }
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let _ = socket.set_recv_buffer_size(u32::try_from(window_bytes).unwrap_or(u32::MAX));
    socket.connect(addr).await
}

/// The resolver's words: glibc says «Name or service not known» where Go says «no such host».
fn lookup_reason(err: &std::io::Error) -> String {
    let text = err.to_string();
    match text.rsplit_once(": ").map_or(text.as_str(), |(_, reason)| reason) {
        "Name or service not known" | "No address associated with hostname" => "no such host".to_owned(),
        reason => reason.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_is_one_of_those_there_are() {
        let all: Vec<SocketAddr> = (1..=3).map(|n| SocketAddr::from(([127, 0, 0, n], 80))).collect();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut addrs = [all.clone(), all.clone()].concat();
            any_of(&mut addrs);
            assert_eq!(addrs.len(), 1);
            seen.insert(addrs[0]);
        }
        // One of three not drawn in 200 tries: once in 10^35.
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
        let mut none = Vec::new();
        any_of(&mut none);
        assert!(none.is_empty());
    }
}
