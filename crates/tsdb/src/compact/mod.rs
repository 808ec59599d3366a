//! Turns the head's past into blocks, small blocks into larger ones, and old blocks into free space.
//!
//! Called by [`crate::Db::maintain`]; starts no thread. `plan` and `retention` are pure: what is known about blocks in,
//! names out; `merge` moves the bytes.

mod merge;
mod plan;
mod retention;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use merge::{Job, compact_blocks};
pub(crate) use plan::{BlockInfo, compaction_ranges, plan};
pub(crate) use retention::{Retention, expired};
pub(crate) use rows::Rows as PageRows;
