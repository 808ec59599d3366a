//! Groups of targets: what every kind gives.
//!
//! In from the kinds, and from JSON and YAML in the form of `static_configs`; out to whoever subscribed.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, LabelsBuilder};
use serde::{Deserialize, Deserializer};

/// The label that holds `host:port`.
pub const ADDRESS: &str = "__address__";

/// All targets of one configuration. Cheap to clone.
pub type Groups = Arc<[TargetGroup]>;

/// Targets that share labels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "GroupKeys")]
pub struct TargetGroup {
    /// Of each target its own labels, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Labels of all of them; a target's own win.
    pub labels: Labels,
    /// Tells the groups of one configuration apart, for people: a file, a URL, a service.
    pub source: String,
}

impl TargetGroup {
    /// Targets without labels in common.
    #[must_use]
    pub fn new(source: impl Into<String>, targets: Vec<Labels>) -> Self {
        Self { targets, labels: Labels::empty(), source: source.into() }
    }

    /// Of bare addresses.
    pub fn of_addresses<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> Self {
        let of_address = |address: A| Labels::from_pairs([(ADDRESS, address)]);
        Self::new("", addresses.into_iter().map(of_address).collect())
    }

    /// The addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|target| target.get(ADDRESS).unwrap_or_default())
    }

    /// A target's own labels over those of the group.
    #[must_use]
    pub fn merged(&self, target: &Labels) -> LabelsBuilder {
        let mut builder = self.labels.to_builder();
        for (name, value) in target {
            builder.set(name, value);
        }
        builder
    }
}

impl Default for TargetGroup {
    fn default() -> Self {
        Self::new("", Vec::new())
    }
}

/// As in `static_configs`, in files of targets and in answers to `http_sd_configs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupKeys {
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    targets: Vec<String>,
    #[serde(default, deserialize_with = "model::yaml::null_as_default")]
    labels: BTreeMap<String, String>,
}

impl TryFrom<GroupKeys> for TargetGroup {
    type Error = &'static str;

    fn try_from(keys: GroupKeys) -> Result<Self, Self::Error> {
        if keys.labels.contains_key("") {
            return Err("\"\" is not a valid label name");
        }
        Ok(Self { labels: Labels::from_pairs(&keys.labels), ..Self::of_addresses(keys.targets) })
    }
}

/// Sets a label for each pair, its name made of `prefix` and what the pair's name becomes as part of a label's name.
pub fn set_all<N: AsRef<str>, V: AsRef<str>>(
    builder: &mut LabelsBuilder,
    prefix: &str,
    pairs: impl IntoIterator<Item = (N, V)>,
) {
    for (name, value) in pairs {
        builder.set(&format!("{prefix}{}", sanitized(name.as_ref())), value.as_ref());
    }
}

/// `,a,b,` of `a` and `b`: separators around every element, so that a regular expression can match one of them.
#[must_use]
pub fn surrounded(values: &[String], separator: &str) -> String {
    format!("{separator}{}{separator}", values.join(separator))
}

/// The entries of a kind of discovery, of which none may be without anything.
///
/// # Errors
/// As the format's, and for such an entry.
pub fn read_sections<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    whole_entries(deserializer, "empty or null section")
}

/// `static_configs`, of which none may be empty.
///
/// # Errors
/// As [`read_sections`].
pub fn read_static<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TargetGroup>, D::Error> {
    whole_entries(deserializer, "empty or null section in static_configs")
}

fn whole_entries<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    why: &str,
) -> Result<Vec<T>, D::Error> {
    let entries: Option<Vec<Option<T>>> = Option::deserialize(deserializer)?;
    let entries: Option<Vec<T>> = entries.unwrap_or_default().into_iter().collect();
    entries.ok_or_else(|| serde::de::Error::custom(why))
}

/// `a/b c` → `a_b_c`: what names of tags, labels and keys become in the name of a label.
#[must_use]
pub fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// `host:port`, with brackets around an IPv6 address.
#[must_use]
pub fn join_host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_read_as_in_static_configs() {
        let group: TargetGroup =
            serde_json::from_str(r#"{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}"#).unwrap();
        assert_eq!(group.addresses().collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert_eq!(group.merged(&group.targets[1]).build().to_string(), r#"{__address__="b:2", x="y"}"#);
        assert!(serde_json::from_str::<TargetGroup>(r#"{"target": []}"#).is_err());
        assert!(serde_json::from_str::<TargetGroup>(r#"{"labels": {"": "x"}}"#).is_err());
        assert_eq!(
            serde_json::from_str::<TargetGroup>(r#"{"targets": null}"#).unwrap(),
            TargetGroup::default()
        );
    }

    #[test]
    fn names_and_addresses_take_the_form_that_labels_need() {
        for (name, expected) in [("a-b.c/d", "a_b_c_d"), ("é", "_"), ("A_9", "A_9")] {
            assert_eq!(sanitized(name), expected);
        }
        assert_eq!(join_host_port("::1", 80), "[::1]:80");
        assert_eq!(join_host_port("a", "x"), "a:x");
    }
}
