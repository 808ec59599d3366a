//! `hinomi tsdb`: what promtool prints of a Prometheus directory is what we print after the import, and what it prints of our export.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test starts processes and reads files")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().expect("cargo xtask install installs prometheus");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(out.stdout).unwrap()
}

fn hinomi(args: &[&str]) -> String {
    run(env!("CARGO_BIN_EXE_hinomi"), args)
}

/// Lines of a dump; NaNs of any bits print alike.
fn lines(dump: &str) -> BTreeSet<(String, u64, String)> {
    let line = |line: &str| {
        let (rest, t_ms) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        (labels.to_owned(), value.parse::<f64>().unwrap().to_bits(), t_ms.to_owned())
    };
    dump.lines().map(line).collect()
}

/// Thirty hours of some series, with gaps, special values and a value that needs escapes.
fn openmetrics() -> String {
    let mut text = String::new();
    for series in 0..5 {
        for step in (0..1800).filter(|step| step % 50 != 7 || series % 2 == 0) {
            let t_secs = 1_700_000_000 + step * 60;
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

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_prometheus_directory_comes_in_and_goes_out_equal() {
    let work = tempfile::tempdir().unwrap();
    let [file, theirs, ours, back] = ["in.om", "theirs", "ours", "back"].map(|name| work.path().join(name));
    std::fs::write(&file, openmetrics()).unwrap();
    std::fs::create_dir_all(theirs.join("wal")).unwrap();
    std::fs::create_dir_all(&ours).unwrap();
    run("promtool", &["tsdb", "create-blocks-from", "openmetrics", text(&file), text(&theirs)]);
    let expected = lines(&run("promtool", &["tsdb", "dump", text(&theirs)]));
    assert!(expected.len() > 8_000);

    let data = format!("--storage.tsdb.path={}", ours.display());
    let said = hinomi(&["tsdb", "import", "prometheus", text(&theirs), &data]);
    assert!(said.contains(&format!("{} samples imported", expected.len())), "{said}");
    assert_eq!(lines(&hinomi(&["tsdb", "dump", &data])), expected);
    // A second run finds everything there.
    let again = hinomi(&["tsdb", "import", "prometheus", text(&theirs), &data]);
    assert!(again.contains("here already") && again.contains("0 samples imported"), "{again}");

    let said = hinomi(&["tsdb", "export", text(&back), &data]);
    assert!(said.contains(&format!("with {} samples written", expected.len())), "{said}");
    assert_eq!(lines(&run("promtool", &["tsdb", "dump", text(&back)])), expected);
    assert!(run("promtool", &["tsdb", "analyze", text(&back)]).contains("Series: 5"));

    // A part of it.
    let some = hinomi(&["tsdb", "dump", &data, "--match", "{series=~\"s[01]\"}", "--min-time", "1700050000"]);
    let wanted = |line: &&(String, u64, String)| {
        let t_ms: i64 = line.2.parse().unwrap();
        (line.0.contains("s0") || line.0.contains("s1")) && t_ms >= 1_700_050_000_000
    };
    assert_eq!(lines(&some), expected.iter().filter(wanted).cloned().collect());
}

#[test]
fn openmetrics_comes_in_and_goes_out_equal() {
    let work = tempfile::tempdir().unwrap();
    let [file, ours, second, copy] =
        ["in.om", "ours", "second", "copy.om"].map(|name| work.path().join(name));
    std::fs::write(&file, openmetrics()).unwrap();
    std::fs::create_dir_all(&ours).unwrap();
    std::fs::create_dir_all(&second).unwrap();
    let (data, other) = (
        format!("--storage.tsdb.path={}", ours.display()),
        format!("--storage.tsdb.path={}", second.display()),
    );
    hinomi(&["tsdb", "import", "openmetrics", text(&file), &data]);
    std::fs::write(&copy, hinomi(&["tsdb", "dump", "--openmetrics", &data])).unwrap();
    hinomi(&["tsdb", "import", "openmetrics", text(&copy), &other]);
    let first = lines(&hinomi(&["tsdb", "dump", &data]));
    assert!(first.len() > 8_000);
    assert_eq!(lines(&hinomi(&["tsdb", "dump", &other])), first);
}

#[test]
fn what_is_wrong_is_said() {
    let work = tempfile::tempdir().unwrap();
    let fails = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_hinomi")).args(args).output().unwrap();
        assert!(!out.status.success(), "{args:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    let data = format!("--storage.tsdb.path={}", work.path().display());
    assert!(
        fails(&["tsdb", "import", "prometheus", text(work.path()), &data])
            .contains("no data directory of Prometheus")
    );
    let file = work.path().join("bad.om");
    std::fs::write(&file, "a 1\n# EOF\n").unwrap();
    assert!(fails(&["tsdb", "import", "openmetrics", text(&file), &data]).contains("has no timestamp"));
    assert!(fails(&["tsdb", "dump", &data, "--match", "{"]).contains("--match"));
    assert!(fails(&["tsdb", "dump", &data, "--min-time", "yesterday"]).contains("--min-time"));
}
