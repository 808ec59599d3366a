//! Label matchers: `=`, `!=`, `=~`, `!~`.

use std::fmt;

use crate::labels::{Labels, is_legacy_label_name, quoted};
use crate::regex::{Regex, RegexError};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        })
    }
}

/// One condition on one label. An absent label has the empty value.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// How it compares.
    pub op: MatchOp,
    /// What it is compared with: text, or a regular expression.
    pub value: String,
    /// Set exactly for the regex operators.
    regex: Option<Regex>,
}

impl Matcher {
    /// A matcher.
    ///
    /// # Errors
    /// When the operator takes a regular expression and `value` is none.
    pub fn new(op: MatchOp, name: impl Into<String>, value: impl Into<String>) -> Result<Self, RegexError> {
        let value = value.into();
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Regex::new(&value)?),
        };
        Ok(Self { name: name.into(), op, value, regex })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// Whether `value` fulfils the condition.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex => self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            MatchOp::NotRegex => self.regex.as_ref().is_some_and(|regex| !regex.is_match(value)),
        }
    }

    /// Whether `labels` fulfil the condition.
    #[must_use]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// Whether an absent label fulfils the condition.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The expression, for the regex operators.
    #[must_use]
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_ref()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_legacy_label_name(&self.name) {
            write!(f, "{}{}{}", self.name, self.op, quoted(&self.value))
        } else {
            write!(f, "{}{}{}", quoted(&self.name), self.op, quoted(&self.value))
        }
    }
}
