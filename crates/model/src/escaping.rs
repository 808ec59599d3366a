//! Names beyond the classic alphabet, for those who read only that: the escaping schemes of content negotiation.
//!
//! Source: Prometheus' "UTF-8 in Prometheus: escaping schemes".

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::labels::is_legacy_metric_name;

/// What becomes of names that are not letters, digits, `_` and `:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameEscaping {
    /// They stay, in quotes.
    AllowUtf8,
    /// `_` for each other character.
    #[default]
    Underscores,
    /// `_dot_` for a dot, `__` for `_` and for each other character; also in classic names.
    Dots,
    /// `U__` in front, and each other character by its number, so that the name can be had back.
    Values,
}

impl std::fmt::Display for NameEscaping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        })
    }
}

impl std::str::FromStr for NameEscaping {
    type Err = ();

    /// By the words of the parameter `escaping` of a media type.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "allow-utf-8" => Ok(Self::AllowUtf8),
            "underscores" => Ok(Self::Underscores),
            "dots" => Ok(Self::Dots),
            "values" => Ok(Self::Values),
            _ => Err(()),
        }
    }
}

impl NameEscaping {
    /// The name of a metric or label, escaped.
    #[must_use]
    pub fn escape(self, name: &str) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || name.is_empty() || self != Self::Dots && is_legacy_metric_name(name) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let is_plain = c.is_ascii_alphabetic() || c == ':' || c.is_ascii_digit() && at > 0;
            match (self, c) {
                _ if is_plain => out.push(c),
                (Self::Underscores, _) => out.push('_'),
                (Self::Dots, '.') => out.push_str("_dot_"),
                (Self::Dots, _) | (Self::Values, '_') => out.push_str("__"),
                _ => {
                    let _ = write!(out, "_{:x}_", u32::from(c));
                }
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_the_schemes_say() {
        for (name, underscores, dots, values) in [
            ("up", "up", "up", "up"),
            ("a_b:c1", "a_b:c1", "a__b:c1", "a_b:c1"),
            ("http.status", "http_status", "http_dot_status", "U__http_2e_status"),
            ("a b_c", "a_b_c", "a__b__c", "U__a_20_b__c"),
            ("é", "_", "__", "U___e9_"),
            ("1a", "_a", "__a", "U___31_a"),
            ("", "", "", ""),
        ] {
            let escaped = [NameEscaping::Underscores, NameEscaping::Dots, NameEscaping::Values]
                .map(|it| it.escape(name));
            assert_eq!(escaped, [underscores, dots, values], "{name}");
            assert_eq!(NameEscaping::AllowUtf8.escape(name), name);
        }
    }
}
