//! `status/self_metrics`: our own metrics as JSON, in the form in which protobuf's JSON mapping writes client_model's `MetricFamily`.
//!
//! In: the page of our own metrics; out: an array of families, by name. 64-bit integers are texts, as that mapping has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MetricType, Regex};
use wire::exposition::{Entry, Format, ParseError, Parser};

use super::aside;
use crate::error::{ApiError, ErrorKind};
use crate::json::Json;
use crate::params::Params;
use crate::respond::success;
use crate::state::{Shared, Shell};

/// `GET /api/v1/status/self_metrics`
pub(crate) async fn self_metrics(
    State(shell): State<Arc<Shell>>,
    _: Shared,
    params: Params,
) -> Result<Response, ApiError> {
    let pattern = match params.get("metric_name_pattern") {
        "" => None,
        text => Some(
            Regex::new(text)
                .map_err(|err| ApiError::bad_data(format!("invalid metric_name_pattern: {err}")))?,
        ),
    };
    let page = Arc::clone(&shell.page);
    let families = aside(move || families(&page())).await?;
    let families = families
        .map_err(|err| ApiError::new(ErrorKind::Internal, format!("error gathering self metrics: {err}")))?;
    Ok(success(|json| {
        json.array(|json| {
            let wanted = |name: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name));
            families.iter().filter(|(name, _)| wanted(name)).for_each(|(name, it)| push(json, name, it));
        });
    }))
}

#[derive(Debug, Default)]
struct Family {
    metric_type: MetricType,
    help: String,
    metrics: BTreeMap<Labels, Metric>,
}

#[derive(Debug, Default)]
struct Metric {
    value: f64,
    sum: f64,
    count: f64,
    /// Upper bounds or quantiles, with their values.
    points: Vec<(f64, f64)>,
}

fn families(page: &str) -> Result<BTreeMap<String, Family>, ParseError> {
    let (mut families, mut builder) = (BTreeMap::<String, Family>::new(), LabelsBuilder::new());
    let mut parser = Parser::new(page.as_bytes(), Format::Text004);
    while let Some(entry) = parser.next_entry()? {
        match entry {
            Entry::Type { name, metric_type } => {
                families.entry(name.into_owned()).or_default().metric_type = metric_type;
            }
            Entry::Help { name, text } => {
                families.entry(name.into_owned()).or_default().help = text.into_owned();
            }
            Entry::Sample(sample) => {
                sample.fill_labels(&mut builder)?;
                take(&mut families, &mut builder, sample.value);
            }
            Entry::Unit { .. } | Entry::Comment => {}
        }
    }
    families.retain(|_, family| !family.metrics.is_empty());
    Ok(families)
}

/// Puts one line where it belongs: several make a histogram or summary.
fn take(families: &mut BTreeMap<String, Family>, builder: &mut LabelsBuilder, value: f64) {
    let name = builder.get(METRIC_NAME).unwrap_or_default().to_owned();
    builder.remove(METRIC_NAME);
    let part = ["_bucket", "_sum", "_count"].into_iter().find_map(|suffix| {
        let family = name.strip_suffix(suffix)?;
        let metric_type = families.get(family)?.metric_type;
        let has_parts = match metric_type {
            MetricType::Histogram => true,
            MetricType::Summary => suffix != "_bucket",
            _ => false,
        };
        has_parts.then(|| (family.to_owned(), suffix))
    });
    let (family, suffix) = part.unwrap_or((name, ""));
    let family = families.entry(family).or_default();
    let bound = match (family.metric_type, suffix) {
        (MetricType::Histogram, "_bucket") => Some("le"),
        (MetricType::Summary, "") => Some("quantile"),
        _ => None,
    };
    let at = bound.and_then(|label| {
        let at = builder.get(label)?.parse::<f64>().ok();
        builder.remove(label);
        at
    });
    let metric = family.metrics.entry(builder.build()).or_default();
    match (suffix, at) {
        // The last bucket says what the count says.
        ("_bucket", Some(at)) if at == f64::INFINITY => {}
        (_, Some(at)) => metric.points.push((at, value)),
        ("_sum", None) => metric.sum = value,
        ("_count", None) => metric.count = value,
        _ => metric.value = value,
    }
}

fn push(json: &mut Json, name: &str, family: &Family) {
    let type_name = match family.metric_type {
        MetricType::Counter => "COUNTER",
        MetricType::Gauge => "GAUGE",
        MetricType::Summary => "SUMMARY",
        MetricType::Histogram => "HISTOGRAM",
        _ => "UNTYPED",
    };
    json.object(|json| {
        json.key("name").text(name);
        json.key("help").text(&family.help);
        json.key("type").text(type_name);
        json.key("metric").array(|json| {
            for (labels, metric) in &family.metrics {
                json.object(|json| push_metric(json, family.metric_type, labels, metric));
            }
        });
    });
}

fn push_metric(json: &mut Json, metric_type: MetricType, labels: &Labels, metric: &Metric) {
    if !labels.is_empty() {
        json.key("label").array(|json| {
            for (name, value) in labels {
                json.object(|json| {
                    json.key("name").text(name);
                    json.key("value").text(value);
                });
            }
        });
    }
    let whole = |value: f64| format!("{value:.0}");
    let simple = match metric_type {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Summary => "summary",
        MetricType::Histogram => "histogram",
        _ => "untyped",
    };
    json.key(simple).object(|json| {
        let (list, at, value) = match metric_type {
            MetricType::Summary => ("quantile", "quantile", "value"),
            MetricType::Histogram => ("bucket", "upperBound", "cumulativeCount"),
            _ => return number(json.key("value"), metric.value),
        };
        json.key("sampleCount").text(&whole(metric.count));
        number(json.key("sampleSum"), metric.sum);
        json.key(list).array(|json| {
            for (bound, of_bound) in &metric.points {
                json.object(|json| {
                    if metric_type == MetricType::Histogram {
                        json.key(value).text(&whole(*of_bound));
                        number(json.key(at), *bound);
                    } else {
                        number(json.key(at), *bound);
                        number(json.key(value), *of_bound);
                    }
                });
            }
        });
    });
}

/// What JSON has no number for is a text.
fn number(json: &mut Json, value: f64) {
    match value {
        value if value.is_nan() => json.text("NaN"),
        f64::INFINITY => json.text("Infinity"),
        f64::NEG_INFINITY => json.text("-Infinity"),
        value => json.number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_protobufs_json_mapping_has_them() {
        let page = "# HELP c Help.\n# TYPE c counter\nc{a=\"b\"} 2\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\n\
                    h_bucket{le=\"+Inf\"} 3\nh_sum 4.5\nh_count 3\n# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 0\ns_count 0\n\
                    # TYPE s_count gauge\nfree 1\n";
        let mut json = Json::new();
        json.array(|json| families(page).unwrap().iter().for_each(|(name, it)| push(json, name, it)));
        let expected = [
            r#"{"name":"c","help":"Help.","type":"COUNTER","metric":[{"label":[{"name":"a","value":"b"}],"counter":{"value":2}}]}"#,
            r#"{"name":"free","help":"","type":"UNTYPED","metric":[{"untyped":{"value":1}}]}"#,
            r#"{"name":"h","help":"","type":"HISTOGRAM","metric":[{"histogram":{"sampleCount":"3","sampleSum":4.5,"bucket":[{"cumulativeCount":"1","upperBound":0.5}]}}]}"#,
            r#"{"name":"s","help":"","type":"SUMMARY","metric":[{"summary":{"sampleCount":"0","sampleSum":0,"quantile":[{"quantile":0.5,"value":"NaN"}]}}]}"#,
        ];
        assert_eq!(json.finish(), format!("[{}]", expected.join(",")));
    }
}
