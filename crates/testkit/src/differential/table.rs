//! An answer as a table: values by series and time, floats and native histograms, and how far two of them are apart.

use std::collections::BTreeMap;

use serde_json::Value;

/// Distance in units of the last place that sums may differ by.
pub(super) const ULPS_MAX: u64 = 2;

/// Rounding of a sum of buckets, relative to the count. Chosen.
const EXCESS_MAX: f64 = 1e-9;

/// Values by series and time. Scalars and strings are one series without labels.
pub(super) type Table = BTreeMap<String, BTreeMap<i64, Point>>;

/// What a series has at a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Point {
    /// A number.
    Float(f64),
    /// The numbers of a native histogram, and what tells its buckets apart: kind and bounds.
    Histogram { numbers: Vec<f64>, buckets: Vec<String> },
    /// A string literal.
    Text(String),
}

impl Point {
    /// The number, where it is one.
    pub(super) fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// Count and sum of a histogram.
    fn totals(&self) -> Option<&[f64]> {
        match self {
            Self::Histogram { numbers, .. } => numbers.get(..2),
            _ => None,
        }
    }

    /// By how much the buckets of a histogram hold more than its count, relative to the count.
    fn excess(&self) -> Option<f64> {
        match self {
            Self::Histogram { numbers, .. } => {
                let (count, buckets) = (*numbers.first()?, numbers.get(2..)?);
                Some((buckets.iter().sum::<f64>() - count) / count)
            }
            _ => None,
        }
    }

    /// Whether all its numbers are the same by `same`, and the rest is equal.
    fn is_same(&self, other: &Self, same: &dyn Fn(f64, f64) -> bool) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => same(*a, *b),
            (Self::Histogram { numbers: a, buckets: x }, Self::Histogram { numbers: b, buckets: y }) => {
                x == y && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, *b))
            }
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float(value) => write!(f, "{value}"),
            Self::Histogram { numbers, buckets } => write!(f, "{numbers:?} of {}", buckets.join(" ")),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn float(pair: &Value) -> (i64, Point) {
    let text = || Point::Text(pair[1].as_str().unwrap_or_default().to_owned());
    (time(pair), number(&pair[1]).map_or_else(text, Point::Float))
}

fn histogram(pair: &Value) -> (i64, Point) {
    let found = &pair[1];
    let mut numbers: Vec<f64> = ["count", "sum"].iter().filter_map(|key| number(&found[*key])).collect();
    let mut buckets = Vec::new();
    for bucket in found["buckets"].as_array().into_iter().flatten() {
        buckets.push(format!("{}:{}..{}", bucket[0], bucket[1], bucket[2]));
        numbers.extend(number(&bucket[3]));
    }
    (time(pair), Point::Histogram { numbers, buckets })
}

fn time(pair: &Value) -> i64 {
    pair[0].as_f64().map_or(0, |secs| (secs * 1000.0).round() as i64)
}

/// The table of `data`.
pub(super) fn table(data: &Value) -> Table {
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("scalar") => return Table::from([(String::new(), BTreeMap::from([float(result)]))]),
        Some("string") => {
            let text = result[1].as_str().unwrap_or_default().to_owned();
            return Table::from([(String::new(), BTreeMap::from([(time(result), Point::Text(text))]))]);
        }
        _ => {}
    }
    let mut out = Table::new();
    for series in result.as_array().into_iter().flatten() {
        let all = |key: &str| series[key].as_array().into_iter().flatten();
        let one = |key: &str| series.get(key).into_iter();
        let floats = all("values").chain(one("value")).map(float);
        let points = floats.chain(all("histograms").chain(one("histogram")).map(histogram));
        // serde_json's map is sorted, so that equal labels are equal texts.
        out.insert(series["metric"].to_string(), points.collect());
    }
    out
}

/// Labels of all series in the order of the answer, each with its number.
pub(super) fn in_order(data: &Value) -> Vec<(String, f64)> {
    let series = data["result"].as_array().into_iter().flatten();
    series.map(|one| (one["metric"].to_string(), number(&one["value"][1]).unwrap_or(f64::NAN))).collect()
}

/// Every number at every time, by rank: labels left out.
pub(super) fn values_only(table: &Table) -> Table {
    let mut by_time: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (t_ms, point) in table.values().flatten() {
        by_time.entry(*t_ms).or_default().extend(point.float());
    }
    let mut out = Table::new();
    for (t_ms, mut values) in by_time {
        values.sort_by(f64::total_cmp);
        for (rank, value) in values.into_iter().enumerate() {
            out.entry(format!("{rank:06}")).or_default().insert(t_ms, Point::Float(value));
        }
    }
    out
}

/// Whether both have the same series and times, and numbers the same by `same`.
pub(super) fn equal(a: &Table, b: &Table, same: &dyn Fn(f64, f64) -> bool) -> bool {
    let same_points = |x: &BTreeMap<i64, Point>, y: &BTreeMap<i64, Point>| {
        x.len() == y.len() && x.iter().zip(y).all(|((ta, va), (tb, vb))| ta == tb && va.is_same(vb, same))
    };
    a.len() == b.len() && a.iter().zip(b).all(|((la, pa), (lb, pb))| la == lb && same_points(pa, pb))
}

/// Whether nothing differs but histograms of the same count and sum, whose buckets hold more than the count in `a`, and just that in `b`.
pub(super) fn equal_but_counted_twice(a: &Table, b: &Table) -> bool {
    let is_same = |x: &Point, y: &Point| {
        x.is_same(y, &|x, y| ulps(x, y) <= ULPS_MAX)
            || matches!((x.excess(), y.excess()), (Some(more), Some(none)) if more > EXCESS_MAX && none.abs() <= EXCESS_MAX && x.totals() == y.totals())
    };
    let same_points = |x: &BTreeMap<i64, Point>, y: &BTreeMap<i64, Point>| {
        x.len() == y.len() && x.iter().zip(y).all(|((ta, va), (tb, vb))| ta == tb && is_same(va, vb))
    };
    a.len() == b.len() && a.iter().zip(b).all(|((la, pa), (lb, pb))| la == lb && same_points(pa, pb))
}

/// Distance in representable numbers; NaN is near NaN only.
#[must_use]
pub(super) fn ulps(a: f64, b: f64) -> u64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0;
    }
    if a.is_nan() || b.is_nan() || a.is_sign_negative() != b.is_sign_negative() {
        return u64::MAX;
    }
    a.to_bits().abs_diff(b.to_bits())
}

/// For people: where the answers part.
pub(super) fn first_difference(a: &Table, b: &Table) -> String {
    for (labels, points) in a {
        let Some(other) = b.get(labels) else {
            return format!("only the reference has {labels} ({} points)", points.len());
        };
        for (t_ms, point) in points {
            match other.get(t_ms) {
                None => return format!("{labels} at {t_ms}: the reference has {point}, the target nothing"),
                Some(found) if !point.is_same(found, &|x, y| ulps(x, y) <= ULPS_MAX) => {
                    return format!("{labels} at {t_ms}: the reference has {point}, the target {found}");
                }
                Some(_) => {}
            }
        }
        if let Some((t_ms, point)) = other.iter().find(|(t_ms, _)| !points.contains_key(t_ms)) {
            return format!("{labels} at {t_ms}: the reference has nothing, the target {point}");
        }
    }
    match b.keys().find(|labels| !a.contains_key(*labels)) {
        Some(labels) => format!("only the target has {labels}"),
        None => "the order differs".to_owned(),
    }
}
