//! Turns the head's chunks into a block.

use std::sync::Arc;

use stdx::Dir;

use super::merge::ROWS_MAX;
use crate::block::{BlockWriter, Compaction, PageIn, PageKind, TimesSlice};
use crate::chunk::{self, ChunkError, Columns};
use crate::error::TsdbError;
use crate::head::{MemChunk, SeriesSnapshot};
use crate::page;

/// Writes the block of `series`, which are sorted by labels. Returns its name.
pub(crate) fn cut_block(
    dir: &Arc<dyn Dir>,
    label: &str,
    series: &[SeriesSnapshot],
) -> Result<String, TsdbError> {
    let mut writer = BlockWriter::begin(Arc::clone(dir), label)?;
    for one in series {
        let added = head_pages(&one.chunks)
            .map_err(|err| TsdbError::corrupt(label.as_ref(), format!("head chunk of {}: {err}", one.labels)))
            .and_then(|pages| writer.add(&one.labels, &pages));
        if let Err(err) = added {
            writer.abandon();
            return Err(err);
        }
    }
    writer.finish(Compaction::default())
}

fn head_pages(chunks: &[MemChunk]) -> Result<Vec<PageIn>, ChunkError> {
    let samples = decode_chunks(chunks.iter().map(|chunk| &chunk.bytes[..]))?;
    let rows = samples.timestamps.chunks(ROWS_MAX).zip(samples.values.chunks(ROWS_MAX));
    let page = |(times, values): (&[i64], &[f64])| {
        let mut bytes = Vec::new();
        page::encode_values(values, &mut bytes);
        let times = TimesSlice { column: Arc::new(times.to_vec()), first: 0, len: times.len() as u32 };
        PageIn { times, kind: PageKind::Floats, bytes }
    };
    Ok(rows.map(page).collect())
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
