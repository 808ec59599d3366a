//! `AnyValue`: what an attribute may be, and its text as a label.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::json;

/// An attribute.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct KeyValue {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: Value,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(from = "JsonValue")]
#[expect(missing_docs, reason = "named as in the message")]
pub enum Value {
    #[default]
    Empty,
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    List(Vec<Value>),
    Map(Vec<KeyValue>),
    Bytes(Vec<u8>),
}

/// As JSON has it: one of the keys is there.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct JsonValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    #[serde(deserialize_with = "json::some_i64")]
    int_value: Option<i64>,
    #[serde(deserialize_with = "json::some_double")]
    double_value: Option<f64>,
    array_value: Option<List<Value>>,
    kvlist_value: Option<List<KeyValue>>,
    #[serde(deserialize_with = "json::some_bytes")]
    bytes_value: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    values: Vec<T>,
}

impl From<JsonValue> for Value {
    fn from(json: JsonValue) -> Self {
        None.or(json.string_value.map(Self::Text))
            .or(json.bool_value.map(Self::Bool))
            .or(json.int_value.map(Self::Int))
            .or(json.double_value.map(Self::Double))
            .or(json.array_value.map(|list| Self::List(list.values)))
            .or(json.kvlist_value.map(|list| Self::Map(list.values)))
            .or(json.bytes_value.map(Self::Bytes))
            .unwrap_or_default()
    }
}

impl Value {
    /// As a label's value: text as it is, lists and maps as JSON, bytes as base64.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            value => {
                let mut out = String::new();
                value.push_json(&mut out);
                // Bytes stand without quotes when they are the whole.
                out.trim_matches('"').to_owned()
            }
        }
    }

    fn push_json(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::Text(text) => push_quoted(text, out),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Double(value) => push_double(*value, out),
            Self::Bytes(bytes) => push_quoted(&STANDARD.encode(bytes), out),
            Self::List(values) => {
                out.push('[');
                for (idx, value) in values.iter().enumerate() {
                    out.push_str(if idx == 0 { "" } else { "," });
                    value.push_json(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                // Sorted, as Go writes maps.
                let mut entries: Vec<&KeyValue> = entries.iter().collect();
                entries.sort_by(|a, b| a.key.cmp(&b.key));
                out.push('{');
                for (idx, entry) in entries.into_iter().enumerate() {
                    out.push_str(if idx == 0 { "" } else { "," });
                    push_quoted(&entry.key, out);
                    out.push(':');
                    entry.value.push_json(out);
                }
                out.push('}');
            }
        }
    }
}

fn push_quoted(text: &str, out: &mut String) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"\""),
    }
}

/// As Go's JSON writes floats: with an exponent below 1e-6 and from 1e21 on.
fn push_double(value: f64, out: &mut String) {
    let size = value.abs();
    if !value.is_finite() {
        out.push_str(if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                let _ = write!(out, "{digits}e+{exponent}");
            }
            _ => out.push_str(&text),
        }
    } else {
        let _ = write!(out, "{value}");
    }
}
