//! `hinomi test rules`: unit tests of rules in promtool's format, with its output and exit codes.
//!
//! In from test files; out to the terminal and, on request, a JUnit file. Evaluation is the server's: the rules of [`rules`] over a store
//! in memory. Source of format and wording: Prometheus' docs/configuration/unit_testing_rules.md and promtool's output.

mod case;
mod compare;
mod diff;
mod file;
mod junit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use model::Regex;
use stdx::{Dir, DiskDir};

use crate::say;
use file::TestFile;
use junit::Suite;

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Args {
    /// Test files.
    pub files: Vec<PathBuf>,
    /// Only tests whose name one of them matches; all when empty.
    pub run: Vec<String>,
    /// Show differences rather than both sides.
    pub diff: bool,
    /// Show what the tests hold.
    pub debug: bool,
    /// Where to write a report for machines.
    pub junit: Option<PathBuf>,
    /// Read over keys of rule files that are not known.
    pub ignore_unknown_fields: bool,
    /// Metric names go at the end of a query.
    pub delayed_name_removal: bool,
}

/// How tests are run.
struct Settings {
    run: Option<Regex>,
    diff: bool,
    debug: bool,
    ignore_unknown_fields: bool,
    delayed_name_removal: bool,
}

/// Runs the tests of all files.
///
/// # Errors
/// When one failed, or the report cannot be written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let run = match &args.run[..] {
        [] => None,
        // As Go: a match anywhere in the name counts.
        patterns => {
            let any = format!(".*({}).*", patterns.join("|"));
            Some(Regex::new(&any).map_err(|err| anyhow::anyhow!("--run: {err}"))?)
        }
    };
    let settings = Settings {
        run,
        diff: args.diff,
        debug: args.debug,
        ignore_unknown_fields: args.ignore_unknown_fields,
        delayed_name_removal: args.delayed_name_removal,
    };
    let mut suites = Vec::new();
    let mut n_failed = 0;
    for file in &args.files {
        say(&format!("Unit Testing:  {}", file.display()));
        let mut suite = Suite::new(&file.display().to_string());
        let errors = run_file(file, &settings, &mut suite);
        if errors.is_empty() {
            say("  SUCCESS");
        } else {
            n_failed += 1;
            eprintln!("  FAILED:");
            for error in errors {
                eprintln!("{error}");
                say("");
            }
        }
        say("");
        suites.push(suite);
    }
    if let Some(path) = &args.junit {
        let xml = junit::xml(&suites);
        let written = DiskDir::anywhere().write_atomic(path, xml.as_bytes());
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    match n_failed {
        0 => Ok(()),
        n_failed => bail!("tests of {n_failed} of {} files failed", args.files.len()),
    }
}

/// Returns what is wrong; nothing when all tests passed.
fn run_file(path: &Path, settings: &Settings, suite: &mut Suite) -> Vec<String> {
    let parsed = TestFile::read(path);
    let file = match parsed {
        Ok(file) => file,
        Err(error) => {
            suite.abort(&error);
            return vec![error];
        }
    };
    let mut errors = Vec::new();
    for (idx, test) in file.tests.iter().enumerate() {
        if settings.run.as_ref().is_some_and(|run| !run.is_match(&test.name)) {
            continue;
        }
        let name = if test.name.is_empty() { format!("unnamed#{idx}") } else { test.name.clone() };
        let failures = case::run(&name, test, &file, settings);
        suite.case(&name, &failures);
        errors.extend(failures);
    }
    errors
}

/// The rule files that `patterns` mean; those that are missing are said.
fn rule_files(patterns: &[String], folder: &Path) -> Vec<PathBuf> {
    let files: Arc<dyn Dir> = Arc::new(DiskDir::anywhere());
    let mut found = Vec::new();
    for pattern in patterns {
        let full = folder.join(pattern);
        let matching = discovery::glob::glob(&*files, &full.to_string_lossy());
        let before = found.len();
        found.extend(matching.into_iter().filter(|path| files.exists(path)));
        if found.len() == before {
            eprintln!("  WARNING: no file match pattern {}", full.display());
        }
    }
    found
}
