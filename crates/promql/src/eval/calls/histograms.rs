//! histogram_quantile, histogram_quantiles and histogram_fraction over classic buckets and native histograms; counts, sums and
//! variances of native ones.

use std::collections::HashMap;

use model::float::push_g;
use model::labels::{METRIC_NAME, quoted};
use model::{Histogram, Labels};

use super::text;
use crate::annotations::{BucketRepair, texts};
use crate::eval::aggregate::quantile_warning;
use crate::eval::column::{Column, Grid, without};
use crate::eval::evaluator::{Evaluator, Result};
use crate::eval::pace::{HISTOGRAM_VALUES, LABELS_VALUES, Pace};
use crate::func::histogram::classic::{self, Bucket, Repaired};
use crate::func::histogram::native;
use crate::func::window::Notes;
use crate::parse::ast::{Expr, Span};

/// The label that holds a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// The series of one histogram.
struct Input {
    labels: Labels,
    /// Bounds and series of a classic one.
    buckets: Vec<(f64, Column)>,
    /// A native one.
    native: Option<Column>,
}

/// A histogram at one step.
enum At<'a> {
    Classic(Vec<Bucket>),
    Native(&'a Histogram),
}

impl Input {
    fn classic_at(&self, step: usize) -> Vec<Bucket> {
        let bucket =
            |(bound, column): &(f64, Column)| column.get(step).map(|count| Bucket { bound: *bound, count });
        self.buckets.iter().filter_map(bucket).collect()
    }

    /// What there is at a step; an error when both kinds are there, which then are of no use.
    fn at(&self, step: usize) -> std::result::Result<Option<At<'_>>, BothKinds> {
        let classic = self.classic_at(step);
        match self.native.as_ref().and_then(|column| column.histogram(step)) {
            Some(_) if !classic.is_empty() => Err(BothKinds),
            Some(native) => Ok(Some(At::Native(native))),
            None => Ok((!classic.is_empty()).then_some(At::Classic(classic))),
        }
    }
}

/// A classic and a native histogram of the same name and labels.
struct BothKinds;

/// The metric's name as annotations show it: not at all where names are dropped at once.
fn shown_metric<'l>(ev: &Evaluator<'_>, labels: &'l Labels) -> &'l str {
    if ev.drops_names_at_once() { "" } else { labels.metric_name() }
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

fn gather(ev: &mut Evaluator<'_>, arg: &Expr, grid: Grid) -> Result<Vec<Input>> {
    let outside = ev.buckets;
    ev.buckets.are_needed = true;
    let columns = ev.vector(arg, grid)?;
    ev.buckets = outside;
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut histograms: Vec<Input> = Vec::new();
    let mut place = |histograms: &mut Vec<Input>, labels: Labels| {
        *known.entry(labels.clone()).or_insert_with(|| {
            histograms.push(Input { labels, buckets: Vec::new(), native: None });
            histograms.len() - 1
        })
    };
    let mut pace = Pace::new(ev.query_options);
    for mut column in columns {
        pace.pass(LABELS_VALUES)?;
        if column.histograms.iter().any(Option::is_some) {
            let idx = place(&mut histograms, column.labels.clone());
            let native = Column { histograms: std::mem::take(&mut column.histograms), ..column.emptied() };
            histograms[idx].native = Some(native);
        }
        if !column.present.contains(&true) {
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
        let idx = place(&mut histograms, labels);
        histograms[idx].buckets.push((bound, column));
    }
    Ok(histograms)
}

/// Computes one value per histogram and step.
fn each(
    ev: &mut Evaluator<'_>,
    inputs: &[Input],
    span: Span,
    grid: Grid,
    compute: impl Fn(usize, At<'_>, &mut Notes<'_>) -> (f64, Option<Repaired>),
) -> Result<Vec<Column>> {
    let mut results = Vec::new();
    for input in inputs {
        ev.check_stop()?;
        let mut pace = Pace::new(ev.query_options);
        let mut result = Column::absent(input.labels.clone(), grid.n_steps);
        let mut notes = Notes::new(&input.labels, span);
        for step in 0..grid.n_steps {
            pace.pass(HISTOGRAM_VALUES + 4 * input.buckets.len())?;
            let at = match input.at(step) {
                Ok(Some(at)) => at,
                Ok(None) => continue,
                Err(BothKinds) => {
                    notes.warn(texts::mixed_classic_native(shown_metric(ev, &input.labels)));
                    continue;
                }
            };
            let (value, repaired) = compute(step, at, &mut notes);
            result.set(step, value);
            if let Some(repaired) = repaired {
                note_repair(ev, input, span, grid.t_ms(step), repaired);
            }
        }
        ev.note(notes.finish());
        ev.drop_name(&mut result);
        if !result.is_absent() {
            results.push(result);
        }
    }
    Ok(results)
}

fn quantile_of(q: f64, at: At<'_>, notes: &mut Notes<'_>) -> (f64, Option<Repaired>) {
    match at {
        At::Classic(buckets) => classic::quantile(q, buckets),
        At::Native(histogram) => (native::quantile(q, histogram, notes), None),
    }
}

fn note_repair(ev: &mut Evaluator<'_>, histogram: &Input, span: Span, t_ms: i64, repaired: Repaired) {
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
        each(ev, &histograms, span, grid, |step, at, notes| quantile_of(quantiles[step], at, notes))?;
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
            each(ev, &histograms, span, grid, |step, at, notes| quantile_of(quantiles[step], at, notes))?;
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
    let results = each(ev, &histograms, span, grid, |step, at, notes| {
        let (lower, upper) = (lower[step], upper[step]);
        let value = match at {
            At::Classic(buckets) => classic::fraction(lower, upper, buckets),
            At::Native(histogram) => native::fraction(lower, upper, histogram, notes),
        };
        (value, None)
    })?;
    ev.settle(results, grid)
}

/// histogram_count, histogram_sum, histogram_avg, histogram_stddev and histogram_stdvar.
pub(crate) fn statistic(ev: &mut Evaluator<'_>, name: &str, arg: &Expr, grid: Grid) -> Result<Vec<Column>> {
    let compute: fn(&Histogram) -> f64 = match name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stddev" => |h| native::variance(h).sqrt(),
        _ => native::variance,
    };
    let outside = ev.buckets;
    ev.buckets.are_summed_up |= matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
    let columns = ev.vector(arg, grid)?;
    ev.buckets = outside;
    let mut results = Vec::new();
    for column in columns {
        ev.check_stop()?;
        if column.histograms.is_empty() {
            continue;
        }
        let mut result = column.emptied();
        for (step, histogram) in column.histograms.iter().enumerate() {
            if let Some(histogram) = histogram {
                result.set(step, compute(histogram));
            }
        }
        ev.drop_name(&mut result);
        if !result.is_absent() {
            results.push(result);
        }
    }
    ev.settle(results, grid)
}
