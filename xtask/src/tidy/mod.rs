//! Checks of the house that neither the compiler nor clippy makes.
//!
//! Each check is a function from the tree to findings; a finding names a file and says what to do.

mod files;
mod functions;
mod layers;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::run::root;

/// What was found.
pub struct Report {
    findings: Vec<String>,
    n_files: usize,
}

impl Report {
    /// Prints the findings; true when there are none.
    pub fn print(&self) -> bool {
        for finding in &self.findings {
            println!("tidy: {finding}");
        }
        println!("tidy: {} findings in {} files", self.findings.len(), self.n_files);
        self.findings.is_empty()
    }
}

/// Runs every check.
pub fn run() -> Result<Report> {
    let sources = rust_files(&root())?;
    let mut findings = layers::check()?;
    findings.extend(files::check_headers(&sources));
    findings.extend(files::check_dead(&sources));
    findings.extend(files::check_links()?);
    findings.extend(files::check_names(&sources));
    findings.extend(functions::check(&sources)?);
    Ok(Report { findings, n_files: sources.len() })
}

/// One source file, with its path from the root.
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

fn rust_files(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.join("crates"), root.join("xtask"), root.join("fuzz")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | "corpus" | "artifacts") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path)?;
                sources.push(Source { path: path.strip_prefix(root)?.to_path_buf(), text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}
