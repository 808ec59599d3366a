//! What all loops of a manager share.
//!
//! Made by [`crate::driver`]; read by its loops and by [`crate::view`].

use std::collections::BTreeMap;
use std::sync::Arc;

use net::Buffers;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::exposition::diff::Blocks;

use crate::failures::FailureLogs;
use crate::lanes::Lanes;
use crate::metrics::ScrapeMetrics;
use crate::options::ManagerOptions;
use crate::pool::{Pool, TargetState};
use crate::record::Tools;

/// Of one manager.
pub(crate) struct Shared {
    pub(crate) options: ManagerOptions,
    pub(crate) metrics: Arc<ScrapeMetrics>,
    pub(crate) pools: RwLock<BTreeMap<String, Arc<Pool>>>,
    pub(crate) locals: RwLock<Vec<Arc<Pool>>>,
    /// Of the host's name and the external labels, so that two servers of a pair scrape at different moments.
    pub(crate) seed: RwLock<u64>,
    pub(crate) ingests: Arc<Semaphore>,
    /// Memory for bodies.
    pub(crate) buffers: Arc<Buffers>,
    /// What pages of all targets have in common.
    pub(crate) blocks: Arc<Blocks>,
    /// One for each page that is being read.
    pub(crate) tools: Mutex<Vec<Tools>>,
    pub(crate) failure_logs: FailureLogs,
    pub(crate) lanes: Lanes,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl Shared {
    /// All jobs, local ones too, by name.
    pub(crate) fn all_pools(&self) -> Vec<Arc<Pool>> {
        let mut all: Vec<_> =
            self.pools.read().values().cloned().chain(self.locals.read().iter().cloned()).collect();
        all.sort_by(|a, b| a.job.cmp(&b.job));
        all
    }

    /// Whether another target writes the same series now, for instance one that was added anew with another interval:
    /// markers for the old one would then be a gap in the new one's.
    pub(crate) fn has_successor(&self, gone: &TargetState) -> bool {
        let labels = gone.target.lock().labels.clone();
        let is_same =
            |state: &Arc<TargetState>| !state.gone.is_cancelled() && state.target.lock().labels == labels;
        self.all_pools().iter().any(|pool| pool.state.lock().targets.values().any(is_same))
    }
}
