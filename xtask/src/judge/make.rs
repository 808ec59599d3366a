//! Files for `judge`: known good ones, each with one or two changes made at random.
//!
//! Pure but for the files it writes. Values are written as YAML has them, so that what is text and what is a number is open.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Case;

/// Good files of every section and kind of discovery.
const BASES: &str = include_str!("bases.json");
/// What takes the place of a value, as YAML.
const ODD: &[&str] = &[
    "~",
    "\"\"",
    "abc",
    "0",
    "-1",
    "1.5",
    "1e3",
    "0x10",
    "010",
    "1_000",
    "1e30",
    "65536",
    "true",
    "\"true\"",
    "yes",
    "\"5\"",
    "[]",
    "[a]",
    "[a, a]",
    "[~]",
    "[1]",
    "[{}]",
    "{}",
    "{a: b}",
    "{a: ~}",
    "{\"\": b}",
    "5m",
    "0s",
    "-5m",
    "1h30m5x",
    "90s",
    "10MB",
    "\"http://h:1/\"",
    "\"http://a b\"",
    "\"h:1\"",
    "/a/b",
    "\"%\"",
    "é",
    "\"a b\"",
    "\"${FOO}\"",
    "\"(\"",
    "\"[a-\"",
    "2020-01-01",
    "<none>",
    ".inf",
    ".nan",
];
/// Keys that are put in where they may not belong.
const KEYS: &[&str] = &[
    "nope",
    "port",
    "refresh_interval",
    "basic_auth",
    "authorization",
    "tls_config",
    "proxy_url",
    "labels",
    "name",
    "role",
    "region",
    "scheme",
    "follow_redirects",
    "enable_http2",
    "http_headers",
    "bearer_token",
    "timeout",
    "regex",
    "action",
    "interval",
    "limit",
];

/// xorshift64*: the same files for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Makes files of one kind.
pub(super) struct Maker {
    random: Random,
    bases: Vec<Value>,
    command: String,
}

impl Maker {
    pub(super) fn new(seed: u64, command: &str) -> Result<Self> {
        let all: Value = serde_json::from_str(BASES).context("bases.json")?;
        let bases = all[command].as_array().cloned().context("bases.json has none of this kind")?;
        Ok(Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            bases,
            command: command.to_owned(),
        })
    }

    /// Writes `n` files into `folder`.
    pub(super) fn files(&mut self, folder: &Path, n: usize) -> Result<Vec<Case>> {
        (0..n).map(|idx| self.file(&folder.join(format!("{}-{idx}.yml", self.command)))).collect()
    }

    fn file(&mut self, path: &Path) -> Result<Case> {
        let base = self.random.below(self.bases.len());
        let mut document = self.bases[base].clone();
        let mut changes = vec![self.change(&mut document)];
        if self.random.below(4) == 0 {
            changes.push(self.change(&mut document));
        }
        let mut text = String::new();
        write(&document, &mut text);
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Case { path: path.to_owned(), change: changes.join("; ") })
    }

    /// Changes one place; says which and how.
    fn change(&mut self, document: &mut Value) -> String {
        let mut places = Vec::new();
        pointers(document, String::new(), &mut places);
        if places.is_empty() {
            return "empty".to_owned();
        }
        let at = self.random.of(&places).clone();
        let odd = *self.random.of(ODD);
        let raw = Value::String(format!("{RAW}{odd}"));
        let (parent, last) = at.rsplit_once('/').unwrap_or(("", ""));
        let (parent, last) = (parent.to_owned(), last.to_owned());
        match (self.random.below(8), document.pointer_mut(&parent)) {
            (0, Some(Value::Object(keys))) => {
                keys.remove(&last);
                format!("without {at}")
            }
            (1, Some(Value::Object(keys))) => {
                let key = *self.random.of(KEYS);
                keys.insert(key.to_owned(), raw);
                format!("{parent}/{key} = {odd}")
            }
            (2, Some(Value::Array(elements))) => {
                elements.extend(elements.first().cloned());
                format!("twice {at}")
            }
            _ => {
                document.pointer_mut(&at).into_iter().for_each(|value| *value = raw.clone());
                format!("{at} = {odd}")
            }
        }
    }
}

/// Before what is written as it stands.
const RAW: char = '\u{1}';

/// Every place but the root, as JSON pointers.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(keys) => keys.iter().for_each(|(key, value)| {
            let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
            all.push(at.clone());
            pointers(value, at, all);
        }),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(idx, value)| {
            let at = format!("{at}/{idx}");
            all.push(at.clone());
            pointers(value, at, all);
        }),
        _ => {}
    }
}

/// As YAML in braces.
fn write(value: &Value, out: &mut String) {
    let mut join = |open: char, close: char, parts: Vec<String>| {
        out.push(open);
        out.push_str(&parts.join(", "));
        out.push(close);
    };
    let text = |value: &Value| {
        let mut text = String::new();
        write(value, &mut text);
        text
    };
    match value {
        Value::Object(keys) => {
            let pair =
                |(key, value): (&String, &Value)| format!("{}: {}", Value::String(key.clone()), text(value));
            join('{', '}', keys.iter().map(pair).collect());
        }
        Value::Array(elements) => join('[', ']', elements.iter().map(text).collect()),
        Value::String(raw) if raw.starts_with(RAW) => out.push_str(&raw[RAW.len_utf8()..]),
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(seed: u64, command: &str) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let cases = Maker::new(seed, command).unwrap().files(folder.path(), 50).unwrap();
        cases.into_iter().map(|case| (std::fs::read_to_string(&case.path).unwrap(), case.change)).collect()
    }

    #[test]
    fn a_seed_makes_the_same_files_and_another_makes_others() {
        for command in ["config", "rules", "web-config"] {
            assert_eq!(made(7, command), made(7, command));
            assert_ne!(made(7, command), made(8, command));
        }
    }

    #[test]
    fn oddities_are_written_as_they_stand() {
        let mut document: Value = serde_json::from_str(r#"{"a": [1, {"b/c": "x"}]}"#).unwrap();
        *document.pointer_mut("/a/1/b~1c").unwrap() = Value::String(format!("{RAW}~"));
        let mut text = String::new();
        write(&document, &mut text);
        assert_eq!(text, r#"{"a": [1, {"b/c": ~}]}"#);
    }
}
