//! What can go wrong at the seams.

/// Why one sample was not taken. The batch goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Older than the newest sample of its series.
    #[error("out of order sample")]
    OutOfOrder,
    /// Same time as the newest sample of its series, another value.
    #[error("duplicate sample for timestamp")]
    DuplicateForTimestamp,
    /// Older than what the head still takes.
    #[error("out of bounds")]
    OutOfBounds,
    /// No labels at all, or no metric name.
    #[error("label set without a name")]
    NoName,
    /// The number of series is at its limit.
    #[error("series limit reached, new series refused; raise --storage.head.series-max")]
    SeriesLimit,
}

/// Why the store could not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A file operation failed.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Stored bytes are not what was written.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// Which file, with the offset where it is known.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The store is shut.
    #[error("the store is closed")]
    Closed,
}

/// Why a read ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The store failed.
    #[error("cannot read the store")]
    Storage(#[from] StorageError),
    /// The reader was told to stop: by timeout, by the client, at shutdown.
    #[error("query was canceled")]
    Canceled,
}
