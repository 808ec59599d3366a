//! `eq ne lt le gt ge`: Go's comparison builtins.

use std::cmp::Ordering;

use crate::print::to_text;
use crate::value::Value;

/// What values must share to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basic {
    Bool,
    Int,
    Float,
    Str,
}

fn basic(value: &Value) -> Option<Basic> {
    match value {
        Value::Bool(_) => Some(Basic::Bool),
        Value::Int(_) | Value::Duration(_) => Some(Basic::Int),
        Value::Float(_) => Some(Basic::Float),
        Value::Str(_) | Value::Html(_) | Value::Url(_) => Some(Basic::Str),
        _ => None,
    }
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(value) | Value::Duration(value) => *value,
        _ => 0,
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

fn is_container(value: &Value) -> bool {
    matches!(value, Value::List(_) | Value::Map(_))
}

/// Whether the first argument equals one of the others.
pub(crate) fn eq(args: &[Value]) -> Result<bool, String> {
    let (first, others) = args.split_first().ok_or("missing argument for comparison")?;
    if is_container(first) {
        return Err(format!("non-comparable type {}: {}", to_text(first), first.type_name()));
    }
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    if is_container(b) && !matches!(a, Value::Nil) {
        let (a_text, b_text) = (to_text(a), to_text(b));
        return Err(format!("non-comparable types {a_text}: {}, {}: {b_text}", a.type_name(), b.type_name()));
    }
    match (basic(a), basic(b)) {
        (Some(kind), Some(other)) if kind == other => Ok(match kind {
            Basic::Bool => a.is_true() == b.is_true(),
            Basic::Int => int(a) == int(b),
            Basic::Float => matches!((a, b), (Value::Float(a), Value::Float(b)) if a == b),
            Basic::Str => a.as_str() == b.as_str(),
        }),
        (None, None) => Ok(match (a, b) {
            (Value::Nil, Value::Nil) => true,
            (Value::Time(a), Value::Time(b)) => a.timestamp() == b.timestamp(),
            (Value::Object(a), Value::Object(b)) => {
                a.type_name() == b.type_name() && a.display() == b.display()
            }
            _ => false,
        }),
        _ if matches!(a, Value::Nil) || matches!(b, Value::Nil) => Ok(false),
        _ => Err(incompatible(a, b)),
    }
}

/// Whether the first of two arguments comes before the second.
fn less(args: &[Value]) -> Result<bool, String> {
    let [a, b] = args else { return Err("missing argument for comparison".to_owned()) };
    match (basic(a), basic(b)) {
        (Some(Basic::Bool), Some(Basic::Bool)) | (None, _) | (_, None) => {
            Err("invalid type for comparison".to_owned())
        }
        (Some(kind), Some(other)) if kind != other => Err(incompatible(a, b)),
        (Some(Basic::Int), _) => Ok(int(a) < int(b)),
        (Some(Basic::Float), _) => Ok(matches!((a, b), (Value::Float(a), Value::Float(b)) if a < b)),
        _ => Ok(a.as_str().cmp(&b.as_str()) == Ordering::Less),
    }
}

/// The comparison builtin called `name`.
pub(crate) fn compare(name: &str, args: &[Value]) -> Result<bool, String> {
    match name {
        "eq" => eq(args),
        "ne" => Ok(!eq(args)?),
        "lt" => less(args),
        "le" => Ok(less(args)? || eq(args)?),
        "gt" => Ok(!(less(args)? || eq(args)?)),
        _ => Ok(!less(args)?),
    }
}
