//! `scrape_configs` as they stand in the file: every key Prometheus knows, from 2.42 to 3.14.
//!
//! In from YAML; out to [`super::config`]. A key that is known but not served yet is refused here, at its own line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Duration;
use model::relabel::RelabelConfig;
use model::yaml::null_as_default;
use net::Secret;
use net::config::{Authorization, BasicAuth, HeaderConfig, TlsConfig};
use serde::{Deserialize, Deserializer};

use crate::config::{ByteSize, EscapingScheme, ScrapeProtocol, ValidationScheme};

/// One function for each key that is known but not served, so that the error stands at the key's value.
macro_rules! refuse {
    ($($key:ident: $hint:literal),* $(,)?) => {$(
        fn $key<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
            Err(serde::de::Error::custom(concat!(stringify!($key), " is not served yet: ", $hint)))
        }
    )*};
}

/// A switch that may be off only.
macro_rules! refuse_on {
    ($($key:ident: $hint:literal),* $(,)?) => {$(
        fn $key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
            match Option::<bool>::deserialize(deserializer)? {
                Some(true) => Err(serde::de::Error::custom(concat!(stringify!($key), ": true is not served yet: ", $hint))),
                _ => Ok(()),
            }
        }
    )*};
}

/// A limit that may be zero only.
macro_rules! refuse_above_zero {
    ($($key:ident: $hint:literal),* $(,)?) => {$(
        fn $key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
            match Option::<f64>::deserialize(deserializer)? {
                Some(value) if value != 0.0 => {
                    Err(serde::de::Error::custom(concat!(stringify!($key), " is not served yet: ", $hint)))
                }
                _ => Ok(()),
            }
        }
    )*};
}

/// What stands under `global`.
pub(crate) mod global {
    use super::*;

    refuse! {
        scrape_failure_log_file: "remove the key; the last error of each target is on the targets page and in the log",
    }
    refuse_on! {
        scrape_native_histograms: "remove the key; classic histograms are scraped",
        convert_classic_histograms_to_nhcb: "remove the key; classic histograms are stored as they are",
    }

    /// The keys of `global`.
    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub(crate) struct GlobalKeys {
        pub(crate) scrape_interval: Option<Duration>,
        pub(crate) scrape_timeout: Option<Duration>,
        pub(crate) scrape_protocols: Option<Vec<ScrapeProtocol>>,
        pub(crate) evaluation_interval: Option<Duration>,
        pub(crate) rule_query_offset: Option<Duration>,
        #[serde(deserialize_with = "null_as_default")]
        pub(crate) external_labels: BTreeMap<String, String>,
        #[serde(deserialize_with = "null_as_default")]
        pub(crate) query_log_file: String,
        #[serde(deserialize_with = "scrape_failure_log_file")]
        pub(crate) scrape_failure_log_file: (),
        pub(crate) body_size_limit: Option<ByteSize>,
        pub(crate) sample_limit: Option<u64>,
        pub(crate) target_limit: Option<u64>,
        pub(crate) label_limit: Option<u64>,
        pub(crate) label_name_length_limit: Option<u64>,
        pub(crate) label_value_length_limit: Option<u64>,
        pub(crate) keep_dropped_targets: Option<u64>,
        pub(crate) metric_name_validation_scheme: Option<ValidationScheme>,
        pub(crate) metric_name_escaping_scheme: Option<EscapingScheme>,
        #[serde(deserialize_with = "scrape_native_histograms")]
        pub(crate) scrape_native_histograms: (),
        #[serde(deserialize_with = "convert_classic_histograms_to_nhcb")]
        pub(crate) convert_classic_histograms_to_nhcb: (),
        /// Classic histograms are always scraped, so either value means what happens.
        pub(crate) always_scrape_classic_histograms: Option<bool>,
        pub(crate) extra_scrape_metrics: Option<bool>,
    }
}

/// What stands in an element of `scrape_configs`.
pub(crate) mod job {
    use super::*;

    refuse_on! {
        scrape_native_histograms: "remove the key; classic histograms are scraped",
        convert_classic_histograms_to_nhcb: "remove the key; classic histograms are stored as they are",
    }
    refuse_above_zero! {
        native_histogram_bucket_limit: "remove the key; native histograms are not scraped",
        native_histogram_min_bucket_factor: "remove the key; native histograms are not scraped",
    }

    discovery::with_kinds! {
        /// The keys of a job.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct JobKeys {
            pub(crate) job_name: Option<String>,
            pub(crate) scrape_interval: Option<Duration>,
            pub(crate) scrape_timeout: Option<Duration>,
            pub(crate) scrape_protocols: Option<Vec<ScrapeProtocol>>,
            pub(crate) fallback_scrape_protocol: Option<ScrapeProtocol>,
            pub(crate) metrics_path: Option<String>,
            pub(crate) scheme: Option<String>,
            #[serde(deserialize_with = "null_as_default")]
            pub(crate) params: BTreeMap<String, Vec<String>>,
            pub(crate) honor_labels: Option<bool>,
            pub(crate) honor_timestamps: Option<bool>,
            pub(crate) track_timestamps_staleness: Option<bool>,
            pub(crate) enable_compression: Option<bool>,
            pub(crate) body_size_limit: Option<ByteSize>,
            pub(crate) sample_limit: Option<u64>,
            pub(crate) target_limit: Option<u64>,
            pub(crate) label_limit: Option<u64>,
            pub(crate) label_name_length_limit: Option<u64>,
            pub(crate) label_value_length_limit: Option<u64>,
            pub(crate) keep_dropped_targets: Option<u64>,
            pub(crate) metric_name_validation_scheme: Option<ValidationScheme>,
            pub(crate) metric_name_escaping_scheme: Option<EscapingScheme>,
            pub(crate) extra_scrape_metrics: Option<bool>,
            pub(crate) always_scrape_classic_histograms: Option<bool>,
            /// Its name in Prometheus 2.
            pub(crate) scrape_classic_histograms: Option<bool>,
            #[serde(deserialize_with = "scrape_native_histograms")]
            pub(crate) scrape_native_histograms: (),
            #[serde(deserialize_with = "convert_classic_histograms_to_nhcb")]
            pub(crate) convert_classic_histograms_to_nhcb: (),
            #[serde(deserialize_with = "native_histogram_bucket_limit")]
            pub(crate) native_histogram_bucket_limit: (),
            #[serde(deserialize_with = "native_histogram_min_bucket_factor")]
            pub(crate) native_histogram_min_bucket_factor: (),
            #[serde(deserialize_with = "null_as_default")]
            pub(crate) relabel_configs: Vec<RelabelConfig>,
            #[serde(deserialize_with = "null_as_default")]
            pub(crate) metric_relabel_configs: Vec<RelabelConfig>,
            pub(crate) basic_auth: Option<BasicAuth>,
            pub(crate) authorization: Option<Authorization>,
            pub(crate) oauth2: Option<serde::de::IgnoredAny>,
            pub(crate) bearer_token: Option<Secret>,
            pub(crate) bearer_token_file: Option<PathBuf>,
            pub(crate) tls_config: Option<TlsConfig>,
            pub(crate) proxy_url: Option<Secret>,
            pub(crate) no_proxy: Option<String>,
            pub(crate) proxy_from_environment: Option<bool>,
            pub(crate) proxy_connect_header: Option<BTreeMap<String, Vec<Secret>>>,
            pub(crate) follow_redirects: Option<bool>,
            pub(crate) enable_http2: Option<bool>,
            pub(crate) http_headers: Option<BTreeMap<String, HeaderConfig>>,
        }
    }
}
