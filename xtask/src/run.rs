//! Runs commands, shows their output as it comes, and counts the tests they report.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The project's root: the parent of xtask's own folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_path_buf()
}

/// Runs a command to its end. Counts come from the runner's closing lines; a command without any counts as one test.
pub fn counted(command: &mut Command) -> Result<Counts> {
    println!("\n$ {}", shown(command));
    let started = Instant::now();
    let mut child = command
        .current_dir(command.get_current_dir().map_or_else(root, PathBuf::from))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let stdout = child.stdout.take().context("stdout was piped above")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.unwrap_or_default();
        println!("{line}");
        counts.add(counts_in(&line).unwrap_or_default());
    }
    let status = child.wait()?;
    println!("({}, {:.0} s)", status, started.elapsed().as_secs_f64());
    if counts == Counts::default() {
        counts.passed = u64::from(status.success());
    }
    if !status.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// Whether a command exists on the PATH.
pub fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Reads the closing lines of cargo test, vitest and our own runners.
fn counts_in(line: &str) -> Option<Counts> {
    let line = strip_ansi(line);
    let line = line.trim();
    // cargo: «test result: ok. 6 passed; 0 failed; …»; ours: «6 passed, 0 failed»; vitest: «Tests  6 passed (6)».
    let is_cargo = line.starts_with("test result:");
    let is_vitest = line.starts_with("Tests ");
    let is_plain = line.ends_with(" failed")
        && line.contains(" passed, ")
        && line.starts_with(|c: char| c.is_ascii_digit());
    if !(is_cargo || is_vitest || is_plain) {
        return None;
    }
    let number_before = |word: &str| {
        let before = line.split(word).next().filter(|before| before.len() < line.len())?;
        before.rsplit(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
    };
    Some(Counts {
        passed: number_before(" passed").unwrap_or(0),
        failed: number_before(" failed").unwrap_or(0),
    })
}

fn strip_ansi(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // An escape sequence ends with its first letter.
            let _ = chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_every_runner() {
        let check =
            |line, passed, failed| assert_eq!(counts_in(line), Some(Counts { passed, failed }), "{line}");
        check(
            "test result: ok. 6 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            6,
            0,
        );
        check("test result: FAILED. 5 passed; 2 failed; 0 ignored", 5, 2);
        check(
            "\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[32m92 passed\u{1b}[39m\u{1b}[22m\u{1b}[90m (92)\u{1b}[39m",
            92,
            0,
        );
        check("      Tests  1 failed | 91 passed (92)", 91, 1);
        check("18 passed, 1 failed", 18, 1);
        assert_eq!(counts_in("we passed"), None);
    }
}
