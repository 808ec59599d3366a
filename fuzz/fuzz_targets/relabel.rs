//! Relabelling rules as YAML, applied to a set of labels: never a panic, and a kept set has no empty value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Labels;
use model::relabel::{RelabelConfig, process};

fuzz_target!(|text: &str| {
    let Ok(rules) = model::yaml::parse::<Vec<RelabelConfig>>("fuzz.yml", text) else { return };
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "a"), ("instance", "b:80")]);
    if let Some(kept) = process(&labels, &rules) {
        assert!(kept.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
    }
});
