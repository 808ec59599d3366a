//! What every test needs: processes that end with the test, ports, waiting with a deadline, a small HTTP client.

pub mod mail;
pub mod manager;
pub mod peers;
pub mod target;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A port that was free a moment ago. Handed-out ports are remembered, so that two calls never return the same.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut given = GIVEN.lock().unwrap();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

/// Asks `probe` until it answers, or fails the test saying `what` did not come.
pub fn wait_for<T>(what: &str, timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < timeout, "{what}: not within {timeout:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A child process, killed when dropped. Its output goes to a file that [`Process::log`] reads.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let out = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let err = out.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|err| panic!("cannot start {command:?}: {err}"));
        Self { child, log: log.to_path_buf() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// Ends it as power-hungry administrators do.
    pub fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its own end; returns the exit code.
    pub fn wait_exit(&mut self, timeout: Duration) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < timeout {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().or(Some(-1));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `hinomi server` with a folder of its own.
pub struct Hinomi {
    pub process: Process,
    pub folder: TempDir,
    pub base: String,
    args: Vec<String>,
    envs: Vec<(String, String)>,
}

/// The binary under test.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hinomi"))
}

impl Hinomi {
    /// Starts with the configuration text, or without a file, and waits until it is ready.
    pub fn start(config: Option<&str>, extra_args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut args: Vec<String> = extra_args.iter().map(|arg| (*arg).to_owned()).collect();
        if let Some(config) = config {
            let path = folder.path().join("prometheus.yml");
            std::fs::write(&path, config).unwrap();
            args.push(format!("--config.file={}", path.display()));
        }
        Self::start_in(folder, args)
    }

    /// Starts in a folder that may hold files and data already.
    pub fn start_in(folder: TempDir, args: Vec<String>) -> Self {
        Self::start_with_env(folder, args, Vec::new())
    }

    /// Likewise, with variables in its environment.
    pub fn start_with_env(folder: TempDir, args: Vec<String>, envs: Vec<(String, String)>) -> Self {
        let base = format!("http://127.0.0.1:{}", free_port());
        let process = spawn(folder.path(), &base, &args, &envs);
        let server = Self { process, folder, base, args, envs };
        server.wait_ready();
        server
    }

    /// Starts below a path, as behind a proxy that passes it on.
    pub fn start_under(prefix: &str, extra_args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = format!("http://127.0.0.1:{}{prefix}", free_port());
        let mut args = vec![format!("--web.external-url={base}")];
        args.extend(extra_args.iter().map(|arg| (*arg).to_owned()));
        let process = spawn(folder.path(), &base, &args, &[]);
        let server = Self { process, folder, base, args, envs: Vec::new() };
        server.wait_ready();
        server
    }

    /// Starts again on the same data and port after [`Process::kill9`] or a stop.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), &self.base, &self.args, &self.envs);
        self.wait_ready();
    }

    pub fn wait_ready(&self) {
        wait_for(&format!("ready; its log:\n{}", self.process.log()), Duration::from_secs(30), || {
            get(&format!("{}/-/ready", self.base)).ok().filter(|answer| answer.status == 200)
        });
    }

    pub fn get(&self, path: &str) -> Answer {
        get(&format!("{}{path}", self.base)).unwrap_or_else(|err| panic!("GET {:.200}: {err}", path))
    }

    pub fn post(&self, path: &str, content_type: &str, body: &str) -> Answer {
        post(&format!("{}{path}", self.base), content_type, body)
            .unwrap_or_else(|err| panic!("POST {path}: {err}"))
    }

    /// The `result` of an instant query, now or at a time.
    pub fn query(&self, expr: &str, at_secs: Option<f64>) -> Value {
        query(&self.base, expr, at_secs)
    }

    /// The number of an instant query with one element.
    pub fn number(&self, expr: &str) -> Option<f64> {
        let result = self.query(expr, None);
        result.as_array()?.first()?["value"][1].as_str()?.parse().ok()
    }
}

fn spawn(folder: &Path, base: &str, args: &[String], envs: &[(String, String)]) -> Process {
    let address = base.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut command = binary();
    command.arg("server").arg(format!("--web.listen-address={address}")).args(args).current_dir(folder);
    command.envs(envs.iter().cloned());
    if !args.iter().any(|arg| arg.starts_with("--storage.tsdb.path=")) {
        let kind = if args.iter().any(|arg| arg == "--agent") { "agent" } else { "tsdb" };
        command.arg(format!("--storage.{kind}.path={}", folder.join("data").display()));
    }
    Process::start(&mut command, &folder.join("hinomi.log"))
}

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|err| panic!("{err} in {}", self.body))
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    config.http_status_as_error(false).timeout_global(Some(Duration::from_secs(30))).build().into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = response?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(256 << 20).read_to_string()?;
    Ok(Answer { status, body })
}

pub fn get(url: &str) -> Result<Answer, ureq::Error> {
    answer(agent().get(url).call())
}

pub fn post(url: &str, content_type: &str, body: &str) -> Result<Answer, ureq::Error> {
    answer(agent().post(url).header("Content-Type", content_type).send(body))
}

pub fn delete(url: &str) -> Result<Answer, ureq::Error> {
    answer(agent().delete(url).call())
}

/// The `result` of an instant query against any server that speaks Prometheus' API.
pub fn query(base: &str, expr: &str, at_secs: Option<f64>) -> Value {
    let at = at_secs.map(|at| format!("&time={at}")).unwrap_or_default();
    let url = format!("{base}/api/v1/query?query={}{at}", escaped(expr));
    let answer = get(&url).unwrap_or_else(|err| panic!("{url}: {err}"));
    let json = answer.json();
    assert_eq!(json["status"], "success", "{expr}: {}", answer.body);
    json["data"]["result"].clone()
}

/// Percent-encodes for a query string.
pub fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Seconds since the epoch.
pub fn now_secs() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Runs a command to its end; returns its exit code, standard output and standard error.
pub fn output(command: &mut Command) -> (i32, String, String) {
    let out =
        command.stdin(Stdio::null()).output().unwrap_or_else(|err| panic!("cannot run {command:?}: {err}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
}
