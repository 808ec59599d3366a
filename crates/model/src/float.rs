//! Floats as text, the way Go's `strconv` spells and reads them: what clients of Prometheus' API parse and compare.
//!
//! In from `wire` and `promql` (numbers as text), out to the query API and templates. Checked against Go itself.

/// The NaN that Go and Prometheus write for «not a number»; never the staleness marker.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// `FormatFloat(v, 'f', -1, 64)`: shortest digits that come back, never an exponent; `NaN`, `+Inf`, `-Inf`.
///
/// This is the form of sample values in the query API.
pub fn push_f(out: &mut String, value: f64) {
    if push_special(out, value) {
        return;
    }
    // Fast path: whole numbers below 10^15 are their own shortest digits. Minus zero is no whole number of i64.
    if value.fract() == 0.0 && value.abs() < 1e15 && (value != 0.0 || value.is_sign_positive()) {
        out.push_str(itoa::Buffer::new().format(value as i64));
        return;
    }
    // Fast path: a few digits after the point, as measured values often have. Of decimals with up to 15 digits no two are the same
    // float, so that the one with the fewest digits is the shortest of all.
    if value.abs() < 1e9
        && let Some((mantissa, n_fraction)) = short_decimal(value.abs())
    {
        return push_decimal(out, value.is_sign_negative(), mantissa, n_fraction);
    }
    // Fast path: what zmij writes without an exponent is what Go writes, but for the fraction of whole numbers.
    if (1e-4..1e15).contains(&value.abs()) {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        out.push_str(text.strip_suffix(".0").unwrap_or(text));
        return;
    }
    // Slow path: all others.
    push_plain(out, value, &ShortestDigits::of(value));
}

/// `(m, n)` where `value`, which is positive and below a billion, is the float nearest to m · 10^-n; n from 1 to 3 and least.
fn short_decimal(value: f64) -> Option<(u64, usize)> {
    let thousandths = (value * 1e3).round();
    // A quotient of two exact numbers is the float nearest to it.
    if thousandths / 1e3 != value || thousandths == 0.0 {
        return None;
    }
    let (mut mantissa, mut n_fraction) = (thousandths as u64, 3);
    while n_fraction > 1 && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        n_fraction -= 1;
    }
    Some((mantissa, n_fraction))
}

fn push_decimal(out: &mut String, is_negative: bool, mantissa: u64, n_fraction: usize) {
    const TENS: [u64; 4] = [1, 10, 100, 1_000];
    if is_negative {
        out.push('-');
    }
    let one = TENS[n_fraction];
    out.push_str(itoa::Buffer::new().format(mantissa / one));
    out.push('.');
    // One more in front keeps zeros after the point.
    out.push_str(&itoa::Buffer::new().format(mantissa % one + one)[1..]);
}

/// `FormatFloat(v, 'g', -1, 64)`: as [`push_f`], but with an exponent when it is below -4 or at least 6:
/// `123456`, `1e+06`, `1.234567e+06`.
///
/// This is the form in expositions and in `le` labels.
pub fn push_g(out: &mut String, value: f64) {
    if push_special(out, value) {
        return;
    }
    let shortest = ShortestDigits::of(value);
    let exponent = shortest.n_before_point - 1;
    if (-4..6).contains(&exponent) {
        push_plain(out, value, &shortest);
        return;
    }
    if value.is_sign_negative() {
        out.push('-');
    }
    let (first, others) = shortest.as_str().split_at(1);
    out.push_str(first);
    if !others.is_empty() {
        out.push('.');
        out.push_str(others);
    }
    use std::fmt::Write as _;
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "e{sign}{:02}", exponent.abs());
}

/// [`push_f`] into a new string.
#[must_use]
pub fn format_f(value: f64) -> String {
    let mut out = String::new();
    push_f(&mut out, value);
    out
}

/// [`push_g`] into a new string.
#[must_use]
pub fn format_g(value: f64) -> String {
    let mut out = String::new();
    push_g(&mut out, value);
    out
}

/// The shortest digits that come back, the nearest of these to the value, ties to even: what Go takes, and what
/// std's `Display` misses in ties such as 786283752699922.25.
struct ShortestDigits {
    digits: [u8; 24],
    len: usize,
    /// Where the point stands: the value is 0.digits · 10^this.
    n_before_point: i32,
}

impl ShortestDigits {
    /// Of a finite value.
    fn of(value: f64) -> Self {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().expect("zmij writes a decimal exponent");
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut shortest = Self { digits: [0; 24], len: 0, n_before_point: exponent + whole.len() as i32 };
        for digit in whole.bytes().chain(fraction.bytes()) {
            if shortest.len == 0 && digit == b'0' {
                // A leading zero only moves the point.
                shortest.n_before_point -= 1;
                continue;
            }
            shortest.digits[shortest.len] = digit;
            shortest.len += 1;
        }
        while shortest.len > 0 && shortest.digits[shortest.len - 1] == b'0' {
            shortest.len -= 1;
        }
        if shortest.len == 0 {
            return Self { digits: [b'0'; 24], len: 1, n_before_point: 1 };
        }
        shortest
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.len]).expect("ASCII digits")
    }
}

/// Without exponent.
fn push_plain(out: &mut String, value: f64, shortest: &ShortestDigits) {
    if value.is_sign_negative() {
        out.push('-');
    }
    let digits = shortest.as_str();
    let zeros = |out: &mut String, n: usize| out.extend(std::iter::repeat_n('0', n));
    match usize::try_from(shortest.n_before_point) {
        Ok(n_before) if n_before >= digits.len() => {
            out.push_str(digits);
            zeros(out, n_before - digits.len());
        }
        Ok(n_before) if n_before > 0 => {
            let (whole, fraction) = digits.split_at(n_before);
            out.push_str(whole);
            out.push('.');
            out.push_str(fraction);
        }
        _ => {
            out.push_str("0.");
            zeros(out, shortest.n_before_point.unsigned_abs() as usize);
            out.push_str(digits);
        }
    }
}

fn push_special(out: &mut String, value: f64) -> bool {
    let text = match value {
        v if v.is_nan() => "NaN",
        v if v == f64::INFINITY => "+Inf",
        v if v == f64::NEG_INFINITY => "-Inf",
        _ => return false,
    };
    out.push_str(text);
    true
}

/// Why a text is no float, in Go's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseFloatError {
    /// Not of the grammar.
    #[error("invalid syntax")]
    Syntax,
    /// Beyond the greatest float.
    #[error("value out of range")]
    Range,
}

/// Powers of ten that a float holds exactly.
const EXACT_TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// `ParseFloat(text, 64)`: decimal and hexadecimal floats, `inf`, `infinity` and `nan` in any case, underscores
/// between digits.
///
/// # Errors
/// Where Go's has one; too small a number is 0, too large a number is an error.
pub fn parse(text: &str) -> Result<f64, ParseFloatError> {
    // Fast path: few digits and a small exponent, so that one correctly rounded operation gives the nearest float
    // (Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990).
    if let Some(value) = parse_short_decimal(text.as_bytes()) {
        return Ok(value);
    }
    // Slow path: everything else.
    parse_any(text)
}

/// A decimal whose mantissa and power of ten are exact; `None` for all other text.
fn parse_short_decimal(text: &[u8]) -> Option<f64> {
    parse_decimal_prefix(text).filter(|(_, len)| *len == text.len()).map(|(value, _)| value)
}

/// The decimal at the start of `text` and how many bytes it takes, when it is one of the common kind: up to 19 digits
/// and exact as [`parse`] reads it. `None` says to ask [`parse`], which also knows why not.
///
/// One pass for scanners that do not know yet where the number ends.
#[must_use]
#[inline]
pub fn parse_decimal_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let start = usize::from(is_negative || text.first() == Some(&b'+'));
    let (mut mantissa, mut i) = (0u64, start);
    i += digits(text, i, &mut mantissa);
    let mut n_digits = i - start;
    let mut power = 0i32;
    if text.get(i) == Some(&b'.') {
        i += 1;
        let n_fraction = digits(text, i, &mut mantissa);
        i += n_fraction;
        n_digits += n_fraction;
        // Cut off at 19 below.
        power = -(n_fraction.min(64) as i32);
    }
    // At most 19 digits fit without overflow, leading zeros counted.
    if n_digits == 0 || n_digits > 19 || mantissa > 1 << 53 {
        return None;
    }
    if let Some(b'e' | b'E') = text.get(i) {
        let (exponent, len) = parse_short_exponent(&text[i + 1..])?;
        i += 1 + len;
        power += exponent;
    }
    let tens = *EXACT_TENS.get(power.unsigned_abs() as usize)?;
    let value = if power < 0 { mantissa as f64 / tens } else { mantissa as f64 * tens };
    Some((if is_negative { -value } else { value }, i))
}

/// Appends the digits at `start` to `mantissa`, which wraps when there are too many; returns how many.
#[inline]
fn digits(text: &[u8], start: usize, mantissa: &mut u64) -> usize {
    let mut n_digits = 0;
    while let Some(digit) =
        text.get(start + n_digits).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
    {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        n_digits += 1;
    }
    n_digits
}

/// An exponent of up to three digits, and how many bytes it takes.
#[inline]
fn parse_short_exponent(text: &[u8]) -> Option<(i32, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let start = usize::from(is_negative || text.first() == Some(&b'+'));
    let mut value = 0;
    let n_digits = digits(text, start, &mut value);
    if n_digits == 0 || n_digits > 3 {
        return None;
    }
    let value = value as i32;
    Some((if is_negative { -value } else { value }, start + n_digits))
}

#[cold]
fn parse_any(text: &str) -> Result<f64, ParseFloatError> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_negative = text.starts_with('-');
    let signed = |value: f64| if is_negative { -value } else { value };
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return Ok(signed(f64::INFINITY));
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::from_bits(NORMAL_NAN_BITS));
    }
    let is_hex = unsigned.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x"));
    let plain;
    let unsigned = if unsigned.contains('_') {
        if !underscores_separate_digits(unsigned, is_hex) {
            return Err(ParseFloatError::Syntax);
        }
        plain = unsigned.replace('_', "");
        &plain
    } else {
        unsigned
    };
    if is_hex {
        return parse_hex(&unsigned[2..]).map(signed);
    }
    // std knows more spellings of infinity and NaN than Go, so only digits, point and exponent go through.
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(ParseFloatError::Syntax);
    }
    let value: f64 = unsigned.parse().map_err(|_| ParseFloatError::Syntax)?;
    if value.is_infinite() { Err(ParseFloatError::Range) } else { Ok(signed(value)) }
}

/// Whether each underscore stands between digits, or between the `0x` and a digit.
fn underscores_separate_digits(unsigned: &str, is_hex: bool) -> bool {
    let bytes = if is_hex { &unsigned.as_bytes()[2..] } else { unsigned.as_bytes() };
    let is_digit = |byte: u8| byte.is_ascii_digit() || (is_hex && byte.is_ascii_hexdigit());
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(i, _)| {
        let before = if i == 0 { is_hex } else { is_digit(bytes[i - 1]) };
        before && bytes.get(i + 1).is_some_and(|after| is_digit(*after))
    })
}

/// What follows `0x`: hexadecimal digits with a point, and a binary exponent, which Go demands.
fn parse_hex(text: &str) -> Result<f64, ParseFloatError> {
    let (digits, exponent) = text.split_once(['p', 'P']).ok_or(ParseFloatError::Syntax)?;
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseFloatError::Syntax);
    }
    // More than 10,000 overflows or vanishes whatever the digits are, unless they are thousands themselves.
    let magnitude = exponent_digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    let mut exponent = if exponent.starts_with('-') { -magnitude } else { magnitude };
    let (mut mantissa, mut sticky, mut n_digits, mut in_fraction) = (0u64, false, 0, false);
    for byte in digits.bytes() {
        if byte == b'.' && !in_fraction {
            in_fraction = true;
            continue;
        }
        let digit = (byte as char).to_digit(16).ok_or(ParseFloatError::Syntax)?;
        n_digits += 1;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            exponent -= if in_fraction { 4 } else { 0 };
        } else {
            sticky |= digit != 0;
            exponent += if in_fraction { 0 } else { 4 };
        }
    }
    if n_digits == 0 {
        return Err(ParseFloatError::Syntax);
    }
    round_to_float(mantissa, sticky, exponent)
}

/// `mantissa · 2^exponent`, rounded half to even; `sticky` says that a little more is there.
fn round_to_float(mantissa: u64, sticky: bool, exponent: i64) -> Result<f64, ParseFloatError> {
    if mantissa == 0 {
        return Ok(0.0);
    }
    // Bring the highest bit to bit 63; the value is then 1.xxx · 2^top.
    let shift = mantissa.leading_zeros();
    let mantissa = mantissa << shift;
    let top = exponent - i64::from(shift) + 63;
    // 53 bits for normal floats, fewer below 2^-1022.
    let n_kept = if top >= -1022 { 53 } else { 53 - (-1022 - top) };
    if n_kept < 0 {
        return Ok(0.0);
    }
    let wide = u128::from(mantissa) << 1 | u128::from(sticky);
    let n_cut = 65 - u32::try_from(n_kept).expect("checked not negative");
    let (kept, cut, half) = (wide >> n_cut, wide & ((1 << n_cut) - 1), 1u128 << (n_cut - 1));
    let round_up = cut > half || (cut == half && kept & 1 == 1);
    let kept = u64::try_from(kept).expect("at most 53 bits") + u64::from(round_up);
    // The bits of a float count up through its exponents, so a carry out of the mantissa lands where it should.
    let bits = if top >= -1022 {
        let biased = u64::try_from(top.min(1024) + 1023).expect("at least 1");
        (biased << 52) + (kept - (1 << 52))
    } else {
        kept
    };
    let value = f64::from_bits(bits.min(f64::INFINITY.to_bits()));
    if value.is_infinite() { Err(ParseFloatError::Range) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text, the bits Go reads, and how Go writes them with 'g'; all printed by Go.
    fn check(text: &str, expected: Result<(u64, &str), ParseFloatError>) {
        let got = parse(text).map(|value| (value.to_bits(), format_g(value)));
        assert_eq!(got, expected.map(|(bits, g)| (bits, g.to_owned())), "{text}");
    }

    #[test]
    fn reads_as_go_does() {
        check("0", Ok((0, "0")));
        check("-0", Ok((1 << 63, "-0")));
        check("+1", Ok((0x3ff0_0000_0000_0000, "1")));
        check("1.", Ok((0x3ff0_0000_0000_0000, "1")));
        check(".5", Ok((0x3fe0_0000_0000_0000, "0.5")));
        check("123456", Ok((0x40fe_2400_0000_0000, "123456")));
        check("1234567", Ok((0x4132_d687_0000_0000, "1.234567e+06")));
        check("1e6", Ok((0x412e_8480_0000_0000, "1e+06")));
        check("1e-4", Ok((0x3f1a_36e2_eb1c_432d, "0.0001")));
        check("1e-5", Ok((0x3ee4_f8b5_88e3_68f1, "1e-05")));
        check("1.0E9", Ok((0x41cd_cd65_0000_0000, "1e+09")));
        check("123456789012345680000", Ok((0x441a_c53a_7e04_bcda, "1.2345678901234568e+20")));
        check("1.7976931348623157e308", Ok((0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308")));
        check("1e-400", Ok((0, "0")));
        check("nan", Ok((NORMAL_NAN_BITS, "NaN")));
        check("-inf", Ok((0xfff0_0000_0000_0000, "-Inf")));
        check("+Infinity", Ok((0x7ff0_0000_0000_0000, "+Inf")));
        check("1_000", Ok((0x408f_4000_0000_0000, "1000")));
        check("1e1_0", Ok((0x4202_a05f_2000_0000, "1e+10")));
        check("0x_1p0", Ok((0x3ff0_0000_0000_0000, "1")));
        check("0x1_0p-2", Ok((0x4010_0000_0000_0000, "4")));
        check("0x1p-1075", Ok((0, "0")));
        check("0x1.8p-1075", Ok((1, "5e-324")));
        check("0x1.fffffffffffff7p1023", Ok((0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308")));
        for text in
            ["", ".", "1e", "1e+", "e5", "--1", "+nan", "infinit", "1__0", "_1", "1_", "0x1", "0xp1", "1 "]
        {
            check(text, Err(ParseFloatError::Syntax));
        }
        for text in ["1e400", "-1e400", "0x1p1024", "0x1.fffffffffffff8p1023"] {
            check(text, Err(ParseFloatError::Range));
        }
    }

    #[test]
    fn spells_as_go_does() {
        assert_eq!(format_f(1e21), "1000000000000000000000");
        assert_eq!(format_f(-0.0), "-0");
        assert_eq!(format_f(0.1), "0.1");
        // Exact ties: 786283752699922.25 and 97869655054931.625.
        assert_eq!(format_f(786_283_752_699_922.0 + 0.25), "786283752699922.2");
        assert_eq!(format_f(97_869_655_054_931.0 + 0.625), "97869655054931.62");
        assert_eq!(format_f(1e15), "1000000000000000");
        assert_eq!(format_f(-123.0), "-123");
        assert_eq!(format_f(f64::NAN), "NaN");
        assert_eq!(format_f(f64::INFINITY), "+Inf");
        assert_eq!(format_g(1e20), "1e+20");
        assert_eq!(format_g(1.5e-7), "1.5e-07");
        assert_eq!(format_g(0.0001), "0.0001");
        assert_eq!(format_g(0.00001), "1e-05");
    }

    proptest! {
        #[test]
        fn every_spelling_comes_back_to_the_bit(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            for text in [format_f(value), format_g(value)] {
                prop_assert_eq!(parse(&text).map(f64::to_bits), Ok(bits), "{}", text);
            }
        }

        #[test]
        fn digits_are_those_that_ryu_finds(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let text = ryu::Buffer::new().format_finite(value.abs()).to_owned();
            let digits = text.split('e').next().unwrap_or("").replace('.', "");
            let expected = digits.trim_start_matches('0').trim_end_matches('0');
            let shortest = ShortestDigits::of(value);
            prop_assert_eq!(shortest.as_str(), if expected.is_empty() { "0" } else { expected });
        }

        #[test]
        fn every_fast_path_spells_as_the_slow_one(value in prop_oneof![
            any::<f64>().prop_filter("finite", |v| v.is_finite()),
            (any::<i64>(), 0u32..8).prop_map(|(m, n)| (m % 10_000_000_000) as f64 / 10f64.powi(n as i32)),
            (any::<i32>(), 0u32..20).prop_map(|(m, n)| f64::from(m) / 10f64.powi(n as i32)),
            (any::<i32>(), any::<i32>()).prop_map(|(a, b)| f64::from(a) / f64::from(b.max(1))),
        ]) {
            let mut slow = String::new();
            push_plain(&mut slow, value, &ShortestDigits::of(value));
            prop_assert_eq!(format_f(value), slow);
        }

        #[test]
        fn short_decimals_are_the_nearest_float(text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,12})?([eE][+-]?[0-9]{1,3})?") {
            let expected = text.parse::<f64>().ok().filter(|value| value.is_finite());
            prop_assert_eq!(parse(&text).ok().map(f64::to_bits), expected.map(f64::to_bits), "{}", text);
        }

        #[test]
        fn hexadecimal_floats_come_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let (biased, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
            let (lead, exponent) = if biased == 0 { (0, -1022) } else { (1, biased as i64 - 1023) };
            let sign = if value.is_sign_negative() { "-" } else { "" };
            let text = format!("{sign}0x{lead}.{fraction:013x}p{exponent}");
            prop_assert_eq!(parse(&text).map(f64::to_bits), Ok(bits), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9a-fA-FxXpP._inINtyTY]{0,12}") {
            let _ = parse(&text);
        }
    }
}
