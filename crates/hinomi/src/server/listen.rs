//! Listening sockets: bound before anything else, so that a taken port is known at once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use net::WebConfig;
use stdx::metrics::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::flags::Values;

/// Reads `--web.config.file`, if it is given.
pub(crate) fn door(flags: &Values) -> Result<Option<Arc<WebConfig>>> {
    let path = flags.text("web.config.file");
    if path.is_empty() {
        return Ok(None);
    }
    let web = WebConfig::open(Path::new(path)).context("--web.config.file")?;
    web.summary().warnings.iter().for_each(|warning| tracing::warn!("{path}: {warning}"));
    Ok(Some(Arc::new(web)))
}

/// A bound socket.
pub(crate) struct Listener {
    socket: TcpListener,
    pub(crate) addr: SocketAddr,
}

/// Binds every address. `:9090` is every interface.
pub(crate) async fn bind(addresses: &[String]) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let full = if address.starts_with(':') { format!("[::]{address}") } else { address.clone() };
        let socket = TcpListener::bind(&full).await.map_err(|err| explain(address, &err))?;
        let addr = socket.local_addr()?;
        listeners.push(Listener { socket, addr });
    }
    Ok(listeners)
}

fn explain(address: &str, err: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    match err.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is in use by another program; stop that, or choose another address with --web.listen-address"
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("not allowed to listen on {address}; choose a port above 1023 with --web.listen-address")
        }
        ErrorKind::InvalidInput => anyhow!("--web.listen-address: {address:?} is not of the form host:port"),
        _ => anyhow!("cannot listen on {address} (--web.listen-address): {err}"),
    }
}

/// Serves on every socket until `stop`.
pub(crate) fn serve(
    listeners: Vec<Listener>,
    flags: &Values,
    web: Option<Arc<WebConfig>>,
    router: axum::Router,
    registry: &Registry,
    stop: &CancellationToken,
) -> Result<JoinHandle<()>> {
    let options = net::server::ServerOptions {
        connections_max: usize::try_from(flags.count("web.max-connections")?)?,
        read_timeout: flags.positive_duration("web.read-timeout")?,
        drain_timeout: std::time::Duration::from_secs(2),
        web,
        ..net::server::ServerOptions::default()
    };
    let metrics = net::server::ServerMetrics::new(registry);
    let mut tasks = tokio::task::JoinSet::new();
    for listener in listeners {
        tasks.spawn(net::server::serve(
            listener.socket,
            router.clone(),
            options.clone(),
            metrics.clone(),
            stop.clone(),
        ));
    }
    Ok(tokio::spawn(async move { while tasks.join_next().await.is_some() {} }))
}
