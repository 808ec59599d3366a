//! `hinomi tsdb` beside a running server, and OpenMetrics there and back: what is printed is what the server answers, and nothing of the
//! directory changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::{Hinomi, binary, now_secs, output, wait_for};

fn with_writer() -> Hinomi {
    Hinomi::start(
        Some("scrape_configs: []\n"),
        &["--web.enable-influx-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=0"],
    )
}

fn data(server: &Hinomi) -> PathBuf {
    server.folder.path().join("data")
}

/// `hinomi tsdb`, which must succeed.
fn tsdb(args: &[&str], folder: &Path) -> String {
    let (code, out, err) =
        output(binary().arg("tsdb").args(args).arg(format!("--storage.tsdb.path={}", folder.display())));
    assert_eq!(code, 0, "{args:?}: {out}{err}");
    out
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Every file, with its length and when it was written; the log grows by itself.
fn files(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if let Ok(meta) = path.metadata() {
            all.insert(path, (meta.len(), meta.modified().unwrap()));
        }
    }
    all
}

/// The files, once the server has sealed and merged what it had.
fn quiet(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let (mut last, mut since) = (BTreeMap::new(), Instant::now());
    wait_for("a directory that stays as it is", Duration::from_secs(60), || {
        let now = files(folder);
        if now != last {
            (last, since) = (now.clone(), Instant::now());
        }
        let has_block = now.keys().any(|path| path.ends_with("meta.json"));
        (has_block && since.elapsed() > Duration::from_secs(3)).then_some(now)
    })
}

#[test]
fn dump_beside_a_server_shows_what_it_has_and_changes_nothing() {
    let server = with_writer();
    let now = now_secs() as i64;
    // Three hours, so that some is in blocks, some in the log.
    for step in 0..180 {
        let at = now - 10_800 + step * 60;
        let lines: String =
            ["a", "b", "c"].iter().map(|x| format!("m,x={x} v={step} {at}000000000\n")).collect();
        assert_eq!(server.post("/write", "text/plain", &lines).status, 204);
    }
    let data = data(&server);
    let before = quiet(&data);
    let all = tsdb(&["dump"], &data);
    assert_eq!(all.lines().count(), 540, "{all}");
    assert!(
        all.contains(&format!("{{__name__=\"m_v\", x=\"a\"}} 7 {}", (now - 10_800 + 7 * 60) * 1_000)),
        "{all}"
    );
    // Several selectors are a union, each series once.
    let some = tsdb(&["dump", "--match={x=\"a\"}", "--match={x=~\"a|c\"}"], &data);
    let expected: Vec<String> = sorted(&all).into_iter().filter(|line| !line.contains("x=\"b\"")).collect();
    assert_eq!(sorted(&some), expected);
    // Times in milliseconds, as promtool takes them, and in RFC 3339; both ends count.
    let (from, to) = ((now - 10_800 + 600) * 1_000, (now - 10_800 + 1_200) * 1_000);
    let part = tsdb(&["dump", &format!("--min-time={from}"), &format!("--max-time={to}")], &data);
    assert_eq!(part.lines().count(), 33, "{part}");
    for args in
        [&["list"][..], &["analyze"], &["verify"], &["dump-openmetrics"], &["dump", "--format=seriesjson"]]
    {
        tsdb(args, &data);
    }
    assert_eq!(files(&data), before, "nothing was written, made or removed");

    // The same through blocks of Prometheus.
    let out = server.folder.path().join("out");
    tsdb(&["export", out.to_str().unwrap(), "--match={x=\"a\"}", "--match={x=\"c\"}"], &data);
    let (code, theirs, err) = output(Command::new("promtool").args(["tsdb", "dump"]).arg(&out));
    assert_eq!(code, 0, "{err}");
    assert_eq!(sorted(&theirs), expected, "promtool dumps the same");
    let (code, theirs, err) = output(
        Command::new("promtool")
            .args(["tsdb", "dump", &format!("--min-time={from}"), &format!("--max-time={to}")])
            .arg("--match={x=\"a\"}")
            .arg(&out),
    );
    assert_eq!(code, 0, "{err}");
    let ours = tsdb(
        &["dump", &format!("--min-time={from}"), &format!("--max-time={to}"), "--match={x=\"a\"}"],
        &data,
    );
    assert_eq!(sorted(&theirs), sorted(&ours));
}

#[test]
fn dump_finds_everything_while_the_server_seals_merges_and_cleans() {
    let server = with_writer();
    let data = data(&server);
    let start = now_secs() as i64 - 7 * 3_600;
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each snapshot seals, and so does data of half an hour; merges follow.
            for step in 0..400 {
                let at = start + step * 60;
                let line = format!("m v={step} {at}000000000\n");
                assert_eq!(server.post("/write", "text/plain", &line).status, 204);
                if step % 25 == 24 {
                    let answer = server.post("/api/v1/admin/tsdb/snapshot", "text/plain", "");
                    assert_eq!(answer.status, 200, "{}", answer.body);
                }
                if step % 100 == 99 {
                    let path = format!("/api/v1/admin/tsdb/delete_series?match[]=m_v&start={at}&end={at}");
                    assert_eq!(server.post(&path, "text/plain", "").status, 204);
                    assert_eq!(
                        server.post("/api/v1/admin/tsdb/clean_tombstones", "text/plain", "").status,
                        204
                    );
                }
            }
            is_done.store(true, Ordering::SeqCst);
        });
        let mut n_dumps = 0;
        let mut newest = 0;
        while !is_done.load(Ordering::SeqCst) {
            let dump = tsdb(&["dump"], &data);
            let values: Vec<i64> =
                dump.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
            // One after the other without a hole, but for what is deleted.
            let holes: Vec<i64> = values.windows(2).flat_map(|pair| pair[0] + 1..pair[1]).collect();
            assert!(holes.iter().all(|hole| hole % 100 == 99), "{holes:?}");
            let last = values.last().copied().unwrap_or(0);
            assert!(last + 1 >= newest, "what was there stays: {last} after {newest}");
            newest = last;
            n_dumps += 1;
        }
        println!("{n_dumps} dumps");
        assert!(n_dumps > 3);
    });
    assert_eq!(tsdb(&["dump"], &data).lines().count(), 396);
}

/// Every kind of family that OpenMetrics has, with exemplars.
const PAGE: &str = r##"# TYPE http_seconds histogram
# UNIT http_seconds seconds
# HELP http_seconds How long it took.
http_seconds_bucket{code="200",le="0.5"} 3 1700000000.000 # {trace_id="a"} 0.25 1699999999.500
http_seconds_bucket{code="200",le="+Inf"} 4 1700000000.000
http_seconds_count{code="200"} 4 1700000000.000
http_seconds_sum{code="200"} 2.5 1700000000.000
http_seconds_bucket{code="200",le="0.5"} 5 1700000060.000 # {trace_id="b"} 0.125 1700000059.000
http_seconds_bucket{code="200",le="+Inf"} 6 1700000060.000
http_seconds_count{code="200"} 6 1700000060.000
http_seconds_sum{code="200"} 3.5 1700000060.000
http_seconds_bucket{code="500",le="0.5"} 0 1700000000.000
http_seconds_bucket{code="500",le="+Inf"} 1 1700000000.000
http_seconds_count{code="500"} 1 1700000000.000
http_seconds_sum{code="500"} 9 1700000000.000
# TYPE queue gauge
# HELP queue Waiting: \"now\",\nand how many.
queue{of="a\"b\\c\nd"} 1.5 1700000000.000
queue{of="a\"b\\c\nd"} NaN 1700000060.000
# TYPE requests counter
# HELP requests Served.
requests_total{x="1"} 10 1700000000.000
requests_total{x="1"} 12 1700000060.000 # {trace_id="c"} 1 1700000050.000
requests_created{x="1"} 1.699e+09 1700000000.000
requests_total{x="2"} 1 1700000000.123
# TYPE rpc summary
rpc{quantile="0.5"} 0.5 1700000000.000
rpc{quantile="0.99"} 2 1700000000.000
rpc_count 7 1700000000.000
rpc_sum 9.5 1700000000.000
# TYPE said unknown
said 1 1700000000.000
# TYPE target info
# HELP target What it is.
target_info{version="1"} 1 1700000000.000
# EOF
"##;

#[test]
fn openmetrics_goes_in_and_comes_out_with_families_and_exemplars() {
    let work = tempfile::tempdir().unwrap();
    let (first, second) = (work.path().join("first"), work.path().join("second"));
    let page = work.path().join("page.om");
    std::fs::write(&page, PAGE).unwrap();
    tsdb(&["import", "openmetrics", page.to_str().unwrap()], &first);
    let out = tsdb(&["dump-openmetrics"], &first);
    let sorted_page = sorted(PAGE);
    assert_eq!(sorted(&out), sorted_page, "{out}");
    // What OpenMetrics demands of order: a family together, its head first, a metric's samples by time.
    assert_eq!(out.lines().last(), Some("# EOF"));
    let place = |line: &str| out.lines().position(|one| one.starts_with(line)).unwrap();
    assert!(place("# TYPE http_seconds ") < place("http_seconds_bucket{code=\"200\""));
    assert!(place("http_seconds_sum{code=\"200\"} 3.5") < place("http_seconds_bucket{code=\"500\""));
    // There and back again is the same text.
    std::fs::write(&page, &out).unwrap();
    tsdb(&["import", "openmetrics", page.to_str().unwrap()], &second);
    assert_eq!(tsdb(&["dump-openmetrics"], &second), out);

    // Exemplars and families are there for a server, too, and for one on its snapshot.
    let folder = tempfile::tempdir().unwrap();
    std::fs::rename(&first, folder.path().join("data")).unwrap();
    let server = Hinomi::start_in(
        folder,
        vec!["--web.enable-admin-api".to_owned(), "--storage.tsdb.retention.time=0".to_owned()],
    );
    let found = server
        .get("/api/v1/query_exemplars?query=http_seconds_bucket&start=1699990000&end=1700010000")
        .json();
    assert_eq!(found["data"][0]["exemplars"].as_array().unwrap().len(), 2, "{found}");
    let beside =
        tsdb(&["dump-openmetrics", "--match={__name__=~\"http_seconds.*|requests.*\"}"], &data(&server));
    assert!(beside.contains("# TYPE requests counter") && beside.contains("# {trace_id=\"b\"}"), "{beside}");

    // promtool reads it.
    let blocks = work.path().join("blocks");
    std::fs::create_dir(&blocks).unwrap();
    let (code, said, err) = output(
        Command::new("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]).arg(&page).arg(&blocks),
    );
    assert_eq!(code, 0, "{said}{err}");
    std::fs::create_dir_all(blocks.join("wal")).unwrap();
    let (code, theirs, err) = output(Command::new("promtool").args(["tsdb", "dump"]).arg(&blocks));
    assert_eq!(code, 0, "{err}");
    assert_eq!(sorted(&theirs), sorted(&tsdb(&["dump"], &second)));
}
