//! `hinomi tsdb list|analyze|verify|repair`: prints what `tsdb::inspect` finds, as tables or JSON.

use std::path::Path;

use anyhow::{Result, bail};
use stdx::{Clock as _, SystemClock};
use tsdb::NamedCount;
use tsdb::inspect::{self, Analysis, AnalyzeOptions, BlockSummary, Finding, Listing, Severity};

use super::existing;
use crate::say;
use crate::terminal::{Align, Table, bold, bytes, duration, green, number, red, time, yellow};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For eyes.
    Table,
    /// For programs.
    Json,
}

fn say_json(value: &impl serde::Serialize) -> Result<()> {
    say(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints what is in the directory.
pub(super) fn list(data_dir: &Path, human: bool, format: Format) -> Result<()> {
    let listing = inspect::list(&existing(data_dir)?)?;
    if format == Format::Json {
        return say_json(&listing);
    }
    blocks(&listing.blocks, human);
    for tier in &listing.tiers {
        say("");
        say(&bold(&format!("{}, one row for {}:", tier.folder, duration(tier.interval_ms))));
        blocks(&tier.blocks, human);
    }
    rest(&listing, human);
    Ok(())
}

fn blocks(blocks: &[BlockSummary], human: bool) {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("BLOCK ULID", Left),
        ("MIN TIME", Left),
        ("MAX TIME", Left),
        ("DURATION", Right),
        ("NUM SAMPLES", Right),
        ("NUM PAGES", Right),
        ("NUM SERIES", Right),
        ("SIZE", Right),
        ("B/SAMPLE", Right),
        ("LEVEL", Right),
        ("", Left),
    ]);
    for block in blocks {
        let when = |t_ms: i64| if human { time(t_ms) } else { t_ms.to_string() };
        let count = |n: u64| if human { number(n) } else { n.to_string() };
        let mut notes = Vec::new();
        if block.late {
            notes.push("late samples".to_owned());
        }
        if block.n_series_with_deletions > 0 {
            notes.push(format!("deletions in {} series", block.n_series_with_deletions));
        }
        table.row([
            block.ulid.clone(),
            when(block.min_time_ms),
            when(block.max_time_ms),
            duration(block.max_time_ms - block.min_time_ms),
            count(block.n_samples),
            count(block.n_pages),
            count(block.n_series),
            if human { bytes(block.size_bytes) } else { block.size_bytes.to_string() },
            format!("{:.2}", block.size_bytes as f64 / block.n_samples.max(1) as f64),
            block.level.to_string(),
            notes.join(", "),
        ]);
    }
    if table.is_empty() {
        say("no blocks yet");
    } else {
        table.print();
    }
}

fn rest(listing: &Listing, human: bool) {
    let when = |t_ms: i64| if human { time(t_ms) } else { t_ms.to_string() };
    if let Some(log) = &listing.log {
        let span = match (log.min_time_ms, log.max_time_ms) {
            (Some(min_ms), Some(max_ms)) => format!(", {} to {}", when(min_ms), when(max_ms)),
            _ => String::new(),
        };
        say("");
        say(&format!(
            "log: {} series, {} samples{span}; {} in {} files",
            number(log.n_series),
            number(log.n_samples),
            bytes(log.size_bytes),
            log.n_files
        ));
        if log.n_damaged > 0 {
            say(&red(&format!("log: {} files damaged; hinomi tsdb verify says more", log.n_damaged)));
        }
    }
    if let Some(before_ms) = listing.rolled_up_before_ms {
        say("");
        say(&format!("roll-ups answer before {}", when(before_ms)));
    }
    for (path, reason) in &listing.unreadable {
        say(&red(&format!("damaged: {path}: {reason}; hinomi tsdb verify says more")));
    }
    for (name, n_bytes) in &listing.quarantined {
        say(&yellow(&format!("quarantine: {name}, {}", bytes(*n_bytes))));
    }
    for name in listing.leftovers.iter().filter(|_| !listing.in_use) {
        say(&yellow(&format!("left by an interrupted write: {name}")));
    }
    if listing.in_use {
        say("a server is using this directory");
    }
}

/// How an analysis is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// With how pages are coded.
    pub extended: bool,
    /// As what; JSON has all of it.
    pub format: Format,
}

/// Prints what blocks are made of.
pub(super) fn analyze(
    data_dir: &Path,
    block: Option<&str>,
    selector: Option<&str>,
    limit: usize,
    shown: Shown,
) -> Result<()> {
    let matchers = match selector {
        Some(selector) => {
            promql::metric_selector(selector).map_err(|why| anyhow::anyhow!("--match: {why}"))?
        }
        None => Vec::new(),
    };
    let options = AnalyzeOptions { matchers: &matchers, block, limit };
    let analysis = inspect::analyze(&existing(data_dir)?, &options).map_err(|err| match err {
        tsdb::TsdbError::Corrupt { path, reason } => {
            anyhow::anyhow!("{path}: {reason}; hinomi tsdb verify says more, hinomi tsdb repair mends it")
        }
        other => other.into(),
    })?;
    if shown.format == Format::Json {
        return say_json(&analysis);
    }
    totals(&analysis, shown.extended);
    let lists: [(&str, &[NamedCount]); 7] = [
        ("Label pairs most involved in churning", &analysis.churn_by_label_pair),
        ("Label names most involved in churning", &analysis.churn_by_label_name),
        ("Most common label pairs", &analysis.series_by_label_pair),
        ("Label names with highest cumulative label value length", &analysis.value_bytes_by_label_name),
        ("Highest cardinality labels", &analysis.values_by_label_name),
        ("Highest cardinality metric names", &analysis.series_by_metric_name),
        ("Metric names with most bytes", &analysis.bytes_by_metric_name),
    ];
    for (title, counts) in lists {
        say(&format!("\n{}", bold(&format!("{title}:"))));
        if counts.is_empty() {
            say("none");
        }
        let width = counts.first().map_or(1, |count| count.value.to_string().len());
        counts.iter().for_each(|count| say(&format!("{:>width$} {}", count.value, count.name)));
    }
    Ok(())
}

fn totals(analysis: &Analysis, extended: bool) {
    use Align::{Left, Right};
    match &analysis.blocks[..] {
        [] => say("no blocks yet: what a server holds in memory is shown by its /api/v1/status/tsdb"),
        [one] => say(&format!("Block ID: {one}")),
        [first, .., last] => say(&format!("Blocks: {}, {first} to {last}", analysis.blocks.len())),
    }
    say(&format!("Duration: {}", duration(analysis.max_time_ms - analysis.min_time_ms)));
    say(&format!("Series: {}", analysis.n_series));
    if analysis.blocks.len() > 1 {
        say(&format!("Series in one block at most: {}", analysis.n_series_in_one_block));
    }
    say(&format!("Samples: {}", analysis.n_samples));
    say(&format!("Label names: {}", analysis.n_label_names));
    say(&format!("Postings (unique label pairs): {}", analysis.n_label_pairs));
    say(&format!("Postings entries (total label pairs): {}", analysis.n_label_pair_uses));
    let rows = analysis.samples_per_page;
    say(&format!(
        "Samples per page: {} to {}, median {}, 90 % not above {}, mean {:.1}",
        rows.min, rows.max, rows.median, rows.p90, rows.mean
    ));
    say(&format!("Bytes per sample: {:.3}", analysis.bytes_per_sample));
    let all: u64 = analysis.bytes.iter().map(|part| part.bytes).sum();
    let share = |n: u64| format!("{:.1} %", n as f64 * 100.0 / all.max(1) as f64);
    let mut parts = Table::new([("BYTES OF", Left), ("BYTES", Right), ("SHARE", Right)]);
    for part in &analysis.bytes {
        parts.row([part.name.clone(), number(part.bytes), share(part.bytes)]);
    }
    say("");
    parts.print();
    if extended {
        forms(analysis);
    }
    if analysis.tiers.is_empty() {
        return;
    }
    let mut tiers = Table::new([
        ("ROLL-UPS", Left),
        ("BLOCKS", Right),
        ("DURATION", Right),
        ("SERIES", Right),
        ("ROWS", Right),
        ("BYTES", Right),
        ("B/ROW", Right),
    ]);
    for tier in &analysis.tiers {
        tiers.row([
            tier.folder.clone(),
            tier.n_blocks.to_string(),
            duration(tier.max_time_ms - tier.min_time_ms),
            number(tier.n_series),
            number(tier.n_rows),
            number(tier.bytes.iter().map(|part| part.bytes).sum()),
            format!("{:.2}", tier.bytes_per_row),
        ]);
    }
    say("");
    tiers.print();
}

/// How pages are coded.
fn forms(analysis: &Analysis) {
    use Align::{Left, Right};
    let mut forms = Table::new([
        ("PAGES CODED AS", Left),
        ("PAGES", Right),
        ("SAMPLES", Right),
        ("BYTES", Right),
        ("B/SAMPLE", Right),
    ]);
    for form in &analysis.forms {
        let per_sample = format!("{:.3}", form.bytes as f64 / form.rows.max(1) as f64);
        forms.row([form.name.clone(), number(form.pages), number(form.rows), number(form.bytes), per_sample]);
    }
    say("");
    forms.print();
}

fn progress(name: &str) {
    eprintln!("reading {name}");
}

fn print_findings(findings: &[Finding]) {
    for finding in findings {
        let place = match finding.offset {
            Some(offset) => format!("{}, byte {offset}", finding.file),
            None => finding.file.clone(),
        };
        let severity = match finding.severity {
            Severity::Damage => red("damaged"),
            Severity::Note => yellow("note"),
        };
        say(&format!("{severity} {}", bold(&place)));
        say(&format!("    {}", finding.what));
        say(&format!("    {}", finding.meaning));
    }
}

/// Reads everything; an error when something is damaged.
pub(super) fn verify(data_dir: &Path, format: Format) -> Result<()> {
    let found = inspect::verify(&existing(data_dir)?, &mut progress)?;
    if format == Format::Json {
        say_json(&found)?;
    } else {
        print_findings(&found.findings);
        say(&format!(
            "{} blocks with {} samples read, {} files of the log with {} samples",
            found.n_blocks,
            number(found.n_samples),
            found.n_log_files,
            number(found.n_log_samples)
        ));
        if found.n_rolled_up_blocks > 0 {
            let (n_blocks, n_rows) = (found.n_rolled_up_blocks, number(found.n_rolled_up_rows));
            say(&format!("{n_blocks} blocks of roll-ups with {n_rows} rows read"));
        }
        if found.in_use {
            say("a server is using this directory: what it is writing was passed over");
        }
    }
    let n_damaged = found.findings.iter().filter(|finding| finding.severity == Severity::Damage).count();
    if n_damaged > 0 {
        let shown = data_dir.display();
        bail!(
            "{n_damaged} findings of damage; see what hinomi tsdb repair --dry-run --storage.tsdb.path={shown} would do"
        );
    }
    if format == Format::Table {
        say(&green("everything is as it was written"));
    }
    Ok(())
}

/// Mends what can be mended.
pub(super) fn repair(data_dir: &Path, dry_run: bool, format: Format) -> Result<()> {
    let now_ms = SystemClock::new().now_ms();
    let done =
        inspect::repair(&existing(data_dir)?, dry_run, now_ms, &mut progress).map_err(|err| match err {
            tsdb::TsdbError::Locked { .. } => anyhow::anyhow!(
                "a server is using {}; stop it first, or look only with --dry-run",
                data_dir.display()
            ),
            other => other.into(),
        })?;
    if format == Format::Json {
        return say_json(&done);
    }
    print_findings(&done.findings);
    let would = if dry_run { "would " } else { "" };
    done.steps.iter().for_each(|step| say(&format!("{would}{step}")));
    match (done.steps.is_empty(), dry_run) {
        (true, _) => say(&green("nothing to mend")),
        (false, true) => say("nothing was changed; run it without --dry-run to do so"),
        (false, false) => say(&green("mended")),
    }
    Ok(())
}
