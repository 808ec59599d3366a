//! Sums that keep what rounding loses (Neumaier), and what is built on them.
//!
//! The order and form of every addition is Prometheus', so results agree to the bit.

/// A running sum and what rounding has lost of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
}

impl Sum {
    pub(crate) fn add(self, value: f64) -> Self {
        let total = self.sum + value;
        let lost = if total.is_infinite() {
            0.0
        } else if self.sum.abs() >= value.abs() {
            self.lost + ((self.sum - total) + value)
        } else {
            self.lost + ((value - total) + self.sum)
        };
        Self { sum: total, lost }
    }

    pub(crate) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// A running mean: of the sum while that is finite, else updated value by value.
#[derive(Debug, Clone, Copy)]
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
    values.sort_by(|a, b| nan_first(*a, *b));
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(last);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
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
