//! Labels of a point: its own attributes, and what its resource and scope add.

use model::labels::{LabelsBuilder, METRIC_NAME};
use wire::otlp::{KeyValue, Resource, ScopeMetrics};

use super::config::OtlpConfig;
use super::names;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE_ID: &str = "service.instance.id";
/// These become `job` and `instance`.
const IDENTIFYING: [&str; 3] = [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE_ID];

/// What every point of a resource bears.
#[derive(Debug, Default)]
pub(super) struct ResourceLabels {
    job: String,
    instance: String,
    promoted: LabelsBuilder,
}

fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == key).map(|attribute| attribute.value.to_text())
}

impl ResourceLabels {
    /// From the resource's attributes; those that cannot be names are an error.
    pub(super) fn new(config: &OtlpConfig, resource: &Resource) -> Result<Self, String> {
        let attributes = &resource.attributes;
        let name = text_of(attributes, SERVICE_NAME);
        let job = match (name, text_of(attributes, SERVICE_NAMESPACE)) {
            (Some(name), Some(namespace)) => format!("{namespace}/{name}"),
            (name, _) => name.unwrap_or_default(),
        };
        let mut promoted = LabelsBuilder::new();
        for attribute in attributes {
            if config.listed.contains(&attribute.key) != config.promote_all_resource_attributes {
                promoted.set(&names::label(config, &attribute.key)?, &attribute.value.to_text());
            }
        }
        Ok(Self { job, instance: text_of(attributes, SERVICE_INSTANCE_ID).unwrap_or_default(), promoted })
    }
}

/// What every point of a scope bears.
pub(super) fn of_scope(config: &OtlpConfig, scope: &ScopeMetrics) -> Result<LabelsBuilder, String> {
    let mut labels = LabelsBuilder::new();
    if !config.promote_scope_metadata || scope.scope.name.is_empty() {
        return Ok(labels);
    }
    for attribute in &scope.scope.attributes {
        let name = names::label(config, &format!("otel_scope_{}", attribute.key))?;
        labels.set(&name, &attribute.value.to_text());
    }
    labels.set("otel_scope_name", &scope.scope.name);
    labels.set("otel_scope_version", &scope.scope.version);
    labels.set("otel_scope_schema_url", &scope.schema_url);
    Ok(labels)
}

/// Attributes as labels; names that become the same have their values joined, in the order of the names. Returns how many were.
fn of_attributes<'a>(
    config: &OtlpConfig,
    attributes: impl Iterator<Item = &'a KeyValue>,
) -> Result<(LabelsBuilder, u64), String> {
    let mut attributes: Vec<&KeyValue> =
        attributes.filter(|attribute| attribute.key != METRIC_NAME).collect();
    attributes.sort_by(|a, b| a.key.cmp(&b.key));
    let (mut labels, mut n_joined) = (LabelsBuilder::new(), 0);
    for attribute in attributes {
        let name = names::label(config, &attribute.key)?;
        let value = attribute.value.to_text();
        match labels.get(&name).filter(|_| config.translation_strategy.escapes()) {
            Some(before) => {
                let joined = format!("{before};{value}");
                labels.set(&name, &joined);
                n_joined += 1;
            }
            None => {
                labels.set(&name, &value);
            }
        }
    }
    Ok((labels, n_joined))
}

/// The labels of a point but its name, and how many attributes had to share one.
pub(super) fn of_point(
    config: &OtlpConfig,
    resource: &ResourceLabels,
    scope: &LabelsBuilder,
    attributes: &[KeyValue],
) -> Result<(LabelsBuilder, u64), String> {
    let (mut labels, n_joined) = of_attributes(config, attributes.iter())?;
    for (name, value) in resource.promoted.iter() {
        if labels.get(name).is_none() {
            labels.set(name, value);
        }
    }
    put_identity(&mut labels, resource);
    for (name, value) in scope.iter() {
        labels.set(name, value);
    }
    Ok((labels, n_joined))
}

fn put_identity(labels: &mut LabelsBuilder, resource: &ResourceLabels) {
    for (name, value) in [("job", &resource.job), ("instance", &resource.instance)] {
        if !value.is_empty() {
            labels.set(name, value);
        }
    }
}

/// The labels of `target_info` but its name; `None` when it would say nothing, or nothing could be joined with it.
pub(super) fn of_target(
    config: &OtlpConfig,
    resource: &ResourceLabels,
    attributes: &[KeyValue],
) -> Result<Option<(LabelsBuilder, u64)>, String> {
    let is_identifying = |attribute: &KeyValue| IDENTIFYING.contains(&attribute.key.as_str());
    if attributes.iter().all(is_identifying) {
        return Ok(None);
    }
    let keeps = config.keep_identifying_resource_attributes;
    let told = attributes.iter().filter(|attribute| keeps || !is_identifying(attribute));
    let (mut labels, n_joined) = of_attributes(config, told)?;
    put_identity(&mut labels, resource);
    let has_identity = labels.get("job").is_some() || labels.get("instance").is_some();
    Ok(has_identity.then_some((labels, n_joined)))
}
