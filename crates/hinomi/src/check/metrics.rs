//! `hinomi check metrics`: pages on standard input or in files, linted, and counted with `--extended`.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use stdx::{Dir as _, DiskDir};

use super::LINT;
use super::args::Metrics;
use super::promlint::{Page, Problem};
use crate::say;
use crate::terminal::{Align, Table};

/// Largest page on standard input, in bytes: as of a scrape. Chosen.
const STDIN_BYTES_MAX: u64 = 512 << 20;

/// Checks each page; ends with 3 when one is odd.
pub(super) fn check(args: &Metrics) -> Result<ExitCode> {
    if !args.is_lint && !args.is_extended {
        bail!("--lint=none leaves nothing to do: give --extended, too");
    }
    let mut has_problems = false;
    for (name, body) in pages(args)? {
        let page = Page::read(&body).map_err(|why| anyhow::anyhow!("error while linting: {name}{why}"))?;
        let problems = if args.is_lint { page.problems() } else { Vec::new() };
        has_problems |= !problems.is_empty();
        if args.is_json {
            say(&as_json(&name, &page, &problems).to_string());
            continue;
        }
        problems.iter().for_each(|problem| eprintln!("{name}{} {}", problem.metric, problem.text));
        if args.is_extended {
            sizes(&page).print();
        }
    }
    Ok(if has_problems { ExitCode::from(LINT) } else { ExitCode::SUCCESS })
}

/// What stands before each problem, and the page.
fn pages(args: &Metrics) -> Result<Vec<(String, Vec<u8>)>> {
    if args.files.is_empty() {
        let mut body = Vec::new();
        std::io::stdin().take(STDIN_BYTES_MAX).read_to_end(&mut body).context("standard input")?;
        return Ok(vec![(String::new(), body)]);
    }
    let read = |file: &std::path::PathBuf| {
        let shown = file.display().to_string();
        let body = DiskDir::anywhere().read(file).with_context(|| shown.clone())?;
        Ok((format!("{shown}: "), body))
    };
    args.files.iter().map(read).collect()
}

fn as_json(name: &str, page: &Page, problems: &[Problem]) -> serde_json::Value {
    let problems: Vec<_> =
        problems.iter().map(|problem| json!({ "metric": problem.metric, "problem": problem.text })).collect();
    let series: serde_json::Map<_, _> =
        page.sizes().map(|(metric, count)| (metric.to_owned(), json!(count))).collect();
    json!({ "file": name.trim_end_matches(": "), "lint": problems, "series": series })
}

/// The largest first.
fn sizes(page: &Page) -> Table {
    let mut sizes: Vec<(&str, usize)> = page.sizes().collect();
    sizes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let total: usize = sizes.iter().map(|(_, count)| count).sum();
    let mut table =
        Table::new([("Metric", Align::Left), ("Cardinality", Align::Right), ("Percentage", Align::Right)]);
    for (metric, count) in sizes {
        let share = format!("{:.2}%", count as f64 * 100.0 / total as f64);
        table.row([metric.to_owned(), count.to_string(), share]);
    }
    table.row(["Total".to_owned(), total.to_string(), "100%".to_owned()]);
    table
}
