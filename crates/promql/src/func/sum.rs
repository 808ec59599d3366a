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
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    let (lower, upper) = ranked(values, lower as usize, upper as usize);
    lower * (1.0 - weight) + upper * weight
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
