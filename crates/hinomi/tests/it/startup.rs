//! The first minute of a new user: start, look, stop.

use std::time::{Duration, Instant};

use crate::harness::{Hinomi, binary, free_port, get, output, wait_for};

#[test]
fn empty_directory_is_ready_within_a_second() {
    // The best of three: the bar is about our work, not about what else this machine does.
    let best = (0..3).map(|_| {
        let started = Instant::now();
        let server = Hinomi::start(None, &[]);
        let took = started.elapsed();
        drop(server);
        took
    });
    let best = best.min().unwrap();
    println!("ready after {best:?}");
    assert!(best < Duration::from_secs(1), "ready after {best:?}");
}

#[test]
fn this_host_has_graphs_within_five_seconds() {
    let server = Hinomi::start(None, &[]);
    let started = Instant::now();
    let needed = [
        "node_load1",
        "node_memory_MemAvailable_bytes",
        "sum by (mode) (rate(node_cpu_seconds_total[1m]))",
        "node_filesystem_avail_bytes",
        "rate(node_network_receive_bytes_total[1m])",
        "rate(node_disk_read_bytes_total[1m])",
        "node_uname_info",
        "node_boot_time_seconds",
        "node_time_seconds",
        "node_netstat_Tcp_CurrEstab",
        "node_vmstat_pgfault",
        "rate(node_context_switches_total[1m])",
        "up{job=\"hinomi\"}",
        "{__name__=~\"(hinomi|tsdb|scrape|process)_.*\"}",
    ];
    for expr in needed {
        wait_for(expr, Duration::from_secs(5).saturating_sub(started.elapsed()), || {
            server.query(expr, None).as_array().filter(|result| !result.is_empty()).map(|_| ())
        });
    }
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<html"), "{}", page.body);
    let rules = server.get("/api/v1/rules").json();
    assert!(!rules["data"]["groups"].as_array().unwrap().is_empty(), "built-in rules are listed");
}

/// A rule that fails on what we ourselves expose would tell a new user of a fault that is ours.
#[test]
fn built_in_rules_do_not_fail_on_our_own_metrics() {
    let server = Hinomi::start(None, &[]);
    wait_for("two scrapes of ourselves", Duration::from_secs(40), || {
        server.number("count_over_time(up{job=\"hinomi\"}[5m])").filter(|n| *n >= 2.0)
    });
    // Only what is evaluated from here on has seen them.
    let seen = server.number("vector(time())").unwrap();
    let last = format!("min(prometheus_rule_group_last_evaluation_timestamp_seconds) > {seen}");
    let rules = wait_for("an evaluation of every group", Duration::from_secs(70), || {
        let rules = server.get("/api/v1/rules").json();
        let is_known = !rules.to_string().contains("\"health\":\"unknown\"");
        server.number(&last).filter(|_| is_known).map(|_| rules)
    });
    let failing: Vec<_> = rules["data"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .filter(|rule| rule["health"] != "ok")
        .map(|rule| format!("{}: {}", rule["name"], rule["lastError"]))
        .collect();
    assert!(failing.is_empty(), "{failing:?}");
}

#[test]
fn idle_memory_stays_under_30_mb() {
    let server = Hinomi::start(None, &[]);
    wait_for("two scrapes", Duration::from_secs(40), || {
        server.number("count_over_time(up{job=\"host\"}[5m])").filter(|n| *n >= 4.0)
    });
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.pid())).unwrap();
    // What it allocates. The pages of its own code are three times those of a release build here.
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("idle: {} MiB allocated", kib / 1024);
    assert!(kib * 1024 < 30_000_000, "{line}");
}

#[test]
fn sigterm_and_ctrl_c_stop_it_cleanly_within_five_seconds() {
    for signal in ["TERM", "INT"] {
        let mut server = Hinomi::start(None, &[]);
        wait_for("a sample", Duration::from_secs(10), || server.number("node_load1"));
        let started = Instant::now();
        server.process.signal(signal);
        let code = server.process.wait_exit(Duration::from_secs(5));
        assert_eq!(code, Some(0), "{signal}: after {:?}: {}", started.elapsed(), server.process.log());
    }
}

#[test]
fn a_second_server_on_the_same_data_or_port_is_refused_with_a_reason() {
    let server = Hinomi::start(None, &[]);
    let data = server.folder.path().join("data");
    let other_port = format!("--web.listen-address=127.0.0.1:{}", free_port());
    let (code, _, err) =
        output(binary().arg("server").arg(other_port).arg(format!("--storage.tsdb.path={}", data.display())));
    assert_ne!(code, 0);
    assert!(err.contains("data") && err.contains("lock") || err.contains("another"), "{err}");

    let folder = tempfile::tempdir().unwrap();
    let same_port = format!("--web.listen-address={}", server.base.trim_start_matches("http://"));
    let (code, _, err) = output(
        binary().arg("server").arg(same_port).arg(format!("--storage.tsdb.path={}", folder.path().display())),
    );
    assert_ne!(code, 0);
    assert!(err.contains("web.listen-address"), "the message names the flag: {err}");
}

#[test]
fn help_version_and_usage_errors_read_well() {
    let (code, out, _) = output(binary().arg("--version"));
    assert_eq!(code, 0);
    assert!(out.starts_with("hinomi") && out.contains("0.1.0"), "{out}");
    for command in [vec![], vec!["server"], vec!["check"], vec!["check", "config"], vec!["check", "rules"]] {
        let (code, out, err) = output(binary().args(&command).arg("--help"));
        assert_eq!(code, 0, "{command:?}: {err}");
        assert!(out.contains("Usage"), "{command:?}: {out}");
    }
    let (code, _, err) = output(binary().arg("--no-such-flag"));
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("no-such-flag"), "{err}");
    let (code, _, err) = output(binary().args(["server", "--config.file=/nonexistent.yml"]));
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("/nonexistent.yml"), "{err}");
}

#[test]
fn own_metrics_are_exposed() {
    let server = Hinomi::start(None, &[]);
    let metrics = get(&format!("{}/metrics", server.base)).unwrap();
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("process_resident_memory_bytes"), "{}", metrics.body);
    assert!(metrics.body.contains("# TYPE"), "{}", metrics.body);
}
