//! Real blocks and logs, against Prometheus' own tools: what promtool prints is what is read, and what is written it accepts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test starts processes, reads files and waits for them")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::TimeRange;
use promdata::{BlockReader, BlockWriter, is_block_name, read_wal, read_wal_beside};
use stdx::{Dir, DiskDir};
use storage::Series;

const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// A sample as text: labels, bits of the value, time.
type Line = (String, u64, i64);

fn promtool(args: &[&str]) -> String {
    let out =
        Command::new("promtool").args(args).output().expect("promtool is installed by cargo xtask install");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// `{__name__="x", a="b"} 1.5 1700000000000`, line by line.
fn dump(data_dir: &Path) -> BTreeSet<Line> {
    // promtool wants the folder of the log to be there, and be it empty.
    std::fs::create_dir_all(data_dir.join("wal")).unwrap();
    let out = promtool(&["tsdb", "dump", data_dir.to_str().unwrap()]);
    let line = |line: &str| {
        let (rest, t_ms) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        (labels.to_owned(), value.parse::<f64>().unwrap().to_bits(), t_ms.parse().unwrap())
    };
    out.lines().map(line).collect()
}

fn lines(series: &[Series]) -> BTreeSet<Line> {
    let of = |one: &Series| {
        let labels = one.labels.to_string();
        let line = |(t_ms, value): (&i64, &f64)| {
            // Text has one NaN only.
            let bits = if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
            (labels.clone(), bits, *t_ms)
        };
        one.timestamps.iter().zip(&one.values).map(line).collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
}

fn read_blocks(data_dir: &Path) -> Vec<Series> {
    let dir: Arc<dyn Dir> = Arc::new(DiskDir::open(data_dir).unwrap());
    let mut all = Vec::new();
    for entry in dir.list(Path::new("")).unwrap().into_iter().filter(|entry| is_block_name(&entry.name)) {
        let mut block = BlockReader::open(Arc::clone(&dir), Path::new(&entry.name)).unwrap();
        while let Some(series) = block.next_series().unwrap() {
            all.push(series);
        }
        assert!((block.progress() - 1.0).abs() < 1e-9);
    }
    all
}

/// Two hours of some series, with gaps, special values and a name that needs quotes.
fn openmetrics() -> String {
    let mut text = String::new();
    for series in 0..7 {
        for step in (0..480).filter(|step| step % 50 != 7 || series % 2 == 0) {
            let t_secs = 1_700_000_000 + step * 15;
            let value = match (series, step % 97) {
                (1, 5) => "NaN".to_owned(),
                (1, 9) => "+Inf".to_owned(),
                (2, _) => "42".to_owned(),
                _ => format!("{}", f64::from(step * (series + 1)) / 7.0),
            };
            let _ = writeln!(text, "load{{series=\"s{series}\",path=\"/\\\\a\\\"b\"}} {value} {t_secs}.25");
        }
    }
    text + "# EOF\n"
}

#[test]
fn blocks_of_prometheus_are_read_and_ours_are_accepted() {
    let work = tempfile::tempdir().unwrap();
    let (theirs, ours) = (work.path().join("theirs"), work.path().join("ours"));
    let text = work.path().join("in.om");
    std::fs::write(&text, openmetrics()).unwrap();
    std::fs::create_dir_all(&ours).unwrap();
    promtool(&[
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        text.to_str().unwrap(),
        theirs.to_str().unwrap(),
    ]);
    let mut series = read_blocks(&theirs);
    let expected = dump(&theirs);
    assert!(expected.len() > 3_000);
    assert_eq!(lines(&series), expected);

    // The blocks of several windows become one of ours.
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let joined = series.into_iter().fold(Vec::<Series>::new(), |mut all, one| {
        match all.pop() {
            Some(last) if last.labels == one.labels => all.push(storage::merge_series(last, one)),
            last => all.extend(last.into_iter().chain([one])),
        }
        all
    });
    let symbols = joined.iter().flat_map(|one| &one.labels).flat_map(|(n, v)| [n.to_owned(), v.to_owned()]);
    let dir: Arc<dyn Dir> = Arc::new(DiskDir::open(&ours).unwrap());
    let mut writer = BlockWriter::begin(dir, Path::new(""), ULID, symbols).unwrap();
    joined.iter().for_each(|one| writer.add(one).unwrap());
    let meta = writer.finish().unwrap().unwrap();
    assert_eq!((meta.stats.num_series, meta.stats.num_samples), (7, expected.len() as u64));
    assert_eq!(dump(&ours), expected);
    let analysis = promtool(&["tsdb", "analyze", ours.to_str().unwrap(), ULID]);
    assert!(analysis.contains("Series: 7"), "{analysis}");
}

#[test]
fn the_log_of_a_killed_prometheus_is_read_to_the_sample() {
    let work = tempfile::tempdir().unwrap();
    let (config, data) = (work.path().join("p.yml"), work.path().join("data"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let jobs = format!("[{{job_name: own, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]");
    std::fs::write(&config, format!("global: {{scrape_interval: 100ms}}\nscrape_configs: {jobs}\n")).unwrap();
    let mut server = Command::new("prometheus")
        .args([
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus is installed by cargo xtask install");
    let dir = DiskDir::open(work.path()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let enough = || {
        let read = dir.exists(Path::new("data")).then(|| read_wal(&dir, Path::new("data"), TimeRange::ALL));
        read.is_some_and(|read| read.is_ok_and(|(_, report)| report.n_samples > 5_000))
    };
    while !enough() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let (series, report) = read_wal(&dir, Path::new("data"), TimeRange::ALL).unwrap();
    assert!(report.damage.is_empty() && report.n_orphans == 0, "{report:?}");
    assert!(report.n_samples > 5_000, "{report:?}");
    assert_eq!(lines(&series), dump(&data));
}

/// A target whose samples go back and forth in time, with an exemplar.
fn serve_page(listener: std::net::TcpListener) {
    use std::io::{BufRead as _, BufReader, Write as _};
    std::thread::spawn(move || {
        for (scrape, stream) in listener.incoming().flatten().enumerate() {
            let mut lines = BufReader::new(&stream).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let now_secs = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
            let t_secs = if scrape % 2 == 0 { now_secs } else { now_secs - 600.0 };
            let body = format!(
                "# TYPE jumps counter\n# HELP jumps of time\njumps_total {scrape} {t_secs:.3} # {{trace=\"t{scrape}\"}} 0.5\n# EOF\n"
            );
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\nConnection: close\r\n";
            let _ = write!(&stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
}

#[test]
fn exemplars_and_samples_out_of_order_of_a_real_log_are_read() {
    let work = tempfile::tempdir().unwrap();
    let (config, data) = (work.path().join("p.yml"), work.path().join("data"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    serve_page(listener);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let jobs = format!("[{{job_name: own, static_configs: [{{targets: ['{target}']}}]}}]");
    let storage = "storage: {tsdb: {out_of_order_time_window: 1h}}";
    std::fs::write(
        &config,
        format!("global: {{scrape_interval: 100ms}}\n{storage}\nscrape_configs: {jobs}\n"),
    )
    .unwrap();
    let mut server = Command::new("prometheus")
        .args([
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--enable-feature=exemplar-storage".to_owned(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus is installed by cargo xtask install");
    let dir = DiskDir::open(work.path()).unwrap();
    let folder = Path::new("data");
    let deadline = Instant::now() + Duration::from_secs(30);
    let read = || {
        let (series, _) = read_wal(&dir, folder, TimeRange::ALL).unwrap();
        let jumps = series.into_iter().find(|one| one.labels.get("__name__") == Some("jumps_total"));
        jumps.map_or(0, |one| one.values.len())
    };
    while (!dir.exists(folder) || read() < 20) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(read() >= 20);
    // The log alone has late samples as well, until Prometheus cuts it: then the folder beside it is all there is.
    let only_late = work.path().join("late");
    let records =
        |name: &str| std::fs::read_dir(data.join(name)).unwrap().flatten().map(|entry| entry.path());
    let n_late: u64 = records("wbl").map(|path| path.metadata().unwrap().len()).sum();
    assert!(n_late > 0, "samples out of order were written");
    std::fs::create_dir_all(only_late.join("wbl")).unwrap();
    records("wbl")
        .for_each(|path| drop(std::fs::copy(&path, only_late.join("wbl").join(path.file_name().unwrap()))));
    let (_, report) = read_wal(&dir, Path::new("late"), TimeRange::ALL).unwrap();
    assert!(report.damage.is_empty() && report.n_orphans >= 8, "{report:?}");
    assert_eq!(report.n_orphans, report.n_samples_all);
    assert_eq!(lines(&read_wal(&dir, folder, TimeRange::ALL).unwrap().0), dump(&data));

    let found = read_wal_beside(&dir, folder).unwrap();
    assert!(found.exemplars.len() >= 8, "{found:?}");
    for (labels, exemplar) in &found.exemplars {
        assert_eq!((labels.get("__name__"), exemplar.value), (Some("jumps_total"), 0.5));
        assert!(exemplar.labels.get("trace").is_some_and(|trace| trace.starts_with('t')));
    }
}
