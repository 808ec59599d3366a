//! `hinomi tsdb list|analyze|verify|repair`, from a directory that a file was imported into.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test starts processes and damages files")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_hinomi")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

/// A data directory with three days of four series.
fn data_dir(work: &Path) -> String {
    let mut text = String::new();
    for series in 0..4 {
        for step in 0..3_000 {
            let value = f64::from(step % 100 * series) / 7.0;
            let _ = writeln!(text, "load{{host=\"h{series}\"}} {value} {}", 1_700_000_000 + step * 80);
        }
    }
    let (file, data) = (work.join("in.om"), work.join("data"));
    std::fs::write(&file, text + "# EOF\n").unwrap();
    let data = format!("--storage.tsdb.path={}", data.display());
    let (code, _, err) = run(&["tsdb", "import", "openmetrics", file.to_str().unwrap(), &data]);
    assert_eq!(code, 0, "{err}");
    data
}

fn a_file(data: &str, name: &str) -> PathBuf {
    let folder = Path::new(data.split_once('=').unwrap().1);
    let blocks = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = blocks.map(|block| block.join(name)).filter(|path| path.exists()).collect();
    files.sort();
    files.remove(0)
}

#[test]
fn a_whole_directory_is_listed_analysed_and_verified() {
    let work = tempfile::tempdir().unwrap();
    let data = data_dir(work.path());
    let (code, out, _) = run(&["tsdb", "list", "-r", &data]);
    assert_eq!(code, 0);
    assert!(out.starts_with("BLOCK ULID") && out.contains("2023-11-14 22:13:20 UTC"), "{out}");
    let (_, out, _) = run(&["tsdb", "list", "--format", "json", &data]);
    let listing: serde_json::Value = serde_json::from_str(&out).unwrap();
    let blocks = listing["blocks"].as_array().unwrap();
    let n_samples: u64 = blocks.iter().map(|block| block["nSamples"].as_u64().unwrap()).sum();
    assert_eq!(n_samples, 12_000);
    let first = data.split_once('=').unwrap().1;
    assert_eq!(run(&["tsdb", "list", first]), run(&["tsdb", "list", &data]), "as promtool takes it");
    let (code, out, _) = run(&["tsdb", "analyze", "--limit", "3", "--extended", &data]);
    assert_eq!(code, 0);
    for part in ["Series: 4", "Samples: 12000", "4 __name__=load", "4 host", "4 load", "PAGES CODED AS"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let one = blocks[0]["ulid"].as_str().unwrap();
    let (_, out, _) = run(&["tsdb", "analyze", one, "--match", "{host=\"h1\"}", "--format", "json", &data]);
    let analysis: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&analysis["nSeries"], &analysis["blocks"][0]), (&1.into(), &one.into()));
    let (code, out, _) = run(&["tsdb", "verify", &data]);
    assert_eq!(code, 0);
    assert!(out.contains("everything is as it was written") && !out.contains('\x1b'), "{out}");
}

#[test]
fn damage_is_named_and_mended() {
    let work = tempfile::tempdir().unwrap();
    let data = data_dir(work.path());
    let pages = a_file(&data, "pages");
    let mut bytes = std::fs::read(&pages).unwrap();
    bytes[20] ^= 4;
    std::fs::write(&pages, bytes).unwrap();
    let (code, out, err) = run(&["tsdb", "verify", &data]);
    assert_eq!(code, 1);
    assert!(out.contains("pages, byte 8") && out.contains("lost: 80 samples of {__name__=\"load\""), "{out}");
    assert!(err.contains("repair --dry-run"), "{err}");
    let (code, out, _) = run(&["tsdb", "repair", "--dry-run", &data]);
    assert!(code == 0 && out.contains("would write what is whole of"), "{out}");
    let (code, out, _) = run(&["tsdb", "repair", &data]);
    assert!(code == 0 && out.contains("quarantine/"), "{out}");
    let (code, out, _) = run(&["tsdb", "verify", &data]);
    assert!(code == 0 && out.contains("set aside as damaged at an earlier time"), "{out}");
    let (_, out, _) = run(&["tsdb", "dump", &data]);
    assert_eq!(out.lines().count(), 12_000 - 80);
    let (_, out, _) = run(&["tsdb", "list", &data]);
    assert!(out.contains("quarantine: "), "{out}");
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let work = tempfile::tempdir().unwrap();
    let data = data_dir(work.path());
    let fails = |args: &[&str], part: &str| {
        let (code, _, err) = run(args);
        assert!(code != 0 && err.contains(part), "{args:?}: {err}");
    };
    fails(&["tsdb", "list", "--storage.tsdb.path=/nowhere/at/all"], "--storage.tsdb.path");
    fails(&["tsdb", "analyze", "01BX5ZZKBKACTAV9WEVGEMMVRZ", &data], "01BX5ZZKBKACTAV9WEVGEMMVRZ");
    fails(&["tsdb", "analyze", "--match", "{", &data], "--match");
    fails(&["tsdb", "list", "--format", "xml", &data], "json");
}

#[test]
fn commands_of_promtool_are_taken_as_it_takes_them() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("in.om");
    std::fs::write(&file, "# TYPE m gauge\nm{a=\"1\"} 1 1700000000\nm{a=\"2\"} 2.5 1700000060\n# EOF\n")
        .unwrap();
    let data = work.path().join("out");
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let (code, out, err) = run(&["tsdb", "create-blocks-from", "openmetrics", "-r", file, data]);
    assert!(code == 0 && out.contains("BLOCK ULID") && out.contains("2023-11-14 22:13:20 UTC"), "{out}{err}");
    let (_, out, _) = run(&["tsdb", "create-blocks-from", "openmetrics", "-q", file, data]);
    assert!(!out.contains("BLOCK ULID"), "{out}");
    let one = "{__name__=\"m\", a=\"1\"} 1 1700000000000\n";
    let two = "{__name__=\"m\", a=\"2\"} 2.5 1700000060000\n";
    assert_eq!(run(&["tsdb", "dump", data]).1, [one, two].concat());
    // promtool's times are milliseconds, ours seconds.
    for (first, last, expected) in [
        ("1700000060000", "1700000060000", two),
        ("1700000000", "1700000059", one),
        ("-9223372036854775808", "9223372036854775807", &*[one, two].concat()),
    ] {
        let (first, last) = (format!("--min-time={first}"), format!("--max-time={last}"));
        assert_eq!(run(&["tsdb", "dump", &first, &last, data]).1, expected, "{first} {last}");
    }
    let (_, out, _) = run(&["tsdb", "dump", "--format=seriesjson", "--match={a=\"2\"}", data]);
    assert_eq!(out, "{\"__name__\":\"m\",\"a\":\"2\"}\n");
    let (_, out, _) = run(&["tsdb", "dump-openmetrics", data]);
    assert_eq!(out, "# TYPE m gauge\nm{a=\"1\"} 1 1700000000.000\nm{a=\"2\"} 2.5 1700000060.000\n# EOF\n");
    let (code, out, _) = run(&["tsdb", "analyze", "--extended", data]);
    assert!(code == 0 && out.contains("PAGES CODED AS"), "{out}");
}

#[test]
fn blocks_made_of_a_file_get_the_labels_that_are_given() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("in.om");
    std::fs::write(&file, "m{a=\"1\",site=\"x\"} 1 1700000000\n# EOF\n").unwrap();
    let data = work.path().join("out");
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let labels = ["--label", "site=tokyo", "--label=rack=7"];
    let (code, out, err) =
        run(&[&["tsdb", "create-blocks-from", "openmetrics", "-q"], &labels[..], &[file, data]].concat());
    assert_eq!(code, 0, "{out}{err}");
    let expected = "{__name__=\"m\", a=\"1\", rack=\"7\", site=\"tokyo\"} 1 1700000000000\n";
    assert_eq!(run(&["tsdb", "dump", "--sandbox-dir-root=/nowhere", data]).1, expected);
    let (code, _, err) = run(&["tsdb", "create-blocks-from", "openmetrics", "--label=x", file, data]);
    assert!(code != 0 && err.contains("NAME=VALUE"), "{err}");
}
