//! Named limits. Every one has an error that names it.

/// Longest query text in bytes. Chosen: far above any dashboard's, far below harm.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of parentheses, calls and operands. Measured: 75 levels fill a 2 MB stack in a debug build.
pub const DEPTH_MAX: usize = 64;

/// Highest expression tree; a chain of operators is as high as it is long. Measured: 550 operators in a chain fill a
/// 2 MB stack in a debug build.
pub const HEIGHT_MAX: usize = 300;

/// Most steps of one range or subquery. Subqueries may be long; the API has its own limit of 11,000 points.
pub const STEPS_MAX: i64 = 50_000_000;

/// Furthest time from 1970 in either direction, in milliseconds: nine million years. Chosen: sums of a few such times
/// and durations stay within 64 bits.
pub const TIME_MAX_MS: i64 = 1 << 58;

/// Steps without a value that count as one sample. Chosen: a step takes nine bytes, so that a query at its limit of
/// samples takes less than two gigabytes whatever its gaps.
pub(crate) const STEPS_PER_SAMPLE: usize = 4;

/// Samples held in memory by one query, as Prometheus' `--query.max-samples`.
pub const SAMPLES_MAX_DEFAULT: u64 = 50_000_000;

/// How far back an instant selector looks, as Prometheus' `--query.lookback-delta`.
pub const LOOKBACK_DEFAULT_MS: i64 = 5 * 60_000;

/// A selector with fewer samples is read by one thread. Chosen: some milliseconds of work, a hundred times what starting the
/// threads takes.
pub(crate) const SPLIT_SAMPLES_MIN: u64 = 8_000_000;
