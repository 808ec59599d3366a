//! The stages of `cargo xtask test`, cheap ones first. Each can be run alone: `cargo xtask test lint tidy`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{Counts, counted, root};
use crate::{bench, install, tidy};

type Stage = fn() -> Result<Counts>;

/// Expressions compared with Debian's Prometheus in CI. Chosen: some seconds.
const DIFFERENTIAL_COUNT: &str = "1000";

/// Where property tests begin to draw their cases, so that a run judges the commit and not its luck. Chosen. Plain `cargo test` draws new ones each time;
/// what it finds is kept in `*.proptest-regressions`.
const PROPERTY_SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "1868");

/// In the order in which they run. A failure in the first three does not hide the others' results.
const STAGES: &[(&str, Stage)] = &[
    ("format", format),
    ("tidy", tidy_stage),
    ("lint", lint),
    ("unit", unit),
    ("promqltest", promqltest_stage),
    ("ui", ui),
    ("integration", integration),
];

/// Runs the stages named, or all; ends with the plain line `N passed, M failed`.
pub fn test(names: &[String]) -> Result<bool> {
    if let Some(unknown) = names.iter().find(|name| STAGES.iter().all(|(stage, _)| stage != name)) {
        let known: Vec<_> = STAGES.iter().map(|(stage, _)| *stage).collect();
        bail!("no stage {unknown:?}; there are: {}", known.join(" "));
    }
    let mut total = Counts::default();
    let mut failed_stages = Vec::new();
    for (name, stage) in STAGES.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name))
    {
        println!("\n=== {name}");
        let counts = stage().unwrap_or_else(|err| {
            println!("{name}: {err:#}");
            Counts { passed: 0, failed: 1 }
        });
        if counts.failed > 0 {
            failed_stages.push(*name);
        }
        total.add(counts);
    }
    if !failed_stages.is_empty() {
        println!("\nfailed stages: {}", failed_stages.join(" "));
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

/// `cargo xtask promqltest DIR`
pub fn promqltest(args: &[String]) -> Result<bool> {
    let Some(dir) = args.first() else { bail!("usage: cargo xtask promqltest DIR") };
    let dir = std::path::absolute(dir)?;
    let counts =
        counted(cargo(&["run", "--quiet", "--package", "testkit", "--bin", "promqltest", "--"]).arg(dir))?;
    Ok(counts.failed == 0)
}

/// `cargo xtask differential …`; without `--reference` it starts both servers itself.
pub fn differential(args: &[String]) -> Result<bool> {
    let mut command =
        cargo(&["run", "--quiet", "--release", "--package", "testkit", "--bin", "differential", "--"]);
    let names_servers = args.iter().any(|arg| arg.starts_with("--reference") || arg.starts_with("--hinomi"));
    if !names_servers {
        install::debian_packages()?;
        command.arg("--hinomi").arg(bench::server::build("hinomi")?);
    }
    Ok(command.args(args).status()?.success())
}

/// `cargo xtask fuzz SECONDS`
pub fn fuzz(args: &[String]) -> Result<bool> {
    let seconds: u32 =
        args.first().and_then(|arg| arg.parse().ok()).context("usage: cargo xtask fuzz SECONDS")?;
    let mut total = Counts::default();
    for entry in std::fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        let target = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let limit = format!("-max_total_time={seconds}");
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", "run", &target, "--", &limit]);
        total.add(counted(&mut command)?);
    }
    Ok(total.failed == 0)
}

fn format() -> Result<Counts> {
    counted(&mut cargo(&["fmt", "--all", "--check"]))
}

fn tidy_stage() -> Result<Counts> {
    let passed = tidy::run()?.print();
    Ok(Counts { passed: u64::from(passed), failed: u64::from(!passed) })
}

fn lint() -> Result<Counts> {
    // The page is not looked at here, so it is not built either.
    let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    counted(command.env("HINOMI_SKIP_UI", "1"))
}

fn unit() -> Result<Counts> {
    let tests = |args: &[&str]| {
        let mut command = cargo(&["test", "--workspace", "--quiet", "--no-fail-fast"]);
        let (variable, seed) = PROPERTY_SEED;
        let seed = std::env::var(variable).unwrap_or_else(|_| seed.to_owned());
        counted(command.args(args).env("HINOMI_SKIP_UI", "1").env(variable, seed))
    };
    let mut counts = tests(&["--lib", "--bins"])?;
    // Tests of crates over their public surface; the binary's own need the release build and come last.
    counts.add(tests(&["--exclude", "hinomi", "--test", "*"])?);
    Ok(counts)
}

/// Upstream's PromQL scripts, when the shared test data lies beside the checkout.
fn promqltest_stage() -> Result<Counts> {
    let dir = shared().join("testdata/promqltest");
    if !dir.is_dir() {
        println!("left out: {} is not there (set HINOMI_SHARED)", dir.display());
        return Ok(Counts::default());
    }
    let mut command = cargo(&["run", "--quiet", "--package", "testkit", "--bin", "promqltest", "--"]);
    counted(command.arg(dir))
}

fn ui() -> Result<Counts> {
    install::check_node()?;
    let ui = root().join("ui");
    let npm = |args: &[&str]| {
        let mut command = Command::new("npm");
        command.args(args).current_dir(&ui);
        counted(&mut command)
    };
    npm(&["ci", "--no-audit", "--no-fund", "--prefer-offline"])?;
    let mut counts = npm(&["run", "lint"])?;
    counts.add(npm(&["test"])?);
    Ok(counts)
}

/// The binary as people run it: release build, page included, against real peers.
fn integration() -> Result<Counts> {
    install::debian_packages()?;
    install::python_packages()?;
    install::check_node()?;
    // One at a time: the tests measure time and memory, and two cores are not many.
    let tests = ["--no-fail-fast", "--test", "*", "--", "--test-threads", "1"];
    let args = [&["test", "--release", "--package", "hinomi"][..], &tests].concat();
    let mut counts = counted(&mut cargo(&args))?;
    let same = differential(&["--count".to_owned(), DIFFERENTIAL_COUNT.to_owned()])?;
    counts.add(Counts { passed: u64::from(same), failed: u64::from(!same) });
    Ok(counts)
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Facts and recordings shared between our projects, beside the checkout.
fn shared() -> PathBuf {
    std::env::var_os("HINOMI_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from)
}
