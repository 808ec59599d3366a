//! Files: each opens with a header, is reached by a `mod`, and links in documents lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Source;
use crate::run::root;

/// A file of more lines has outgrown its shape. Chosen; the style asks for a few hundred.
const FILE_LINES_MAX: usize = 900;

/// Every file opens with `//!`: what it is, who calls it, what it never does. None is longer than [`FILE_LINES_MAX`].
pub fn check_headers(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for Source { path, text } in sources {
        let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!["));
        if !first.is_some_and(|line| line.starts_with("//!")) {
            findings.push(format!("{}: does not open with a //! header", path.display()));
        }
        let n_lines = text.lines().count();
        if n_lines > FILE_LINES_MAX {
            findings.push(format!("{}: {n_lines} lines, at most {FILE_LINES_MAX}: split it", path.display()));
        }
    }
    findings
}

/// Every file under a `src` is a crate root or named by a `mod` beside it.
pub fn check_dead(sources: &[Source]) -> Vec<String> {
    let mut named: BTreeSet<PathBuf> = BTreeSet::new();
    for Source { path, text } in sources {
        let folder = path.parent().unwrap_or(Path::new(""));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let own = if matches!(stem.as_str(), "mod" | "lib" | "main") {
            folder.to_path_buf()
        } else {
            folder.join(&stem)
        };
        for base in [&own, folder] {
            for name in module_names(text) {
                named.insert(base.join(format!("{name}.rs")));
                named.insert(base.join(&name).join("mod.rs"));
            }
        }
        for target in path_attributes(text) {
            named.insert(folder.join(target));
        }
    }
    let is_root = |path: &Path| {
        let parent =
            path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        matches!(name.as_str(), "lib.rs" | "main.rs" | "build.rs")
            || matches!(parent.as_str(), "bin" | "tests" | "benches" | "examples" | "fuzz_targets")
    };
    let dead = sources.iter().filter(|source| !is_root(&source.path) && !named.contains(&source.path));
    dead.map(|source| format!("{}: no `mod` names this file", source.path.display())).collect()
}

/// Relative links of the documents lead to files that are there.
pub fn check_links() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in markdown_files()? {
        let text = std::fs::read_to_string(&path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let is_local = !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:");
            if is_local && !file.contains(' ') && !folder.join(file).exists() {
                let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                findings.push(format!("{shown}: link to {file}, which is not there"));
            }
        }
    }
    Ok(findings)
}

/// No unfinished business in the code: `TODO` only with an issue's number.
pub fn check_names(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| !source.path.starts_with("xtask")) {
        for (idx, line) in text.lines().enumerate() {
            let is_loose = line.contains("TODO") && !line.contains("TODO(#");
            if is_loose || line.contains("FIXME") || line.contains("XXX:") {
                findings.push(format!("{}:{}: finish it, or write TODO(#issue)", path.display(), idx + 1));
            }
        }
    }
    findings
}

fn module_names(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let visibilities = ["pub(crate) ", "pub(super) ", "pub "];
        let line = visibilities.iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line);
        let name = line.strip_prefix("mod ")?.split([';', ' ', '{']).next()?;
        Some(name.to_owned())
    })
}

fn path_attributes(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines()
        .filter_map(|line| Some(line.trim().strip_prefix("#[path = \"")?.split('"').next()?.to_owned()))
}

fn markdown_files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("docs"), root().join("changelog.d")];
    for entry in std::fs::read_dir(root())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "md") {
            files.push(path);
        }
    }
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "md") {
                files.push(path);
            }
        }
    }
    Ok(files)
}
