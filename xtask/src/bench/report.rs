//! Tables: medians of the runs, the others' ratio to ours, and the file under `docs/perf/` that keeps them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::server::Spec;
use crate::run;

/// How a row compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Less is better: the table shows how many times more the others take.
    Cost,
    /// Shown beside each other, without a ratio.
    Fact,
}

struct Row {
    what: String,
    kind: Kind,
    asked: &'static str,
    /// By server, one value a run.
    values: BTreeMap<String, Vec<f64>>,
}

/// What one workload found.
pub struct Section {
    /// Its name on the command line.
    name: &'static str,
    /// How it was measured.
    method: String,
    rows: Vec<Row>,
    /// Remarks below the table.
    remarks: Vec<String>,
}

impl Section {
    pub fn new(name: &'static str, method: String) -> Self {
        println!("\n=== {name}\n{method}");
        Self { name, method, rows: Vec::new(), remarks: Vec::new() }
    }

    /// One run's value. Rows come in the order in which they were first given; `asked` is the target, or empty.
    pub fn add(&mut self, what: &str, kind: Kind, asked: &'static str, server: &str, value: f64) {
        println!("  {server:>12}  {what}: {}", number(value));
        let nth = self.rows.iter().position(|row| row.what == what).unwrap_or_else(|| {
            self.rows.push(Row { what: what.to_owned(), kind, asked, values: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[nth].values.entry(server.to_owned()).or_default().push(value);
    }

    /// A line below the table; the same line once.
    pub fn remark(&mut self, text: String) {
        println!("  note: {text}");
        if !self.remarks.contains(&text) {
            self.remarks.push(text);
        }
    }

    fn markdown(&self, specs: &[Spec]) -> String {
        let present = |spec: &&Spec| self.rows.iter().any(|row| row.values.contains_key(&spec.name));
        let specs: Vec<&Spec> = specs.iter().filter(present).collect();
        let ours = specs.iter().find(|spec| spec.is_ours);
        let mut out = format!("{}\n\n| |", self.method);
        let others = || specs.iter().filter(|spec| ours.is_some() && !spec.is_ours);
        specs.iter().for_each(|spec| out.push_str(&format!(" {} |", spec.name)));
        others().for_each(|spec| out.push_str(&format!(" {} : ours |", spec.name)));
        let _ = writeln!(out, " asked |\n|---|{}---|", "---|".repeat(specs.len() + others().count()));
        for row in &self.rows {
            let _ = write!(out, "| {} |", row.what);
            for spec in &specs {
                let _ = write!(
                    out,
                    " {} |",
                    row.values.get(&spec.name).map_or_else(String::new, |runs| cell(runs))
                );
            }
            for spec in others() {
                let value = |name: &str| row.values.get(name).map(|runs| median(runs));
                let ratio = match (ours.and_then(|ours| value(&ours.name)), value(&spec.name)) {
                    (Some(own), Some(other)) if row.kind == Kind::Cost && own > 0.0 => {
                        format!("**{}×**", number(other / own))
                    }
                    _ => String::new(),
                };
                let _ = write!(out, " {ratio} |");
            }
            let _ = writeln!(out, " {} |", row.asked);
        }
        for remark in &self.remarks {
            let _ = write!(out, "\n{remark}\n");
        }
        out
    }
}

/// The median, and the spread when runs differ by more than a twentieth.
fn cell(runs: &[f64]) -> String {
    let (low, high) =
        runs.iter().fold((f64::MAX, f64::MIN), |(low, high), run| (low.min(*run), high.max(*run)));
    let middle = median(runs);
    if high - low > middle.abs() / 20.0 {
        return format!("{} ({}–{})", number(middle), number(low), number(high));
    }
    number(middle)
}

/// The middle value; of an even number of values the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Three digits that count; whole numbers in full with thousands set apart.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let mut out = String::new();
    for (nth, c) in whole.chars().enumerate() {
        if nth > 0 && (whole.len() - nth).is_multiple_of(3) && whole.as_bytes()[nth - 1] != b'-' {
            out.push(',');
        }
        out.push(c);
    }
    if let Some(fraction) = fraction {
        let _ = write!(out, ".{fraction}");
    }
    out
}

/// Prints the sections and writes them into the report; sections of other workloads stay as they are.
pub fn publish(path: &Path, sections: &[Section], specs: &[Spec], command: &str) -> Result<()> {
    let old = fs::read_to_string(path).unwrap_or_default();
    let mut kept = sections_in(&old);
    for section in sections {
        let context = context(specs, command);
        let body = format!("{context}\n\n{}", section.markdown(specs));
        println!("\n## {}\n\n{body}", section.name);
        match kept.iter_mut().find(|(name, _)| name == section.name) {
            Some((_, text)) => *text = body,
            None => kept.push((section.name.to_owned(), body)),
        }
    }
    let mut text = opening(&old);
    for (name, body) in &kept {
        let _ = write!(text, "\n## {name}\n\n{}\n", body.trim());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What stands before the first section: written by people when there is a report already.
fn opening(old: &str) -> String {
    let before = old.split("\n## ").next().unwrap_or_default().trim();
    if before.is_empty() {
        return "# Side by side\n\nWritten by `cargo xtask bench`: medians of the runs, spread in brackets where it is wide; CPU and memory as the\n\
                operating system counts them. How each workload works: [README](README.md).\n"
            .to_owned();
    }
    format!("{before}\n")
}

fn sections_in(text: &str) -> Vec<(String, String)> {
    let sections = text.split("\n## ").skip(1);
    sections
        .filter_map(|section| section.split_once('\n'))
        .map(|(n, b)| (n.to_owned(), b.to_owned()))
        .collect()
}

/// When, where, with what.
fn context(specs: &[Spec], command: &str) -> String {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).current_dir(run::root()).output();
        output.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let n_cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = (memory.lines().find_map(|line| line.strip_prefix("MemTotal:")))
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let versions = specs.iter().map(|spec| format!("{}: {}", spec.name, spec.version)).collect::<Vec<_>>();
    format!(
        "{}, commit {}, {n_cpus} × {}, {} GiB, Linux {}, load {} at the end. {}.\n`cargo xtask bench {command}`",
        said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        said("git", &["describe", "--always", "--dirty"]),
        model.trim_start_matches([' ', '\t', ':']),
        kib >> 20,
        said("uname", &["-r"]),
        load.split(' ').next().unwrap_or_default(),
        versions.join("; "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_numbers() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let check = |value, text| assert_eq!(number(value), text);
        check(1_234_567.0, "1,234,567");
        check(-1_234.0, "-1,234");
        check(-123.4, "-123");
        check(12.34, "12.3");
        check(0.123_45, "0.123");
        check(0.0, "0");
        assert_eq!(cell(&[1.0, 1.01, 1.02]), "1.01");
        assert_eq!(cell(&[1.0, 2.0, 1.5]), "1.50 (1–2)");
    }

    #[test]
    fn a_section_replaces_its_own_and_leaves_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.md");
        fs::write(&path, "# Mine\n\nWords.\n\n## a\n\nold a\n\n## b\n\nold b\n").expect("written");
        let mut section = Section::new("b", "How.".to_owned());
        section.add("CPU", Kind::Cost, "2×", "ours", 2.0);
        section.add("CPU", Kind::Cost, "2×", "peer", 6.0);
        let spec = |name: &str, is_ours| Spec {
            name: name.to_owned(),
            command: String::new(),
            version: String::new(),
            is_ours,
        };
        publish(&path, &[section], &[spec("ours", true), spec("peer", false)], "b").expect("published");
        let text = fs::read_to_string(&path).expect("read");
        assert!(text.starts_with("# Mine\n\nWords.\n\n## a\n\nold a\n\n## b\n"), "{text}");
        assert!(text.contains("| CPU | 2 | 6 | **3×** | 2× |") && !text.contains("old b"), "{text}");
    }
}
