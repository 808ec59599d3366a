//! histogram_quantile, histogram_quantiles and histogram_fraction over classic buckets.

use std::collections::HashMap;

use model::Labels;
use model::float::push_g;
use model::labels::{METRIC_NAME, quoted};

use super::dispatch::text;
use super::histogram::{self, Bucket, Repaired};
use crate::annotations::BucketRepair;
use crate::eval::aggregate::quantile_warning;
use crate::eval::column::{Column, Grid, without};
use crate::eval::evaluator::{Evaluator, Result};
use crate::parse::ast::{Expr, Span};

/// The label that holds a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// The buckets of one histogram: bound and series.
struct Histogram {
    labels: Labels,
    buckets: Vec<(f64, Column)>,
}

impl Histogram {
    fn at(&self, step: usize) -> Vec<Bucket> {
        let bucket =
            |(bound, column): &(f64, Column)| column.get(step).map(|count| Bucket { bound: *bound, count });
        self.buckets.iter().filter_map(bucket).collect()
    }
}

fn metric_suffix(ev: &Evaluator<'_>, labels: &Labels) -> String {
    match labels.get(METRIC_NAME) {
        Some(name) if !ev.drops_names_at_once() => format!(" for metric name {}", quoted(name)),
        _ => String::new(),
    }
}

/// A float as Go's `ParseFloat` reads it.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn gather(ev: &mut Evaluator<'_>, arg: &Expr, grid: Grid) -> Result<Vec<Histogram>> {
    let columns = ev.vector(arg, grid)?;
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut histograms: Vec<Histogram> = Vec::new();
    for column in columns {
        if column.is_absent() {
            continue;
        }
        let le = column.labels.get(BUCKET_LABEL).unwrap_or("");
        let Some(bound) = parse_bound(le) else {
            let suffix = metric_suffix(ev, &column.labels);
            let text =
                format!("bucket label \"le\" is missing or has a malformed value of {}{suffix}", quoted(le));
            ev.warn(arg.unwrapped().span, text);
            continue;
        };
        let labels = without(&column.labels, &[BUCKET_LABEL]);
        let idx = *known.entry(labels.clone()).or_insert_with(|| {
            histograms.push(Histogram { labels, buckets: Vec::new() });
            histograms.len() - 1
        });
        histograms[idx].buckets.push((bound, column));
    }
    Ok(histograms)
}

/// Computes one value per histogram and step.
fn each(
    ev: &mut Evaluator<'_>,
    histograms: &[Histogram],
    span: Span,
    grid: Grid,
    compute: impl Fn(usize, Vec<Bucket>) -> (f64, Option<Repaired>),
) -> Result<Vec<Column>> {
    let mut results = Vec::new();
    for histogram in histograms {
        ev.check_stop()?;
        let mut result = Column::absent(histogram.labels.clone(), grid.n_steps);
        for step in 0..grid.n_steps {
            let buckets = histogram.at(step);
            if buckets.is_empty() {
                continue;
            }
            let (value, repaired) = compute(step, buckets);
            result.set(step, value);
            if let Some(repaired) = repaired {
                note_repair(ev, histogram, span, grid.t_ms(step), repaired);
            }
        }
        ev.drop_name(&mut result);
        if !result.is_absent() {
            results.push(result);
        }
    }
    Ok(results)
}

fn note_repair(ev: &mut Evaluator<'_>, histogram: &Histogram, span: Span, t_ms: i64, repaired: Repaired) {
    let suffix = metric_suffix(ev, &histogram.labels);
    let text = format!(
        "input to histogram_quantile needed to be fixed for monotonicity (see \
         https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){suffix}"
    );
    let Repaired { bound_min, bound_max, diff_max } = repaired;
    let repair = BucketRepair { first_ms: t_ms, last_ms: t_ms, bound_min, bound_max, diff_max, n_samples: 1 };
    ev.annotations.repaired(ev.query, span, text, repair);
}

fn warn_quantiles(ev: &mut Evaluator<'_>, quantiles: &[f64], span: Span) {
    for q in quantiles {
        if !(0.0..=1.0).contains(q) {
            ev.warn(span, quantile_warning(*q));
        }
    }
}

pub(crate) fn quantile(ev: &mut Evaluator<'_>, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let quantiles = ev.scalar(&args[0], grid)?;
    warn_quantiles(ev, &quantiles, args[0].unwrapped().span);
    let histograms = gather(ev, &args[1], grid)?;
    let span = args[1].unwrapped().span;
    let results =
        each(ev, &histograms, span, grid, |step, buckets| histogram::quantile(quantiles[step], buckets))?;
    ev.settle(results, grid)
}

/// A quantile as a label's value: always with a point or an exponent.
fn quantile_text(q: f64) -> String {
    let mut text = String::new();
    push_g(&mut text, q);
    if q.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

pub(crate) fn quantiles(ev: &mut Evaluator<'_>, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let label = text(&args[1])?;
    let histograms = gather(ev, &args[0], grid)?;
    let span = args[0].unwrapped().span;
    let mut results = Vec::new();
    for arg in &args[2..] {
        let quantiles = ev.scalar(arg, grid)?;
        warn_quantiles(ev, &quantiles, arg.unwrapped().span);
        let columns =
            each(ev, &histograms, span, grid, |step, buckets| histogram::quantile(quantiles[step], buckets))?;
        for column in columns {
            let n_known = results.len();
            split_by_quantile(&column, label, &quantiles, &mut results);
            ev.hold(results[n_known..].iter().map(Column::n_samples).sum())?;
        }
    }
    ev.settle(results, grid)
}

/// The quantile may change from step to step, and the label with it.
fn split_by_quantile(column: &Column, label: &str, quantiles: &[f64], results: &mut Vec<Column>) {
    let mut by_bits: HashMap<u64, Column> = HashMap::new();
    let mut order = Vec::new();
    for (step, q) in quantiles.iter().enumerate() {
        let Some(value) = column.get(step) else {
            continue;
        };
        let part = by_bits.entry(q.to_bits()).or_insert_with(|| {
            order.push(q.to_bits());
            let labels = column.labels.to_builder().set(label, &quantile_text(*q)).build();
            Column { drop_name: column.drop_name, ..Column::absent(labels, quantiles.len()) }
        });
        part.set(step, value);
    }
    results.extend(order.iter().filter_map(|bits| by_bits.remove(bits)));
}

pub(crate) fn fraction(ev: &mut Evaluator<'_>, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let (lower, upper) = (ev.scalar(&args[0], grid)?, ev.scalar(&args[1], grid)?);
    let histograms = gather(ev, &args[2], grid)?;
    let span = args[2].unwrapped().span;
    let results = each(ev, &histograms, span, grid, |step, buckets| {
        (histogram::fraction(lower[step], upper[step], buckets), None)
    })?;
    ev.settle(results, grid)
}
