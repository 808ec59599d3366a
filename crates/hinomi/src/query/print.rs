//! Answers line by line, as promtool prints them.

use serde_json::Value;

use super::Format;
use super::table::csv_line;
use crate::say;
use crate::terminal::{Align, Table};

/// `name{a="b"} => 1 @[1435781430.781]`
pub(super) fn result(data: &Value) {
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("vector") => {
            for series in result.as_array().into_iter().flatten() {
                let pair = if series["value"].is_array() { &series["value"] } else { &series["histogram"] };
                say(&format!("{} => {}", series_name(&series["metric"]), point(pair)));
            }
        }
        Some("matrix") => {
            for series in result.as_array().into_iter().flatten() {
                say(&format!("{} =>", series_name(&series["metric"])));
                let points = ["values", "histograms"].into_iter().filter_map(|key| series[key].as_array());
                points.flatten().for_each(|pair| say(&point(pair)));
            }
        }
        Some("scalar") => say(&format!("scalar: {}", point(result))),
        _ => say(result[1].as_str().unwrap_or_default()),
    }
}

/// Series, one a line.
pub(super) fn series_lines(data: &Value) {
    data.as_array().into_iter().flatten().for_each(|metric| say(&series_name(metric)));
}

/// Label names, or the values of `name`.
pub(super) fn labels(data: &Value, name: &str, format: Format) {
    let heading = if name.is_empty() { "LABEL" } else { name };
    let values = || data.as_array().into_iter().flatten().filter_map(Value::as_str);
    match format {
        Format::Csv => {
            say(&csv_line([if name.is_empty() { "label" } else { name }]));
            values().for_each(|value| say(&csv_line([value])));
        }
        Format::Table => {
            let mut table = Table::new([(heading, Align::Left)]);
            values().for_each(|value| table.row([value.to_owned()]));
            table.print();
        }
        _ => values().for_each(say),
    }
}

fn point(pair: &Value) -> String {
    format!("{} @[{}]", value_text(&pair[1]), pair[0])
}

/// A float as it came; of a native histogram what is in it.
pub(super) fn value_text(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let buckets = value["buckets"].as_array().into_iter().flatten().map(|bucket| {
        let (open, close) = match bucket[0].as_u64() {
            Some(0) => ('(', ']'),
            Some(1) => ('[', ')'),
            Some(3) => ('[', ']'),
            _ => ('(', ')'),
        };
        format!(", {open}{},{}{close}:{}", text(&bucket[1]), text(&bucket[2]), text(&bucket[3]))
    });
    format!("{{count:{}, sum:{}{}}}", text(&value["count"]), text(&value["sum"]), buckets.collect::<String>())
}

/// `name{a="b"}`
pub(super) fn series_name(metric: &Value) -> String {
    let pairs =
        metric.as_object().into_iter().flatten().map(|(name, value)| (name, value.as_str().unwrap_or("")));
    let labels = model::Labels::from_pairs(pairs);
    let rest = labels.without_metric_name();
    match (labels.metric_name(), rest.is_empty()) {
        (name, true) if !name.is_empty() => name.to_owned(),
        (name, _) => format!("{name}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_written_as_prometheus_writes_them() {
        let value = serde_json::json!({"count": "3", "sum": "2.5", "buckets": [[0, "1", "2", "1"], [3, "-1", "1", "2"]]});
        assert_eq!(value_text(&value), "{count:3, sum:2.5, (1,2]:1, [-1,1]:2}");
        assert_eq!(value_text(&serde_json::json!("+Inf")), "+Inf");
    }
}
