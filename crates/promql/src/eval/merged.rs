//! Functions that walk over floats and histograms together, by time: resets, changes, irate, idelta.

use storage::HistogramSample;

use super::column::Cell;
use crate::annotations::texts;
use crate::func::histogram::rate as histogram_rate;
use crate::func::window::{Notes, Stamp, Window};
use crate::func::{rate, start_time};

/// A sample of either kind.
#[derive(Debug, Clone, Copy)]
enum Sample<'a> {
    Float(Stamp, f64),
    Histogram(&'a HistogramSample),
}

impl Sample<'_> {
    fn stamp(&self) -> Stamp {
        match self {
            Self::Float(stamp, _) => *stamp,
            Self::Histogram(sample) => Stamp::from(*sample),
        }
    }
}

/// The samples by time, from the first that matters on: of an anchored window that is the last at or before its start, and
/// then there must be one after it.
fn samples<'a>(window: &Window<'a>, is_anchored: bool) -> Vec<Sample<'a>> {
    let mut all = Vec::with_capacity(window.len() + window.histograms.len());
    let mut histograms = window.histograms.iter().peekable();
    for idx in 0..window.len() {
        let stamp = window.stamp(idx);
        while let Some(sample) = histograms.next_if(|sample| sample.t_ms < stamp.t_ms) {
            all.push(Sample::Histogram(sample));
        }
        all.push(Sample::Float(stamp, window.values[idx]));
    }
    all.extend(histograms.map(Sample::Histogram));
    if is_anchored {
        let n_before = all.partition_point(|sample| sample.stamp().t_ms <= window.start_ms);
        if n_before == all.len() {
            return Vec::new();
        }
        all.drain(..n_before.saturating_sub(1));
    }
    all
}

/// How many neighbours fulfil a condition; none when there is nothing to measure.
fn count_pairs(
    window: &Window<'_>,
    is_anchored: bool,
    holds: impl Fn(&Sample<'_>, &Sample<'_>) -> bool,
) -> Option<f64> {
    let samples = samples(window, is_anchored);
    if samples.is_empty() {
        return None;
    }
    Some(samples.windows(2).filter(|pair| holds(&pair[0], &pair[1])).count() as f64)
}

/// The floats from the first that matters on, of a window that has nothing else.
fn float_range(window: &Window<'_>, is_anchored: bool) -> Option<std::ops::Range<usize>> {
    if !is_anchored {
        return Some(0..window.len());
    }
    let n_before = window.t_ms.partition_point(|t| *t <= window.start_ms);
    (n_before < window.len()).then(|| n_before.saturating_sub(1)..window.len())
}

/// How often the counter began anew.
pub(crate) fn resets(window: &Window<'_>, is_anchored: bool) -> Option<f64> {
    if window.histograms.is_empty() && window.starts.is_empty() {
        let values = &window.values[float_range(window, is_anchored)?];
        return Some(values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64);
    }
    count_pairs(window, is_anchored, |previous, current| {
        let began_anew = start_time::is_reset(previous.stamp(), current.stamp());
        match (previous, current) {
            (Sample::Float(_, a), Sample::Float(_, b)) => b < a || began_anew,
            (Sample::Histogram(a), Sample::Histogram(b)) => {
                began_anew || b.histogram.is_reset_after(&a.histogram)
            }
            _ => true,
        }
    })
}

/// How often the value changed; NaN to NaN is no change.
pub(crate) fn changes(window: &Window<'_>, is_anchored: bool) -> Option<f64> {
    if window.histograms.is_empty() {
        let values = &window.values[float_range(window, is_anchored)?];
        let changed = |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
        return Some(values.windows(2).filter(changed).count() as f64);
    }
    count_pairs(window, is_anchored, |previous, current| match (previous, current) {
        (Sample::Float(_, a), Sample::Float(_, b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Sample::Histogram(a), Sample::Histogram(b)) => !b.histogram.is_same_data(&a.histogram),
        _ => true,
    })
}

/// irate and idelta of a window that has histograms.
pub(crate) fn last_two(window: &Window<'_>, is_rate: bool, notes: &mut Notes<'_>) -> Option<Cell> {
    let tail = Window {
        t_ms: &window.t_ms[window.len().saturating_sub(2)..],
        values: &window.values[window.len().saturating_sub(2)..],
        starts: window.starts.get(window.len().saturating_sub(2)..).unwrap_or(&[]),
        histograms: &window.histograms[window.histograms.len().saturating_sub(2)..],
        ..*window
    };
    let samples = samples(&tail, false);
    let [.., previous, last] = samples[..] else {
        return None;
    };
    match (previous, last) {
        (Sample::Float(..), Sample::Float(..)) => rate::last_two(window, is_rate).map(Cell::Float),
        (Sample::Histogram(previous), Sample::Histogram(last)) => {
            histogram_rate::of_two(previous, last, is_rate, notes).map(Cell::from)
        }
        _ => {
            notes.warn(texts::mixed_samples(notes.metric));
            None
        }
    }
}
