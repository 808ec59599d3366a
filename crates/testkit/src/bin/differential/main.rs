//! `cargo xtask differential [--prometheus F] [--reference URL --target URL] --seed S --count N`
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a development tool that talks to its user"
)]

mod servers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use testkit::differential::ask::{Server, When};
use testkit::differential::catalogue::{Catalogue, n_samples};
use testkit::differential::compare::{Rule, Verdict, compare, compare_modern, compare_open};
use testkit::differential::coverage::Coverage;
use testkit::differential::data;
use testkit::differential::expr::Expr;
use testkit::differential::generate::{Generator, probed};
use testkit::differential::shrink::shrink;

use servers::{Programs, Servers};

const USAGE: &str = "usage: cargo xtask differential [--reference URL --target URL] [--seed S] [--count N] [--show N]

Asks both servers N random expressions over the data that both hold, and compares the answers: to the bit, or within
2 ulp. Prints each expression that differs, made small. What differs by version is a listed rule and counted.
Beside a Prometheus of 3.x, warnings, infos, refusals and the order of sorted answers are compared, too, and what 3.x added is asked.
Without URLs it starts a Prometheus and a release build of ours over data made for it.
  --hinomi F     our binary, when no URLs are given
  --prometheus F the other one: 2.x, or 3.x (Debian's)
  --features L   more for --enable-feature of both, with commas between: promql-delayed-name-removal
  --seed S       where the random numbers begin (1)
  --count N      how many expressions (1000)
  --show N       stop after so many differences (20)
  --hold yes     with the servers it started: prints their URLs and keeps them until standard input ends
";

struct Options {
    hinomi: String,
    prometheus: String,
    features: String,
    reference: String,
    target: String,
    seed: u64,
    count: u64,
    show: usize,
    hold: bool,
}

fn options() -> Result<Options> {
    let mut out = Options {
        hinomi: String::new(),
        prometheus: "prometheus".to_owned(),
        features: String::new(),
        reference: String::new(),
        target: String::new(),
        seed: 1,
        count: 1000,
        show: 20,
        hold: false,
    };
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
            "--hinomi" => out.hinomi = value,
            "--prometheus" => out.prometheus = value,
            "--features" => out.features = value,
            "--reference" => out.reference = value,
            "--target" => out.target = value,
            "--seed" => out.seed = value.parse().context("--seed")?,
            "--count" => out.count = value.parse().context("--count")?,
            "--hold" => out.hold = value == "yes",
            "--show" => out.show = value.parse().context("--show")?,
            other => anyhow::bail!("unknown option {other}"),
        }
    }
    anyhow::ensure!(
        out.reference.is_empty() == out.target.is_empty(),
        "--reference and --target go together"
    );
    anyhow::ensure!(
        !out.reference.is_empty() || !out.hinomi.is_empty(),
        "--hinomi, or --reference and --target, are needed"
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

fn run(options: &Options) -> Result<u64> {
    if options.reference.is_empty() {
        let programs = Programs {
            prometheus: &options.prometheus,
            hinomi: Path::new(&options.hinomi),
            features: &options.features,
        };
        let servers = Servers::start(&programs, options.seed)?;
        let until_ms = data::START_MS + data::SPAN_MS;
        let n_different = compare_all(options, &servers.reference, &servers.target, until_ms)?;
        if options.hold {
            println!("{} and {} are kept until standard input ends", servers.reference, servers.target);
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        }
        return Ok(n_different);
    }
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    compare_all(options, &options.reference, &options.target, now_ms)
}

/// What has been found so far.
#[derive(Default)]
struct Tally {
    rules: BTreeMap<Rule, u64>,
    n_same: u64,
    n_empty: u64,
    n_samples: usize,
    n_different: u64,
}

fn compare_all(options: &Options, reference: &str, target: &str, until_ms: i64) -> Result<u64> {
    let (reference, target) = (Server::new(reference), Server::new(target));
    let catalogue = Catalogue::learn(&reference, until_ms, &probed())?;
    println!(
        "{} metrics, {} labels, {} s of data; unknown to the reference and left out: {}",
        catalogue.metrics.len(),
        catalogue.labels.len(),
        (catalogue.span.1 - catalogue.span.0) / 1000,
        catalogue.unknown.iter().cloned().collect::<Vec<_>>().join(" ")
    );
    let mut generator = Generator::new(options.seed, &catalogue);
    let (mut tally, mut coverage) = (Tally::default(), Coverage::default());
    for number in 0..options.count {
        let (expr, when) = generator.next_case();
        coverage.see(&expr);
        let mut verdict = |expr: &Expr| -> Result<(Verdict, usize)> {
            let text = expr.to_string();
            let theirs = reference.eval(&catalogue.in_words_of_the_reference(&text), when);
            let theirs = theirs.with_context(|| format!("reference: {text}"))?;
            let ours = target.eval(&text, when).with_context(|| format!("target: {text}"))?;
            let n = theirs.as_ref().map_or(0, |reply| n_samples(&reply.data));
            if catalogue.is_modern() {
                return Ok((compare_modern(expr, &theirs, &ours), n));
            }
            let found = compare(expr, &theirs, &ours);
            if !matches!(found, Verdict::Same)
                && let Some(open) = expr.left_open()
            {
                let text = catalogue.in_words_of_the_reference(&open.to_string());
                let theirs = reference.eval(&text, when).with_context(|| format!("reference: {text}"))?;
                if !matches!(compare_open(expr, &theirs, &ours), Verdict::Different(_)) {
                    return Ok((Verdict::Explained(Rule::LeftEdge), n));
                }
            }
            Ok((found, n))
        };
        let (found, n) = verdict(&expr)?;
        match found {
            Verdict::Same => {
                tally.n_same += 1;
                tally.n_empty += u64::from(n == 0);
                tally.n_samples += n;
            }
            Verdict::Explained(rule) => *tally.rules.entry(rule).or_default() += 1,
            Verdict::Different(why) => match explain(&expr, why, &mut verdict) {
                Found::Rule(rule) => *tally.rules.entry(rule).or_default() += 1,
                Found::Different(small, why) => {
                    tally.n_different += 1;
                    println!("\n{number}: {small}\n    {}\n    {why}", describe(when));
                }
            },
        }
        if tally.n_different >= options.show as u64 {
            println!("\nstopped after {} differences", tally.n_different);
            break;
        }
    }
    println!(
        "\n{} the same ({} of them empty), {} samples compared",
        tally.n_same, tally.n_empty, tally.n_samples
    );
    for (rule, n) in &tally.rules {
        println!("{n} by rule: {}", rule.describe());
    }
    println!("{}", coverage.summary(&catalogue));
    println!("{} different", tally.n_different);
    Ok(tally.n_different)
}

enum Found {
    Rule(Rule),
    Different(Expr, String),
}

/// Makes a difference small. Where a rule holds for the part that makes it, the whole is explained.
fn explain(expr: &Expr, why: String, verdict: &mut dyn FnMut(&Expr) -> Result<(Verdict, usize)>) -> Found {
    let mut reason = why;
    let small = shrink(expr, &mut |smaller| match verdict(smaller) {
        Ok((Verdict::Different(why), _)) => {
            reason = why;
            true
        }
        _ => false,
    });
    let mut rule = None;
    shrink(&small, &mut |smaller| match verdict(smaller) {
        Ok((Verdict::Explained(found), _)) if found.spreads() => {
            rule = Some(found);
            true
        }
        _ => false,
    });
    rule.map_or(Found::Different(small, reason), Found::Rule)
}

fn describe(when: When) -> String {
    match when {
        When::Instant(t_ms) => format!("at {t_ms} ms"),
        When::Range(from, to, step) => format!("from {from} to {to} ms, every {step} ms"),
    }
}
