//! What the kinds of clouds have in common: labels out of JSON, and clients that sign.
//!
//! In from the kinds; out to their targets. A value that is missing or null sets no label, which to relabelling is the same as an
//! empty one.

use std::fmt::Display;
use std::path::Path;

use model::{Labels, LabelsBuilder};
use net::Secret;
use serde_json::Value;
use stdx::dir::Dir;

use crate::SdError;
use crate::group::{ADDRESS, join_host_port, sanitized};

/// The labels of one target, `__meta_<kind>_…`.
#[derive(Clone)]
pub(super) struct Target {
    prefix: &'static str,
    labels: LabelsBuilder,
}

impl Target {
    /// Without labels; `prefix` is `__meta_digitalocean_` and so on.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, labels: LabelsBuilder::new() }
    }

    /// Where it is.
    pub(super) fn address(&mut self, host: &str, port: impl Display) -> &mut Self {
        self.labels.set(ADDRESS, &join_host_port(host, port));
        self
    }

    /// A label whose name is no meta label.
    pub(super) fn plain(&mut self, name: &str, value: &str) -> &mut Self {
        self.labels.set(name, value);
        self
    }

    /// A meta label.
    pub(super) fn set(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.labels.set(&format!("{}{name}", self.prefix), &value.to_string());
        self
    }

    /// A meta label whose name ends in a name of the user's.
    pub(super) fn tag(&mut self, group: &str, name: &str, value: impl Display) -> &mut Self {
        self.set(&format!("{group}{}", sanitized(name)), value)
    }

    /// `,a,b,`, so that patterns need not tell first and last apart; nothing when the list is empty.
    pub(super) fn list<T: AsRef<str>>(&mut self, name: &str, items: &[T]) -> &mut Self {
        self.list_by(name, items, ",")
    }

    /// The same with another separator.
    pub(super) fn list_by<T: AsRef<str>>(&mut self, name: &str, items: &[T], by: &str) -> &mut Self {
        if !items.is_empty() {
            self.set(name, surrounded(items, by));
        }
        self
    }

    /// Labels from places in `value`, as JSON pointers.
    pub(super) fn take(&mut self, value: &Value, places: &[(&str, &str)]) -> &mut Self {
        for (name, place) in places {
            self.set(name, text(value, place));
        }
        self
    }

    /// What was set.
    pub(super) fn build(&self) -> Labels {
        self.labels.build()
    }
}

/// A secret key stands in the configuration or in a file, not in both.
pub(super) fn check_one_secret(secret: &Secret, file: Option<&Path>) -> Result<(), String> {
    match (secret.is_empty(), file) {
        (true, None) => Err("one of secret_key & secret_key_file must be configured".to_owned()),
        (false, Some(_)) => Err("at most one of secret_key & secret_key_file must be configured".to_owned()),
        _ => Ok(()),
    }
}

/// The secret as it is now; files are read again at every look.
pub(super) fn read_secret(dir: &dyn Dir, inline: &Secret, file: Option<&Path>) -> Result<Secret, SdError> {
    let Some(file) = file else { return Ok(inline.clone()) };
    let bytes = dir
        .read(file)
        .map_err(|err| SdError::other(format!("unable to read secret key file {}: {err}", file.display())))?;
    Ok(Secret::new(String::from_utf8_lossy(&bytes).trim()))
}

/// `,a,b,`
pub(super) fn surrounded<T: AsRef<str>>(items: &[T], by: &str) -> String {
    let all = items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(by);
    format!("{by}{all}{by}")
}

/// What stands at a place: text, a number or a truth value; empty for everything else.
pub(super) fn text(value: &Value, place: &str) -> String {
    match value.pointer(place) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(yes)) => yes.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The list at a place; empty when there is none.
pub(super) fn items<'a>(value: &'a Value, place: &str) -> &'a [Value] {
    value.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts of the list at a place.
pub(super) fn texts(value: &Value, place: &str) -> Vec<String> {
    items(value, place).iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The names and values of the object at a place.
pub(super) fn pairs<'a>(value: &'a Value, place: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let object = value.pointer(place).and_then(Value::as_object);
    object.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_from_places_in_json() {
        let value = serde_json::json!({
            "a": {"b": "x", "n": 12, "t": true, "z": null, "f": 0.5}, "l": ["p", "q"], "o": {"k-1": "v"},
        });
        let mut target = Target::new("__meta_x_");
        target.take(
            &value,
            &[("b", "/a/b"), ("n", "/a/n"), ("t", "/a/t"), ("z", "/a/z"), ("m", "/no"), ("f", "/a/f")],
        );
        target.list("l", &texts(&value, "/l")).list("e", &texts(&value, "/no")).address("::1", 80);
        for (name, value) in pairs(&value, "/o") {
            target.tag("tag_", name, value.as_str().unwrap());
        }
        let expected = r#"{__address__="[::1]:80", __meta_x_b="x", __meta_x_f="0.5", __meta_x_l=",p,q,", __meta_x_n="12", __meta_x_t="true", __meta_x_tag_k_1="v"}"#;
        assert_eq!(target.build().to_string(), expected);
    }
}
