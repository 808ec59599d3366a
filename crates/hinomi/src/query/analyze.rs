//! `hinomi query analyze`: how many of their buckets histograms use, over a range of time.
//!
//! Classic histograms are the `_bucket` series of one label set without `le`; between two scrapes a bucket is used when its own count
//! grew. Of native ones the buckets that have a count are used. Method: promtool's `query analyze`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::Value;

use super::args::{Format, QueryArgs};
use super::ask;
use super::print::series_name;
use super::table::csv_line;
use crate::say;
use crate::terminal::{Align, Table};

/// One histogram.
#[derive(Debug, Default, PartialEq)]
struct Usage {
    /// Points in time looked at.
    n_times: usize,
    /// Buckets there are, the most at one time.
    n_buckets: usize,
    /// Buckets in use at each time.
    used: Vec<usize>,
    /// Observations over the range.
    observations: f64,
    is_native: bool,
}

pub(super) async fn run(args: &QueryArgs, format: Format) -> Result<()> {
    let mut found: BTreeMap<String, Usage> = BTreeMap::new();
    for (_, selector) in args.params.iter().filter(|(name, _)| *name == "match[]") {
        promql::metric_selector(selector).map_err(|why| anyhow::anyhow!("--match: {why}"))?;
        let mut form = vec![("query", format!("{selector}[{}]", args.duration))];
        form.extend(args.params.iter().filter(|(name, _)| *name == "time").cloned());
        let answer = super::parse_answer(&ask::post(args, "query", &form, false).await?)?;
        let matrix = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        found.extend(native(&matrix));
        found.extend(classic(&matrix));
    }
    if found.is_empty() {
        bail!(
            "no histograms there: --match wants the _bucket series of classic histograms or native ones, with samples \
             within --duration {}",
            args.duration
        );
    }
    print(&found, format)
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.replace("Inf", "inf").parse().ok()).unwrap_or(f64::NAN)
}

fn native(matrix: &[Value]) -> BTreeMap<String, Usage> {
    let mut found = BTreeMap::new();
    for series in matrix {
        let Some(points) = series["histograms"].as_array() else { continue };
        let mut usage = Usage { is_native: true, ..Usage::default() };
        let mut last_count: Option<f64> = None;
        for point in points {
            let (histogram, count) = (&point[1], number(&point[1]["count"]));
            let n_used = histogram["buckets"].as_array().map_or(0, Vec::len);
            usage.n_times += 1;
            usage.n_buckets = usage.n_buckets.max(n_used);
            usage.used.push(n_used);
            usage.observations += grown(last_count, count);
            last_count = Some(count);
        }
        found.insert(series_name(&series["metric"]), usage);
    }
    found
}

/// What a counter grew by; after a reset, all that it has.
fn grown(before: Option<f64>, now: f64) -> f64 {
    match before {
        None => 0.0,
        Some(before) if now < before => now,
        Some(before) => now - before,
    }
}

fn classic(matrix: &[Value]) -> BTreeMap<String, Usage> {
    /// Bound, then time in milliseconds, then cumulative count.
    type Buckets = Vec<(f64, BTreeMap<i64, f64>)>;
    let mut groups: BTreeMap<String, Buckets> = BTreeMap::new();
    for series in matrix {
        let (Some(metric), Some(points)) = (series["metric"].as_object(), series["values"].as_array()) else {
            continue;
        };
        let Some(bound) = metric.get("le").map(number) else { continue };
        let mut rest = metric.clone();
        rest.remove("le");
        let times = points
            .iter()
            .filter_map(|point| Some(((point[0].as_f64()? * 1_000.0).round() as i64, number(&point[1]))));
        groups.entry(series_name(&Value::Object(rest))).or_default().push((bound, times.collect()));
    }
    let mut found = BTreeMap::new();
    for (name, mut buckets) in groups {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let times: Vec<i64> =
            buckets.last().map(|(_, times)| times.keys().copied().collect()).unwrap_or_default();
        let mut usage = Usage { n_times: times.len(), n_buckets: buckets.len(), ..Usage::default() };
        for pair in times.windows(2) {
            let mut below = 0.0;
            let mut n_used = 0;
            for (_, counts) in &buckets {
                let (before, now) = (counts.get(&pair[0]).copied(), counts.get(&pair[1]).copied());
                let cumulative = now.map_or(below, |now| grown(before, now));
                n_used += usize::from(cumulative > below);
                below = cumulative;
            }
            usage.used.push(n_used);
            usage.observations += below;
        }
        found.insert(name, usage);
    }
    found
}

impl Usage {
    fn cells(&self) -> [String; 8] {
        let (n, sum) = (self.used.len().max(1) as f64, self.used.iter().sum::<usize>() as f64);
        let mean = sum / n;
        let share = mean * 100.0 / self.n_buckets.max(1) as f64;
        [
            if self.is_native { "native" } else { "classic" }.to_owned(),
            self.n_times.to_string(),
            self.n_buckets.to_string(),
            self.used.iter().min().copied().unwrap_or(0).to_string(),
            format!("{mean:.1}"),
            self.used.iter().max().copied().unwrap_or(0).to_string(),
            format!("{share:.0}"),
            model::float::format_g(self.observations),
        ]
    }
}

const KEYS: [&str; 9] = [
    "histogram",
    "kind",
    "scrapes",
    "buckets",
    "used_min",
    "used_mean",
    "used_max",
    "used_percent",
    "observations",
];

fn print(found: &BTreeMap<String, Usage>, format: Format) -> Result<()> {
    let row = |(name, usage): (&String, &Usage)| -> Vec<String> {
        std::iter::once(name.clone()).chain(usage.cells()).collect()
    };
    match format {
        Format::Json => {
            let object = |row: Vec<String>| -> Value {
                let value = |(idx, text): (usize, String)| {
                    let number = (idx > 1).then(|| text.parse::<f64>().ok()).flatten();
                    number.map_or(Value::from(text), Value::from)
                };
                KEYS.iter().map(|key| (*key).to_owned()).zip(row.into_iter().enumerate().map(value)).collect()
            };
            let all: Vec<Value> = found.iter().map(|entry| object(row(entry))).collect();
            say(&serde_json::to_string_pretty(&all)?);
        }
        Format::Csv => {
            say(&csv_line(KEYS));
            found.iter().for_each(|entry| say(&csv_line(row(entry))));
        }
        Format::Table | Format::Promql => {
            let headings = [
                "HISTOGRAM",
                "KIND",
                "SCRAPES",
                "BUCKETS",
                "USED MIN",
                "MEAN",
                "MAX",
                "PERCENT",
                "OBSERVATIONS",
            ];
            let align = |idx: usize| if idx < 2 { Align::Left } else { Align::Right };
            let mut table =
                Table::new(headings.into_iter().enumerate().map(|(idx, heading)| (heading, align(idx))));
            found.iter().for_each(|entry| table.row(row(entry)));
            table.print();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_that_grew_are_in_use() {
        let series = |le: &str, values: [&str; 3]| {
            let points: Vec<Value> = values
                .iter()
                .enumerate()
                .map(|(idx, value)| serde_json::json!([idx as f64 * 15.0, value]))
                .collect();
            serde_json::json!({"metric": {"__name__": "d_bucket", "job": "x", "le": le}, "values": points})
        };
        let matrix =
            [series("+Inf", ["4", "9", "10"]), series("0.1", ["1", "3", "3"]), series("1", ["2", "4", "5"])];
        let found = classic(&matrix);
        let usage = &found["d_bucket{job=\"x\"}"];
        assert_eq!(
            usage,
            &Usage { n_times: 3, n_buckets: 3, used: vec![2, 1], observations: 6.0, is_native: false }
        );
        assert_eq!(usage.cells()[3..7], ["1", "1.5", "2", "50"]);
    }

    #[test]
    fn buckets_of_native_histograms_are_in_use_when_they_are_there() {
        let point = |at: f64, count: &str, n: usize| {
            let buckets: Vec<Value> =
                (0..n).map(|idx| serde_json::json!([0, idx.to_string(), "9", "1"])).collect();
            serde_json::json!([at, {"count": count, "sum": "0", "buckets": buckets}])
        };
        let series = serde_json::json!({"metric": {"__name__": "h"}, "histograms": [point(0.0, "5", 2), point(1.0, "8", 4), point(2.0, "1", 1)]});
        let usage = &native(&[series])["h"];
        assert_eq!((usage.n_buckets, &usage.used[..], usage.observations), (4, &[2, 4, 1][..], 4.0));
    }
}
