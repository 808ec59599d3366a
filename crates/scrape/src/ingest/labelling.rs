//! From a sample's own labels to those of the stored series: the target's labels, relabelling, names, limits.
//!
//! In from [`crate::ingest::rows`] and [`crate::ingest::plain`], once per series; out a label set, nothing, or why the page is refused. Pure.
//! Semantics of Prometheus 3.14's scrape loop.

use model::labels::{is_legacy_label_name, is_legacy_metric_name};
use model::relabel;
use model::{Labels, LabelsBuilder};
use wire::exposition::SampleEntry;

use crate::config::{ScrapeLimits, ValidationScheme};
use crate::ingest::{IngestError, IngestOptions};

/// How much of a metric's name stands in an error, in characters. From Prometheus.
const SHOWN_CHARS_MAX: usize = 50;

/// The stored labels of a sample; `None` when relabelling drops it.
///
/// # Errors
/// When the whole page has to be refused.
pub(crate) fn resolve(
    sample: &SampleEntry<'_>,
    builder: &mut LabelsBuilder,
    options: &IngestOptions<'_>,
) -> Result<Option<Labels>, IngestError> {
    sample.fill_labels(builder)?;
    resolve_conflicts(builder, sample.raw, options.target_labels, options.honor_labels);
    if !relabel::process_builder(builder, options.metric_relabel_configs) {
        return Ok(None);
    }
    let labels = builder.build();
    check_names(&labels, options.name_validation)?;
    check_limits(&labels, &options.limits)?;
    Ok(Some(labels))
}

/// Puts the target's labels beside the series' own. Where both have a name, either the series' own stays
/// (`honor_labels`), or it moves to `exported_<name>`.
fn resolve_conflicts(builder: &mut LabelsBuilder, raw: &str, target_labels: &Labels, honor_labels: bool) {
    if honor_labels {
        for (name, value) in target_labels {
            if builder.get(name).is_none() && !says_empty(raw, name) {
                builder.set(name, value);
            }
        }
        return;
    }
    let mut moved: Vec<(&str, String)> = Vec::new();
    for (name, value) in target_labels {
        if let Some(own) = builder.get(name) {
            moved.push((name, own.to_owned()));
        }
        builder.set(name, value);
    }
    // Shortest names first, so that one that was moved does not take the place of another.
    moved.sort_by_key(|(name, _)| name.len());
    for (name, own) in moved {
        let mut free = format!("exported_{name}");
        while builder.get(&free).is_some() {
            free.insert_str(0, "exported_");
        }
        builder.set(&free, &own);
    }
}

/// Whether the page itself says `name=""`: a federated series thereby keeps our label off.
fn says_empty(raw: &str, name: &str) -> bool {
    let said = format!("{name}=\"\"");
    // Within a value its quotes would have backslashes before them.
    raw.match_indices(&said).any(|(at, _)| raw[..at].ends_with(['{', ',', ' ', '\t']))
}

pub(crate) fn no_name() -> IngestError {
    IngestError::InvalidLabels(
        "label set without a metric name: missing metric name (__name__ label)".to_owned(),
    )
}

fn check_names(labels: &Labels, validation: ValidationScheme) -> Result<(), IngestError> {
    let metric = labels.metric_name();
    if metric.is_empty() {
        return Err(no_name());
    }
    if validation == ValidationScheme::Utf8 {
        return Ok(());
    }
    let is_valid = is_legacy_metric_name(metric) && labels.iter().all(|(name, _)| is_legacy_label_name(name));
    if is_valid {
        return Ok(());
    }
    Err(IngestError::InvalidLabels(format!(
        "invalid metric name or label names: {labels} (setting: metric_name_validation_scheme)"
    )))
}

fn check_limits(labels: &Labels, limits: &ScrapeLimits) -> Result<(), IngestError> {
    let shown = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
    let metric = || shown(labels.metric_name());
    let fail = |text: String| Err(IngestError::LabelLimit(text));
    let n_labels = labels.len() as u64;
    if limits.labels_max > 0 && n_labels > limits.labels_max {
        return fail(format!(
            "label_limit exceeded (metric: {}, number of labels: {n_labels}, limit: {})",
            metric(),
            limits.labels_max
        ));
    }
    if limits.label_name_bytes_max == 0 && limits.label_value_bytes_max == 0 {
        return Ok(());
    }
    for (name, value) in labels {
        let (name_bytes, value_bytes) = (name.len() as u64, value.len() as u64);
        if limits.label_name_bytes_max > 0 && name_bytes > limits.label_name_bytes_max {
            return fail(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {}, length: {name_bytes}, limit: {})",
                metric(),
                shown(name),
                limits.label_name_bytes_max
            ));
        }
        if limits.label_value_bytes_max > 0 && value_bytes > limits.label_value_bytes_max {
            return fail(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {}, value: {:?}, length: {value_bytes}, limit: {})",
                metric(),
                shown(name),
                shown(value),
                limits.label_value_bytes_max
            ));
        }
    }
    Ok(())
}
