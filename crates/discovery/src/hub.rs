//! Who watches what: one task for each configuration that somebody wants, shared by all who want the same.
//!
//! In from `scrape` and the notifier, at every reload; out as [`Subscription`]s. A configuration that stays over a reload
//! keeps its task, since the new subscription is taken before the old one is dropped; the last one dropped ends the task.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use stdx::clock::Clock;
use stdx::dir::Dir;
use stdx::metrics::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::driver::{Context, Owner};
use crate::group::Groups;
use crate::health::SdHealth;
use crate::kinds::SdConfig;
use crate::metrics::SdMetrics;

/// What a hub needs.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Reads files of targets; [`stdx::dir::DiskDir::anywhere`] outside of tests.
    pub dir: Arc<dyn Dir>,
    /// Where our own metrics go.
    pub registry: Registry,
}

/// Starts and shares watchers. Must be used within a tokio runtime.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    metrics: Arc<SdMetrics>,
    runtime: Handle,
    running: Mutex<Vec<Weak<Running>>>,
}

/// One watcher.
#[derive(Debug)]
struct Running {
    config: SdConfig,
    groups: watch::Receiver<Option<Groups>>,
    gone: CancellationToken,
    owner: Owner,
    metrics: Arc<SdMetrics>,
    has_failed: bool,
    health: SdHealth,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gone.cancel();
        if self.has_failed {
            self.metrics.failed_configs.with(&[self.owner.name]).add(-1.0);
        }
        let labels = [self.config.name(), self.owner.config.as_str()];
        self.metrics.refresh_failures.remove(&labels);
        self.metrics.refresh_duration.remove(&labels);
    }
}

/// Receives the targets of one configuration, for as long as it is kept.
#[derive(Debug)]
pub struct Subscription {
    running: Arc<Running>,
    groups: watch::Receiver<Option<Groups>>,
    is_first: bool,
}

impl Subscription {
    /// All targets, when they have changed since the last call; what is known already counts as a change at first.
    pub fn take(&mut self) -> Option<Groups> {
        let has_changed = self.groups.has_changed().unwrap_or(false);
        if !std::mem::take(&mut self.is_first) && !has_changed {
            return None;
        }
        self.groups.borrow_and_update().clone()
    }

    /// Waits until there is something to [take](Self::take); for ever when nothing changes any more.
    pub async fn changed(&mut self) {
        if self.groups.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        // What was waited for is to be taken.
        self.groups.mark_changed();
    }

    /// The kind: `static`, `http` and so on.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        self.running.config.name()
    }

    /// Whether its targets can be found. What is returned does not keep the watcher running.
    #[must_use]
    pub fn health(&self) -> SdHealth {
        self.running.health.clone()
    }
}

impl Hub {
    /// A hub without watchers.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new(options: HubOptions) -> Self {
        let metrics = Arc::new(SdMetrics::new(&options.registry));
        Self { options, metrics, runtime: Handle::current(), running: Mutex::default() }
    }

    /// Watches `config` for `owner`: the watcher that runs already when there is an equal configuration, and else a new
    /// one. One that cannot be started is counted and logged, and finds nothing.
    #[must_use]
    pub fn subscribe(&self, config: &SdConfig, owner: &Owner) -> Subscription {
        let mut running = self.running.lock();
        running.retain(|known| known.strong_count() > 0);
        let known = running.iter().filter_map(Weak::upgrade).find(|known| known.config == *config);
        let shared = known.unwrap_or_else(|| {
            let fresh = Arc::new(self.start(config, owner));
            running.push(Arc::downgrade(&fresh));
            fresh
        });
        let groups = shared.groups.clone();
        Subscription { running: shared, groups, is_first: true }
    }

    /// Says how many targets all subscriptions of an owner found.
    pub fn note_targets(&self, owner: &Owner, n_targets: usize) {
        self.metrics.discovered_targets.with(&[owner.name, &owner.config]).set(n_targets as f64);
    }

    /// Forgets what was said of an owner that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.metrics.discovered_targets.remove(&[owner.name, &owner.config]);
    }

    fn start(&self, config: &SdConfig, owner: &Owner) -> Running {
        let (sender, groups) = watch::channel(None);
        let context = Context {
            mechanism: config.name(),
            owner: owner.clone(),
            clock: Arc::clone(&self.options.clock),
            dir: Arc::clone(&self.options.dir),
            metrics: Arc::clone(&self.metrics),
            sender,
            health: SdHealth::new(config.name()),
        };
        let health = context.health.clone();
        let gone = CancellationToken::new();
        self.metrics.failed_configs.with(&[owner.name]);
        let started = config.start(context.clone());
        let has_failed = started.is_err();
        match started {
            Ok(task) => {
                let gone = gone.clone();
                self.runtime.spawn(async move { gone.run_until_cancelled(task).await });
            }
            Err(error) => {
                self.metrics.failed_configs.with(&[owner.name]).add(1.0);
                tracing::error!(
                    mechanism = config.name(),
                    config = owner.config,
                    error = %error,
                    "cannot start service discovery"
                );
                context.publish(Vec::new());
                context.health.failed(&error, self.options.clock.now_ms());
            }
        }
        let (config, owner, metrics) = (config.clone(), owner.clone(), Arc::clone(&self.metrics));
        Running { config, groups, gone, owner, metrics, has_failed, health }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::TargetGroup;
    use stdx::clock::SystemClock;
    use stdx::dir::MemDir;

    /// A hub with what tests look at.
    pub(crate) struct Bench {
        pub(crate) hub: Hub,
        pub(crate) registry: Registry,
    }

    impl Bench {
        pub(crate) fn new() -> Self {
            let registry = Registry::new();
            let hub = Hub::new(HubOptions {
                clock: Arc::new(SystemClock::new()),
                dir: Arc::new(MemDir::new()),
                registry: registry.clone(),
            });
            Self { hub, registry }
        }

        pub(crate) fn subscribe(&self, config: &SdConfig) -> Subscription {
            self.hub.subscribe(config, &Owner { name: "scrape", config: "job".to_owned() })
        }

        /// Waits until `is_so`, which another task brings about.
        pub(crate) async fn until(&self, is_so: impl Fn() -> bool) {
            let wait = async {
                while !is_so() {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("it comes about");
        }
    }

    /// The value of the line that begins with `name`; 0 when there is none.
    pub(crate) fn metric(registry: &Registry, name: &str) -> f64 {
        let text = registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    #[tokio::test]
    async fn equal_configurations_share_a_watcher_that_ends_with_the_last() {
        let bench = Bench::new();
        let config = SdConfig::Static(vec![TargetGroup::of_addresses(["a:1"])]);
        let mut one = bench.subscribe(&config);
        let mut two = bench.subscribe(&config);
        assert!(Arc::ptr_eq(&one.running, &two.running));
        for sub in [&mut one, &mut two] {
            assert_eq!(sub.take().unwrap()[0].addresses().collect::<Vec<_>>(), ["a:1"]);
            assert_eq!(sub.take(), None);
        }
        let gone = one.running.gone.clone();
        drop(one);
        assert!(!gone.is_cancelled());
        drop(two);
        assert!(gone.is_cancelled());
    }
}
