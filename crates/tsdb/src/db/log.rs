//! The two logs as one: definitions are written before the rows that need them.

use std::sync::Arc;

use crate::error::TsdbError;
use crate::wal::{SyncHandle, WalWriter};

/// The logs' writing ends. Its lock is the commit lock.
#[derive(Debug)]
pub(crate) struct LogPair {
    pub(crate) series: WalWriter,
    pub(crate) rows: WalWriter,
    /// Number of seals so far in this run: pages of an older one are to be sealed.
    pub(crate) epoch: u32,
}

/// What to sync, in this order.
pub(crate) struct SyncHandles {
    pub(crate) series: SyncHandle,
    pub(crate) rows: SyncHandle,
}

impl LogPair {
    /// Writes a batch; durable before the return when `strict`. Returns its bytes.
    ///
    /// # Errors
    /// When it could not be written; then nothing of it is ever replayed.
    pub(crate) fn write(
        &mut self,
        definitions: &[Vec<u8>],
        records: &[Vec<u8>],
        strict: bool,
    ) -> Result<u64, TsdbError> {
        let mark = self.series.mark();
        let mut n_bytes = 0;
        if !definitions.is_empty() {
            n_bytes += self.series.append(definitions, strict)?;
        }
        if !records.is_empty() {
            let written = self.rows.append(records, strict);
            n_bytes += written.inspect_err(|_| {
                if !definitions.is_empty() {
                    self.series.rollback(mark);
                }
            })?;
        }
        Ok(n_bytes)
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.series.total_bytes() + self.rows.total_bytes()
    }

    /// `None` when only a seal of everything makes what was written durable.
    pub(crate) fn sync_handles(&self) -> Option<SyncHandles> {
        Some(SyncHandles { series: Arc::clone(&self.series.sync_handle()?), rows: self.rows.sync_handle()? })
    }
}
