//! `promqltest DIR`: runs every `*.test` of a folder, prints what failed, ends with `N passed, M failed`.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use stdx::{Dir as _, DiskDir};

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).context("usage: promqltest DIR")?;
    let dir = DiskDir::open(&folder).with_context(|| format!("cannot open {folder}"))?;
    let mut out = std::io::stdout().lock();
    let (mut n_passed, mut n_failed) = (0, 0);
    for entry in dir.list(Path::new(""))? {
        if !entry.name.ends_with(".test") {
            continue;
        }
        let script = String::from_utf8(dir.read(Path::new(&entry.name))?)?;
        let report = testkit::run_script(&script).with_context(|| entry.name.clone())?;
        for (line, what) in &report.failed {
            writeln!(out, "FAIL {}:{line}: {what}", entry.name)?;
        }
        let counts = (report.n_passed, report.failed.len());
        writeln!(out, "{}: {} passed, {} failed", entry.name, counts.0, counts.1)?;
        n_passed += counts.0;
        n_failed += counts.1;
    }
    writeln!(out, "{n_passed} passed, {n_failed} failed")?;
    if n_failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}
