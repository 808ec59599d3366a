//! What a check found in one file, as lines for people or JSON for programs.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::{LINT, verdict};
use crate::{say, terminal};

/// One file.
#[derive(Debug, Default)]
pub(super) struct Report {
    file: String,
    /// Why it cannot be used; each begins with file, line and column where there are any.
    pub(super) errors: Vec<String>,
    /// What is odd.
    pub(super) lints: Vec<String>,
    /// What is worth to know.
    pub(super) warnings: Vec<String>,
    found: Vec<(&'static str, usize)>,
}

impl Report {
    pub(super) fn new(file: String) -> Self {
        Self { file, ..Self::default() }
    }

    /// Notes how many of something the file has.
    pub(super) fn found(&mut self, what: &'static str, count: usize) {
        self.found.push((what, count));
    }

    fn line(&self) -> String {
        let found = self.found.iter().map(|(what, count)| match what.strip_prefix("no ") {
            Some(_) if *count == 0 => (*what).to_owned(),
            _ => format!("{count} {what}"),
        });
        format!("{}: {}, {}", self.file, terminal::green("ok"), found.collect::<Vec<_>>().join(", "))
    }

    fn json(&self) -> Value {
        let status = match (self.errors.is_empty(), self.lints.is_empty()) {
            (false, _) => "error",
            (true, false) => "lint",
            (true, true) => "ok",
        };
        let found = self.found.iter().map(|(what, count)| ((*what).to_owned(), json!(count)));
        json!({
            "file": self.file,
            "status": status,
            "errors": self.errors.iter().map(|text| self.placed(text)).collect::<Vec<_>>(),
            "lint": self.lints,
            "warnings": self.warnings,
            "found": Value::Object(found.collect()),
        })
    }

    /// `file:line:column: message`, taken apart.
    fn placed(&self, text: &str) -> Value {
        let parts = || {
            // The file that the error names: this one, or one that it names.
            let (place, message) = text.split_once(": ")?;
            let (rest, column) = place.rsplit_once(':')?;
            let (file, line) = rest.rsplit_once(':')?;
            Some(json!({
                "file": file, "line": line.parse::<u64>().ok()?, "column": column.parse::<u64>().ok()?, "message": message,
            }))
        };
        parts().unwrap_or_else(|| json!({ "file": self.file, "message": text }))
    }
}

/// Prints what was found; the exit code when nothing is unusable.
pub(super) fn print(reports: Vec<Report>, is_json: bool, is_fatal: bool) -> Result<ExitCode> {
    let has_lints = reports.iter().any(|report| !report.lints.is_empty());
    let n_failed = reports.iter().filter(|report| !report.errors.is_empty()).count();
    if is_json {
        let files: Vec<Value> = reports.iter().map(Report::json).collect();
        say(&json!({ "files": files }).to_string());
    } else {
        for report in &reports {
            report.errors.iter().for_each(|text| eprintln!("{text}"));
            report.lints.iter().for_each(|text| eprintln!("{}: lint: {text}", report.file));
            report.warnings.iter().for_each(|text| eprintln!("{}: {text}", report.file));
            if report.errors.is_empty() {
                say(&report.line());
            }
        }
    }
    verdict(n_failed, reports.len())?;
    Ok(if has_lints && is_fatal { ExitCode::from(LINT) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        let report = Report::new("a.yml".to_owned());
        let check = |text: &str, expected: Value| assert_eq!(report.placed(text), expected, "{text}");
        check(
            "dir/r.yml:3:7: no: way",
            json!({"file": "dir/r.yml", "line": 3, "column": 7, "message": "no: way"}),
        );
        check("a.yml: bad", json!({"file": "a.yml", "message": "a.yml: bad"}));
        check("bad", json!({"file": "a.yml", "message": "bad"}));
    }
}
