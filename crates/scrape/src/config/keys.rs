//! `scrape_configs` as they stand in the file: every key Prometheus knows, from 2.42 to 3.14.
//!
//! In from YAML; out to [`super::config`]. Kinds of discovery that are not served yet are refused by their crate, at their own line.

use std::collections::BTreeMap;

use model::Duration;
use model::relabel::RelabelConfig;
use model::yaml::{empty_as_none, null_as_default};
use serde::Deserialize;

use crate::config::{ByteSize, EscapingScheme, ScrapeProtocol, ValidationScheme};

/// What stands under `global`.
pub(crate) mod global {
    use super::*;

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
        #[serde(deserialize_with = "null_as_default")]
        pub(crate) scrape_failure_log_file: String,
        pub(crate) body_size_limit: Option<ByteSize>,
        pub(crate) sample_limit: Option<u64>,
        pub(crate) target_limit: Option<u64>,
        pub(crate) label_limit: Option<u64>,
        pub(crate) label_name_length_limit: Option<u64>,
        pub(crate) label_value_length_limit: Option<u64>,
        pub(crate) keep_dropped_targets: Option<u64>,
        #[serde(deserialize_with = "empty_as_none")]
        pub(crate) metric_name_validation_scheme: Option<ValidationScheme>,
        #[serde(deserialize_with = "empty_as_none")]
        pub(crate) metric_name_escaping_scheme: Option<EscapingScheme>,
        pub(crate) scrape_native_histograms: Option<bool>,
        pub(crate) convert_classic_histograms_to_nhcb: Option<bool>,
        pub(crate) always_scrape_classic_histograms: Option<bool>,
        pub(crate) extra_scrape_metrics: Option<bool>,
    }
}

/// What stands in an element of `scrape_configs`.
pub(crate) mod job {
    use super::*;

    discovery::with_kinds! {
        /// The keys of a job.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct JobKeys {
            pub(crate) job_name: Option<String>,
            pub(crate) scrape_interval: Option<Duration>,
            pub(crate) scrape_timeout: Option<Duration>,
            pub(crate) scrape_protocols: Option<Vec<ScrapeProtocol>>,
            #[serde(deserialize_with = "empty_as_none")]
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
            #[serde(deserialize_with = "empty_as_none")]
            pub(crate) metric_name_validation_scheme: Option<ValidationScheme>,
            #[serde(deserialize_with = "empty_as_none")]
            pub(crate) metric_name_escaping_scheme: Option<EscapingScheme>,
            pub(crate) extra_scrape_metrics: Option<bool>,
            pub(crate) always_scrape_classic_histograms: Option<bool>,
            /// Its name in Prometheus 2.
            pub(crate) scrape_classic_histograms: Option<bool>,
            pub(crate) scrape_native_histograms: Option<bool>,
            pub(crate) convert_classic_histograms_to_nhcb: Option<bool>,
            pub(crate) native_histogram_bucket_limit: Option<u64>,
            pub(crate) native_histogram_min_bucket_factor: Option<f64>,
            #[serde(deserialize_with = "null_as_default")]
            pub(crate) scrape_failure_log_file: String,
            #[serde(deserialize_with = "null_as_default")]
            pub(crate) relabel_configs: Vec<RelabelConfig>,
            #[serde(deserialize_with = "null_as_default")]
            pub(crate) metric_relabel_configs: Vec<RelabelConfig>,
        }
    }
}
