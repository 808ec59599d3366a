//! Random expressions for properties, and how many cases there are.
//!
//! Metrics are those of the tests' stores: counters `a_total`, gauges `b`, native histograms `n`, a mix of floats and histograms `m`, classic
//! buckets `h_bucket`. Nothing refers to the query's own start or end, so that an expression means the same at each step.

use proptest::prelude::*;
use proptest::sample::select;

/// As many as `HINOMI_PROPERTY_CASES` says, or `usual`.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("HINOMI_PROPERTY_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(usual), ..ProptestConfig::default() }
}

const SELECTORS: &[&str] = &[
    "a_total",
    "b",
    "n",
    "m",
    "h_bucket",
    "b{i!=\"3\"}",
    "{__name__=~\"a_total|n\"}",
    "{g=\"x\",i=~\"[0-6]\"}",
];
const MODIFIERS: &[&str] =
    &["", "", "", " offset 30s", " offset -15s", " @ 60", " @ 90 offset 20s", " offset (15s + 5s)"];
const RANGES: &[&str] = &["20s", "30s", "45s", "1m", "2m", "5m", "20s * 3"];
const SUBQUERIES: &[&str] = &["1m:15s", "2m:20s", "90s:", "45s:7s"];
const OF_RANGES: &[&str] = &[
    "absent_over_time($)",
    "avg_over_time($)",
    "changes($)",
    "count_over_time($)",
    "delta($)",
    "deriv($)",
    "double_exponential_smoothing($, 0.5, 0.3)",
    "first_over_time($)",
    "idelta($)",
    "increase($)",
    "irate($)",
    "last_over_time($)",
    "mad_over_time($)",
    "max_over_time($)",
    "min_over_time($)",
    "predict_linear($, 60)",
    "present_over_time($)",
    "quantile_over_time(0.3, $)",
    "rate($)",
    "resets($)",
    "stddev_over_time($)",
    "stdvar_over_time($)",
    "sum_over_time($)",
    "ts_of_first_over_time($)",
    "ts_of_last_over_time($)",
    "ts_of_max_over_time($)",
    "ts_of_min_over_time($)",
];
const OF_EXTENDED: &[&str] = &[
    "rate(a_total[1m] anchored)",
    "increase(a_total[45s] smoothed)",
    "delta(b[1m] anchored)",
    "delta(b[1m] smoothed)",
    "changes(b[90s] anchored)",
    "resets(a_total[2m] anchored)",
    "b smoothed",
];
const OF_VECTORS: &[&str] = &[
    "-$",
    "abs($)",
    "absent($)",
    "ceil($)",
    "clamp($, 1, 4)",
    "clamp_max($, scalar(b{i=\"2\"}))",
    "day_of_week($)",
    "exp($)",
    "histogram_avg($)",
    "histogram_count($)",
    "histogram_fraction(0, 2, $)",
    "histogram_quantile(0.9, $)",
    "histogram_stddev($)",
    "histogram_stdvar($)",
    "histogram_sum($)",
    "hour($)",
    "label_join($, \"j\", \"-\", \"i\", \"g\")",
    "label_replace($, \"j\", \"$1\", \"i\", \"(.*)\")",
    "round($, 0.5)",
    "scalar($) + b",
    "sgn($)",
    "sort_desc($)",
    "sqrt($)",
    "timestamp($)",
    "vector(scalar($))",
];
const AGGREGATIONS: &[&str] = &[
    "avg",
    "bottomk (2, ",
    "count",
    "count_values (\"v\", ",
    "group",
    "limit_ratio (-0.6, ",
    "limit_ratio (0.5, ",
    "limitk (2, ",
    "max",
    "min",
    "quantile (0.7, ",
    "stddev",
    "stdvar",
    "sum",
    "topk (2, ",
];
const GROUPINGS: &[&str] = &["", " by (g)", " by (i, le)", " by (__name__)", " without (i)", " without (le)"];
const OPERATORS: &[&str] = &[
    "+",
    "- on (i)",
    "* ignoring (le)",
    "/ on (i, g) group_left ()",
    "% on (g, i) group_right (le)",
    "^",
    "atan2 ignoring (le, j)",
    ">",
    "< bool",
    "== on (i)",
    "!= bool on (i, g)",
    "and on (i)",
    "or",
    "unless on (g)",
    "+ fill (1)",
    "- on (i) fill_left (2) fill_right (-3)",
    "</",
    ">/",
];

fn range_of(inner: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    let plain = (select(SELECTORS), select(RANGES), select(MODIFIERS))
        .prop_map(|(selector, range, modifier)| format!("{selector}[{range}]{modifier}"));
    let subquery = (inner, select(SUBQUERIES), select(MODIFIERS))
        .prop_map(|(inner, range, modifier)| format!("({inner})[{range}]{modifier}"));
    prop_oneof![3 => plain, 1 => subquery].boxed()
}

/// One that parses, or nearly always does.
pub(crate) fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => (select(SELECTORS), select(MODIFIERS)).prop_map(|(selector, modifier)| format!("{selector}{modifier}")),
        6 => (range_of(Just("b".to_owned())), select(OF_RANGES)).prop_map(|(range, call)| call.replace('$', &range)),
        1 => select(OF_EXTENDED).prop_map(str::to_owned),
        1 => select(&["1", "0.5", "time()", "vector(2)", "scalar(b{i=\"2\"})"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 10, 2, |inner| {
        prop_oneof![
            2 => (range_of(inner.clone()), select(OF_RANGES)).prop_map(|(range, call)| call.replace('$', &range)),
            3 => (inner.clone(), select(OF_VECTORS)).prop_map(|(inner, call)| call.replacen('$', &format!("({inner})"), 1)),
            4 => (inner.clone(), select(AGGREGATIONS), select(GROUPINGS)).prop_map(|(inner, op, by)| {
                match op.split_once(' ') {
                    Some((op, param)) => format!("{op}{by} {param}{inner})"),
                    None => format!("{op}{by} ({inner})"),
                }
            }),
            3 => (inner.clone(), select(OPERATORS), inner).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
        ]
    })
}
