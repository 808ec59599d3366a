//! Replicas: two or more managers that share what was silenced, told and promised, and speak in turn.
//!
//! In from the flags ([`ClusterOptions`]) and from other managers' HTTP requests; out to them, to the dispatcher (whose
//! turn it is, records to merge) and to `/api/v2/status`. [`mesh`] is the sync core; [`shell`] awaits; [`seal`] keeps
//! strangers out. The wire is our own: docs/adr/0006-replicas-of-managers.md.

mod member;
mod mesh;
mod message;
mod metrics;
mod seal;
mod shared;
mod shell;
#[cfg(test)]
mod sim;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use net::{HttpClient, HttpClientConfig, Secret, TlsConfig, WebConfig};
use stdx::Clock;
use tokio::net::TcpListener;

use mesh::MeshOptions;
use message::{Identity, NAME_BYTES_MAX, PEERS_MAX};
pub(crate) use shell::Cluster;

use crate::dispatch::Core;

/// Why managers cannot be brought together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// Anybody who reaches the port could silence alerts.
    #[error(
        "--cluster.listen-address: {0} can be reached from other hosts, so that a key is needed: write a secret into a file \
         (head -c 32 /dev/urandom | base64) and name it with --cluster.key-file on every manager"
    )]
    NoKey(SocketAddr),
    /// A key that can be guessed.
    #[error("--cluster.key-file: the key has {0} bytes, at least {KEY_BYTES_MIN} are needed")]
    ShortKey(usize),
    /// A flag cannot be used.
    #[error("--cluster.{flag}: {reason}")]
    Flag {
        /// Without `--cluster.`.
        flag: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// Shortest key, in bytes. Chosen: 128 bits, when they are random.
const KEY_BYTES_MIN: usize = 16;

/// Times; see the flags `--cluster.…` of the same names.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as the flags")]
pub struct ClusterTimes {
    pub peer_timeout: Duration,
    pub gossip_interval: Duration,
    pub pushpull_interval: Duration,
    pub probe_interval: Duration,
    pub settle_timeout: Duration,
    pub reconnect_interval: Duration,
    pub reconnect_timeout: Duration,
    pub tcp_timeout: Duration,
}

impl ClusterTimes {
    fn mesh(&self) -> MeshOptions {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        MeshOptions {
            peer_timeout_ms: ms(self.peer_timeout),
            gossip_interval_ms: ms(self.gossip_interval),
            pushpull_interval_ms: ms(self.pushpull_interval),
            probe_interval_ms: ms(self.probe_interval),
            settle_timeout_ms: ms(self.settle_timeout),
            reconnect_interval_ms: ms(self.reconnect_interval),
            reconnect_timeout_ms: ms(self.reconnect_timeout),
        }
    }
}

/// How a manager joins others.
#[derive(Debug)]
pub struct ClusterOptions {
    /// Bound, so that a taken port is known at once.
    pub listener: TcpListener,
    /// `host:port` at which others reach it; found out when it is empty.
    pub advertise_address: String,
    /// `host:port` of others; a name may stand for many.
    pub peers: Vec<String>,
    /// What positions are sorted by; random when it is empty.
    pub peer_name: String,
    /// Keeps clusters apart.
    pub label: String,
    /// Shared by all; may be empty when only this host can reach the listener.
    pub key: Secret,
    /// For others' connections; `None` for plain HTTP.
    pub server_tls: Option<Arc<WebConfig>>,
    /// For connections to others.
    pub client_tls: TlsConfig,
    /// How long and how often.
    pub times: ClusterTimes,
}

impl ClusterOptions {
    /// Reads `--cluster.tls-config`: how others connect here, and how this manager connects to them.
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn tls(path: &Path) -> Result<(Arc<WebConfig>, TlsConfig), ClusterError> {
        let flag = |reason: String| ClusterError::Flag { flag: "tls-config", reason };
        let web = WebConfig::open_for_peers(path).map_err(|err| flag(err.to_string()))?;
        let client = web.peers_tls();
        Ok((Arc::new(web), client))
    }
}

/// A cluster that is set up and does not run yet.
pub(crate) struct Prepared {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) listener: TcpListener,
    pub(crate) web: Option<Arc<WebConfig>>,
    pub(crate) server_metrics: net::server::ServerMetrics,
}

/// Checks and sets up everything but the sockets to others.
pub(crate) fn prepare(
    options: ClusterOptions,
    clock: Arc<dyn Clock>,
    registry: &stdx::metrics::Registry,
    core: &Core,
) -> Result<Prepared, ClusterError> {
    let flag = |flag: &'static str, reason: String| ClusterError::Flag { flag, reason };
    let listens_on = options.listener.local_addr().map_err(|err| flag("listen-address", err.to_string()))?;
    match options.key.expose().len() {
        0 if !listens_on.ip().is_loopback() => return Err(ClusterError::NoKey(listens_on)),
        n @ 1..KEY_BYTES_MIN => return Err(ClusterError::ShortKey(n)),
        _ => {}
    }
    if options.peers.len() >= PEERS_MAX {
        return Err(flag("peer", format!("at most {} others", PEERS_MAX - 1)));
    }
    for peer in &options.peers {
        let has_port = peer.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && port.parse::<u16>().is_ok() && peer.len() <= NAME_BYTES_MAX
        });
        if !has_port {
            return Err(flag("peer", format!("{peer:?} is not of the form host:port")));
        }
    }
    if options.peer_name.len() > NAME_BYTES_MAX {
        return Err(flag("peer-name", format!("longer than {NAME_BYTES_MAX} bytes")));
    }
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|_| ClusterError::NoRandomness)?;
    let name = match options.peer_name.as_str() {
        "" => net::auth::sign::hex(&random),
        name => name.to_owned(),
    };
    let address = match options.advertise_address.as_str() {
        "" => reached_at(listens_on, &options.peers),
        address => address.to_owned(),
    };
    // Later lives count more; the low bits tell two apart that start in the same millisecond.
    let started = u64::try_from(clock.now_ms()).unwrap_or(0);
    let incarnation = (started << 20) | u64::from(u16::from_le_bytes([random[0], random[1]]));
    let me = Identity { name, address, incarnation };
    tracing::info!(name = %me.name, address = %me.address, peers = options.peers.len(), "joining other managers");
    let http = HttpClientConfig {
        tls_config: options.server_tls.is_some().then(|| options.client_tls.clone()),
        ..HttpClientConfig::default()
    };
    let client = HttpClient::new(&http).map_err(|err| flag("tls-config", err.to_string()))?;
    let cluster = Cluster::new(&options, me, client, clock, registry, shared::is_blank(core))
        .map_err(|_| ClusterError::NoRandomness)?;
    Ok(Prepared {
        cluster: Arc::new(cluster),
        listener: options.listener,
        web: options.server_tls,
        server_metrics: net::server::ServerMetrics::new(&stdx::metrics::Registry::new()),
    })
}

/// The address of this host that others see: that of the way to the first of them. Nothing is sent for it.
fn reached_at(listens_on: SocketAddr, peers: &[String]) -> String {
    if !listens_on.ip().is_unspecified() {
        return listens_on.to_string();
    }
    let any = SocketAddr::new(listens_on.ip(), 0);
    let way = |to: &str| -> Option<std::net::IpAddr> {
        let socket = std::net::UdpSocket::bind(any).ok()?;
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
    };
    // An address of the documentation stands for anybody.
    let found = peers.iter().map(String::as_str).chain(["192.0.2.1:9"]).find_map(way);
    let Some(ip) = found else {
        tracing::warn!("cannot find out where others reach this manager; give --cluster.advertise-address");
        return listens_on.to_string();
    };
    SocketAddr::new(ip, listens_on.port()).to_string()
}
