//! Values of queries as JSON. Those of large answers are written in parts, by `large`.

use model::Histogram;
use promql::{CancelToken, MatrixSeries, Value, VectorSample};

use crate::json::{Json, TimeTexts};

/// Usual bytes of a point and of a series' labels in JSON, to make room for. Chosen: seldom much too little.
const POINT_BYTES: usize = 32;
const SERIES_BYTES: usize = 160;

/// The value of `result`.
pub(super) fn push_value(json: &mut Json, value: &Value) {
    match value {
        // Scalars and texts go through Go's own encoder: a float for the time, and no exponent in the value.
        Value::Scalar { t_ms, value } => json.array(|json| {
            json.number(*t_ms as f64 / 1_000.0);
            json.text(&model::float::format_f(*value));
        }),
        Value::String { t_ms, text } => json.array(|json| {
            json.number(*t_ms as f64 / 1_000.0);
            json.text(text);
        }),
        Value::Vector(samples) => {
            json.array(|json| samples.iter().for_each(|sample| push_sample(json, sample)));
        }
        Value::Matrix(all) => {
            let times = TimeTexts::of_all(all);
            json.array(|json| push_series(json, all, &times, &CancelToken::new()));
        }
    }
}

/// A sample of a vector.
pub(super) fn push_sample(json: &mut Json, sample: &VectorSample) {
    json.object(|json| {
        json.key("metric").labels(&sample.labels);
        match &sample.histogram {
            Some(histogram) => push_histogram(json.key("histogram"), sample.t_ms, histogram),
            None => push_point(json.key("value"), sample.t_ms, sample.value),
        }
    });
}

/// Series of a matrix. Once `cancel` is told, the rest is left out: nobody is to see it.
pub(super) fn push_series(json: &mut Json, all: &[MatrixSeries], times: &TimeTexts, cancel: &CancelToken) {
    let n_points: usize = all.iter().map(|series| series.points.len()).sum();
    json.reserve(n_points * POINT_BYTES + all.len() * SERIES_BYTES);
    for series in all.iter().take_while(|_| !cancel.is_canceled()) {
        json.object(|json| {
            json.key("metric").labels(&series.labels);
            if !series.points.is_empty() {
                json.key("values").points(&series.points, times);
            }
            if !series.histograms.is_empty() {
                json.key("histograms").array(|json| {
                    series.histograms.iter().for_each(|(t_ms, h)| push_histogram(json, *t_ms, h));
                });
            }
        });
    }
}

fn push_point(json: &mut Json, t_ms: i64, value: f64) {
    json.array(|json| {
        json.sample_time(t_ms);
        json.sample_value(value);
    });
}

fn push_histogram(json: &mut Json, t_ms: i64, histogram: &Histogram) {
    json.array(|json| {
        json.sample_time(t_ms);
        json.histogram(histogram);
    });
}
