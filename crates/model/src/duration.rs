//! Durations as Prometheus writes them: `1d`, `1h30m`, `500ms`.
//!
//! Grammar and order of units from Prometheus' `model.ParseDuration`: `y w d h m s ms`, each at most once, in this order.

use std::fmt;
use std::str::FromStr;

/// Units from the longest, with their length in milliseconds. A year has 365 days.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A length of time in milliseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration {
    ms: i64,
}

/// Why a duration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing at all.
    #[error("empty duration string")]
    Empty,
    /// Not of the grammar.
    #[error("not a valid duration string: {}", crate::labels::quoted(.0))]
    Syntax(String),
    /// Longer than 2^63 nanoseconds (292 years), which is Prometheus' limit.
    #[error("duration out of range")]
    Range,
}

impl Duration {
    /// No time.
    pub const ZERO: Self = Self { ms: 0 };

    /// From milliseconds; negative ones count as none.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Self {
        Self { ms: if ms < 0 { 0 } else { ms } }
    }

    /// From seconds.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_ms(secs * 1_000)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.ms
    }

    /// In seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.ms as f64 / 1_000.0
    }

    /// As the standard library's type.
    #[must_use]
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms as u64)
    }

    /// Whether it is no time.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.ms == 0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.is_empty() {
            return Err(DurationError::Empty);
        }
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let syntax = || DurationError::Syntax(text.to_owned());
        let mut rest = text;
        let mut ms = 0i64;
        let mut n_units_passed = 0;
        while !rest.is_empty() {
            let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let n_letters = rest[n_digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit = &rest[n_digits..n_digits + n_letters];
            let idx = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(syntax)?;
            if n_digits == 0 || idx < n_units_passed {
                return Err(syntax());
            }
            n_units_passed = idx + 1;
            let count: i64 = rest[..n_digits].parse().map_err(|_| DurationError::Range)?;
            ms = count
                .checked_mul(UNITS[idx].1)
                .and_then(|part| ms.checked_add(part))
                .ok_or(DurationError::Range)?;
            rest = &rest[n_digits + n_letters..];
        }
        if ms > i64::MAX / 1_000_000 {
            return Err(DurationError::Range);
        }
        Ok(Self { ms })
    }
}

/// The shortest exact form: years and weeks only when they divide the whole, as Prometheus prints.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.ms;
        for (idx, (unit, unit_ms)) in UNITS.iter().enumerate() {
            let exact_only = idx < 2;
            let count = rest / unit_ms;
            if count == 0 || (exact_only && rest % unit_ms != 0) {
                continue;
            }
            write!(f, "{count}{unit}")?;
            rest -= count * unit_ms;
        }
        Ok(())
    }
}

impl<'de> serde::Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through Option: a key without a value is no duration at all, as in Go.
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.map_or(Ok(Self::default()), |text| text.parse()).map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = text.parse::<Duration>().map(|d| d.to_string()).map_err(|err| err.to_string());
        assert_eq!(parsed.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn parses_and_prints_as_prometheus_does() {
        check("0", Ok("0s"));
        check("0s", Ok("0s"));
        check("324ms", Ok("324ms"));
        check("3s", Ok("3s"));
        check("5m", Ok("5m"));
        check("1h", Ok("1h"));
        check("4d", Ok("4d"));
        check("4d1h", Ok("4d1h"));
        check("14d", Ok("2w"));
        check("3w", Ok("3w"));
        check("3w2d1h", Ok("23d1h"));
        check("10y", Ok("10y"));
        check("1h30m", Ok("1h30m"));
        check("", Err("empty duration string"));
        check("30m1h", Err(r#"not a valid duration string: "30m1h""#));
        check("1", Err(r#"not a valid duration string: "1""#));
        check("-1m", Err(r#"not a valid duration string: "-1m""#));
        check("1m1m", Err(r#"not a valid duration string: "1m1m""#));
        check("294y", Err("duration out of range"));
        check("200y200y", Err(r#"not a valid duration string: "200y200y""#));
    }
}
