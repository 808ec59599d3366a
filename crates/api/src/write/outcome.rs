//! What became of a request: what was stored, what was refused and why, in words for the sender.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use storage::AppendError;

use super::WriteMessage;

/// Reasons spelled out for the sender; the others are counted. Chosen: a log line of some length.
const LINES_MAX: usize = 10;

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    OutOfOrder,
    Duplicate,
    OutOfBounds,
    FarFuture,
    SeriesLimit,
    MemoryLimit,
    Unsupported,
    Labels,
    Histogram,
    Exemplar,
    NoSamples,
    Other,
}

impl Reason {
    pub(crate) fn of(err: AppendError) -> Self {
        match err {
            AppendError::OutOfOrder => Self::OutOfOrder,
            AppendError::DuplicateForTimestamp => Self::Duplicate,
            AppendError::OutOfBounds => Self::OutOfBounds,
            AppendError::NoName => Self::Labels,
            AppendError::SeriesLimit => Self::SeriesLimit,
            AppendError::MemoryLimit => Self::MemoryLimit,
            AppendError::Unsupported => Self::Unsupported,
            _ => Self::Other,
        }
    }

    /// For metrics and the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out of order",
            Self::Duplicate => "duplicate",
            Self::OutOfBounds => "out of bounds",
            Self::FarFuture => "far future",
            Self::SeriesLimit => "series limit",
            Self::MemoryLimit => "memory limit",
            Self::Unsupported => "unsupported kind",
            Self::Labels => "invalid labels",
            Self::Histogram => "invalid histogram",
            Self::Exemplar => "exemplar",
            Self::NoSamples => "no samples",
            Self::Other => "other",
        }
    }
}

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) n_samples: u64,
    pub(crate) n_histograms: u64,
    pub(crate) n_exemplars: u64,
    refused: BTreeMap<Reason, u64>,
    lines: Vec<String>,
}

impl Outcome {
    /// Counts `n_refused` samples; `line` says what is wrong, if there is room for it.
    pub(crate) fn refuse(&mut self, reason: Reason, n_refused: u64, line: impl FnOnce() -> String) {
        *self.refused.entry(reason).or_default() += n_refused;
        if self.lines.len() < LINES_MAX {
            self.lines.push(line());
        }
    }

    /// Counts what the store refused at commit, since another writer came between.
    pub(crate) fn refuse_late(&mut self, n_refused: u64) {
        if n_refused > 0 {
            self.n_samples = self.n_samples.saturating_sub(n_refused);
            self.refuse(Reason::OutOfOrder, n_refused, || "out of order sample, found at commit".to_owned());
        }
    }

    /// How often each reason was met.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.refused.iter().map(|(reason, n_refused)| (*reason, *n_refused))
    }

    /// Samples and histograms of series with labels that cannot be used.
    pub(crate) fn n_invalid_labels(&self) -> u64 {
        self.refused.get(&Reason::Labels).copied().unwrap_or_default()
    }

    /// What to tell the sender; `None` when all is well. With version 1 series with invalid labels and exemplars are
    /// left out in silence, as Prometheus does.
    pub(crate) fn complaint(&self, message: WriteMessage) -> Option<String> {
        let is_silent =
            |reason| message == WriteMessage::V1 && matches!(reason, Reason::Labels | Reason::Exemplar);
        if self.refused().all(|(reason, _)| is_silent(reason)) {
            return None;
        }
        let mut text = self.lines.join("\n");
        let n_refused: u64 = self.refused.values().sum();
        let n_stored = self.n_samples + self.n_histograms + self.n_exemplars;
        let _ = write!(text, "\n{n_refused} refused (");
        for (idx, (reason, n_refused)) in self.refused().enumerate() {
            let sep = if idx == 0 { "" } else { ", " };
            let _ = write!(text, "{sep}{n_refused} {}", reason.name());
        }
        let _ = write!(text, "), {n_stored} stored");
        Some(text)
    }
}
