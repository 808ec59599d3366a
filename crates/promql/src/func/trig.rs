//! Sine, cosine and tangent to the bit as Prometheus has them, also where the C library's last digits differ.
//!
//! Method: Moshier's Cephes (polynomials on an eighth of the circle, after Cody and Waite's reduction in three parts), and Payne
//! and Hanek's reduction with the digits of 4/π for large arguments. No fused multiplications: Go uses none on amd64.

use std::f64::consts::{FRAC_PI_4, PI};

/// π/4 in three parts; the first two have few enough digits that their multiples are exact.
const PARTS_OF_PI_4: [f64; 3] =
    [7.853_981_256_484_985e-1, 3.774_894_707_930_798e-8, 2.695_151_429_079_059_5e-15];

/// From here on the three parts have too few digits.
const LARGE: f64 = 536_870_912.0;

/// 4/π in binary, 64 digits each; the first is what stands before the point.
const FOUR_BY_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// Cephes' coefficients, highest power of the square first.
const SIN: [f64; 6] = [
    1.589_623_015_765_465_6e-10,
    -2.505_074_776_285_780_7e-8,
    2.755_731_362_138_572_2e-6,
    -0.000_198_412_698_295_895_4,
    0.008_333_333_333_322_118,
    -0.166_666_666_666_666_3,
];
const COS: [f64; 6] = [
    -1.135_853_652_138_768_2e-11,
    2.087_570_084_197_473e-9,
    -2.755_731_417_929_674e-7,
    2.480_158_728_885_170_4e-5,
    -0.001_388_888_888_887_305_6,
    0.041_666_666_666_666_595,
];
const TAN_P: [f64; 3] = [-13_093.693_918_138_379, 1_153_516.648_385_874_2, -17_956_525.197_648_488];
const TAN_Q: [f64; 5] =
    [1.0, 13_681.296_347_069_296, -1_320_892.344_402_109_7, 25_008_380.182_335_79, -53_869_575.592_945_464];

fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients[1..].iter().fold(coefficients[0], |sum, c| sum * x + c)
}

/// The even number of eighths nearest to `x`, modulo eight, and what is left, at most an eighth of the circle; `x` is not negative.
fn reduced(x: f64) -> (u64, f64) {
    if x >= LARGE {
        return reduced_large(x);
    }
    let mut eighths = (x * (4.0 / PI)) as u64;
    eighths += eighths & 1;
    let count = eighths as f64;
    let rest = ((x - count * PARTS_OF_PI_4[0]) - count * PARTS_OF_PI_4[1]) - count * PARTS_OF_PI_4[2];
    (eighths & 7, rest)
}

fn reduced_large(x: f64) -> (u64, f64) {
    // x is mantissa * 2^exponent; only the digits of 4/π that give the last three bits before the point, and those after, count.
    let bits = x.to_bits();
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let from = (bits >> 52) as usize + 61 - 1_023 - 52;
    let (digit, shift) = (from / 64, from % 64);
    let piece = |idx: usize| {
        let below = if shift == 0 { 0 } else { FOUR_BY_PI[idx + 1] >> (64 - shift) };
        FOUR_BY_PI[idx] << shift | below
    };
    let low = (u128::from(piece(digit + 2)) * u128::from(mantissa)) >> 64;
    let middle = u128::from(piece(digit + 1)) * u128::from(mantissa);
    let high = u128::from(piece(digit).wrapping_mul(mantissa)) << 64;
    let product = high.wrapping_add(middle).wrapping_add(low);
    let eighths = (product >> 125) as u64;
    // What follows the point, cut to the 53 bits of a float.
    let after = (product >> 61) as u64;
    let n_zeros = u64::from(after.leading_zeros());
    if n_zeros == 64 {
        return if eighths & 1 == 1 { ((eighths + 1) & 7, -FRAC_PI_4) } else { (eighths, 0.0) };
    }
    let aligned = ((product << 3) << (n_zeros + 1)) >> 76;
    let fraction = f64::from_bits((1_023 - (n_zeros + 1)) << 52 | aligned as u64);
    if eighths & 1 == 1 {
        return ((eighths + 1) & 7, (fraction - 1.0) * FRAC_PI_4);
    }
    (eighths, fraction * FRAC_PI_4)
}

/// The sine of a small rest.
fn sin_of(rest: f64) -> f64 {
    let square = rest * rest;
    rest + rest * square * polynomial(square, &SIN)
}

/// The cosine of a small rest.
fn cos_of(rest: f64) -> f64 {
    let square = rest * rest;
    1.0 - 0.5 * square + square * square * polynomial(square, &COS)
}

/// Sine of `x` radians.
pub(crate) fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let (eighths, rest) = reduced(x.abs());
    let value = if eighths & 3 == 2 { cos_of(rest) } else { sin_of(rest) };
    if x.is_sign_negative() != (eighths > 3) { -value } else { value }
}

/// Cosine of `x` radians.
pub(crate) fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (eighths, rest) = reduced(x.abs());
    let value = if eighths & 3 == 2 { sin_of(rest) } else { cos_of(rest) };
    // Negative in the second and third quarter.
    if matches!(eighths, 2 | 4) { -value } else { value }
}

/// Tangent of `x` radians.
pub(crate) fn tan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    let (eighths, rest) = reduced(x.abs());
    let square = rest * rest;
    let mut value = rest;
    if square > 1e-14 {
        value = rest + rest * (square * polynomial(square, &TAN_P) / polynomial(square, &TAN_Q));
    }
    if eighths & 2 == 2 {
        value = -1.0 / value;
    }
    if x.is_sign_negative() { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_a_quarter_of_pi() {
        assert_eq!(
            PARTS_OF_PI_4.map(f64::to_bits),
            [0x3fe9_21fb_4000_0000, 0x3e64_442d_0000_0000, 0x3ce8_4698_98cc_5170]
        );
        assert_eq!(PARTS_OF_PI_4.iter().sum::<f64>(), FRAC_PI_4);
    }

    #[test]
    fn values_are_near_the_c_librarys() {
        let mut x = 1e-9;
        while x < 1e300 {
            for (name, ours, theirs) in
                [("sin", sin(x), x.sin()), ("cos", cos(x), x.cos()), ("sin", sin(-x), (-x).sin())]
            {
                assert!((ours - theirs).abs() <= 4e-16, "{name} {x}: {ours} {theirs}");
            }
            let (ours, theirs) = (tan(x), x.tan());
            assert!((ours - theirs).abs() <= 1e-15 * (1.0 + theirs * theirs), "tan {x}: {ours} {theirs}");
            x *= 1.013;
        }
        for f in [sin, cos, tan] {
            assert!(f(f64::NAN).is_nan() && f(f64::INFINITY).is_nan() && f(f64::NEG_INFINITY).is_nan());
        }
        assert_eq!(
            (sin(-0.0).to_bits(), cos(0.0), tan(-0.0).to_bits()),
            ((-0.0f64).to_bits(), 1.0, (-0.0f64).to_bits())
        );
    }
}
