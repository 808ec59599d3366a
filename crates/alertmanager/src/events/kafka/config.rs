//! `kafka_outputs`: which brokers, which topic, and how.
//!
//! Keys, defaults and checks are those of Alertmanager 0.34.

use net::TlsConfig;
use serde::{Deserialize, Serialize, Serializer};

use crate::config::{Checker, Fault};
use crate::events::config::above_zero;

/// From Alertmanager, as the others below.
const CLIENT_ID: &str = "alertmanager";
const BUFFER_EVENTS: usize = 1_024;
/// Where a broker listens if nothing else is said. From Alertmanager.
const PORT: u16 = 9092;

/// One of the list as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::events) struct RawKafka {
    brokers: Option<Vec<Option<String>>>,
    topic: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    client_id: Option<String>,
    #[serde(serialize_with = "with_default")]
    format: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    acks: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    compression: Option<String>,
    #[serde(deserialize_with = "crate::events::config::count", skip_serializing_if = "Option::is_none")]
    buffer_size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_config: Option<TlsConfig>,
}

fn is_empty(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(String::is_empty)
}

/// As Alertmanager shows it: the format is filled in.
fn with_default<S: Serializer>(format: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text_of(format, "json"))
}

fn text_of<'a>(text: &'a Option<String>, default: &'a str) -> &'a str {
    text.as_deref().filter(|text| !text.is_empty()).unwrap_or(default)
}

/// One output, checked.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::events) struct KafkaConfig {
    /// In metrics and the log: `kafka:`, the brokers in order, the topic.
    pub(in crate::events) name: String,
    /// Who is asked first; who leads the partition is then asked of them.
    pub(super) brokers: Vec<Broker>,
    pub(super) topic: String,
    pub(super) client_id: String,
    pub(super) format: Format,
    pub(super) acks: Acks,
    pub(super) compression: Compression,
    pub(super) buffer_events: usize,
    pub(in crate::events) tls: Option<TlsConfig>,
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broker {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What the value of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Protobuf,
}

/// Who must have a record before it counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acks {
    /// Nobody: the broker does not answer at all.
    None,
    Leader,
    /// All replicas that keep up; attempts again are then told apart, so that nothing is stored twice.
    All,
}

/// How the records of a batch are packed. The numbers are those of the batch's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl RawKafka {
    pub(in crate::events) fn check(&self, checker: &Checker<'_>) -> Result<KafkaConfig, Fault> {
        let fault = |what: String| Fault::new(format!("event_recorder {what}"));
        let brokers = self.brokers.iter().flatten().map(|broker| broker.as_deref().unwrap_or_default());
        let brokers: Vec<&str> = brokers.collect();
        if brokers.is_empty() {
            return Err(fault("kafka: at least one broker is required".to_owned()));
        }
        if brokers.contains(&"") {
            return Err(fault("kafka: broker entries must be non-empty".to_owned()));
        }
        let acks = match text_of(&self.acks, "leader") {
            "none" => Acks::None,
            "leader" => Acks::Leader,
            "all" => Acks::All,
            other => {
                let what = format!("kafka: unknown acks {other:?}, must be \"none\", \"leader\", or \"all\"");
                return Err(fault(what));
            }
        };
        let compression = compression(text_of(&self.compression, "none")).map_err(fault)?;
        let Some(topic) = self.topic.as_ref().filter(|topic| !topic.is_empty()) else {
            return Err(fault("kafka output requires a topic".to_owned()));
        };
        let format = match text_of(&self.format, "json") {
            "json" => Format::Json,
            "protobuf" => Format::Protobuf,
            other => {
                let what = format!("kafka: unknown format {other:?}, must be \"json\" or \"protobuf\"");
                return Err(fault(what));
            }
        };
        let mut names = brokers.clone();
        names.sort_unstable();
        Ok(KafkaConfig {
            name: format!("kafka:{}/{topic}", names.join(",")),
            brokers: brokers.into_iter().map(Broker::parse).collect::<Result<_, _>>().map_err(fault)?,
            topic: topic.clone(),
            client_id: text_of(&self.client_id, CLIENT_ID).to_owned(),
            format,
            acks,
            compression,
            buffer_events: above_zero(self.buffer_size, BUFFER_EVENTS),
            tls: self.tls_config.clone().map(|tls| checker.tls(tls)),
        })
    }
}

fn compression(word: &str) -> Result<Compression, String> {
    Ok(match word {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        other => return Err(format!("kafka: unknown compression {other:?}")),
    })
}

impl Broker {
    /// `host`, `host:port`, `[::1]:port`.
    fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(PORT), str::parse);
        match port {
            Ok(port) if port > 0 && !host.is_empty() && !host.contains(['/', ' ', '@', '[', ']']) => {
                Ok(Self { host: host.to_owned(), port })
            }
            _ => Err(format!("kafka: broker {text:?} is not host:port")),
        }
    }
}

impl std::fmt::Display for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_have_a_host_and_perhaps_a_port() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let expected = expected.map(|(host, port)| Broker { host: host.to_owned(), port });
            assert_eq!(Broker::parse(text).ok(), expected, "{text}");
        };
        check("a", Some(("a", 9092)));
        check("a:1", Some(("a", 1)));
        check("[::1]:1", Some(("::1", 1)));
        check("[::1]", Some(("::1", 9092)));
        check("fe80::1", Some(("fe80::1", 9092)));
        for bad in ["a:", "a:b", "a:0", "a:65536", ":1", "http://a:1", "a b", "[::1"] {
            check(bad, None);
        }
    }
}
