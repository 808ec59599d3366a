//! The head of every request that pushes: what is refused before it is read, its body, a place among those at work.
//!
//! In from the handlers of OTLP, line protocol and pushed groups; out [`Encoded`], which the caller opens on a blocking thread.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use net::Gate;
use net::gate::Permit;

use super::chain;

/// Why a request is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It will never be.
    Bad(String),
    /// It may come again.
    Later(String),
}

/// What a receiver lets in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intake<'r> {
    /// Lets so many in at once.
    pub(crate) gate: &'r Gate,
    /// How long a request may wait for its place.
    pub(crate) wait_max: Duration,
    /// Memory is short.
    pub(crate) sheds: bool,
    /// Of the body as it comes, and decompressed.
    pub(crate) bytes_max: usize,
    /// Encodings besides none and gzip.
    pub(crate) encodings: &'static [&'static str],
}

/// A body as it came, which keeps its place until it is dropped.
pub(crate) struct Encoded {
    body: Bytes,
    encoding: String,
    bytes_max: usize,
    permit: Permit,
}

impl Intake<'_> {
    /// Reads the body, and waits for a place.
    pub(crate) async fn read(&self, parts: &Parts, body: Body) -> Result<Encoded, Refused> {
        let encoding = parts.headers.get(CONTENT_ENCODING);
        let encoding = encoding.map_or("", |value| value.to_str().unwrap_or("?")).to_owned();
        self.read_encoded(encoding, body).await
    }

    /// As [`Intake::read`], where the encoding is known from elsewhere.
    pub(crate) async fn read_encoded(&self, encoding: String, body: Body) -> Result<Encoded, Refused> {
        if !matches!(encoding.as_str(), "" | "identity" | "gzip") && !self.encodings.contains(&&*encoding) {
            let known: String = self.encodings.iter().map(|known| format!(", \"{known}\"")).collect();
            let text = format!(
                "unsupported compression: {encoding}. Only \"gzip\"{known} or no compression supported"
            );
            return Err(Refused::Bad(text));
        }
        if self.sheds {
            let text = "memory is short: come again later, or raise --storage.memory.budget-bytes";
            return Err(Refused::Later(text.to_owned()));
        }
        let body = to_bytes(body, self.bytes_max).await;
        let body = body.map_err(|err| Refused::Bad(format!("cannot read the body: {}", chain(&err))))?;
        let permit = self.gate.enter(self.wait_max).await.map_err(|err| Refused::Later(err.to_string()))?;
        Ok(Encoded { body, encoding, bytes_max: self.bytes_max, permit })
    }
}

impl Encoded {
    /// The body, decompressed, and the place, to be held while it is worked on. Blocks.
    ///
    /// # Errors
    /// A text for people, when it cannot be decompressed or becomes too long.
    pub(crate) fn open(self) -> Result<(Bytes, Permit), String> {
        let body = net::decompress::decode(&self.encoding, self.body, self.bytes_max);
        Ok((body.map_err(|err| err.to_string())?, self.permit))
    }
}
