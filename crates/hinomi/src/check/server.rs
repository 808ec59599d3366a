//! `hinomi check healthy` and `ready`: whether a server answers, as a probe of a container asks.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use net::{Limits, Request};

use crate::http::Access;

/// How long the answer may take. From promtool.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer read, in bytes: it is a line. Chosen.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks `url` for `path`.
pub(super) fn check(path: &str, url: &str, access: &Access) -> Result<ExitCode> {
    let base = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let asked: url::Url = format!("{}{path}", base.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("--url: {url:?} is not a URL"))?;
    let limits =
        Limits { timeout: TIMEOUT, body_bytes_max: ANSWER_BYTES_MAX, decoded_bytes_max: ANSWER_BYTES_MAX };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = access.client()?;
    let answer = runtime.block_on(client.request(Request::get(asked), &limits))?;
    if answer.status.as_u16() != 200 {
        bail!("check failed: URL={base}, status={}", answer.status.as_u16());
    }
    eprintln!("  SUCCESS:  {}", String::from_utf8_lossy(&answer.body));
    Ok(ExitCode::SUCCESS)
}
