//! Targets named in files (`file_sd_configs`), JSON or YAML, that other programs write.
//!
//! The files are looked at every few seconds and read anew when their bytes have changed. A file that cannot be read or
//! understood keeps its last good content, is counted and logged; a file that is gone takes its targets with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Duration;
use stdx::dir::Dir;

use super::{Discovery, TargetGroup};
use crate::glob;
use crate::metrics::ScrapeMetrics;

/// Longest pause between looks. Prometheus uses inotify and passes changes on after 5 s; ours come within 5 s too.
const LOOK_PAUSE_MS_MAX: i64 = 5_000;
/// Longest accepted file, in bytes. Chosen: a hundred thousand targets with labels.
const FILE_BYTES_MAX: usize = 64 << 20;

/// One element of `file_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSdConfig {
    /// Paths; the last element may have wildcards.
    pub files: Vec<String>,
    /// Longest time until a change is seen.
    pub refresh_interval: Duration,
}

impl FileSdConfig {
    /// Whether `pattern` ends in a known extension and has a star in its last element at most.
    #[must_use]
    pub fn is_valid_pattern(pattern: &str) -> bool {
        let has_extension = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];
        let star_is_last = pattern.find('*').is_none_or(|star| !pattern[star..].contains('/'));
        has_extension.iter().any(|extension| pattern.ends_with(extension)) && star_is_last
    }
}

/// Watches the files of one element of `file_sd_configs`.
#[derive(Debug)]
pub struct FileDiscovery {
    config: FileSdConfig,
    dir: Arc<dyn Dir>,
    metrics: Arc<ScrapeMetrics>,
    files: BTreeMap<PathBuf, Known>,
    is_first: bool,
}

/// What a file held when last looked at.
#[derive(Debug, Default)]
struct Known {
    bytes: Vec<u8>,
    /// Of the last content that could be read.
    groups: Vec<TargetGroup>,
}

impl FileDiscovery {
    /// Watches the files that `config` names, through `dir`.
    #[must_use]
    pub fn new(config: FileSdConfig, dir: Arc<dyn Dir>, metrics: Arc<ScrapeMetrics>) -> Self {
        Self { config, dir, metrics, files: BTreeMap::new(), is_first: true }
    }

    /// Looks at one file; whether its targets changed.
    fn look(&mut self, path: &Path) -> bool {
        let known = self.files.entry(path.to_owned()).or_default();
        let is_new = known.bytes.is_empty();
        let fail = |reason: String| {
            self.metrics.file_sd_read_errors.inc();
            tracing::warn!(file = %path.display(), error = reason, "cannot read a file of targets; keeping the last good content");
        };
        let bytes = match self.dir.read(path) {
            Ok(bytes) => bytes,
            Err(err) => {
                fail(err.to_string());
                return false;
            }
        };
        if !is_new && bytes == known.bytes {
            return false;
        }
        let parsed = parse(path, &bytes);
        known.bytes = bytes;
        match parsed {
            Ok(groups) if groups == known.groups => false,
            Ok(groups) => {
                known.groups = groups;
                true
            }
            Err(reason) => {
                fail(reason);
                false
            }
        }
    }
}

impl Discovery for FileDiscovery {
    fn poll(&mut self, _now_ms: i64) -> Option<Vec<TargetGroup>> {
        let mut paths: Vec<PathBuf> =
            self.config.files.iter().flat_map(|pattern| glob::glob(&*self.dir, pattern)).collect();
        paths.sort();
        paths.dedup();
        let n_before = self.files.len();
        self.files.retain(|path, _| paths.contains(path) && self.dir.exists(path));
        let mut has_changed = std::mem::take(&mut self.is_first) || self.files.len() != n_before;
        paths.retain(|path| self.dir.exists(path));
        for path in &paths {
            has_changed |= self.look(path);
        }
        has_changed.then(|| self.files.values().flat_map(|known| known.groups.iter().cloned()).collect())
    }

    fn pause_ms(&self) -> Option<i64> {
        Some(self.config.refresh_interval.as_ms().clamp(1, LOOK_PAUSE_MS_MAX))
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<TargetGroup>, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("file is larger than {FILE_BYTES_MAX} bytes"));
    }
    let name = path.to_string_lossy();
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let groups: Vec<TargetGroup> = if is_json {
        serde_json::from_slice(bytes).map_err(|err| err.to_string())?
    } else {
        let text = std::str::from_utf8(bytes).map_err(|err| err.to_string())?;
        // An empty file is an empty list, which for the YAML reader is not the same as an empty mapping.
        let is_blank =
            text.lines().all(|line| matches!(line.trim_start().as_bytes().first(), None | Some(b'#')));
        if is_blank { Vec::new() } else { model::yaml::parse(&name, text).map_err(|err| err.to_string())? }
    };
    let with_path = |mut group: TargetGroup| {
        group.labels.insert("__meta_filepath".to_owned(), name.clone().into_owned());
        group
    };
    Ok(groups.into_iter().map(with_path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stdx::dir::MemDir;
    use stdx::metrics::Registry;

    fn write(dir: &dyn Dir, path: &str, text: &str) {
        dir.write_atomic(Path::new(path), text.as_bytes()).unwrap();
    }

    fn addresses(groups: Option<Vec<TargetGroup>>) -> Option<Vec<String>> {
        groups.map(|groups| groups.into_iter().flat_map(|group| group.targets).collect())
    }

    #[test]
    fn changes_are_seen_and_broken_files_keep_the_last_good_content() {
        let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
        dir.create_dir_all(Path::new("sd")).unwrap();
        let registry = Registry::new();
        let config = FileSdConfig {
            files: vec!["sd/*.json".to_owned(), "sd/b.yml".to_owned()],
            refresh_interval: Duration::from_secs(60),
        };
        let mut discovery =
            FileDiscovery::new(config, Arc::clone(&dir), Arc::new(ScrapeMetrics::new(&registry)));
        assert_eq!(addresses(discovery.poll(0)), Some(vec![]));
        write(&*dir, "sd/a.json", r#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#);
        write(&*dir, "sd/b.yml", "- targets: [b:1]\n");
        let groups = discovery.poll(1).unwrap();
        assert_eq!(groups[0].labels["__meta_filepath"], "sd/a.json");
        assert_eq!(groups[0].labels["x"], "y");
        assert_eq!(addresses(Some(groups)), Some(vec!["a:1".to_owned(), "b:1".to_owned()]));
        assert_eq!(addresses(discovery.poll(2)), None);
        write(&*dir, "sd/a.json", "[{\"targets\": [");
        assert_eq!(addresses(discovery.poll(3)), None);
        assert!(registry.render().contains("scrape_sd_file_read_errors_total 1\n"));
        write(&*dir, "sd/a.json", r#"[{"targets": ["a:2"]}]"#);
        assert_eq!(addresses(discovery.poll(4)), Some(vec!["a:2".to_owned(), "b:1".to_owned()]));
        dir.remove_file(Path::new("sd/b.yml")).unwrap();
        assert_eq!(addresses(discovery.poll(5)), Some(vec!["a:2".to_owned()]));
    }

    #[test]
    fn patterns_are_checked_as_prometheus_does() {
        for (pattern, expected) in
            [("a.json", true), ("/x/*.yml", true), ("/x/*/a.yml", false), ("a.txt", false), ("*.YAML", true)]
        {
            assert_eq!(FileSdConfig::is_valid_pattern(pattern), expected, "{pattern}");
        }
    }
}
