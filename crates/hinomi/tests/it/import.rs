//! Samples come in while the server serves: scrapes go on, a kill in the middle costs nothing, nothing comes twice.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use model::histogram::Span;
use model::{Histogram, Labels};
use serde_json::Value;
use wire::remote_write::{Sample, TimeSeries, compress, encode_v1};

use crate::harness::{
    Hinomi, Process, binary, escaped, free_port, get, now_secs, output, post, query, wait_for,
};

const CONFIG: &str = "
global: {scrape_interval: 250ms}
scrape_configs:
- job_name: self
  static_configs: [{targets: ['127.0.0.1:1']}]
";

/// Five days, a sample a minute.
const STEPS: usize = 5 * 24 * 60;
const SERIES: usize = 40;
const START_SECS: usize = 1_700_000_000;

fn page() -> String {
    let mut text = "# TYPE load gauge\n".to_owned();
    for series in 0..SERIES {
        for step in 0..STEPS {
            let _ =
                writeln!(text, "load{{s=\"{series}\"}} {} {}", step * series % 977, START_SECS + step * 60);
        }
    }
    text + "# EOF\n"
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn status(server: &Hinomi) -> Value {
    let answer = server.get("/api/v1/admin/tsdb/import");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["data"].clone()
}

/// Samples as they are stored: twice where two blocks have one.
fn n_stored(folder: &Path) -> u64 {
    let data = format!("--storage.tsdb.path={}", folder.join("data").display());
    let (code, out, err) =
        output(binary().args(["tsdb", "analyze", "--match", "load", "--format", "json", &data]));
    assert_eq!(code, 0, "{err}");
    serde_json::from_str::<Value>(&out).unwrap()["nSamples"].as_u64().unwrap()
}

#[test]
fn an_import_that_is_killed_goes_on_and_every_sample_is_there_once() {
    let work = tempfile::tempdir().unwrap();
    let (file, theirs) = (work.path().join("in.om"), work.path().join("theirs"));
    std::fs::write(&file, page()).unwrap();
    let promtool = ["tsdb", "create-blocks-from", "openmetrics", text(&file), text(&theirs)];
    let (code, _, err) = output(Command::new("promtool").args(promtool));
    assert_eq!(code, 0, "{err}");

    let mut server =
        Hinomi::start(Some(CONFIG), &["--web.enable-admin-api", "--storage.tsdb.retention.time=0"]);
    assert_eq!(server.get("/api/v1/admin/tsdb/import").status, 404);
    let form = format!("kind=prometheus&path={}", theirs.display());
    let answer = server.post("/api/v1/admin/tsdb/import", "application/x-www-form-urlencoded", &form);
    assert_eq!(answer.status, 200, "{}", answer.body);
    // A fast machine may be done before it is asked again, or told to stop.
    let twice = server.post("/api/v1/admin/tsdb/import", "application/x-www-form-urlencoded", &form);
    assert!(twice.status == 200 || twice.body.contains("is running"), "{}", twice.body);
    // What was done before it was cancelled is passed over afterwards.
    let form_type = "application/x-www-form-urlencoded";
    wait_for("a block", Duration::from_secs(60), || {
        (status(&server)["done"].as_u64() >= Some(1)).then_some(())
    });
    let url = format!("{}/api/v1/admin/tsdb/import", server.base);
    let cancelled = ureq::delete(&url).call().unwrap().into_body().read_to_string().unwrap();
    assert!(cancelled.contains("\"kind\":\"prometheus\""), "{cancelled}");
    wait_for("the end", Duration::from_secs(20), || (status(&server)["state"] != "running").then_some(()));
    // Scrapes have gone on.
    wait_for("a scrape of now", Duration::from_secs(10), || {
        server.number("max(timestamp(up))").filter(|newest| now_secs() - newest < 5.0)
    });
    assert_eq!(server.post("/api/v1/admin/tsdb/import", form_type, &form).status, 200);
    server.process.kill9();
    server.restart();
    let ended = wait_for("the end of the import", Duration::from_secs(120), || {
        Some(status(&server)).filter(|status| status["state"] != "running")
    });
    assert_eq!((&ended["state"], &ended["failed"]), (&"done".into(), &Value::Array(Vec::new())), "{ended}");
    assert!(ended["here"].as_u64() >= Some(2), "{ended}");
    assert_eq!(ended["bytes"], ended["bytesDone"], "{ended}");
    let at = (START_SECS + STEPS * 60) as f64;
    let counted = server.query("sum(count_over_time(load[6d]))", Some(at));
    assert_eq!(counted[0]["value"][1], (SERIES * STEPS).to_string());
    // Again: everything is here.
    let (code, out, err) =
        output(binary().args(["tsdb", "import", "prometheus", text(&theirs), "--server", &server.base]));
    assert_eq!((code, out.as_str()), (0, "0 samples imported\n"), "{err}");
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit(Duration::from_secs(10)), Some(0));
    assert_eq!(n_stored(server.folder.path()), (SERIES * STEPS) as u64);
}

#[test]
fn the_command_shows_a_servers_import_to_its_end() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("in.om");
    std::fs::write(&file, page()).unwrap();
    let server = Hinomi::start(Some(CONFIG), &["--web.enable-admin-api", "--storage.tsdb.retention.time=0"]);
    let import = |path: &Path| {
        output(binary().args(["tsdb", "import", "openmetrics", text(path), "--server", &server.base]))
    };
    let (code, out, err) = import(&file);
    assert_eq!((code, out), (0, format!("{} samples imported\n", SERIES * STEPS)), "{err}");
    let at = (START_SECS + STEPS * 60) as f64;
    let counted = server.query("sum(count_over_time(load[6d]))", Some(at));
    assert_eq!(counted[0]["value"][1], (SERIES * STEPS).to_string());
    let (code, out, _) = import(&file);
    assert_eq!((code, out.as_str()), (0, "0 samples imported\n"));

    std::fs::write(&file, "a 1\n# EOF\n").unwrap();
    let (code, _, err) = import(&file);
    assert!(code == 1 && err.contains("has no timestamp"), "{err}");
    let (code, _, err) = import(&work.path().join("nothing"));
    assert!(code == 1 && err.contains("cannot read"), "{err}");
    // Straight into the directory of a running server: no.
    let data = format!("--storage.tsdb.path={}", server.folder.path().join("data").display());
    let (code, _, err) = output(binary().args(["tsdb", "import", "openmetrics", text(&file), &data]));
    assert!(code == 1 && err.contains("--server URL"), "{err}");

    let answer =
        server.post("/api/v1/admin/tsdb/import", "application/x-www-form-urlencoded", "kind=x&path=/");
    assert!(
        answer.status == 400 && answer.body.contains("neither prometheus nor openmetrics"),
        "{}",
        answer.body
    );
    let answer = server.post(
        "/api/v1/admin/tsdb/import",
        "application/x-www-form-urlencoded",
        "kind=prometheus&path=a",
    );
    assert!(answer.status == 400 && answer.body.contains("is not absolute"), "{}", answer.body);
    let closed = Hinomi::start(Some(CONFIG), &[]);
    let (code, _, err) =
        output(binary().args(["tsdb", "import", "openmetrics", text(&file), "--server", &closed.base]));
    assert!(code == 1 && err.contains("--web.enable-admin-api"), "{err}");
}

/// Floats in order and out of order, integer and float histograms, as a sender gives them to Prometheus.
fn sent(start_ms: i64) -> Vec<u8> {
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("job", "sent")]);
    let histogram = |n: f64, is_integer: bool| Histogram {
        is_integer,
        count: 3.0 * n,
        sum: 7.5 * n,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: n,
        positive_spans: vec![Span { offset: -1, length: 1 }, Span { offset: 2, length: 1 }],
        positive_buckets: vec![n, n],
        ..Histogram::default()
    };
    let floats = |name: &str, steps: &[i64]| TimeSeries {
        labels: labels(name),
        samples: steps
            .iter()
            .map(|step| Sample { t_ms: start_ms + step * 1_000, start_ms: 0, value: *step as f64 / 3.0 })
            .collect(),
        ..TimeSeries::default()
    };
    let histograms = |name: &str, is_integer: bool| TimeSeries {
        labels: labels(name),
        histograms: (0..200)
            .map(|step| (start_ms + step * 1_000, 0, histogram(1.0 + (step % 90) as f64, is_integer)))
            .collect(),
        ..TimeSeries::default()
    };
    let in_order: Vec<i64> = (0..300).collect();
    let late: Vec<i64> = (0..100).map(|step| step * 3).chain((0..100).map(|step| step * 3 + 1)).collect();
    encode_v1(&[
        floats("in_order", &in_order),
        floats("late", &late),
        floats("cut", &in_order),
        histograms("integer", true),
        histograms("float", false),
    ])
}

/// All floats as they are, and of histograms what can be computed: 2.42 shows the same one for every time of a range.
fn everything(base: &str, at: f64) -> Vec<Value> {
    let mut series =
        query(base, "{__name__=~\"in_order|late|cut\"}[1h]", Some(at)).as_array().unwrap().clone();
    for of in ["integer", "float"] {
        for function in [
            "histogram_count",
            "histogram_sum",
            "histogram_fraction -Inf,1,",
            "histogram_fraction -Inf,0.001,",
        ] {
            let (function, first) = function.split_once(' ').unwrap_or((function, ""));
            let url = format!(
                "{base}/api/v1/query_range?query={}&start={}&end={}&step=1",
                escaped(&format!("{function}({first}{of})")),
                at as u64 - 700,
                at as u64 - 300
            );
            let answer = get(&url).unwrap().json();
            let values = answer["data"]["result"][0]["values"].as_array().cloned().unwrap_or_default();
            assert!(values.len() > 200, "{function} of {of}: {answer}");
            series.push(
                serde_json::json!({"metric": {"__name__": of, "by": function, "q": first}, "values": values}),
            );
        }
    }
    series.sort_by_key(|one| one["metric"].to_string());
    series
}

/// Debian's Prometheus on a data directory, ready.
fn real_prometheus(config: &Path, data: &Path, port: u16) -> Process {
    let mut command = Command::new("/usr/bin/prometheus");
    command
        .args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"])
        .args(["--enable-feature=native-histograms", "--storage.tsdb.retention.time=10y"])
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let process = Process::start(&mut command, &data.with_extension("log"));
    wait_for("Prometheus", Duration::from_secs(30), || {
        get(&format!("http://127.0.0.1:{port}/-/ready")).ok().filter(|answer| answer.status == 200)
    });
    process
}

#[test]
fn what_a_real_prometheus_holds_of_every_kind_comes_over_and_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "storage: {tsdb: {out_of_order_time_window: 2h}}\n").unwrap();
    let (theirs, port) = (folder.path().join("theirs"), free_port());
    let base = format!("http://127.0.0.1:{port}");
    let mut prometheus = real_prometheus(&config, &theirs, port);
    let start_ms = (now_secs() as i64 - 600) * 1_000;
    let response = ureq::post(format!("{base}/api/v1/write"))
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .header("X-Prometheus-Remote-Write-Version", "0.1.0")
        .send(&compress(&sent(start_ms))[..])
        .unwrap();
    assert_eq!(response.status(), 204);
    let (from, to) = (start_ms / 1_000 + 50, start_ms / 1_000 + 80);
    let cut = format!("{base}/api/v1/admin/tsdb/delete_series?match[]=cut&start={from}&end={to}");
    assert_eq!(post(&cut, "text/plain", "").unwrap().status, 204);
    let at = now_secs();
    let expected = everything(&base, at);
    assert_eq!(expected.len(), 3 + 8);
    prometheus.signal("TERM");
    assert_eq!(prometheus.wait_exit(Duration::from_secs(20)), Some(0));

    let server = Hinomi::start(
        Some("scrape_configs: []\n"),
        &["--web.enable-admin-api", "--storage.tsdb.retention.time=0"],
    );
    let (code, _, err) =
        output(binary().args(["tsdb", "import", "prometheus", text(&theirs), "--server", &server.base]));
    assert_eq!(code, 0, "{err}");
    let found = everything(&server.base, at);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());

    // A snapshot of it, as blocks of Prometheus, in a Prometheus of its own.
    let answer = server.post("/api/v1/admin/tsdb/snapshot", "text/plain", "");
    let name = answer.json()["data"]["name"].as_str().unwrap().to_owned();
    let snapshot = server.folder.path().join("data/snapshots").join(name);
    let data = format!("--storage.tsdb.path={}", snapshot.display());
    let (code, _, err) = output(binary().args(["tsdb", "verify", &data]));
    assert_eq!(code, 0, "{err}");
    let back = folder.path().join("back");
    let (code, _, err) = output(binary().args(["tsdb", "export", text(&back), &data]));
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = output(Command::new("promtool").args(["tsdb", "analyze", text(&back)]));
    assert!(code == 0 && out.contains("Series: 5"), "{out}{err}");
    let _prometheus = real_prometheus(&config, &back, port);
    assert_eq!(everything(&base, at), expected, "and back");
}
