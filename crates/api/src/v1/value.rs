//! Values of queries as JSON: long matrices in several pieces, on as many threads as a query may use.
//!
//! In from the engine's answers; out the pieces of a body, in order. Which threads write changes no byte.

use model::Histogram;
use promql::{CancelToken, MatrixSeries, Value};

use crate::json::{Json, TimeTexts};

/// Usual bytes of a point and of a series' labels in JSON, to make room for. Chosen: seldom much too little.
const POINT_BYTES: usize = 32;
const SERIES_BYTES: usize = 160;

/// A matrix of fewer points is written by one thread. Chosen: about a millisecond, twenty times what starting a thread takes.
const SPLIT_POINTS_MIN: usize = 40_000;

/// The value of `result`. What is cancelled meanwhile is left half written: nobody is to see it.
pub(super) fn push_value(json: &mut Json, value: &Value, n_threads: usize, cancel: &CancelToken) {
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
        Value::Vector(samples) => json.array(|json| {
            for sample in samples.iter().take_while(|_| !cancel.is_canceled()) {
                json.object(|json| {
                    json.key("metric").labels(&sample.labels);
                    match &sample.histogram {
                        Some(histogram) => push_histogram(json.key("histogram"), sample.t_ms, histogram),
                        None => push_point(json.key("value"), sample.t_ms, sample.value),
                    }
                });
            }
        }),
        Value::Matrix(series) => push_matrix(json, series, n_threads, cancel),
    }
}

fn push_matrix(json: &mut Json, all: &[MatrixSeries], n_threads: usize, cancel: &CancelToken) {
    let n_points: usize = all.iter().map(|series| series.points.len()).sum();
    let longest = all.iter().max_by_key(|series| series.points.len());
    let times = longest.map_or(&[][..], |series| &series.points).iter().map(|(t_ms, _)| *t_ms);
    // One series alone would gain nothing.
    let times = if all.len() > 1 { TimeTexts::new(times) } else { TimeTexts::default() };
    if n_threads < 2 || n_points < SPLIT_POINTS_MIN {
        return json.array(|json| push_series(json, all, &times, cancel));
    }
    let mut parts = parts(all, n_points.div_ceil(n_threads)).into_iter();
    let own = parts.next().unwrap_or(&[]);
    json.array(|json| {
        std::thread::scope(|scope| {
            let times = &times;
            let write = |part| {
                scope.spawn(move || {
                    let mut json = Json::continued();
                    push_series(&mut json, part, times, cancel);
                    json.finish()
                })
            };
            let others: Vec<_> = parts.map(write).collect();
            push_series(json, own, times, cancel);
            for other in others {
                // A panic over there is one here: nothing is answered with a piece missing.
                json.append(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
    });
}

/// `all` in parts of about so many points; none is empty.
fn parts(all: &[MatrixSeries], n_points_each: usize) -> Vec<&[MatrixSeries]> {
    let (mut parts, mut rest) = (Vec::new(), all);
    while !rest.is_empty() {
        let mut n_points = 0;
        let n_series = rest.iter().take_while(|series| {
            let is_full = n_points >= n_points_each;
            n_points += series.points.len();
            !is_full
        });
        let (part, others) = rest.split_at(n_series.count().max(1));
        parts.push(part);
        rest = others;
    }
    parts
}

fn push_series(json: &mut Json, all: &[MatrixSeries], times: &TimeTexts, cancel: &CancelToken) {
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

#[cfg(test)]
mod tests {
    use model::Labels;

    use super::*;

    #[test]
    fn threads_change_no_byte() {
        let series = |nth: usize, n_points: usize| MatrixSeries {
            labels: Labels::from_pairs([("n", nth.to_string())]),
            points: (0..n_points).map(|at| (at as i64 * 500, (at * nth) as f64 / 7.0)).collect(),
            histograms: Vec::new(),
        };
        let check = |sizes: &[usize]| {
            let all: Vec<_> =
                sizes.iter().enumerate().map(|(nth, n_points)| series(nth, *n_points)).collect();
            let value = Value::Matrix(all);
            let written = |n_threads| {
                let mut json = Json::new();
                json.object(|json| {
                    push_value(json.key("a"), &value, n_threads, &CancelToken::new());
                    json.key("b").null();
                });
                json.finish_pieces()
            };
            let (one, many) = (written(1), [written(2), written(3), written(64)]);
            assert_eq!(one.len(), 1);
            many.iter().for_each(|pieces| assert_eq!(pieces.concat(), one[0], "{sizes:?}"));
        };
        check(&[]);
        check(&[SPLIT_POINTS_MIN]);
        check(&[3, SPLIT_POINTS_MIN, 0, 2]);
        check(&[9_000; 11]);
        check(&[0, 0, SPLIT_POINTS_MIN, 0]);
    }
}
