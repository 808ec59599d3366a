//! The inverted index: from labels to series, in blocks.
//!
//! In from the block writer; out to `query` and `compact`. A block's index is read in leaves ([`leaf`]) through
//! a cache ([`cache`]); layout: docs/formats/index.md.

mod cache;
mod codec;
mod dict;
mod fuzz;
mod leaf;
mod reader;
mod resolve;
mod twin;
mod writer;

pub(crate) use cache::BlockCache;
pub(crate) use codec::INLINE_BYTES_MAX;
pub(crate) use codec::{PAGE_CRC_BYTES, PageOut, PagePlace, PageRef, Toc};
pub(crate) use leaf::ReadError;
pub(crate) use reader::{BlockIndex, ColumnHead, LabelCursor, PageCursor};
pub(crate) use twin::IndexTwin;
pub(crate) use writer::{INDEX_HEADER, IndexWriter};

#[doc(hidden)]
pub use fuzz::{fuzz_index, fuzz_leaves};
#[doc(hidden)]
pub use twin::fuzz_twin;
