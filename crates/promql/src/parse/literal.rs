//! Numbers, durations and strings as written, to values.

use super::ast::ExprKind;
use super::lexer::{Item, Token};
use super::parser::{Parser, Result};

/// The value of a number or duration token, in seconds for the latter, and whether it is one.
pub(super) fn number_or_duration(parser: &Parser<'_>, item: Item) -> Result<(f64, bool)> {
    let text = parser.text(item);
    if item.token == Token::Duration {
        let duration: model::Duration = text.parse().map_err(|err: model::duration::DurationError| {
            let message = unknown_unit(text).unwrap_or_else(|| err.to_string());
            parser.error(item.span, message)
        })?;
        return Ok((duration.as_ms() as f64 / 1000.0, true));
    }
    let refuse = |why: &str| {
        let quoted = model::labels::quoted(text);
        let message = format!("error parsing number: strconv.ParseFloat: parsing {quoted}: {why}");
        Err(parser.error(item.span, message))
    };
    match number(text) {
        Some(value) if value.is_infinite() && text.starts_with(|c: char| !c.is_alphabetic()) => {
            refuse("value out of range")
        }
        Some(value) => Ok((value, false)),
        None => refuse("invalid syntax"),
    }
}

/// Says which unit of a duration is none, if one is.
fn unknown_unit(text: &str) -> Option<String> {
    const UNITS: [&str; 7] = ["y", "w", "d", "h", "m", "s", "ms"];
    let mut units = text.split(|c: char| c.is_ascii_digit());
    let unit = units.find(|unit| !unit.is_empty() && !UNITS.contains(unit))?;
    Some(format!("unknown unit \"{unit}\" in duration {}", model::labels::quoted(text)))
}

/// An integer with Go's prefixes and underscores, or else a float.
fn number(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let lower = plain.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        // Hexadecimal beyond 63 bits would need a `p` exponent to be a float in Go, so it is refused there, too.
        return i64::from_str_radix(digits, 16).map(|n| n as f64).ok();
    }
    let is_octal = plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| b.is_ascii_digit());
    if is_octal && let Ok(octal) = i64::from_str_radix(&plain, 8) {
        return Some(octal as f64);
    }
    // Integers beyond 2^53 go through i64 upstream; the nearest float is the same.
    plain.parse().ok()
}

/// The text inside a string token's quotes.
pub(super) fn unquote(parser: &Parser<'_>, item: Item) -> Result<String> {
    let text = parser.text(item);
    unescape(text).ok_or_else(|| {
        let quoted = model::labels::quoted(text);
        parser.error(item.span, format!("error unquoting string {quoted}: invalid UTF-8"))
    })
}

/// The string token as an expression. Escapes can make it other than UTF-8, which only errors can show.
pub(super) fn string(parser: &Parser<'_>, item: Item) -> ExprKind {
    let text = parser.text(item);
    match unescape(text) {
        Some(text) => ExprKind::String(text),
        None => ExprKind::InvalidString(text.to_owned()),
    }
}

/// Undoes Go's escapes; `None` when the bytes are not UTF-8 afterwards.
fn unescape(text: &str) -> Option<String> {
    let inner = text.get(1..text.len().checked_sub(1)?)?;
    if text.starts_with('`') {
        return Some(inner.replace('\r', ""));
    }
    if !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next()?;
        let byte = match escape {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '0'..='7' => {
                let rest = take_digits(&mut chars, 2, 8)?;
                u8::try_from(escape.to_digit(8)? * 64 + rest).ok()?
            }
            'x' => u8::try_from(take_digits(&mut chars, 2, 16)?).ok()?,
            'u' | 'U' => {
                let n_digits = if escape == 'u' { 4 } else { 8 };
                let c = char::from_u32(take_digits(&mut chars, n_digits, 16)?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => u8::try_from(other).ok()?,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

fn take_digits(chars: &mut std::str::Chars<'_>, n_digits: usize, base: u32) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..n_digits {
        value = value.checked_mul(base)?.checked_add(chars.next()?.to_digit(base)?)?;
    }
    Some(value)
}
