//! Why a query has no answer.

/// The query is PromQL, but has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The data does not allow the operation; text in Prometheus' words.
    #[error("{0}")]
    Execution(String),
    /// A range, step or offset cannot be computed for these times; text in Prometheus' words.
    #[error("{0}")]
    Duration(String),
    /// More samples than `--query.max-samples`.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// More series than `--query.max-series`.
    #[error("query reads more than {limit} series (setting: --query.max-series)")]
    TooManySeries {
        /// The limit.
        limit: u64,
    },
    /// More memory than `--query.max-memory-bytes`.
    #[error(
        "query holds more than {limit_bytes} bytes of samples in memory (setting: --query.max-memory-bytes)"
    )]
    TooMuchMemory {
        /// The limit.
        limit_bytes: u64,
    },
    /// All queries together need more memory than `--query.total-memory-bytes`.
    #[error(
        "all running queries together hold {limit_bytes} bytes of samples in memory, and this one needs more \
         (setting: --query.total-memory-bytes); try again later"
    )]
    MemoryUsedUp {
        /// The limit.
        limit_bytes: u64,
    },
    /// Costs more than [`crate::QueryOptions::cost_max`]; the caller runs it again elsewhere.
    #[error("query costs more than its caller allows for the first attempt")]
    TooDear,
    /// Ran past its deadline (`--query.timeout`).
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// Told to stop.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The store failed.
    #[error("{0}")]
    Storage(storage::QueryError),
}

impl From<storage::QueryError> for EvalError {
    fn from(err: storage::QueryError) -> Self {
        match err {
            storage::QueryError::Canceled => Self::Canceled,
            other => Self::Storage(other),
        }
    }
}
