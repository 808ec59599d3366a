//! `/api/v2/explain`: ours. What would become of an alert with these labels.

use model::Labels;

use super::params::Params;
use super::{LABELS_MAX, Reply, TEXT_BYTES_MAX};
use crate::handle::Handle;

/// `label=name=value`, repeatable.
fn labels(query: &str) -> Result<Labels, Reply> {
    let params = Params::new(query);
    let mut pairs = Vec::new();
    for text in params.all("label") {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let Some((name, value)) = pair else {
            return Err(Reply::error(400, format!("label: {text:?} is not of the form name=value")));
        };
        if value.len() > TEXT_BYTES_MAX || pairs.len() >= LABELS_MAX {
            return Err(Reply::error(400, "label: too many or too long"));
        }
        pairs.push((name, value));
    }
    Ok(Labels::from_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty())))
}

pub(super) fn get(handle: &Handle, query: &str) -> Reply {
    match labels(query) {
        Ok(labels) => Reply::json(&handle.shared.look(|core, now_ms| core.explain(&labels, true, now_ms))),
        Err(reply) => reply,
    }
}
