//! A rule's setting of what becomes of alerts whose series vanish.
//!
//! In from rule files; asked by alerting rules, which do it ([`crate::alerting`]), and shown by the API.

/// What happens when the series of an alert has no data any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoData {
    /// The alert ends, as in Prometheus.
    #[default]
    Resolve,
    /// The alert stays as it is.
    Keep,
    /// The alert stays, and series without an alert get one.
    Alert,
}

impl NoData {
    /// As files and the API have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Keep => "keep",
            Self::Alert => "alert",
        }
    }

    /// Reads [`NoData::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Resolve, Self::Keep, Self::Alert].into_iter().find(|what| what.as_str() == text)
    }
}

/// A rule's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDataSpec {
    /// What happens.
    pub what: NoData,
    /// For how long, milliseconds; then the alert ends all the same.
    pub for_ms: i64,
}

/// How long alerts without data stay when the file does not say, milliseconds. Chosen: a day is somebody's turn to look.
pub(crate) const NO_DATA_FOR_MS: i64 = 24 * 3_600_000;

impl Default for NoDataSpec {
    fn default() -> Self {
        Self { what: NoData::Resolve, for_ms: NO_DATA_FOR_MS }
    }
}
