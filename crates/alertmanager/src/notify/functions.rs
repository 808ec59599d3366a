//! The functions that Alertmanager adds to Go's templates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gotemplate::{Functions, Items, Map, Value, format_time, json_number, parse_time, sprintf};
use jiff::tz::TimeZone;
use regex_automata::meta;

use super::attempt::go_json;
use super::data::{Kv, strings, texts};

/// Memory that a compiled expression of a template may take, in bytes. As for matchers.
const REGEX_BYTES_MAX: usize = 10 << 20;
/// How deep `toJson` follows lists and maps.
const JSON_DEPTH_MAX: usize = 50;

type Answer = Result<Value, String>;

/// All of them, at `now_ms`. Route labels that are `awaited` are not filled in yet; others that are missing are empty.
pub(super) fn functions(now_ms: i64, route_labels: &Kv, awaited: &BTreeSet<String>) -> Functions {
    let (route_labels, awaited) = (route_labels.clone(), awaited.clone());
    let functions = Functions::new()
        .add("toUpper", 1, |args| map_text(args, upper))
        .add("toLower", 1, |args| map_text(args, lower))
        .add("title", 1, |args| map_text(args, title))
        .add("trimSpace", 1, |args| map_text(args, |text| text.trim().to_owned()))
        .add("join", 2, |args| Ok(Value::str(texts(&args[1])?.join(text(&args[0])?))))
        .add("match", 2, |args| Ok(Value::Bool(regex(text(&args[0])?)?.is_match(text(&args[1])?))))
        .add("reReplaceAll", 3, |args| replace_all(text(&args[0])?, text(&args[1])?, text(&args[2])?))
        .add("safeHtml", 1, |args| Ok(Value::Html(Arc::from(text(&args[0])?))))
        .add("safeUrl", 1, |args| Ok(Value::Url(Arc::from(text(&args[0])?))))
        .add("urlUnescape", 1, |args| url_unescape(text(&args[0])?))
        .add("stringSlice", 0.., |args| Ok(strings(args.iter().map(ToString::to_string))))
        .add("routeLabels", 1, move |args| {
            let name = text(&args[0])?;
            if awaited.contains(name) {
                return Err(format!("route label {name:?} needs itself"));
            }
            Ok(Value::str(route_labels.get(name).map_or("", String::as_str)))
        });
    more(times(functions, now_ms))
}

fn times(functions: Functions, now_ms: i64) -> Functions {
    functions
        .add("date", 2, |args| match &args[1] {
            Value::Time(time) => Ok(Value::str(format_time(time, text(&args[0])?))),
            other => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name())),
        })
        .add("tz", 2, |args| match &args[1] {
            Value::Time(time) => {
                let name = text(&args[0])?;
                let zone = TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))?;
                Ok(Value::Time(Arc::new(time.with_time_zone(zone))))
            }
            other => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name())),
        })
        .add("now", 0, move |_| Ok(Value::time_ms(now_ms)))
        .add("since", 1, move |args| match &args[0] {
            Value::Time(time) => {
                let since_ms = now_ms.saturating_sub(time.timestamp().as_millisecond());
                Ok(Value::Duration(since_ms.saturating_mul(1_000_000)))
            }
            other => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name())),
        })
        .add("toDate", 2, |args| {
            let parsed = parse_time(text(&args[0])?, text(&args[1])?);
            Ok(parsed.map_or_else(
                |_| Value::time_ms(crate::alert::ZERO_TIME_MS),
                |time| Value::Time(Arc::new(time)),
            ))
        })
        .add("mustToDate", 2, |args| {
            parse_time(text(&args[0])?, text(&args[1])?).map(|time| Value::Time(Arc::new(time)))
        })
        .add("humanizeDuration", 1, |args| Ok(Value::str(humanize_duration(seconds(&args[0])?))))
}

fn more(functions: Functions) -> Functions {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE;
    functions
        .add("toJson", 1, |args| {
            let mut out = String::new();
            json(&mut out, &args[0], 0)?;
            Ok(Value::str(out))
        })
        .add("base64encode", 1, |args| Ok(Value::str(URL_SAFE.encode(text(&args[0])?))))
        .add("base64decode", 1, |args| {
            let bytes = URL_SAFE.decode(text(&args[0])?).map_err(|err| err.to_string())?;
            Ok(Value::str(String::from_utf8_lossy(&bytes)))
        })
        .add("list", 0.., |args| Ok(Value::list(args.iter().cloned())))
        .add("append", 1.., |args| match &args[0] {
            Value::List(list) => Ok(Value::list(list.iter().chain(&args[1..]).cloned())),
            other => Err(format!("cannot append to {}", other.type_name())),
        })
        .add("dict", 0.., |args| {
            if !args.len().is_multiple_of(2) {
                return Err("invalid dict call: odd number of arguments".to_owned());
            }
            let mut entries = BTreeMap::new();
            for pair in args.chunks_exact(2) {
                entries.insert(
                    Arc::from(text(&pair[0]).map_err(|_| "dict keys must be strings".to_owned())?),
                    pair[1].clone(),
                );
            }
            Ok(Value::Map(Arc::new(Map { entries, zero: None })))
        })
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("wrong type for value; expected string; got {}", value.type_name()))
}

fn map_text(args: &[Value], map: impl Fn(&str) -> String) -> Answer {
    Ok(Value::str(map(text(&args[0])?)))
}

/// One letter for one, as Go has it: `ß` stays.
fn upper(text: &str) -> String {
    let letter = |c: char| {
        let mut all = c.to_uppercase();
        if all.len() == 1 { all.next().unwrap_or(c) } else { c }
    };
    text.chars().map(letter).collect()
}

/// As [`upper`].
fn lower(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// Each word's first letter upper case, the others lower case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_inside = false;
    for c in text.chars() {
        if is_inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        is_inside = c.is_alphanumeric() || c == '\'' || c == '_' || c == '’';
    }
    out
}

/// An expression that may match anywhere in the text.
fn regex(pattern: &str) -> Result<meta::Regex, String> {
    let config = meta::Config::new().nfa_size_limit(Some(REGEX_BYTES_MAX));
    let built = meta::Regex::builder().configure(config).build(pattern);
    built.map_err(|err| format!("error parsing regexp: {err}: `{pattern}`"))
}

/// Go's `Regexp.ReplaceAllString`: `$1`, `${1}` and `${name}` stand for what was captured.
fn replace_all(pattern: &str, replacement: &str, text: &str) -> Answer {
    let regex = regex(pattern)?;
    let mut out = String::new();
    let mut last = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get_match() else { continue };
        out.push_str(&text[last..whole.start()]);
        captures.interpolate_string_into(text, replacement, &mut out);
        last = whole.end();
    }
    out.push_str(&text[last..]);
    Ok(Value::str(out))
}

/// Go's `url.QueryUnescape`.
fn url_unescape(text: &str) -> Answer {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or(b' '), rest.next().unwrap_or(b' ')];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                let byte = u8::from_str_radix(digits, 16)
                    .map_err(|_| format!("invalid URL escape \"%{digits}\""))?;
                bytes.push(byte);
            }
            byte => bytes.push(byte),
        }
    }
    Ok(Value::str(String::from_utf8_lossy(&bytes)))
}

fn seconds(value: &Value) -> Result<f64, String> {
    match value {
        Value::Int(n) => Ok(*n as f64),
        Value::Float(n) => Ok(*n),
        Value::Duration(ns) => Ok(*ns as f64 / 1e9),
        Value::Str(text) => {
            text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
        }
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

/// As Prometheus' templates: `1d 2h 3m 4s`, `12.34s`, `1.234ms`.
fn humanize_duration(v: f64) -> String {
    let short = |v: f64| sprintf("%.4g", &[Value::Float(v)]);
    if v.is_nan() || v.is_infinite() {
        return short(v);
    }
    if v == 0.0 {
        return "0s".to_owned();
    }
    if v.abs() < 1.0 {
        let mut v = v;
        let mut prefix = "";
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if v.abs() >= 1.0 {
                break;
            }
            prefix = next;
            v *= 1000.0;
        }
        return format!("{}{prefix}s", short(v));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let whole = v.abs() as u64;
    let (days, hours, minutes, secs) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{}s", short(v)),
        (0, 0, _) => format!("{sign}{minutes}m {secs}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {secs}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {secs}s"),
    }
}

/// Writes `value` as Go marshals it: keys of structures in their order, those of maps sorted.
fn json(out: &mut String, value: &Value, depth: usize) -> Result<(), String> {
    if depth > JSON_DEPTH_MAX {
        return Err(format!("toJson: nested deeper than {JSON_DEPTH_MAX}"));
    }
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) | Value::Duration(n) => out.push_str(&n.to_string()),
        Value::Float(n) => {
            let n = Some(*n).filter(|n| n.is_finite()).ok_or("json: unsupported value: NaN or Inf")?;
            out.push_str(&json_number(n));
        }
        Value::Str(text) | Value::Html(text) | Value::Url(text) => json_text(out, text),
        Value::Time(time) => {
            json_text(out, &crate::time::go_rfc3339(time.timestamp().as_millisecond()));
        }
        Value::List(values) => json_list(out, values, depth)?,
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, value)| (&**key, value));
            json_map(out, entries, depth)?;
        }
        Value::Object(object) => match object.items() {
            Some(Items::List(values)) => json_list(out, &values, depth)?,
            Some(Items::Map(pairs)) => {
                let texts: Vec<String> = pairs.iter().map(|(key, _)| key.to_string()).collect();
                let keys = texts.iter().map(String::as_str);
                json_map(out, keys.zip(pairs.iter().map(|(_, value)| value)), depth)?;
            }
            None => json_fields(out, object.as_ref(), depth)?,
        },
    }
    Ok(())
}

fn json_text(out: &mut String, text: &str) {
    out.push_str(go_json(&text).trim_end());
}

fn json_list(out: &mut String, values: &[Value], depth: usize) -> Result<(), String> {
    out.push('[');
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        json(out, value, depth + 1)?;
    }
    out.push(']');
    Ok(())
}

fn json_map<'a>(
    out: &mut String,
    entries: impl Iterator<Item = (&'a str, &'a Value)>,
    depth: usize,
) -> Result<(), String> {
    out.push('{');
    for (i, (key, value)) in entries.enumerate() {
        if i > 0 {
            out.push(',');
        }
        json_text(out, key);
        out.push(':');
        json(out, value, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

/// A structure; what is none, as text.
fn json_fields(out: &mut String, object: &dyn gotemplate::Object, depth: usize) -> Result<(), String> {
    let keys = object.json_keys();
    if keys.is_empty() {
        json_text(out, &object.display());
        return Ok(());
    }
    let fields: Vec<(&str, Value)> =
        keys.iter().filter_map(|(key, name)| Some((*key, object.field(name)?))).collect();
    json_map(out, fields.iter().map(|(key, value)| (*key, value)), depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_for_people() {
        let check = |v: f64, expected: &str| assert_eq!(humanize_duration(v), expected);
        check(0.0, "0s");
        check(1.0, "1s");
        check(12.345_6, "12.35s");
        check(60.0, "1m 0s");
        check(3_661.0, "1h 1m 1s");
        check(90_061.0, "1d 1h 1m 1s");
        check(-61.0, "-1m 1s");
        check(0.001_234_5, "1.234ms");
    }

    #[test]
    fn texts_are_changed_as_in_go() {
        assert_eq!((upper("straße ǆ"), lower("İI")), ("STRAßE Ǆ".to_owned(), "ii".to_owned()));
        let numbers = [0.0, 100.0, 0.000_001, 0.000_000_1, 1e21, -2.5].map(json_number);
        assert_eq!(numbers, ["0", "100", "0.000001", "1e-7", "1e+21", "-2.5"]);
        assert_eq!(title("hello wORLD, it's ok"), "Hello World, It's Ok");
        assert_eq!(replace_all("(a)(b)?", "<$1>${2}", "ab-a").unwrap().to_string(), "<a>b-<a>");
        assert_eq!(url_unescape("a%20b+c%2F").unwrap().to_string(), "a b c/");
        assert!(url_unescape("%zz").is_err());
        assert!(regex("a").unwrap().is_match("xxaxx"));
    }
}
