//! rate, increase and delta over all steps at once, and the greatest and least of a slice.
//!
//! In: the bounds of windows, worked out once for the timestamp column, and the values of one series; out: its column. The same
//! operations in the same order as [`crate::func::rate`] applies to one window, so that results are equal to the bit.

use super::bounds::{Bounds, Edges};
use super::column::Column;
use super::evaluator::Result;
use super::pace::Pace;
use crate::func::rate::{self, RateKind};

/// Values looked at together. Chosen: the compiler makes vectors of it.
const LANES: usize = 64;

/// Below this a product may have lost digits.
const SMALL: f64 = 1e-290;

/// Numbers of the values that are below the one before.
fn falls(values: &[f64]) -> Vec<u32> {
    let mut found = Vec::new();
    let later = values.get(1..).unwrap_or(&[]);
    for (nth, (before, after)) in values.chunks(LANES).zip(later.chunks(LANES)).enumerate() {
        let n: u32 = before.iter().zip(after).map(|(a, b)| u32::from(b < a)).sum();
        if n > 0 {
            let fell = before.iter().zip(after).enumerate().filter(|(_, (a, b))| b < a);
            found.extend(fell.map(|(idx, _)| (nth * LANES + idx + 1) as u32));
        }
    }
    found
}

/// Sets `column` to the values of an extrapolating function of plain floats, given with their times.
///
/// # Errors
/// When the query is to stop.
pub(crate) fn extrapolated(
    edges: &Edges,
    bounds: &Bounds,
    kind: RateKind,
    (t_ms, values): (&[i64], &[f64]),
    column: &mut Column,
    pace: &mut Pace<'_>,
) -> Result<()> {
    let falls = if kind.is_counter { falls(values) } else { Vec::new() };
    let (mut falls_from, mut falls_to) = (0, 0);
    let steps = bounds.from.iter().zip(&bounds.to);
    let stretches = bounds.stretches.factors.iter().zip(&bounds.stretches.shares);
    let places = column.values.iter_mut().zip(&mut column.present);
    for (step, (((from, to), (factor, share)), (value, present))) in
        steps.zip(stretches).zip(places).enumerate()
    {
        if *factor == 0.0 {
            continue;
        }
        let (first, last) = (values[*from as usize], values[*to as usize - 1]);
        let mut difference = last - first;
        if !falls.is_empty() {
            while falls.get(falls_to).is_some_and(|idx| idx < to) {
                falls_to += 1;
            }
            while falls_from < falls_to && falls[falls_from] <= *from {
                falls_from += 1;
            }
            for idx in &falls[falls_from..falls_to] {
                difference += values[*idx as usize - 1];
            }
            pace.pass(falls_to - falls_from)?;
        }
        let may_begin_at_zero = kind.is_counter
            && difference > 0.0
            && (difference < SMALL || first.is_nan() || first <= difference * share);
        if may_begin_at_zero {
            let (from, to) = (*from as usize, *to as usize);
            let window = edges.of(step).window(&t_ms[from..to], &values[from..to], from, edges.range_ms);
            if let Some(result) = rate::stretched(&window, kind, difference) {
                (*value, *present) = (result, true);
            }
            continue;
        }
        (*value, *present) = (difference * factor, true);
    }
    Ok(())
}

/// The greatest value, of equals the first; NaN only where there is nothing else, and then the last.
pub(crate) fn max(values: &[f64]) -> Option<f64> {
    extreme(values, f64::NEG_INFINITY, |a, b| a > b)
}

/// As [`max`], the least.
pub(crate) fn min(values: &[f64]) -> Option<f64> {
    extreme(values, f64::INFINITY, |a, b| a < b)
}

fn extreme(values: &[f64], worst: f64, is_better: impl Fn(f64, f64) -> bool) -> Option<f64> {
    const WIDTH: usize = 8;
    let mut lanes = [worst; WIDTH];
    let (chunks, rest) = values.as_chunks::<WIDTH>();
    for chunk in chunks {
        for (best, value) in lanes.iter_mut().zip(chunk) {
            *best = if is_better(*value, *best) { *value } else { *best };
        }
    }
    let best = lanes.iter().chain(rest).fold(worst, |best, v| if is_better(*v, best) { *v } else { best });
    // Zeros are equal, and the first of them counts.
    let found = if best == 0.0 || best == worst { values.iter().find(|v| **v == best) } else { Some(&best) };
    found.or_else(|| values.last()).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Labels;
    use proptest::prelude::*;

    use super::*;
    use crate::eval::column::Grid;
    use crate::eval::selector::Reference;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            12 => (-100i32..1000).prop_map(|n| f64::from(n) / 8.0),
            2 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(f64::NEG_INFINITY),
        ]
    }

    fn bits(values: &[Option<f64>]) -> Vec<Option<u64>> {
        values.iter().map(|v| v.map(f64::to_bits)).collect()
    }

    /// As one reads it: better than the best so far, or the best so far is NaN.
    fn one_by_one(values: &[f64], is_better: impl Fn(f64, f64) -> bool) -> Option<f64> {
        values.iter().copied().reduce(|best, v| if is_better(v, best) || best.is_nan() { v } else { best })
    }

    proptest! {
        #[test]
        fn extremes_are_those_found_one_by_one(values in proptest::collection::vec(value(), 0..80)) {
            let expected = [one_by_one(&values, |a, b| a > b), one_by_one(&values, |a, b| a < b)];
            prop_assert_eq!(bits(&[max(&values), min(&values)]), bits(&expected));
        }

        #[test]
        fn all_steps_at_once_are_each_step_by_itself(
            gaps in proptest::collection::vec((1i64..40_000, value(), 0u8..6), 0..200),
            step_ms in 1i64..100_000,
            n_steps in 1usize..60,
            range_ms in 1i64..400_000,
            is_counter: bool,
            is_per_second: bool,
        ) {
            let (mut now_ms, mut total) = (0, 0.0);
            let (mut t_ms, mut values) = (Vec::new(), Vec::new());
            for (gap_ms, value, kind) in gaps {
                now_ms += gap_ms;
                total += f64::abs(value);
                if kind == 0 || !total.is_finite() {
                    total = value;
                }
                t_ms.push(now_ms);
                values.push(total);
            }
            let kind = RateKind { is_counter, is_per_second };
            let reference = Reference { at_ms: None, offset_ms: 0 };
            let grid = Grid { start_ms: 0, step_ms, n_steps };
            let edges = Edges { grid, reference, range_ms, reach_ms: (0, 0), kind: Some(kind) };
            let bounds = edges.bounds(&Arc::new(t_ms.clone()));
            let mut column = Column::absent(Labels::empty(), n_steps);
            let query = crate::QueryOptions::default();
            let pace = &mut Pace::new(&query);
            extrapolated(&edges, &bounds, kind, (&t_ms, &values), &mut column, pace).expect("nothing stops it");
            let expected: Vec<_> = (0..n_steps).map(|step| {
                let (from, to) = (bounds.from[step] as usize, bounds.to[step] as usize);
                let window = edges.of(step).window(&t_ms[from..to], &values[from..to], from, range_ms);
                rate::extrapolated(&window, kind)
            }).collect();
            let got: Vec<_> = (0..n_steps).map(|step| column.get(step)).collect();
            prop_assert_eq!(bits(&got), bits(&expected));
        }
    }
}
