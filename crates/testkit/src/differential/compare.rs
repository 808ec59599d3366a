//! Whether two answers are the same, and if not to the bit, by which listed rule.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::ask::Answer;
use super::expr::Expr;

/// Distance in units of the last place that sums may differ by.
const ULPS_MAX: u64 = 2;
/// Relative tolerance of the rule [`Rule::Compensated`]: naive summation of some thousand values.
const NAIVE_TOLERANCE: f64 = 1e-9;
/// A millisecond of the shortest window of a subquery, five minutes, several times over. Chosen.
const WIDTH_TOLERANCE: f64 = 1e-4;
/// What is left of rounding when the largest values of the data, 1e300, cancel out in a sum that is not compensated: a few units of their last
/// place, up to as much as the tolerance, divided by some hundred values.
const RESIDUE: RangeInclusive<f64> = 1e280..=1e291;

/// A known difference between the reference's version and Prometheus 3.14, or freedom that PromQL leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Both refuse; words may differ by version.
    BothRefuse,
    /// Sums, averages and deviations are compensated since 2.5x, so the last digits differ.
    Compensated,
    /// As [`Rule::Compensated`], where huge values cancel out: all that is left of the reference's sum is rounding.
    Residue,
    /// A window of a subquery in a subquery begins where the inner one has a step, always: since 3.0 that step is not in it.
    LeftEdge,
    /// Behind such a sum, or behind mathematics, stands a step (comparison, rounding, modulo, sort into buckets, the sine of a large
    /// number): the last digit decides.
    StepAfterSum,
    /// `topk` and `bottomk` may choose either of two equal values; values are compared, labels are not.
    Ties,
    /// `atan2` drops the metric's name since 3.0, which also changes what is a duplicate.
    Atan2Name,
    /// `stddev`, `stdvar` and `quantile` of infinities and NaN are NaN since 3.x.
    InfiniteDeviation,
    /// `rate` and `increase` near zero: since 3.0 the distance to zero is looked at after the distance to the window's edge was cut to
    /// half an interval, so that less is extrapolated.
    ZeroClamp,
    /// `histogram_fraction` takes classic buckets since 3.4; before it gives nothing.
    ClassicFraction,
    /// `predict_linear` of a window fixed by `@`: in range queries 2.42 moves the window with the step.
    FixedPrediction,
    /// `exp`, `ln`, `^` and their kin: Go's mathematics there, the C library's here; both right to their last digits, which
    /// later operations may magnify.
    Mathematics,
    /// `ln` and `log10` of a subnormal: Go's assembly takes its leading zeros for a leading one.
    SubnormalLogarithm,
    /// A comparison that filters: since 3.x two partners are refused also where the comparison takes one of them away.
    FilteredPartners,
}

impl Rule {
    /// For people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::BothRefuse => "both refuse the expression",
            Self::Compensated => "sums are compensated since 2.5x: within 1e-9",
            Self::Residue => {
                "sums are compensated since 2.5x: only rounding is left of values that cancel out"
            }
            Self::LeftEdge => "windows are open on the left since 3.0, which shows where subqueries nest",
            Self::StepAfterSum => "a step behind a sum or mathematics: the last digit decides",
            Self::Ties => "topk and bottomk chose another of equal values",
            Self::Atan2Name => "atan2 drops the metric name since 3.0",
            Self::ZeroClamp => "rate and increase near zero extrapolate less since 3.0",
            Self::ClassicFraction => "histogram_fraction of classic buckets since 3.4",
            Self::FixedPrediction => "predict_linear of a fixed window in range queries",
            Self::Mathematics => "last digits of exp, ln, ^ and their kin: within 1e-9",
            Self::InfiniteDeviation => "deviation of infinities since 3.x",
            Self::SubnormalLogarithm => "ln and log10 of a subnormal, which Go gets wrong on amd64",
            Self::FilteredPartners => "two partners of which a comparison takes one are refused since 3.x",
        }
    }
}

impl Rule {
    /// Whether the rule, where it holds for a part of an expression, explains a difference of the whole.
    #[must_use]
    pub fn spreads(self) -> bool {
        matches!(
            self,
            Self::ZeroClamp
                | Self::ClassicFraction
                | Self::FixedPrediction
                | Self::SubnormalLogarithm
                | Self::InfiniteDeviation
                | Self::Residue
        )
    }
}

/// How two answers compare.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// To the bit, or within 2 ulp.
    Same,
    /// By a listed rule.
    Explained(Rule),
    /// Not.
    Different(String),
}

/// Values by series and time. Scalars and strings are one series without labels.
type Table = BTreeMap<String, BTreeMap<i64, f64>>;

/// Compares the reference's answer with the target's.
#[must_use]
pub fn compare(expr: &Expr, reference: &Answer, target: &Answer) -> Verdict {
    let (reference, target) = match (reference, target) {
        (Ok(reference), Ok(target)) => (reference, target),
        (Err(_), Err(_)) => return Verdict::Explained(Rule::BothRefuse),
        (Ok(_), Err(why)) if why.contains("multiple matches for labels") && expr.any(&is_comparison) => {
            return Verdict::Explained(Rule::FilteredPartners);
        }
        (Ok(_), Err(why)) => return by_name(expr, format!("the target refuses: {why}")),
        (Err(why), Ok(_)) => return by_name(expr, format!("the reference refuses: {why}")),
    };
    let (a, b) = (table(reference), table(target));
    if equal(&a, &b, &|x, y| ulps(x, y) <= ULPS_MAX) {
        return Verdict::Same;
    }
    match rule_of(expr, &a, &b) {
        Some(rule) => Verdict::Explained(rule),
        None => by_name(expr, first_difference(&a, &b)),
    }
}

/// As [`compare`], of an expression whose windows are open on the left at the target, and at the reference by having been written so
/// ([`Expr::left_open`]): any difference but that of a millisecond in the width of windows is one.
#[must_use]
pub fn compare_open(expr: &Expr, reference: &Answer, target: &Answer) -> Verdict {
    let verdict = compare(expr, reference, target);
    let is_wide = |part: &Expr| matches!(head(part), "rate" | "increase" | "delta");
    if let (Verdict::Different(_), Ok(a), Ok(b)) = (&verdict, reference, target)
        && expr.any(&is_wide)
        && equal(&table(a), &table(b), &|x, y| {
            close(x, y) || (x - y).abs() <= WIDTH_TOLERANCE * x.abs().max(y.abs())
        })
    {
        return Verdict::Explained(Rule::LeftEdge);
    }
    verdict
}

/// The first rule that explains why the reference's answer `a` is not the target's `b`.
fn rule_of(expr: &Expr, a: &Table, b: &Table) -> Option<Rule> {
    let scale =
        a.values().flat_map(BTreeMap::values).filter(|v| v.is_finite()).fold(0f64, |m, v| m.max(v.abs()));
    let near = |x: f64, y: f64| {
        ulps(x, y) <= ULPS_MAX || (x - y).abs() <= NAIVE_TOLERANCE * x.abs().max(y.abs()).max(scale)
    };
    let has = |names: &[&str]| expr.any(&|part| names.contains(&head(part)));
    let sums = has(&SUMS);
    if sums && equal(a, b, &near) {
        return Some(Rule::Compensated);
    }
    if sums && equal(a, b, &|x, y| near(x, y) || RESIDUE.contains(&(x - y).abs()) && y.abs() < x.abs()) {
        return Some(Rule::Residue);
    }
    if head(expr) == "histogram_fraction" && a.is_empty() {
        return Some(Rule::ClassicFraction);
    }
    let is_fixed = |part: &Expr| match part {
        Expr::Range { suffix, .. } | Expr::Subquery { suffix, .. } => suffix.contains('@'),
        _ => false,
    };
    // The shrinker keeps the type, so that it cannot look below `scalar`.
    let below = if head(expr) == "scalar" { expr.children()[0] } else { expr };
    if head(below) == "predict_linear" && below.children().first().is_some_and(|window| is_fixed(window)) {
        return Some(Rule::FixedPrediction);
    }
    if matches!(head(expr), "rate" | "increase") && equal(a, b, &|x, y| near(x, y) || is_zero_clamp(x, y)) {
        return Some(Rule::ZeroClamp);
    }
    let log_base = match head(expr) {
        "ln" => Some(1.0),
        "log10" => Some(std::f64::consts::LN_10),
        _ => None,
    };
    if let Some(log_base) = log_base
        && equal(a, b, &|x, y| close(x, y) || is_subnormal_ln(x * log_base, y * log_base))
    {
        return Some(Rule::SubnormalLogarithm);
    }
    let is_power = |part: &Expr| matches!(part, Expr::Binary { op, .. } if op.starts_with(['^']));
    if (has(&MATHEMATICS) || expr.any(&is_power)) && equal(a, b, &close) {
        return Some(Rule::Mathematics);
    }
    if has(&["topk", "bottomk"]) && equal(&values_only(a), &values_only(b), &near) {
        return Some(Rule::Ties);
    }
    if has(&["stddev", "stdvar", "stddev_over_time", "stdvar_over_time"])
        && equal(a, b, &|x, y| near(x, y) || x.is_nan() || y.is_nan())
    {
        return Some(Rule::InfiniteDeviation);
    }
    let is_modulo = |part: &Expr| matches!(part, Expr::Binary { op, .. } if op.starts_with('%'));
    let steps = has(&STEPS) || expr.any(&is_comparison) || expr.any(&is_modulo);
    if (sums || has(&MATHEMATICS) || expr.any(&is_power)) && steps {
        return Some(Rule::StepAfterSum);
    }
    None
}

/// What adds up many numbers.
const SUMS: [&str; 11] = [
    "sum",
    "avg",
    "stddev",
    "stdvar",
    "sum_over_time",
    "avg_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "deriv",
    "predict_linear",
    "double_exponential_smoothing",
];

/// What may jump where its argument hardly moves.
const STEPS: [&str; 12] = [
    "sin",
    "cos",
    "tan",
    "floor",
    "ceil",
    "round",
    "sgn",
    "count_values",
    "changes",
    "resets",
    "topk",
    "bottomk",
];

/// Functions whose last digits are the mathematics library's.
const MATHEMATICS: [&str; 14] = [
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cosh", "exp", "ln", "log10", "log2", "sinh", "tanh",
    "atan2",
];

/// Near by a relative tolerance alone.
fn close(a: f64, b: f64) -> bool {
    ulps(a, b) <= ULPS_MAX || (a - b).abs() <= NAIVE_TOLERANCE * a.abs().max(b.abs())
}

/// Of two samples at distance d that span s, the edge counts for up to 1.1 d before 3.0 and for d / 2 since, out of at least
/// s + d / 2 with s >= d: at most 2.1 / 1.5 times as much.
fn is_zero_clamp(before: f64, since: f64) -> bool {
    since > 0.0 && before > since && before / since <= 1.4 + 1e-9
}

/// A subnormal is less than 2^-1022; Go's answer is that of a number with the same digits from 2^-1023 on.
fn is_subnormal_ln(go: f64, right: f64) -> bool {
    let ln_of = |power: f64| power * std::f64::consts::LN_2;
    right < ln_of(-1022.0) && (ln_of(-1023.0) - 1e-9..=ln_of(-1022.0)).contains(&go)
}

fn is_comparison(part: &Expr) -> bool {
    matches!(part, Expr::Binary { op, .. } if op.starts_with(['=', '!', '<', '>']))
}

/// What only the metric's name decides.
fn by_name(expr: &Expr, text: String) -> Verdict {
    let atan2 = expr.any(&|part| matches!(part, Expr::Binary { op, .. } if op.starts_with("atan2")));
    if atan2 { Verdict::Explained(Rule::Atan2Name) } else { Verdict::Different(text) }
}

/// The function or aggregation on top of a part.
fn head(expr: &Expr) -> &str {
    match expr {
        Expr::Call { name, .. } => name,
        Expr::Aggregate { op, .. } => op,
        _ => "",
    }
}

fn table(data: &Value) -> Table {
    let value = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let time = |value: &Value| value.as_f64().map_or(0, |secs| (secs * 1000.0).round() as i64);
    let point = |pair: &Value| (time(&pair[0]), value(&pair[1]));
    let result = &data["result"];
    if matches!(data["resultType"].as_str(), Some("scalar" | "string")) {
        return Table::from([(String::new(), BTreeMap::from([point(result)]))]);
    }
    let mut out = Table::new();
    for series in result.as_array().into_iter().flatten() {
        let points = match series["values"].as_array() {
            Some(values) => values.iter().map(point).collect(),
            None => BTreeMap::from([point(&series["value"])]),
        };
        // serde_json's map is sorted, so that equal labels are equal texts.
        out.insert(series["metric"].to_string(), points);
    }
    out
}

/// Every value at every time, by rank: labels left out.
fn values_only(table: &Table) -> Table {
    let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (t_ms, value) in table.values().flatten() {
        by_time.entry(*t_ms).or_default().push(*value);
    }
    let mut out = Table::new();
    for (t_ms, mut values) in by_time {
        values.sort_by(f64::total_cmp);
        for (rank, value) in values.into_iter().enumerate() {
            out.entry(format!("{rank:06}")).or_default().insert(t_ms, value);
        }
    }
    out
}

fn equal(a: &Table, b: &Table, same: &dyn Fn(f64, f64) -> bool) -> bool {
    let same_points = |x: &BTreeMap<i64, f64>, y: &BTreeMap<i64, f64>| {
        x.len() == y.len() && x.iter().zip(y).all(|((ta, va), (tb, vb))| ta == tb && same(*va, *vb))
    };
    a.len() == b.len() && a.iter().zip(b).all(|((la, pa), (lb, pb))| la == lb && same_points(pa, pb))
}

/// Distance in representable numbers; NaN is near NaN only.
#[must_use]
pub fn ulps(a: f64, b: f64) -> u64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0;
    }
    if a.is_nan() || b.is_nan() || a.is_sign_negative() != b.is_sign_negative() {
        return u64::MAX;
    }
    a.to_bits().abs_diff(b.to_bits())
}

fn first_difference(a: &Table, b: &Table) -> String {
    for (labels, points) in a {
        let Some(other) = b.get(labels) else {
            return format!("only the reference has {labels} ({} points)", points.len());
        };
        for (t_ms, value) in points {
            match other.get(t_ms) {
                None => return format!("{labels} at {t_ms}: the reference has {value}, the target nothing"),
                Some(found) if ulps(*value, *found) > ULPS_MAX => {
                    return format!("{labels} at {t_ms}: the reference has {value}, the target {found}");
                }
                Some(_) => {}
            }
        }
        if let Some((t_ms, value)) = other.iter().find(|(t_ms, _)| !points.contains_key(t_ms)) {
            return format!("{labels} at {t_ms}: the reference has nothing, the target {value}");
        }
    }
    match b.keys().find(|labels| !a.contains_key(*labels)) {
        Some(labels) => format!("only the target has {labels}"),
        None => "the order differs".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verdicts_are_strict_without_a_rule() {
        let plain = Expr::Selector { text: "a".to_owned(), suffix: String::new() };
        let answer = |value: &str| -> Answer {
            Ok(json!({"resultType": "vector", "result": [{"metric": {"x": "1"}, "value": [1.5, value]}]}))
        };
        assert_eq!(compare(&plain, &answer("1"), &answer("1")), Verdict::Same);
        assert_eq!(compare(&plain, &answer("1"), &answer("1.0000000000000002")), Verdict::Same);
        assert_eq!(compare(&plain, &answer("NaN"), &answer("NaN")), Verdict::Same);
        assert!(matches!(compare(&plain, &answer("1"), &answer("1.00000000001")), Verdict::Different(_)));
        assert!(matches!(compare(&plain, &answer("1"), &Err("no".to_owned())), Verdict::Different(_)));
        assert!(matches!(compare(&plain, &answer("0"), &answer("NaN")), Verdict::Different(_)));
        let sum = Expr::Aggregate {
            op: "sum".to_owned(),
            grouping: String::new(),
            param: None,
            inner: Box::new(plain),
        };
        assert_eq!(
            compare(&sum, &answer("1"), &answer("1.00000000001")),
            Verdict::Explained(Rule::Compensated)
        );
        assert!(matches!(compare(&sum, &answer("1"), &answer("1.1")), Verdict::Different(_)));
        assert_eq!(compare(&sum, &answer("2.3e282"), &answer("5.2e20")), Verdict::Explained(Rule::Residue));
        assert!(matches!(compare(&sum, &answer("2.3e100"), &answer("5.2e20")), Verdict::Different(_)));
        let subquery = |inner| Expr::Subquery {
            inner: Box::new(inner),
            range: "1m:5s".to_owned(),
            suffix: String::new(),
        };
        let change = |inner| Expr::Call {
            name: "delta".to_owned(),
            args: vec![subquery(inner)],
            kind: super::super::expr::Kind::Vector,
        };
        let plain = Expr::Selector { text: "a".to_owned(), suffix: String::new() };
        assert!(matches!(compare(&change(plain.clone()), &answer("1"), &answer("2")), Verdict::Different(_)));
        assert_eq!(change(plain.clone()).left_open(), None);
        let nested = change(change(plain));
        assert!(matches!(compare(&nested, &answer("1"), &answer("2")), Verdict::Different(_)));
        let open = nested.left_open().expect("there is a subquery in it");
        assert_eq!(open.to_string(), "delta((delta((a)[59999ms:5s]))[1m:5s])");
        assert!(matches!(compare_open(&nested, &answer("1"), &answer("2")), Verdict::Different(_)));
        assert_eq!(
            compare_open(&nested, &answer("1"), &answer("1.00001")),
            Verdict::Explained(Rule::LeftEdge)
        );
        let ln =
            Expr::Call { name: "ln".to_owned(), args: Vec::new(), kind: super::super::expr::Kind::Vector };
        assert_eq!(
            compare(&ln, &answer("-709.0895657128241"), &answer("-744.4400719213812")),
            Verdict::Explained(Rule::SubnormalLogarithm)
        );
        assert!(matches!(
            compare(&ln, &answer("-708"), &answer("-744.4400719213812")),
            Verdict::Different(_)
        ));
    }
}
