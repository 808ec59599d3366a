//! Means and quantiles, built on sums that keep what rounding loses.
//!
//! The order and form of every addition is Prometheus', so results agree to the bit.

pub(crate) use model::Sum;

/// A running mean: of the sum while that is finite, else updated value by value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: Sum,
    n: f64,
    is_incremental: bool,
}

impl Mean {
    pub(crate) fn first(value: f64) -> Self {
        Self { sum: Sum { sum: value, lost: 0.0 }, n: 1.0, is_incremental: false }
    }

    pub(crate) fn add(&mut self, value: f64) {
        self.n += 1.0;
        if !self.is_incremental {
            let next = self.sum.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.is_incremental = true;
            self.sum.sum /= self.n - 1.0;
            self.sum.lost /= self.n - 1.0;
        }
        let share = (self.n - 1.0) / self.n;
        let scaled = Sum { sum: share * self.sum.sum, lost: share * self.sum.lost };
        self.sum = scaled.add(value / self.n);
    }

    pub(crate) fn mean(self) -> f64 {
        if self.is_incremental { self.sum.total() } else { self.sum.sum / self.n + self.sum.lost / self.n }
    }
}

/// Of more values the ranks that are asked for are found without sorting all. Chosen.
const SORTED_MAX: usize = 64;

/// The `q` quantile by linear interpolation; NaN sorts lowest. Reorders `values`.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    match Ranks::of(q, values.len()) {
        Ok(ranks) => ranks.between(ranked(values, ranks.lower, ranks.upper)),
        Err(at_once) => at_once,
    }
}

/// Values looked at to guess between which two the wanted ranks are. Chosen: a fiftieth of what is left to sort is more than enough.
const SAMPLED: usize = 1 << 12;

/// As [`quantile`] of more values than [`SAMPLED`], which come in `pieces`: all are passed once, and only those near the wanted ranks are
/// sorted. When `pieces` end early the answer is of no use.
pub(crate) fn quantile_of_many<'v>(
    q: f64,
    values: &'v [f64],
    pieces: impl Iterator<Item = &'v [f64]>,
) -> f64 {
    let ranks = match Ranks::of(q, values.len()) {
        Ok(ranks) => ranks,
        Err(at_once) => return at_once,
    };
    let mut sample: Vec<f64> = values.iter().copied().step_by((values.len() / SAMPLED).max(1)).collect();
    sample.sort_by(|a, b| nan_first(*a, *b));
    let (at, margin) = (ranks.lower * sample.len() / values.len(), sample.len() / 32);
    let low = at.checked_sub(margin).map(|at| sample[at]);
    let high = sample.get(at + margin).copied();
    let (mut n_below, mut n_passed, mut near) = (0, 0, Vec::new());
    for piece in pieces {
        n_passed += piece.len();
        for value in piece {
            if low.is_some_and(|low| nan_first(*value, low).is_lt()) {
                n_below += 1;
            } else if high.is_none_or(|high| nan_first(*value, high).is_le()) {
                near.push(*value);
            }
        }
    }
    if n_passed < values.len() {
        return f64::NAN;
    }
    match (ranks.lower.checked_sub(n_below), ranks.upper.checked_sub(n_below)) {
        (Some(lower), Some(upper)) if upper < near.len() => ranks.between(ranked(&mut near, lower, upper)),
        // The sample was not like the rest.
        _ => ranks.between(ranked(&mut values.to_vec(), ranks.lower, ranks.upper)),
    }
}

/// Two neighbouring ranks, or one twice, and how far a quantile lies between them.
#[derive(Debug, Clone, Copy)]
struct Ranks {
    lower: usize,
    upper: usize,
    weight: f64,
}

impl Ranks {
    /// Of the `q` quantile of `n` values; the answer itself where no rank is needed.
    fn of(q: f64, n: usize) -> Result<Self, f64> {
        if n == 0 || q.is_nan() {
            return Err(f64::NAN);
        }
        if q < 0.0 {
            return Err(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return Err(f64::INFINITY);
        }
        let last = (n - 1) as f64;
        let rank = q * last;
        let lower = rank.floor().max(0.0);
        let upper = (lower + 1.0).min(last);
        Ok(Self { lower: lower as usize, upper: upper as usize, weight: rank - rank.floor() })
    }

    fn between(self, (lower, upper): (f64, f64)) -> f64 {
        lower * (1.0 - self.weight) + upper * self.weight
    }
}

/// The values of two neighbouring ranks, or of one twice.
fn ranked(values: &mut [f64], lower: usize, upper: usize) -> (f64, f64) {
    if values.len() <= SORTED_MAX {
        values.sort_by(|a, b| nan_first(*a, *b));
        return (values[lower], values[upper]);
    }
    let (_, found, above) = values.select_nth_unstable_by(lower, |a, b| nan_first(*a, *b));
    let next = if upper > lower { above.iter().copied().min_by(|a, b| nan_first(*a, *b)) } else { None };
    (*found, next.unwrap_or(*found))
}

/// By value, NaN before everything.
pub(crate) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.partial_cmp(&b).expect("neither is NaN"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn many_values_have_the_quantile_they_have_sorted(
            values in proptest::collection::vec(
                prop_oneof![6 => -50.0f64..50.0, 3 => (0u8..4).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)],
                1..9_000,
            ),
            q in prop_oneof![Just(0.0), Just(1.0), 0.0f64..1.0],
            is_sorted: bool,
        ) {
            let mut values = values;
            if is_sorted {
                values.sort_by(|a, b| nan_first(*a, *b));
            }
            let expected = quantile(q, &mut values.clone());
            let got = quantile_of_many(q, &values, values.chunks(100));
            prop_assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{} {}", got, expected);
        }
    }
}
