//! Functions of single numbers.

use std::f64::consts::PI;

use super::trig;

/// Go's `math.Max`: infinity wins, then NaN; zero is above its negative.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == b {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: negative infinity wins, then NaN; zero is above its negative.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

fn sgn(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// Rounds to a multiple of `to`, ties upward; by the inverse, as upstream, for fewer errors of representation.
pub(crate) fn round(value: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (value * inverse + 0.5).floor() / inverse
}

/// The function called `name`, if it maps single numbers.
pub(crate) fn unary(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => trig::sin,
        "cos" => trig::cos,
        "tan" => trig::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |v| v * PI / 180.0,
        "deg" => |v| v * 180.0 / PI,
        "sgn" => sgn,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinity_wins_over_nan_and_zero_over_its_negative() {
        let check = |a: f64, b: f64, larger: f64, smaller: f64| {
            for (a, b) in [(a, b), (b, a)] {
                let same = |x: f64, y: f64| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
                assert!(
                    same(max(a, b), larger) && same(min(a, b), smaller),
                    "{a} {b}: {} {}",
                    max(a, b),
                    min(a, b)
                );
            }
        };
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        check(1.0, 2.0, 2.0, 1.0);
        check(nan, 1.0, nan, nan);
        check(nan, inf, inf, nan);
        check(nan, -inf, nan, -inf);
        check(0.0, -0.0, 0.0, -0.0);
        check(inf, -inf, inf, -inf);
    }
}
