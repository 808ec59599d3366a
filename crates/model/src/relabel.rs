//! Relabelling: rules that rewrite, keep or drop label sets.
//!
//! In from `relabel_configs`, `metric_relabel_configs`, `alert_relabel_configs`; semantics, defaults and error texts of
//! Prometheus' `model/relabel`. A rule is checked while it is deserialised, so that the error carries line and column.
//! One difference: when `labelmap` maps two labels to one name, the one with the greater name wins; in Prometheus it
//! depends on which rule set them.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use crate::labels::{Labels, LabelsBuilder, is_legacy_label_name, quoted};
use crate::regex::{Regex, RegexError};
use crate::yaml::null_as_empty;

/// Between the values of several source labels, unless a rule says otherwise.
pub const DEFAULT_SEPARATOR: &str = ";";
/// The expression of a rule that names none.
pub const DEFAULT_REGEX: &str = "(.*)";
/// The replacement of a rule that names none: all of what the first group matched.
pub const DEFAULT_REPLACEMENT: &str = "$1";

/// A rule that would make a name or value longer than this sets nothing. Chosen: what `wire` lets in, and under what
/// [`Labels`] can hold.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Shared by all rules that name no expression, so that they cost no memory.
static ANYTHING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(DEFAULT_REGEX).expect("a constant, compiled by every test"));

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Action {
    /// Sets the target label to the expanded replacement when the expression matches.
    #[default]
    Replace,
    /// Drops the set unless the expression matches.
    Keep,
    /// Drops the set when the expression matches.
    Drop,
    /// Drops the set unless the joined sources equal the target label's value.
    KeepEqual,
    /// Drops the set when the joined sources equal the target label's value.
    DropEqual,
    /// Sets the target label to the MD5 of the joined sources, modulo `modulus`.
    HashMod,
    /// Copies labels whose name matches to the expanded replacement's name.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets the target label to the joined sources in lower case.
    Lowercase,
    /// Sets the target label to the joined sources in upper case.
    Uppercase,
}

impl Action {
    /// Every action, with its name in configuration files.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Replace, "replace"),
        (Self::Keep, "keep"),
        (Self::Drop, "drop"),
        (Self::KeepEqual, "keepequal"),
        (Self::DropEqual, "dropequal"),
        (Self::HashMod, "hashmod"),
        (Self::LabelMap, "labelmap"),
        (Self::LabelDrop, "labeldrop"),
        (Self::LabelKeep, "labelkeep"),
        (Self::Lowercase, "lowercase"),
        (Self::Uppercase, "uppercase"),
    ];

    /// The name in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(action, _)| *action == self).map_or("replace", |(_, name)| name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a rule was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RelabelError {
    /// No such action.
    #[error("unknown relabel action {}", quoted(.0))]
    UnknownAction(String),
    /// `hashmod` without a modulus.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    Modulus,
    /// The action writes to, or compares with, a label that was not named.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(Action),
    /// The action takes no replacement.
    #[error("'replacement' can not be set for {0} action")]
    Replacement(Action),
    /// `labelmap` would make labels without a name.
    #[error("{} is invalid 'replacement' for {action} action", quoted(.replacement))]
    LabelMapReplacement {
        /// As it was written.
        replacement: String,
        /// `labelmap`.
        action: Action,
    },
    /// The label that is written is not of the alphabet that was asked for.
    #[error("{} is invalid 'target_label' for {action} action", quoted(.target))]
    TargetName {
        /// As it was written.
        target: String,
        /// What writes it.
        action: Action,
    },
    /// `keepequal` and `dropequal` take sources and a target alone.
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(Action),
    /// `labeldrop` and `labelkeep` take an expression alone.
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(Action),
    /// A source label without a name.
    #[error("{} is not a valid label name", quoted(.0))]
    SourceName(String),
    /// The expression is none.
    #[error(transparent)]
    Regex(#[from] RegexError),
}

/// One rule. `Deserialize` checks it; rules built in code are checked by [`RelabelConfig::validate`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct RelabelConfig {
    /// The labels whose values are joined.
    pub source_labels: Vec<String>,
    /// What stands between them.
    pub separator: String,
    /// What the joined value, or each label's name, is compared with.
    pub regex: Regex,
    /// The divisor of `hashmod`; 0 means none.
    pub modulus: u64,
    /// The label that is written; may hold `$1` for `replace`.
    pub target_label: String,
    /// What is written; may hold `$1`.
    pub replacement: String,
    /// What the rule does.
    pub action: Action,
}

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: ANYTHING.clone(),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: Action::Replace,
        }
    }
}

impl RelabelConfig {
    /// Whether the settings fit the action.
    ///
    /// # Errors
    /// In Prometheus' words.
    pub fn validate(&self) -> Result<(), RelabelError> {
        use Action::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase,
        };
        let action = self.action;
        if let Some(name) = self.source_labels.iter().find(|name| name.is_empty()) {
            return Err(RelabelError::SourceName(name.clone()));
        }
        if action == HashMod && self.modulus == 0 {
            return Err(RelabelError::Modulus);
        }
        let needs_target =
            matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if needs_target && self.target_label.is_empty() {
            return Err(RelabelError::NoTarget(action));
        }
        let default_replacement = self.replacement == DEFAULT_REPLACEMENT;
        if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && !default_replacement {
            return Err(RelabelError::Replacement(action));
        }
        if action == LabelMap && self.replacement.is_empty() {
            return Err(RelabelError::LabelMapReplacement { replacement: self.replacement.clone(), action });
        }
        let default_rest = self.modulus == 0 && self.separator == DEFAULT_SEPARATOR && default_replacement;
        let default_regex = self.regex.pattern() == DEFAULT_REGEX;
        if matches!(action, DropEqual | KeepEqual) && !(default_rest && default_regex) {
            return Err(RelabelError::OnlySourceAndTarget(action));
        }
        let no_labels = self.source_labels.is_empty() && self.target_label.is_empty();
        if matches!(action, LabelDrop | LabelKeep) && !(default_rest && no_labels) {
            return Err(RelabelError::OnlyRegex(action));
        }
        Ok(())
    }

    /// Whether the labels it writes are of the classic alphabet: what `metric_name_validation_scheme: legacy` asks for.
    ///
    /// # Errors
    /// In Prometheus' words.
    pub fn validate_legacy(&self) -> Result<(), RelabelError> {
        use Action::{DropEqual, HashMod, KeepEqual, LabelMap, Lowercase, Replace, Uppercase};
        let action = self.action;
        let is_good = match action {
            Replace if self.target_label.contains('$') => is_legacy_template(&self.target_label),
            Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual => {
                is_legacy_label_name(&self.target_label)
            }
            LabelMap if !is_legacy_template(&self.replacement) => {
                let replacement = self.replacement.clone();
                return Err(RelabelError::LabelMapReplacement { replacement, action });
            }
            _ => true,
        };
        let target = || self.target_label.clone();
        if is_good { Ok(()) } else { Err(RelabelError::TargetName { target: target(), action }) }
    }
}

/// Whether `text` makes names of the classic alphabet: letters, digits and underscores, `$1` and `${1}` between them, no digit first.
fn is_legacy_template(text: &str) -> bool {
    let words =
        |text: &str| text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let mut rest = text;
    while !rest.is_empty() {
        let is_first = rest.len() == text.len();
        let n_bytes = match rest.strip_prefix('$') {
            Some(after) => match after.strip_prefix('{') {
                Some(inner) if words(inner) > 0 && inner[words(inner)..].starts_with('}') => words(inner) + 3,
                None if words(after) > 0 => words(after) + 1,
                _ => return false,
            },
            None if is_first && rest.starts_with(|c: char| c.is_ascii_digit()) => return false,
            None => words(rest),
        };
        if n_bytes == 0 {
            return false;
        }
        rest = &rest[n_bytes..];
    }
    !text.is_empty()
}

/// A rule as it is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename = "relabel_config")]
struct Raw {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    separator: Option<String>,
    /// Named but null means the empty expression, as in Prometheus.
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modulus: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replacement: Option<String>,
    #[serde(default, deserialize_with = "null_as_empty", skip_serializing_if = "Option::is_none")]
    action: Option<String>,
}

impl TryFrom<Raw> for RelabelConfig {
    type Error = RelabelError;

    fn try_from(raw: Raw) -> Result<Self, RelabelError> {
        let action = match raw.action {
            None => Action::Replace,
            Some(name) => {
                let lower = name.to_ascii_lowercase();
                let known = Action::ALL.iter().find(|(_, known)| *known == lower);
                known.map(|(action, _)| *action).ok_or(RelabelError::UnknownAction(name))?
            }
        };
        let regex = match raw.regex {
            None => ANYTHING.clone(),
            Some(pattern) if pattern == DEFAULT_REGEX => ANYTHING.clone(),
            Some(pattern) => Regex::new(&pattern)?,
        };
        let config = Self {
            source_labels: raw.source_labels,
            separator: raw.separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned()),
            regex,
            modulus: raw.modulus.unwrap_or(0),
            target_label: raw.target_label.unwrap_or_default(),
            replacement: raw.replacement.unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
            action,
        };
        config.validate()?;
        Ok(config)
    }
}

/// Defaults are written out but for the expression and what the action cannot have, as Prometheus shows its
/// configuration.
impl From<RelabelConfig> for Raw {
    fn from(config: RelabelConfig) -> Self {
        let pattern = config.regex.pattern();
        Self {
            source_labels: config.source_labels,
            separator: Some(config.separator),
            regex: (pattern != DEFAULT_REGEX).then(|| pattern.to_owned()),
            modulus: (config.modulus != 0).then_some(config.modulus),
            target_label: (!config.target_label.is_empty()).then_some(config.target_label),
            replacement: Some(config.replacement),
            action: Some(config.action.to_string()),
        }
    }
}

/// Applies `rules` in order; `None` when one of them drops the set.
#[must_use]
pub fn process(labels: &Labels, rules: &[RelabelConfig]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = labels.to_builder();
    process_builder(&mut builder, rules).then(|| builder.build())
}

/// As [`process`], in place; `false` when one of the rules drops the set.
#[must_use]
pub fn process_builder(builder: &mut LabelsBuilder, rules: &[RelabelConfig]) -> bool {
    rules.iter().all(|rule| apply(builder, rule))
}

/// Applies one rule; `false` when it drops the set.
fn apply(builder: &mut LabelsBuilder, rule: &RelabelConfig) -> bool {
    let value = joined(builder, rule);
    match rule.action {
        Action::Drop => return !rule.regex.is_match(&value),
        Action::Keep => return rule.regex.is_match(&value),
        Action::DropEqual => return builder.get(&rule.target_label).unwrap_or("") != value,
        Action::KeepEqual => return builder.get(&rule.target_label).unwrap_or("") == value,
        Action::Replace => {
            if let Some((target, value)) = replacement(rule, &value) {
                set(builder, &target, &value);
            }
        }
        Action::Lowercase => {
            let value: String = value.chars().map(simple_lowercase).collect();
            set(builder, &rule.target_label, &value);
        }
        Action::Uppercase => {
            let value: String = value.chars().map(simple_uppercase).collect();
            set(builder, &rule.target_label, &value);
        }
        Action::HashMod => {
            let value = hash_mod(value.as_bytes(), rule.modulus).to_string();
            set(builder, &rule.target_label, &value);
        }
        Action::LabelMap => {
            let mapped: Vec<_> = builder
                .iter()
                .filter_map(|(name, value)| {
                    Some((rule.regex.expand(name, &rule.replacement)?, value.to_owned()))
                })
                .collect();
            for (name, value) in mapped.iter().filter(|(name, _)| !name.is_empty()) {
                set(builder, name, value);
            }
        }
        Action::LabelDrop => {
            builder.retain(|name, _| !rule.regex.is_match(name));
        }
        Action::LabelKeep => {
            builder.retain(|name, _| rule.regex.is_match(name));
        }
    }
    true
}

/// Sets a label within [`VALUE_BYTES_MAX`].
fn set(builder: &mut LabelsBuilder, name: &str, value: &str) {
    if name.len() <= VALUE_BYTES_MAX && value.len() <= VALUE_BYTES_MAX {
        builder.set(name, value);
    }
}

/// The values of the source labels with the separator between them.
fn joined(builder: &LabelsBuilder, rule: &RelabelConfig) -> String {
    let mut joined = String::new();
    for (i, name) in rule.source_labels.iter().enumerate() {
        if i > 0 {
            joined.push_str(&rule.separator);
        }
        joined.push_str(builder.get(name).unwrap_or(""));
    }
    joined
}

/// The label and value that a `replace` rule sets, if it does; an empty value removes the label.
fn replacement<'a>(rule: &'a RelabelConfig, value: &str) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    let expand = |template: &'a str| {
        // Fast path: without a variable, and with an expression that matches, a template stands for itself.
        if template.contains('$') {
            rule.regex.expand(value, template).map(Cow::Owned)
        } else {
            rule.regex.is_match(value).then_some(Cow::Borrowed(template))
        }
    };
    let target = expand(&rule.target_label)?;
    // A label needs a name; any other text is one, since names are UTF-8.
    if target.is_empty() {
        return None;
    }
    Some((target, expand(&rule.replacement)?))
}

/// The last eight bytes of the MD5, big endian, modulo `modulus`, which is not 0.
fn hash_mod(value: &[u8], modulus: u64) -> u64 {
    let digest: [u8; 16] = Md5::digest(value).into();
    let (_, last) = digest.split_last_chunk::<8>().expect("an MD5 has 16 bytes");
    u64::from_be_bytes(*last).checked_rem(modulus).unwrap_or(0)
}

/// One character to one, as Go maps case; where Unicode's full mapping gives several, its simple mapping.
fn simple_lowercase(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(lower), None) => lower,
        // The only character with several in lower case: İ.
        _ => 'i',
    }
}

fn simple_uppercase(c: char) -> char {
    let mut mapped = c.to_uppercase();
    if let (Some(upper), None) = (mapped.next(), mapped.next()) {
        return upper;
    }
    // Greek letters with iota below have a capital of their own; all others (ß, ŉ, ligatures) stay.
    let shift = match c {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => 0,
    };
    char::from_u32(c as u32 + shift).unwrap_or(c)
}

#[cfg(test)]
mod tests;
