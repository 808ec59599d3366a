//! Sums that keep what rounding loses (Neumaier). The order and form of every addition is Prometheus', so results agree to
//! the bit.

/// A running sum and what rounding has lost of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sum {
    /// The sum as it was rounded.
    pub sum: f64,
    /// What is missing in it.
    pub lost: f64,
}

impl Sum {
    /// A sum of one number.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { sum: value, lost: 0.0 }
    }

    /// With one more number.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "an operator would hide that this is no plain addition"
    )]
    #[inline]
    pub fn add(self, value: f64) -> Self {
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

    /// The sum with what was lost.
    #[must_use]
    #[inline]
    pub fn total(self) -> f64 {
        self.sum + self.lost
    }
}
