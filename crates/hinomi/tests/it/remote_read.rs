//! Debian's Prometheus, which has no samples of its own, reads ours by remote read: its answers to queries are ours.

use std::time::Duration;

use model::{Histogram, Labels};
use wire::remote_write::{Sample, TimeSeries, compress, encode_v2};

use crate::harness::{Hinomi, escaped, free_port, get, now_secs, peers, query, wait_for};

/// As one that pushes: counters with gaps and resets, and a native histogram, five minutes of them.
fn push(server: &Hinomi, until_ms: i64) {
    let labels = |name: &str, n: usize| Labels::from_pairs([("__name__", name), ("n", &n.to_string())]);
    let mut series: Vec<TimeSeries> = (0..20)
        .map(|n| TimeSeries {
            labels: labels("counted", n),
            samples: (0..300i64)
                .filter(|at| (at + n as i64) % 37 != 0)
                .map(|at| Sample {
                    t_ms: until_ms - 300_000 + at * 1_000,
                    start_ms: 0,
                    value: (at % 140) as f64 * (n + 1) as f64 / 3.0,
                })
                .collect(),
            ..TimeSeries::default()
        })
        .collect();
    let histogram = |count: f64| Histogram {
        is_integer: true,
        count,
        sum: count * 1.5,
        positive_spans: vec![model::histogram::Span { offset: 0, length: 1 }],
        positive_buckets: vec![count],
        ..Histogram::default()
    };
    series.push(TimeSeries {
        labels: labels("shape", 0),
        histograms: (0..200).map(|at| (until_ms - 200_000 + at * 1_000, 0, histogram(at as f64))).collect(),
        ..TimeSeries::default()
    });
    let response = ureq::post(format!("{}/api/v1/write", server.base))
        .header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
        .header("Content-Encoding", "snappy")
        .send(&compress(&encode_v2(&series))[..])
        .unwrap();
    assert_eq!(response.status(), 204);
}

#[test]
fn prometheus_answers_from_our_samples_as_we_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Hinomi::start(
        Some("global: {external_labels: {site: a}}\nscrape_configs: []\n"),
        &["--web.enable-remote-write-receiver", "--storage.remote.read-max-bytes-in-frame=600"],
    );
    let at = now_secs().floor();
    push(&server, (at * 1e3) as i64);
    // Between samples: where a range begins at one, Debian's version counts it in.
    let at = at + 0.5;
    let config = format!("remote_read:\n- url: {}/api/v1/read\n  read_recent: true\n", server.base);
    let prometheus = peers::prometheus(folder.path(), &config);
    for expr in [
        "counted",
        "counted[5m]",
        "sum by (n) (rate(counted[1m]))",
        "increase(counted{n=~\"1.?\"}[2m]) > 0",
        "count_over_time(counted{n!~\"1|2\"}[4m])",
        "max(counted offset 1m)",
        "absent(nothing)",
    ] {
        let ours = query(&server.base, expr, Some(at)).to_string();
        // External labels are on what is read, and not on what we answer ourselves.
        let theirs = query(&prometheus.base(), expr, Some(at)).to_string().replace(",\"site\":\"a\"", "");
        assert!(ours.len() > 2, "{expr}: {ours}");
        assert_eq!(sorted(&ours), sorted(&theirs), "{expr}");
    }
    let counted = |selector: &str| {
        let result = query(&prometheus.base(), &format!("count({selector})"), Some(at));
        result[0]["value"][1].as_str().map(str::to_owned)
    };
    assert_eq!(counted("counted{site=\"a\"}").as_deref(), Some("20"), "a matcher on an external label holds");
    assert_eq!(counted("counted{site=\"b\"}"), None);
    let range = format!("query={}&start={}&end={at}&step=7", escaped("avg by (n) (counted)"), at - 280.0);
    let ask =
        |base: &str| get(&format!("{base}/api/v1/query_range?{range}")).unwrap().json()["data"].to_string();
    assert_eq!(sorted(&ask(&server.base)), sorted(&ask(&prometheus.base())));
}

/// The result's series in an order of their own.
fn sorted(json: &str) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    let list = value.get("result").unwrap_or(&value);
    let mut all: Vec<String> = list.as_array().unwrap().iter().map(ToString::to_string).collect();
    all.sort();
    all
}

#[test]
fn samples_in_one_message_stay_within_their_limit() {
    let server = Hinomi::start(
        Some("scrape_configs: []\n"),
        &["--web.enable-remote-write-receiver", "--storage.remote.read-sample-limit=1000"],
    );
    let until_ms = (now_secs() * 1e3) as i64;
    push(&server, until_ms);
    // Query 1 { start, end, matcher 3 { n = value } }.
    let request = |n: &str| {
        let mut query = vec![0x08];
        stdx::varint::put_u64(&mut query, (until_ms - 400_000) as u64);
        query.push(0x10);
        stdx::varint::put_u64(&mut query, until_ms as u64);
        let kind = if n.len() > 1 { 2 } else { 0 };
        let matcher = [&[0x08, kind, 0x12, 1, b'n', 0x1a, n.len() as u8], n.as_bytes()].concat();
        query.extend([0x1a, matcher.len() as u8]);
        query.extend(matcher);
        compress(&[&[0x0a, query.len() as u8], &query[..]].concat())
    };
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let ask = |n: &str| agent.post(format!("{}/api/v1/read", server.base)).send(&request(n)[..]).unwrap();
    let mut one = ask("1");
    assert_eq!(
        (one.status().as_u16(), &one.headers()["content-type"]),
        (200, &"application/x-protobuf".parse().unwrap())
    );
    let body = one.body_mut().read_to_vec().unwrap();
    let mut buffer = Vec::new();
    let message = wire::remote_write::decompress(&body, &mut buffer).unwrap();
    assert!(message.windows(7).any(|part| part == b"counted"));
    let mut all = ask(".*");
    assert_eq!(all.status(), 400);
    assert_eq!(all.body_mut().read_to_string().unwrap(), "exceeded sample limit (1000)\n");
    let bad = agent.post(format!("{}/api/v1/read", server.base)).send("nonsense").unwrap();
    assert_eq!(bad.status(), 400);
}

#[test]
fn other_servers_are_read_beside_the_own_store_and_one_that_fails_is_a_warning() {
    let other = Hinomi::start(Some("hinomi: {self_metrics: true}\nglobal: {scrape_interval: 1s}\n"), &[]);
    let query = "up{job=\"hinomi\"}";
    wait_for(query, Duration::from_secs(15), || other.number(query));
    let config = |url: &str| format!("remote_read:\n- url: {url}/api/v1/read\n  read_recent: true\n");
    let reader = Hinomi::start(Some(&config(&other.base)), &[]);
    assert_eq!(reader.number(query), Some(1.0));
    assert!(reader.number(&format!("count_over_time({query}[1m])")).unwrap() >= 1.0);
    let gone = format!("http://127.0.0.1:{}", free_port());
    let alone = Hinomi::start(Some(&config(&gone)), &[]);
    let answer = alone.get("/api/v1/query?query=up").body;
    assert!(answer.contains("\"status\":\"success\"") && answer.contains("remote_read: "), "{answer}");
}
