//! A sample, the staleness marker, and inclusive time ranges.

/// The bits of the NaN that says «this series ended here». From Prometheus' `model/value`.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a float. Compare with [`is_stale`], never with `==`.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether `value` is the staleness marker, to the bit; other NaNs are ordinary values.
#[must_use]
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One value at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Unix time in milliseconds.
    pub t_ms: i64,
    /// The value; any bit pattern.
    pub value: f64,
}

/// Inclusive at both ends, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First millisecond.
    pub start_ms: i64,
    /// Last millisecond.
    pub end_ms: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start_ms: i64::MIN, end_ms: i64::MAX };

    /// `start_ms..=end_ms`; empty when the start is after the end.
    #[must_use]
    pub fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start_ms, end_ms }
    }

    /// Whether `t_ms` lies within.
    #[must_use]
    pub fn contains(self, t_ms: i64) -> bool {
        self.start_ms <= t_ms && t_ms <= self.end_ms
    }

    /// Whether the two share a millisecond.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start_ms <= other.end_ms && other.start_ms <= self.end_ms
    }
}
