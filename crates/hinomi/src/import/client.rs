//! `hinomi tsdb import … --server URL`: starts the import in a running server and shows how far it is until it ends.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use net::{HttpClient, Limits, Request};
use serde_json::Value;

use super::Kind;
use crate::http::Access;
use crate::say;
use crate::terminal::{bytes, duration, number};

/// Between two looks. Chosen: quick enough for eyes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer read: it names what failed.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Starts it and watches it.
///
/// # Errors
/// When the server cannot be asked, refuses, or the import fails.
pub(crate) fn run(server: &str, access: &Access, kind: Kind, path: &Path) -> Result<()> {
    let path = std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(server.trim_end_matches('/'), access, kind, &path))
}

async fn watch(base: &str, access: &Access, kind: Kind, path: &Path) -> Result<()> {
    let url = format!("{base}/api/v1/admin/tsdb/import");
    let client = access.client()?;
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("kind", kind.name())
        .append_pair("path", &path.to_string_lossy())
        .finish();
    let parsed = url.parse().with_context(|| format!("{base:?} is not a URL"))?;
    let mut status =
        ask(&client, base, Request::post(parsed, "application/x-www-form-urlencoded", form)).await?;
    eprintln!("the server imports {}; Ctrl-C ends watching, not the import", path.display());
    let mut shown = String::new();
    while status["state"] == "running" {
        let line = progress(&status);
        if line != shown {
            // On a terminal one line that changes; elsewhere one for each change.
            if std::io::stderr().is_terminal() {
                eprint!("\r\x1b[K{line}");
            } else {
                eprintln!("{line}");
            }
            shown = line;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        status = ask(&client, base, Request::get(url.parse()?)).await?;
    }
    if std::io::stderr().is_terminal() && !shown.is_empty() {
        eprintln!();
    }
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

async fn ask(client: &HttpClient, base: &str, request: Request) -> Result<Value> {
    let limits =
        Limits { timeout: TIMEOUT, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
    let response = client.request(request, &limits).await.with_context(|| format!("cannot ask {base}"))?;
    let body = String::from_utf8_lossy(&response.body);
    let answer: Value = serde_json::from_str(&body).unwrap_or_default();
    if response.status.is_success() {
        return Ok(answer["data"].clone());
    }
    match answer["error"].as_str() {
        Some("admin APIs disabled") => {
            bail!("the server does not allow it: start it with --web.enable-admin-api")
        }
        Some(message) => bail!("{message}"),
        None => bail!("{base} answered {}", response.status),
    }
}
