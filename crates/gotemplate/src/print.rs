//! Values as text, the way Go's `fmt` prints them with `%v`.

use std::fmt::Write as _;

use crate::limits::OUTPUT_BYTES_MAX;
use crate::printf::{FloatFormat, format_float};
use crate::time::{format_duration, time_to_text};
use crate::value::{Items, Value};

/// `%v`.
pub(crate) fn to_text(value: &Value) -> String {
    let mut out = String::new();
    push_text(&mut out, value);
    out
}

/// Appends `%v`.
pub(crate) fn push_text(out: &mut String, value: &Value) {
    // What goes beyond is refused by the executor; this keeps a value that holds itself many times from filling memory.
    if out.len() > OUTPUT_BYTES_MAX {
        return;
    }
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => out.push_str(&format_float(*value, FloatFormat::SHORTEST)),
        Value::Str(text) | Value::Html(text) | Value::Url(text) => out.push_str(text),
        Value::List(list) => push_list(out, list),
        Value::Map(map) => {
            out.push_str("map[");
            for (idx, (key, value)) in map.entries.iter().enumerate() {
                out.push_str(if idx > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                push_text(out, value);
            }
            out.push(']');
        }
        Value::Time(time) => out.push_str(&time_to_text(time)),
        Value::Duration(ns) => out.push_str(&format_duration(*ns)),
        Value::Object(object) => out.push_str(&object.display()),
    }
}

fn push_list(out: &mut String, list: &[Value]) {
    out.push('[');
    for (idx, value) in list.iter().enumerate() {
        out.push_str(if idx > 0 { " " } else { "" });
        push_text(out, value);
    }
    out.push(']');
}

/// `fmt.Sprint`: a space between two operands when neither is text.
pub(crate) fn sprint(args: &[Value]) -> String {
    let mut out = String::new();
    let mut last_is_text = true;
    for (idx, arg) in args.iter().enumerate() {
        let is_text = matches!(arg, Value::Str(_) | Value::Html(_) | Value::Url(_));
        if idx > 0 && !is_text && !last_is_text {
            out.push(' ');
        }
        push_text(&mut out, arg);
        last_is_text = is_text;
    }
    out
}

/// `fmt.Sprintln`: a space between all operands, a newline at the end.
pub(crate) fn sprintln(args: &[Value]) -> String {
    let mut out = args.iter().map(to_text).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

/// `strconv.Quote`: in double quotes, with what is not printable escaped.
pub(crate) fn quote(text: &str) -> String {
    quote_with(text, '"', false)
}

/// As [`quote`], with another quote, and only ASCII when `ascii_only`.
pub(crate) fn quote_with(text: &str, quote: char, ascii_only: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        let code = c as u32;
        match c {
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{07}' => out.push_str("\\a"),
            '\u{08}' => out.push_str("\\b"),
            '\u{0c}' => out.push_str("\\f"),
            '\u{0b}' => out.push_str("\\v"),
            _ if code < 0x20 || code == 0x7f => {
                let _ = write!(out, "\\x{code:02x}");
            }
            c if is_printable(c) && (!ascii_only || c.is_ascii()) => out.push(c),
            _ if code < 0x1_0000 => {
                let _ = write!(out, "\\u{code:04x}");
            }
            _ => {
                let _ = write!(out, "\\U{code:08x}");
            }
        }
    }
    out.push(quote);
    out
}

/// Near enough to Go's table: no controls, no spaces but the ASCII one, no format or private characters.
pub(crate) fn is_printable(c: char) -> bool {
    let code = c as u32;
    let is_format = matches!(code, 0xad | 0x600..=0x605 | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f)
        || matches!(code, 0xfeff | 0xfff0..=0xfffb | 0xe000..=0xf8ff | 0xe0000..=0xe0fff | 0xf0000..);
    c == ' ' || !(c.is_control() || c.is_whitespace() || is_format || code & 0xfffe == 0xfffe)
}

/// The elements of a value that holds some, with their keys or indexes.
pub(crate) fn items(value: &Value) -> Option<Items> {
    match value {
        Value::List(list) => Some(Items::List(list.to_vec())),
        Value::Map(map) => {
            let pairs = map.entries.iter().map(|(key, value)| (Value::Str(key.clone()), value.clone()));
            Some(Items::Map(pairs.collect()))
        }
        Value::Object(object) => object.items(),
        _ => None,
    }
}
