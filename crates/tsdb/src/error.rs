//! What can go wrong in the store as a whole. Damage found at start is no error: it is set aside and reported.

use std::path::Path;

use storage::StorageError;

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsdbError {
    /// Another process uses the directory.
    #[error("the data directory is in use by another process; stop it or choose another --storage.tsdb.path")]
    Locked {
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting makes no sense.
    #[error("{setting} must be {must}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it has to be.
        must: &'static str,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// On what, relative to the data directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Stored bytes are not what was written.
    #[error("{path} is damaged: {reason}")]
    Corrupt {
        /// Which file.
        path: String,
        /// What is wrong, with the offset where it is known.
        reason: String,
    },
    /// The store is shut.
    #[error("the store is closed")]
    Closed,
}

impl TsdbError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.display().to_string(), reason: reason.into() }
    }
}

impl From<TsdbError> for StorageError {
    fn from(err: TsdbError) -> Self {
        match err {
            TsdbError::Io { action, path, source } => Self::Io { action: format!("{action} {path}"), source },
            TsdbError::Corrupt { path, reason } => Self::Corrupt { what: path, reason },
            TsdbError::Closed => Self::Closed,
            TsdbError::Locked { source } => Self::Io { action: "lock the data directory".to_owned(), source },
            TsdbError::Setting { setting, must } => Self::Io {
                action: format!("use {setting}"),
                source: std::io::Error::new(std::io::ErrorKind::InvalidInput, must),
            },
        }
    }
}
