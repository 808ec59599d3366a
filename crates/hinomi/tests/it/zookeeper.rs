//! A real ZooKeeper, from Debian's package: members as Nerve and as Finagle write them are found, followed, and kept while it is away.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Hinomi, Process, free_port, wait_for};

/// Debian's; it names what else it needs.
const JAR: &str = "/usr/share/java/zookeeper.jar";

fn java(class: &str) -> Command {
    assert!(Path::new(JAR).exists(), "this test needs libzookeeper-java: cargo xtask install");
    let mut java = Command::new("java");
    // Small and quick to start rather than fast.
    java.args(["-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", JAR, class]);
    java
}

/// Its own server, which the test may end and start again on the same data.
struct Zookeeper {
    process: Process,
    address: String,
}

impl Zookeeper {
    fn start(folder: &Path, port: u16) -> Self {
        let mut command = java("org.apache.zookeeper.server.ZooKeeperServerMain");
        command.arg(port.to_string()).arg(folder.join("zookeeper")).current_dir(folder);
        // Milliseconds of a tick: sessions end after a few of them.
        command.arg("500");
        let process = Process::start(&mut command, &folder.join("zookeeper.log"));
        let address = format!("127.0.0.1:{port}");
        wait_for("ZooKeeper", Duration::from_secs(60), || TcpStream::connect(&address).ok());
        Self { process, address }
    }

    /// Runs commands of its shell, which ends by itself.
    fn tell(&self, lines: &str) -> String {
        let mut shell = java("org.apache.zookeeper.ZooKeeperMain");
        shell
            .args(["-server", &self.address, "-waitforconnection"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{lines}\nquit\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        // What it did is said as an error.
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}

/// Addresses of a job's targets.
fn targets(server: &Hinomi, job: &str) -> Vec<String> {
    let all = server.get("/api/v1/targets").json();
    let of_job = all["data"]["activeTargets"].as_array().unwrap().iter().filter(|t| t["scrapePool"] == job);
    let mut found: Vec<String> = of_job
        .map(|target| {
            let label = |name: &str| target["discoveredLabels"][name].as_str().unwrap_or_default().to_owned();
            let more = label("__meta_nerve_endpoint_name") + &label("__meta_serverset_status");
            format!("{} {more}", label("__address__"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn members_in_a_real_zookeeper_are_found_followed_and_kept_while_it_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!(
        "global: {{scrape_interval: 1h}}\nscrape_configs:\n\
         - job_name: nerve\n  nerve_sd_configs: [{{servers: ['127.0.0.1:{port}'], paths: [/nerve/web]}}]\n\
         - job_name: serverset\n  serverset_sd_configs: [{{servers: ['127.0.0.1:{port}'], paths: [/finagle/web]}}]\n"
    );
    let server = Hinomi::start(Some(&config), &[]);
    let wait = |job: &str, expected: &[&str]| {
        wait_for(&format!("{job}: {expected:?}"), Duration::from_secs(60), || {
            (targets(&server, job) == expected).then_some(())
        });
    };
    // Down at the start.
    wait("nerve", &[]);
    let mut zookeeper = Zookeeper::start(folder.path(), port);
    let member = |shard: u8, port: u16| {
        format!(
            "{{\"serviceEndpoint\":{{\"host\":\"h\",\"port\":{port}}},\"additionalEndpoints\":{{}},\"status\":\"ALIVE\",\"shard\":{shard}}}"
        )
    };
    let node = |name: &str, port: u16| format!("{{\"host\":\"n\",\"port\":{port},\"name\":\"{name}\"}}");
    let said = zookeeper.tell(&format!(
        "create /nerve\ncreate /nerve/web\ncreate /nerve/web/1 {}\ncreate /finagle\ncreate /finagle/web\ncreate /finagle/web/member_0 {}",
        node("one", 80),
        member(0, 8080),
    ));
    assert!(said.contains("Created /finagle/web/member_0"), "{said}\n{}", zookeeper.process.log());
    wait("nerve", &["n:80 one"]);
    wait("serverset", &["h:8080 ALIVE"]);
    // Away, and back with what is new.
    zookeeper.process.kill9();
    wait("nerve", &["n:80 one"]);
    let mut zookeeper = Zookeeper::start(folder.path(), port);
    let said = zookeeper.tell(&format!(
        "create /nerve/web/2 {}\nset /finagle/web/member_0 {}",
        node("two", 81),
        member(0, 8081)
    ));
    assert!(said.contains("Created /nerve/web/2"), "{said}");
    wait("nerve", &["n:80 one", "n:81 two"]);
    wait("serverset", &["h:8081 ALIVE"]);
    zookeeper.tell("delete /nerve/web/1");
    wait("nerve", &["n:81 two"]);
    zookeeper.process.kill9();
}
