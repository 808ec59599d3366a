//! What can go wrong with a request, in the words Prometheus' users know from its target page.

use std::path::PathBuf;

/// Why a client could not be built from its configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file the configuration names cannot be read.
    #[error("unable to read {what} file {}: {why}", path.display())]
    File {
        /// Which key names it.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What the system said; shown already, so no source.
        why: std::io::Error,
    },
    /// A certificate, key or setting is not usable.
    #[error("invalid {what}: {reason}")]
    Invalid {
        /// Which key.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Why a request gave no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The exchange failed. Prints as Go's `url.Error` does.
    #[error("{} \"{url}\": {cause}", title(method))]
    Exchange {
        /// `GET` and so on.
        method: String,
        /// Where to, without password.
        url: String,
        /// What happened.
        cause: Cause,
    },
    /// The URL, a header or the method cannot be sent.
    #[error("cannot make the request: {0}")]
    Invalid(String),
    /// The configuration no longer makes a client, for instance because a file is gone.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// There are no credentials for the request, because who gives them out did not.
    #[error("{way}: cannot get credentials from {from}: {reason}")]
    Auth {
        /// Which key asks for them.
        way: &'static str,
        /// Who was asked.
        from: String,
        /// What was the matter.
        reason: String,
    },
    /// More bytes than allowed, as sent or once decompressed.
    #[error("body size limit exceeded")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The compressed body is broken.
    #[error("cannot decompress the body: {0}")]
    Decompress(String),
}

/// What happened to an exchange.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The time allowed for the whole exchange is over.
    #[error("context deadline exceeded")]
    Timeout,
    /// The name has no address.
    #[error("dial tcp: lookup {host}: {reason}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No connection.
    #[error("dial tcp {addr}: connect: {reason}")]
    Connect {
        /// Address and port.
        addr: String,
        /// What the system said.
        reason: String,
    },
    /// No connection over a socket of the file system.
    #[error("dial unix {path}: connect: {reason}")]
    Socket {
        /// Its path.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A SOCKS proxy leads nowhere.
    #[error("socks connect tcp {proxy}->{target}: {reason}")]
    Socks {
        /// The proxy's address and port.
        proxy: String,
        /// The target's.
        target: String,
        /// What the proxy said.
        reason: String,
    },
    /// The proxy said no.
    #[error("proxyconnect tcp: {0}")]
    Proxy(String),
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(String),
    /// The other side closed before its response was whole.
    #[error("EOF")]
    Eof,
    /// Redirected more than ten times.
    #[error("stopped after 10 redirects")]
    TooManyRedirects,
    /// A redirect without a usable target.
    #[error("{status} response with an unusable Location header")]
    BadRedirect {
        /// The status code.
        status: u16,
    },
    /// The response is not HTTP.
    #[error("malformed HTTP response: {0}")]
    Malformed(String),
    /// Anything else on the wire.
    #[error("{0}")]
    Other(String),
}

impl Cause {
    /// Whether the other side closed a connection that was open.
    pub(crate) fn is_closed_connection(&self) -> bool {
        match self {
            Self::Eof => true,
            Self::Other(text) => text == "connection reset by peer" || text == "broken pipe",
            _ => false,
        }
    }
}

impl HttpError {
    /// Whether the time was over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Exchange { cause: Cause::Timeout, .. })
    }

    /// Whether a size limit was hit.
    #[must_use]
    pub fn is_body_too_large(&self) -> bool {
        matches!(self, Self::BodyTooLarge { .. })
    }
}

/// `GET` → `Get`.
fn title(method: &str) -> String {
    let mut chars = method.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase()).into_iter();
    first.chain(chars.map(|c| c.to_ascii_lowercase())).collect()
}

/// A system error as Go spells it: `connection refused`, without Rust's `(os error 111)`.
pub(crate) fn plain_io_error(err: &std::io::Error) -> String {
    let text = err.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
    // The system's messages begin with a capital letter, Go's do not.
    match err.raw_os_error() {
        Some(_) => text.to_ascii_lowercase(),
        None => text,
    }
}
