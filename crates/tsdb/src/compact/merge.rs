//! Moves chunks into new blocks: from the head, or from several blocks. Copies chunks where they do not overlap.

use std::collections::BTreeSet;
use std::sync::Arc;

use stdx::Dir;

use crate::block::{Block, BlockWriter, Compaction, Parent, SeriesChunk};
use crate::chunk::{self, ChunkError, Columns, SAMPLES_MAX};
use crate::error::TsdbError;
use crate::head::{MemChunk, SeriesSnapshot};
use crate::index::SeriesEntry;

/// Writes the block of `series`, which are sorted by labels. Returns its name.
pub(crate) fn cut_block(
    dir: &Arc<dyn Dir>,
    label: &str,
    series: &[SeriesSnapshot],
) -> Result<String, TsdbError> {
    let texts: BTreeSet<&str> =
        series.iter().flat_map(|one| one.labels.iter()).flat_map(|(n, v)| [n, v]).collect();
    let symbols = texts.into_iter().map(str::to_owned).collect();
    let mut writer = BlockWriter::begin(Arc::clone(dir), label, symbols)?;
    for one in series {
        let chunks = head_chunks(&one.chunks).map_err(|err| {
            TsdbError::corrupt(label.as_ref(), format!("head chunk of {}: {err}", one.labels))
        })?;
        writer.add(&one.labels, &chunks)?;
    }
    writer.finish(Compaction { level: 1, sources: Vec::new(), parents: Vec::new() })
}

fn head_chunks(chunks: &[MemChunk]) -> Result<Vec<SeriesChunk>, ChunkError> {
    let take = |chunk: &MemChunk| {
        let bytes = chunk::shrink(chunk.bytes.to_vec());
        let n_samples = chunk::n_samples(&bytes)? as u32;
        Ok(SeriesChunk { first_ms: chunk.span.first_ms, last_ms: chunk.span.last_ms, n_samples, bytes })
    };
    separate(chunks.iter().map(take).collect::<Result<_, _>>()?)
}

/// Chunks that rise and do not overlap: as they are when they are so already, else decoded and coded anew.
///
/// Of samples at the same time the one in the earlier chunk stays.
fn separate(chunks: Vec<SeriesChunk>) -> Result<Vec<SeriesChunk>, ChunkError> {
    // Fast path: nothing overlaps.
    if chunks.windows(2).all(|pair| pair[0].last_ms < pair[1].first_ms) {
        return Ok(chunks);
    }
    let samples = decode_chunks(chunks.iter().map(|chunk| &chunk.bytes[..]))?;
    let columns = samples.timestamps.chunks(SAMPLES_MAX).zip(samples.values.chunks(SAMPLES_MAX));
    let encode = |(timestamps, values): (&[i64], &[f64])| {
        Ok(SeriesChunk {
            first_ms: timestamps[0],
            last_ms: timestamps[timestamps.len() - 1],
            n_samples: timestamps.len() as u32,
            bytes: chunk::encode(timestamps, values)?,
        })
    };
    columns.map(encode).collect()
}

/// The samples of chunks in any order: sorted, each time once, from the first chunk that has it.
pub(crate) fn decode_chunks<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Result<Columns, ChunkError> {
    let mut samples = Columns::default();
    chunks.into_iter().try_for_each(|bytes| chunk::decode(bytes, &mut samples))?;
    // Fast path: in order already.
    if samples.timestamps.windows(2).all(|pair| pair[0] < pair[1]) {
        return Ok(samples);
    }
    let mut pairs: Vec<(i64, f64)> = samples.timestamps.into_iter().zip(samples.values).collect();
    // Stable, so that the first chunk's sample stays first.
    pairs.sort_by_key(|(t_ms, _)| *t_ms);
    pairs.dedup_by_key(|(t_ms, _)| *t_ms);
    let (timestamps, values) = pairs.into_iter().unzip();
    Ok(Columns { timestamps, values })
}

/// Where one block's series are being read.
struct Cursor<'a> {
    block: &'a Block,
    next: u64,
    peeked: Option<SeriesEntry>,
}

impl<'a> Cursor<'a> {
    fn begin(block: &'a Block) -> Result<Self, TsdbError> {
        let mut cursor = Self { block, next: 0, peeked: None };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<Option<SeriesEntry>, TsdbError> {
        let next = if self.next < self.block.index.n_series() {
            let entry =
                self.block.index.series(self.next).map_err(|reason| self.block.corrupt_index(reason))?;
            self.next += 1;
            Some(entry)
        } else {
            None
        };
        Ok(std::mem::replace(&mut self.peeked, next))
    }
}

/// Writes one block with everything in `blocks`, which are sorted by time. Returns its name.
pub(crate) fn compact_blocks(dir: &Arc<dyn Dir>, blocks: &[Arc<Block>]) -> Result<String, TsdbError> {
    let texts: BTreeSet<&str> = blocks.iter().flat_map(|block| block.index.symbols()).collect();
    let symbols = texts.into_iter().map(str::to_owned).collect();
    let label = format!("compact-{}", blocks.first().map_or("none", |block| block.name()));
    let mut writer = BlockWriter::begin(Arc::clone(dir), &label, symbols)?;
    let mut cursors = blocks.iter().map(|block| Cursor::begin(block)).collect::<Result<Vec<_>, _>>()?;
    loop {
        let peeked = cursors.iter().filter_map(|cursor| cursor.peeked.as_ref());
        let Some(labels) = peeked.map(|entry| &entry.labels).min().cloned() else { break };
        let mut chunks = Vec::new();
        for cursor in &mut cursors {
            if cursor.peeked.as_ref().is_some_and(|entry| entry.labels == labels)
                && let Some(entry) = cursor.advance()?
            {
                read_chunks(cursor.block, &entry, &mut chunks)?;
            }
        }
        // Each block passed its checksums, so this is the first to fail to be blamed.
        let chunks = separate(chunks).map_err(|err| TsdbError::corrupt(label.as_ref(), err.to_string()))?;
        writer.add(&labels, &chunks)?;
    }
    let level = blocks.iter().map(|block| block.meta.compaction.level).max().unwrap_or(0) + 1;
    let sources: BTreeSet<String> =
        blocks.iter().flat_map(|block| block.meta.compaction.sources.clone()).collect();
    let parent = |block: &Arc<Block>| Parent {
        ulid: block.meta.ulid.clone(),
        min_time: block.meta.min_time,
        max_time: block.meta.max_time,
    };
    let parents = blocks.iter().map(parent).collect();
    writer.finish(Compaction { level, sources: sources.into_iter().collect(), parents })
}

fn read_chunks(block: &Block, entry: &SeriesEntry, out: &mut Vec<SeriesChunk>) -> Result<(), TsdbError> {
    for chunk in &entry.chunks {
        let bytes = block.chunk(chunk)?;
        out.push(SeriesChunk {
            first_ms: chunk.first_ms,
            last_ms: chunk.last_ms,
            n_samples: chunk.n_samples,
            bytes,
        });
    }
    Ok(())
}
