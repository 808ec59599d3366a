//! A disk that refuses and a clock that jumps under the real server, and memory that runs out: no acknowledged sample is lost, writers are
//! told, a counter and the log say why, and it recovers by itself.
//!
//! strace lets system calls of a running server fail, libfaketime moves its clock; both are Debian's, see `cargo xtask install`.
//! In the engine alone: `tsdb/tests/crash.rs`, every operation of a simulated disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::target::{Reply, Target};
use crate::harness::{Answer, Hinomi, Process, binary, now_secs, output, post, wait_for};

const ACCEPTED: u16 = 204;
const LATER: u16 = 503;

/// A writer, and what it was told is stored: each sample is a series of its own.
struct Writer<'a> {
    server: &'a Hinomi,
    n_sent: usize,
    acknowledged: BTreeSet<String>,
}

impl<'a> Writer<'a> {
    fn new(server: &'a Hinomi) -> Self {
        Self { server, n_sent: 0, acknowledged: BTreeSet::new() }
    }

    fn write(&mut self) -> Answer {
        self.n_sent += 1;
        let name = format!("w{}", self.n_sent);
        let answer = self.server.post("/write", "text/plain", &format!("acked,s={name} v=1\n"));
        if answer.status == ACCEPTED {
            self.acknowledged.insert(name);
        }
        answer
    }

    fn write_until(&mut self, status: u16) -> Answer {
        wait_for(&format!("an answer of {status}"), Duration::from_secs(30), || {
            Some(self.write()).filter(|answer| answer.status == status)
        })
    }
}

/// The series of [`Writer`] that have a sample at any time.
fn stored(server: &Hinomi) -> BTreeSet<String> {
    let answer = server.get("/api/v1/label/s/values?match[]=acked_v");
    let values = answer.json()["data"].as_array().unwrap().clone();
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

fn counter(server: &Hinomi, name: &str) -> f64 {
    let metrics = server.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Calls of a running server that fail as long as this lives.
struct Failing(Process);

impl Failing {
    /// `calls` by name, those on the file `only` when there is one, fail with `error`.
    fn begin(server: &Hinomi, calls: &str, error: &str, only: Option<&Path>) -> Self {
        let mut command = Command::new("/usr/bin/strace");
        command.args(["-f", "-p", &server.process.pid().to_string(), "-o", "/dev/null"]);
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error={error}")]);
        if let Some(only) = only {
            command.arg("-P").arg(only);
        }
        let log = server.folder.path().join(format!("strace-{error}-{}.log", only.is_some()));
        assert!(
            Path::new("/usr/bin/strace").exists(),
            "this test needs strace: cargo xtask install, or apt-get install strace"
        );
        let strace = Process::start(&mut command, &log);
        wait_for(
            "strace at work (it needs root, or kernel.yama.ptrace_scope=0)",
            Duration::from_secs(10),
            || strace.log().contains("attached").then_some(()),
        );
        Self(strace)
    }

    fn end(mut self) {
        self.0.signal("INT");
        assert!(self.0.wait_exit(Duration::from_secs(10)).is_some(), "strace lets go");
    }
}

/// The newest file of samples in the log.
fn log_file(server: &Hinomi) -> PathBuf {
    let files = std::fs::read_dir(server.folder.path().join("data/wal")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|path| path.to_string_lossy().contains("/rows-")).max().unwrap()
}

fn with_writer(config: Option<&str>, args: &[&str]) -> Hinomi {
    Hinomi::start(config, &[args, &["--web.enable-influx-receiver"]].concat())
}

#[test]
fn a_disk_that_cannot_sync_costs_nothing_acknowledged_and_says_so() {
    let mut server = with_writer(None, &[]);
    let acknowledged = {
        let mut writer = Writer::new(&server);
        writer.write_until(ACCEPTED);
        let failing = Failing::begin(&server, "fdatasync,fsync", "EIO", None);
        let answer = writer.write_until(LATER);
        assert!(answer.body.contains("Input/output error"), "{}", answer.body);
        assert!(counter(&server, "tsdb_wal_syncs_failed_total") >= 1.0);
        assert!(counter(&server, "tsdb_commits_failed_total") >= 1.0);
        assert!(
            server
                .process
                .log()
                .contains("cannot write the log to the disk; acknowledged samples are at risk")
        );
        let notices = server.get("/api/v1/notifications").body;
        assert!(notices.contains("The log cannot be written to the disk"), "{notices}");
        assert_eq!(stored(&server), writer.acknowledged, "while it fails");
        failing.end();
        writer.write_until(ACCEPTED);
        assert_eq!(stored(&server), writer.acknowledged, "it recovers by itself");
        writer.acknowledged.clone()
    };
    server.process.kill9();
    server.restart();
    assert_eq!(stored(&server), acknowledged);
}

#[test]
fn a_disk_without_room_costs_nothing_acknowledged_and_a_restart_recovers() {
    let mut server = with_writer(None, &[]);
    let acknowledged = {
        let mut writer = Writer::new(&server);
        (0..5).for_each(|_| drop(writer.write_until(ACCEPTED)));
        let failing = Failing::begin(&server, "write,pwrite64,writev", "ENOSPC", Some(&log_file(&server)));
        let answer = writer.write_until(LATER);
        assert!(answer.body.contains("No space left on device"), "{}", answer.body);
        assert!(server.process.log().contains("No space left on device"));
        assert!(counter(&server, "tsdb_commits_failed_total") >= 1.0);
        assert_eq!(server.get("/-/healthy").status, 200);
        assert_eq!(stored(&server), writer.acknowledged, "what was stored is answered");
        failing.end();
        writer.write_until(ACCEPTED);
        // Killed in the middle of it.
        let _failing = Failing::begin(&server, "write,pwrite64,writev", "EIO", Some(&log_file(&server)));
        writer.write_until(LATER);
        server.process.signal("KILL");
        writer.acknowledged.clone()
    };
    server.process.kill9();
    server.restart();
    assert_eq!(stored(&server), acknowledged);
    let mut writer = Writer::new(&server);
    writer.write_until(ACCEPTED);
}

/// libfaketime's library, wherever Debian has it for this processor.
fn fake_time() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found
        .expect("this test needs libfaketime: cargo xtask install, or apt-get install faketime")
        .display()
        .to_string()
}

#[test]
fn a_clock_that_jumps_costs_no_sample_and_scrapes_go_on() {
    let target = Target::start(|_| Reply::text("m 1\n"));
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let (path, clock) = (folder.path().join("prometheus.yml"), folder.path().join("clock"));
    std::fs::write(&path, config).unwrap();
    let set = |offset: &str| std::fs::write(&clock, format!("{offset}\n")).unwrap();
    set("+0");
    let args = vec![
        format!("--config.file={}", path.display()),
        "--web.enable-influx-receiver".to_owned(),
        "--storage.tsdb.retention.time=0".to_owned(),
    ];
    let envs = [
        ("LD_PRELOAD", fake_time()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    let envs = envs.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let mut server = Hinomi::start_with_env(folder, args, envs);
    let scrapes_go_on = |server: &Hinomi, what: &str| {
        wait_for(&format!("scrapes {what}"), Duration::from_secs(20), || {
            server.number("count_over_time(m[5s])").filter(|n| *n >= 3.0)
        });
    };
    let acknowledged = {
        let mut writer = Writer::new(&server);
        // An hour back, a day forth, back again, and back over the beginning of a block.
        for offset in ["+0", "-3600s", "+0", "+86400s", "+0", "-10800s", "+0"] {
            set(offset);
            std::thread::sleep(Duration::from_millis(50));
            (0..5).for_each(|_| drop(writer.write_until(ACCEPTED)));
            scrapes_go_on(&server, offset);
            assert_eq!(stored(&server), writer.acknowledged, "{offset}");
        }
        // The second day of 1970, as on a board without a battery; Linux has no clock before 1970.
        set(&format!("-{}s", now_secs() as u64 - 86_400));
        std::thread::sleep(Duration::from_millis(50));
        (0..5).for_each(|_| drop(writer.write_until(ACCEPTED)));
        assert_eq!(stored(&server), writer.acknowledged);
        writer.acknowledged.clone()
    };
    server.process.kill9();
    server.restart();
    assert_eq!(stored(&server), acknowledged, "a start in 1970");
    set("+0");
    scrapes_go_on(&server, "after all of it");
    server.process.kill9();
    server.restart();
    assert_eq!(stored(&server), acknowledged);
    assert!(!server.process.log().contains("panic"), "{}", server.process.log());
}

#[test]
fn a_clock_before_1970_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["server", "alertmanager"] {
        let (code, _, err) = output(
            binary()
                .arg(command)
                .arg("--web.listen-address=127.0.0.1:0")
                .current_dir(folder.path())
                .env("LD_PRELOAD", fake_time())
                .env("FAKETIME", format!("-{}s", now_secs() as u64 + 315_360_000))
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        );
        assert!(code == 1 && err.contains("the machine's clock is before 1970; set it"), "{command}: {err}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
}

/// Lines of known series at one time, with values of many digits.
fn rows(n_series: usize, row: u64, at_ms: u64) -> String {
    let value = |id: usize| (row as f64 * 0.37 + id as f64).sin();
    (0..n_series).map(|id| format!("k,id={id} v={} {at_ms}000000\n", value(id))).collect()
}

#[test]
fn memory_over_every_mark_is_told_by_counters_and_comes_back() {
    const SERIES: usize = 4_000;
    let server = with_writer(Some("scrape_configs: []\n"), &["--storage.memory.budget-bytes=6000000B"]);
    let now_ms = (now_secs() * 1e3) as u64 - 600_000;
    let mut n_rows = 0;
    let mut write = || {
        let body = rows(SERIES, n_rows + 1, now_ms + (n_rows + 1) * 1_000);
        // One that is put off is answered before its body is read, and may not be all sent.
        let answer = post(&format!("{}/write", server.base), "text/plain", &body);
        let status = answer.map_or(LATER, |answer| answer.status);
        // What was put off comes again, as a sender's would: rows must not run ahead of the clock that the question below is asked by.
        n_rows += u64::from(status == ACCEPTED);
        status
    };
    // Samples of known series, more and more, until memory was over the marks.
    let mut n_taken = 0;
    let marks = ["hinomi_influx_shed_total", "tsdb_memory_early_seals_total", "tsdb_blocks_loaded"];
    for mark in marks {
        wait_for(mark, Duration::from_secs(150), || {
            // Not for ever: the bodies of a test have to be made.
            n_taken += usize::from(n_taken < 400 && write() == ACCEPTED);
            (counter(&server, mark) >= 1.0).then_some(())
        });
    }
    assert_eq!(server.get("/-/ready").status, 200);
    // What was sealed is out of memory: it goes on by itself.
    wait_for("writers taken again", Duration::from_secs(60), || (write() == ACCEPTED).then_some(()));
    let fresh = || server.post("/write", "text/plain", "fresh v=1\n").status;
    wait_for("new series taken again", Duration::from_secs(60), || (fresh() == ACCEPTED).then_some(()));
    assert!(counter(&server, "tsdb_head_memory_bytes") < 6e6);
    let stored = server.number("sum(count_over_time(k_v[1h]))").unwrap();
    assert!(stored >= (n_taken * SERIES) as f64, "{stored} of {n_taken} rows");
}

#[test]
fn memory_that_runs_out_refuses_new_series_by_name_then_writers_and_known_series_go_on() {
    let target = Target::start(|_| Reply::text("known 1\n"));
    let config = format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let server = with_writer(Some(&config), &["--storage.memory.budget-bytes=8000000B"]);
    wait_for("a scrape", Duration::from_secs(10), || server.number("known"));
    assert_eq!(counter(&server, "tsdb_memory_budget_bytes"), 8e6);
    // New series, until one is refused: in small requests, so that the marks are met one after the other.
    let mut n_lines = 0;
    let refused = wait_for("a refused series", Duration::from_secs(120), || {
        let lines: String =
            (n_lines..n_lines + 500).map(|n| format!("flood,job=noisy,id={n} v=1\n")).collect();
        n_lines += 500;
        Some(server.post("/write", "text/plain", &lines)).filter(|answer| answer.status != ACCEPTED)
    });
    let offender = "hinomi_storage_refused_series_total{metric=\"flood_v\",job=\"noisy\"}";
    let held = counter(&server, "tsdb_head_memory_bytes");
    assert!(held < 8e6, "{held}");
    assert!(matches!(refused.status, 400 | 503), "{refused:?}");
    if refused.status == 400 {
        assert!(refused.body.contains("memory"), "{}", refused.body);
        assert!(counter(&server, offender) >= 1.0, "the counter names whose they were");
        assert!(counter(&server, "tsdb_memory_limit_hits_total") >= 1.0);
    }
    wait_for("a notice", Duration::from_secs(10), || {
        server.get("/api/v1/notifications").body.contains("Memory for samples is short").then_some(())
    });
    // Known series go on, by scrapes and by writes.
    let before = server.number("count_over_time(known[5m])").unwrap();
    wait_for("more of a known series", Duration::from_secs(10), || {
        server.number("count_over_time(known[5m])").filter(|n| *n > before + 3.0)
    });
}
