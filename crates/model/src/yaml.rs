//! YAML files that users write, read strictly: unknown and duplicate keys fail, and every error has a place.
//!
//! In from configuration, rule, Alertmanager and file discovery files; out to whatever implements `Deserialize`.
//! Agrees with Go's yaml.v2 (as Prometheus uses it) where users notice: `yes`, `no`, `on`, `off` are booleans where
//! a boolean is wanted and text where text is wanted, an empty file is an empty mapping, a key without a value
//! leaves the default (see [`null_as_default`]), an element without one is empty, merge keys work.
//! Never prints the file's text, so that an error cannot give a secret away.

mod go;

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, IntoDeserializer};
use serde_saphyr::{DuplicateKeyPolicy, Error, MessageFormatter, UserMessageFormatter};

/// Longest accepted file, in bytes. Chosen: Prometheus has no limit; large generated files reach a few megabytes.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct YamlError {
    /// As the user named it.
    pub file: String,
    /// From 1; 0 when the place is not known.
    pub line: u64,
    /// From 1, in characters; 0 when the place is not known.
    pub column: u64,
    /// What is wrong.
    pub message: String,
}

/// `prometheus.yml:12:5: message`.
impl Display for YamlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.file, self.message);
        }
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Reads the first document, as Go's libraries do; [`second_document`] tells whether there are more. `file_name` is for
/// errors only.
///
/// # Errors
/// When the text is not YAML, or not a `T`.
pub fn parse<T: DeserializeOwned>(file_name: &str, text: &str) -> Result<T, YamlError> {
    let fail = |line, column, message| YamlError { file: file_name.to_owned(), line, column, message };
    if text.len() > FILE_BYTES_MAX {
        return Err(fail(0, 0, format!("file is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = second_document(text).map_or(text, |(_, at)| &text[..at]);
    // Go reads a file of nothing but comments as an empty mapping.
    let is_blank = text.lines().all(|line| matches!(line.trim_start().as_bytes().first(), None | Some(b'#')));
    let text = if is_blank { "{}" } else { text };
    let read = |deserializer: serde_saphyr::Deserializer<'_, '_>| T::deserialize(go::Go(deserializer));
    serde_saphyr::with_deserializer_from_str_with_options(text, options(text.len()), read).map_err(|err| {
        let (line, column) = err.location().map_or((0, 0), |at| (at.line(), at.column()));
        fail(line, column, message(&err))
    })
}

/// Where a second document begins, which [`parse`] reads over: its line, from 1, and its first byte.
#[must_use]
pub fn second_document(text: &str) -> Option<(u64, usize)> {
    let (mut is_begun, mut at) = (false, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.trim_start().len() < rest.len() || rest.is_empty());
        if is_marker && is_begun {
            return Some((number, at));
        }
        // What stands before the marker of the first document: comments and directives.
        is_begun |= is_marker || !matches!(line.trim_start().as_bytes().first(), None | Some(b'#' | b'%'));
        at += line.len();
    }
    None
}

/// For `#[serde(default, deserialize_with = "model::yaml::null_as_default")]`: a key without a value (`rule_files:`)
/// means the default, as in Go.
///
/// # Errors
/// When there is a value and it is not a `T`.
pub fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// For keys whose default is not the empty text: `key:` without a value is empty, as in Go, and mostly refused for it.
///
/// # Errors
/// With the words of `T`.
pub fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let empty = || T::deserialize(IntoDeserializer::<D::Error>::into_deserializer(""));
    Option::<T>::deserialize(deserializer)?.map_or_else(empty, Ok).map(Some)
}

/// For keys that name one of several: without a value or with an empty one, none is named, as in Go.
///
/// # Errors
/// With the words of `T`.
pub fn empty_as_none<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

fn options(text_bytes: usize) -> serde_saphyr::Options {
    // Limits grow with the file: a long file is fine, a short file that explodes through aliases is not.
    let n_nodes_max = text_bytes.saturating_mul(4).max(1 << 20);
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_events: n_nodes_max,
            max_nodes: n_nodes_max,
            max_total_scalar_bytes: n_nodes_max,
        },
    }
}

/// The library's message without values from the file, since a value may be a secret.
fn message(err: &Error) -> String {
    match err.without_snippet() {
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            format!("cannot read {} as {expected}", kind_of(unexpected))
        }
        Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("invalid value of type {}, expected {expected}", kind_of(unexpected))
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            let hint = nearest(field, expected).map(|name| format!(", did you mean {name}?"));
            format!("field {field} not found{}", hint.unwrap_or_default())
        }
        Error::SerdeMissingField { field, .. } => format!("missing field {field}"),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("key {key} already set in map"),
        err => UserMessageFormatter.format_message(err).into_owned(),
    }
}

/// `string "hunter2"` → `string`; the kinds of serde's `Unexpected` stand before the value.
fn kind_of(unexpected: &str) -> &str {
    unexpected.split(['"', '`']).next().unwrap_or_default().trim_end()
}

/// The known key most like `field`, if any is near.
fn nearest<'a>(field: &str, known: &[&'a str]) -> Option<&'a str> {
    let scored = known.iter().map(|name| (distance(field, name), *name));
    scored.min().filter(|(distance, _)| *distance <= 2.max(field.len() / 4)).map(|(_, name)| name)
}

/// Levenshtein's distance. Both are short: keys of configuration files.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte_a) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, byte_b) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(byte_a != byte_b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        #[serde(deserialize_with = "null_as_default")]
        name: String,
        #[serde(deserialize_with = "null_as_default")]
        flag: bool,
        interval: crate::Duration,
        list: Vec<Inner>,
        limit: Option<u64>,
        #[serde(deserialize_with = "empty_as_none")]
        kind: Option<crate::Duration>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        port: u16,
    }

    fn check(text: &str, expected: &str) {
        let got = match parse::<Config>("a.yml", text) {
            Ok(config) => {
                let ports: Vec<_> = config.list.iter().map(|inner| inner.port).collect();
                format!("{:?} {} {} {ports:?}", config.name, config.flag, config.interval)
            }
            Err(err) => err.to_string(),
        };
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn reads_as_go_does() {
        check("", "\"\" false 0s []");
        check("# nothing\n\n", "\"\" false 0s []");
        check("name: yes\nflag: yes\n", "\"yes\" true 0s []");
        check("name: 1.10\nflag: off\n", "\"1.10\" false 0s []");
        check("name:\nflag:\n", "\"\" false 0s []");
        check("interval: 90s\nlist: [{port: 1}]\n", "\"\" false 1m30s [1]");
        check("list:\n- &a {port: 7}\n- <<: *a\n", "\"\" false 0s [7, 7]");
    }

    #[test]
    fn numbers_are_whole_and_never_text() {
        let limit =
            |text: &str| parse::<Config>("a.yml", &format!("limit: {text}")).map(|config| config.limit);
        for (text, number) in [("7", 7), ("0", 0), ("1e3", 1000), ("5.0", 5), ("0x10", 16), ("1.5", 1)] {
            assert_eq!(limit(text), Ok(Some(number)), "{text}");
        }
        assert_eq!((limit(""), limit("null")), (Ok(None), Ok(None)));
        for text in ["-1", "-1.5", "1e30", "many", "'5'", "true", "[]"] {
            assert!(limit(text).is_err(), "{text}");
        }
        check("list:\n- port: 70000\n", "a.yml:2:9: cannot read this number as u16");
        check("list:\n- port: [1]\n", "a.yml:2:9: cannot read a list as u16");
    }

    #[test]
    fn quoted_text_is_no_boolean() {
        check("flag: 'true'\n", "a.yml:1:7: cannot read text as a boolean");
        check("flag: maybe\n", "a.yml:1:7: cannot read text as a boolean");
    }

    #[test]
    fn null_is_the_zero_of_its_type() {
        check("list:\n- port:\n", "\"\" false 0s [0]");
        check("interval:\n", "\"\" false 0s []");
        let texts = parse::<Vec<String>>("a.yml", "[a, ~, null, 'null']");
        assert_eq!(texts, Ok(["a", "", "", "null"].map(str::to_owned).to_vec()));
        let labels = parse::<std::collections::BTreeMap<String, String>>("a.yml", "a:\nb: ~\nc: ''\n");
        assert_eq!(labels.map(|labels| labels.into_values().collect::<String>()), Ok(String::new()));
        assert_eq!(parse::<Vec<f64>>("a.yml", "[1, 0.5, ~, .inf]"), Ok(vec![1.0, 0.5, 0.0, f64::INFINITY]));
    }

    #[test]
    fn the_first_document_is_read() {
        let second = |text: &str| second_document(text).map(|(line, _)| line);
        for (text, name, line) in [
            ("name: a\n---\nname: b\n", "a", Some(2)),
            ("# c\n%YAML 1.1\n---\nname: a\n--- {name: b}\n", "a", Some(5)),
            ("--- # c\nname: a\n", "a", None),
            ("name: a\n---\n", "a", Some(2)),
            ("name: |-\n  ---\n", "---", None),
            ("name: a\n---x: 1\n", "", None),
            ("---\n---\nname: b\n", "", Some(2)),
        ] {
            let got = parse::<Config>("a.yml", text).map(|config| config.name).unwrap_or_default();
            assert_eq!((got.as_str(), second(text)), (name, line), "{text}");
        }
    }

    #[test]
    fn an_empty_name_names_nothing() {
        let kind = |text: &str| parse::<Config>("a.yml", &format!("kind: {text}")).map(|config| config.kind);
        assert_eq!((kind(""), kind("''")), (Ok(None), Ok(None)));
        assert_eq!(kind("5s").unwrap(), Some(crate::Duration::from_secs(5)));
        assert!(kind("x").unwrap_err().to_string().contains("not a valid duration string"));
    }

    #[test]
    fn errors_have_a_place_and_no_values() {
        check("name: a\nnmae: b\n", "a.yml:2:1: field nmae not found, did you mean name?");
        check("name: a\nname: b\n", "a.yml:2:1: key name already set in map");
        check("list:\n- port: hunter2\n", "a.yml:2:9: cannot read text as u16");
        check("list: hunter2\n", "a.yml:1:7: expected sequence start");
        check("interval: 1x\n", "a.yml:1:11: not a valid duration string: \"1x\"");
        check("list:\n- {}\n", "a.yml:2:3: missing field port");
    }

    #[test]
    fn hostile_files_are_refused_within_bounds() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &(1..12).fold(String::new(), |text, i| {
                let (name, last) = ((b'a' + i) as char, (b'a' + i - 1) as char);
                text + &format!("{name}: &{name} [{}]\n", vec![format!("*{last}"); 9].join(","))
            });
        assert!(parse::<serde_json::Value>("a.yml", &bomb).is_err());
        assert!(parse::<serde_json::Value>("a.yml", &"[".repeat(100_000)).is_err());
    }
}
