//! The keys of the configuration file.

use std::path::Path;

use model::yaml::null_as_default;
use scrape::{GlobalConfig, ScrapeConfigFile};
use serde::{Deserialize, Deserializer};

use super::Own;
use super::storage::StorageKeys;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConfigFile {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) global: GlobalConfig,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) rule_files: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) scrape_configs: Vec<ScrapeConfigFile>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) scrape_config_files: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) alerting: rules::AlertingConfig,
    #[serde(deserialize_with = "own_keys")]
    pub(super) hinomi: Option<OwnKeys>,
    /// Tunes Go's garbage collector, which is not here.
    #[serde(deserialize_with = "null_as_default")]
    runtime: Runtime,
    #[serde(deserialize_with = "remote_writes")]
    pub(super) remote_write: Vec<remote::RemoteWriteConfig>,
    #[serde(deserialize_with = "remote_reads")]
    pub(super) remote_read: Vec<remote::RemoteReadConfig>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) otlp: api::OtlpConfig,
    pub(super) tracing: Option<spans::TracingConfig>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) storage: StorageKeys,
}

/// Of the whole file the keys that name others.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NamedFiles {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) rule_files: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) scrape_config_files: Vec<String>,
}

/// As Prometheus says it when an entry is empty.
fn remote_writes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<remote::RemoteWriteConfig>, D::Error> {
    let entries: Option<Vec<Option<remote::RemoteWriteConfig>>> = Option::deserialize(deserializer)?;
    let entries: Option<Vec<_>> = entries.unwrap_or_default().into_iter().collect();
    let entries = entries.ok_or("empty or null remote write config section".to_owned());
    let checked = entries.and_then(|entries| remote::config::check_names(&entries).map(|()| entries));
    checked.map_err(serde::de::Error::custom)
}

/// As Prometheus says it when an entry is empty.
fn remote_reads<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<remote::RemoteReadConfig>, D::Error> {
    let entries: Option<Vec<Option<remote::RemoteReadConfig>>> = Option::deserialize(deserializer)?;
    let entries: Option<Vec<_>> = entries.unwrap_or_default().into_iter().collect();
    let entries = entries.ok_or("empty or null remote read config section".to_owned());
    let checked = entries.and_then(|entries| remote::config::check_read_names(&entries).map(|()| entries));
    checked.map_err(serde::de::Error::custom)
}

/// `runtime`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Runtime {
    gogc: Option<i64>,
}

/// A file named by `scrape_config_files`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ScrapeFile {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) scrape_configs: Vec<ScrapeConfigFile>,
}

/// `hinomi`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OwnKeys {
    host_metrics: Option<bool>,
    self_metrics: Option<bool>,
    builtin_rules: Option<BuiltinRules>,
    #[serde(deserialize_with = "null_as_default")]
    alertmanager: AlertmanagerKeys,
}

/// `hinomi.builtin_rules`: a switch, or a list of those that are off.
#[derive(Debug)]
enum BuiltinRules {
    Switch(bool),
    Some(BuiltinKeys),
}

impl<'de> Deserialize<'de> for BuiltinRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = BuiltinRules;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false, or a mapping with the key disabled")
            }

            fn visit_bool<E>(self, is_on: bool) -> Result<BuiltinRules, E> {
                Ok(BuiltinRules::Switch(is_on))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<BuiltinRules, E> {
                match text {
                    "yes" | "on" => Ok(BuiltinRules::Switch(true)),
                    "no" | "off" => Ok(BuiltinRules::Switch(false)),
                    _ => Err(E::custom(
                        "builtin_rules must be true, false, or a mapping with the key disabled",
                    )),
                }
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<BuiltinRules, A::Error> {
                let keys = BuiltinKeys::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(BuiltinRules::Some(keys))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BuiltinKeys {
    #[serde(deserialize_with = "null_as_default")]
    disabled: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AlertmanagerKeys {
    config_file: Option<String>,
}

/// The key without a value counts as there.
fn own_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OwnKeys>, D::Error> {
    Ok(Some(Option::<OwnKeys>::deserialize(deserializer)?.unwrap_or_default()))
}

impl OwnKeys {
    /// With a file everything of ours is off until it is switched on: a drop-in adds no series and no alerts.
    pub(super) fn resolve(self, dir: &Path) -> Own {
        let (builtin_rules, builtin_disabled) = match self.builtin_rules {
            None => (false, Vec::new()),
            Some(BuiltinRules::Switch(is_on)) => (is_on, Vec::new()),
            Some(BuiltinRules::Some(keys)) => (true, keys.disabled),
        };
        Own {
            host_metrics: self.host_metrics.unwrap_or(false),
            self_metrics: self.self_metrics.unwrap_or(false),
            builtin_rules,
            builtin_disabled,
            alertmanager_file: self
                .alertmanager
                .config_file
                .filter(|file| !file.is_empty())
                .map(|file| dir.join(file)),
        }
    }
}
