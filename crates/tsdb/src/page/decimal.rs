//! Floats as integers over a power of ten: `value == mantissa / 10^e`, to the bit.
//!
//! In from `values`, out to `ints`. A float for which the division does not give back its very bits is an exception and is
//! stored beside. Method: ALP (Afroozeh, Kuffó, Boncz, «ALP: Adaptive Lossless Floating-Point Compression»), with a true
//! division instead of a multiplication by the reciprocal, so that every decimal of up to 15 digits is exact.

use pulp::{Arch, Simd, WithSimd};

/// 10^e for every exponent that a page may have; all exact as floats.
pub(super) const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Mantissas lie within ±2^60, so that differences of differences fit 64 bits.
const MANTISSA_MAX: i64 = 1 << 60;
/// `(x + this) - this` rounds to an integer while |x| is below 2^51.
const ROUNDER: f64 = 1.5 * (1u64 << 52) as f64;
/// How many floats that fail at one exponent are asked which one they need. Chosen.
const ASKED_MAX: usize = 32;
/// Rounds of choosing an exponent. Chosen: the second already seldom changes it.
const ROUNDS_MAX: usize = 3;
/// Bytes that one exception costs at most: the bits, and how far it is from the one before.
const EXCEPTION_BYTES: f64 = 9.0;
/// Bytes that one digit more costs for every float that changes: log2(10) / 8.
const DIGIT_BYTES: f64 = 0.415;

/// How a mantissa becomes a float, by its number in a page.
///
/// Besides a division by 10^e these are what exporters do to integers: node_exporter multiplies milliseconds of disks by 0.001 and
/// divides microseconds of pressure by 1000 twice. Such floats are no decimals, but as regular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale(u8);

impl Scale {
    /// Multiplied by 0.001.
    const TIMES_MILLI: u8 = 23;
    /// Multiplied by 0.000001.
    const TIMES_MICRO: u8 = 24;
    /// Multiplied by 0.000000001.
    const TIMES_NANO: u8 = 25;
    /// Divided by 1000, twice.
    const BY_1000_TWICE: u8 = 26;
    /// The scales that are no powers of ten, with the exponent that they are nearest to.
    const UNUSUAL: [(u8, u8); 4] =
        [(Self::TIMES_MILLI, 3), (Self::TIMES_MICRO, 6), (Self::BY_1000_TWICE, 6), (Self::TIMES_NANO, 9)];

    /// By number.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        (code <= Self::BY_1000_TWICE).then_some(Self(code))
    }

    /// Its number in a page.
    pub(super) fn code(self) -> u8 {
        self.0
    }

    /// A mantissa, already a float, as value.
    pub(super) fn value(self, mantissa: f64) -> f64 {
        match self.0 {
            Self::TIMES_MILLI => mantissa * 1e-3,
            Self::TIMES_MICRO => mantissa * 1e-6,
            Self::TIMES_NANO => mantissa * 1e-9,
            Self::BY_1000_TWICE => mantissa / 1e3 / 1e3,
            exponent => mantissa / POWERS[usize::from(exponent)],
        }
    }

    /// Appends the values of `mantissas`.
    pub(super) fn extend(self, mantissas: &[i64], out: &mut Vec<f64>) {
        let begin = out.len();
        out.resize(begin + mantissas.len(), 0.0);
        Arch::new().dispatch(Convert { scale: self, mantissas, out: &mut out[begin..] });
    }

    /// The loop of [`Scale::extend`], for the instructions that its caller was compiled for.
    #[inline(always)]
    fn convert(self, mantissas: &[i64], out: &mut [f64]) {
        let each = mantissas.iter().map(|&mantissa| mantissa as f64).zip(out);
        match self.0 {
            0 => each.for_each(|(float, out)| *out = float),
            Self::TIMES_MILLI => each.for_each(|(float, out)| *out = float * 1e-3),
            Self::TIMES_MICRO => each.for_each(|(float, out)| *out = float * 1e-6),
            Self::TIMES_NANO => each.for_each(|(float, out)| *out = float * 1e-9),
            Self::BY_1000_TWICE => each.for_each(|(float, out)| *out = float / 1e3 / 1e3),
            exponent => {
                let power = POWERS[usize::from(exponent)];
                each.for_each(|(float, out)| *out = float / power);
            }
        }
    }
}

/// [`Scale::convert`], compiled for the vector instructions of each kind of machine; which kind this is, is found out at run time.
struct Convert<'a> {
    scale: Scale,
    mantissas: &'a [i64],
    out: &'a mut [f64],
}

impl WithSimd for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.scale.convert(self.mantissas, self.out);
    }
}

/// Floats taken apart.
pub(super) struct Decimals {
    pub(super) scale: Scale,
    /// One each; for an exception the one before it, or the first that there is.
    pub(super) mantissas: Vec<i64>,
    /// Rising numbers of those floats that are no mantissa at this exponent.
    pub(super) exceptions: Vec<u32>,
}

/// `None` when more than half of `values` are no short decimals.
pub(super) fn of(values: &[f64]) -> Option<Decimals> {
    let mut decimals = Decimals { scale: Scale(0), mantissas: vec![0; values.len()], exceptions: Vec::new() };
    scale(values, &mut decimals);
    for _ in 0..ROUNDS_MAX {
        let Some(exponent) = better_exponent(values, &decimals) else { break };
        decimals.scale = Scale(exponent);
        scale(values, &mut decimals);
    }
    // Exceptions of the very last digit may come from another way of scaling.
    for (code, exponent) in Scale::UNUSUAL {
        if !decimals.exceptions.is_empty() && decimals.scale.0 <= exponent {
            let mut unusual =
                Decimals { scale: Scale(code), mantissas: vec![0; values.len()], exceptions: Vec::new() };
            scale_unusually(values, POWERS[usize::from(exponent)], &mut unusual);
            if unusual.exceptions.len() < decimals.exceptions.len() {
                decimals = unusual;
            }
        }
    }
    let n_exceptions = decimals.exceptions.len();
    if n_exceptions * 2 > values.len() {
        return None;
    }
    fill_exceptions(&mut decimals);
    Some(decimals)
}

/// The mantissa of `value` at a power of ten, if there is one.
#[inline(always)]
fn mantissa(value: f64, power: f64) -> (i64, bool) {
    let mantissa = round(value * power);
    let back = mantissa as f64 / power;
    (mantissa, back.to_bits() == value.to_bits() && mantissa.unsigned_abs() <= MANTISSA_MAX as u64)
}

#[inline(always)]
fn round(scaled: f64) -> i64 {
    let rounded = if scaled.abs() < (1u64 << 51) as f64 { (scaled + ROUNDER) - ROUNDER } else { scaled };
    rounded as i64
}

/// As [`scale`], for a scale that is no power of ten but near `power`.
fn scale_unusually(values: &[f64], power: f64, decimals: &mut Decimals) {
    for ((slot, &value), idx) in decimals.mantissas.iter_mut().zip(values).zip(0u32..) {
        *slot = round(value * power);
        let back = decimals.scale.value(*slot as f64);
        if back.to_bits() != value.to_bits() || slot.unsigned_abs() > MANTISSA_MAX as u64 {
            decimals.exceptions.push(idx);
        }
    }
}

fn scale(values: &[f64], decimals: &mut Decimals) {
    let power = POWERS[usize::from(decimals.scale.0)];
    let mut all_exact = true;
    for (slot, &value) in decimals.mantissas.iter_mut().zip(values) {
        let (mantissa, is_exact) = mantissa(value, power);
        *slot = mantissa;
        all_exact &= is_exact;
    }
    decimals.exceptions.clear();
    if !all_exact {
        let failing = values.iter().zip(0u32..).filter(|(value, _)| !mantissa(**value, power).1);
        decimals.exceptions.extend(failing.map(|(_, idx)| idx));
    }
}

/// The larger exponent that saves most, judged by some of those that fail now.
fn better_exponent(values: &[f64], decimals: &Decimals) -> Option<u8> {
    let failing = &decimals.exceptions;
    let stride = failing.len().div_ceil(ASKED_MAX).max(1);
    let mut needs = [0u32; POWERS.len()];
    let mut n_asked = 0u32;
    for &idx in failing.iter().step_by(stride) {
        let value = values[idx as usize];
        n_asked += 1;
        if !value.is_finite() || value == 0.0 {
            continue;
        }
        let above = decimals.scale.0 + 1..POWERS.len() as u8;
        if let Some(exponent) =
            above.into_iter().find(|&exponent| mantissa(value, POWERS[usize::from(exponent)]).1)
        {
            needs[usize::from(exponent)] += 1;
        }
    }
    let mut best: Option<(f64, u8)> = None;
    let mut n_covered = 0;
    for (exponent, &need) in needs.iter().enumerate().filter(|(_, need)| **need > 0) {
        n_covered += need;
        let saved = failing.len() as f64 * f64::from(n_covered) / f64::from(n_asked) * EXCEPTION_BYTES;
        let cost = values.len() as f64 * (exponent as f64 - f64::from(decimals.scale.0)) * DIGIT_BYTES;
        if saved - cost > best.map_or(0.0, |(net, _)| net) {
            best = Some((saved - cost, exponent as u8));
        }
    }
    best.map(|(_, exponent)| exponent)
}

fn fill_exceptions(decimals: &mut Decimals) {
    let mut exceptions = decimals.exceptions.iter().map(|&idx| idx as usize).peekable();
    if exceptions.peek().is_none() {
        return;
    }
    let mut is_exception = vec![false; decimals.mantissas.len()];
    exceptions.for_each(|idx| is_exception[idx] = true);
    let first = is_exception.iter().position(|&is| !is).map_or(0, |idx| decimals.mantissas[idx]);
    let mut before = first;
    for (mantissa, is_exception) in decimals.mantissas.iter_mut().zip(&is_exception) {
        if *is_exception {
            *mantissa = before;
        }
        before = *mantissa;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn vector_instructions_give_the_same_bits(mantissas: Vec<i64>, shift in 0..64u32, code in 0..=Scale::BY_1000_TWICE) {
            let mantissas: Vec<i64> = mantissas.iter().map(|mantissa| mantissa >> shift).collect();
            let scale = Scale::from_code(code).expect("a scale");
            let mut plain = vec![0.0; mantissas.len()];
            scale.convert(&mantissas, &mut plain);
            let mut vector = Vec::new();
            scale.extend(&mantissas, &mut vector);
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&plain), bits(&vector));
            let single: Vec<f64> = mantissas.iter().map(|&mantissa| scale.value(mantissa as f64)).collect();
            prop_assert_eq!(bits(&plain), bits(&single));
        }
    }
}
