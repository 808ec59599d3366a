//! Blocks: immutable directories of samples, named by their content. Layout: docs/formats/block.md.
//!
//! In from `compact` and from sealing through [`BlockWriter`]; out to `query` through [`Block`].

mod ahead;
mod meta;
mod newest;
mod open;
mod pages;
mod reader;
mod select;
mod tombstones;
mod writer;

pub(crate) use meta::{BlockMeta, BlockStats, Compaction, Parent, RolledUpFrom, is_block_name};
pub(crate) use newest::NewestOfBlock;
pub(crate) use open::{block_names, free_name, open_all, quarantine, remove_block, without_replaced};
pub(crate) use pages::{Columns, PageReader, damaged_page};
pub(crate) use reader::{Block, Deleted, Problem};
pub use tombstones::fuzz_tombstones;
pub(crate) use tombstones::{Tombstones, write_tombstones};
pub(crate) use writer::{BlockWriter, Column, KnownPage};

use std::sync::Arc;

use crate::page::PageKind;

pub(crate) const META_FILE: &str = "meta.json";
pub(crate) const PAGES_FILE: &str = "pages";
pub(crate) const INDEX_FILE: &str = "index";
/// Copies of parts of the index.
pub(crate) const INDEX_COPY_FILE: &str = "index.copy";
pub(crate) const TOMBSTONES_FILE: &str = "tombstones";
/// The same again, written after it.
pub(crate) const TOMBSTONES_COPY_FILE: &str = "tombstones.copy";

/// First bytes of the file `pages`: magic, version, zeros.
pub(crate) const PAGES_HEADER: [u8; 8] = *b"HPAG\x02\0\0\0";

/// What is being made or removed ends so; a start clears it away.
pub(crate) const TMP_SUFFIX: &str = ".tmp";

/// Where damaged things go.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

/// Rows of a timestamp column. Columns are told apart by pointer first, then by content.
#[derive(Debug, Clone)]
pub(crate) struct TimesSlice {
    pub(crate) column: Arc<Vec<i64>>,
    pub(crate) first: u32,
    pub(crate) len: u32,
}

/// A page on its way into a block; `bytes` as [`crate::page`] made them.
#[derive(Debug, Clone)]
pub(crate) struct PageIn {
    pub(crate) times: TimesSlice,
    pub(crate) kind: PageKind,
    pub(crate) bytes: Vec<u8>,
}
