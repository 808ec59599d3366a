//! What Hinomi scrapes and is sent goes on to Debian's Prometheus by remote write 1.0 and to another Hinomi by 2.0. Both are away
//! for a while, and Hinomi is killed twice in between; afterwards all three have the same samples.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Exemplar, Histogram, Labels};
use serde_json::Value;
use wire::remote_write::{Sample, TimeSeries, compress, encode_v2};

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, Process, free_port, get, now_secs, query, wait_for};

/// Of the target.
const SERIES: usize = 200;
/// Everything that is compared.
const ALL: &str = "{__name__=~\"seq|same|up|late|shape|scrape_samples_scraped\"}";

/// Debian's Prometheus as a receiver that can go away and come back.
struct Receiver {
    process: Process,
    base: String,
}

fn receiver(folder: &Path, port: u16) -> Receiver {
    let config = folder.join("receiver.yml");
    std::fs::write(&config, "scrape_configs: []\n").unwrap();
    let mut command = Command::new("/usr/bin/prometheus");
    command
        .args(["--web.enable-remote-write-receiver", "--enable-feature=native-histograms,exemplar-storage"])
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("receiver-data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let process = Process::start(&mut command, &folder.join("receiver.log"));
    let base = format!("http://127.0.0.1:{port}");
    wait_for("receiver", Duration::from_secs(30), || {
        get(&format!("{base}/-/ready")).ok().filter(|answer| answer.status == 200)
    });
    Receiver { process, base }
}

/// Counts up in most series; some come and go, so that staleness markers are among the samples.
fn target() -> Target {
    let counter = Arc::new(AtomicU64::new(0));
    Target::start(move |_| {
        let value = counter.fetch_add(1, Ordering::SeqCst);
        let mut body = String::from("# HELP seq Counts.\n# TYPE seq counter\n");
        for series in (0..SERIES as u64).filter(|series| series % 10 != 0 || (value / 4).is_multiple_of(2)) {
            body.push_str(&format!("seq{{n=\"{series}\"}} {}\n", value * 1_000 + series));
        }
        body.push_str("# TYPE same gauge\nsame 42\n");
        Reply::text(body)
    })
}

/// Remote write 2.0, which takes all of it.
fn write(server: &Hinomi, series: &[TimeSeries]) {
    let response = ureq::post(format!("{}/api/v1/write", server.base))
        .header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("Content-Encoding", "snappy")
        .send(&compress(&encode_v2(series))[..])
        .unwrap();
    assert_eq!(response.status(), 204);
}

/// Samples that come late, a native histogram and an exemplar, as another server would send them.
fn push(server: &Hinomi, n: i64) {
    let t_ms = (now_secs() * 1e3) as i64;
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("job", "pushed")]);
    let sample = |t_ms, value| Sample { t_ms, start_ms: 0, value };
    let exemplar = Exemplar { labels: Labels::from_pairs([("trace_id", format!("t{n}"))]), value: 1.0, t_ms };
    let late = TimeSeries {
        labels: labels("late"),
        samples: vec![sample(t_ms - 12_000, n as f64), sample(t_ms - 11_900, n as f64 + 0.5)],
        exemplars: vec![exemplar],
        ..TimeSeries::default()
    };
    let histogram = Histogram {
        is_integer: true,
        count: n as f64,
        sum: 3.0 * n as f64,
        positive_spans: vec![model::histogram::Span { offset: 0, length: 1 }],
        positive_buckets: vec![n as f64],
        ..Histogram::default()
    };
    let shape = TimeSeries {
        labels: labels("shape"),
        histograms: vec![(t_ms, 0, histogram)],
        ..TimeSeries::default()
    };
    write(server, &[late, shape]);
}

fn pass(server: &Hinomi, secs: u64, pushed: &mut i64) {
    for _ in 0..secs {
        let until = now_secs() + 1.0;
        *pushed += 1;
        push(server, *pushed);
        wait_for("time to pass", Duration::from_secs(10), || (now_secs() > until).then_some(()));
    }
}

#[test]
fn receivers_that_were_away_get_every_sample_though_the_sender_was_killed_twice() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut prometheus = receiver(folder.path(), port);
    let mut other = Hinomi::start(Some("scrape_configs: []\n"), &["--web.enable-remote-write-receiver"]);
    let target = target();
    let config = format!(
        "global: {{external_labels: {{site: a}}}}\nremote_write:\n- url: {}/api/v1/write\n  send_exemplars: true\n  \
         send_native_histograms: true\n  queue_config: {{batch_send_deadline: 500ms, max_samples_per_send: 300}}\n  \
         metadata_config: {{send_interval: 1s}}\n- url: {}/api/v1/write\n  protobuf_message: io.prometheus.write.v2.Request\n  \
         queue_config: {{batch_send_deadline: 500ms, max_samples_per_send: 300}}\nscrape_configs:\n- job_name: load\n  \
         scrape_interval: 250ms\n  scrape_timeout: 250ms\n  static_configs:\n  - targets: ['{}']\n",
        prometheus.base, other.base, target.address
    );
    let mut server = Hinomi::start(Some(&config), &["--web.enable-remote-write-receiver"]);
    let mut pushed = 0;
    pass(&server, 4, &mut pushed);
    for base in [prometheus.base.clone(), other.base.clone()] {
        wait_for("first samples", Duration::from_secs(20), || {
            (!query(&base, "seq{n=\"1\"}", None).as_array()?.is_empty()).then_some(())
        });
    }
    prometheus.process.kill9();
    other.process.kill9();
    for _ in 0..2 {
        pass(&server, 3, &mut pushed);
        server.process.kill9();
        server.restart();
    }
    pass(&server, 3, &mut pushed);
    let prometheus = receiver(folder.path(), port);
    other.restart();
    pass(&server, 2, &mut pushed);

    let at = now_secs();
    let ours = sorted(query(&server.base, &format!("{ALL}[5m]"), Some(at)), None);
    assert!(ours.len() > SERIES, "{} series", ours.len());
    for (what, base) in [("Prometheus", &prometheus.base), ("Hinomi", &other.base)] {
        let mut last = Vec::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("every sample", Duration::from_secs(60), || {
                last = sorted(query(base, &format!("{ALL}[5m]"), Some(at)), Some("a"));
                (last == ours).then_some(())
            });
        }));
        if found.is_err() {
            compare(what, &ours, &last);
        }
        let exemplars =
            get(&format!("{base}/api/v1/query_exemplars?query=late&start={}&end={at}", at - 300.0));
        let exemplars = exemplars.unwrap().json()["data"][0]["exemplars"].as_array().map_or(0, Vec::len);
        assert_eq!(exemplars, pushed as usize, "{what}: exemplars");
        let metadata = get(&format!("{base}/api/v1/metadata?metric=seq")).unwrap().json();
        if what == "Hinomi" {
            assert_eq!(metadata["data"]["seq"][0]["help"], "Counts.", "{what}");
        }
    }
    let n_samples: usize = ours.iter().map(|series| series["values"].as_array().map_or(0, Vec::len)).sum();
    println!("{n_samples} floats of {} series are the same in three places", ours.len());
    let page = server.get("/metrics").body;
    let lines = page.lines().filter(|line| line.starts_with("prometheus_remote_storage_samples_"));
    lines.for_each(|line| println!("{line}"));
}

#[test]
fn six_hours_that_were_taken_while_the_receiver_was_away_arrive_whole() {
    let mut other = Hinomi::start(Some("scrape_configs: []\n"), &["--web.enable-remote-write-receiver"]);
    let config = format!(
        "remote_write:\n- url: {}/api/v1/write\n  queue_config: {{batch_send_deadline: 500ms}}\nscrape_configs: []\n",
        other.base
    );
    let mut server = Hinomi::start(Some(&config), &["--web.enable-remote-write-receiver"]);
    other.process.kill9();
    // A sample every 15 s of 20 series, an hour in each request, and the sender killed after two of them.
    let now_ms = (now_secs() * 1e3) as i64;
    for hour in 0..6_i64 {
        let series = |n: usize| TimeSeries {
            labels: Labels::from_pairs([("__name__", "past"), ("n", &n.to_string())]),
            samples: (0..240)
                .map(|at| now_ms - (6 - hour) * 3_600_000 + at * 15_000)
                .map(|t_ms| Sample { t_ms, start_ms: 0, value: (t_ms / 1_000 + n as i64) as f64 })
                .collect(),
            ..TimeSeries::default()
        };
        write(&server, &(0..20).map(series).collect::<Vec<_>>());
        if hour == 1 || hour == 3 {
            server.process.kill9();
            server.restart();
        }
    }
    other.restart();
    let at = now_secs();
    let ours = sorted(query(&server.base, "past[7h]", Some(at)), None);
    let n_samples: usize = ours.iter().map(|series| series["values"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(n_samples, 20 * 6 * 240);
    wait_for("every sample", Duration::from_secs(60), || {
        (sorted(query(&other.base, "past[7h]", Some(at)), None) == ours).then_some(())
    });
}

/// By labels, without the label that was added on the way.
fn sorted(mut result: Value, site: Option<&str>) -> Vec<Value> {
    let mut series = std::mem::take(result.as_array_mut().unwrap());
    for one in &mut series {
        let added = one["metric"].as_object_mut().unwrap().remove("site");
        assert_eq!(added.as_ref().and_then(Value::as_str), site);
    }
    series.sort_by_key(|series| series["metric"].to_string());
    series
}

fn compare(what: &str, ours: &[Value], theirs: &[Value]) {
    assert_eq!(ours.len(), theirs.len(), "{what}: number of series");
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours, theirs, "{what}");
    }
}
