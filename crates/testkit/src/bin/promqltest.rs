//! `promqltest DIR`: runs every `*.test` below a folder, prints what failed, ends with `N passed, M failed`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use stdx::{Dir, DiskDir};

/// Deepest folder that is looked into. Chosen: a link that leads back then ends.
const DEPTH_MAX: usize = 8;

/// The scripts in `folder` and below, by name.
fn scripts(dir: &dyn Dir, folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries = dir.list(folder)?;
    entries.sort();
    for entry in entries {
        let path = folder.join(&entry.name);
        if entry.is_dir && depth < DEPTH_MAX {
            scripts(dir, &path, depth + 1, found)?;
        } else if !entry.is_dir && entry.name.ends_with(".test") {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).context("usage: promqltest DIR")?;
    let dir = DiskDir::open(&folder).with_context(|| format!("cannot open {folder}"))?;
    let mut found = Vec::new();
    scripts(&dir, Path::new(""), 0, &mut found)?;
    let mut out = std::io::stdout().lock();
    let (mut n_passed, mut n_failed) = (0, 0);
    for path in found {
        let name = path.display();
        let bytes = dir.read(&path).with_context(|| format!("cannot read {name}"))?;
        let script = String::from_utf8(bytes).with_context(|| format!("{name} is no text"))?;
        let report = match testkit::run_script(&script) {
            Ok(report) => report,
            Err(err) => {
                writeln!(out, "FAIL {name}: {err}")?;
                n_failed += 1;
                continue;
            }
        };
        for (line, what) in &report.failed {
            writeln!(out, "FAIL {name}:{line}: {what}")?;
        }
        writeln!(out, "{name}: {} passed, {} failed", report.n_passed, report.failed.len())?;
        n_passed += report.n_passed;
        n_failed += report.failed.len();
    }
    writeln!(out, "{n_passed} passed, {n_failed} failed")?;
    if n_failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}
