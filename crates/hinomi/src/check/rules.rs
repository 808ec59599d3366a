//! `hinomi check rules`: rule files, or one on standard input, and rules that stand there twice.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use ::rules::{GroupSpec, RuleSpec};

use super::args::Rules;
use super::report::Report;
use crate::config::{ConfigErrors, Depth, RuleFile, beyond_language, read_rules, rules_in};

/// Largest rule file on standard input, in bytes: as of files. Chosen.
const STDIN_BYTES_MAX: u64 = 64 << 20;

/// A report for each file.
pub(super) fn check(args: &Rules) -> Vec<Report> {
    let depth = if args.ignores_unknown { Depth::KnownFields } else { Depth::AllFiles };
    if args.files.is_empty() {
        return vec![report("standard input".to_owned(), from_stdin(depth), args)];
    }
    let one = |file: &PathBuf| report(file.display().to_string(), read_rules(file, depth), args);
    args.files.iter().map(one).collect()
}

fn from_stdin(depth: Depth) -> Result<RuleFile, ConfigErrors> {
    let mut text = String::new();
    let read = std::io::stdin().take(STDIN_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|err| ConfigErrors(vec![format!("standard input: {err}")]))?;
    rules_in("standard input", text, depth)
}

fn report(name: String, file: Result<RuleFile, ConfigErrors>, args: &Rules) -> Report {
    let mut report = Report::new(name);
    match file {
        Ok((groups, unread)) => {
            report.warnings.extend(unread);
            report.found("rules", count(&groups));
            report.errors = beyond_language(&groups, args.language);
            if args.lint.duplicate_rules {
                report.lints = duplicates(&groups);
            }
        }
        Err(errors) => report.errors = errors.0,
    }
    report
}

/// Rules of all groups.
pub(super) fn count(groups: &[GroupSpec]) -> usize {
    groups.iter().map(|group| group.rules.len()).sum()
}

/// Rules of one file that write the same series, each once. Kind does not matter, as in promtool.
pub(super) fn duplicates(groups: &[GroupSpec]) -> Vec<String> {
    let mut seen: BTreeMap<(&str, &str, &BTreeMap<String, String>), usize> = BTreeMap::new();
    for group in groups {
        for rule in &group.rules {
            *seen.entry((&group.file, rule.name(), RuleSpec::labels(rule))).or_default() += 1;
        }
    }
    let twice = seen.into_iter().filter(|(_, times)| *times > 1);
    twice
        .map(|((file, name, labels), times)| {
            let labels = labels.iter().map(|(name, value)| format!("{name}={value:?}"));
            format!(
                "{file}: duplicate rule {name}{{{}}} stands there {times} times; might cause inconsistency while recording expressions",
                labels.collect::<Vec<_>>().join(", ")
            )
        })
        .collect()
}
