//! `otlp` of the configuration file. Keys, defaults and wording are Prometheus'.

use std::collections::BTreeSet;

use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer};

/// How names of OpenTelemetry become names of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Strategy {
    /// Underscores for all but letters and digits; units and types at the end.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Underscores, and nothing at the end.
    UnderscoreEscapingWithoutSuffixes,
    /// As they are; units and types at the end.
    NoUTF8EscapingWithSuffixes,
    /// As they are.
    NoTranslation,
}

impl Strategy {
    /// Whether units and types stand at the end of names.
    pub(super) fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUTF8EscapingWithSuffixes)
    }

    /// Whether names keep to letters, digits and underscores.
    #[must_use]
    pub fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }
}

/// `otlp`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OtlpKeys")]
#[expect(missing_docs, reason = "named as in the file")]
pub struct OtlpConfig {
    pub translation_strategy: Strategy,
    /// All but `listed` become labels, instead of only `listed`.
    pub promote_all_resource_attributes: bool,
    /// `promote_resource_attributes`, or `ignore_resource_attributes` with `promote_all_resource_attributes`.
    pub listed: BTreeSet<String>,
    pub keep_identifying_resource_attributes: bool,
    pub convert_histograms_to_nhcb: bool,
    pub promote_scope_metadata: bool,
    pub label_name_underscore_sanitization: bool,
    pub label_name_preserve_multiple_underscores: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self::try_from(OtlpKeys::default()).expect("without keys nothing is wrong")
    }
}

/// An empty one is the default, as in Prometheus.
fn strategy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Strategy>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?.filter(|name| !name.is_empty());
    name.map(|name| Strategy::deserialize(name.into_deserializer())).transpose()
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OtlpKeys {
    #[serde(deserialize_with = "strategy")]
    translation_strategy: Option<Strategy>,
    promote_all_resource_attributes: Option<bool>,
    promote_resource_attributes: Option<Vec<String>>,
    ignore_resource_attributes: Option<Vec<String>>,
    keep_identifying_resource_attributes: Option<bool>,
    convert_histograms_to_nhcb: Option<bool>,
    promote_scope_metadata: Option<bool>,
    label_name_underscore_sanitization: Option<bool>,
    label_name_preserve_multiple_underscores: Option<bool>,
}

impl TryFrom<OtlpKeys> for OtlpConfig {
    type Error = String;

    fn try_from(keys: OtlpKeys) -> Result<Self, String> {
        let all = keys.promote_all_resource_attributes.unwrap_or(false);
        let promoted = keys.promote_resource_attributes.unwrap_or_default();
        let ignored = keys.ignore_resource_attributes.unwrap_or_default();
        if all && !promoted.is_empty() {
            return Err(
                "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously"
                    .to_owned(),
            );
        }
        if !all && !ignored.is_empty() {
            return Err(
                "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true"
                    .to_owned(),
            );
        }
        let listed = match all {
            true => names(&ignored, "ignored")
                .map_err(|why| format!("invalid 'ignore_resource_attributes': {why}"))?,
            false => names(&promoted, "promoted")
                .map_err(|why| format!("invalid 'promote_resource_attributes': {why}"))?,
        };
        Ok(Self {
            translation_strategy: keys.translation_strategy.unwrap_or_default(),
            promote_all_resource_attributes: all,
            listed,
            keep_identifying_resource_attributes: keys.keep_identifying_resource_attributes.unwrap_or(false),
            convert_histograms_to_nhcb: keys.convert_histograms_to_nhcb.unwrap_or(false),
            promote_scope_metadata: keys.promote_scope_metadata.unwrap_or(false),
            label_name_underscore_sanitization: keys.label_name_underscore_sanitization.unwrap_or(true),
            label_name_preserve_multiple_underscores: keys
                .label_name_preserve_multiple_underscores
                .unwrap_or(true),
        })
    }
}

fn names(attributes: &[String], adjective: &str) -> Result<BTreeSet<String>, String> {
    let mut seen = BTreeSet::new();
    for attribute in attributes {
        let attribute = attribute.trim();
        if attribute.is_empty() {
            return Err(format!("empty {adjective} OTel resource attribute"));
        }
        if !seen.insert(attribute.to_owned()) {
            return Err(format!("duplicated {adjective} OTel resource attribute {attribute:?}"));
        }
    }
    Ok(seen)
}
