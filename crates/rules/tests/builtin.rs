//! The built-in rules over series as node_exporter gives them: what must fire does, and quiet hosts stay quiet.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;

use common::{HOUR_MS, MINUTE_MS, World};
use rules::{BuiltinRules, Options};
use storage::MemStore;

const GIB: f64 = 1_073_741_824.0;

/// One host's series at `t_ms` (from the start) and `now_ms` (wall).
type Host = dyn Fn(i64, i64) -> Vec<(&'static str, f64)>;

/// Runs `host` for `ms`; returns the names of alerts that fire at the end.
fn firing_after(ms: i64, host: &Host) -> Vec<String> {
    let mut world =
        World::with("groups: []", Options::default(), Arc::new(MemStore::new()), stdx::clock::TEST_EPOCH_MS);
    world.manager.reload(BuiltinRules::groups(&[]), Options::default(), world.now_ms);
    let begin_ms = world.now_ms;
    // A scrape each minute keeps a day cheap; the rules look back at least five minutes.
    let mut t_ms = 0;
    while t_ms < ms {
        for (series, value) in host(t_ms, begin_ms + t_ms) {
            world.put_at(series, begin_ms + t_ms, value);
        }
        t_ms += MINUTE_MS;
        while world.manager.next_deadline_ms() < begin_ms + t_ms {
            world.step();
        }
    }
    let broken: Vec<_> = world
        .manager
        .views()
        .iter()
        .flat_map(|group| group.rules.clone())
        .filter(|rule| !rule.last_error.is_empty())
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let firing = world.alerts().into_iter().filter(|alert| alert.state == rules::AlertState::Firing);
    let mut names: Vec<_> = firing
        .map(|alert| {
            let text = alert.annotations.to_string();
            assert!(!text.contains("error expanding") && !text.contains("<no value>"), "{text}");
            alert.labels.get("alertname").unwrap_or("").to_owned()
        })
        .collect();
    names.sort();
    names
}

fn healthy(t_ms: i64, now_ms: i64) -> Vec<(&'static str, f64)> {
    let t = t_ms as f64 / 1_000.0;
    vec![
        (r#"up{job="host",instance="a"}"#, 1.0),
        (r#"node_time_seconds{job="host",instance="a"}"#, now_ms as f64 / 1_000.0 + 0.1),
        (r#"node_timex_offset_seconds{job="host",instance="a"}"#, 0.001),
        (r#"node_memory_MemTotal_bytes{job="host",instance="a"}"#, 8.0 * GIB),
        (r#"node_memory_MemAvailable_bytes{job="host",instance="a"}"#, 4.0 * GIB),
        (r#"node_cpu_seconds_total{job="host",instance="a",cpu="0",mode="idle"}"#, t * 0.9),
        (r#"node_cpu_seconds_total{job="host",instance="a",cpu="0",mode="user"}"#, t * 0.1),
        (r#"node_vmstat_oom_kill{job="host",instance="a"}"#, 0.0),
        (
            r#"node_filesystem_readonly{job="host",instance="a",device="/dev/a",fstype="ext4",mountpoint="/"}"#,
            0.0,
        ),
        (
            r#"node_filesystem_size_bytes{job="host",instance="a",device="/dev/a",fstype="ext4",mountpoint="/"}"#,
            100.0 * GIB,
        ),
        (
            r#"node_filesystem_files{job="host",instance="a",device="/dev/a",fstype="ext4",mountpoint="/"}"#,
            1e6,
        ),
        (
            r#"node_filesystem_files_free{job="host",instance="a",device="/dev/a",fstype="ext4",mountpoint="/"}"#,
            9e5,
        ),
        (r#"prometheus_config_last_reload_successful{job="hinomi",instance="s"}"#, 1.0),
    ]
}

const AVAIL: &str =
    r#"node_filesystem_avail_bytes{job="host",instance="a",device="/dev/a",fstype="ext4",mountpoint="/"}"#;

/// A healthy host with other values for some series, and the free space in GiB.
fn host(avail_gib: f64, others: &[(&'static str, f64)], t_ms: i64, now_ms: i64) -> Vec<(&'static str, f64)> {
    let mut series = healthy(t_ms, now_ms);
    series.push((AVAIL, avail_gib * GIB));
    for (name, value) in others {
        series.retain(|(known, _)| known != name);
        series.push((name, *value));
    }
    series
}

#[track_caller]
fn check(ms: i64, make: &Host, expected: &[&str]) {
    assert_eq!(firing_after(ms, make), expected);
}

#[test]
fn a_healthy_host_is_quiet() {
    check(3 * HOUR_MS, &|t, now| host(50.0, &[], t, now), &[]);
}

#[test]
fn a_host_that_goes_away_fires_and_stays() {
    let goes = |t: i64, now: i64| {
        if t < 30 * MINUTE_MS {
            host(50.0, &[], t, now)
        } else {
            vec![(r#"up{job="host",instance="a"}"#, 0.0)]
        }
    };
    check(35 * MINUTE_MS, &goes, &["HostGone"]);
    check(3 * HOUR_MS, &goes, &["HostGone"]);
    let comes_back =
        move |t: i64, now: i64| if t > 50 * MINUTE_MS { host(50.0, &[], t, now) } else { goes(t, now) };
    check(75 * MINUTE_MS, &comes_back, &[]);
}

#[test]
fn a_host_that_pushes_is_gone_when_its_metrics_stop() {
    let pushes = |t: i64, now: i64| {
        let mut series = if t < 30 * MINUTE_MS { healthy(t, now) } else { Vec::new() };
        series.retain(|(name, _)| !name.starts_with("up{"));
        series
    };
    check(45 * MINUTE_MS, &pushes, &["HostGone"]);
}

#[test]
fn a_pet_that_discovery_no_longer_finds_is_told_and_cattle_is_not() {
    for (class, expected) in [("pet", &["HostVanished"][..]), ("cattle", &[])] {
        let host = move |t: i64, _: i64| {
            let series = match class {
                "pet" => r#"up{job="web",instance="w",host_class="pet"}"#,
                _ => r#"up{job="web",instance="w",host_class="cattle"}"#,
            };
            let rest = (r#"up{job="web",instance="v"}"#, 1.0);
            if t < 30 * MINUTE_MS { vec![(series, 1.0), rest] } else { vec![rest] }
        };
        check(60 * MINUTE_MS, &host, expected);
    }
}

#[test]
fn a_target_without_host_metrics_is_down() {
    check(10 * MINUTE_MS, &|_, _| vec![(r#"up{job="web",instance="w"}"#, 0.0)], &["TargetDown"]);
}

#[test]
fn a_target_that_flaps_is_told() {
    let flaps =
        |t: i64, _: i64| vec![(r#"up{job="web",instance="w"}"#, f64::from(u8::from(t / MINUTE_MS % 2 == 0)))];
    check(31 * MINUTE_MS, &flaps, &["ScrapesFailingOften"]);
}

#[test]
fn a_disk_that_fills_is_told_before_it_is_full() {
    // 35 GiB left, 2 GiB an hour: full in 17 hours.
    check(
        4 * HOUR_MS,
        &|t, now| host(35.0 - 2.0 * t as f64 / HOUR_MS as f64, &[], t, now),
        &["DiskFillingWithin24h"],
    );
    // 19 GiB left, 5 GiB an hour.
    check(
        2 * HOUR_MS + 30 * MINUTE_MS,
        &|t, now| host(19.0 - 5.0 * t as f64 / HOUR_MS as f64, &[], t, now),
        &["DiskFillingWithin24h", "DiskFillingWithin4h"],
    );
    // Much is left, or the history is short: no word.
    check(4 * HOUR_MS, &|t, now| host(90.0 - 5.0 * t as f64 / HOUR_MS as f64, &[], t, now), &[]);
    check(25 * MINUTE_MS, &|t, now| host(19.0 - 15.0 * t as f64 / HOUR_MS as f64, &[], t, now), &[]);
    check(20 * MINUTE_MS, &|t, now| host(4.0, &[], t, now), &["DiskAlmostFull"]);
    check(20 * MINUTE_MS, &|t, now| host(0.5, &[], t, now), &["DiskAlmostFull", "DiskFull"]);
}

#[test]
fn memory_cpu_and_clock() {
    let memory = [(r#"node_memory_MemAvailable_bytes{job="host",instance="a"}"#, 0.2 * GIB)];
    check(10 * MINUTE_MS, &move |t, now| host(50.0, &memory, t, now), &["MemoryShort"]);
    let cpu = [(r#"node_cpu_seconds_total{job="host",instance="a",cpu="0",mode="idle"}"#, 0.0)];
    check(25 * MINUTE_MS, &move |t, now| host(50.0, &cpu, t, now), &["CpuSaturated"]);
    let clock = |t: i64, now: i64| {
        let own = now as f64 / 1_000.0 + 42.0;
        host(50.0, &[(r#"node_time_seconds{job="host",instance="a"}"#, own)], t, now)
    };
    check(10 * MINUTE_MS, &clock, &["ClockSkew"]);
    let kills = |t: i64, now: i64| {
        let n_kills = f64::from(u8::from(t > 10 * MINUTE_MS));
        host(50.0, &[(r#"node_vmstat_oom_kill{job="host",instance="a"}"#, n_kills)], t, now)
    };
    check(15 * MINUTE_MS, &kills, &["OutOfMemoryKill"]);
    let readonly = |t: i64, now: i64| {
        let is_readonly = f64::from(u8::from(t > 20 * MINUTE_MS));
        let name = r#"node_filesystem_readonly{job="host",instance="a",device="/dev/a",fstype="ext4",mountpoint="/"}"#;
        host(50.0, &[(name, is_readonly)], t, now)
    };
    check(25 * MINUTE_MS, &readonly, &["FilesystemWentReadonly"]);
}

#[test]
fn hinomi_watches_itself() {
    let failing = |t: i64, _: i64| {
        vec![
            (r#"prometheus_config_last_reload_successful{job="hinomi",instance="s"}"#, 0.0),
            (
                r#"prometheus_rule_evaluation_failures_total{job="hinomi",instance="s",rule_group="f;g"}"#,
                t as f64 / 60_000.0,
            ),
            (
                r#"alertmanager_notifications_failed_total{job="hinomi",instance="s",integration="email"}"#,
                t as f64 / 60_000.0,
            ),
            (
                r#"prometheus_notifications_dropped_total{job="hinomi",instance="s",alertmanager="http://a"}"#,
                t as f64 / 60_000.0,
            ),
        ]
    };
    check(
        15 * MINUTE_MS,
        &failing,
        &["ConfigReloadFailed", "NotificationsDropped", "NotificationsFailing", "RulesFailing"],
    );
}
