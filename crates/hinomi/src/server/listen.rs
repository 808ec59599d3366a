//! Listening sockets: bound before anything else, so that a taken port is known at once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use net::WebConfig;
use stdx::metrics::Registry;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::flags::Values;

const GRPC_FLAG: &str = "web.otlp-grpc.listen-address";
const UDP_FLAG: &str = "web.influx-udp.listen-address";

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

/// Sockets besides those of `--web.listen-address`, where they are asked for.
pub(crate) struct Others {
    grpc: Option<Listener>,
    influx_udp: Option<UdpSocket>,
}

impl Others {
    /// Binds them.
    pub(crate) async fn bind(flags: &Values) -> Result<Self> {
        let needs = |flag: &str, switch: &str| match flags.text(flag) {
            "" => Ok(None),
            _ if !flags.is_on(switch) => Err(anyhow!("--{flag} needs --{switch}")),
            address => Ok(Some(address.to_owned())),
        };
        let grpc = match needs(GRPC_FLAG, "web.enable-otlp-receiver")? {
            Some(address) => bind(GRPC_FLAG, &[address]).await?.pop(),
            None => None,
        };
        let influx_udp = match needs(UDP_FLAG, "web.enable-influx-receiver")? {
            Some(address) => {
                let bound = UdpSocket::bind(&full(&address)).await;
                Some(bound.map_err(|err| explain(UDP_FLAG, &address, &err))?)
            }
            None => None,
        };
        Ok(Self { grpc, influx_udp })
    }

    /// Takes line protocol by UDP from now on, if that is asked for.
    pub(crate) fn receive(
        &mut self,
        receiver: Option<&Arc<api::InfluxReceiver>>,
        registry: &Registry,
        stop: &CancellationToken,
    ) {
        if let (Some(socket), Some(receiver)) = (self.influx_udp.take(), receiver) {
            tokio::spawn(api::serve_influx_udp(socket, receiver.clone(), registry.clone(), stop.clone()));
        }
    }
}

/// An address as it is bound: `:9090` is every interface.
pub(crate) fn full(address: &str) -> String {
    if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() }
}

/// Binds every address, which `flag` gives. `:9090` is every interface.
pub(crate) async fn bind(flag: &str, addresses: &[String]) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let socket = TcpListener::bind(&full(address)).await.map_err(|err| explain(flag, address, &err))?;
        let addr = socket.local_addr()?;
        listeners.push(Listener { socket, addr });
    }
    Ok(listeners)
}

pub(crate) fn explain(flag: &str, address: &str, err: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    match err.kind() {
        ErrorKind::AddrInUse => anyhow!(
            "{address} is in use by another program; stop that, or choose another address with --{flag}"
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("not allowed to listen on {address}; choose a port above 1023 with --{flag}")
        }
        ErrorKind::InvalidInput => anyhow!("--{flag}: {address:?} is not of the form host:port"),
        _ => anyhow!("cannot listen on {address} (--{flag}): {err}"),
    }
}

/// Serves on every socket until `stop`.
pub(crate) fn serve(
    listeners: Vec<Listener>,
    others: &mut Others,
    flags: &Values,
    web: Option<Arc<WebConfig>>,
    shell: &Arc<api::Shell>,
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
    tasks.spawn(serve_all(
        listeners,
        api::router(shell.clone()),
        options.clone(),
        metrics.clone(),
        stop.clone(),
    ));
    if let Some(Listener { socket, .. }) = others.grpc.take() {
        let options = net::server::ServerOptions { http2_only: true, compress: false, ..options };
        tasks.spawn(net::server::serve(
            socket,
            api::grpc_router(shell.clone()),
            options,
            metrics,
            stop.clone(),
        ));
    }
    Ok(tokio::spawn(async move { while tasks.join_next().await.is_some() {} }))
}

/// Serves `router` on every socket until `stop`.
pub(crate) fn serve_router(
    listeners: Vec<Listener>,
    router: axum::Router,
    options: net::server::ServerOptions,
    registry: &Registry,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let metrics = net::server::ServerMetrics::new(registry);
    tokio::spawn(serve_all(listeners, router, options, metrics, stop.clone()))
}

async fn serve_all(
    listeners: Vec<Listener>,
    router: axum::Router,
    options: net::server::ServerOptions,
    metrics: net::server::ServerMetrics,
    stop: CancellationToken,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for Listener { socket, .. } in listeners {
        let (router, options) = (router.clone(), options.clone());
        tasks.spawn(net::server::serve(socket, router, options, metrics.clone(), stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
}
