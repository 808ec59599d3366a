//! The ratchet: what once passed of Prometheus' PromQL scripts passes for ever, and nothing answers wrongly.
//!
//! Runs when the scripts lie beside the checkout (`HINOMI_SHARED`, or `shared` next to the project's folder).

use std::path::{Path, PathBuf};

use stdx::{Dir as _, DiskDir};

/// File and how many of its evaluations pass at least.
const RATCHET: &str = include_str!("promqltest.ratchet");

fn scripts() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = std::env::var_os("HINOMI_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let folder = shared.join("testdata/promqltest");
    folder.is_dir().then_some(folder)
}

#[test]
fn upstream_scripts_pass_as_far_as_they_did() {
    let Some(folder) = scripts() else {
        return;
    };
    let dir = DiskDir::open(&folder).expect("the folder is there");
    for line in RATCHET.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, minimum) = line.split_once(' ').expect("a line is a name and a number");
        let minimum: usize = minimum.parse().expect("a line is a name and a number");
        let bytes = dir.read(Path::new(name)).expect("every listed script is there");
        let script = String::from_utf8(bytes).expect("scripts are UTF-8");
        let report = testkit::run_script(&script).expect("scripts are of the language");
        assert!(report.failed.is_empty(), "{name}: {:#?}", report.failed);
        assert!(report.n_passed >= minimum, "{name}: {} passed, {minimum} did before", report.n_passed);
    }
}

#[test]
fn corners_of_prometheus_3_14_are_the_same() {
    let script = include_str!("corners/of_3_14.test");
    let report = testkit::run_script(script).expect("a script of the language");
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.n_passed >= 11, "{} passed", report.n_passed);
}

#[test]
fn a_wrong_value_is_a_failure() {
    let report =
        testkit::run_script("load 1m\n  a 1 2 3\n\neval instant at 1m a\n  a 3\n").expect("a valid script");
    assert_eq!((report.n_passed, report.failed.len()), (0, 1));
}

#[test]
fn a_wrong_histogram_is_a_failure() {
    let check = |expected: &str, passes: bool| {
        let load = "load 1m\n  h {{sum:1 count:1 buckets:[1]}}x3\n";
        let script = format!("{load}\neval instant at 1m h\n  h {expected}\n");
        let report = testkit::run_script(&script).expect("a valid script");
        let counts = (usize::from(passes), usize::from(!passes));
        assert_eq!((report.n_passed, report.failed.len()), counts, "{expected}");
    };
    check("{{sum:1 count:1 buckets:[1]}}", true);
    check("{{sum:1 count:1 buckets:[1 0]}}", true);
    check("{{sum:1 count:1 counter_reset_hint:not_reset buckets:[1]}}", true);
    check("{{sum:1 count:1 counter_reset_hint:gauge buckets:[1]}}", false);
    check("{{sum:1 count:1 buckets:[0 1]}}", false);
    check("{{sum:1 count:1 schema:1 buckets:[1]}}", false);
    check("1", false);
}
