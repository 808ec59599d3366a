//! One series of the head: finished chunks and an open one.

use std::sync::Arc;

use model::{Labels, TimeRange};

use super::{ChunkBytes, range_of};
use crate::chunk::{self, ChunkError, Columns, XorAppender};

/// First and last sample of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkSpan {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
}

impl ChunkSpan {
    pub(crate) fn range(self) -> TimeRange {
        TimeRange::new(self.first_ms, self.last_ms)
    }
}

/// A chunk in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemChunk {
    pub(crate) span: ChunkSpan,
    pub(crate) bytes: ChunkBytes,
}

/// The chunk that grows.
#[derive(Debug)]
struct OpenChunk {
    appender: XorAppender,
    first_ms: i64,
}

/// A series and its samples.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// In the order they were written, which is the order of time but after the clock was set back.
    chunks: Vec<MemChunk>,
    open: Option<OpenChunk>,
    /// Newest sample by writing: time and bits.
    last: Option<(i64, u64)>,
}

impl Series {
    pub(super) fn new(labels: Labels) -> Self {
        Self { labels, chunks: Vec::new(), open: None, last: None }
    }

    /// Time and bits of the sample written last.
    pub(crate) fn last(&self) -> Option<(i64, u64)> {
        self.last
    }

    /// Adds a sample; whether a chunk began with it.
    pub(super) fn push(&mut self, t_ms: i64, value: f64, block_ms: i64) -> bool {
        let last_ms = self.last.map_or(i64::MIN, |(last_ms, _)| last_ms);
        self.last = Some((t_ms, value.to_bits()));
        // Fast path: the open chunk goes on.
        if let Some(open) = &mut self.open
            && t_ms > last_ms
            && range_of(open.first_ms, block_ms).contains(t_ms)
            && open.appender.append(t_ms, value).is_ok()
        {
            return false;
        }
        // Slow path: full, the next block range, or back in time.
        self.seal(last_ms);
        let mut appender = XorAppender::new();
        appender.append(t_ms, value).expect("the first sample of a chunk always fits");
        self.open = Some(OpenChunk { appender, first_ms: t_ms });
        true
    }

    fn seal(&mut self, last_ms: i64) {
        if let Some(open) = self.open.take() {
            let span = ChunkSpan { first_ms: open.first_ms, last_ms };
            self.chunks.push(MemChunk { span, bytes: open.appender.into_bytes().into() });
        }
    }

    /// Takes a chunk of a checkpoint; the last one stays open when it can.
    pub(super) fn restore(&mut self, bytes: &[u8], is_last: bool) -> Result<ChunkSpan, ChunkError> {
        let mut samples = Columns::default();
        chunk::decode(bytes, &mut samples)?;
        let (Some(first_ms), Some(last_ms), Some(value)) =
            (samples.timestamps.first(), samples.timestamps.last(), samples.values.last())
        else {
            return Err(ChunkError::Count { n_samples: 0 });
        };
        let span = ChunkSpan { first_ms: *first_ms, last_ms: *last_ms };
        self.seal(self.last.map_or(i64::MIN, |(last_ms, _)| last_ms));
        self.last = Some((*last_ms, value.to_bits()));
        let resumed = if is_last { XorAppender::resume(bytes)? } else { None };
        match resumed {
            Some(appender) => self.open = Some(OpenChunk { appender, first_ms: *first_ms }),
            None => self.chunks.push(MemChunk { span, bytes: bytes.into() }),
        }
        Ok(span)
    }

    fn open_span(&self) -> Option<ChunkSpan> {
        let open = self.open.as_ref()?;
        Some(ChunkSpan { first_ms: open.first_ms, last_ms: self.last?.0 })
    }

    /// Chunks that overlap `range`, in the order they were written; the open one copied.
    pub(super) fn chunks_in(&self, range: TimeRange) -> Vec<MemChunk> {
        let overlaps = |chunk: &&MemChunk| chunk.span.range().overlaps(range);
        let mut chunks: Vec<MemChunk> = self.chunks.iter().filter(overlaps).cloned().collect();
        if let (Some(open), Some(span)) = (&self.open, self.open_span())
            && span.range().overlaps(range)
        {
            chunks.push(MemChunk { span, bytes: Arc::from(open.appender.bytes()) });
        }
        chunks
    }

    /// Chunks that begin within `range`, in the order they were written; the open one copied.
    pub(super) fn chunks_from(&self, range: TimeRange) -> Vec<MemChunk> {
        let mut chunks = self.chunks_in(range);
        chunks.retain(|chunk| range.contains(chunk.span.first_ms));
        chunks
    }

    /// From the first to the last sample.
    pub(super) fn span(&self) -> Option<ChunkSpan> {
        let spans = self.chunks.iter().map(|chunk| chunk.span).chain(self.open_span());
        spans.reduce(|a, b| ChunkSpan {
            first_ms: a.first_ms.min(b.first_ms),
            last_ms: a.last_ms.max(b.last_ms),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.open.is_none()
    }

    /// Removes the first chunks within `range` that together hold `n_samples` samples; returns how many chunks went.
    ///
    /// The open one goes only when it holds nothing newer.
    pub(super) fn truncate(&mut self, range: TimeRange, n_samples: u64) -> usize {
        let n_before = self.chunks.len() + usize::from(self.open.is_some());
        // Ends at the first chunk that grew: what was cut is a prefix of what is here.
        let mut left = Some(n_samples);
        let mut goes = |n: u64, first_ms: i64| {
            if !range.contains(first_ms) {
                return false;
            }
            left = left.and_then(|left| left.checked_sub(n));
            left.is_some()
        };
        self.chunks.retain(|chunk| {
            let n = chunk::n_samples(&chunk.bytes).unwrap_or(0) as u64;
            !goes(n, chunk.span.first_ms)
        });
        self.chunks.shrink_to_fit();
        if let Some(open) = &self.open
            && goes(open.appender.n_samples() as u64, open.first_ms)
        {
            self.open = None;
        }
        n_before - self.chunks.len() - usize::from(self.open.is_some())
    }
}
