//! What goes wrong out there, and what is promised then (docs/user/scraping.md, "When the world breaks"): one failure stays one.
//!
//! Elsewhere: certificates that have expired (`net`), a clock that was set back (`scrape::schedule`, `tsdb/tests/rules.rs`), a disk that
//! fails at any operation (`tsdb/tests/crash.rs`), discovery that is gone (`discovery`).

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, wait_for};

/// How much more memory a bad target may cost, in KiB: pages of the size that is allowed, on their way. Chosen.
const MORE_KIB_MAX: u64 = 48 << 10;

/// Listens, and says to each request what `say` writes until the other end has had enough.
fn raw(say: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                say(stream);
            });
        }
    });
    address
}

/// A head, and then lines for ever.
fn endless(mut stream: TcpStream, head: &str) {
    let lines = "m{a=\"b\"} 1\n".repeat(5_000);
    let mut sent =
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{head}\r\n").as_bytes());
    while sent.is_ok() {
        sent = match head.contains("chunked") {
            true => stream.write_all(format!("{:x}\r\n{lines}\r\n", lines.len()).as_bytes()),
            false => stream.write_all(lines.as_bytes()),
        };
    }
}

fn peak_kib(server: &Hinomi) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn last_error(server: &Hinomi, job: &str) -> Option<String> {
    let targets = server.get("/api/v1/targets").json();
    let target =
        targets["data"]["activeTargets"].as_array()?.iter().find(|t| t["labels"]["job"] == job)?.clone();
    let error = target["lastError"].as_str()?.to_owned();
    (!error.is_empty()).then_some(error)
}

#[test]
fn a_bad_target_fails_alone_in_bounded_time_and_memory() {
    let hangs =
        raw(|stream| std::thread::sleep(Duration::from_secs(3_600 + u64::from(stream.ttl().is_err()))));
    let streams = raw(|stream| endless(stream, "Transfer-Encoding: chunked\r\n"));
    let ten_gigabytes = raw(|stream| endless(stream, "Content-Length: 10737418240\r\n"));
    let drips = raw(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nm 1\n");
        while stream.write_all(b"#\n").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let good = Target::start(|_| Reply::text("good 1\n"));
    let mut config = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for (job, address, more) in [
        ("hangs", hangs.to_string(), ""),
        ("streams", streams.to_string(), "body_size_limit: 1MB"),
        ("large", ten_gigabytes.to_string(), "body_size_limit: 1MB"),
        // No limit of its own: the server's own cap of 512 MiB, which the announced length is held against.
        ("unlimited", ten_gigabytes.to_string(), ""),
        ("drips", drips.to_string(), ""),
        ("no-name", "nowhere.invalid:9100".to_owned(), ""),
        ("good", good.address.to_string(), ""),
    ] {
        config.push_str(&format!(
            "- job_name: {job}\n  static_configs: [{{targets: ['{address}']}}]\n  {more}\n"
        ));
    }
    let server = Hinomi::start(Some(&config), &[]);
    let before = peak_kib(&server);
    for (job, words) in [
        ("hangs", &["context deadline exceeded"][..]),
        ("streams", &["body size limit exceeded"]),
        ("large", &["body size limit exceeded"]),
        ("unlimited", &["body size limit exceeded"]),
        ("drips", &["context deadline exceeded"]),
        // A resolver that cannot be reached at all says nothing in time.
        ("no-name", &["no such host", "server misbehaving", "context deadline exceeded", "lookup"]),
    ] {
        let error = wait_for(job, Duration::from_secs(20), || last_error(&server, job));
        assert!(words.iter().any(|word| error.contains(word)), "{job}: {error}");
    }
    wait_for("five good scrapes", Duration::from_secs(20), || {
        server.number("count_over_time(good[1m])").filter(|n| *n >= 5.0)
    });
    let more = peak_kib(&server).saturating_sub(before);
    assert!(more < MORE_KIB_MAX, "{more} KiB more than the {before} KiB of the start");
    assert_eq!(server.number("count(up == 0)"), Some(6.0));
    assert_eq!(server.number("min_over_time(up{job=\"good\"}[1m])"), Some(1.0));
}

#[test]
fn a_storm_of_reloads_does_not_disturb_unchanged_targets() {
    let target = Target::start(|_| Reply::text("m 1\n"));
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let server = Hinomi::start(Some(&config), &[]);
    wait_for("the first scrapes", Duration::from_secs(10), || (target.requests().len() >= 2).then_some(()));
    let before = target.requests().len();
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        server.process.signal("HUP");
    }
    let asked = target.requests().len() - before;
    assert!((4..=6).contains(&asked), "asked {asked} times in five seconds");
    assert_eq!(server.number("min_over_time(up{job=\"a\"}[1m])"), Some(1.0));
    // No gap, and no staleness marker: each second has its sample.
    assert_eq!(server.number("count(present_over_time(m[1500ms]))"), Some(1.0));
    let metrics = server.get("/metrics").body;
    let reloads =
        metrics.lines().find(|line| line.starts_with("prometheus_config_last_reload_successful ")).unwrap();
    assert!(reloads.ends_with(" 1"), "{reloads}");
}

/// A small file system of its own, gone with the test. Needs the right to mount; without it there is none.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(bytes: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn resize(&self, bytes: &str) {
        let options = format!("remount,size={bytes}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_stops_storing_and_nothing_else_and_room_lets_it_go_on() {
    let Some(disk) = Small::mount("6m") else {
        println!("skipped: mounting a file system needs root");
        return;
    };
    let page = |nth: usize| {
        let line = |series: usize| {
            format!("m{{series=\"{series}\",pad=\"{}\"}} {}\n", "x".repeat(50), (series * nth) % 9_973)
        };
        (0..4_000).map(line).collect::<String>()
    };
    let nth = std::sync::atomic::AtomicUsize::new(0);
    let target =
        Target::start(move |_| Reply::text(page(nth.fetch_add(1, std::sync::atomic::Ordering::Relaxed))));
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let data = format!("--storage.tsdb.path={}", disk.0.path().join("data").display());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config).unwrap();
    let server = Hinomi::start_in(folder, vec![data, format!("--config.file={}", path.display())]);
    // Fill what is left, so that the test does not wait for samples to do it.
    wait_for("the first samples", Duration::from_secs(10), || server.number("count(m)"));
    let filler = disk.0.path().join("filler");
    let _ = std::fs::write(&filler, vec![0; 8 << 20]);
    let error =
        wait_for("a scrape that cannot be stored", Duration::from_secs(60), || last_error(&server, "a"));
    assert!(error.contains("cannot store the scrape"), "{error}");
    assert_eq!(server.get("/-/healthy").status, 200);
    assert_eq!(server.number("count(last_over_time(m[5m]))"), Some(4_000.0), "what was stored is answered");
    disk.resize("256m");
    wait_for("storing goes on", Duration::from_secs(30), || last_error(&server, "a").is_none().then_some(()));
    wait_for("new samples", Duration::from_secs(30), || {
        server.number("max(timestamp(m)) - time()").filter(|behind| *behind > -2.0)
    });
}
