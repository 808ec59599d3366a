//! `hinomi check`: reads files as the server would and says what is wrong, changing nothing; promtool's checks and exit codes.
//!
//! In: the command line ([`args`]) and files; out: lines or JSON, and 0 when all is well, 1 when something cannot be used, 3 when
//! something is only odd and `--lint-fatal` was given (always for `check metrics`).

pub(crate) mod args;
mod discovery;
mod files;
mod metrics;
mod promlint;
mod report;
mod rules;
mod server;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use net::WebConfig;

use self::args::{CheckArgs, Config as ConfigArgs, Lint};
use self::report::Report;
use crate::config::{Config, Depth, beyond_language};

/// Exit code for what can be used and yet is odd. From promtool.
const LINT: u8 = 3;

/// Checks what `args` say.
///
/// # Errors
/// When something cannot be used; what is wrong has been printed then.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode> {
    match args {
        CheckArgs::Config(args) => {
            let reports = args.files.iter().map(|file| config(file, args)).collect();
            report::print(reports, args.is_json, args.lint.is_fatal)
        }
        CheckArgs::Rules(args) => report::print(rules::check(args), args.is_json, args.lint.is_fatal),
        CheckArgs::Alertmanager { files, features, is_json } => {
            // The two that change what a file means; others are of amtool's and promtool's scripts.
            alertmanager::set_matcher_mode(crate::manager::flags::features(features)?.matcher_mode);
            report::print(files.iter().map(|file| alertmanager(file)).collect(), *is_json, false)
        }
        CheckArgs::WebConfig { files, is_json } => {
            report::print(files.iter().map(|file| web_config(file)).collect(), *is_json, false)
        }
        CheckArgs::Metrics(args) => metrics::check(args),
        CheckArgs::Discovery(args) => discovery::check(args),
        CheckArgs::Server { path, url, access } => server::check(path, url, access),
    }
}

/// One configuration file and every file it names.
fn config(file: &Path, args: &ConfigArgs) -> Report {
    let mut report = Report::new(file.display().to_string());
    let depth = match (args.is_syntax_only, args.ignores_unknown) {
        (true, _) => Depth::Syntax,
        (_, true) => Depth::KnownFields,
        _ => Depth::AllFiles,
    };
    let config = match Config::load_to(file, depth) {
        Ok(config) => config,
        Err(errors) => {
            report.errors = errors.0;
            return report;
        }
    };
    if args.is_agent {
        report.errors.extend(config.refused_by_agent());
    }
    report.found("scrape configurations", config.jobs.len());
    report.found("rules", rules::count(&config.groups));
    report.errors.extend(beyond_language(&config.groups, args.language));
    for job in &config.jobs {
        report.errors.extend(files::targets_of(job));
        report.errors.extend(files::keys_of(job, args.is_syntax_only));
    }
    if args.is_syntax_only {
        return report;
    }
    report.errors.extend(config.missing);
    report.warnings.extend(config.warnings);
    if let Some(file) = &config.own.alertmanager_file {
        let named = alertmanager(file);
        report.errors.extend(named.errors);
        report.warnings.extend(named.warnings);
    }
    report.lints.extend(long_intervals(&config.jobs, &args.lint));
    if args.lint.duplicate_rules {
        report.lints.extend(rules::duplicates(&config.groups));
    }
    report
}

/// Between two samples so far apart the series counts as gone.
fn long_intervals(jobs: &[scrape::ScrapeConfig], lint: &Lint) -> Vec<String> {
    let Some(lookback) = lint.too_long_beyond else { return Vec::new() };
    let long = jobs.iter().filter(|job| job.scrape_interval.as_ms() >= lookback.as_ms());
    let text = |job: &scrape::ScrapeConfig| {
        format!(
            "too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
            job.job, job.scrape_interval
        )
    };
    long.map(text).collect()
}

/// An Alertmanager file, the templates it names, and every text in it that is a template.
fn alertmanager(file: &Path) -> Report {
    let mut report = Report::new(file.display().to_string());
    match crate::manager::compose::load(file) {
        Ok(config) => {
            let found = config.summary();
            report.found("receivers", found.n_receivers);
            report.found("routes", found.n_routes);
            report.found("inhibit rules", found.n_inhibit_rules);
            report.found("time intervals", found.n_intervals);
            report.found("templates", found.n_templates);
            report.warnings = config.warnings();
        }
        Err(err) => report.errors.push(format!("{err:#}")),
    }
    report
}

/// A web configuration file and the certificates it names.
fn web_config(file: &Path) -> Report {
    let mut report = Report::new(file.display().to_string());
    match WebConfig::open(file) {
        Ok(web) => {
            let found = web.summary();
            report.found(
                if found.has_tls { "TLS certificates" } else { "no TLS certificates" },
                usize::from(found.has_tls),
            );
            report.found("users", found.n_users);
            report.warnings = found.warnings;
        }
        Err(err) => report.errors.push(err.to_string()),
    }
    report
}

/// The last line when files could not be used.
fn verdict(n_failed: usize, n_files: usize) -> Result<()> {
    match n_failed {
        0 => Ok(()),
        1 if n_files == 1 => bail!("the file is not usable"),
        n_failed => bail!("{n_failed} of {n_files} files are not usable"),
    }
}
