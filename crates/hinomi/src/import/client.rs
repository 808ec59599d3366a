//! `hinomi tsdb import … --server URL`: starts the import in a running server and shows how far it is until it ends.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Kind;
use crate::admin::{Admin, block_on};
use crate::http::Access;
use crate::say;
use crate::terminal::{bytes, duration, number};

const PATH: &str = "admin/tsdb/import";

/// Starts it and watches it.
///
/// # Errors
/// When the server cannot be asked, refuses, or the import fails.
pub(crate) fn run(server: &str, access: &Access, kind: Kind, path: &Path) -> Result<()> {
    let path = std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))?;
    block_on(watch(&Admin::new(server, access)?, kind, &path))
}

async fn watch(admin: &Admin, kind: Kind, path: &Path) -> Result<()> {
    let form = [("kind", kind.name().to_owned()), ("path", path.to_string_lossy().into_owned())];
    let started = admin.post(PATH, &form).await?;
    eprintln!("the server imports {}; Ctrl-C ends watching, not the import", path.display());
    let status = admin.watch(PATH, started, progress).await?;
    for failed in status["failed"].as_array().into_iter().flatten() {
        let text = |key: &str| failed[key].as_str().unwrap_or_default().to_owned();
        eprintln!("{}: {}", text("name"), text("error"));
    }
    match status["state"].as_str() {
        Some("done") => {
            say(&format!("{} samples imported", status["samples"]));
            Ok(())
        }
        Some("cancelled") => {
            bail!("the import was cancelled; what was done stays, and is passed over next time")
        }
        _ => bail!("{}", status["error"].as_str().unwrap_or("the import failed")),
    }
}

fn progress(status: &Value) -> String {
    let n = |key: &str| status[key].as_u64().unwrap_or(0);
    let eta = status["etaSeconds"]
        .as_i64()
        .map_or(String::new(), |secs| format!(", {} left", duration(secs * 1000)));
    format!(
        "{} of {} parts, {} of {}, {} samples{eta}",
        n("done"),
        n("items"),
        bytes(n("bytesDone")),
        bytes(n("bytes")),
        number(n("samples"))
    )
}
