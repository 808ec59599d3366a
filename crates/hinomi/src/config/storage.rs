//! `storage:` of the configuration file: how much is kept.
//!
//! In from YAML; out: [`tsdb::Limits`], together with the flags that hold where the section is silent. What only tunes Prometheus' own files
//! is checked and has no effect, with a warning; `out_of_order_time_window` has none since late samples are always taken.
//! Keys, checks and wording are Prometheus' 3.14.

use model::Duration;
use model::yaml::null_as_default;
use scrape::config::ByteSize;
use serde::{Deserialize, Deserializer};

use crate::flags::Values;

/// `storage`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StorageKeys {
    #[serde(deserialize_with = "null_as_default")]
    tsdb: TsdbKeys,
    exemplars: Option<ExemplarKeys>,
}

/// `storage.tsdb`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TsdbKeys {
    /// Late samples are taken as far back as the retention reaches, whatever it says.
    #[serde(rename = "out_of_order_time_window")]
    _out_of_order_time_window: Option<Duration>,
    stale_series_compaction_threshold: Option<f64>,
    #[serde(deserialize_with = "null_as_default")]
    chunk_encoding: ChunkEncoding,
    retention: Option<Retention>,
}

/// `storage.tsdb.chunk_encoding`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChunkEncoding {
    #[serde(deserialize_with = "float_encoding")]
    floats: Option<String>,
}

/// `storage.tsdb.retention`
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Retention {
    time: Option<Duration>,
    #[serde(deserialize_with = "size")]
    size: Option<ByteSize>,
    #[serde(deserialize_with = "percentage")]
    percentage: Option<f64>,
}

/// `storage.exemplars`
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExemplarKeys {
    max_exemplars: Option<i64>,
}

fn float_encoding<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name: Option<String> = Option::deserialize(deserializer)?;
    match name.as_deref() {
        None | Some("" | "xor" | "xor2") => Ok(name.filter(|name| !name.is_empty())),
        Some(name) => Err(serde::de::Error::custom(format!(
            "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {name:?}"
        ))),
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    let Some(text) = text else { return Ok(None) };
    if text.trim_start().starts_with('-') {
        let why =
            format!("'storage.tsdb.retention.size' must be greater than or equal to 0, got {}", text.trim());
        return Err(serde::de::Error::custom(why));
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

fn percentage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let percentage: Option<f64> = Option::deserialize(deserializer)?;
    match percentage {
        Some(value) if !(0.0..=100.0).contains(&value) => Err(serde::de::Error::custom(format!(
            "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {value}"
        ))),
        percentage => Ok(percentage),
    }
}

impl StorageKeys {
    /// What is set and has no effect here, or less than one may think.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut idle =
            |key: &str, why: &str| warnings.push(format!("storage.tsdb.{key} has no effect: {why}"));
        if self.tsdb.stale_series_compaction_threshold.is_some() {
            idle("stale_series_compaction_threshold", "series that end leave memory with the next block");
        }
        if self.tsdb.chunk_encoding.floats.is_some() {
            idle("chunk_encoding.floats", "the store has an encoding of its own");
        }
        if let Some(Retention { size: Some(size), percentage: Some(percentage), .. }) = self.tsdb.retention
            && size.bytes > 0
            && percentage > 0.0
        {
            idle("retention.size", "storage.tsdb.retention.percentage is specified");
        }
        warnings
    }

    /// How much is kept: as the section says, or else the flags. As with Prometheus a section `retention` stands for all of it, and a limit
    /// in bytes alone leaves time without one.
    ///
    /// # Errors
    /// When a flag is not as it must be.
    pub(crate) fn limits(&self, flags: &Values) -> anyhow::Result<tsdb::Limits> {
        let exemplars_max = match self.exemplars {
            None => tsdb::Options::default().exemplars_max,
            Some(keys) => usize::try_from(keys.max_exemplars.unwrap_or(0)).unwrap_or(0),
        };
        if flags.is_agent() {
            return Ok(tsdb::Limits {
                retention_ms: flags.positive("storage.agent.retention.max-time")?.as_ms(),
                retention_bytes: 0,
                retention_percent: 0.0,
                exemplars_max,
            });
        }
        if let Some(Retention { time, size, percentage }) = self.tsdb.retention {
            let retention_percent = percentage.unwrap_or(0.0);
            let retention_bytes = size.unwrap_or_default().bytes;
            return Ok(tsdb::Limits {
                retention_ms: time.map_or(0, Duration::as_ms),
                retention_bytes: if retention_percent > 0.0 { 0 } else { retention_bytes },
                retention_percent,
                exemplars_max,
            });
        }
        let retention_bytes = flags.bytes("storage.tsdb.retention.size")?;
        let retention_percent = flags.percent("storage.tsdb.retention.percentage")?;
        let is_by_size = retention_bytes > 0 || retention_percent > 0.0;
        let time = "storage.tsdb.retention.time";
        let retention_ms = if is_by_size && !flags.is_given(time) { 0 } else { flags.duration_ms(time)? };
        Ok(tsdb::Limits { retention_ms, retention_bytes, retention_percent, exemplars_max })
    }
}

/// As the status page says it: `15d or 1GiB`.
pub(crate) fn shown(limits: &tsdb::Limits) -> String {
    let mut parts = Vec::new();
    if limits.retention_ms > 0 {
        parts.push(Duration::from_ms(limits.retention_ms).to_string());
    }
    if limits.retention_bytes > 0 {
        parts.push(shown_bytes(limits.retention_bytes));
    }
    if limits.retention_percent > 0.0 {
        parts.push(format!("{}%", limits.retention_percent));
    }
    parts.join(" or ")
}

/// As Prometheus writes sizes: `1GiB512MiB`.
fn shown_bytes(mut n_bytes: u64) -> String {
    let mut out = String::new();
    for (shift, unit) in
        [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "B")]
    {
        let n = n_bytes >> shift;
        n_bytes -= n << shift;
        if n > 0 {
            out.push_str(&format!("{n}{unit}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SERVER;

    fn flags(given: &[(&str, &str)]) -> Values {
        Values::new(SERVER, Default::default(), |flag| {
            let found = given.iter().find(|(name, _)| *name == flag.name);
            found.map(|(_, value)| vec![(*value).to_owned()])
        })
    }

    #[test]
    fn the_section_holds_before_the_flags_and_a_size_alone_leaves_time_open() {
        let check = |text: &str, given: &[(&str, &str)], expected: &str| {
            let keys: StorageKeys = model::yaml::parse("a.yml", text).unwrap();
            assert_eq!(shown(&keys.limits(&flags(given)).unwrap()), expected, "{text} {given:?}");
        };
        let (time, size, percentage) = (
            "storage.tsdb.retention.time",
            "storage.tsdb.retention.size",
            "storage.tsdb.retention.percentage",
        );
        check("{}", &[], "15d");
        check("{}", &[(time, "30d")], "30d");
        check("{}", &[(size, "1536MB")], "1GiB512MiB");
        check("{}", &[(size, "1GB"), (time, "2h")], "2h or 1GiB");
        check("{}", &[(percentage, "50")], "50%");
        check("tsdb: {out_of_order_time_window: 30m}", &[(time, "30d")], "30d");
        check("tsdb: {retention: {time: 1d}}", &[(time, "30d"), (size, "1GB")], "1d");
        check("tsdb: {retention: {size: 512MB}}", &[], "512MiB");
        check("tsdb: {retention: {time: 1d, size: 1GB, percentage: 28}}", &[], "1d or 28%");
        check("tsdb: {retention: {percentage: 0.5}}", &[], "0.5%");
        check("tsdb:", &[], "15d");
        // Of an agent.
        let agent = ("agent", "true");
        check("tsdb: {retention: {time: 1d}}", &[agent], "4h");
        check("{}", &[agent, ("storage.agent.retention.max-time", "1d")], "1d");
    }

    #[test]
    fn exemplars_are_as_many_as_it_says_and_none_for_zero() {
        for (text, expected) in [
            ("{}", 100_000),
            ("exemplars: {max_exemplars: 5}", 5),
            ("exemplars: {max_exemplars: -1}", 0),
            ("exemplars: {}", 0),
        ] {
            let keys: StorageKeys = model::yaml::parse("a.yml", text).unwrap();
            assert_eq!(keys.limits(&flags(&[])).unwrap().exemplars_max, expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_in_prometheus_words_and_what_is_idle_is_said() {
        let check = |text: &str, expected: &str| {
            let err = model::yaml::parse::<StorageKeys>("a.yml", text).unwrap_err().to_string();
            assert!(err.contains(expected), "{err}");
        };
        check("tsdb: {retention: {percentage: 101}}", "must be in the range [0, 100], got 101");
        check("tsdb: {retention: {percentage: -1}}", "must be in the range [0, 100], got -1");
        check("tsdb: {retention: {size: -1GB}}", "must be greater than or equal to 0, got -1GB");
        check("tsdb: {retention: {time: -1h}}", "not a valid duration string");
        check("tsdb: {chunk_encoding: {floats: XOR}}", "must be 'xor' or 'xor2', or the field");
        check("tsdb: {nope: 1}", "nope");
        let idle = "tsdb: {stale_series_compaction_threshold: 0.5, chunk_encoding: {floats: xor}}";
        let keys: StorageKeys = model::yaml::parse("a.yml", idle).unwrap();
        assert_eq!(keys.warnings().len(), 2);
    }
}
