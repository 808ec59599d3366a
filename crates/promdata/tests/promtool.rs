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
use promdata::{BlockReader, BlockWriter, is_block_name, read_wal};
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
    let wal = Path::new("data/wal");
    let deadline = Instant::now() + Duration::from_secs(30);
    let enough = || {
        let read = dir.exists(wal).then(|| read_wal(&dir, wal, TimeRange::ALL));
        read.is_some_and(|read| read.is_ok_and(|(_, report)| report.n_samples > 5_000))
    };
    while !enough() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(200));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let (series, report) = read_wal(&dir, wal, TimeRange::ALL).unwrap();
    assert!(report.damage.is_empty() && report.n_orphans == 0, "{report:?}");
    assert!(report.n_samples > 5_000, "{report:?}");
    assert_eq!(lines(&series), dump(&data));
}
