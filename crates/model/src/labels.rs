//! Label sets: names sorted, packed into one shared string.
//!
//! A set is one allocation and one pointer to clone. Each name and value stands after its length, and the length is
//! itself one character (its code point, moved past the surrogates), so that the whole stays valid UTF-8 and needs no
//! unsafe code. Lengths under 128 take one byte.
//! Invariant: names strictly rise, none is empty, and no value is empty: an empty value means «no such label».

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The labels that hold the metric's type and unit, where `type-and-unit-labels` is on.
pub const METRIC_TYPE: &str = "__type__";
/// See [`METRIC_TYPE`].
pub const METRIC_UNIT: &str = "__unit__";

/// A sorted set of label pairs. Cheap to clone, equal when the pairs are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    packed: Arc<str>,
}

impl Labels {
    /// The set without labels.
    #[must_use]
    pub fn empty() -> Self {
        Self { packed: Arc::from("") }
    }

    /// From pairs in any order. Of pairs with the same name the last one stays; empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// From pairs already sorted by name, without duplicates or empty values, as stored data is. O(bytes).
    ///
    /// # Panics
    /// In debug builds, when the pairs are not sorted.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut packed = String::new();
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(last.is_none_or(|last| last < name), "names must rise: {last:?}, {name:?}");
            last = Some(name);
            push_packed(&mut packed, name);
            push_packed(&mut packed, value);
        }
        Self { packed: Arc::from(packed) }
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        // Names rise, so the search ends at the first greater one.
        self.iter().take_while(|(n, _)| *n <= name).find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The metric's name, or the empty string.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// The pairs, by rising name.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.packed }
    }

    /// How many pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// A builder that starts with these pairs.
    #[must_use]
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// The same set without the metric's name.
    #[must_use]
    pub fn without_metric_name(&self) -> Self {
        Self::from_sorted(self.iter().filter(|(name, _)| *name != METRIC_NAME))
    }

    /// Bytes of memory behind this set, shared by its clones.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        self.packed.len()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Pair by pair: first by name, then by value; a set that is a prefix of another comes first. As Prometheus sorts.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `{a="1", b="2"}`, values escaped, as Prometheus prints label sets.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let sep = if i == 0 { "" } else { ", " };
            if is_legacy_label_name(name) {
                write!(f, "{sep}{name}={}", quoted(value))?;
            } else {
                write!(f, "{sep}{}={}", quoted(name), quoted(value))?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Walks the pairs of a set.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = split_packed(self.rest)?;
        let (value, rest) = split_packed(rest)?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Collects pairs in any order.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    /// Sorted by name.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Without pairs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`; an empty value removes the label.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(idx) if value.is_empty() => {
                self.pairs.remove(idx);
            }
            Ok(idx) => value.clone_into(&mut self.pairs[idx].1),
            Err(_) if value.is_empty() => {}
            Err(idx) => self.pairs.insert(idx, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps the pairs for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.pairs.retain(|(name, value)| keep(name, value));
        self
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let idx = self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(&self.pairs[idx].1)
    }

    /// The pairs, by rising name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The set.
    #[must_use]
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}

/// Whether `name` is a label name of the classic alphabet, `[a-zA-Z_][a-zA-Z0-9_]*`.
#[must_use]
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether `name` is a metric name of the classic alphabet, `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// `text` in double quotes, escaped as Go's `strconv.Quote` does.
#[must_use]
pub fn quoted(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{07}' => out.push_str("\\a"),
            '\u{08}' => out.push_str("\\b"),
            '\u{0c}' => out.push_str("\\f"),
            '\u{0b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Longest name or value that can be packed, in bytes. Who reads labels from outside keeps it.
pub const TEXT_BYTES_MAX: usize = (char::MAX as u32 - SURROGATES) as usize;

/// Code points from here on are shifted by [`SURROGATES`], since surrogates are not characters.
const SURROGATES_START: u32 = 0xd800;
const SURROGATES: u32 = 0x800;

fn push_packed(packed: &mut String, text: &str) {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let code = if len < SURROGATES_START { len } else { len.saturating_add(SURROGATES) };
    let code = char::from_u32(code).expect("names and values are far under a megabyte: wire caps them");
    packed.push(code);
    packed.push_str(text);
}

fn split_packed(packed: &str) -> Option<(&str, &str)> {
    let code = packed.chars().next()?;
    let mut len = code as u32;
    if len >= SURROGATES_START {
        len -= SURROGATES;
    }
    packed[code.len_utf8()..].split_at_checked(len as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sorts_replaces_and_drops_empty() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="1", b="3"}"#);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.len(), 2);
    }

    #[test]
    fn orders_pair_by_pair() {
        let short = Labels::from_pairs([("a", "1")]);
        let long = Labels::from_pairs([("a", "1"), ("b", "1")]);
        let later = Labels::from_pairs([("a", "10")]);
        assert!(short < long && long < later);
    }

    #[test]
    fn long_values_survive_the_surrogate_gap() {
        for len in [127, 128, 0xd7ff, 0xd800, 0xe000, 70_000] {
            let value = "v".repeat(len);
            assert_eq!(Labels::from_pairs([("a", &value)]).get("a"), Some(value.as_str()));
        }
    }

    proptest! {
        #[test]
        fn pairs_come_back(pairs in proptest::collection::btree_map("[a-z]{1,5}", "\\PC{1,40}", 0..8)) {
            let labels = Labels::from_pairs(&pairs);
            let back: Vec<_> = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(back, pairs.into_iter().collect::<Vec<_>>());
        }
    }
}
