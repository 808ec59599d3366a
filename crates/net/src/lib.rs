//! HTTP plumbing: a client that speaks Prometheus' `http_config`, and a server with caps and a door.
//!
//! In from `scrape`, `rules`, `alertmanager`, `api` and the binary; out to sockets.
//! Knows nothing of samples. Every byte that comes in stands under a named limit.

pub mod answer;
pub mod auth;
pub mod client;
pub mod config;
mod connect;
pub mod decompress;
mod der;
mod dial;
mod direct;
mod error;
pub mod gate;
pub mod grpc;
mod gzip_body;
mod keys;
mod proxy;
mod secret;
pub mod server;
mod socks;
mod stream;
mod tls;
pub mod trace;
mod web;

pub use client::{HttpClient, Limits, Request, Response};
pub use config::{Authorization, BasicAuth, HttpClientConfig, TlsConfig};
pub use connect::{Reach, Stream};
pub use der::names as certificate_names;
pub use dial::Dialer;
pub use direct::{Body, Buffers, Fetched, Line, Repeated};
pub use error::{BuildError, Cause, HttpError};
pub use gate::{Gate, GateError};
pub use secret::Secret;
pub use stream::Streaming;
pub use web::{WebConfig, WebConfigError, WebSummary};
