//! Floats as text, the way Go's `strconv` spells them: what clients of Prometheus' API parse and compare.

/// `FormatFloat(v, 'f', -1, 64)`: shortest digits that come back, never an exponent; `NaN`, `+Inf`, `-Inf`.
///
/// This is the form of sample values in the query API.
pub fn push_f(out: &mut String, value: f64) {
    if push_special(out, value) {
        return;
    }
    // Rust's Display for f64 is shortest round-trip without exponent, as Go's 'f' with precision -1.
    use std::fmt::Write as _;
    let _ = write!(out, "{value}");
}

/// `FormatFloat(v, 'g', -1, 64)`: as [`push_f`], but with an exponent when it is below -4 or at least 21.
///
/// This is the form in PromQL's printer and in `le` labels.
pub fn push_g(out: &mut String, value: f64) {
    if push_special(out, value) {
        return;
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("LowerExp always writes an exponent");
    let exponent: i32 = exponent.parse().expect("LowerExp writes a decimal exponent");
    if (-4..21).contains(&exponent) {
        push_f(out, value);
        return;
    }
    use std::fmt::Write as _;
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_as_go_does() {
        assert_eq!(format_f(1e21), "1000000000000000000000");
        assert_eq!(format_f(-0.0), "-0");
        assert_eq!(format_f(0.1), "0.1");
        assert_eq!(format_f(f64::NAN), "NaN");
        assert_eq!(format_f(f64::INFINITY), "+Inf");
        assert_eq!(format_g(1e21), "1e+21");
        assert_eq!(format_g(1e20), "100000000000000000000");
        assert_eq!(format_g(1.5e-7), "1.5e-07");
        assert_eq!(format_g(0.0001), "0.0001");
    }
}
