//! Real programs from Debian's packages, on ports of their own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Process, free_port, get, wait_for};

/// A peer that serves HTTP.
pub struct Peer {
    pub process: Process,
    pub address: String,
}

impl Peer {
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn start(folder: &Path, name: &str, probe: &str, fill: impl FnOnce(&mut Command, &str)) -> Peer {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(format!("/usr/bin/{name}"));
    command.current_dir(folder);
    fill(&mut command, &address);
    let process = Process::start(&mut command, &folder.join(format!("{name}.log")));
    let peer = Peer { process, address };
    wait_for(&format!("{name}: {}", peer.process.log()), Duration::from_secs(30), || {
        get(&format!("{}{probe}", peer.base())).ok().filter(|answer| answer.status == 200)
    });
    peer
}

pub fn node_exporter(folder: &Path) -> Peer {
    start(folder, "prometheus-node-exporter", "/metrics", |command, address| {
        command.arg(format!("--web.listen-address={address}"));
    })
}

pub fn blackbox_exporter(folder: &Path) -> Peer {
    let config = folder.join("blackbox.yml");
    std::fs::write(
        &config,
        "modules:\n  http_2xx:\n    prober: http\n    http:\n      preferred_ip_protocol: ip4\n",
    )
    .unwrap();
    start(folder, "prometheus-blackbox-exporter", "/metrics", |command, address| {
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--web.listen-address={address}"));
    })
}

/// Debian's Alertmanager alone, with a configuration; its data is in `alertmanager-data` of the folder.
pub fn alertmanager(folder: &Path, config: &str) -> Peer {
    let path = folder.join("alertmanager-oracle.yml");
    std::fs::write(&path, config).unwrap();
    start(folder, "prometheus-alertmanager", "/-/ready", |command, address| {
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.path={}", folder.join("alertmanager-data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
    })
}

/// Debian's Prometheus, with a configuration.
pub fn prometheus(folder: &Path, config: &str) -> Peer {
    let path = folder.join("oracle.yml");
    std::fs::write(&path, config).unwrap();
    start(folder, "prometheus", "/-/ready", |command, address| {
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("oracle-data").display()))
            .arg(format!("--web.listen-address={address}"));
    })
}
