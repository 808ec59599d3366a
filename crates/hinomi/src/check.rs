//! `hinomi check`: reads files as the server would and says what is wrong, changing nothing.

use std::path::PathBuf;

use anyhow::{Result, bail};
use net::WebConfig;

use crate::config::{Config, read_rules};
use crate::say;

/// Checks configuration files and every file they name.
///
/// # Errors
/// When one of them is wrong; what is wrong has been printed then.
pub(crate) fn config(files: &[PathBuf]) -> Result<()> {
    let mut n_failed = 0;
    for file in files {
        let name = file.display();
        match Config::load(file) {
            Ok(config) if config.warnings.is_empty() => {
                let (n_jobs, n_rules) = (config.jobs.len(), count(&config.groups));
                say(&format!("{name}: ok, {n_jobs} scrape configurations, {n_rules} rules"));
            }
            Ok(config) => {
                n_failed += 1;
                config.warnings.iter().for_each(|warning| eprintln!("{name}: {warning}"));
            }
            Err(errors) => {
                n_failed += 1;
                eprintln!("{errors}");
            }
        }
    }
    verdict(n_failed, files.len())
}

/// Checks rule files.
///
/// # Errors
/// As [`config`].
pub(crate) fn rules(files: &[PathBuf]) -> Result<()> {
    let mut n_failed = 0;
    for file in files {
        match read_rules(file) {
            Ok(groups) => say(&format!("{}: ok, {} rules", file.display(), count(&groups))),
            Err(errors) => {
                n_failed += 1;
                eprintln!("{errors}");
            }
        }
    }
    verdict(n_failed, files.len())
}

/// Checks web configuration files and the certificates they name.
///
/// # Errors
/// As [`config`].
pub(crate) fn web_config(files: &[PathBuf]) -> Result<()> {
    let mut n_failed = 0;
    for file in files {
        match WebConfig::open(file) {
            Ok(web) => {
                let found = web.summary();
                let tls = if found.has_tls { "TLS" } else { "no TLS" };
                say(&format!("{}: ok, {tls}, {} users", file.display(), found.n_users));
                found.warnings.iter().for_each(|warning| eprintln!("{}: {warning}", file.display()));
            }
            Err(err) => {
                n_failed += 1;
                eprintln!("{err}");
            }
        }
    }
    verdict(n_failed, files.len())
}

fn count(groups: &[rules::GroupSpec]) -> usize {
    groups.iter().map(|group| group.rules.len()).sum()
}

fn verdict(n_failed: usize, n_files: usize) -> Result<()> {
    match n_failed {
        0 => Ok(()),
        1 if n_files == 1 => bail!("the file is not usable"),
        n_failed => bail!("{n_failed} of {n_files} files are not usable"),
    }
}
