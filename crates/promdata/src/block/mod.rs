//! A block: a folder with `meta.json`, `index`, `chunks/…` and `tombstones`.
//!
//! Layouts: Prometheus' `tsdb/docs/format/{index,chunks,tombstones}.md`.

mod index;
mod meta;
mod reader;
mod tombstones;
mod writer;

pub(crate) use index::sealed_index;
pub use meta::{BlockMeta, MetaCompaction, MetaStats};
pub use reader::BlockReader;
pub(crate) use tombstones::sealed as sealed_tombstones;
pub use writer::BlockWriter;

/// Bytes of a ULID's text.
const ULID_CHARS: usize = 26;
const INDEX_MAGIC: u32 = 0xBAAA_D700;
const INDEX_VERSION: u8 = 2;
const CHUNKS_MAGIC: u32 = 0x85BD_40DD;
const CHUNKS_VERSION: u8 = 1;
const CHUNKS_HEADER_BYTES: u64 = 8;
/// Series stand at multiples of this; their number is the place divided by it.
const SERIES_ALIGN: u64 = 16;

/// Whether a folder's name is one of a block.
#[must_use]
pub fn is_block_name(name: &str) -> bool {
    name.len() == ULID_CHARS && name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}
