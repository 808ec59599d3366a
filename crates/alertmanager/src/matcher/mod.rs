//! Matchers as Alertmanager reads and writes them: UTF-8 syntax, classic syntax, and the mode that reads both.
//!
//! In from configuration, API filters and silences; out as `model::Matcher`.
//! Pure. Facts: Alertmanager's documentation of UTF-8 matchers and its fallback mode.

mod classic;
mod mode;
mod utf8;

use std::fmt::Write as _;

pub use mode::{MatcherMode, set_matcher_mode};
use model::{MatchOp, Matcher};

/// Longest accepted matcher text, in bytes. Chosen: far above any written by hand.
pub const MATCHERS_BYTES_MAX: usize = 64 << 10;

/// Why matcher text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// Not of the grammar; columns are characters from 0, `start:end`.
    #[error("{start}:{end}: {what}")]
    Syntax {
        /// First column of the offending text.
        start: usize,
        /// One past its last column.
        end: usize,
        /// What is wrong.
        what: String,
    },
    /// Not of the classic grammar.
    #[error("{0}")]
    Classic(String),
    /// One matcher was wanted.
    #[error("{}", if *.0 == 0 { "no matchers".to_owned() } else { format!("expected 1 matcher, found {}", .0) })]
    Count(usize),
    /// One matcher was wanted, without braces.
    #[error("unexpected open or close brace: {0}")]
    Brace(String),
    /// The value is no regular expression.
    #[error("{0}")]
    Regex(String),
    /// Longer than [`MATCHERS_BYTES_MAX`].
    #[error("matchers are longer than {MATCHERS_BYTES_MAX} bytes")]
    TooLong,
}

/// Reads several matchers separated by commas, with or without braces, in the syntax of the process' [`MatcherMode`].
///
/// By default both are tried. Where only one can read the text, it decides; where both can but disagree, the classic one
/// does, as Alertmanager has it.
///
/// # Errors
/// When the mode cannot read the text.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    mode::current().parse(text)
}

/// Reads exactly one matcher, without braces, as API filters and `amtool` arguments are.
///
/// # Errors
/// When it is not one.
pub fn parse_matcher(text: &str) -> Result<Matcher, MatcherError> {
    mode::current().parse_one(text)
}

/// Whether a label may be called so in this process' [`MatcherMode`].
pub(crate) fn is_label_name(name: &str) -> bool {
    mode::current().is_label_name(name)
}

/// The text form of one matcher, as in route keys: `name="value"`.
pub(crate) fn text_of(matcher: &Matcher) -> String {
    let mut out = String::new();
    if matcher.name.chars().any(utf8::is_reserved) || matcher.name.is_empty() {
        let _ = write!(
            out,
            "{}{}{}",
            model::labels::quoted(&matcher.name),
            matcher.op,
            model::labels::quoted(&matcher.value)
        );
    } else {
        let value = matcher.value.replace('\\', r"\\").replace('\n', r"\n").replace('"', "\\\"");
        let _ = write!(out, "{}{}\"{value}\"", matcher.name, matcher.op);
    }
    out
}

/// The text form of a list: `{a="b",c=~"d"}`.
pub(crate) fn text_of_all(matchers: &[Matcher]) -> String {
    let texts: Vec<String> = matchers.iter().map(text_of).collect();
    format!("{{{}}}", texts.join(","))
}

/// The order of matchers in route keys: by name, value, operator.
pub(crate) fn sort(matchers: &mut [Matcher]) {
    let rank = |op: MatchOp| match op {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    };
    matchers.sort_by(|a, b| (&a.name, &a.value, rank(a.op)).cmp(&(&b.name, &b.value, rank(b.op))));
}

fn build(op: MatchOp, name: String, value: String) -> Result<Matcher, MatcherError> {
    Matcher::new(op, name, value).map_err(|err| {
        // Whole values match anyway; what is wrong is told of the text that upstream makes of it.
        let whole = model::Regex::new(&format!("^(?:{})$", err.pattern)).err();
        MatcherError::Regex(whole.unwrap_or(err).to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let got = parse_matchers(text).map(|matchers| text_of_all(&matchers)).map_err(|err| err.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn both_syntaxes_are_read() {
        check("{}", Ok("{}"));
        check("", Ok("{}"));
        check("foo=bar", Ok(r#"{foo="bar"}"#));
        check(r#"{foo="bar", bar!~"[a-z]+",}"#, Ok(r#"{foo="bar",bar!~"[a-z]+"}"#));
        check(r#"foo=~"a|b""#, Ok(r#"{foo=~"a|b"}"#));
        check("foo!=bar", Ok(r#"{foo!="bar"}"#));
        check(r#""foo bar"="baz 🙂""#, Ok(r#"{"foo bar"="baz 🙂"}"#));
        check("日本=語", Ok(r#"{日本="語"}"#));
        // Classic only: spaces in an unquoted value, and braces that do not balance.
        check("foo=bar baz", Ok(r#"{foo="bar baz"}"#));
        check(r#"foo="bar"}"#, Ok(r#"{foo="bar"}"#));
        check("foo=", Ok(r#"{foo=""}"#));
        // They disagree: the classic one keeps a spurious backslash.
        check(r#"foo="\w""#, Ok(r#"{foo="\\w"}"#));
        check(r#"foo=~"\d+""#, Ok(r#"{foo=~"\\d+"}"#));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let no_operator = "end of input: expected an operator such as '=', '!=', '=~' or '!~'";
        check("foo", Err(&format!("bad matcher format: foo: 3:3: {no_operator}")));
        check("日本", Err(&format!("bad matcher format: 日本: 2:2: {no_operator}")));
        check("foo=~(", Err("error parsing regexp: missing closing ): `^(?:()$`"));
        check(r#"foo=~\"#, Err(r"error parsing regexp: missing closing ): `^(?:\)$`"));
        check(r#"foo="b"c"#, Err(r#"matcher value contains unescaped double quote: "b"c"#));
        assert!(parse_matchers(r#"{foo="bar",,}"#).is_err());
        assert!(parse_matcher("{a=b}").is_err());
        // The classic syntax takes the comma for a part of the value, as upstream has it.
        assert_eq!(parse_matcher("a=b,c=d").map(|one| text_of(&one)), Ok("a=\"b,c=d\"".to_owned()));
        let nothing = parse_matcher("").map_err(|err| err.to_string());
        assert_eq!(nothing, Err("bad matcher format: : no matchers".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            let _ = parse_matchers(&text);
        }

        #[test]
        fn what_is_printed_is_read_back(name in "[a-z_\\-é \"]{1,8}", value in "[a-z\\\\\" {},\n]{0,12}") {
            let matcher = Matcher::new(MatchOp::NotEqual, name, value).expect("no regex");
            let text = text_of(&matcher);
            prop_assert_eq!(parse_matchers(&format!("{{{text}}}")).map_err(|e| format!("{text}: {e}")), Ok(vec![matcher]));
        }
    }
}
