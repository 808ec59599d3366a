//! What to scrape and how: `global` and `scrape_configs` of a Prometheus configuration.
//!
//! In from YAML, through `keys`; out to [`crate::Manager`]. Two steps: reading checks a job by itself, with
//! line and column; [`resolve`] fills in what `global` says and checks jobs against it and each other.

mod histograms;
mod keys;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use discovery::SdConfig;
use model::labels::{is_legacy_label_name, quoted};
use model::relabel::RelabelConfig;
use model::{Duration, Labels};
use net::HttpClientConfig;
use serde::{Deserialize, Deserializer};
use wire::exposition::Format;

pub use histograms::HistogramPolicy;
pub(crate) use histograms::SCHEMA_MIN;
use keys::{global::GlobalKeys, job::JobKeys};

/// Prometheus' defaults.
const SCRAPE_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);
const SCRAPE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const EVALUATION_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// Why jobs do not go with `global` or with each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScrapeConfigError {
    /// A job may not wait longer than it pauses.
    #[error("scrape timeout greater than scrape interval for scrape config with job name {job:?}")]
    TimeoutAboveInterval {
        /// Which job.
        job: String,
    },
    /// Job names tell pools apart.
    #[error("found multiple scrape configs with job name {job:?}")]
    DuplicateJob {
        /// Which job.
        job: String,
    },
    /// Names are asked for, or written by a rule, that the job's scheme of names does not allow.
    #[error("{why} for scrape config with job name {job:?}")]
    Names {
        /// Which job.
        job: String,
        /// What is wrong, in the words of the check.
        why: String,
    },
}

/// Limits of one scrape; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrapeLimits {
    /// Bytes of the body, decompressed. A scrape whose body reaches it fails.
    pub body_bytes_max: u64,
    /// Samples after metric relabelling.
    pub samples_max: u64,
    /// Labels of a series, the target's included.
    pub labels_max: u64,
    /// Bytes of a label's name.
    pub label_name_bytes_max: u64,
    /// Bytes of a label's value.
    pub label_value_bytes_max: u64,
}

/// `global`: what holds for all jobs, and for rules.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "GlobalKeys")]
pub struct GlobalConfig {
    /// Between scrapes.
    pub scrape_interval: Duration,
    /// Of one scrape.
    pub scrape_timeout: Duration,
    /// Between evaluations of rules.
    pub evaluation_interval: Duration,
    /// How far back rules look, for late data.
    pub rule_query_offset: Duration,
    /// Added to what leaves this server: alerts, federation, remote write. `$VAR` of the environment is filled in.
    pub external_labels: Labels,
    /// Where every query is logged, as written; empty for nowhere. Relative to the configuration's folder.
    pub query_log_file: String,
    /// Formats to ask for, best first; `None` where the file leaves it to what is wanted of pages.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// What is done with histograms.
    pub histograms: HistogramPolicy,
    /// Where failed scrapes are logged, as written; empty for nowhere. Relative to the configuration's folder.
    pub scrape_failure_log_file: String,
    /// Limits of a scrape.
    pub limits: ScrapeLimits,
    /// Targets of a job; 0 is no limit.
    pub targets_max: u64,
    /// How many dropped targets of a job are remembered for the page; 0 is no limit.
    pub dropped_targets_max: u64,
    /// Which metric and label names are accepted.
    pub name_validation: ValidationScheme,
    /// How targets shall write names outside the classic alphabet.
    pub name_escaping: Option<EscapingScheme>,
    /// Whether `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes` are stored, where the file says.
    pub extra_scrape_metrics: Option<bool>,
}

impl Default for GlobalConfig {
    fn default() -> Self {
        Self::try_from(GlobalKeys::default()).expect("the defaults go together; a test says so")
    }
}

impl TryFrom<GlobalKeys> for GlobalConfig {
    type Error = String;

    fn try_from(keys: GlobalKeys) -> Result<Self, String> {
        let set = |duration: Option<Duration>| duration.filter(|duration| !duration.is_zero());
        let scrape_interval = set(keys.scrape_interval).unwrap_or(SCRAPE_INTERVAL_DEFAULT);
        let scrape_timeout = match set(keys.scrape_timeout) {
            Some(timeout) if timeout > scrape_interval => {
                return Err("global scrape timeout greater than scrape interval".to_owned());
            }
            Some(timeout) => timeout,
            None => SCRAPE_TIMEOUT_DEFAULT.min(scrape_interval),
        };
        let name_validation = keys.metric_name_validation_scheme.unwrap_or_default();
        let mut external_labels = Vec::new();
        for (name, value) in &keys.external_labels {
            if name.is_empty() || (name_validation == ValidationScheme::Legacy && !is_legacy_label_name(name))
            {
                return Err(format!("{name:?} is not a valid label name"));
            }
            external_labels.push((name.clone(), expand(value, |name| std::env::var(name).ok())));
        }
        let scrape_protocols = keys.scrape_protocols.map(check_protocols).transpose()?;
        check_escaping(keys.metric_name_escaping_scheme, name_validation)?;
        Ok(Self {
            query_log_file: keys.query_log_file,
            scrape_interval,
            scrape_timeout,
            evaluation_interval: set(keys.evaluation_interval).unwrap_or(EVALUATION_INTERVAL_DEFAULT),
            rule_query_offset: keys.rule_query_offset.unwrap_or_default(),
            external_labels: Labels::from_pairs(external_labels),
            scrape_protocols,
            histograms: HistogramPolicy {
                natives: keys.scrape_native_histograms.unwrap_or_default(),
                classic_too: keys.always_scrape_classic_histograms.unwrap_or_default(),
                classic_to_custom: keys.convert_classic_histograms_to_nhcb.unwrap_or_default(),
                ..HistogramPolicy::default()
            },
            scrape_failure_log_file: keys.scrape_failure_log_file,
            limits: ScrapeLimits {
                body_bytes_max: keys.body_size_limit.unwrap_or_default().bytes,
                samples_max: keys.sample_limit.unwrap_or_default(),
                labels_max: keys.label_limit.unwrap_or_default(),
                label_name_bytes_max: keys.label_name_length_limit.unwrap_or_default(),
                label_value_bytes_max: keys.label_value_length_limit.unwrap_or_default(),
            },
            targets_max: keys.target_limit.unwrap_or_default(),
            dropped_targets_max: keys.keep_dropped_targets.unwrap_or_default(),
            name_validation,
            name_escaping: keys.metric_name_escaping_scheme,
            extra_scrape_metrics: keys.extra_scrape_metrics,
        })
    }
}

/// Fills in `$VAR` and `${VAR}`; `$$` is a dollar. A variable that is not set is empty, with a warning.
fn expand(text: &str, env: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let braced = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let plain_len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let name = match braced {
            Some((name, after)) => {
                rest = after;
                name
            }
            None => {
                let (name, after) = rest.split_at(plain_len);
                rest = after;
                name
            }
        };
        match env(name) {
            Some(value) => out.push_str(&value),
            None => tracing::warn!(variable = name, "empty environment variable in external_labels"),
        }
    }
    out.push_str(rest);
    out
}

/// One element of `scrape_configs` as read, before `global` fills in the rest.
#[derive(Debug, Deserialize)]
#[serde(try_from = "JobKeys")]
pub struct ScrapeConfigFile {
    keys: JobKeys,
    sd: Vec<SdConfig>,
    http: HttpClientConfig,
}

impl TryFrom<JobKeys> for ScrapeConfigFile {
    type Error = String;

    /// Checks what needs no other part of the file.
    fn try_from(mut keys: JobKeys) -> Result<Self, String> {
        let job = keys.job_name.as_deref().unwrap_or_default();
        if job.is_empty() {
            return Err("job_name is empty".to_owned());
        }
        if let (Some(interval), Some(timeout)) = (keys.scrape_interval, keys.scrape_timeout)
            && !interval.is_zero()
            && timeout > interval
        {
            return Err(ScrapeConfigError::TimeoutAboveInterval { job: job.to_owned() }.to_string());
        }
        match keys.scheme.as_deref() {
            None | Some("") => {}
            Some(scheme) if http_scheme(scheme).is_some() => {}
            Some(other) => return Err(format!("scheme must be http or https, not {other:?}")),
        }
        if let Some(protocols) = keys.scrape_protocols.take() {
            keys.scrape_protocols = Some(check_protocols(protocols)?);
        }
        let sd = keys.take_sd();
        if keys.relabel_configs.is_empty()
            && let Some(SdConfig::Static(groups)) = sd.first()
        {
            // A URL where an address belongs; with relabelling rules it may still become one.
            let mut addresses = groups.iter().flat_map(discovery::TargetGroup::addresses);
            if let Some(address) = addresses.find(|address| address.contains('/')) {
                return Err(format!("\"{address}\" is not a valid hostname"));
            }
        }
        let http = keys.take_http()?;
        Ok(Self { keys, sd, http })
    }
}

/// What is spoken, in small letters: `HTTPS` means the same, as in every URL.
pub(crate) fn http_scheme(scheme: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))
}

/// One job, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeConfig {
    /// The label `job`, and the name of the scrape pool.
    pub job: String,
    /// Between scrapes.
    pub scrape_interval: Duration,
    /// Of one scrape.
    pub scrape_timeout: Duration,
    /// Formats to ask for, best first; see [`ScrapeConfig::protocols`].
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// What a body is whose type is missing or unknown.
    pub fallback_format: Option<Format>,
    /// Path of the URL.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Query parameters of the URL.
    pub params: std::collections::BTreeMap<String, Vec<String>>,
    /// Whether the target's own labels win over ours.
    pub honor_labels: bool,
    /// Whether the target's own timestamps are kept.
    pub honor_timestamps: bool,
    /// Whether series with their own timestamps get staleness markers.
    pub track_timestamps_staleness: bool,
    /// Whether gzip is asked for.
    pub enable_compression: bool,
    /// Limits of a scrape.
    pub limits: ScrapeLimits,
    /// What is done with histograms.
    pub histograms: HistogramPolicy,
    /// Where failed scrapes are logged.
    pub failure_log: Option<PathBuf>,
    /// Targets; above it all of them fail. 0 is no limit.
    pub targets_max: u64,
    /// How many dropped targets are remembered for the page; 0 is no limit.
    pub dropped_targets_max: u64,
    /// Which metric and label names are accepted.
    pub name_validation: ValidationScheme,
    /// How targets shall write names outside the classic alphabet.
    pub name_escaping: EscapingScheme,
    /// Whether the three extra series are stored; `None` where the file does not say, which then is no.
    pub extra_scrape_metrics: Option<bool>,
    /// Rules for targets.
    pub relabel_configs: Vec<RelabelConfig>,
    /// Rules for samples.
    pub metric_relabel_configs: Vec<RelabelConfig>,
    /// Where targets come from.
    pub sd: Vec<SdConfig>,
    /// How to connect.
    pub http: HttpClientConfig,
}

impl ScrapeConfig {
    /// Whether the three extra series are stored.
    #[must_use]
    pub fn has_extra_metrics(&self) -> bool {
        self.extra_scrape_metrics == Some(true)
    }

    /// Formats to ask for, best first. Where the file does not say, protobuf is the first when native histograms are wanted, or starts:
    /// no other format has them, or has them as well.
    #[must_use]
    pub fn protocols(&self, starts: bool) -> &[ScrapeProtocol] {
        match &self.scrape_protocols {
            Some(protocols) => protocols,
            None if starts || self.histograms.natives => &ScrapeProtocol::DEFAULT,
            None => &ScrapeProtocol::DEFAULT[1..],
        }
    }
}

/// Completes jobs with what `global` says; each comes with the folder that its relative file names are taken from.
///
/// # Errors
/// When a job does not go with `global`, or two jobs share a name.
pub fn resolve(
    files: Vec<(ScrapeConfigFile, PathBuf)>,
    global: &GlobalConfig,
) -> Result<Vec<ScrapeConfig>, ScrapeConfigError> {
    let mut names = BTreeSet::new();
    let mut jobs = Vec::with_capacity(files.len());
    for (file, dir) in files {
        let job = file.resolve(global, &dir)?;
        if !names.insert(job.job.clone()) {
            return Err(ScrapeConfigError::DuplicateJob { job: job.job });
        }
        jobs.push(job);
    }
    Ok(jobs)
}

impl ScrapeConfigFile {
    /// Completes this job with what `global` says.
    ///
    /// # Errors
    /// When its timeout is above its interval.
    pub fn resolve(self, global: &GlobalConfig, dir: &Path) -> Result<ScrapeConfig, ScrapeConfigError> {
        let Self { keys, mut sd, mut http } = self;
        let job = keys.job_name.clone().expect("checked when read");
        let set = |duration: Option<Duration>| duration.filter(|duration| !duration.is_zero());
        let scrape_interval = set(keys.scrape_interval).unwrap_or(global.scrape_interval);
        let scrape_timeout = match set(keys.scrape_timeout) {
            Some(timeout) if timeout > scrape_interval => {
                return Err(ScrapeConfigError::TimeoutAboveInterval { job });
            }
            Some(timeout) => timeout,
            None => global.scrape_timeout.min(scrape_interval),
        };
        http.set_directory(dir);
        sd.iter_mut().for_each(|sd| sd.set_directory(dir));
        let or = |own: Option<u64>, global: u64| own.filter(|limit| *limit != 0).unwrap_or(global);
        let filled = |text: Option<String>, default: &str| {
            text.filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let name_validation = keys.metric_name_validation_scheme.unwrap_or(global.name_validation);
        let name_escaping =
            keys.metric_name_escaping_scheme.or(global.name_escaping).unwrap_or(match name_validation {
                ValidationScheme::Utf8 => EscapingScheme::AllowUtf8,
                ValidationScheme::Legacy => EscapingScheme::Underscores,
            });
        if name_validation == ValidationScheme::Legacy {
            let mut rules = keys.relabel_configs.iter().chain(&keys.metric_relabel_configs);
            let checked = rules.try_for_each(RelabelConfig::validate_legacy);
            checked.map_err(|why| ScrapeConfigError::Names { job: job.clone(), why: why.to_string() })?;
        }
        check_escaping(keys.metric_name_escaping_scheme.or(global.name_escaping), name_validation)
            .map_err(|why| ScrapeConfigError::Names { job: job.clone(), why })?;
        let histograms = histograms(&keys, &global.histograms);
        Ok(ScrapeConfig {
            job,
            scrape_interval,
            scrape_timeout,
            scrape_protocols: keys.scrape_protocols.or_else(|| global.scrape_protocols.clone()),
            fallback_format: keys.fallback_scrape_protocol.map(ScrapeProtocol::format),
            metrics_path: filled(keys.metrics_path, "/metrics"),
            scheme: filled(keys.scheme, "http"),
            params: keys.params,
            honor_labels: keys.honor_labels.unwrap_or(false),
            honor_timestamps: keys.honor_timestamps.unwrap_or(true),
            track_timestamps_staleness: keys.track_timestamps_staleness.unwrap_or(false),
            enable_compression: keys.enable_compression.unwrap_or(true),
            limits: ScrapeLimits {
                body_bytes_max: or(keys.body_size_limit.map(|size| size.bytes), global.limits.body_bytes_max),
                samples_max: or(keys.sample_limit, global.limits.samples_max),
                labels_max: or(keys.label_limit, global.limits.labels_max),
                label_name_bytes_max: or(keys.label_name_length_limit, global.limits.label_name_bytes_max),
                label_value_bytes_max: or(keys.label_value_length_limit, global.limits.label_value_bytes_max),
            },
            histograms,
            failure_log: [&keys.scrape_failure_log_file, &global.scrape_failure_log_file]
                .into_iter()
                .find(|name| !name.is_empty())
                .map(|name| dir.join(name)),
            targets_max: or(keys.target_limit, global.targets_max),
            dropped_targets_max: or(keys.keep_dropped_targets, global.dropped_targets_max),
            name_validation,
            name_escaping,
            extra_scrape_metrics: keys.extra_scrape_metrics.or(global.extra_scrape_metrics),
            relabel_configs: keys.relabel_configs,
            metric_relabel_configs: keys.metric_relabel_configs,
            sd,
            http,
        })
    }
}

/// What a job says of histograms, over what `global` says.
fn histograms(own: &JobKeys, of_all: &HistogramPolicy) -> HistogramPolicy {
    HistogramPolicy {
        natives: own.scrape_native_histograms.unwrap_or(of_all.natives),
        classic_too: own
            .always_scrape_classic_histograms
            .or(own.scrape_classic_histograms)
            .unwrap_or(of_all.classic_too),
        classic_to_custom: own.convert_classic_histograms_to_nhcb.unwrap_or(of_all.classic_to_custom),
        buckets_max: own.native_histogram_bucket_limit.unwrap_or_default(),
        schema_max: HistogramPolicy::schema_of(own.native_histogram_min_bucket_factor.unwrap_or_default()),
    }
}

/// A format that targets may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[expect(missing_docs, reason = "named as in the file")]
pub enum ScrapeProtocol {
    PrometheusProto,
    PrometheusText004,
    PrometheusText100,
    OpenMetricsText001,
    OpenMetricsText100,
}

impl std::str::FromStr for ScrapeProtocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "PrometheusProto" => Ok(Self::PrometheusProto),
            "PrometheusText0.0.4" => Ok(Self::PrometheusText004),
            "PrometheusText1.0.0" => Ok(Self::PrometheusText100),
            "OpenMetricsText0.0.1" => Ok(Self::OpenMetricsText001),
            "OpenMetricsText1.0.0" => Ok(Self::OpenMetricsText100),
            _ => Err(format!(
                "unknown scrape protocol {text}, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto \
                 PrometheusText0.0.4 PrometheusText1.0.0]"
            )),
        }
    }
}

impl TryFrom<String> for ScrapeProtocol {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl ScrapeProtocol {
    /// What Prometheus 3 asks for; where native histograms or starts are wanted, all of them.
    pub const DEFAULT: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText100,
        Self::OpenMetricsText001,
        Self::PrometheusText100,
        Self::PrometheusText004,
    ];

    /// The parser's format.
    #[must_use]
    pub fn format(self) -> Format {
        match self {
            Self::PrometheusProto => Format::Protobuf,
            Self::PrometheusText004 | Self::PrometheusText100 => Format::Text004,
            Self::OpenMetricsText001 | Self::OpenMetricsText100 => Format::OpenMetrics100,
        }
    }

    /// The media type for `Accept`.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText004 => "text/plain;version=0.0.4",
            Self::PrometheusText100 => "text/plain;version=1.0.0",
            Self::OpenMetricsText001 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText100 => "application/openmetrics-text;version=1.0.0",
        }
    }
}

fn check_protocols(protocols: Vec<ScrapeProtocol>) -> Result<Vec<ScrapeProtocol>, String> {
    for (i, protocol) in protocols.iter().enumerate() {
        if protocols[..i].contains(protocol) {
            return Err(format!("duplicated protocol in scrape_protocols: {protocol:?}"));
        }
    }
    if protocols.is_empty() {
        return Err("scrape_protocols cannot be empty".to_owned());
    }
    Ok(protocols)
}

fn check_escaping(escaping: Option<EscapingScheme>, validation: ValidationScheme) -> Result<(), String> {
    if validation == ValidationScheme::Legacy && escaping == Some(EscapingScheme::AllowUtf8) {
        return Err("utf8 metric names requested but metric_name_validation_scheme is legacy".to_owned());
    }
    Ok(())
}

/// Which names are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValidationScheme {
    /// Any UTF-8.
    #[default]
    Utf8,
    /// Letters, digits, underscores and, in metric names, colons.
    Legacy,
}

impl std::str::FromStr for ValidationScheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "utf8" => Ok(Self::Utf8),
            "legacy" => Ok(Self::Legacy),
            _ => Err(format!(
                "unrecognized ValidationScheme: {}, must be either 'utf8' or 'legacy'",
                quoted(text)
            )),
        }
    }
}

/// How targets shall write names outside the classic alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the file")]
pub enum EscapingScheme {
    AllowUtf8,
    Underscores,
    Dots,
    Values,
}

impl std::str::FromStr for EscapingScheme {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];
        all.into_iter().find(|scheme| scheme.as_str() == text).ok_or_else(|| {
            format!(
                "unknown name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {}",
                quoted(text)
            )
        })
    }
}

impl EscapingScheme {
    /// As in the file and in `Accept`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

/// A size with a unit, `10MB`; only 0 may go without. Units are powers of 1,024, with or without the `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteSize {
    /// In bytes.
    pub bytes: u64,
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let shift = match unit.trim_end_matches(['B', 'b']).trim_end_matches('i') {
            // `100` was meant as something; Prometheus asks as what.
            "" if unit.is_empty() && number != "0" => return Err(format!("units: unknown unit  in {text}")),
            "" => 0,
            "K" | "k" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            "P" => 50,
            "E" => 60,
            _ => return Err(format!("units: unknown unit {unit} in {text}")),
        };
        let number: f64 = number.parse().map_err(|_| format!("units: invalid {text:?}"))?;
        let bytes = number * (1u64 << shift) as f64;
        if bytes >= u64::MAX as f64 {
            return Err(format!("units: {text} is too large"));
        }
        Ok(Self { bytes: bytes as u64 })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map_or(Ok(Self::default()), |text| text.parse()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests;
