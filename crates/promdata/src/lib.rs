//! Prometheus' data directory: its blocks and its write-ahead log read, its blocks written.
//!
//! In from a folder behind `stdx::Dir`, out as `storage::Series` one after another; and the other way round for export.
//! Knows nothing of our own engine. Bytes from disk never panic: every length is checked against what is left.
//! Source of the layouts: Prometheus' `tsdb/docs/format`.

mod block;
mod bytes;
mod chunk;
mod error;
mod fuzz;
mod wal;

pub use block::{BlockMeta, BlockReader, BlockWriter, MetaCompaction, MetaStats, is_block_name};
pub use chunk::{ChunkError, ChunkOut, Decoded, decode_chunk, encode_chunks};
pub use error::PromDataError;
#[doc(hidden)]
pub use fuzz::fuzz_block;
pub use wal::{Beside, WalReport, read_wal, read_wal_beside};
