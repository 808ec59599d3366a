//! `cargo xtask judge`: files of configuration, rules and the web server, each with a fault or an oddity made at random, judged by a promtool
//! and by ours. What one takes and the other refuses is printed, unless [`known`] has a reason for it.
//!
//! In: promtool's path, a seed and a count. Out: lines, and whether all verdicts without a known reason agree. The same seed makes the same
//! files. Made for promtool 3.14; an older one does not know keys that are newer.

mod known;
mod make;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::bench;
use make::Maker;

const USAGE: &str = "usage: cargo xtask judge --promtool FILE [--hinomi FILE] [--seed N] [--count N]";

/// Files that one run of a tool judges. Chosen: promtool takes a tenth of a second to start, and command lines have an end.
const BATCH: usize = 100;
/// Differences that are printed of one kind.
const SHOWN: usize = 3;

/// One file, and what was done to it.
struct Case {
    path: PathBuf,
    change: String,
}

/// Verdicts by file: `None` where it is taken, the reason where it is refused.
type Verdicts = BTreeMap<PathBuf, Option<String>>;

/// What judges.
struct Tools {
    promtool: PathBuf,
    hinomi: PathBuf,
}

/// Runs it.
pub(crate) fn main(args: &[String]) -> Result<bool> {
    let (mut promtool, mut hinomi, mut seed, mut count) = (None, None, 1u64, 3_000usize);
    for pair in args.chunks(2) {
        let [name, value] = pair else { bail!(USAGE) };
        match name.as_str() {
            "--promtool" => promtool = Some(PathBuf::from(value)),
            "--hinomi" => hinomi = Some(PathBuf::from(value)),
            "--seed" => seed = value.parse().context("--seed needs a number")?,
            "--count" => count = value.parse().context("--count needs a number")?,
            _ => bail!(USAGE),
        }
    }
    let promtool = promtool.context(USAGE)?;
    let hinomi = hinomi.map_or_else(|| bench::server::build("hinomi"), Ok)?;
    let tools = Tools { promtool, hinomi };
    let folder = tempfile::tempdir()?;
    let mut is_same = true;
    for (command, share) in [("config", 8), ("rules", 1), ("web-config", 1)] {
        let cases = Maker::new(seed, command)?.files(folder.path(), count * share / 10)?;
        is_same &= compare(command, &tools, &cases)?;
    }
    Ok(is_same)
}

fn compare(command: &str, tools: &Tools, cases: &[Case]) -> Result<bool> {
    let (mut n_refused, mut n_known) = (0, 0);
    let mut new: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for batch in cases.chunks(BATCH) {
        let theirs = theirs(command, &tools.promtool, batch)?;
        let ours = ours(command, &tools.hinomi, batch)?;
        for case in batch {
            let our = ours.get(&case.path).with_context(|| format!("no verdict of ours: {}", case.change))?;
            // Some faults it does not survive: `alertmanagers: [~]`.
            let Some(their) = theirs.get(&case.path) else {
                n_known += 1;
                continue;
            };
            n_refused += usize::from(their.is_some() && our.is_some());
            let (side, why) = match (their, our) {
                (None, Some(why)) => ("only ours refuses", why),
                (Some(why), None) => ("only promtool refuses", why),
                _ => continue,
            };
            match known::reason(why) {
                Some(_) => n_known += 1,
                None => new
                    .entry(format!("{side}: {}", kind_of(&case.change)))
                    .or_default()
                    .push(format!("{}: {why}", case.change)),
            }
        }
    }
    let n_new: usize = new.values().map(Vec::len).sum();
    println!(
        "check {command}: {} files, {n_refused} refused by both, {n_known} judged otherwise for a known reason, {n_new} without one",
        cases.len()
    );
    for (kind, cases) in &new {
        println!("  {kind} ({})", cases.len());
        cases.iter().take(SHOWN).for_each(|case| println!("    {case}"));
    }
    Ok(new.is_empty())
}

/// The change without the value: what is alike is counted together.
fn kind_of(change: &str) -> &str {
    change.split(" = ").next().unwrap_or(change)
}

fn paths(batch: &[Case]) -> impl Iterator<Item = &Path> {
    batch.iter().map(|case| case.path.as_path())
}

fn ours(command: &str, hinomi: &Path, batch: &[Case]) -> Result<Verdicts> {
    let mut hinomi = Command::new(hinomi);
    hinomi.args(["check", command, "--format", "json"]);
    if command != "web-config" {
        hinomi.args(["--lint", "none"]);
    }
    let output = hinomi.args(paths(batch)).output().context("cannot run hinomi")?;
    let answer: Value = serde_json::from_slice(&output.stdout).context("hinomi's answer is no JSON")?;
    let files = answer["files"].as_array().cloned().unwrap_or_default();
    let verdict = |file: &Value| {
        let path = PathBuf::from(file["file"].as_str()?);
        let error = file["errors"].get(0).map(|error| error["message"].as_str().unwrap_or("?").to_owned());
        Some((path, error))
    };
    Ok(files.iter().filter_map(verdict).collect())
}

fn theirs(command: &str, promtool: &Path, batch: &[Case]) -> Result<Verdicts> {
    let mut verdicts = their_batch(command, promtool, paths(batch))?;
    // Some faults end its whole run.
    for path in paths(batch) {
        if !verdicts.contains_key(path) {
            verdicts.extend(their_batch(command, promtool, std::iter::once(path))?);
        }
    }
    Ok(verdicts)
}

fn their_batch<'a>(
    command: &str,
    promtool: &Path,
    paths: impl Iterator<Item = &'a Path>,
) -> Result<Verdicts> {
    let mut run = Command::new(promtool);
    run.args(["check", command]);
    if command != "web-config" {
        run.arg("--lint=none");
    }
    // Which file a reason belongs to is told by their order alone, and reasons go to standard error.
    let (mut reader, writer) = std::io::pipe()?;
    run.args(paths).stdout(writer.try_clone()?).stderr(writer);
    let mut child = run.spawn().with_context(|| format!("cannot run {}", promtool.display()))?;
    drop(run);
    let mut said = Vec::new();
    reader.read_to_end(&mut said)?;
    child.wait()?;
    Ok(read_theirs(&String::from_utf8_lossy(&said)))
}

/// `Checking FILE`, then `SUCCESS` or `FAILED` and why; of web files `FILE SUCCESS` or `FILE FAILED: why`.
fn read_theirs(text: &str) -> Verdicts {
    let (mut verdicts, mut current) = (Verdicts::new(), None);
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("Checking ") {
            current = Some(PathBuf::from(path));
        } else if let Some((path, why)) = line.split_once(" FAILED").filter(|(path, _)| path.starts_with('/'))
        {
            verdicts.insert(path.into(), Some(why.trim_start_matches(':').trim().to_owned()));
        } else if let Some(path) = line.strip_suffix(" SUCCESS").filter(|path| path.starts_with('/')) {
            verdicts.insert(path.into(), None);
        } else if let Some(path) = &current {
            match line.trim_start().strip_prefix("FAILED:") {
                Some(why) => {
                    verdicts.insert(path.clone(), Some(why.trim().to_owned()));
                }
                None if line.trim_start().starts_with("SUCCESS") => {
                    verdicts.entry(path.clone()).or_insert(None);
                }
                // Why goes on over further lines.
                None => {
                    if let Some(Some(why)) = verdicts.get_mut(path) {
                        *why = format!("{why} {}", line.trim()).trim().to_owned();
                    }
                }
            }
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promtools_verdicts_are_read() {
        let text = "Checking /a.yml\n  FAILED: parsing YAML file /a.yml: x\n  y\n\nChecking /b.yml\n SUCCESS: /b.yml is valid\n\
                    /c.yml SUCCESS\n/d.yml FAILED: z\nChecking /e.yml\n  FAILED:\n/e.yml: 1:2: w\n";
        let verdicts = read_theirs(text);
        let why = |path: &str| verdicts.get(Path::new(path)).cloned();
        assert_eq!(why("/a.yml"), Some(Some("parsing YAML file /a.yml: x y".to_owned())));
        assert_eq!((why("/b.yml"), why("/c.yml")), (Some(None), Some(None)));
        assert_eq!(why("/d.yml"), Some(Some("z".to_owned())));
        assert_eq!(why("/e.yml"), Some(Some("/e.yml: 1:2: w".to_owned())));
    }
}
