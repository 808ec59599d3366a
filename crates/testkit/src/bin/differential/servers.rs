//! Starts the two servers to compare over the same data: Debian's Prometheus and ours.
//!
//! In: the path of our binary; out: two URLs, and processes that end with the value. The data is made by `differential::data`,
//! becomes blocks by promtool, and comes to us by `hinomi tsdb import prometheus`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::differential::ask::Server;
use testkit::differential::data;

/// Longest until a server answers. Chosen.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks.
const READY_POLL: Duration = Duration::from_millis(50);

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
    pub(crate) fn start(hinomi: &Path, seed: u64) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("hinomi-differential-{}", std::process::id()));
        let mut out =
            Self { children: Vec::new(), dir: dir.clone(), reference: String::new(), target: String::new() };
        let (theirs, ours) = (dir.join("prometheus"), dir.join("hinomi"));
        std::fs::create_dir_all(&theirs)?;
        let (page, config) = (dir.join("page.om"), dir.join("empty.yml"));
        std::fs::write(&page, data::page(seed))?;
        std::fs::write(&config, "global: {}\n")?;
        run(Command::new("promtool")
            .args(["--quiet", "tsdb", "create-blocks-from", "openmetrics"])
            .args([&page, &theirs]))
        .or_else(|_| {
            run(Command::new("promtool")
                .args(["tsdb", "create-blocks-from", "openmetrics"])
                .args([&page, &theirs]))
        })?;
        let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        run(Command::new(hinomi)
            .args(["tsdb", "import", "prometheus"])
            .arg(&theirs)
            .arg(path("storage.tsdb.path", &ours)))?;
        let (first, second) = (free_port()?, free_port()?);
        let mut prometheus = Command::new("prometheus");
        prometheus.args([path("config.file", &config), path("storage.tsdb.path", &theirs)]).args([
            "--storage.tsdb.retention.time=100y".to_owned(),
            "--log.level=error".to_owned(),
            format!("--web.listen-address=127.0.0.1:{first}"),
        ]);
        let mut target = Command::new(hinomi);
        target.arg("server").args([path("config.file", &config), path("storage.tsdb.path", &ours)]).args([
            "--storage.tsdb.retention.time=0s".to_owned(),
            "--enable-feature=promql-experimental-functions".to_owned(),
            "--log.level=error".to_owned(),
            format!("--web.listen-address=127.0.0.1:{second}"),
        ]);
        for mut command in [prometheus, target] {
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            out.children.push(child.with_context(|| format!("cannot start {command:?}"))?);
        }
        out.reference = format!("http://127.0.0.1:{first}");
        out.target = format!("http://127.0.0.1:{second}");
        for url in [&out.reference, &out.target] {
            wait_until_ready(url)?;
        }
        Ok(out)
    }
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
