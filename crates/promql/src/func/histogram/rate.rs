//! rate, increase, delta, irate and idelta of native histograms.

use std::sync::Arc;

use model::Histogram;
use model::histogram::{IncompatibleBuckets, Reconciled, ResetHint};
use storage::HistogramSample;

use crate::annotations::texts::{self, Doing};
use crate::func::rate::{Extent, RateKind, stretch};
use crate::func::start_time;
use crate::func::window::{Notes, Stamp, Window};

fn is_gauge(h: &Histogram) -> bool {
    h.reset_hint == ResetHint::Gauge
}

/// Notes what a sum or difference had to give up; false when there is none.
fn accept(result: Result<Reconciled, IncompatibleBuckets>, doing: Doing, notes: &mut Notes<'_>) -> bool {
    match result {
        Ok(reconciled) => {
            if reconciled.bounds_differ {
                notes.info(texts::bounds_reconciled(doing));
            }
            true
        }
        Err(IncompatibleBuckets) => {
            notes.warn(texts::mixed_schemas(notes.metric));
            false
        }
    }
}

fn add(to: &mut Histogram, other: &Histogram, notes: &mut Notes<'_>) -> bool {
    accept(to.add(other), Doing::Addition, notes)
}

fn subtract(from: &mut Histogram, other: &Histogram, notes: &mut Notes<'_>) -> bool {
    accept(from.subtract(other), Doing::Subtraction, notes)
}

/// Whether the counter began anew between two samples.
fn is_reset(previous: &HistogramSample, current: &HistogramSample) -> bool {
    start_time::is_reset(Stamp::from(previous), Stamp::from(current))
        || current.histogram.is_reset_after(&previous.histogram)
}

/// rate, increase and delta, stretched to the window's edges as those of floats are.
pub(crate) fn extrapolated(window: &Window<'_>, kind: RateKind, notes: &mut Notes<'_>) -> Option<Histogram> {
    let samples = window.histograms;
    let (first, last) = (samples.first()?, samples.last()?);
    let mut result = if samples.len() > 1 { Some(difference(samples, kind, notes)?) } else { None };
    let extent = Extent { first: Stamp::from(first), last_ms: last.t_ms, n_gaps: samples.len() - 1 };
    let count = result.as_ref().map_or(0.0, |h| h.count);
    let stretch = stretch(window, kind, extent, first.histogram.count, count)?;
    if stretch.begins_at_zero {
        match &mut result {
            None => result = Some((*first.histogram).clone()),
            Some(result) => {
                if !add(result, &first.histogram, notes) {
                    return None;
                }
            }
        }
    }
    let mut result = result?;
    result.multiply(stretch.factor);
    Some(result)
}

/// The last less the first, with resets made good.
fn difference(samples: &[HistogramSample], kind: RateKind, notes: &mut Notes<'_>) -> Option<Histogram> {
    let (first, last) = (&samples[0].histogram, &samples[samples.len() - 1].histogram);
    if kind.is_counter && (is_gauge(first) || is_gauge(last)) {
        notes.warn(texts::not_counter(notes.metric));
    }
    let mut start = Arc::clone(first);
    if kind.is_counter && is_reset(&samples[0], &samples[1]) {
        // The first one does not count, so that its layout does not matter.
        let second = &samples[1].histogram;
        start = Arc::new(Histogram {
            schema: second.schema,
            custom_bounds: Arc::clone(&second.custom_bounds),
            ..Histogram::default()
        });
    }
    let is_custom = start.uses_custom_buckets();
    let mut is_mixed = last.uses_custom_buckets() != is_custom;
    let mut schema = start.schema.min(last.schema);
    if kind.is_counter && !is_mixed {
        for sample in &samples[1..samples.len() - 1] {
            if is_gauge(&sample.histogram) {
                notes.warn(texts::not_counter(notes.metric));
            }
            schema = schema.min(sample.histogram.schema);
            is_mixed |= sample.histogram.uses_custom_buckets() != is_custom;
        }
    }
    if is_mixed {
        notes.warn(texts::mixed_schemas(notes.metric));
        return None;
    }
    let mut result = last.at_schema(schema);
    if !subtract(&mut result, &start, notes) {
        return None;
    }
    if kind.is_counter {
        notes.check_overlap(samples.iter().map(Stamp::from));
        for (idx, sample) in samples.iter().enumerate().skip(1) {
            let previous = if idx == 1 { &start } else { &samples[idx - 1].histogram };
            let began_anew = start_time::is_reset(Stamp::from(&samples[idx - 1]), Stamp::from(sample))
                || sample.histogram.is_reset_after(previous);
            if began_anew && !add(&mut result, previous, notes) {
                return None;
            }
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        notes.warn(texts::not_gauge(notes.metric));
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// The histogram at `t_ms` on the line between two samples; a counter that was reset between them began at zero.
pub(crate) fn interpolated(
    from: &HistogramSample,
    to: &HistogramSample,
    t_ms: i64,
    is_counter: bool,
    notes: &mut Notes<'_>,
) -> Option<Histogram> {
    if from.histogram.uses_custom_buckets() != to.histogram.uses_custom_buckets() {
        notes.warn(texts::mixed_schemas(notes.metric));
        return None;
    }
    if t_ms == from.t_ms {
        return Some((*from.histogram).clone());
    }
    let mut result = (*to.histogram).clone();
    if t_ms == to.t_ms {
        return Some(result);
    }
    let share = (t_ms - from.t_ms) as f64 / (to.t_ms - from.t_ms) as f64;
    if is_counter && to.histogram.is_reset_after(&from.histogram) {
        result.multiply(share);
        return Some(result);
    }
    if !subtract(&mut result, &from.histogram, notes) {
        return None;
    }
    result.multiply(share);
    add(&mut result, &from.histogram, notes).then_some(result)
}

/// The samples at and around the edges of an anchored or smoothed window.
struct Edges {
    first: usize,
    last: usize,
    left: Histogram,
    right: Histogram,
}

fn edges(window: &Window<'_>, kind: RateKind, is_smoothed: bool, notes: &mut Notes<'_>) -> Option<Edges> {
    let samples = window.histograms;
    let mut last = samples.len().checked_sub(1)?;
    let first = samples[..last].partition_point(|h| h.t_ms <= window.start_ms).saturating_sub(1);
    if is_smoothed {
        last = samples[..last].partition_point(|h| h.t_ms < window.end_ms);
    }
    if samples[last].t_ms <= window.start_ms || (is_smoothed && samples[first].t_ms > window.end_ms) {
        return None;
    }
    let between = samples.get(first..=last)?;
    let is_custom = between[0].histogram.uses_custom_buckets();
    for sample in between {
        if sample.histogram.uses_custom_buckets() != is_custom {
            notes.warn(texts::mixed_schemas(notes.metric));
            return None;
        }
        if kind.is_counter && is_gauge(&sample.histogram) {
            notes.warn(texts::not_counter(notes.metric));
        }
    }
    let left = if is_smoothed && samples[first].t_ms < window.start_ms {
        interpolated(&samples[first], &samples[first + 1], window.start_ms, kind.is_counter, notes)?
    } else {
        (*samples[first].histogram).clone()
    };
    let right = if is_smoothed && last > 0 && samples[last].t_ms > window.end_ms {
        interpolated(&samples[last - 1], &samples[last], window.end_ms, kind.is_counter, notes)?
    } else {
        (*samples[last].histogram).clone()
    };
    Some(Edges { first, last, left, right })
}

/// rate, increase and delta of anchored and smoothed selectors: no extrapolation.
pub(crate) fn extended(
    window: &Window<'_>,
    kind: RateKind,
    is_smoothed: bool,
    notes: &mut Notes<'_>,
) -> Option<Histogram> {
    let edges = edges(window, kind, is_smoothed, notes)?;
    if !kind.is_counter && (!is_gauge(&edges.left) || !is_gauge(&edges.right)) {
        notes.warn(texts::not_gauge(notes.metric));
    }
    let mut result = edges.right.clone();
    if !subtract(&mut result, &edges.left, notes) {
        return None;
    }
    if kind.is_counter
        && let Some(lost) = lost_in_resets(window, &edges, is_smoothed, notes)?
        && !add(&mut result, &lost, notes)
    {
        return None;
    }
    if kind.is_per_second {
        result.divide(window.range_s());
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// The sum of what the counter had counted before each reset between the edges; nothing at all when it cannot be summed.
#[expect(clippy::option_option, reason = "no resets, and no sum, are two things")]
fn lost_in_resets(
    window: &Window<'_>,
    edges: &Edges,
    is_smoothed: bool,
    notes: &mut Notes<'_>,
) -> Option<Option<Histogram>> {
    let samples = window.histograms;
    let Edges { first, last, left, right } = edges;
    let mut previous = left;
    let mut from = first + 1;
    let spans_reset = is_smoothed
        && samples[*first].t_ms < window.start_ms
        && samples[first + 1].histogram.is_reset_after(&samples[*first].histogram);
    if spans_reset {
        // The left edge lies within this reset, and has accounted for it.
        previous = &samples[first + 1].histogram;
        from += 1;
    }
    if from > *last {
        return Some(None);
    }
    let mut lost: Option<Histogram> = None;
    let between = samples.get(from..*last).unwrap_or(&[]).iter().map(|h| &*h.histogram);
    for current in between.chain([right]) {
        if current.is_reset_after(previous) {
            match &mut lost {
                None => lost = Some(previous.clone()),
                Some(lost) => {
                    if !add(lost, previous, notes) {
                        return None;
                    }
                }
            }
        }
        previous = current;
    }
    Some(lost)
}

/// irate and idelta: from two samples.
pub(crate) fn of_two(
    previous: &HistogramSample,
    last: &HistogramSample,
    is_rate: bool,
    notes: &mut Notes<'_>,
) -> Option<Histogram> {
    let both_gauges = is_gauge(&previous.histogram) && is_gauge(&last.histogram);
    let any_gauge = is_gauge(&previous.histogram) || is_gauge(&last.histogram);
    if is_rate && any_gauge {
        notes.warn(texts::not_counter(notes.metric));
    }
    if !is_rate && !both_gauges {
        notes.warn(texts::not_gauge(notes.metric));
    }
    let mut result = (*last.histogram).clone();
    let counts_in_full = is_rate && is_reset(previous, last);
    if !counts_in_full && !subtract(&mut result, &previous.histogram, notes) {
        return None;
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact();
    if is_rate {
        result.divide((last.t_ms - previous.t_ms) as f64 / 1000.0);
    }
    Some(result)
}
