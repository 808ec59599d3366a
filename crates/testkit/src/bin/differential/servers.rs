//! Starts the two servers to compare over the same data: a Prometheus and ours.
//!
//! In: the paths of both binaries; out: two URLs, and processes that end with the value. For a Prometheus of 2.x the data is made by
//! `differential::data`, becomes blocks by promtool, and comes to us by `hinomi tsdb import prometheus`. For one of 3.x it is made by
//! `differential::modern`, and both take it by remote write.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::differential::ask::Server;
use testkit::differential::{data, modern};

/// Longest until a server answers. Chosen.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const READY_POLL: Duration = Duration::from_millis(50);

/// Without these a part of 3.x' language is refused.
const FEATURES: &str =
    "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers";

/// What to start.
#[derive(Debug)]
pub(crate) struct Programs<'a> {
    /// A Prometheus: a path, or a name to look up.
    pub(crate) prometheus: &'a str,
    /// Ours.
    pub(crate) hinomi: &'a Path,
    /// For `--enable-feature` of both, beside what the whole language needs.
    pub(crate) features: &'a str,
}

/// Both servers; dropping ends them and removes their data.
pub(crate) struct Servers {
    children: Vec<Child>,
    dir: PathBuf,
    pub(crate) reference: String,
    pub(crate) target: String,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Servers {
    /// Makes the data of `seed` and starts both.
    pub(crate) fn start(programs: &Programs<'_>, seed: u64) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("hinomi-differential-{}", std::process::id()));
        let mut out =
            Self { children: Vec::new(), dir: dir.clone(), reference: String::new(), target: String::new() };
        let (theirs, ours) = (dir.join("prometheus"), dir.join("hinomi"));
        std::fs::create_dir_all(&theirs)?;
        let config = dir.join("empty.yml");
        std::fs::write(&config, "global: {}\n")?;
        let is_modern = is_modern(programs.prometheus)?;
        if !is_modern {
            blocks(programs.hinomi, seed, &dir, &theirs, &ours)?;
        }
        let (first, second) = (free_port()?, free_port()?);
        let mut prometheus = Command::new(programs.prometheus);
        let mut target = Command::new(programs.hinomi);
        target.arg("server");
        for (command, store, port) in [(&mut prometheus, &theirs, first), (&mut target, &ours, second)] {
            command.args([
                path("config.file", &config),
                path("storage.tsdb.path", store),
                "--log.level=error".to_owned(),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]);
            let mut features = format!("{FEATURES},{}", programs.features);
            if is_modern {
                command.arg("--web.enable-remote-write-receiver");
            } else {
                features = "promql-experimental-functions".to_owned();
            }
            command.arg(format!("--enable-feature={}", features.trim_end_matches(',')));
        }
        prometheus.arg("--storage.tsdb.retention.time=100y");
        target.arg("--storage.tsdb.retention.time=0s");
        for mut command in [prometheus, target] {
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            out.children.push(child.with_context(|| format!("cannot start {command:?}"))?);
        }
        out.reference = format!("http://127.0.0.1:{first}");
        out.target = format!("http://127.0.0.1:{second}");
        for url in [&out.reference, &out.target] {
            wait_until_ready(url)?;
        }
        if is_modern {
            let (reference, target) = (Server::new(&out.reference), Server::new(&out.target));
            for request in modern::requests(seed) {
                reference.write(&request).and_then(|()| target.write(&request))?;
            }
        }
        Ok(out)
    }
}

fn path(flag: &str, path: &Path) -> String {
    format!("--{flag}={}", path.display())
}

/// Whether this Prometheus is of 3.0 or newer.
fn is_modern(prometheus: &str) -> Result<bool> {
    let output = Command::new(prometheus).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {prometheus}"))?;
    // 2.x writes it to standard error.
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let version =
        text.split("version ").nth(1).with_context(|| format!("{prometheus} tells no version: {text}"))?;
    Ok(!version.starts_with("2."))
}

/// Writes the data of 2.x into both data directories.
fn blocks(hinomi: &Path, seed: u64, dir: &Path, theirs: &Path, ours: &Path) -> Result<()> {
    let page = dir.join("page.om");
    std::fs::write(&page, data::page(seed))?;
    let create = ["tsdb", "create-blocks-from", "openmetrics"];
    run(Command::new("promtool").arg("--quiet").args(create).arg(&page).arg(theirs))
        .or_else(|_| run(Command::new("promtool").args(create).arg(&page).arg(theirs)))?;
    let import = ["tsdb", "import", "prometheus"];
    run(Command::new(hinomi).args(import).arg(theirs).arg(path("storage.tsdb.path", ours)))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn wait_until_ready(url: &str) -> Result<()> {
    let started = Instant::now();
    let server = Server::new(url);
    while !matches!(server.post("query", &[("query", "1")]), Ok(Ok(_))) {
        anyhow::ensure!(started.elapsed() < READY_WITHIN, "{url} does not answer");
        std::thread::sleep(READY_POLL);
    }
    Ok(())
}
