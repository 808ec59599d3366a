//! Stores samples: head, log, pages, index, blocks, compaction, retention.
//!
//! In from writers through `storage::Appendable`, out to readers through `storage::Queryable`; `hinomi` calls
//! [`Db::sync`] and [`Db::maintain`] from its maintenance driver. Layouts: docs/formats/{wal,page,block,index}.md.
//! Sync: no tokio, no threads, no sockets, no clock; time comes in as `now_ms`, files through `stdx::Dir`.

mod block;
mod coded;
mod compact;
mod db;
mod error;
mod families;
#[doc(hidden)]
pub mod fuzz;
mod head;
pub mod index;
pub mod inspect;
#[cfg(test)]
mod measure;
mod merged;
mod metrics;
mod newest;
mod options;
pub mod page;
mod query;
mod readonly;
mod report;
mod rollup;
mod row;
pub mod series;
mod sink;
pub mod wal;

#[doc(hidden)]
pub use block::fuzz_tombstones;
pub use db::Db;
pub use error::TsdbError;
pub use options::{Durability, Limits, Options, RetentionRule, RollUp};
pub use report::{MaintenanceReport, NamedCount, OpenProgress, OpenReport, Quarantined, Stats};
