//! The store as callers see it. First cut: in memory, so that others can link; the engine follows at once.

use std::sync::Arc;

use model::{Matcher, TimeRange};
use stdx::Dir;
use storage::{Appendable, Appender, MemStore, QueryError, Queryable, SelectHints, SeriesSet};

use crate::error::TsdbError;
use crate::options::Options;
use crate::report::{MaintenanceReport, OpenReport, Stats};

/// A store of samples in one directory.
#[derive(Debug)]
pub struct Db {
    memory: MemStore,
}

impl Db {
    /// Opens the store in `dir`, creating it when it is not there.
    ///
    /// # Errors
    /// When the directory is in use or files cannot be read. Damage is no error: it is set aside and reported.
    pub fn open(_dir: Arc<dyn Dir>, _options: Options, _now_ms: i64) -> Result<(Self, OpenReport), TsdbError> {
        Ok((Self { memory: MemStore::new() }, OpenReport::default()))
    }

    /// Makes all acknowledged batches survive power loss.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), TsdbError> {
        Ok(())
    }

    /// Cuts blocks, compacts, enforces retention, shortens the WAL: whatever is due at `now_ms`.
    ///
    /// # Errors
    /// When the disk refuses; nothing is lost then, and the next call tries again.
    pub fn maintain(&self, _now_ms: i64) -> Result<MaintenanceReport, TsdbError> {
        Ok(MaintenanceReport::default())
    }

    /// Syncs and refuses further commits. Dropping the store lets go of the directory.
    ///
    /// # Errors
    /// As [`Db::sync`].
    pub fn close(&self) -> Result<(), TsdbError> {
        Ok(())
    }

    /// Sizes of the head; lists hold the `limit` largest entries.
    #[must_use]
    pub fn stats(&self, _limit: usize) -> Stats {
        Stats::default()
    }
}

impl Appendable for Db {
    fn appender(&self, now_ms: i64) -> Box<dyn Appender + '_> {
        self.memory.appender(now_ms)
    }
}

impl Queryable for Db {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        self.memory.select(matchers, range, hints)
    }

    fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>, QueryError> {
        self.memory.label_names(matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, QueryError> {
        self.memory.label_values(name, matchers, range)
    }
}
