//! `cargo xtask differential --reference URL --target URL --seed S --count N`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a development tool that talks to its user"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use testkit::differential::ask::{Server, When};
use testkit::differential::catalogue::{Catalogue, n_samples};
use testkit::differential::compare::{Rule, Verdict, compare};
use testkit::differential::expr::Expr;
use testkit::differential::generate::{Generator, probed};
use testkit::differential::shrink::shrink;

const USAGE: &str = "usage: cargo xtask differential --reference URL --target URL [--seed S] [--count N] [--show N]

Asks both servers N random expressions over the data that both hold, and compares the answers: to the bit, or within
2 ulp. Prints each expression that differs, made small. What differs by version is a listed rule and counted.
  --seed S   where the random numbers begin (1)
  --count N  how many expressions (1000)
  --show N   stop after so many differences (20)
";

struct Options {
    reference: String,
    target: String,
    seed: u64,
    count: u64,
    show: usize,
}

fn options() -> Result<Options> {
    let mut out = Options { reference: String::new(), target: String::new(), seed: 1, count: 1000, show: 20 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => {
                let value = args.next().with_context(|| format!("{name} needs a value"))?;
                (name, value)
            }
        };
        match name.as_str() {
            "--reference" => out.reference = value,
            "--target" => out.target = value,
            "--seed" => out.seed = value.parse().context("--seed")?,
            "--count" => out.count = value.parse().context("--count")?,
            "--show" => out.show = value.parse().context("--show")?,
            other => anyhow::bail!("unknown option {other}"),
        }
    }
    anyhow::ensure!(
        !out.reference.is_empty() && !out.target.is_empty(),
        "--reference and --target are needed"
    );
    Ok(out)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(err) => {
            eprint!("error: {err:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<usize> {
    let (reference, target) = (Server::new(&options.reference), Server::new(&options.target));
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let catalogue = Catalogue::learn(&reference, now_ms, &probed())?;
    println!(
        "{} metrics, {} labels, {} s of data; unknown to the reference and left out: {}",
        catalogue.metrics.len(),
        catalogue.labels.len(),
        (catalogue.span.1 - catalogue.span.0) / 1000,
        catalogue.unknown.iter().cloned().collect::<Vec<_>>().join(" ")
    );
    let mut generator = Generator::new(options.seed, &catalogue);
    let mut rules: BTreeMap<Rule, u64> = BTreeMap::new();
    let (mut n_same, mut n_empty, mut n_samples_compared, mut n_different) = (0u64, 0u64, 0, 0);
    for number in 0..options.count {
        let (expr, when) = generator.next_case();
        let verdict = |expr: &Expr| -> Result<(Verdict, usize)> {
            let text = expr.to_string();
            let theirs = reference.eval(&text, when).with_context(|| format!("reference: {text}"))?;
            let ours = target.eval(&text, when).with_context(|| format!("target: {text}"))?;
            Ok((compare(expr, &theirs, &ours), theirs.as_ref().map_or(0, n_samples)))
        };
        let (found, n) = verdict(&expr)?;
        match found {
            Verdict::Same => {
                n_same += 1;
                n_empty += u64::from(n == 0);
                n_samples_compared += n;
            }
            Verdict::Explained(rule) => *rules.entry(rule).or_default() += 1,
            Verdict::Different(why) => {
                n_different += 1;
                let mut reason = why;
                let small = shrink(&expr, &mut |smaller| match verdict(smaller) {
                    Ok((Verdict::Different(why), _)) => {
                        reason = why;
                        true
                    }
                    _ => false,
                });
                println!("\n{number}: {small}\n    {}\n    {reason}", describe(when));
                if n_different >= options.show {
                    println!("\nstopped after {n_different} differences");
                    break;
                }
            }
        }
    }
    println!("\n{n_same} the same ({n_empty} of them empty), {n_samples_compared} samples compared");
    for (rule, n) in &rules {
        println!("{n} by rule: {}", rule.describe());
    }
    println!("{n_different} different");
    Ok(n_different)
}

fn describe(when: When) -> String {
    match when {
        When::Instant(t_ms) => format!("at {t_ms} ms"),
        When::Range(from, to, step) => format!("from {from} to {to} ms, every {step} ms"),
    }
}
