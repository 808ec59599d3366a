//! `fleet-most`: the largest number of targets that a server holds beside the generator, without a scrape that is missed, failed or late.
//!
//! In: as for `fleet`; out: the number, and what it took. Doubles from the first number until a step fails, then halves the gap. Each step
//! is a server of its own on an empty directory. A step in which the machine's memory runs short fails too: nobody's run is to end so.

use std::fs;

use anyhow::{Context as _, Result};

use super::super::Bench;
use super::super::report::{Kind, Section};
use super::super::server::Spec;
use super::{Bars, Plan, Run, Sizes, run};

/// Of the machine's memory, in percent: with less left a step fails. Chosen: others use the machine, too.
const LEFT_PERCENT_MIN: u64 = 15;
/// Most steps of one server. Chosen: from 300 to within a tenth of the answer below 10,000.
const STEPS_MAX: u64 = 10;

pub fn most(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let (first, limit) =
        (options.number("peer-targets", 300, 50)?, options.number("most-targets", 3_000, 100)?);
    let seconds = options.number("most-seconds", 120, 15)?;
    let interval_ms = options.number("interval", 15_000, 15_000)?;
    let mut section = Section::new(
        "fleet-most",
        format!(
            "As fleet. Steps of {seconds} s each, doubling from {first} targets up to {limit}, then halving the gap to a tenth; held is a step without a \
             scrape that was missed or failed, with a p99 of the lag under 1 s, by the generator's clock and as stored."
        ),
    );
    let plan = Plan {
        name: "fleet-most",
        interval_ms,
        samples_max: 0,
        bars: Bars { cores: (f64::INFINITY, ""), lag_seconds: (1.0, "< 1") },
    };
    for spec in bench.order(0) {
        let step = |n_targets: u64| {
            let sizes = Sizes {
                n_targets,
                seconds,
                interval_ms: i64::try_from(interval_ms)?,
                samples_max: 0,
                encoding: options.text("encoding").unwrap_or("gzip").to_owned(),
            };
            anyhow::Ok(attempt(bench, spec, &sizes, &plan))
        };
        search(spec, first.min(limit), limit, step, &mut section)?;
    }
    Ok(vec![section])
}

/// One step: what it took, or why it was not held.
fn attempt(bench: &Bench, spec: &Spec, sizes: &Sizes, plan: &Plan) -> Result<Run, String> {
    let mut unseen = Section::new(plan.name, String::new());
    let held = run(bench, spec, sizes, &is_short, &mut unseen).map_err(|err| format!("{err:#}"))?;
    let broken = held.broken(plan);
    if broken.is_empty() { Ok(held) } else { Err(broken.join("; ")) }
}

fn search(
    spec: &Spec,
    first: u64,
    limit: u64,
    step: impl Fn(u64) -> Result<Result<Run, String>>,
    section: &mut Section,
) -> Result<()> {
    let (mut best, mut too_many, mut next) = (None::<(u64, Run)>, None::<(u64, String)>, first);
    for n_steps in 1..=STEPS_MAX {
        println!("{}: step {n_steps}: {next} targets", spec.name);
        match step(next)? {
            Ok(run) => {
                println!("{}: {next} targets are held", spec.name);
                best = Some((next, run));
            }
            Err(why) => {
                println!("{}: {next} targets are not held: {why}", spec.name);
                too_many = Some((next, why));
            }
        }
        let held = best.as_ref().map_or(0, |(n, _)| *n);
        next = match &too_many {
            None if held >= limit => break,
            None => (held * 2).min(limit),
            Some((n, _)) if n - held <= n.div_ceil(10) => break,
            Some((n, _)) => u64::midpoint(held, *n),
        };
    }
    let (n_targets, run) = best.with_context(|| format!("{} does not hold the first step", spec.name))?;
    section.add("targets held", Kind::Fact, "", &spec.name, n_targets as f64);
    run.facts(&spec.name, section);
    match too_many {
        Some((n, why)) => section.remark(format!("{}: {n} targets are not held: {why}.", spec.name)),
        None => section.remark(format!("{}: held up to the limit of this run.", spec.name)),
    }
    Ok(())
}

/// Whether the machine's memory is nearly used up.
fn is_short() -> bool {
    let said = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |key: &str| -> Option<u64> {
        let line = said.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    matches!((kib("MemAvailable:"), kib("MemTotal:")), (Some(left), Some(all)) if left < all / 100 * LEFT_PERCENT_MIN)
}
