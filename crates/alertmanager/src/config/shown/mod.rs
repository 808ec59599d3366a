//! The file as it counts, as YAML: every default in it, what receivers take from `global` too, secrets masked. `amtool` and other tools
//! read it from the API, so that it is what Alertmanager 0.34 shows, key by key, but for defaults that Debian's `amtool` cannot read.
//!
//! In from [`super::check`], which has seen that all is well; out to the API and the page. What is ours stands at the end of its section.

mod keys;
mod receivers;
mod yaml;

use std::path::Path;

use serde_json::{Map, Value};

use self::keys::{CONFIG, Default, Form, Key, Names, ROUTE, Shown};
use self::yaml::{Node, document};
use super::raw::RawConfig;
use crate::matcher::{parse_matchers, sort, text_of};

/// `dir`: what relative names of files are relative to.
pub(super) fn to_yaml(raw: &RawConfig, dir: &Path) -> String {
    // Secrets mask themselves.
    let Ok(Value::Object(mut config)) = serde_json::to_value(raw) else { return String::new() };
    let global = global_of(&config);
    for receiver in config.get_mut("receivers").and_then(Value::as_array_mut).into_iter().flatten() {
        complete_receiver(receiver, &global);
    }
    document(&section(CONFIG, &config, dir))
}

/// `global` with its defaults, as values.
fn global_of(config: &Map<String, Value>) -> Map<String, Value> {
    let mut global = config.get("global").and_then(Value::as_object).cloned().unwrap_or_default();
    let table = CONFIG.iter().find(|key| key.name == "global");
    let Some(Form::Section(keys)) = table.map(|key| key.form) else { return global };
    for key in keys {
        if global.get(key.name).is_none_or(Value::is_null)
            && let Some(value) = default_of(key)
        {
            global.insert(key.name.to_owned(), value);
        }
    }
    global
}

fn complete_receiver(receiver: &mut Value, global: &Map<String, Value>) {
    let Value::Object(receiver) = receiver else { return };
    for (kind, list) in receiver.iter_mut() {
        for keys in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            receivers::complete(kind, keys, global);
        }
    }
    // Without labels of its own it has that of its name, which older readers do not know.
    let name = receiver.get("name").cloned().unwrap_or_default();
    if let Some(Value::Object(labels)) = receiver.get_mut("labels") {
        labels.insert("name".to_owned(), name);
    }
}

fn default_of(key: &Key) -> Option<Value> {
    match (key.default, key.form) {
        (Default::None, _) => None,
        (Default::Text(text), _) => Some(Value::from(text)),
        (Default::Switch(on), _) => Some(Value::from(on)),
        (Default::Zero, _) => Some(Value::from(0)),
        (Default::Empty, Form::Section(_) | Form::Templated(_)) => Some(Value::Object(Map::new())),
        (Default::Empty, _) => Some(Value::Array(Vec::new())),
    }
}

/// The keys of a section in their order.
fn section(keys: &[Key], given: &Map<String, Value>, dir: &Path) -> Vec<(String, Node)> {
    let mut shown = Vec::new();
    for key in keys {
        let own = given.get(key.name).filter(|value| !value.is_null()).cloned();
        let default = default_of(key);
        if key.is_newer && own.as_ref().is_none_or(|own| default.as_ref() == Some(own)) {
            continue;
        }
        let Some(value) = own.or(default) else { continue };
        let is_left_out = match key.form {
            Form::Templated(_) => false,
            // A mapping of names is empty without names, a section when all its keys are.
            Form::Plain | Form::Each(_) | Form::Headers if value.is_object() => {
                value.as_object().is_some_and(Map::is_empty)
            }
            _ => is_empty(&value),
        };
        if key.shown == Shown::Filled && is_left_out {
            continue;
        }
        shown.push((key.name.to_owned(), node(key.form, value, dir)));
    }
    shown
}

/// What Go leaves out: nothing at all, and mappings in which there is nothing else.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        // A duration of nothing is a number to Go.
        Value::String(text) => text.is_empty() || text == "0s",
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
    }
}

fn node(form: Form, value: Value, dir: &Path) -> Node {
    match (form, value) {
        (Form::Path, Value::String(text)) => Node::Text(joined(dir, text)),
        (Form::Path, Value::Array(items)) => {
            Node::List(items.into_iter().map(|item| node(Form::Path, item, dir)).collect())
        }
        (Form::Section(keys) | Form::Templated(keys), Value::Object(given)) => {
            Node::Map(section(keys, &given, dir))
        }
        (Form::Templated(_), Value::String(text)) => {
            Node::Map(vec![("template".to_owned(), Node::Text(text))])
        }
        (Form::Sections(keys), Value::Array(items)) => items_of(keys, items, dir),
        (Form::Each(keys), Value::Object(map)) => {
            let each = |(name, value)| match value {
                Value::Object(given) => (name, Node::Map(section(keys, &given, dir))),
                other => (name, plain(other)),
            };
            Node::Map(map.into_iter().map(each).collect())
        }
        (Form::Routes, Value::Array(items)) => items_of(ROUTE, items, dir),
        (Form::Matchers, Value::Array(items)) => matchers(&items),
        (Form::Ranges(names), Value::Array(items)) => {
            let ranges = items.iter().filter_map(Value::as_str);
            Node::Flow(ranges.map(|range| short_range(names, range)).collect())
        }
        (Form::Headers, Value::Object(headers)) => {
            let named = headers.into_iter().map(|(name, value)| (mime_name(&name), value));
            plain(Value::Object(named.collect()))
        }
        (_, value) => plain(value),
    }
}

fn items_of(keys: &[Key], items: Vec<Value>, dir: &Path) -> Node {
    let shown = items.into_iter().map(|item| match item {
        Value::Object(given) => Node::Map(section(keys, &given, dir)),
        other => plain(other),
    });
    Node::List(shown.collect())
}

fn plain(value: Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(on) => Node::Bool(on),
        Value::Number(number) => Node::Number(number),
        Value::String(text) => Node::Text(text),
        Value::Array(items) => Node::List(items.into_iter().map(plain).collect()),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(name, value)| (name, plain(value))).collect();
            entries.sort_by(|(a, _), (b, _)| yaml::key_order(a, b));
            Node::Map(entries)
        }
    }
}

fn joined(dir: &Path, text: String) -> String {
    if text.is_empty() || Path::new(&text).is_absolute() {
        return text;
    }
    let path: std::path::PathBuf = dir.join(text).components().collect();
    path.display().to_string()
}

/// All matchers of a list of texts, by name.
fn matchers(items: &[Value]) -> Node {
    let texts = items.iter().filter_map(Value::as_str);
    let mut all: Vec<_> = texts.filter_map(|text| parse_matchers(text).ok()).flatten().collect();
    sort(&mut all);
    Node::List(all.iter().map(|matcher| Node::Text(text_of(matcher))).collect())
}

/// `monday:friday`, `5` for `may:may`.
fn short_range(names: Names, range: &str) -> String {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let short = |end: &str| {
        let lower = end.trim().to_ascii_lowercase();
        let month = MONTHS.iter().position(|month| *month == lower);
        match (names, month) {
            (Names::Months, Some(idx)) => (idx + 1).to_string(),
            (Names::Weekdays, _) => lower,
            _ => lower.parse::<i64>().map_or(lower, |number| number.to_string()),
        }
    };
    let (begin, end) = range.split_once(':').unwrap_or((range, range));
    let (begin, end) = (short(begin), short(end));
    if begin == end { begin } else { format!("{begin}:{end}") }
}

/// `Reply-To` for `reply-to`.
fn mime_name(name: &str) -> String {
    let mut is_first = true;
    let cased = name.chars().map(|c| {
        let cased = if is_first { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        is_first = c == '-';
        cased
    });
    cased.collect()
}
