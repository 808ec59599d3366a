//! The effective configuration as YAML for people and for `amtool`: defaults in, secrets masked.

use std::fmt::Write as _;

use serde_json::Value;

use super::raw::RawConfig;

/// Sections in the order people write them; the rest follows by name.
const FIRST: [&str; 6] = ["global", "name", "receiver", "route", "inhibit_rules", "receivers"];

/// Secrets mask themselves; keys without a value are left out.
pub(super) fn to_yaml(raw: &RawConfig) -> String {
    let value = serde_json::to_value(raw).unwrap_or_default();
    let mut out = String::new();
    push(&mut out, &value, 0);
    out
}

/// A block value at `indent`; a scalar goes on the line that was begun.
fn push(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> =
                map.iter().filter(|(name, value)| !value.is_null() && !is_left_out(name)).collect();
            entries.sort_by_key(|(name, _)| {
                (FIRST.iter().position(|f| f == name).unwrap_or(FIRST.len()), *name)
            });
            for (i, (name, value)) in entries.into_iter().enumerate() {
                if i > 0 || !out.ends_with("- ") {
                    let _ = write!(out, "{:indent$}", "");
                }
                push_key(out, name);
                push_inner(out, value, indent);
            }
        }
        Value::Array(list) => {
            for value in list {
                let _ = write!(out, "{:indent$}- ", "");
                match value {
                    Value::Object(map) if map.values().any(|value| !value.is_null()) => {
                        push(out, value, indent + 2);
                    }
                    _ => push_inner(out, value, indent),
                }
            }
        }
        scalar => push_inner(out, scalar, indent),
    }
}

/// A proxy's URL may hold a password and is masked as a whole, but a mask is no URL: clients that read the shown text
/// again would refuse it, and what belongs to the proxy with it.
fn is_left_out(name: &str) -> bool {
    matches!(name, "proxy_url" | "no_proxy" | "proxy_connect_header")
}

/// What follows `key:` or `- `.
fn push_inner(out: &mut String, value: &Value, indent: usize) {
    let space = if out.ends_with(' ') { "" } else { " " };
    match value {
        Value::Object(map) if map.values().any(|value| !value.is_null()) => {
            out.push('\n');
            push(out, value, indent + 2);
        }
        Value::Object(_) => {
            let _ = writeln!(out, "{space}{{}}");
        }
        Value::Array(list) if list.iter().all(|item| !item.is_object()) => {
            // JSON is YAML, and short lists of names read best on one line.
            let _ = writeln!(out, "{space}{value}");
        }
        Value::Array(_) => {
            out.push('\n');
            push(out, value, indent);
        }
        Value::String(text) if is_plain(text) => {
            let _ = writeln!(out, "{space}{text}");
        }
        scalar => {
            let _ = writeln!(out, "{space}{scalar}");
        }
    }
}

fn push_key(out: &mut String, name: &str) {
    if is_plain(name) {
        let _ = write!(out, "{name}:");
    } else {
        let _ = write!(out, "{}:", Value::from(name));
    }
}

/// Whether `text` needs no quotes: a word that YAML takes for nothing else.
fn is_plain(text: &str) -> bool {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '<')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./<>@".contains(c));
    let is_special = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"];
    is_word && !is_special.contains(&text.to_ascii_lowercase().as_str())
}
