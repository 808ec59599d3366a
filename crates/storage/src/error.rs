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
    /// The store's memory is at its limit; series that exist go on.
    #[error("memory limit reached, new series refused; raise --storage.memory.budget-bytes")]
    MemoryLimit,
    /// A reference the store does not know, or no longer.
    #[error("unknown series reference")]
    UnknownSeries,
    /// A kind of sample this store does not keep.
    #[error("this store does not keep samples of this kind")]
    Unsupported,
}

/// Why a row was not taken. The batch goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The store does not have this group, or no longer: it was idle for long.
    #[error("unknown group of series")]
    UnknownGroup,
    /// Not after the group's newest row: hand the samples over one by one.
    #[error("row out of order")]
    OutOfOrder,
    /// Too old or too far in the future.
    #[error("row out of bounds")]
    OutOfBounds,
    /// A column that the group does not have, or one named twice.
    #[error("no such column in the group, or named twice: {0}")]
    BadColumn(u32),
    /// The store takes single samples only.
    #[error("this store does not take rows")]
    Unsupported,
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
