//! Request lines as people type them: `"`, `<` and `>` in a query, unescaped.
//!
//! Go's servers take `GET /api/v1/query?query=up{job="a"}`, and so scripts around Prometheus send it; hyper answers 400. This stands between
//! the socket and hyper and escapes these three bytes in request lines, where they have no other meaning. From the first request
//! with a body on, bytes go through as they are: where its end lies is hyper's business.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes taken from the socket at once while lines are looked at. Chosen: a request without a body is smaller.
const CHUNK_BYTES: usize = 2 << 10;

/// Where in the stream of requests the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    RequestLine,
    /// At the byte of this number of a header line; so far it may be the name of one that announces a body.
    Header {
        n_read: usize,
        announces: [bool; BODY_HEADERS.len()],
    },
    Through,
}

/// A request with one of these has a body.
const BODY_HEADERS: [&[u8]; 3] = [b"content-length:", b"transfer-encoding:", b"upgrade:"];

const LINE_BEGINS: At = At::Header { n_read: 0, announces: [true; BODY_HEADERS.len()] };

/// Escapes request lines in a stream of requests.
#[derive(Debug)]
struct Escaper {
    at: At,
}

impl Escaper {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for (idx, byte) in bytes.iter().enumerate() {
            match self.at {
                At::Through => {
                    out.extend_from_slice(&bytes[idx..]);
                    return;
                }
                At::RequestLine => match byte {
                    b'"' => out.extend_from_slice(b"%22"),
                    b'<' => out.extend_from_slice(b"%3C"),
                    b'>' => out.extend_from_slice(b"%3E"),
                    _ => out.push(*byte),
                },
                At::Header { .. } => out.push(*byte),
            }
            self.at = self.at.after(*byte);
        }
    }
}

impl At {
    fn after(self, byte: u8) -> Self {
        match self {
            Self::RequestLine if byte == b'\n' => LINE_BEGINS,
            Self::RequestLine | Self::Through => self,
            // An empty line ends the headers, and with them a request without a body.
            Self::Header { n_read: 0, .. } if byte == b'\n' => Self::RequestLine,
            Self::Header { n_read: 0, .. } if byte == b'\r' => self,
            Self::Header { .. } if byte == b'\n' => LINE_BEGINS,
            Self::Header { n_read, mut announces } => {
                for (name, may_be) in BODY_HEADERS.iter().zip(&mut announces) {
                    *may_be &= name.get(n_read).is_some_and(|wanted| wanted.eq_ignore_ascii_case(&byte));
                    if *may_be && n_read + 1 == name.len() {
                        return Self::Through;
                    }
                }
                Self::Header { n_read: n_read.saturating_add(1), announces }
            }
        }
    }
}

/// A connection whose request lines are escaped.
#[derive(Debug)]
pub(super) struct Lenient<S> {
    inner: S,
    escaper: Escaper,
    /// Escaped and not yet read.
    held: Vec<u8>,
    n_given: usize,
}

impl<S> Lenient<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, escaper: Escaper { at: At::RequestLine }, held: Vec::new(), n_given: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.n_given == this.held.len() {
            if this.escaper.at == At::Through {
                return Pin::new(&mut this.inner).poll_read(cx, buf);
            }
            let mut chunk = [0; CHUNK_BYTES];
            let mut read = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            this.held.clear();
            this.n_given = 0;
            this.escaper.take(read.filled(), &mut this.held);
        }
        let rest = &this.held[this.n_given..];
        let n_now = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n_now]);
        this.n_given += n_now;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lenient<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: &str, expected: &str) {
        // However the bytes are cut.
        for cut in 0..=sent.len() {
            let mut escaper = Escaper { at: At::RequestLine };
            let mut out = Vec::new();
            escaper.take(&sent.as_bytes()[..cut], &mut out);
            escaper.take(&sent.as_bytes()[cut..], &mut out);
            assert_eq!(String::from_utf8(out).unwrap_or_default(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn request_lines_are_escaped_and_nothing_else() {
        check(
            "GET /q?query=a{b=\"c\"}<1 HTTP/1.1\r\nHost: \"x\"\r\n\r\nGET /q?query=\"d\">2 HTTP/1.1\r\n\r\n",
            "GET /q?query=a{b=%22c%22}%3C1 HTTP/1.1\r\nHost: \"x\"\r\n\r\nGET /q?query=%22d%22%3E2 HTTP/1.1\r\n\r\n",
        );
        check(
            "GET / HTTP/1.1\nA: b\n\nGET /\" HTTP/1.1\n\n",
            "GET / HTTP/1.1\nA: b\n\nGET /%22 HTTP/1.1\n\n",
        );
    }

    #[test]
    fn from_a_body_on_bytes_are_left_alone() {
        for header in ["Content-Length: 5", "CONTENT-LENGTH:5", "transfer-encoding: chunked", "Upgrade: x"] {
            let sent = format!(
                "POST /a\" HTTP/1.1\r\nContent-Type: x\r\n{header}\r\n\r\n\"<>\"\nGET /\" HTTP/1.1\r\n\r\n"
            );
            check(&sent, &sent.replacen('"', "%22", 1));
        }
        let sent = "GET / HTTP/1.1\r\nX-Content-Length: 1\r\n\r\nGET /\" HTTP/1.1\r\n\r\n";
        check(sent, &sent.replace('"', "%22"));
    }
}
