//! A value as the head's events and the log have it: against the one before, where both are short decimals.

pub(crate) mod decimal;

use decimal::EXP_RAW;

/// What a value is coded against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) bits: u64,
    pub(crate) exp: u8,
}

/// A value as events and the log have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coded {
    /// Difference of mantissas; the exponent stays.
    Delta(i64),
    /// Exponent and mantissa.
    Decimal(u8, i64),
    /// Bits.
    Raw(u64),
}

impl Base {
    /// Codes `bits` against `base`, and says what the next value is coded against.
    #[inline]
    pub(crate) fn code(base: Option<Self>, bits: u64) -> (Coded, Self) {
        let value = f64::from_bits(bits);
        let exp = base.map_or(EXP_RAW, |base| base.exp);
        if let Some(base) = base
            && let Some(new) = decimal::mantissa(value, exp)
            && let Some(old) = decimal::mantissa(f64::from_bits(base.bits), exp)
        {
            return (Coded::Delta(new - old), Self { bits, exp });
        }
        let least = if exp == EXP_RAW { 0 } else { exp };
        match decimal::shortest(value, least) {
            Some((exp, mantissa)) => (Coded::Decimal(exp, mantissa), Self { bits, exp }),
            None => (Coded::Raw(bits), Self { bits, exp: EXP_RAW }),
        }
    }

    /// The inverse of [`Base::code`]; `None` when there is no such value.
    #[inline]
    pub(crate) fn decode(base: Option<Self>, coded: Coded) -> Option<Self> {
        match coded {
            Coded::Delta(delta) => {
                let base = base?;
                let old = decimal::mantissa(f64::from_bits(base.bits), base.exp)?;
                let bits = decimal::of(old.checked_add(delta)?, base.exp).to_bits();
                Some(Self { bits, exp: base.exp })
            }
            Coded::Decimal(exp, mantissa) if exp <= decimal::EXP_MAX => {
                Some(Self { bits: decimal::of(mantissa, exp).to_bits(), exp })
            }
            Coded::Decimal(..) => None,
            Coded::Raw(bits) => Some(Self { bits, exp: EXP_RAW }),
        }
    }
}
