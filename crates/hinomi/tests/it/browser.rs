//! A real Chromium opens every page, clicks through, and looks whether the graphs drew something.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Hinomi, output, wait_for};

#[test]
fn chromium_walks_every_page() {
    let server = Hinomi::start(None, &[]);
    wait_for("rates of this host", Duration::from_secs(10), || {
        server.number("sum(rate(node_cpu_seconds_total[1m]))")
    });
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let screenshots = screenshots_folder(&root);
    let (code, out, err) = output(
        Command::new("node")
            .arg("e2e/run.mjs")
            .args(["--base", &server.base, "--out"])
            .arg(&screenshots)
            .current_dir(root.join("ui")),
    );
    println!("{out}\nscreenshots: {}", screenshots.display());
    assert_eq!(code, 0, "{out}\n{err}");
    let n_screenshots = std::fs::read_dir(&screenshots).unwrap().count();
    assert!(n_screenshots >= 5, "{n_screenshots} screenshots in {}", screenshots.display());
}

/// Kept after the test, for people to look at.
fn screenshots_folder(root: &Path) -> PathBuf {
    let folder = root.join("artifacts/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
