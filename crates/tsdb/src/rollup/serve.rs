//! Rows become samples again, as the function that is applied to them needs them. Pure.
//!
//! The engine evaluates what comes from here as any other samples, so that windows that begin and end on intervals are exact. Where a
//! window is shorter than an interval, a row is served several times within it.

use model::TimeRange;
use storage::SelectHints;

use crate::page::PageKind;

/// Samples made of one row at most, but for counts. Chosen: a second of an hour.
const COPIES_MAX: i64 = 3_600;
/// Points of a counter within one window. Chosen: rates over windows that end off an interval lose no more than the last part.
const POINTS_OF_WINDOW: i64 = 4;

/// What a function needs of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The last value, from the end of its interval on.
    Last,
    First,
    Min,
    Max,
    Sum,
    Count,
    /// The mean, as often as there were samples.
    Mean,
    /// A counter without resets.
    Counter,
}

/// A row, with the columns that were asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) end_ms: i64,
    pub(super) interval_ms: i64,
    /// In the order of [`Need::columns`].
    pub(super) values: [f64; 3],
}

impl Need {
    pub(super) fn of(hints: &SelectHints) -> Self {
        if hints.range_ms == 0 {
            return Self::Last;
        }
        match hints.function.as_str() {
            "first_over_time" => Self::First,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "sum_over_time" => Self::Sum,
            "count_over_time" => Self::Count,
            "avg_over_time" => Self::Mean,
            "rate" | "increase" | "irate" => Self::Counter,
            _ => Self::Last,
        }
    }

    /// Which columns; the last value is `Floats`, with which histograms come.
    pub(super) fn columns(self) -> &'static [PageKind] {
        match self {
            Self::Last => &[PageKind::Floats],
            Self::First => &[PageKind::First],
            Self::Min => &[PageKind::Min],
            Self::Max => &[PageKind::Max],
            Self::Sum => &[PageKind::Sum],
            Self::Count => &[PageKind::Count],
            Self::Mean => &[PageKind::Sum, PageKind::Count],
            Self::Counter => &[PageKind::Floats, PageKind::First, PageKind::Correction],
        }
    }

    /// The samples of `rows`, which rise and lie apart, within `range`; `beside_raw` when raw samples follow in the same answer.
    pub(super) fn samples(
        self,
        rows: &[Row],
        hints: &SelectHints,
        range: TimeRange,
        beside_raw: bool,
    ) -> (Vec<i64>, Vec<f64>) {
        let mut out = Out { range, times: Vec::new(), values: Vec::new() };
        match self {
            Self::Last => lasts(rows, hints, &mut out),
            Self::Counter => counter(rows, hints.range_ms, &mut out),
            Self::Count => {
                for row in rows {
                    out.spread(row, row.values[0] as i64, 1.0);
                }
            }
            Self::Mean => means(rows, hints.range_ms, beside_raw, &mut out),
            Self::Sum => {
                for row in rows {
                    let n = copies(row, hints.range_ms);
                    out.spread(row, n, row.values[0] / n as f64);
                }
            }
            Self::First | Self::Min | Self::Max => {
                for row in rows {
                    out.spread(row, copies(row, hints.range_ms), row.values[0]);
                }
            }
        }
        (out.times, out.values)
    }
}

struct Out {
    range: TimeRange,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Out {
    fn push(&mut self, t_ms: i64, value: f64) {
        if self.range.contains(t_ms) {
            self.times.push(t_ms);
            self.values.push(value);
        }
    }

    /// Puts `n` times `value` evenly into the row's interval, the last at its end.
    fn spread(&mut self, row: &Row, n: i64, value: f64) {
        let n = n.clamp(1, row.interval_ms);
        for idx in 1..=n {
            let back_ms = (i128::from(n - idx) * i128::from(row.interval_ms) / i128::from(n)) as i64;
            self.push(row.end_ms - back_ms, value);
        }
    }
}

/// How many samples of a row there must be for every window to meet one.
fn copies(row: &Row, range_ms: i64) -> i64 {
    per_interval(row.interval_ms, range_ms)
}

/// How many steps of at most `step_ms` an interval has.
fn per_interval(interval_ms: i64, step_ms: i64) -> i64 {
    let step_ms = step_ms.max(1);
    (interval_ms / step_ms + i64::from(interval_ms % step_ms != 0)).clamp(1, COPIES_MAX)
}

/// Each value from its row's time on, as long as it is the newest.
fn lasts(rows: &[Row], hints: &SelectHints, out: &mut Out) {
    let reach_ms = if hints.range_ms > 0 { hints.range_ms } else { hints.lookback_ms };
    for (idx, row) in rows.iter().enumerate() {
        let next_ms = rows.get(idx + 1).map_or(i64::MAX, |next| next.end_ms);
        for t_ms in repeats(row.end_ms, row.interval_ms, reach_ms) {
            if t_ms < next_ms {
                out.push(t_ms, row.values[0]);
            }
        }
    }
}

/// When something that was at `from_ms` is said again, so that who looks `reach_ms` back finds it for an interval more.
pub(super) fn repeats(from_ms: i64, interval_ms: i64, reach_ms: i64) -> impl Iterator<Item = i64> {
    let n = if reach_ms > 0 { per_interval(interval_ms, reach_ms) } else { 1 };
    let step_ms = (interval_ms / n).max(1);
    (0..n).map(move |idx| from_ms.saturating_add(idx * step_ms))
}

/// The mean of each row, as often as its share of all counts demands: a mean of these is the mean of the samples. Beside raw samples,
/// each of which counts once, it comes as often as it has samples.
fn means(rows: &[Row], range_ms: i64, beside_raw: bool, out: &mut Out) {
    let count = |row: &Row| (row.values[1] as i64).max(1);
    let divisor = if beside_raw { 1 } else { rows.iter().map(count).fold(0, gcd).max(1) };
    // The same for all rows, so that shares stay.
    let needed = rows.iter().map(|row| per_interval(copies(row, range_ms), count(row) / divisor)).max();
    for row in rows {
        let n = (count(row) / divisor).saturating_mul(needed.unwrap_or(1));
        out.spread(row, n, row.values[0] / row.values[1]);
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A counter that never falls and ends with the last row's own value, so that the samples behind go on from there. Within a row it rises
/// evenly.
fn counter(rows: &[Row], range_ms: i64, out: &mut Out) {
    let mut points: Vec<(i64, f64)> = Vec::with_capacity(rows.len() + 1);
    let (mut total, mut before): (f64, Option<(i64, f64)>) = (0.0, None);
    // What is no number would make nothing of all that follows.
    let finite = rows.iter().filter(|row| row.values.iter().all(|value| value.is_finite()));
    for row in finite {
        let [last, first, correction] = row.values;
        let begin_ms = row.end_ms.saturating_sub(row.interval_ms).saturating_add(1);
        if let Some((_, last_before)) = before {
            total += if first < last_before { first } else { first - last_before };
        }
        if before.is_none_or(|(end_ms, _)| end_ms.saturating_add(1) < begin_ms) {
            points.push((begin_ms, total));
        }
        let (from_ms, from) = points.last().copied().unwrap_or((begin_ms, total));
        total += last - first + correction;
        let n = per_interval(row.interval_ms, (range_ms / POINTS_OF_WINDOW).max(1));
        for idx in 1..n {
            let share = idx as f64 / n as f64;
            let t_ms = from_ms + (i128::from(row.end_ms - from_ms) * i128::from(idx) / i128::from(n)) as i64;
            points.push((t_ms, from + (total - from) * share));
        }
        points.push((row.end_ms, total));
        before = Some((row.end_ms, last));
    }
    let shift = before.map_or(0.0, |(_, last)| last - total);
    points.dedup_by_key(|point| point.0);
    for (t_ms, value) in points {
        out.push(t_ms, value + shift);
    }
}

/// For fuzzing: serves rows as they may stand in a damaged block; times, and the three values of each.
pub(crate) fn fuzz_serve(rows: &[(i64, [f64; 3])], interval_ms: i64, range_ms: i64) {
    let rows: Vec<Row> =
        rows.iter().map(|(end_ms, values)| Row { end_ms: *end_ms, interval_ms, values: *values }).collect();
    for function in
        ["", "first_over_time", "min_over_time", "sum_over_time", "count_over_time", "avg_over_time", "rate"]
    {
        let hints = SelectHints { function: function.to_owned(), range_ms, ..SelectHints::default() };
        for beside_raw in [false, true] {
            let (times, values) = Need::of(&hints).samples(&rows, &hints, TimeRange::ALL, beside_raw);
            assert_eq!(times.len(), values.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(end_ms: i64, values: [f64; 3]) -> Row {
        Row { end_ms, interval_ms: 100, values }
    }

    fn check(function: &str, range_ms: i64, rows: &[Row], expected: &[(i64, f64)]) {
        let hints = SelectHints {
            function: function.to_owned(),
            range_ms,
            lookback_ms: 50,
            ..SelectHints::default()
        };
        let (times, values) = Need::of(&hints).samples(rows, &hints, TimeRange::new(0, 399), false);
        let found: Vec<(i64, f64)> = times.into_iter().zip(values).collect();
        assert_eq!(found, expected, "{function}[{range_ms}]");
    }

    #[test]
    fn rows_become_what_functions_need() {
        let one = |value| [row(99, [value, 0.0, 0.0])];
        check("", 0, &one(5.0), &[(99, 5.0), (149, 5.0)]);
        check("last_over_time", 100, &one(5.0), &[(99, 5.0)]);
        check("min_over_time", 100, &one(5.0), &[(99, 5.0)]);
        check("max_over_time", 50, &one(5.0), &[(49, 5.0), (99, 5.0)]);
        check("sum_over_time", 200, &one(5.0), &[(99, 5.0)]);
        check("sum_over_time", 50, &one(5.0), &[(49, 2.5), (99, 2.5)]);
        check("count_over_time", 200, &one(3.0), &[(33, 1.0), (66, 1.0), (99, 1.0)]);
        // Of equal counts one is enough.
        let means = [row(99, [8.0, 4.0, 0.0]), row(199, [20.0, 4.0, 0.0])];
        check("avg_over_time", 200, &means, &[(99, 2.0), (199, 5.0)]);
        let means = [row(99, [8.0, 4.0, 0.0]), row(199, [10.0, 2.0, 0.0])];
        check("avg_over_time", 200, &means, &[(49, 2.0), (99, 2.0), (199, 5.0)]);
        let hints =
            SelectHints { function: "avg_over_time".to_owned(), range_ms: 200, ..SelectHints::default() };
        let beside_raw = Need::Mean.samples(&means, &hints, TimeRange::new(0, 399), true);
        assert_eq!(beside_raw.1, [2.0, 2.0, 2.0, 2.0, 5.0, 5.0], "each counts as often as it has samples");
    }

    #[test]
    fn counters_rise_over_resets_and_gaps_and_end_with_the_last_value() {
        // Values 5 7 | 2 (8 reset) 3: last, first, correction.
        let rows = [row(99, [7.0, 5.0, 0.0]), row(199, [3.0, 2.0, 8.0])];
        check("increase", 400, &rows, &[(0, -10.0), (99, -8.0), (199, 3.0)]);
        let rows = [row(199, [7.0, 5.0, 0.0]), row(399, [10.0, 9.0, 0.0])];
        check("increase", 400, &rows, &[(100, 5.0), (199, 7.0), (300, 9.0), (399, 10.0)]);
        check("rate", 200, &rows[..1], &[(100, 5.0), (149, 6.0), (199, 7.0)]);
        let bad = [row(99, [1.0, 1.0, 0.0]), row(199, [f64::NAN, 1.0, 0.0]), row(299, [3.0, 2.0, 0.0])];
        check("rate", 400, &bad, &[(0, 1.0), (99, 1.0), (200, 2.0), (299, 3.0)]);
    }
}
