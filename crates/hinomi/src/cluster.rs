//! `--cluster.…`: how a manager, inside of the server or alone, joins others.
//!
//! In from the flags of both; out to `alertmanager::ClusterOptions`. Names, defaults and meaning are Alertmanager's
//! where it has the flag; the key is ours, since a port that anybody may speak to lets anybody silence alerts.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use alertmanager::{ClusterOptions, ClusterTimes};
use anyhow::{Context as _, Result, anyhow, bail};
use net::Secret;
use stdx::{Dir as _, DiskDir};

use crate::flags::{DURATION, FILE, Flag, Kind, Values, flag};
use crate::server::listen;

/// Where managers alone listen for others, as Alertmanager does.
pub(crate) const LISTEN_DEFAULT: &str = "0.0.0.0:9094";

/// Flags of both, but for the address to listen on, whose default differs.
pub(crate) const FLAGS: &[Flag] = &[
    flag(
        "cluster.peer",
        Kind::Repeated("HOST:PORT"),
        "",
        "Another manager to share silences and the notification log with, repeatable; a name may stand for many",
    ),
    flag(
        "cluster.key-file",
        FILE,
        "",
        "Secret that all managers of a cluster share, 16 bytes or more; needed beyond loopback",
    ),
    flag(
        "cluster.advertise-address",
        Kind::Value("HOST:PORT"),
        "",
        "Where others reach this manager; by default the address of the way to the first of them",
    ),
    flag(
        "cluster.peer-name",
        Kind::Value("NAME"),
        "",
        "Name of this manager, by which managers take turns; random by default",
    ),
    flag("cluster.peer-timeout", DURATION, "15s", "How long to wait for each manager whose turn is before"),
    flag("cluster.gossip-interval", DURATION, "200ms", "Least time between two messages with news"),
    flag("cluster.pushpull-interval", DURATION, "1m", "How often managers compare sums of all they know"),
    flag(
        "cluster.probe-interval",
        DURATION,
        "1s",
        "How often a manager is asked whether it is there; after five it is gone",
    ),
    flag(
        "cluster.settle-timeout",
        DURATION,
        "1m",
        "Longest wait at the start for what others know, before anybody is notified",
    ),
    flag("cluster.reconnect-interval", DURATION, "10s", "How often a manager that is not there is tried"),
    flag("cluster.reconnect-timeout", DURATION, "6h", "How long a manager that went is tried; 0 for ever"),
    flag("cluster.tcp-timeout", DURATION, "10s", "How long one message may take"),
    flag(
        "cluster.tls-config",
        FILE,
        "",
        "TLS between managers: tls_server_config and tls_client_config, as Alertmanager's; docs/user/replicas.md",
    ),
    flag("cluster.label", Kind::Value("TEXT"), "", "Keeps clusters with the same key apart"),
];

/// What the flags say; `None` to be alone.
///
/// # Errors
/// When a flag cannot be used.
pub(crate) fn options(flags: &Values) -> Result<Option<ClusterOptions>> {
    let peers: Vec<String> =
        flags.list("cluster.peer").iter().filter(|peer| !peer.is_empty()).cloned().collect();
    let (address, key_file) = (flags.text("cluster.listen-address"), flags.text("cluster.key-file"));
    if address.is_empty() {
        if !peers.is_empty() {
            bail!("--cluster.peer needs --cluster.listen-address, for instance {LISTEN_DEFAULT}");
        }
        return Ok(None);
    }
    let full = listen::full(address);
    let at: Vec<SocketAddr> = full
        .to_socket_addrs()
        .map_err(|err| anyhow!("--cluster.listen-address: {address:?} is not of the form host:port: {err}"))?
        .collect();
    if peers.is_empty() && key_file.is_empty() && !at.iter().all(|at| at.ip().is_loopback()) {
        // Alertmanager opens its port to everybody in any case.
        tracing::info!(
            "no --cluster.peer and no --cluster.key-file: this manager is alone, {address} stays closed"
        );
        return Ok(None);
    }
    let key = match key_file {
        "" => Secret::default(),
        path => {
            let bytes = DiskDir::anywhere().read(Path::new(path));
            let bytes = bytes.with_context(|| format!("--cluster.key-file: cannot read {path}"))?;
            let text =
                String::from_utf8(bytes).map_err(|_| anyhow!("--cluster.key-file: {path} is not text"))?;
            if text.trim().is_empty() {
                bail!("--cluster.key-file: {path} is empty");
            }
            Secret::new(text.trim())
        }
    };
    let (server_tls, client_tls) = match flags.text("cluster.tls-config") {
        "" => (None, net::TlsConfig::default()),
        path => {
            let (server, client) = ClusterOptions::tls(Path::new(path))?;
            (Some(server), client)
        }
    };
    let bound = std::net::TcpListener::bind(at.as_slice()).and_then(|socket| {
        socket.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(socket)
    });
    Ok(Some(ClusterOptions {
        listener: bound.map_err(|err| listen::explain("cluster.listen-address", address, &err))?,
        advertise_address: flags.text("cluster.advertise-address").to_owned(),
        peers,
        peer_name: flags.text("cluster.peer-name").to_owned(),
        label: flags.text("cluster.label").to_owned(),
        key,
        server_tls,
        client_tls,
        times: times(flags)?,
    }))
}

fn times(flags: &Values) -> Result<ClusterTimes> {
    let any = |name: &str| -> Result<Duration> {
        Ok(Duration::from_millis(flags.duration_ms(name)?.unsigned_abs()))
    };
    Ok(ClusterTimes {
        peer_timeout: any("cluster.peer-timeout")?,
        gossip_interval: flags.positive_duration("cluster.gossip-interval")?,
        pushpull_interval: flags.positive_duration("cluster.pushpull-interval")?,
        probe_interval: flags.positive_duration("cluster.probe-interval")?,
        settle_timeout: any("cluster.settle-timeout")?,
        reconnect_interval: flags.positive_duration("cluster.reconnect-interval")?,
        reconnect_timeout: any("cluster.reconnect-timeout")?,
        tcp_timeout: flags.positive_duration("cluster.tcp-timeout")?,
    })
}
