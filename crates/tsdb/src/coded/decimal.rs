//! Short decimals: most values of metrics are `mantissa / 10^exponent` exactly, and their differences are small integers.
//!
//! Pure. Never rounds: a value is a decimal only when the division gives back its very bits.

/// Powers of ten that are floats exactly.
pub(crate) const POW10: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// The largest exponent tried. Chosen: nanoseconds.
pub(crate) const EXP_MAX: u8 = 9;
/// The exponent of a value that is no short decimal.
pub(crate) const EXP_RAW: u8 = 15;
/// Integers up to here are floats exactly.
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;

/// The mantissa of `value` with exponent `exp`, when that is exact.
#[inline]
pub(crate) fn mantissa(value: f64, exp: u8) -> Option<i64> {
    let pow = POW10.get(usize::from(exp))?;
    let scaled = value * pow;
    // False for NaN too.
    let fits = scaled.abs() < MANTISSA_MAX;
    if !fits {
        return None;
    }
    let mantissa = (scaled + 0.5f64.copysign(scaled)) as i64;
    (of(mantissa, exp).to_bits() == value.to_bits()).then_some(mantissa)
}

/// The value of a mantissa; the inverse of [`mantissa`]. `exp` must not exceed [`EXP_MAX`].
#[inline]
pub(crate) fn of(mantissa: i64, exp: u8) -> f64 {
    mantissa as f64 / POW10[usize::from(exp)]
}

/// The smallest exponent from `least` on with which `value` is exact, and its mantissa.
pub(crate) fn shortest(value: f64, least: u8) -> Option<(u8, i64)> {
    // What has no exact form with the largest exponent that fits has none at all; most values that are no decimals end here.
    let mut top = EXP_MAX;
    while top > least && value.abs() * POW10[usize::from(top)] >= MANTISSA_MAX {
        top -= 1;
    }
    mantissa(value, top)?;
    (least..=top).find_map(|exp| mantissa(value, exp).map(|mantissa| (exp, mantissa)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shortest_form_is_found() {
        let check =
            |value: f64, expected: Option<(u8, i64)>| assert_eq!(shortest(value, 0), expected, "{value}");
        check(0.0, Some((0, 0)));
        check(-0.0, None);
        check(42.0, Some((0, 42)));
        check(-1.5, Some((1, -15)));
        check(0.1, Some((1, 1)));
        check(123_456_789.5, Some((1, 1_234_567_895)));
        check(1_700_000_000.123, Some((3, 1_700_000_000_123)));
        check(1.0 / 3.0, None);
        check(f64::NAN, None);
        check(f64::INFINITY, None);
        check(1e300, None);
        check(5e-324, None);
    }

    proptest! {
        #[test]
        fn what_is_taken_for_a_decimal_comes_back_bit_for_bit(bits: u64, mantissa_in in -1i64 << 50..1 << 50, exp in 0u8..=9, least in 0u8..=9) {
            for value in [f64::from_bits(bits), of(mantissa_in, exp)] {
                if let Some((exp, found)) = shortest(value, least) {
                    prop_assert_eq!(of(found, exp).to_bits(), value.to_bits());
                }
            }
            prop_assert!(mantissa(of(mantissa_in, exp), exp).is_some());
        }
    }
}
