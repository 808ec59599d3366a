//! What we watch by ourselves: this host, and this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::Host;
use model::{Duration, Labels};
use parking_lot::Mutex;
use scrape::LocalTarget;
use scrape::local::{NativesFn, PageFn};
use stdx::Clock;
use stdx::metrics::Registry;

use crate::config::Config;

/// Names of the jobs.
const HOST_JOB: &str = "host";
const SELF_JOB: &str = "hinomi";
const PUSH_JOB: &str = "pushgateway";

/// The local targets: which of them are scraped, and how often.
pub(super) struct OwnTargets {
    host: Arc<Host>,
    page: PageFn,
    pushed: Option<(PageFn, NativesFn)>,
    host_name: String,
    self_instance: String,
    running: Mutex<BTreeMap<&'static str, Duration>>,
}

impl OwnTargets {
    /// `pushed` is the page of pushed groups, where those are taken.
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        page: PageFn,
        pushed: Option<(PageFn, NativesFn)>,
        host_name: String,
        port: u16,
    ) -> Self {
        let host = Arc::new(Host::new(agent::Config::default(), clock));
        let self_instance = format!("{host_name}:{port}");
        Self { host, page, pushed, host_name, self_instance, running: Mutex::default() }
    }

    /// Scrapes what `config` switches on, as often as it says, and nothing else.
    pub(super) fn apply(&self, config: &Config, scraping: &scrape::Manager) {
        let interval = config.global.scrape_interval;
        let mut running = self.running.lock();
        let wanted = [
            (HOST_JOB, config.own.host_metrics),
            (SELF_JOB, config.own.self_metrics),
            (PUSH_JOB, self.pushed.is_some()),
        ];
        for (job, is_wanted) in wanted {
            if running.get(job).copied() == is_wanted.then_some(interval) {
                continue;
            }
            if running.remove(job).is_some() {
                scraping.remove_local(job);
            }
            if is_wanted {
                scraping.add_local(self.target(job, interval));
                running.insert(job, interval);
            }
        }
    }

    fn target(&self, job: &'static str, interval: Duration) -> LocalTarget {
        let host = self.host.clone();
        let (instance, source): (_, PageFn) = match job {
            HOST_JOB => (&self.host_name, Arc::new(move || host.collect())),
            PUSH_JOB => {
                let pushed = self.pushed.as_ref().map(|(page, _)| page.clone());
                (&self.self_instance, pushed.unwrap_or_else(|| self.page.clone()))
            }
            _ => (&self.self_instance, self.page.clone()),
        };
        LocalTarget {
            job: job.to_owned(),
            labels: Labels::from_pairs([("instance", instance)]),
            interval,
            honor_labels: job == PUSH_JOB,
            source,
            natives: self.pushed.as_ref().filter(|_| job == PUSH_JOB).map(|(_, natives)| natives.clone()),
            shown_url: format!("local:///{job}"),
        }
    }
}

/// The page of our own metrics: what every part has declared, and what the kernel says of this process.
///
/// `name` is the metric by which dashboards of that program tell versions apart.
pub(crate) fn metrics_page(registry: &Registry, name: &'static str) -> PageFn {
    declare_build(registry, name);
    let registry = registry.clone();
    Arc::new(move || registry.render() + &agent::process::collect())
}

/// Declares `name`, as `prometheus_build_info`, and our own.
fn declare_build(registry: &Registry, name: &'static str) {
    let labels: &'static [&'static str] = &["branch", "goarch", "goos", "goversion", "revision", "version"];
    let values = [
        crate::build::BRANCH,
        std::env::consts::ARCH,
        std::env::consts::OS,
        crate::build::COMPILER,
        crate::build::REVISION,
        crate::build::VERSION,
    ];
    for name in [name, "hinomi_build_info"] {
        registry.gauges(name, "Which version this is; always 1.", labels).with(&values).set(1.0);
    }
}
