//! What functions of range vectors see: the samples of one series within one window.

/// Samples of one series, and where the window's edges are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Unix milliseconds, rising.
    pub(crate) t_ms: &'a [i64],
    pub(crate) values: &'a [f64],
    /// The step at which the function is evaluated.
    pub(crate) eval_ms: i64,
    /// The left edge, which is not part of the window.
    pub(crate) start_ms: i64,
    /// The right edge, which is.
    pub(crate) end_ms: i64,
    /// Width as written.
    pub(crate) range_ms: i64,
}

impl Window<'_> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn range_s(&self) -> f64 {
        self.range_ms as f64 / 1000.0
    }
}
