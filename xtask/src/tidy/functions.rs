//! Functions stay on one screen. Those already longer are listed with their length and may only shrink.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::Source;
use crate::run::root;

/// One screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Those that were longer when the ratchet was set: `path function lines`.
const RATCHET: &str = "xtask/long-functions.txt";

/// Finds functions longer than a screen that are not on the list, or longer than the list says.
/// With `HINOMI_BLESS=1` it writes the list anew, which review must agree to.
pub fn check(sources: &[Source]) -> Result<Vec<String>> {
    let long = long_functions(sources);
    if std::env::var_os("HINOMI_BLESS").is_some() {
        let mut list = String::new();
        for ((path, name), n_lines) in &long {
            let _ = writeln!(list, "{path} {name} {n_lines}");
        }
        std::fs::write(root().join(RATCHET), list)?;
    }
    let known = ratchet()?;
    let mut findings = Vec::new();
    for (key, n_lines) in &long {
        let limit = known.get(key).copied().unwrap_or(FUNCTION_LINES_MAX);
        if *n_lines > limit {
            findings.push(format!("{}: fn {} has {n_lines} lines, at most {limit}", key.0, key.1));
        }
    }
    for key in known.keys().filter(|key| !long.contains_key(*key)) {
        findings.push(format!("{RATCHET}: {} {} is short now; take it off the list", key.0, key.1));
    }
    Ok(findings)
}

type Key = (String, String);

fn long_functions(sources: &[Source]) -> BTreeMap<Key, usize> {
    let mut long = BTreeMap::new();
    for Source { path, text } in sources {
        for (name, n_lines) in
            functions(text).into_iter().filter(|(_, n_lines)| *n_lines > FUNCTION_LINES_MAX)
        {
            let entry = long.entry((path.display().to_string(), name)).or_insert(0);
            *entry = n_lines.max(*entry);
        }
    }
    long
}

/// Name and length of each function. The code is formatted, so a function ends at the first `}` of its own indent.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        // A trait's method without a body ends with a semicolon, perhaps some lines on.
        let signature_end = lines[start..].iter().find(|line| line.ends_with([';', '{', '}']));
        if signature_end.is_none_or(|line| !line.ends_with('{')) {
            continue;
        }
        let n_lines = lines[start..].iter().position(|line| *line == closing).map_or(0, |end| end + 1);
        found.push((name, n_lines));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    Some(name.split(['(', '<']).next()?.to_owned())
}

fn ratchet() -> Result<BTreeMap<Key, usize>> {
    let text = std::fs::read_to_string(root().join(RATCHET)).unwrap_or_default();
    let mut known = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let mut next = || words.next().with_context(|| format!("{RATCHET}: {line}"));
        let (path, name, n_lines) = (next()?, next()?, next()?);
        known.insert(
            (path.to_owned(), name.to_owned()),
            n_lines.parse().with_context(|| format!("{RATCHET}: {line}"))?,
        );
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_to_the_closing_brace() {
        let text = "fn a() {\n    x();\n}\n\nimpl B {\n    pub fn c(&self) -> D {\n        y();\n        z();\n    }\n}\n";
        assert_eq!(functions(text), vec![("a".to_owned(), 3), ("c".to_owned(), 4)]);
    }
}
