//! What the API shows of targets.
//!
//! In from the pools; out to `api`. Values only: nothing here can change what is scraped.

use std::collections::BTreeMap;
use std::sync::Arc;

use discovery::SdHealth;
use model::relabel::RelabelConfig;
use model::{Duration, Labels, Metadata};

use crate::pool::{Health, Pool, TargetState};
use crate::shared::Shared;

/// A target that is scraped.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveTarget {
    /// Before relabelling.
    pub discovered_labels: Labels,
    /// Of its series.
    pub labels: Labels,
    /// The job.
    pub scrape_pool: String,
    /// Where, as configured.
    pub scrape_url: String,
    /// Where, as seen from outside: this machine's name in place of `localhost`.
    pub global_url: String,
    /// Empty when the last scrape went well.
    pub last_error: String,
    /// Unix milliseconds; `None` before the first.
    pub last_scrape_ms: Option<i64>,
    /// Of the last scrape.
    pub last_scrape_duration_secs: f64,
    /// How the last scrape went.
    pub health: Health,
    /// Between scrapes.
    pub scrape_interval: Duration,
    /// Of one scrape.
    pub scrape_timeout: Duration,
}

/// A target that relabelling dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct DroppedTarget {
    /// Before relabelling.
    pub discovered_labels: Labels,
    /// The job.
    pub scrape_pool: String,
}

/// What one target says of one metric family.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetMetadata {
    /// The target's labels.
    pub target: Labels,
    /// The family.
    pub metric: String,
    /// Type, help, unit.
    pub metadata: Metadata,
}

/// Reads the state of all targets. Cheap to clone.
#[derive(Clone)]
pub struct View {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("scrape_pools", &self.scrape_pools()).finish()
    }
}

impl View {
    /// Names of all jobs, sorted.
    #[must_use]
    pub fn scrape_pools(&self) -> Vec<String> {
        let mut names: Vec<String> = self.shared.all_pools().iter().map(|pool| pool.job.clone()).collect();
        names.dedup();
        names
    }

    /// The relabel rules of a job's targets; `None` when there is no such job.
    #[must_use]
    pub fn relabel_configs(&self, scrape_pool: &str) -> Option<Vec<RelabelConfig>> {
        let pool = self.pools(Some(scrape_pool)).pop()?;
        Some(pool.settings.load().config.relabel_configs.clone())
    }

    /// Targets being scraped, by job, then by URL; of one job when `scrape_pool` is given.
    #[must_use]
    pub fn active_targets(&self, scrape_pool: Option<&str>) -> Vec<ActiveTarget> {
        let mut all = Vec::new();
        for (pool, target) in self.targets(scrape_pool) {
            all.push(self.active(&pool, &target));
        }
        all.sort_by(|a, b| {
            (&a.scrape_pool, &a.scrape_url, &a.labels).cmp(&(&b.scrape_pool, &b.scrape_url, &b.labels))
        });
        all
    }

    /// Targets that relabelling dropped, as many as `keep_dropped_targets` allows.
    #[must_use]
    pub fn dropped_targets(&self, scrape_pool: Option<&str>) -> Vec<DroppedTarget> {
        let mut all = Vec::new();
        for pool in self.pools(scrape_pool) {
            let dropped = pool.state.lock().dropped.clone();
            all.extend(
                dropped
                    .into_iter()
                    .map(|labels| DroppedTarget { discovered_labels: labels, scrape_pool: pool.job.clone() }),
            );
        }
        all
    }

    /// Of each job how its sources of targets do, in the order of the configuration.
    #[must_use]
    pub fn discovery(&self) -> Vec<(String, Vec<SdHealth>)> {
        let health = |pool: Arc<Pool>| (pool.job.clone(), pool.state.lock().health.clone());
        self.shared.all_pools().into_iter().map(health).collect()
    }

    /// How many targets of each job relabelling dropped, those not remembered included.
    #[must_use]
    pub fn dropped_target_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for pool in self.shared.all_pools() {
            *counts.entry(pool.job.clone()).or_insert(0) += pool.state.lock().n_dropped;
        }
        counts
    }

    /// What all targets say of their metrics. May wait for scrapes that are being read just now: milliseconds.
    #[must_use]
    pub fn metadata(&self) -> Vec<TargetMetadata> {
        let mut all = Vec::new();
        for (_, state) in self.targets(None) {
            let labels = state.target.lock().labels.clone();
            let metadata = state.work.lock().cache.metadata();
            all.extend(metadata.into_iter().map(|(metric, metadata)| TargetMetadata {
                target: labels.clone(),
                metric,
                metadata,
            }));
        }
        all
    }

    fn pools(&self, scrape_pool: Option<&str>) -> Vec<Arc<Pool>> {
        let mut pools = self.shared.all_pools();
        pools.retain(|pool| scrape_pool.is_none_or(|wanted| wanted == pool.job));
        pools
    }

    fn targets(&self, scrape_pool: Option<&str>) -> Vec<(Arc<Pool>, Arc<TargetState>)> {
        let mut all = Vec::new();
        for pool in self.pools(scrape_pool) {
            let targets: Vec<_> = pool.state.lock().targets.values().cloned().collect();
            all.extend(targets.into_iter().map(|target| (Arc::clone(&pool), target)));
        }
        all
    }

    fn active(&self, pool: &Pool, state: &TargetState) -> ActiveTarget {
        let target = Arc::clone(&state.target.lock());
        let status = state.status.lock().clone();
        ActiveTarget {
            discovered_labels: target.discovered.clone(),
            labels: target.labels.clone(),
            scrape_pool: pool.job.clone(),
            scrape_url: target.shown_url.clone(),
            global_url: global_url(&target.shown_url, &self.shared.options.host_name),
            last_error: status.last_error,
            last_scrape_ms: status.last_scrape_ms,
            last_scrape_duration_secs: status.last_duration_secs,
            health: status.health,
            scrape_interval: target.interval,
            scrape_timeout: target.timeout,
        }
    }
}

/// `http://localhost:9100/metrics` → `http://myhost:9100/metrics`.
fn global_url(url: &str, host_name: &str) -> String {
    for local in ["localhost", "127.0.0.1", "[::1]"] {
        if let Some((scheme, rest)) = url.split_once("://")
            && let Some(rest) = rest.strip_prefix(local)
            && (rest.is_empty() || rest.starts_with([':', '/', '?']))
        {
            return format!("{scheme}://{host_name}{rest}");
        }
    }
    url.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_are_replaced_for_others() {
        for (url, expected) in [
            ("http://localhost:9100/metrics", "http://me:9100/metrics"),
            ("https://[::1]/metrics", "https://me/metrics"),
            ("http://localhost.example:1/", "http://localhost.example:1/"),
            ("http://10.0.0.1:1/", "http://10.0.0.1:1/"),
        ] {
            assert_eq!(global_url(url, "me"), expected);
        }
    }
}
