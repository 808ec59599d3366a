//! The builtin functions. `and` and `or` stand in the executor, since they leave arguments unevaluated.

use std::fmt::Write as _;

use crate::compare::compare;
use crate::functions::Arity;
use crate::print::{is_printable, sprint, sprintln};
use crate::printf::sprintf;
use crate::value::{Items, Value};

/// Builtins with the least number of arguments, and whether more may follow.
const BUILTINS: [(&str, usize, bool); 19] = [
    ("and", 1, true),
    ("or", 1, true),
    ("not", 1, false),
    ("len", 1, false),
    ("index", 1, true),
    ("slice", 1, true),
    ("print", 0, true),
    ("printf", 1, true),
    ("println", 0, true),
    ("html", 0, true),
    ("js", 0, true),
    ("urlquery", 0, true),
    ("call", 1, true),
    ("eq", 1, true),
    ("ne", 2, false),
    ("lt", 2, false),
    ("le", 2, false),
    ("gt", 2, false),
    ("ge", 2, false),
];

/// Whether a builtin has this name.
pub(crate) fn exists(name: &str) -> bool {
    arity(name).is_some()
}

/// How many arguments the builtin takes.
pub(crate) fn arity(name: &str) -> Option<Arity> {
    let (_, min, variadic) = BUILTINS.iter().find(|(known, ..)| *known == name)?;
    Some(Arity { min: *min, variadic: *variadic })
}

/// Calls the builtin `name`, whose arity was checked. `html_mode` keeps what `html` made from being escaped again.
pub(crate) fn call(name: &str, args: &[Value], html_mode: bool) -> Result<Value, String> {
    match name {
        "not" => Ok(Value::Bool(!args[0].is_true())),
        "len" => len(&args[0]),
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(Value::from(sprint(args))),
        "println" => Ok(Value::from(sprintln(args))),
        "printf" => match &args[0] {
            Value::Str(format) | Value::Html(format) | Value::Url(format) => {
                Ok(Value::from(sprintf(format, &args[1..])))
            }
            other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
        },
        "html" => {
            let text = html_escape(&joined(args));
            Ok(if html_mode { Value::Html(text.into()) } else { Value::from(text) })
        }
        "js" => Ok(Value::from(js_escape(&joined(args)))),
        "urlquery" => Ok(Value::from(query_escape(&joined(args)))),
        "call" => match &args[0] {
            Value::Object(object) => object.call("", &args[1..]).unwrap_or_else(|| not_function(&args[0])),
            Value::Nil => Err("call of nil".to_owned()),
            other => not_function(other),
        },
        _ => compare(name, args).map(Value::Bool),
    }
}

fn not_function(value: &Value) -> Result<Value, String> {
    Err(format!("non-function of type {}", value.type_name()))
}

/// A single text as it is, anything else as `print` joins it.
fn joined(args: &[Value]) -> String {
    match args {
        [arg] if arg.as_str().is_some() => arg.as_str().unwrap_or("").to_owned(),
        _ => {
            // Go prints a missing value here as it does in actions.
            let named = args.iter().map(|arg| match arg {
                Value::Nil => Value::str("<no value>"),
                other => other.clone(),
            });
            sprint(&named.collect::<Vec<_>>())
        }
    }
}

fn len(value: &Value) -> Result<Value, String> {
    let n = match value {
        Value::Str(text) | Value::Html(text) | Value::Url(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.entries.len(),
        Value::Object(object) => match object.items() {
            Some(Items::List(list)) => list.len(),
            Some(Items::Map(pairs)) => pairs.len(),
            None => return Err(format!("len of type {}", value.type_name())),
        },
        Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn position(index: &Value, len: usize) -> Result<usize, String> {
    let n = match index {
        Value::Int(n) | Value::Duration(n) => *n,
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    usize::try_from(n).ok().filter(|n| *n <= len).ok_or(format!("index out of range: {n}"))
}

fn index(args: &[Value]) -> Result<Value, String> {
    let (first, indexes) = args.split_first().ok_or("index of untyped nil")?;
    if matches!(first, Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = first.clone();
    for index in indexes {
        item = index_once(&item, index)?;
    }
    Ok(item)
}

fn at<T: Clone>(list: &[T], index: &Value) -> Result<T, String> {
    let idx = position(index, list.len())?;
    list.get(idx).cloned().ok_or_else(|| format!("index out of range: {idx}"))
}

fn index_once(item: &Value, index: &Value) -> Result<Value, String> {
    let key = || match index {
        Value::Nil => Err("value is nil; should be of type string".to_owned()),
        other => {
            other.as_str().ok_or_else(|| format!("value has type {}; should be string", other.type_name()))
        }
    };
    match item {
        Value::List(list) => at(list, index),
        Value::Str(text) | Value::Html(text) | Value::Url(text) => {
            at(text.as_bytes(), index).map(|byte| Value::Int(byte.into()))
        }
        Value::Map(map) => Ok(map.entries.get(key()?).or(map.zero.as_ref()).cloned().unwrap_or_default()),
        Value::Object(object) => match object.items() {
            Some(Items::List(list)) => at(&list, index),
            Some(Items::Map(pairs)) => {
                let key = key()?;
                let found =
                    pairs.into_iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value);
                // A map object answers for missing names with its zero value.
                Ok(found.or_else(|| object.field(key)).unwrap_or_default())
            }
            None => Err(format!("can't index item of type {}", item.type_name())),
        },
        Value::Nil => Err("index of nil pointer".to_owned()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let (item, indexes) = args.split_first().ok_or("slice of untyped nil")?;
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let is_text = item.as_str().is_some();
    if is_text && indexes.len() == 3 {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let list = match item {
        Value::Object(object) => match object.items() {
            Some(Items::List(list)) => list,
            _ => return Err(format!("can't slice item of type {}", item.type_name())),
        },
        Value::List(list) => list.to_vec(),
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        _ if is_text => Vec::new(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let text = item.as_str().unwrap_or("");
    let len = if is_text { text.len() } else { list.len() };
    let mut bounds = [0, len, len];
    for (idx, index) in indexes.iter().enumerate() {
        bounds[idx] = position(index, len)?;
    }
    if bounds[0] > bounds[1] {
        return Err(format!("invalid slice index: {} > {}", bounds[0], bounds[1]));
    }
    if indexes.len() == 3 && bounds[1] > bounds[2] {
        return Err(format!("invalid slice index: {} > {}", bounds[1], bounds[2]));
    }
    if is_text {
        let bytes = &text.as_bytes()[bounds[0]..bounds[1]];
        return Ok(Value::from(String::from_utf8_lossy(bytes).into_owned()));
    }
    Ok(Value::list(list[bounds[0]..bounds[1]].iter().cloned()))
}

/// As Go's `template.HTMLEscapeString`.
pub(crate) fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// As Go's `template.JSEscapeString`.
pub(crate) fn js_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c if c.is_ascii_control() || !is_printable(c) => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// As Go's `url.QueryEscape`.
pub(crate) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
