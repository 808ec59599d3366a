//! What `/api/v1/features` says: what this server can do, and what of it is switched on.
//!
//! In: flags and what other crates list of themselves. Categories and names are those of Prometheus 3.14; what it has and we have not is
//! named with `false` where it is a matter of a flag there, and left out where it is not.

use anyhow::Result;
use api::FeatureTable;
use promql::{AggregateOp, BinaryOp, FUNCTIONS};

use crate::flags::{Features, Values};

/// Functions of alert templates.
const TEMPLATING: [&str; 29] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

/// Names and whether they are on.
type Names = Vec<(&'static str, bool)>;

fn all(names: &[&'static str], is_on: bool) -> Names {
    names.iter().map(|name| (*name, is_on)).collect()
}

/// Parts of the HTTP API.
fn api(flags: &Values, on: Features) -> Names {
    let admin = flags.is_on("web.enable-admin-api");
    let mut names = all(
        &[
            "exclude_alerts",
            "label_values_match",
            "openapi_3.1",
            "query_stats",
            "query_warnings",
            "search_fuzz_alg_jarowinkler",
            "search_fuzz_alg_subsequence",
            "time_range_labels",
            "time_range_series",
        ],
        true,
    );
    names.extend([
        ("admin", admin),
        ("lifecycle", flags.is_on("web.enable-lifecycle")),
        ("openapi_3.2", false),
        ("otlp_write_receiver", flags.is_on("web.enable-otlp-receiver")),
        ("remote_write_receiver", flags.is_on("web.enable-remote-write-receiver")),
        ("search", on.search),
    ]);
    names
}

/// Parts of the query language that are neither functions nor operators.
fn syntax(on: Features) -> Names {
    let language = on.language;
    let mut names = all(
        &[
            "at_modifier",
            "bool",
            "by",
            "duration_expr",
            "group_left",
            "group_right",
            "ignoring",
            "negative_offset",
            "offset",
            "on",
            "per_query_lookback_delta",
            "per_step_stats",
            "subqueries",
            "without",
        ],
        true,
    );
    names.extend(all(&["anchored", "smoothed"], language.extended_range_selectors));
    names.extend(all(&["fill", "fill_left", "fill_right"], language.fill_modifiers));
    names.extend([
        ("delayed_name_removal", on.delayed_name_removal),
        ("type_and_unit_labels", on.scrapes.type_and_unit_labels),
    ]);
    names
}

/// The table for these flags.
///
/// # Errors
/// As [`Values::features`].
pub(super) fn table(flags: &Values) -> Result<FeatureTable> {
    let (on, _) = flags.features()?;
    let experimental = |is_experimental: bool| !is_experimental || on.language.experimental_functions;
    let functions = FUNCTIONS.iter().map(|function| (function.name, experimental(function.is_experimental)));
    let operators = BinaryOp::ALL.iter().map(|op| (op.as_str(), true));
    let aggregations = AggregateOp::ALL.iter().map(|op| (op.as_str(), experimental(op.is_experimental())));
    let matching = ["=~", "!~", "@"].map(|name| (name, true));
    Ok([
        ("api", api(flags, on)),
        (
            "otlp_receiver",
            vec![
                ("delta_conversion", on.otlp_delta == api::OtlpDelta::Summed),
                ("native_delta_ingestion", on.otlp_delta == api::OtlpDelta::Stored),
            ],
        ),
        (
            "prometheus",
            vec![
                ("agent_mode", flags.is_agent()),
                ("auto_reload_config", on.auto_reload),
                ("server_mode", !flags.is_agent()),
                // How Go's labels lie in memory.
                ("stringlabels", false),
            ],
        ),
        ("promql", syntax(on)),
        ("promql_functions", functions.collect()),
        ("promql_operators", operators.chain(aggregations).chain(matching).collect()),
        ("rules", vec![("concurrent_rule_eval", false), ("keep_firing_for", true), ("query_offset", true)]),
        (
            "scrape",
            vec![
                ("extra_scrape_metrics", true),
                ("st-synthesis", on.starts.synthesized),
                ("start_timestamp_zero_ingestion", on.starts.zeros),
                ("type_and_unit_labels", on.scrapes.type_and_unit_labels),
            ],
        ),
        ("service_discovery_providers", all(discovery::kinds::SERVED, true)),
        ("templating_functions", all(&TEMPLATING, true)),
        (
            "tsdb",
            vec![
                ("delayed_compaction", false),
                ("exemplar_storage", true),
                ("histograms_st_encoding", false),
                ("isolation", true),
                ("native_histograms", true),
                ("st_storage", on.starts.stored),
                ("use_uncached_io", false),
                ("xor2_encoding", false),
            ],
        ),
        ("ui", vec![("ui_v2", false), ("ui_v3", false)]),
    ]
    .into_iter()
    .map(|(category, names)| (category, names.into_iter().collect()))
    .collect())
}
