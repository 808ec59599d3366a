//! What can be wrong with a folder that Prometheus wrote.

use std::path::{Path, PathBuf};

/// Why a folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromDataError {
    /// A file operation failed.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not what the format says.
    #[error("{path} is damaged at byte {offset}: {reason}", path = path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A version or encoding that this program does not read.
    #[error("{path}: {what} is not supported; write it with a plain encoding first", path = path.display())]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// Which encoding or version.
        what: String,
    },
    /// Series were handed over in the wrong order.
    #[error("series {labels} does not come after the one before it")]
    Order {
        /// The later one.
        labels: String,
    },
    /// Too large for the format.
    #[error("{what} is too large for Prometheus' block format; export a shorter range")]
    TooLarge {
        /// What.
        what: &'static str,
    },
}

impl PromDataError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, reason: reason.into() }
    }
}
