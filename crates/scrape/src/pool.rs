//! The targets of one job: which there should be ([`plan`], pure), which there are, and what each of them last said.
//!
//! In from discovery, through [`crate::driver`]; out to the driver's loops and to [`crate::view`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use discovery::{Groups, SdHealth, TargetGroup};
use model::Labels;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::exposition::diff::Blocks;

use crate::config::ScrapeConfig;
use crate::ingest::ScrapeCache;
use crate::ingest::{IngestOptions, ReportSeries};
use crate::local::{NativesFn, PageFn};
use crate::metrics::ToldMetadata;
use crate::settings::Settings;
use crate::target::{Built, Target, build};

/// How the last scrape went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// Well.
    Up,
    /// Not well.
    Down,
}

impl Health {
    /// As in Prometheus' JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Which targets there should be.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By identity, so that two that are the same are one.
    pub(crate) active: BTreeMap<u64, Target>,
    /// At most as many as `keep_dropped_targets` allows.
    pub(crate) dropped: Vec<Labels>,
    pub(crate) n_dropped: usize,
    /// Before relabelling, those that are the same included.
    pub(crate) n_discovered: usize,
    /// With the reason.
    pub(crate) failed: Vec<(Labels, String)>,
    /// Why none of them may be scraped.
    pub(crate) over_limit: Option<String>,
}

/// Applies relabelling and limits to everything discovery found.
pub(crate) fn plan<'a>(config: &ScrapeConfig, groups: impl IntoIterator<Item = &'a TargetGroup>) -> Plan {
    let mut plan = Plan::default();
    let kept_max = match config.dropped_targets_max {
        0 => usize::MAX,
        max => usize::try_from(max).unwrap_or(usize::MAX),
    };
    for group in groups {
        for own in &group.targets {
            plan.n_discovered += 1;
            match build(config, group, own) {
                Built::Active(target) => {
                    plan.active.insert(target.hash, *target);
                }
                Built::Dropped { discovered } => {
                    plan.n_dropped += 1;
                    if plan.dropped.len() < kept_max {
                        plan.dropped.push(discovered);
                    }
                }
                Built::Failed { discovered, reason } => plan.failed.push((discovered, reason)),
            }
        }
    }
    let n_active = plan.active.len() as u64;
    if config.targets_max > 0 && n_active > config.targets_max {
        plan.over_limit = Some(format!(
            "target_limit exceeded (number of targets: {n_active}, limit: {})",
            config.targets_max
        ));
    }
    plan
}

/// Where pages come from.
#[derive(Clone)]
pub(crate) enum Source {
    Http,
    Local(PageFn, Option<NativesFn>),
}

/// What a target last said, for the page of targets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) health: Health,
    pub(crate) last_error: String,
    pub(crate) last_scrape_ms: Option<i64>,
    pub(crate) last_duration_secs: f64,
    /// Whether the last scrape left samples out, so that a target that always does is logged once.
    pub(crate) left_out: bool,
}

/// What a scrape works with; locked while a page is read.
pub(crate) struct Work {
    pub(crate) cache: ScrapeCache,
    /// As of the last scrape.
    pub(crate) settings: Arc<Settings>,
    pub(crate) told: ToldMetadata,
}

impl Work {
    /// Takes over changed settings; what was alive stays known.
    pub(crate) fn adopt(&mut self, settings: &Arc<Settings>, target: &Target) {
        if Arc::ptr_eq(&self.settings, settings) {
            return;
        }
        let (old, new) = (&self.settings.config, &settings.config);
        if old.metric_relabel_configs != new.metric_relabel_configs
            || old.honor_labels != new.honor_labels
            || old.name_validation != new.name_validation
            || old.limits != new.limits
            || old.has_extra_metrics() != new.has_extra_metrics()
        {
            self.cache.forget_series(&IngestOptions::new(old, &target.labels));
            self.cache.set_report(ReportSeries::new(&target.labels, new.has_extra_metrics()));
        }
        self.settings = Arc::clone(settings);
    }
}

/// One target that is being scraped.
pub(crate) struct TargetState {
    /// Replaced when its interval or timeout changes; its identity never does.
    pub(crate) target: Mutex<Arc<Target>>,
    pub(crate) source: Source,
    pub(crate) work: Mutex<Work>,
    pub(crate) status: Mutex<Status>,
    /// Cancelled when the target is gone.
    pub(crate) gone: CancellationToken,
    /// Told when `target` was replaced.
    pub(crate) changed: Notify,
}

impl TargetState {
    pub(crate) fn new(
        target: Target,
        source: Source,
        settings: Arc<Settings>,
        (blocks, told): (&Arc<Blocks>, ToldMetadata),
        gone: CancellationToken,
    ) -> Self {
        let report = ReportSeries::new(&target.labels, settings.config.has_extra_metrics());
        Self {
            target: Mutex::new(Arc::new(target)),
            source,
            work: Mutex::new(Work { cache: ScrapeCache::new(Arc::clone(blocks), report), settings, told }),
            status: Mutex::default(),
            gone,
            changed: Notify::new(),
        }
    }
}

/// One job.
pub(crate) struct Pool {
    pub(crate) job: String,
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) state: Mutex<PoolState>,
    /// Cancelled when the job is gone; its targets' tokens are children.
    pub(crate) gone: CancellationToken,
}

/// What discovery has led to.
#[derive(Default)]
pub(crate) struct PoolState {
    /// What each source of discovery last said; `None` until it has.
    groups: Vec<Option<Groups>>,
    /// What the sources before a reload last said; counts until all of the new ones have spoken.
    previous: Vec<Groups>,
    pub(crate) targets: BTreeMap<u64, Arc<TargetState>>,
    pub(crate) dropped: Vec<Labels>,
    pub(crate) n_dropped: usize,
    pub(crate) over_limit: Option<Arc<str>>,
    /// How each of the sources does.
    pub(crate) health: Vec<SdHealth>,
    /// Cancelled when a newer discovery takes over.
    discovery: CancellationToken,
}

impl Pool {
    pub(crate) fn new(job: &str, settings: Arc<Settings>, gone: CancellationToken) -> Self {
        Self { job: job.to_owned(), settings: ArcSwap::new(settings), state: Mutex::default(), gone }
    }

    /// A new discovery with a source for each of `health` takes over; what it returns is cancelled when it is over.
    pub(crate) fn begin_discovery(&self, health: Vec<SdHealth>) -> CancellationToken {
        let mut state = self.state.lock();
        state.discovery.cancel();
        state.discovery = self.gone.child_token();
        let known = std::mem::replace(&mut state.groups, vec![None; health.len()]);
        state.health = health;
        state.previous.extend(known.into_iter().flatten());
        state.discovery.clone()
    }

    /// Keeps what sources found, unless `discovery` is over.
    pub(crate) fn take_groups(&self, discovery: &CancellationToken, answers: Vec<Option<Groups>>) {
        let mut state = self.state.lock();
        if discovery.is_cancelled() {
            return;
        }
        for (known, answer) in state.groups.iter_mut().zip(answers) {
            if answer.is_some() {
                *known = answer;
            }
        }
        if state.groups.iter().all(Option::is_some) {
            state.previous.clear();
        }
    }

    /// Brings the targets in line with what discovery said last. Returns the new ones, whose loops the caller starts,
    /// and how many were found before relabelling.
    pub(crate) fn sync(
        &self,
        metrics: &crate::metrics::ScrapeMetrics,
        blocks: &Arc<Blocks>,
    ) -> (Vec<Arc<TargetState>>, usize) {
        let settings = self.settings.load_full();
        let mut state = self.state.lock();
        // Those of before a reload first: of two that are the same, the newer labels stay.
        let groups = state.previous.iter().chain(state.groups.iter().flatten());
        let mut plan = plan(&settings.config, groups.flat_map(|groups| groups.iter()));
        for (discovered, reason) in &plan.failed {
            metrics.pools.sync_failed.with(&[&self.job]).inc();
            tracing::warn!(scrape_pool = self.job, discovered_labels = %discovered, error = reason, "labels do not make a target");
        }
        if plan.over_limit.is_some() {
            metrics.target_limit.inc();
        }
        state.over_limit = plan.over_limit.map(Arc::from);
        state.dropped = plan.dropped;
        state.n_dropped = plan.n_dropped;
        state.targets.retain(|hash, known| {
            let is_wanted = plan.active.contains_key(hash);
            if !is_wanted {
                known.gone.cancel();
            }
            is_wanted
        });
        let mut started = Vec::new();
        while let Some((hash, target)) = plan.active.pop_first() {
            if let Some(known) = state.targets.get(&hash) {
                let mut current = known.target.lock();
                if **current != target {
                    *current = Arc::new(target);
                    known.changed.notify_one();
                }
                continue;
            }
            let gone = self.gone.child_token();
            let told = metrics.pools.told(&self.job);
            let fresh = TargetState::new(target, Source::Http, Arc::clone(&settings), (blocks, told), gone);
            let fresh = Arc::new(fresh);
            state.targets.insert(hash, Arc::clone(&fresh));
            started.push(fresh);
        }
        metrics.pools.targets.with(&[&self.job]).set(state.targets.len() as f64);
        (started, plan.n_discovered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(addresses: &[&str]) -> Vec<TargetGroup> {
        vec![TargetGroup::of_addresses(addresses)]
    }

    #[test]
    fn same_targets_are_one_and_limits_hold() {
        let config = crate::config::tests::job(
            "job_name: a\ntarget_limit: 2\nkeep_dropped_targets: 1\nrelabel_configs:\n- {source_labels: [__address__], regex: 'drop.*', action: drop}",
        );
        let two = plan(&config, &groups(&["a:1", "a:1", "b:1", "drop1:1", "drop2:1"]));
        assert_eq!((two.active.len(), two.dropped.len(), two.n_dropped, two.over_limit), (2, 1, 2, None));
        let three = plan(&config, &groups(&["a:1", "b:1", "c:1"]));
        assert_eq!(three.over_limit.unwrap(), "target_limit exceeded (number of targets: 3, limit: 2)");
    }
}
