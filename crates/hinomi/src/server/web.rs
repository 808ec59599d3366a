//! How a server presents itself: its address from outside, its name, its build.

use anyhow::{Context as _, Result, anyhow};

use super::listen::Listener;
use crate::flags::Values;

/// What the binary knows of itself.
pub(crate) fn build_info() -> api::BuildInfo {
    api::BuildInfo {
        version: crate::build::VERSION,
        revision: crate::build::REVISION,
        branch: crate::build::BRANCH,
        build_user: "",
        build_date: crate::build::DATE,
        compiler: crate::build::COMPILER,
    }
}

/// `--web.external-url`, or `http://<host>:<port>/` as Prometheus makes it up, with `https` when that is spoken.
pub(crate) fn external_url(flags: &Values, first: &Listener, is_https: bool) -> Result<url::Url> {
    let text = flags.text("web.external-url");
    if text.is_empty() {
        let host = if first.addr.ip().is_loopback() { first.addr.ip().to_string() } else { hostname() };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let scheme = if is_https { "https" } else { "http" };
        return Ok(url::Url::parse(&format!("{scheme}://{host}:{}/", first.addr.port()))?);
    }
    let url = url::Url::parse(text).with_context(|| format!("--web.external-url: {text:?} is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(anyhow!("--web.external-url: {text:?} must begin with http:// or https://"));
    }
    Ok(url)
}

/// This host's name.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// `--web.route-prefix`, or the path of the address from outside; begins with a slash.
pub(crate) fn route_prefix(flags: &Values, external_url: &url::Url) -> String {
    let prefix = match flags.text("web.route-prefix") {
        "" => external_url.path(),
        prefix => prefix,
    };
    format!("/{}", prefix.trim_matches('/'))
}
