//! Sends samples on by remote write, 1.0 and 2.0, from a position that restarts keep; reads other servers by remote read.
//!
//! In from the store, which is read forward in time, and from the late journal, which holds what came behind; out to receivers over
//! HTTP. Why it is built so, and why nothing is lost: docs/adr/0005-remote-write-out.md. Bytes on disk: docs/formats/remote-write.md.
//! Never holds up a commit for a receiver's sake. Sync but for `driver.rs`, which awaits and decides nothing.

mod chunked;
pub mod config;
mod driver;
mod journal;
mod manager;
mod metrics;
mod position;
mod queue;
mod read;
mod reader;
mod request;
mod shape;
#[cfg(test)]
mod tests;
mod verdict;

pub use config::{RemoteReadConfig, RemoteWriteConfig, WriteMessage};
pub use manager::{Manager, Prepared};
pub use queue::{Env, MetadataOf};
pub use reader::{PreparedReads, ReadThrough};

/// For fuzzing: decodes a queue's position; `true` when it is one.
#[doc(hidden)]
#[must_use]
pub fn fuzz_position(bytes: &[u8]) -> bool {
    position::Position::decode(bytes).is_ok()
}

/// Why remote write cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where, in the data directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A position that cannot be read; without it samples would be lost in silence.
    #[error(
        "{path} is damaged ({reason}): remove it to go on from now, which loses what that queue has not sent"
    )]
    Position {
        /// Which file, in the data directory.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// An HTTP client to read with cannot be made.
    #[error("remote_read {url}")]
    ReadClient {
        /// Of which server.
        url: String,
        /// Why.
        source: net::BuildError,
    },
    /// A queue's HTTP client cannot be made.
    #[error("remote_write {url}")]
    Client {
        /// Of which queue.
        url: String,
        /// Why.
        source: net::BuildError,
    },
}
