//! This host: runs every collector and joins their pages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::metadata::MetricType;
use parking_lot::Mutex;
use stdx::{Clock, Dir, DiskDir};
use wire::exposition::Writer;

use crate::collectors::cpu::CpuState;
use crate::collectors::{ALL, Collector};
use crate::config::Config;
use crate::error::CollectError;
use crate::mounts::MountStats;
use crate::procfs;

/// A page of a common host; saves growing it.
const PAGE_BYTES: usize = 64 << 10;

/// This host, ready to be observed. Shared by all who ask.
#[derive(Debug)]
pub struct Host {
    config: Config,
    dir: Arc<dyn Dir>,
    clock: Arc<dyn Clock>,
    pub(crate) cpu: Mutex<CpuState>,
    pub(crate) mounts: MountStats,
    /// Collectors that failed last time: each failure is logged once, when it begins.
    failing: Mutex<BTreeSet<Collector>>,
}

impl Host {
    /// This host, by the kernel's files where `config` says they are.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Self {
        Self::with_dir(config, Arc::new(DiskDir::anywhere()), clock)
    }

    /// As [`Host::new`], with files from elsewhere; file systems are still asked for their size directly.
    #[must_use]
    pub fn with_dir(config: Config, dir: Arc<dyn Dir>, clock: Arc<dyn Clock>) -> Self {
        let mounts = MountStats::new(config.mount_timeout);
        Self { config, dir, clock, cpu: Mutex::default(), mounts, failing: Mutex::default() }
    }

    /// All metrics as a page of the text format 0.0.4. A collector that fails leaves its part out and says so in
    /// `node_scrape_collector_success`. Waits at most the mount timeout, once, for each mount that does not answer.
    #[must_use]
    pub fn collect(&self) -> String {
        let mut page = Writer::with_capacity(PAGE_BYTES);
        let mut outcomes: Vec<(&str, Duration, bool)> = Vec::with_capacity(ALL.len());
        for (collector, name, run) in ALL {
            if self.config.disabled.contains(collector) {
                continue;
            }
            let started = self.clock.monotonic();
            let mut part = Writer::new();
            let result = run(self, &mut part);
            if result.is_ok() {
                page.append(part.as_str());
            }
            outcomes.push((name, self.clock.monotonic().saturating_sub(started), result.is_ok()));
            self.log(*collector, name, result);
        }
        let name = "node_scrape_collector_duration_seconds";
        page.family(name, "node_exporter: Duration of a collector scrape.", MetricType::Gauge);
        for (collector, duration, _) in &outcomes {
            page.sample(&[("collector", collector)], duration.as_secs_f64());
        }
        let name = "node_scrape_collector_success";
        page.family(name, "node_exporter: Whether a collector succeeded.", MetricType::Gauge);
        for (collector, _, is_ok) in &outcomes {
            page.sample(&[("collector", collector)], f64::from(u8::from(*is_ok)));
        }
        page.finish()
    }

    fn log(&self, collector: Collector, name: &str, result: Result<(), CollectError>) {
        let mut failing = self.failing.lock();
        match result {
            Ok(()) => {
                if failing.remove(&collector) {
                    tracing::info!(collector = name, "collector works again");
                }
            }
            Err(CollectError::NoData(reason)) => {
                if failing.insert(collector) {
                    tracing::debug!(collector = name, reason, "collector has no data on this host");
                }
            }
            Err(err) => {
                if failing.insert(collector) {
                    let error = &err as &dyn std::error::Error;
                    tracing::warn!(collector = name, error, "collector failed");
                }
            }
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// A file or directory of the proc file system.
    pub(crate) fn proc(&self, name: &str) -> PathBuf {
        self.config.procfs.join(name)
    }

    /// A file or directory of the sys file system.
    pub(crate) fn sys(&self, name: &str) -> PathBuf {
        self.config.sysfs.join(name)
    }

    /// The text of a file; bytes that are no UTF-8 are replaced.
    pub(crate) fn read(&self, path: &Path) -> Result<String, CollectError> {
        let bytes =
            self.dir.read(path).map_err(|source| CollectError::Read { path: path.to_owned(), source })?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned()))
    }

    /// The text of a file that not every kernel has, without blanks around.
    pub(crate) fn read_optional(&self, path: &Path) -> Option<String> {
        self.read(path).ok().map(|text| text.trim().to_owned())
    }

    /// A file that holds one number; `None` when it is not there or holds none.
    pub(crate) fn number(&self, path: &Path) -> Option<f64> {
        self.read_optional(path).and_then(|text| text.parse().ok())
    }

    /// A file of the proc file system, parsed.
    pub(crate) fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> procfs::Result<T>,
    ) -> Result<T, CollectError> {
        let path = self.proc(name);
        let text = self.read(&path)?;
        parse(&text).map_err(|err| CollectError::Parse { path, line: err.line, what: err.what })
    }

    /// As [`Host::parse`], for a file that not every kernel has.
    pub(crate) fn parse_optional<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> procfs::Result<T>,
    ) -> Result<Option<T>, CollectError> {
        if self.dir.exists(&self.proc(name)) { self.parse(name, parse).map(Some) } else { Ok(None) }
    }

    /// The names in a directory that begin with `prefix`; none when it is not there.
    pub(crate) fn names(&self, path: &Path, prefix: &str) -> Vec<String> {
        let entries = self.dir.list(path).unwrap_or_default();
        entries.into_iter().map(|entry| entry.name).filter(|name| name.starts_with(prefix)).collect()
    }
}
