//! What a matcher asks of a name's values: which to look at, and whether a series needs one of them or must have none.
//!
//! Pure. For any index that keeps a name's values sorted. An absent label has the empty value, so a matcher that the empty value fulfils is
//! turned around: it is about the values that do not fulfil it, and no series may have one.

use model::{MatchOp, Matcher};

/// A matcher, prepared for an index.
#[derive(Debug, Clone)]
pub(crate) struct Condition<'m> {
    matcher: &'m Matcher,
    /// A series must have one of the values; otherwise it must have none of them.
    pub(crate) is_wanted: bool,
    /// Where the values are.
    pub(crate) values: Values<'m>,
}

/// Which values to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values<'m> {
    /// No value.
    None,
    /// All values, without asking [`Condition::picks`].
    All,
    /// Exactly these, without asking [`Condition::picks`]; rising.
    OneOf(&'m [String]),
    /// Those with this prefix, which may be empty, for which [`Condition::picks`] holds.
    Prefix(&'m str),
}

impl<'m> Condition<'m> {
    /// What `matcher` asks.
    pub(crate) fn of(matcher: &'m Matcher) -> Self {
        let is_wanted = !matcher.matches_empty();
        let values = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual if matcher.value.is_empty() => Values::All,
            MatchOp::Equal | MatchOp::NotEqual => Values::OneOf(std::slice::from_ref(&matcher.value)),
            MatchOp::Regex | MatchOp::NotRegex => match matcher.regex() {
                Some(regex) if regex.matches_anything() => Values::None,
                // The expression is about non-empty values, and those it matches are looked for.
                Some(regex) if is_wanted == (matcher.op == MatchOp::Regex) => {
                    match regex.literal_alternatives() {
                        Some(alternatives) => Values::OneOf(alternatives),
                        None => Values::Prefix(regex.prefix().unwrap_or("")),
                    }
                }
                // Those it does not match are.
                _ => Values::Prefix(""),
            },
        };
        Self { matcher, is_wanted, values }
    }

    /// Whether `value`, which is not empty, is one of the values.
    pub(crate) fn picks(&self, value: &str) -> bool {
        self.matcher.matches(value) == self.is_wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_to_look() {
        let check = |op, value: &str, is_wanted, expected: &str| {
            let matcher = Matcher::new(op, "a", value).unwrap();
            let condition = Condition::of(&matcher);
            assert_eq!(
                (condition.is_wanted, format!("{:?}", condition.values).as_str()),
                (is_wanted, expected),
                "{matcher}"
            );
        };
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        check(Equal, "x", true, r#"OneOf(["x"])"#);
        check(Equal, "", false, "All");
        check(NotEqual, "x", false, r#"OneOf(["x"])"#);
        check(NotEqual, "", true, "All");
        check(Regex, "x|y", true, r#"OneOf(["x", "y"])"#);
        check(Regex, "x.+", true, r#"Prefix("x")"#);
        check(Regex, "x|", false, r#"Prefix("")"#);
        check(Regex, ".*", false, "None");
        check(Regex, ".+", true, r#"Prefix("")"#);
        check(NotRegex, "x|y", false, r#"OneOf(["x", "y"])"#);
        check(NotRegex, "x.+", false, r#"Prefix("x")"#);
        check(NotRegex, "x|", true, r#"Prefix("")"#);
        check(NotRegex, ".*", true, "None");
    }
}
