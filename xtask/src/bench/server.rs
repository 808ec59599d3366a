//! The servers side by side: ours, Debian's Prometheus, and those named by `--peer`.
//!
//! All get the same configuration file; each gets a port and a data directory of its own. Only what we started is ended.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::http::Client;
use super::options::Options;
use super::proc;
use crate::run;

/// Between two looks at whether a server is ready. Small against what is measured.
const READY_POLL: Duration = Duration::from_millis(5);

/// Longest until a server is ready: replay of the largest log by the slowest server. Chosen.
const READY_WITHIN: Duration = Duration::from_secs(900);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    /// A shell command with `{port}`, `{data}` and `{config}`.
    pub command: String,
    /// What `--version` says, or nothing.
    pub version: String,
    pub is_ours: bool,
}

/// Ours first; none where `--only` asks for Alertmanager alone.
pub fn specs(options: &Options) -> Result<Vec<Spec>> {
    let mut specs = vec![ours(options)?];
    if run::exists("prometheus") {
        let command = "prometheus --config.file={config} --storage.tsdb.path={data} --web.listen-address=127.0.0.1:{port} \
                       --web.enable-remote-write-receiver --web.enable-admin-api --log.level=warn";
        let version = first_line("prometheus", "--version");
        specs.push(Spec {
            name: "prometheus".to_owned(),
            command: command.to_owned(),
            version,
            is_ours: false,
        });
    }
    for peer in options.list("peer") {
        let (name, command) = peer.split_once('=').context("--peer NAME=COMMAND")?;
        specs.push(Spec {
            name: name.to_owned(),
            command: command.to_owned(),
            version: String::new(),
            is_ours: false,
        });
    }
    let only = options.list("only");
    let names: Vec<String> =
        specs.iter().chain(&super::alerts::peers()).map(|spec| spec.name.clone()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name)) {
        bail!("--only {unknown}: there is none of that name, only {}", names.join(", "));
    }
    specs.retain(|spec| only.is_empty() || only.contains(&spec.name));
    Ok(specs)
}

fn ours(options: &Options) -> Result<Spec> {
    let binary = match options.text("binary") {
        Some(path) => PathBuf::from(path),
        None => build("hinomi")?,
    };
    let shown = binary.display();
    let mut command = format!(
        "{shown} server --config.file={{config}} --storage.tsdb.path={{data}} --web.listen-address=127.0.0.1:{{port}}"
    );
    // An older binary, measured for comparison, may not have them yet.
    let help =
        Command::new(&binary).args(["server", "--help"]).output().context("our binary does not start")?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for flag in ["web.enable-remote-write-receiver", "web.enable-admin-api"] {
        if help.contains(&format!("--{flag}")) {
            command.push_str(&format!(" --{flag}"));
        }
    }
    let version = first_line(&binary.to_string_lossy(), "--version");
    Ok(Spec { name: "hinomi".to_owned(), command, version, is_ours: true })
}

/// Builds a release binary and says where it is.
pub fn build(package: &str) -> Result<PathBuf> {
    println!("$ cargo build --release --package {package}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Cargo tells the path, wherever the target folder is.
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "--package",
            package,
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(run::root())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("the release build failed");
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == package).then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executables.max().with_context(|| format!("cargo named no executable for {package}"))
}

pub fn first_line(program: &str, arg: &str) -> String {
    let output = Command::new(program).arg(arg).output();
    let text = output.map(|out| [out.stdout, out.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

/// Where the data directory is within a server's folder.
fn data_of(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// What a server holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stored {
    pub samples: f64,
    pub series: f64,
}

/// A server that runs; killed when dropped.
pub struct Server {
    pub name: String,
    pub port: u16,
    /// Its data directory.
    pub data: PathBuf,
    /// From start to ready.
    pub ready_after: Duration,
    child: Child,
    log: PathBuf,
}

impl Spec {
    /// Writes what one of our servers left in `from` of the time before `before_ms` as Prometheus' blocks into `to`, both folders of servers;
    /// ours must have ended.
    pub fn export(&self, from: &Path, to: &Path, before_ms: i64) -> Result<()> {
        let program = self.command.split(' ').next().context("an empty command")?;
        let mut export = Command::new(program);
        export.args(["tsdb", "export", &format!("--max-time={}", before_ms - 1), "--storage.tsdb.path"]);
        export.arg(data_of(from)).arg(data_of(to));
        let output = export.output().with_context(|| format!("cannot run {program}"))?;
        if !output.status.success() {
            bail!("the export failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts it in a folder (which may hold data of an earlier run) and waits until it is ready.
    pub fn start(&self, folder: &Path, config: &str, extra: &str) -> Result<Server> {
        fs::create_dir_all(folder)?;
        let (data, config_path, log) = (data_of(folder), folder.join("config.yml"), folder.join("log"));
        fs::write(&config_path, config)?;
        let port = free_port()?;
        let command = format!("exec {} {extra}", self.command)
            .replace("{port}", &port.to_string())
            .replace("{data}", &data.to_string_lossy())
            .replace("{config}", &config_path.to_string_lossy());
        let output = File::options().append(true).create(true).open(&log)?;
        let started = Instant::now();
        // When we are killed, the server must go, too; where setpriv is missing, it stays.
        let mut shell = Command::new(if run::exists("setpriv") { "setpriv" } else { "sh" });
        if run::exists("setpriv") {
            shell.args(["--pdeathsig", "KILL", "sh"]);
        }
        let child = shell
            .args(["-c", &command])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let mut server =
            Server { name: self.name.clone(), port, data, ready_after: Duration::ZERO, child, log };
        server.wait_ready(started)?;
        Ok(server)
    }
}

impl Server {
    fn wait_ready(&mut self, started: Instant) -> Result<()> {
        loop {
            let is_ready = Client::new(self.port).get("/-/ready").is_ok_and(|answer| answer.status == 200);
            if is_ready {
                self.ready_after = started.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start ({status}): {}", self.name, self.log_tail());
            }
            if started.elapsed() > READY_WITHIN {
                bail!("{} is not ready after {READY_WITHIN:?}: {}", self.name, self.log_tail());
            }
            thread::sleep(READY_POLL);
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu_seconds(&self) -> Result<f64> {
        proc::cpu_seconds(self.pid()).with_context(|| format!("{}: {}", self.name, self.log_tail()))
    }

    pub fn memory(&self) -> Result<proc::Memory> {
        proc::memory(self.pid()).with_context(|| format!("{}: {}", self.name, self.log_tail()))
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Answer of an instant query at a time.
    pub fn query(&self, expr: &str, at_ms: i64) -> Result<Value> {
        let at = format!("{}.{:03}", at_ms / 1_000, at_ms % 1_000);
        let fields = [("query", expr), ("time", &at), ("timeout", "10m")];
        let answer = Client::new(self.port).post_form("/api/v1/query", &fields)?;
        let json: Value = serde_json::from_slice(&answer.body).with_context(|| {
            format!("{}: {} for {expr}: not JSON: {}", self.name, answer.status, text(&answer.body))
        })?;
        if answer.status != 200 || json["status"] != "success" {
            bail!("{}: {} for {expr}: {}", self.name, answer.status, text(&answer.body));
        }
        Ok(json["data"]["result"].clone())
    }

    /// The one value of an instant query; 0 when the answer is empty.
    pub fn number(&self, expr: &str, at_ms: i64) -> Result<f64> {
        let result = self.query(expr, at_ms)?;
        let Some(first) = result.get(0) else { return Ok(0.0) };
        let value = first["value"][1].as_str().and_then(|value| value.parse().ok());
        value.with_context(|| format!("{}: {expr}: not a number: {first}", self.name))
    }

    /// Samples stored of all series that a selector picks, in the `range_ms` before a time, and how many series.
    pub fn count(&self, selector: &str, range_ms: i64, at_ms: i64) -> Result<Stored> {
        let names =
            self.query(&format!("count by (__name__) (last_over_time({selector}[{range_ms}ms]))"), at_ms)?;
        let mut stored = Stored::default();
        for row in names.as_array().into_iter().flatten() {
            let name = row["metric"]["__name__"].as_str().context("a series without a name")?;
            stored.series += row["value"][1].as_str().and_then(|count| count.parse().ok()).unwrap_or(0.0);
            // A function drops the name, so that series of several names would be the same.
            let selector = selector.replacen('{', &format!("{{__name__=\"{name}\","), 1);
            stored.samples +=
                self.number(&format!("sum(count_over_time({selector}[{range_ms}ms]))"), at_ms)?;
        }
        Ok(stored)
    }

    /// The end of what it wrote, for errors.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned()
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
