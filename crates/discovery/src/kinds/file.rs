//! `file_sd_configs`: targets named in files, JSON or YAML, that other programs write.
//!
//! The files are looked at every few seconds and read anew when their bytes have changed. A file that cannot be read or
//! understood keeps its last good content, is counted and logged; a file that is gone takes its targets with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Duration;
use serde::Deserialize;
use stdx::dir::Dir;

use super::Kind;
use crate::SdError;
use crate::driver::{Context, Task};
use crate::glob;
use crate::group::TargetGroup;
use crate::metrics::SdMetrics;

/// Longest pause between looks. Prometheus uses inotify and passes changes on after 5 s; ours come within 5 s too.
const LOOK_PAUSE_MS_MAX: i64 = 5_000;
/// Longest accepted file, in bytes. Chosen: a hundred thousand targets with labels.
const FILE_BYTES_MAX: usize = 64 << 20;

/// One element of `file_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Config {
    /// Paths; the last element may have wildcards.
    files: Vec<String>,
    /// Longest time until a change is seen.
    refresh_interval: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    files: Vec<String>,
    #[serde(default)]
    refresh_interval: Option<Duration>,
}

impl TryFrom<Keys> for Config {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        if keys.files.is_empty() {
            return Err("file service discovery config must contain at least one path name".to_owned());
        }
        if let Some(file) = keys.files.iter().find(|file| !is_valid_pattern(file)) {
            return Err(format!("path name {file:?} is not valid for file discovery"));
        }
        // As in Prometheus, which asks no more than five minutes apart.
        Ok(Self { files: keys.files, refresh_interval: super::interval(keys.refresh_interval, 300)? })
    }
}

/// Whether `pattern` ends in a known extension and has a star in its last element at most.
fn is_valid_pattern(pattern: &str) -> bool {
    let has_extension = [".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML"];
    let star_is_last = pattern.find('*').is_none_or(|star| !pattern[star..].contains('/'));
    has_extension.iter().any(|extension| pattern.ends_with(extension)) && star_is_last
}

impl Config {
    /// The files and patterns, as the file names them or, once the directory is set, whole.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }
}

impl Kind for Config {
    const NAME: &'static str = "file";

    fn set_directory(&mut self, dir: &Path) {
        for file in &mut self.files {
            *file = dir.join(&*file).to_string_lossy().into_owned();
        }
    }

    fn start(&self, context: Context) -> Result<Task, SdError> {
        let (dir, metrics) = (Arc::clone(&context.dir), Arc::clone(&context.metrics));
        let mut files = Files::new(self.files.clone(), dir, metrics);
        let pause = Duration::from_ms(self.refresh_interval.as_ms().clamp(1, LOOK_PAUSE_MS_MAX)).as_std();
        // The first look is part of a start or a reload: what stands in files is known when it ends.
        if let Some(groups) = files.look_at_all() {
            context.publish(groups);
        }
        Ok(Box::pin(async move {
            loop {
                tokio::time::sleep(pause).await;
                let looked = tokio::task::spawn_blocking(move || {
                    let changed = files.look_at_all();
                    (files, changed)
                });
                let Ok((back, changed)) = looked.await else { return };
                files = back;
                if let Some(groups) = changed {
                    context.publish(groups);
                }
            }
        }))
    }
}

/// Watches the files of one element of `file_sd_configs`.
#[derive(Debug)]
struct Files {
    patterns: Vec<String>,
    dir: Arc<dyn Dir>,
    metrics: Arc<SdMetrics>,
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

impl Files {
    fn new(patterns: Vec<String>, dir: Arc<dyn Dir>, metrics: Arc<SdMetrics>) -> Self {
        Self { patterns, dir, metrics, files: BTreeMap::new(), is_first: true }
    }

    /// Looks at one file; whether its targets changed.
    fn look(&mut self, path: &Path) -> bool {
        let known = self.files.entry(path.to_owned()).or_default();
        let is_new = known.bytes.is_empty();
        let fail = |reason: String| {
            self.metrics.file_read_errors.inc();
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

    /// All targets, when they have changed since the last call; the first call counts as a change.
    fn look_at_all(&mut self) -> Option<Vec<TargetGroup>> {
        let mut paths: Vec<PathBuf> =
            self.patterns.iter().flat_map(|pattern| glob::glob(&*self.dir, pattern)).collect();
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
    let with_path = |(i, group): (usize, TargetGroup)| {
        let mut labels = group.labels.to_builder();
        labels.set("__meta_filepath", &name);
        TargetGroup { labels: labels.build(), source: format!("{name}:{i}"), ..group }
    };
    Ok(groups.into_iter().enumerate().map(with_path).collect())
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
        let of_group = |group: &TargetGroup| group.addresses().map(str::to_owned).collect::<Vec<_>>();
        groups.map(|groups| groups.iter().flat_map(of_group).collect())
    }

    #[test]
    fn changes_are_seen_and_broken_files_keep_the_last_good_content() {
        let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
        dir.create_dir_all(Path::new("sd")).unwrap();
        let registry = Registry::new();
        let patterns = vec!["sd/*.json".to_owned(), "sd/b.yml".to_owned()];
        let mut files = Files::new(patterns, Arc::clone(&dir), Arc::new(SdMetrics::new(&registry)));
        assert_eq!(addresses(files.look_at_all()), Some(vec![]));
        write(&*dir, "sd/a.json", r#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#);
        write(&*dir, "sd/b.yml", "- targets: [b:1]\n");
        let groups = files.look_at_all().unwrap();
        assert_eq!(groups[0].labels.get("__meta_filepath"), Some("sd/a.json"));
        assert_eq!(groups[0].labels.get("x"), Some("y"));
        assert_eq!(addresses(Some(groups)), Some(vec!["a:1".to_owned(), "b:1".to_owned()]));
        assert_eq!(addresses(files.look_at_all()), None);
        write(&*dir, "sd/a.json", "[{\"targets\": [");
        assert_eq!(addresses(files.look_at_all()), None);
        assert!(registry.render().contains("prometheus_sd_file_read_errors_total 1\n"));
        write(&*dir, "sd/a.json", r#"[{"targets": ["a:2"]}]"#);
        assert_eq!(addresses(files.look_at_all()), Some(vec!["a:2".to_owned(), "b:1".to_owned()]));
        dir.remove_file(Path::new("sd/b.yml")).unwrap();
        assert_eq!(addresses(files.look_at_all()), Some(vec!["a:2".to_owned()]));
    }

    #[test]
    fn patterns_are_checked_as_prometheus_does() {
        for (pattern, expected) in
            [("a.json", true), ("/x/*.yml", true), ("/x/*/a.yml", false), ("a.txt", false), ("*.YAML", true)]
        {
            assert_eq!(is_valid_pattern(pattern), expected, "{pattern}");
        }
    }
}
