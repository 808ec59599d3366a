//! What the real server keeps and what it lets go: retention by time, size, share of the disk and series, roll-ups, deletions, snapshots.
//!
//! One store is filled; each test starts a server of its own on a snapshot of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{Answer, Hinomi, binary, escaped, now_secs, output, wait_for};

/// Four days that end an hour ago, a sample each five minutes.
const STEPS: i64 = 4 * 288;
const STEP_SECS: i64 = 300;
/// Of each of two jobs.
const SERIES: i64 = 10;

struct Store {
    /// Of the first server.
    _folder: TempDir,
    with_head: PathBuf,
    without_head: PathBuf,
    /// Of the last of the old samples, in seconds.
    end: i64,
}

/// Filled once, for all tests here.
fn store() -> &'static Store {
    static STORE: OnceLock<Store> = OnceLock::new();
    STORE.get_or_init(fill)
}

fn fill() -> Store {
    let mut server = Hinomi::start(
        Some("scrape_configs: []\n"),
        &["--web.enable-influx-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=0"],
    );
    let end = (now_secs() as i64 - 3_600) / STEP_SECS * STEP_SECS;
    for day in 0..4 {
        let mut lines = String::new();
        for step in day * 288..(day + 1) * 288 {
            let at = end - (STEPS - 1 - step) * STEP_SECS;
            for (job, series) in ["long", "short"].iter().flat_map(|job| (0..SERIES).map(move |n| (job, n))) {
                // Many digits, so that blocks have a size.
                let value = ((step * 31 + series) as f64).sin();
                let _ = writeln!(lines, "m,job={job},n={series} v={value} {at}000000000");
            }
        }
        assert_eq!(server.post("/write", "text/plain", &lines).status, 204);
    }
    let count = |server: &Hinomi| number(server, &format!("sum(count_over_time(m_v[10d] @ {end}))"));
    assert_eq!(count(&server), Some((STEPS * SERIES * 2) as f64));
    wait_for("blocks", Duration::from_secs(60), || (n_blocks(&server) > 1.0).then_some(()));
    // All of what is old is in blocks with the first snapshot; what comes then is in the head alone.
    let with_head = |server: &Hinomi| snapshot(server, "");
    drop(with_head(&server));
    assert_eq!(server.post("/write", "text/plain", "fresh v=1\n").status, 204);
    let without_head = snapshot(&server, "?skip_head=true");
    let with_head = with_head(&server);
    server.process.signal("TERM");
    assert_eq!(server.process.wait_exit(Duration::from_secs(10)), Some(0));
    Store { _folder: server.folder, with_head, without_head, end }
}

fn snapshot(server: &Hinomi, query: &str) -> PathBuf {
    let answer = server.post(&format!("/api/v1/admin/tsdb/snapshot{query}"), "text/plain", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let name = answer.json()["data"]["name"].as_str().unwrap().to_owned();
    server.folder.path().join("data/snapshots").join(name)
}

fn number(server: &Hinomi, expr: &str) -> Option<f64> {
    server.number(expr)
}

fn n_blocks(server: &Hinomi) -> f64 {
    metric(server, "tsdb_blocks_loaded").unwrap_or(0.0)
}

/// The sum of a metric of the server itself.
fn metric(server: &Hinomi, name: &str) -> Option<f64> {
    let page = server.get("/metrics").body;
    let lines = page.lines().filter_map(|line| line.strip_prefix(name));
    let lines = lines.filter(|rest| rest.starts_with([' ', '{']));
    lines.map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to) } else { drop(std::fs::copy(entry.path(), to)) }
    }
}

/// A server on a copy of a snapshot.
fn on(snapshot: &Path, args: &[&str]) -> Hinomi {
    let folder = tempfile::tempdir().unwrap();
    copy(snapshot, &folder.path().join("data"));
    std::fs::write(folder.path().join("prometheus.yml"), "scrape_configs: []\n").unwrap();
    let mut all: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    all.push(format!("--config.file={}", folder.path().join("prometheus.yml").display()));
    all.push("--web.enable-admin-api".to_owned());
    Hinomi::start_in(folder, all)
}

/// The last `n` samples of each series of a job, as the server counts them from one of the old end.
fn counted(server: &Hinomi, job: &str) -> f64 {
    let expr = format!("sum(count_over_time(m_v{{job=\"{job}\"}}[10d] @ {}))", store().end);
    number(server, &expr).unwrap_or(0.0)
}

fn at(server: &Hinomi, expr: &str, secs: i64) -> Answer {
    server.get(&format!("/api/v1/query?query={}&time={secs}", escaped(expr)))
}

const ALL: f64 = (STEPS * SERIES) as f64;

#[test]
fn a_snapshot_opens_in_a_second_server_with_or_without_what_was_in_memory() {
    for (snapshot, has_fresh) in [(&store().with_head, true), (&store().without_head, false)] {
        let server = on(snapshot, &["--storage.tsdb.retention.time=0"]);
        assert_eq!((counted(&server, "long"), counted(&server, "short")), (ALL, ALL));
        assert_eq!(number(&server, "fresh_v").is_some(), has_fresh, "{}", snapshot.display());
        assert!(!snapshot.join("wal").exists() || has_fresh, "a snapshot is blocks alone");
    }
}

#[test]
fn samples_go_by_time_by_size_and_by_share_of_the_disk_oldest_first() {
    let size = std::fs::read_dir(&store().without_head).unwrap().map(|entry| entry.unwrap().path());
    let blocks = size.filter(|path| path.join("meta.json").exists());
    let bytes = |path: &Path| -> u64 {
        std::fs::read_dir(path).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let total: u64 = blocks.map(|path| bytes(&path)).sum();
    // Two of four days; two thirds of the bytes, which hold more of the samples or fewer as blocks begin and end at this hour;
    // next to nothing.
    for (arg, least, most) in [
        ("--storage.tsdb.retention.time=2d".to_owned(), 0.45, 0.85),
        (format!("--storage.tsdb.retention.size={}B", total * 2 / 3), 0.2, 0.85),
        ("--storage.tsdb.retention.percentage=0.0000001".to_owned(), 0.0, 0.0),
    ] {
        let mut args = vec![arg.as_str()];
        if !arg.contains("retention.time") {
            args.push("--storage.tsdb.retention.time=0");
        }
        let server = on(&store().without_head, &args);
        let kept = wait_for(&arg, Duration::from_secs(30), || {
            Some(counted(&server, "long") / ALL).filter(|kept| (least..=most).contains(kept))
        });
        // The newest stay.
        let newest = number(&server, &format!("count(m_v{{job=\"long\"}} @ {})", store().end));
        assert_eq!(newest.is_some(), kept > 0.0, "{arg}: kept {kept}");
        println!("{arg}: of {ALL} samples {kept} are kept");
        // Said after it is done.
        wait_for("a word in the log", Duration::from_secs(10), || {
            server.process.log().contains("block past retention removed").then_some(())
        });
    }
}

#[test]
fn series_can_be_kept_for_longer_or_shorter_than_the_others() {
    let server = on(
        &store().without_head,
        &[
            "--storage.tsdb.retention.time=2d",
            "--storage.tsdb.retention.rule={job=\"long\"}=1y",
            "--storage.tsdb.retention.rule={n=\"1\"}=1d",
        ],
    );
    wait_for("the short ones to go", Duration::from_secs(30), || {
        (counted(&server, "short") < ALL * 0.85).then_some(())
    });
    assert_eq!(counted(&server, "long"), ALL);
    let of = |n: i64| {
        number(
            &server,
            &format!("sum(count_over_time(m_v{{job=\"short\",n=\"{n}\"}}[10d] @ {}))", store().end),
        )
        .unwrap_or(0.0)
    };
    wait_for("the shortest to go first", Duration::from_secs(30), || (of(1) < of(2)).then_some(()));
}

#[test]
fn what_is_past_retention_is_rolled_up_and_queries_say_so() {
    let server = on(
        &store().without_head,
        &["--storage.tsdb.retention.time=1d", "--storage.tsdb.rollup=30m:1y", "--storage.tsdb.rollup=1h:10y"],
    );
    wait_for("roll-ups", Duration::from_secs(60), || {
        metric(&server, "tsdb_storage_rollups_bytes").filter(|bytes| *bytes > 0.0)
    });
    let old = store().end - 3 * 86_400;
    let answer = wait_for("an answer from rows", Duration::from_secs(30), || {
        let answer = at(&server, "sum(avg_over_time(m_v{job=\"long\"}[6h]))", old);
        answer.body.contains("answered from").then_some(answer)
    });
    let json = answer.json();
    assert!(json["infos"][0].as_str().unwrap().contains("answered from 30m roll-ups before "), "{json}");
    // The same as samples give, of windows that begin and end on rows.
    let raw = on(&store().without_head, &["--storage.tsdb.retention.time=0"]);
    let old = old / 3_600 * 3_600;
    for expr in
        ["sum(count_over_time(m_v[6h]))", "max(max_over_time(m_v[6h]))", "min(min_over_time(m_v[6h]))"]
    {
        let value = |server: &Hinomi| {
            let answer = at(server, expr, old - 1).json();
            answer["data"]["result"][0]["value"][1].as_str().unwrap().parse::<f64>().unwrap()
        };
        let (rows, samples) = (value(&server), value(&raw));
        assert!(
            (rows - samples).abs() <= 0.06 * samples.abs().max(1.0),
            "{expr}: {rows}, of samples {samples}"
        );
    }
    assert!(
        at(&raw, "sum(m_v)", old).json().get("infos").is_none(),
        "nothing is said of samples as they came"
    );
}

fn tombstones(data: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.flat_map(|folder| ["tombstones", "tombstones.copy"].map(|file| folder.join(file)));
    files.filter(|path| path.exists()).collect()
}

/// Deletes a series, damages one of each two files that say so, and repairs them.
fn delete_and_damage(which: &str) {
    let mut server = on(&store().without_head, &["--storage.tsdb.retention.time=0"]);
    let deleted = |server: &Hinomi| {
        number(server, &format!("sum(count_over_time(m_v{{n=\"3\"}}[10d] @ {}))", store().end))
    };
    assert_eq!(deleted(&server), Some((STEPS * 2) as f64));
    let answer =
        server.post("/api/v1/admin/tsdb/delete_series?match[]=m_v%7Bn%3D%223%22%7D", "text/plain", "");
    assert_eq!(answer.status, 204, "{}", answer.body);
    assert_eq!(deleted(&server), None);
    server.process.kill9();
    let data = server.folder.path().join("data");
    let files = tombstones(&data);
    assert!(!files.is_empty() && files.len().is_multiple_of(2), "{files:?}");
    for path in files.iter().filter(|path| path.ends_with(which)) {
        std::fs::write(path, "no tombstones").unwrap();
    }
    server.restart();
    assert_eq!(deleted(&server), None, "{which}");
    assert_eq!(counted(&server, "long"), ALL - STEPS as f64, "{which}: the others are served");
    let verify = || output(binary().args(["tsdb", "verify"]).arg(&data));
    let (code, out, err) = verify();
    assert!(code == 1 && out.contains(which) && out.contains("nothing is lost"), "{out}{err}");
    server.process.kill9();
    let (code, out, err) =
        output(binary().args(["tsdb", "repair"]).arg(format!("--storage.tsdb.path={}", data.display())));
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = verify();
    assert_eq!(code, 0, "{out}{err}");
    server.restart();
    assert_eq!(deleted(&server), None, "{which}, repaired");
    assert_eq!(server.post("/api/v1/admin/tsdb/clean_tombstones", "text/plain", "").status, 204);
    assert_eq!(tombstones(&data), Vec::<PathBuf>::new());
    assert_eq!((deleted(&server), counted(&server, "long")), (None, ALL - STEPS as f64));
}

#[test]
fn what_is_deleted_is_gone_stays_gone_with_a_damaged_file_and_leaves_the_disk() {
    delete_and_damage("tombstones");
    delete_and_damage("tombstones.copy");
}
