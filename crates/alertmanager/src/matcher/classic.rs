//! The classic matcher syntax: legacy names, optional quotes, three escapes.

use model::labels::is_legacy_metric_name;
use model::{MatchOp, Matcher};

use super::{MatcherError, build};

/// How errors begin that only say that a text is no matcher.
pub(super) const NO_MATCHER: &str = "bad matcher format: ";

/// Reads a whole list. A brace on either side is taken off by itself, balanced or not.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    split(text).into_iter().map(one).collect()
}

/// Splits at commas outside quotes. A trailing comma, and nothing at all, give no part.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

/// Reads one matcher.
pub(super) fn one(text: &str) -> Result<Matcher, MatcherError> {
    let bad = || MatcherError::Classic(format!("{NO_MATCHER}{text}"));
    let trimmed = text.trim();
    let name_bytes =
        trimmed.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or_else(bad)?;
    let (name, rest) = trimmed.split_at(name_bytes);
    if !is_legacy_metric_name(name) {
        return Err(bad());
    }
    let rest = rest.trim_start();
    let ops =
        [("=~", MatchOp::Regex), ("!=", MatchOp::NotEqual), ("!~", MatchOp::NotRegex), ("=", MatchOp::Equal)];
    let (op_text, op) = ops.into_iter().find(|(op_text, _)| rest.starts_with(op_text)).ok_or_else(bad)?;
    build(op, name.to_owned(), value(rest[op_text.len()..].trim())?)
}

/// Takes the quotes off and undoes the escapes; a backslash before anything else stays.
fn value(raw: &str) -> Result<String, MatcherError> {
    let whole = raw;
    let refuse =
        || Err(MatcherError::Classic(format!("matcher value contains unescaped double quote: {whole}")));
    let (is_quoted, raw) = match raw.strip_prefix('"') {
        Some(rest) => (true, rest),
        None => (false, raw),
    };
    let mut out = String::new();
    let mut chars = raw.chars().peekable();
    let mut is_closed = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.peek() {
                Some('n') => {
                    chars.next();
                    out.push('\n');
                }
                Some(&c @ ('"' | '\\')) => {
                    chars.next();
                    out.push(c);
                }
                _ => out.push('\\'),
            },
            '"' if is_quoted && chars.peek().is_none() => is_closed = true,
            '"' => return refuse(),
            c => out.push(c),
        }
    }
    if is_quoted != is_closed { refuse() } else { Ok(out) }
}
