//! The inverted index: from labels to series, in blocks.
//!
//! In from the block writer; out to `query` and `compact`. A block's index is read in leaves ([`leaf`]) through
//! a cache ([`cache`]); layout: docs/formats/index.md.

mod cache;
mod codec;
mod dict;
mod leaf;
mod reader;
mod resolve;
mod writer;

pub(crate) use cache::BlockCache;
pub(crate) use codec::INLINE_BYTES_MAX;
pub(crate) use codec::{PAGE_CRC_BYTES, PageOut, PagePlace, PageRef, Toc};
pub(crate) use leaf::ReadError;
pub(crate) use reader::{BlockIndex, ColumnHead, LabelCursor, PageCursor};
pub(crate) use writer::{INDEX_HEADER, IndexWriter};

/// For fuzzing: opens `bytes` as an index and reads everything in it; `true` when all of it can be read.
#[doc(hidden)]
#[must_use]
pub fn fuzz_index(bytes: &[u8]) -> bool {
    use stdx::Dir;
    let (dir, path) = (stdx::MemDir::new(), std::path::Path::new("index"));
    let file = dir.create(path).and_then(|mut file| file.append(bytes).map(|()| file));
    let cache = std::sync::Arc::new(BlockCache::new(1 << 20, &stdx::metrics::Registry::new()));
    let Some(index) = file.ok().and_then(|file| BlockIndex::open(file, &cache).ok()) else { return false };
    fuzz_walk(&index).is_ok()
}

/// Series, columns and pairs that a fuzz run looks at: headers can claim billions. Chosen.
const FUZZ_MAX: u32 = 10_000;

fn fuzz_walk(index: &BlockIndex) -> Result<(), ReadError> {
    let mut labels = LabelCursor::default();
    let mut pages = PageCursor::default();
    for number in 0..index.toc().n_series.min(FUZZ_MAX) {
        let _ = labels.labels(index, number);
        let _ = pages.pages(index, number);
    }
    for number in 0..index.toc().n_columns.min(FUZZ_MAX) {
        let _ = index.column(number, |_, _| ());
    }
    for pair in 0..index.toc().n_pairs.min(FUZZ_MAX) {
        let _ = index.runs(pair, |_, _, _| {});
    }
    for name in index.names()? {
        index.value_counts(name, |_, _| {})?;
    }
    Ok(())
}
