//! The configuration file: Prometheus' own, plus the key `hinomi:` for what is ours.
//!
//! In from a path; out to the server, which hands each section to the crate that owns it. Loading reads every file the
//! configuration names and changes nothing, so that a reload either takes all of it or none.

mod file;
mod show;
pub(crate) mod storage;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::relabel::RelabelConfig;
use model::yaml::{self, YamlError};
use rules::{AlertingConfig, BuiltinRules, GroupSpec};
use scrape::{GlobalConfig, ScrapeConfig};
use stdx::{Dir, DiskDir};

use file::{ConfigFile, NamedFiles, ScrapeFile};

/// The key of the file that names files of rules.
const RULE_FILES: &str = "rule_files";

/// What runs without a file.
const WITHOUT_FILE: &str = "\
global:
  scrape_interval: 15s
  evaluation_interval: 15s
hinomi:
  host_metrics: true
  self_metrics: true
  builtin_rules: true
";

/// Everything the server runs on.
#[derive(Debug)]
pub(crate) struct Config {
    /// `global`
    pub(crate) global: GlobalConfig,
    /// All jobs, `scrape_config_files` included.
    pub(crate) jobs: Vec<ScrapeConfig>,
    /// The file names others with rules.
    has_rule_files: bool,
    /// The groups of all rule files.
    pub(crate) groups: Vec<GroupSpec>,
    /// `alerting`
    pub(crate) alerting: AlertingConfig,
    /// Receivers of what is stored here.
    pub(crate) remote_write: Vec<remote::RemoteWriteConfig>,
    pub(crate) remote_read: Vec<remote::RemoteReadConfig>,
    /// `storage`
    pub(crate) storage: storage::StorageKeys,
    /// `tracing`
    pub(crate) tracing: Option<spans::TracingConfig>,
    /// `otlp`
    pub(crate) otlp: Arc<api::OtlpConfig>,
    /// `hinomi`
    pub(crate) own: Own,
    /// For the status page: secrets replaced.
    pub(crate) shown: String,
    /// The same of each job.
    pub(crate) sections: BTreeMap<String, String>,
    /// The key `hinomi` is there, or there is no file at all.
    pub(crate) has_own: bool,
    /// What is odd and no error.
    pub(crate) warnings: Vec<String>,
    /// Names of files that are not there; no error for a server, which may get them later.
    pub(crate) missing: Vec<String>,
}

/// How far a configuration is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The file itself.
    Syntax,
    /// The files with rules and jobs that it names, too.
    AllFiles,
    /// Likewise; keys of rule files that are not known are read over.
    KnownFields,
}

/// What `hinomi:` sets, or what holds without it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Own {
    /// This host is watched as job `host`.
    pub(crate) host_metrics: bool,
    /// This process is watched as job `hinomi`.
    pub(crate) self_metrics: bool,
    /// The rules that come with the program.
    pub(crate) builtin_rules: bool,
    /// Names of rules among them that are off.
    pub(crate) builtin_disabled: Vec<String>,
    /// Configuration of the Alertmanager inside.
    pub(crate) alertmanager_file: Option<PathBuf>,
}

/// Why a configuration cannot be used: one line for each thing wrong.
#[derive(Debug)]
pub(crate) struct ConfigErrors(pub(crate) Vec<String>);

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

impl From<YamlError> for ConfigErrors {
    fn from(err: YamlError) -> Self {
        Self(vec![err.to_string()])
    }
}

impl Config {
    /// What runs without a file: this host, this process, the built-in rules.
    pub(crate) fn without_file() -> Self {
        // Fifteen seconds between scrapes, so that the first graph has a shape within a minute.
        Self::parse("(built in)", WITHOUT_FILE, Path::new("."), &DiskDir::anywhere())
            .expect("a test reads this text")
    }

    /// Reads the file at `path` and the files it names.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigErrors> {
        Self::load_to(path, Depth::AllFiles)
    }

    /// Reads the file at `path`, and what it names as far as `depth` says.
    pub(crate) fn load_to(path: &Path, depth: Depth) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        let disk = DiskDir::anywhere();
        let text = read(&disk, path).map_err(|why| ConfigErrors(vec![format!("{name}: {why}")]))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        Self::parse_to(&name, &text, (dir, &disk), depth)
    }

    /// What the configuration asks of an agent that it does not do. Of Prometheus' keys in its words.
    pub(crate) fn refused_by_agent(&self) -> Vec<String> {
        let alerting = &self.alerting;
        let keys = [
            ("alerting", !alerting.alertmanagers.is_empty() || !alerting.alert_relabel_configs.is_empty()),
            ("rule_files", self.has_rule_files),
            ("remote_read", !self.remote_read.is_empty()),
            ("hinomi.builtin_rules", self.own.builtin_rules),
            ("hinomi.alertmanager", self.own.alertmanager_file.is_some()),
        ];
        let asked = keys.into_iter().filter(|(_, is_asked)| *is_asked);
        asked.map(|(key, _)| format!("field {key} is not allowed in agent mode")).collect()
    }

    /// A number that changes when the text of the file at `path` does, or that of a file it names.
    pub(crate) fn fingerprint(path: &Path) -> u64 {
        let disk = DiskDir::anywhere();
        let mut hasher = DefaultHasher::new();
        let text = read(&disk, path);
        text.hash(&mut hasher);
        let name = path.display().to_string();
        if let Ok(text) = text
            && let Ok(file) = yaml::parse::<NamedFiles>(&name, &text)
        {
            let dir = path.parent().unwrap_or(Path::new(""));
            let mut found = Findings::default();
            for (key, patterns) in
                [("scrape_config_files", &file.scrape_config_files), (RULE_FILES, &file.rule_files)]
            {
                for path in expand(key, patterns, dir, &disk, &mut found) {
                    path.hash(&mut hasher);
                    read(&disk, &path).hash(&mut hasher);
                }
            }
        }
        hasher.finish()
    }

    /// From the text of a file in `dir`, whose other files are read through `disk`.
    pub(crate) fn parse(name: &str, text: &str, dir: &Path, disk: &dyn Dir) -> Result<Self, ConfigErrors> {
        Self::parse_to(name, text, (dir, disk), Depth::AllFiles)
    }

    fn parse_to(
        name: &str,
        text: &str,
        (dir, disk): (&Path, &dyn Dir),
        depth: Depth,
    ) -> Result<Self, ConfigErrors> {
        let file: ConfigFile = yaml::parse(name, text)?;
        let is_read = |_: &PathBuf| depth != Depth::Syntax;
        let (shown, mut found) = (show::masked(name, text)?, Findings::default());
        found.warnings.extend(unread(name, text));
        let mut jobs = beside(file.scrape_configs, dir);
        let more = expand("scrape_config_files", &file.scrape_config_files, dir, disk, &mut found);
        let sections = sections(name, text, &more, disk);
        for path in more.into_iter().filter(is_read) {
            match scrape_file(disk, &path) {
                Ok(more) => jobs.extend(beside(more.scrape_configs, path.parent().unwrap_or(dir))),
                Err(why) => found.errors.push(why),
            }
        }
        let named = expand(RULE_FILES, &file.rule_files, dir, disk, &mut found);
        let groups = found.groups(named.into_iter().filter(is_read), disk, depth);
        let jobs = scrape::config::resolve(jobs, &file.global).unwrap_or_else(|err| {
            found.errors.push(format!("{name}: {err}"));
            Vec::new()
        });
        let (has_own, has_rule_files) = (file.hinomi.is_some(), !file.rule_files.is_empty());
        let own = file.hinomi.map(|own| own.resolve(dir)).unwrap_or_default();
        found.errors.extend(taken_names(&own, &jobs).map(|why| format!("{name}: {why}")));
        found.errors.extend(unknown_rules(&own).map(|why| format!("{name}: {why}")));
        found.errors.extend(unspeakable(&file.global, &file.otlp).map(|why| format!("{name}: {why}")));
        found.errors.extend(
            unwritable(&file.global, &file.alerting, &file.remote_write).map(|why| format!("{name}: {why}")),
        );
        let mut alerting = file.alerting;
        alerting.set_directory(dir);
        let mut remote_write = file.remote_write;
        remote_write.iter_mut().for_each(|config| config.set_directory(dir));
        let mut remote_read = file.remote_read;
        remote_read.iter_mut().for_each(|config| config.set_directory(dir));
        let mut tracing = file.tracing;
        tracing.iter_mut().for_each(|config| config.set_directory(dir));
        found.warnings.extend(file.storage.warnings());
        if !found.errors.is_empty() {
            return Err(ConfigErrors(found.errors));
        }
        Ok(Self {
            global: file.global,
            jobs,
            has_rule_files,
            groups,
            alerting,
            remote_write,
            remote_read,
            storage: file.storage,
            tracing,
            otlp: Arc::new(file.otlp),
            own,
            shown,
            sections,
            has_own,
            warnings: found.warnings,
            missing: found.missing,
        })
    }
}

/// The sections of all jobs, those of other files included.
fn sections(name: &str, text: &str, more: &[PathBuf], disk: &dyn Dir) -> BTreeMap<String, String> {
    let mut sections = show::sections(name, text);
    for path in more {
        if let Ok(text) = read(disk, path) {
            sections.extend(show::sections(&path.display().to_string(), &text));
        }
    }
    sections
}

/// Names of built-in rules that are switched off and are none.
fn unknown_rules(own: &Own) -> impl Iterator<Item = String> {
    BuiltinRules::unknown(&own.builtin_disabled).into_iter().map(|unknown| {
        let known = BuiltinRules::names().join(", ");
        format!("hinomi.builtin_rules.disabled: no rule {unknown:?}; there are {known}")
    })
}

/// Why names as OTLP would bring them may not be stored.
fn unspeakable(global: &GlobalConfig, otlp: &api::OtlpConfig) -> Option<String> {
    let strategy = otlp.translation_strategy;
    let is_legacy = global.name_validation == scrape::config::ValidationScheme::Legacy;
    (is_legacy && !strategy.escapes())
        .then(|| format!("OTLP translation strategy \"{strategy:?}\" is not allowed when UTF8 is disabled"))
}

/// Jobs with names that belong to ours.
fn taken_names(own: &Own, jobs: &[ScrapeConfig]) -> impl Iterator<Item = String> {
    let ours = [("host", own.host_metrics, "host_metrics"), ("hinomi", own.self_metrics, "self_metrics")];
    let taken =
        ours.into_iter().filter(|(job, is_on, _)| *is_on && jobs.iter().any(|config| config.job == *job));
    taken.map(|(job, _, key)| {
        format!("job name {job:?} belongs to hinomi.{key}; rename the job, or set hinomi.{key}: false")
    })
}

/// Why relabelling outside of jobs may not write what it writes.
fn unwritable(
    global: &GlobalConfig,
    alerting: &AlertingConfig,
    remote_write: &[remote::RemoteWriteConfig],
) -> Option<String> {
    let of_managers = alerting
        .alertmanagers
        .iter()
        .flat_map(|one| one.relabel_configs.iter().chain(&one.alert_relabel_configs));
    let sent = remote_write.iter().flat_map(|one| &one.relabel);
    let mut rules = alerting.alert_relabel_configs.iter().chain(of_managers).chain(sent);
    let is_legacy = global.name_validation == scrape::config::ValidationScheme::Legacy;
    is_legacy
        .then(|| rules.try_for_each(RelabelConfig::validate_legacy).err())
        .flatten()
        .map(|why| why.to_string())
}

/// The files that patterns of the key `key` name, relative to `dir`.
fn expand(key: &str, patterns: &[String], dir: &Path, disk: &dyn Dir, found: &mut Findings) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for pattern in patterns {
        // As Prometheus: wildcards in the last element only.
        let head = Path::new(pattern).parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        if head.contains('*') {
            found
                .errors
                .push(format!("invalid {key} path {pattern:?}: wildcards may stand in the file's name only"));
            continue;
        }
        let full = dir.join(pattern).display().to_string();
        let files: Vec<_> =
            discovery::glob::glob(disk, &full).into_iter().filter(|path| disk.exists(path)).collect();
        // A pattern that fits nothing yet is usual: conf.d/*.yml. Of jobs, so is a file, as in Prometheus.
        if files.is_empty() && !pattern.contains('*') && key == RULE_FILES {
            found.missing.push(format!("{key}: {full} names no file that is there"));
        }
        paths.extend(files);
    }
    paths
}

/// Jobs with the folder of the file that they stand in: what they name is relative to it.
fn beside(jobs: Vec<scrape::ScrapeConfigFile>, dir: &Path) -> Vec<(scrape::ScrapeConfigFile, PathBuf)> {
    jobs.into_iter().map(|job| (job, dir.to_owned())).collect()
}

/// What was found wrong, or odd.
#[derive(Default)]
struct Findings {
    errors: Vec<String>,
    warnings: Vec<String>,
    missing: Vec<String>,
}

impl Findings {
    /// The groups of these files.
    fn groups(
        &mut self,
        paths: impl Iterator<Item = PathBuf>,
        disk: &dyn Dir,
        depth: Depth,
    ) -> Vec<GroupSpec> {
        let mut groups = Vec::new();
        for path in paths {
            match rule_groups(disk, &path, depth) {
                Ok((more, unread)) => {
                    groups.extend(more);
                    self.warnings.extend(unread);
                }
                Err(errors) => self.errors.extend(errors.0),
            }
        }
        groups
    }
}

/// Reads a file of `scrape_config_files`.
fn scrape_file(disk: &dyn Dir, path: &Path) -> Result<ScrapeFile, String> {
    let shown = path.display().to_string();
    let text = read(disk, path).map_err(|why| format!("{shown}: {why}"))?;
    yaml::parse(&shown, &text).map_err(|err| err.to_string())
}

/// Reads one rule file.
pub(crate) fn read_rules(path: &Path, depth: Depth) -> Result<RuleFile, ConfigErrors> {
    rule_groups(&DiskDir::anywhere(), path, depth)
}

/// The groups, and what of the file is read over.
pub(crate) type RuleFile = (Vec<GroupSpec>, Option<String>);

fn rule_groups(disk: &dyn Dir, path: &Path, depth: Depth) -> Result<RuleFile, ConfigErrors> {
    let name = path.display().to_string();
    let text = read(disk, path).map_err(|why| ConfigErrors(vec![format!("{name}: {why}")]))?;
    rules_in(&name, text, depth)
}

/// The rules in the text of a file.
pub(crate) fn rules_in(name: &str, mut text: String, depth: Depth) -> Result<RuleFile, ConfigErrors> {
    let unread = unread(name, &text);
    if depth == Depth::KnownFields {
        text = known_fields(name, &text).map_err(|why| ConfigErrors(vec![why]))?;
    }
    let groups = rules::parse_file(name, &text);
    let groups = groups.map_err(|errors| ConfigErrors(errors.iter().map(ToString::to_string).collect()))?;
    Ok((groups, unread))
}

/// A document behind the first, which nobody reads, there neither.
fn unread(name: &str, text: &str) -> Option<String> {
    let (line, _) = yaml::second_document(text)?;
    Some(format!(
        "{name}:{line}: only the first YAML document is read: what follows belongs into a file of its own"
    ))
}

/// What rules use of the language that is off, in Prometheus' words.
pub(crate) fn beyond_language(groups: &[GroupSpec], features: promql::Features) -> Vec<String> {
    let rules = groups.iter().flat_map(|group| group.rules.iter().enumerate().map(move |at| (group, at)));
    let beyond = rules.filter_map(|(group, (idx, rule))| {
        let err = features.check(&rule.expr().expr).err()?;
        Some(format!(
            "{}: group {:?}, rule {}, {:?}: could not parse expression: {err}",
            group.file,
            group.name,
            idx + 1,
            rule.name()
        ))
    });
    beyond.collect()
}

/// A rule file without the keys that are not known. JSON is YAML as well; places in errors are lost.
pub(crate) fn known_fields(name: &str, text: &str) -> Result<String, String> {
    let mut file: serde_json::Value = yaml::parse(name, text).map_err(|err| err.to_string())?;
    let keep = |value: &mut serde_json::Value, known: &[&str]| {
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| known.contains(&key.as_str()));
        }
    };
    keep(&mut file, &["groups"]);
    for group in file.get_mut("groups").and_then(|groups| groups.as_array_mut()).into_iter().flatten() {
        keep(group, &["name", "interval", "query_offset", "limit", "labels", "rules"]);
        for rule in group.get_mut("rules").and_then(|rules| rules.as_array_mut()).into_iter().flatten() {
            keep(
                rule,
                &["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations", "hinomi"],
            );
        }
    }
    serde_json::to_string(&file).map_err(|err| err.to_string())
}

fn read(disk: &dyn Dir, path: &Path) -> Result<String, String> {
    let bytes = disk.read(path).map_err(|err| err.to_string())?;
    String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())
}
