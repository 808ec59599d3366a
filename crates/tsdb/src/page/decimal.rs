//! Floats as integers over a power of ten: `value == mantissa / 10^e`, to the bit.
//!
//! In from `values`, out to `ints`. A float for which the division does not give back its very bits is an exception and is
//! stored beside. Method: ALP (Afroozeh, Kuffó, Boncz, «ALP: Adaptive Lossless Floating-Point Compression»), with a true
//! division instead of a multiplication by the reciprocal, so that every decimal of up to 15 digits is exact.

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

/// Floats taken apart.
pub(super) struct Decimals {
    pub(super) exponent: u8,
    /// One each; for an exception the one before it, or the first that there is.
    pub(super) mantissas: Vec<i64>,
    /// Rising numbers of those floats that are no mantissa at this exponent.
    pub(super) exceptions: Vec<u32>,
}

/// `None` when more than half of `values` are no short decimals.
pub(super) fn of(values: &[f64]) -> Option<Decimals> {
    let mut decimals = Decimals { exponent: 0, mantissas: vec![0; values.len()], exceptions: Vec::new() };
    scale(values, &mut decimals);
    for _ in 0..ROUNDS_MAX {
        let Some(exponent) = better_exponent(values, &decimals) else { break };
        decimals.exponent = exponent;
        scale(values, &mut decimals);
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
    let scaled = value * power;
    let rounded = if scaled.abs() < (1u64 << 51) as f64 { (scaled + ROUNDER) - ROUNDER } else { scaled };
    let mantissa = rounded as i64;
    let back = mantissa as f64 / power;
    (mantissa, back.to_bits() == value.to_bits() && mantissa.unsigned_abs() <= MANTISSA_MAX as u64)
}

fn scale(values: &[f64], decimals: &mut Decimals) {
    let power = POWERS[usize::from(decimals.exponent)];
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
        let above = decimals.exponent + 1..POWERS.len() as u8;
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
        let cost = values.len() as f64 * (exponent as f64 - f64::from(decimals.exponent)) * DIGIT_BYTES;
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
