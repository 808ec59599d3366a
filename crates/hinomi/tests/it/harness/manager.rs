//! `hinomi alertmanager` with a folder of its own.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Process, binary, free_port, get, post, wait_for};

/// A running Alertmanager of ours.
pub struct Manager {
    pub process: Process,
    pub folder: TempDir,
    pub base: String,
    args: Vec<String>,
}

impl Manager {
    /// Starts with the configuration text and waits until it is ready.
    pub fn start(config: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, config, args)
    }

    /// Starts in a folder that may hold a folder `data` already.
    pub fn start_in(folder: TempDir, config: &str, args: &[&str]) -> Self {
        std::fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
        let prefix = args.iter().find_map(|arg| arg.strip_prefix("--web.route-prefix=")).unwrap_or("");
        let base = format!("http://127.0.0.1:{}{prefix}", free_port());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let process = spawn(folder.path(), &base, &args);
        let manager = Self { process, folder, base, args };
        manager.wait_ready();
        manager
    }

    /// Starts again on the same data and port.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), &self.base, &self.args);
        self.wait_ready();
    }

    fn wait_ready(&self) {
        wait_for(&format!("ready; its log:\n{}", self.process.log()), Duration::from_secs(30), || {
            get(&format!("{}/-/ready", self.base)).ok().filter(|answer| answer.status == 200)
        });
    }

    pub fn get(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.base)).unwrap_or_else(|err| panic!("GET {path}: {err}"))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        post(&format!("{}{path}", self.base), "application/json", &body.to_string())
            .unwrap_or_else(|err| panic!("POST {path}: {err}"))
    }

    pub fn delete(&self, path: &str) -> Answer {
        super::delete(&format!("{}{path}", self.base)).unwrap_or_else(|err| panic!("DELETE {path}: {err}"))
    }
}

fn spawn(folder: &Path, base: &str, args: &[String]) -> Process {
    let address = base.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut command = binary();
    command
        .arg("alertmanager")
        .arg(format!("--web.listen-address={address}"))
        .arg("--config.file=alertmanager.yml")
        .arg("--storage.path=data")
        .args(args)
        .current_dir(folder);
    Process::start(&mut command, &folder.join("alertmanager.log"))
}
