//! The inverted index: from labels to series, in memory and in blocks.
//!
//! In from the head and the block writer; out to `query`. Lists of series are sorted and without duplicates.

mod mem;
mod postings;
mod reader;
mod writer;

pub(crate) use mem::MemIndex;
pub(crate) use postings::{LabelIndex, label_names, label_values, resolve};
pub(crate) use reader::{BlockIndex, CHUNK_HEADER_BYTES, ChunkEntry, SeriesEntry};
pub(crate) use writer::IndexWriter;

/// For fuzzing: opens `bytes` as an index and reads everything in it; `true` when it is one.
#[doc(hidden)]
#[must_use]
pub fn fuzz_index(bytes: &[u8]) -> bool {
    let Ok(index) = BlockIndex::parse(bytes) else { return false };
    let names = index.names();
    let all_values =
        names.iter().all(|name| index.values(name, &mut |_| true).iter().all(|list| list.len() < usize::MAX));
    all_values && (0..index.n_series()).all(|series| index.series(series).is_ok())
}
