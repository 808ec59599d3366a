//! Whether two answers are the same, and if not to the bit, by which listed rule.

use std::ops::RangeInclusive;

use super::ask::{Answer, Reply};
use super::expr::Expr;
use super::table::{
    Table, ULPS_MAX, equal, equal_but_counted_twice, first_difference, in_order, table, ulps, values_only,
};

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
    /// `absent` of a label that is asked for twice: before 3.x it is on the answer when the equality comes last.
    AbsentTwice,
    /// `predict_linear` of a window fixed by `@`: in range queries 2.42 moves the window with the step.
    FixedPrediction,
    /// `exp`, `ln`, `^` and their kin: Go's mathematics there, the C library's here; both right to their last digits, which
    /// later operations may magnify.
    Mathematics,
    /// `ln` and `log10` of a subnormal: Go's assembly takes its leading zeros for a leading one.
    SubnormalLogarithm,
    /// A sum or deviation over series, taken in another order: it leaves the order of series open.
    Order,
    /// `limitk` takes any series.
    AnySeries,
    /// Which two of several series that break a rule an error names.
    WhichDuplicate,
    /// Observations that a sum of native histograms counts twice, in its zero bucket and in a bucket that reaches beyond it.
    CountedTwice,
    /// `timestamp` of a selector with `@` forgets its offset.
    FixedTimestamp,
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
            Self::AbsentTwice => "absent of a label that is asked for twice: not on the answer since 3.x",
            Self::FixedPrediction => "predict_linear of a fixed window in range queries",
            Self::Mathematics => "last digits of exp, ln, ^ and their kin: within 1e-9",
            Self::InfiniteDeviation => "deviation of infinities since 3.x",
            Self::SubnormalLogarithm => "ln and log10 of a subnormal, which Go gets wrong on amd64",
            Self::Order => "sums over series in another order: within 1e-9",
            Self::AnySeries => "limitk took other series",
            Self::WhichDuplicate => "an error names another pair of duplicate series",
            Self::CountedTwice => "observations counted twice, in the zero bucket and beside it",
            Self::FixedTimestamp => "timestamp of a selector with @ forgets its offset",
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
                | Self::AbsentTwice
                | Self::FixedPrediction
                | Self::SubnormalLogarithm
                | Self::InfiniteDeviation
                | Self::Residue
                | Self::AnySeries
                | Self::CountedTwice
                | Self::FixedTimestamp
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

/// Compares the answer of a reference of 2.x with the target's.
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
    let (a, b) = (table(&reference.data), table(&target.data));
    if equal(&a, &b, &|x, y| ulps(x, y) <= ULPS_MAX) {
        return Verdict::Same;
    }
    match rule_of(expr, &a, &b) {
        Some(rule) => Verdict::Explained(rule),
        None => by_name(expr, first_difference(&a, &b)),
    }
}

/// Compares the answer of a reference of 3.x with the target's: values, the order where the expression asks for one, notices and refusals
/// word by word.
#[must_use]
pub fn compare_modern(expr: &Expr, reference: &Answer, target: &Answer) -> Verdict {
    let (reference, target) = match (reference, target) {
        (Ok(reference), Ok(target)) => (reference, target),
        (Err(theirs), Err(ours)) if theirs == ours => return Verdict::Same,
        (Err(theirs), Err(ours)) if names_duplicates(theirs) && names_duplicates(ours) => {
            return Verdict::Explained(Rule::WhichDuplicate);
        }
        (Err(theirs), Err(ours)) => {
            return Verdict::Different(format!("other words: the reference {theirs}, the target {ours}"));
        }
        (Ok(_), Err(why)) => return Verdict::Different(format!("the target refuses: {why}")),
        (Err(why), Ok(_)) => return Verdict::Different(format!("the reference refuses: {why}")),
    };
    let (a, b) = (table(&reference.data), table(&target.data));
    if !equal(&a, &b, &|x, y| ulps(x, y) <= ULPS_MAX) {
        return match modern_rule_of(expr, &a, &b) {
            Some(rule) => Verdict::Explained(rule),
            None => Verdict::Different(first_difference(&a, &b)),
        };
    }
    if let Some(why) = other_order(expr, reference, target).or_else(|| other_notices(reference, target)) {
        return Verdict::Different(why);
    }
    Verdict::Same
}

fn names_duplicates(error: &str) -> bool {
    error.contains("found duplicate series for the match group")
}

/// Of `sort` by value any order of equal values is right, and groups of `topk` may stand in any order.
fn other_order(expr: &Expr, reference: &Reply, target: &Reply) -> Option<String> {
    let (theirs, ours) = (in_order(&reference.data), in_order(&target.data));
    let is_same = match head(expr) {
        "sort_by_label" | "sort_by_label_desc" => {
            theirs.iter().map(|(labels, _)| labels).eq(ours.iter().map(|(labels, _)| labels))
        }
        "sort" | "sort_desc" => same_values(&theirs, &ours),
        "topk" | "bottomk" if !matches!(expr, Expr::Aggregate { grouping, .. } if !grouping.is_empty()) => {
            same_values(&theirs, &ours)
        }
        _ => true,
    };
    (!is_same).then(|| format!("other order: the reference {theirs:?}, the target {ours:?}"))
}

fn other_notices(reference: &Reply, target: &Reply) -> Option<String> {
    // The rest is told by number only, and which is the rest is chance.
    let is_cut = |reply: &Reply| reply.notices.iter().any(|text| text.contains("annotations omitted"));
    if reference.notices == target.notices || is_cut(reference) && is_cut(target) {
        return None;
    }
    let beyond =
        |a: &Reply, b: &Reply| a.notices.difference(&b.notices).cloned().collect::<Vec<_>>().join("; ");
    Some(format!(
        "notices: only the reference [{}], only the target [{}]",
        beyond(reference, target),
        beyond(target, reference)
    ))
}

fn same_values(theirs: &[(String, f64)], ours: &[(String, f64)]) -> bool {
    theirs.len() == ours.len() && theirs.iter().zip(ours).all(|((_, a), (_, b))| ulps(*a, *b) <= ULPS_MAX)
}

/// Whether a selector has two conditions on one label.
fn asks_twice(expr: &Expr) -> bool {
    let (Expr::Selector { text, .. } | Expr::Range { text, .. }) = expr else { return false };
    let conditions = text.split_once('{').map_or("", |(_, within)| within);
    let names: Vec<&str> =
        conditions.split(',').map(|one| one.split(['=', '!']).next().unwrap_or("")).collect();
    names.iter().enumerate().any(|(nth, name)| names[..nth].contains(name))
}

/// The first rule that explains why the answer `a` of a reference of 3.x is not the target's `b`: what PromQL leaves open, and Go's mathematics.
fn modern_rule_of(expr: &Expr, a: &Table, b: &Table) -> Option<Rule> {
    let has = |names: &[&str]| expr.any(&|part| names.contains(&head(part)));
    if is_subnormal_logarithm(expr, a, b) {
        return Some(Rule::SubnormalLogarithm);
    }
    let is_power = |part: &Expr| matches!(part, Expr::Binary { op, .. } if op.starts_with(['^']));
    let is_atan2 = |part: &Expr| matches!(part, Expr::Binary { op, .. } if op.starts_with("atan2"));
    let is_inexact = has(&MATHEMATICS) || expr.any(&is_power) || expr.any(&is_atan2);
    if head(expr) == "timestamp" && is_moved_and_fixed(expr) {
        return Some(Rule::FixedTimestamp);
    }
    if equal_but_counted_twice(a, b) {
        return Some(Rule::CountedTwice);
    }
    if is_inexact && equal(a, b, &close) {
        return Some(Rule::Mathematics);
    }
    if has(&["topk", "bottomk"]) && equal(&values_only(a), &values_only(b), &close) {
        return Some(Rule::Ties);
    }
    if has(&["limitk"]) {
        return Some(Rule::AnySeries);
    }
    let sums = has(&["sum", "avg", "stddev", "stdvar"]);
    if sums && equal(a, b, &close) {
        return Some(Rule::Order);
    }
    let is_modulo = |part: &Expr| matches!(part, Expr::Binary { op, .. } if op.starts_with('%'));
    let steps = has(&STEPS) || expr.any(&is_comparison) || expr.any(&is_modulo);
    ((is_inexact || sums) && steps).then_some(Rule::StepAfterSum)
}

fn is_moved_and_fixed(call: &Expr) -> bool {
    let is_so = |suffix: &str| suffix.contains('@') && suffix.contains("offset");
    matches!(call.children().first(), Some(Expr::Selector { suffix, .. }) if is_so(suffix))
}

fn is_subnormal_logarithm(expr: &Expr, a: &Table, b: &Table) -> bool {
    let log_base = match head(expr) {
        "ln" => 1.0,
        "log10" => std::f64::consts::LN_10,
        _ => return false,
    };
    equal(a, b, &|x, y| close(x, y) || is_subnormal_ln(x * log_base, y * log_base))
}

/// As [`compare`], of an expression whose windows are open on the left at the target, and at the reference by having been written so
/// ([`Expr::left_open`]): any difference but that of a millisecond in the width of windows is one.
#[must_use]
pub fn compare_open(expr: &Expr, reference: &Answer, target: &Answer) -> Verdict {
    let verdict = compare(expr, reference, target);
    let is_wide = |part: &Expr| matches!(head(part), "rate" | "increase" | "delta");
    if let (Verdict::Different(_), Ok(a), Ok(b)) = (&verdict, reference, target)
        && expr.any(&is_wide)
        && equal(&table(&a.data), &table(&b.data), &|x, y| {
            close(x, y) || (x - y).abs() <= WIDTH_TOLERANCE * x.abs().max(y.abs())
        })
    {
        return Verdict::Explained(Rule::LeftEdge);
    }
    verdict
}

/// The first rule that explains why the reference's answer `a` is not the target's `b`.
fn rule_of(expr: &Expr, a: &Table, b: &Table) -> Option<Rule> {
    let values = a.values().flatten().filter_map(|(_, point)| point.float());
    let scale = values.filter(|v| v.is_finite()).fold(0f64, |m, v| m.max(v.abs()));
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
    // The shrinker keeps the type, so that it cannot look below `scalar`.
    let below = if head(expr) == "scalar" { expr.children()[0] } else { expr };
    let has_nothing = a.values().flatten().all(|(_, point)| point.float().is_some_and(f64::is_nan));
    if head(below) == "histogram_fraction" && has_nothing {
        return Some(Rule::ClassicFraction);
    }
    if head(expr).starts_with("absent") && expr.children().iter().any(|arg| asks_twice(arg)) {
        return Some(Rule::AbsentTwice);
    }
    let is_fixed = |part: &Expr| match part {
        Expr::Range { suffix, .. } | Expr::Subquery { suffix, .. } => suffix.contains('@'),
        _ => false,
    };
    if head(below) == "predict_linear" && below.children().first().is_some_and(|window| is_fixed(window)) {
        return Some(Rule::FixedPrediction);
    }
    if matches!(head(expr), "rate" | "increase") && equal(a, b, &|x, y| near(x, y) || is_zero_clamp(x, y)) {
        return Some(Rule::ZeroClamp);
    }
    if is_subnormal_logarithm(expr, a, b) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn verdicts_are_strict_without_a_rule() {
        let plain = Expr::Selector { text: "a".to_owned(), suffix: String::new() };
        let answer = |value: &str| -> Answer {
            let result = json!([{"metric": {"x": "1"}, "value": [1.5, value]}]);
            let data = json!({"resultType": "vector", "result": result});
            Ok(Reply { data, ..Reply::default() })
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

    #[test]
    fn of_a_modern_reference_order_notices_words_and_histograms_count() {
        let sorted = Expr::Call {
            name: "sort_by_label".to_owned(),
            args: Vec::new(),
            kind: super::super::expr::Kind::Vector,
        };
        let answer = |hosts: [&str; 2], notices: &[&str]| -> Answer {
            let result: Vec<Value> =
                hosts.iter().map(|host| json!({"metric": {"host": host}, "value": [1, "1"]})).collect();
            let notices = notices.iter().map(|text| (*text).to_owned()).collect();
            Ok(Reply { data: json!({"resultType": "vector", "result": result}), notices })
        };
        let one = answer(["a", "b"], &["infos: x (1:2)"]);
        assert_eq!(compare_modern(&sorted, &one, &one.clone()), Verdict::Same);
        let others = [answer(["b", "a"], &["infos: x (1:2)"]), answer(["a", "b"], &["infos: x (1:3)"])];
        for other in others.iter().chain([&Err("no".to_owned())]) {
            assert!(matches!(compare_modern(&sorted, &one, other), Verdict::Different(_)), "{other:?}");
        }
        assert_eq!(compare_modern(&sorted, &Err("no".to_owned()), &Err("no".to_owned())), Verdict::Same);
        assert!(matches!(
            compare_modern(&sorted, &Err("no".to_owned()), &Err("never".to_owned())),
            Verdict::Different(_)
        ));
        let histogram = |count: &str, bound: &str| -> Answer {
            let value = json!({"count": count, "sum": "5", "buckets": [[0, "1", bound, count]]});
            let result = json!([{"metric": {}, "histogram": [1, value]}]);
            Ok(Reply { data: json!({"resultType": "vector", "result": result}), ..Reply::default() })
        };
        let plain = Expr::Selector { text: "a".to_owned(), suffix: String::new() };
        let same = compare_modern(&plain, &histogram("3", "2"), &histogram("3", "2"));
        assert_eq!(same, Verdict::Same);
        for other in [histogram("4", "2"), histogram("3", "4")] {
            assert!(matches!(compare_modern(&plain, &histogram("3", "2"), &other), Verdict::Different(_)));
        }
    }

    #[test]
    fn an_observation_that_is_counted_twice_is_a_rule_and_no_other() {
        let plain = Expr::Selector { text: "a".to_owned(), suffix: String::new() };
        let answer = |count: &str, zero: &str| -> Answer {
            let buckets = json!([[3, "-1", "1", zero], [0, "1", "2", "4"]]);
            let value = json!({"count": count, "sum": "5", "buckets": buckets});
            let result = json!([{"metric": {}, "histogram": [1, value]}]);
            Ok(Reply { data: json!({"resultType": "vector", "result": result}), ..Reply::default() })
        };
        let check = |theirs: &Answer, ours: &Answer| compare_modern(&plain, theirs, ours);
        assert_eq!(check(&answer("7", "4"), &answer("7", "3")), Verdict::Explained(Rule::CountedTwice));
        for (theirs, ours) in [(answer("7", "3"), answer("7", "4")), (answer("8", "4"), answer("7", "3"))] {
            assert!(matches!(check(&theirs, &ours), Verdict::Different(_)));
        }
    }
}
