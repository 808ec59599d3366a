//! `hinomi.maintenance`: windows that stand in the file.
//!
//! In from the file, as part of [`super::own`]; out as checked windows with their ids, which come of their names: managers
//! with the same file mean the same windows.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::check::{Fault, texts_to_matchers};
use super::raw::At;
use crate::maintenance::{Spec, WINDOWS_MAX, Window, file_id};

/// One window.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawWindow {
    name: String,
    matchers: Option<Vec<At<String>>>,
    start: String,
    duration: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    recurrence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    except: Option<Vec<String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    time_zone: String,
    owner: String,
    reason: String,
}

/// Checks all of them.
pub(super) fn check(windows: &[At<RawWindow>]) -> Result<Vec<(String, Arc<Window>)>, Fault> {
    let mut checked: Vec<(String, Arc<Window>)> = Vec::new();
    for at in windows {
        let raw = &at.value;
        let matchers = texts_to_matchers(&raw.matchers).map_err(|fault| fault.or_at(at))?;
        let spec = Spec {
            name: raw.name.trim().to_owned(),
            matchers,
            start: raw.start.clone(),
            duration: raw.duration.clone(),
            recurrence: raw.recurrence.clone(),
            except: raw.except.clone().unwrap_or_default(),
            time_zone: raw.time_zone.clone(),
            owner: raw.owner.clone(),
            reason: raw.reason.clone(),
        };
        let id = file_id(&spec.name);
        let window = Window::new(spec).map_err(|err| {
            let name = if raw.name.is_empty() { String::new() } else { format!(" {:?}", raw.name) };
            Fault::at(at, format!("maintenance window{name}: {err}"))
        })?;
        if checked.iter().any(|(known, _)| *known == id) {
            return Err(Fault::at(at, format!("maintenance window {:?} is there twice", raw.name)));
        }
        if checked.len() >= WINDOWS_MAX {
            return Err(Fault::at(at, format!("more than {WINDOWS_MAX} maintenance windows")));
        }
        checked.push((id, Arc::new(window)));
    }
    Ok(checked)
}
