//! `hinomi tsdb`: looks at any data directory, be it one that a server is using; changes one while no server has it.

mod args;
mod bench;
mod dump;
mod export;
mod from_rules;
mod import;
mod inspect;
mod openmetrics;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use model::TimeRange;
use stdx::{Clock as _, Dir, DiskDir, SystemClock};
use storage::{Queryable as _, SelectHints, SeriesSet, merge_sets};
use tsdb::{Db, Options};

pub(crate) use args::{TsdbCommand, command, parse};

/// Runs it.
///
/// # Errors
/// When it could not be done; what was done so far stays.
pub(crate) fn run(command: &TsdbCommand) -> Result<()> {
    match command {
        TsdbCommand::Import { kind, path, server: Some(server), access, .. } => {
            crate::import::client::run(server, access, *kind, path)
        }
        TsdbCommand::Import { kind, path, data_dir, server: None, .. } => {
            import::run(*kind, path, &[], data_dir)
        }
        TsdbCommand::FromRules(args) => from_rules::run(args),
        TsdbCommand::BenchWrite(args) => bench::write(args),
        TsdbCommand::ExportPrometheus { to, selection } => export::prometheus(to, selection),
        TsdbCommand::List { data_dir, human, format } => inspect::list(data_dir, *human, *format),
        TsdbCommand::CreateBlocks { file, labels, data_dir, human, quiet } => {
            import::run(crate::import::Kind::OpenMetrics, file, labels, data_dir)?;
            if *quiet { Ok(()) } else { inspect::list(data_dir, *human, inspect::Format::Table) }
        }
        TsdbCommand::Analyze { data_dir, block, selector, limit, extended, format } => {
            let shown = inspect::Shown { extended: *extended, format: *format };
            inspect::analyze(data_dir, block.as_deref(), selector.as_deref(), *limit, shown)
        }
        TsdbCommand::Verify { data_dir, format } => inspect::verify(data_dir, *format),
        TsdbCommand::Repair { data_dir, dry_run, format } => inspect::repair(data_dir, *dry_run, *format),
        TsdbCommand::Dump { selection, as_what } => dump::dump(selection, *as_what),
    }
}

/// Which samples of which directory.
#[derive(Debug)]
pub(crate) struct Selection {
    /// The data directory.
    pub data_dir: std::path::PathBuf,
    /// From when to when, inclusive.
    pub range: TimeRange,
    /// Series selectors; a series that fits any of them is meant, all series where there is none.
    pub selectors: Vec<String>,
}

impl Selection {
    /// Opens the directory to look, and asks for nothing but what is selected.
    fn open(&self) -> Result<Selected<'_>> {
        let matchers = self.selectors.iter().map(|selector| {
            promql::metric_selector(selector).map_err(|why| anyhow::anyhow!("--match: {why}"))
        });
        let mut matchers = matchers.collect::<Result<Vec<_>>>()?;
        if matchers.is_empty() {
            // Every series meets no matcher.
            matchers.push(Vec::new());
        }
        Ok(Selected { db: open_to_look(&self.data_dir)?, matchers, selection: self })
    }
}

/// What a [`Selection`] found.
struct Selected<'a> {
    db: Db,
    /// Of each selector.
    matchers: Vec<Vec<model::Matcher>>,
    selection: &'a Selection,
}

impl Selected<'_> {
    /// The part of the selected time in which there are samples; `None` when there are none.
    fn span(&self) -> Option<TimeRange> {
        let (span, range) = (self.db.time_span()?, self.selection.range);
        let both = TimeRange::new(span.start_ms.max(range.start_ms), span.end_ms.min(range.end_ms));
        (both.start_ms <= both.end_ms).then_some(both)
    }

    /// Series that fit any selector, by rising labels, each once.
    fn select(&self, range: TimeRange, hints: &SelectHints) -> Result<Box<dyn SeriesSet + '_>> {
        self.select_also(&[], range, hints)
    }

    /// Of these, those for which all of `also` hold.
    fn select_also(
        &self,
        also: &[model::Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>> {
        let sets = self.matchers.iter().map(|matchers| {
            let all: Vec<model::Matcher> = matchers.iter().chain(also).cloned().collect();
            self.db.select(&all, range, hints)
        });
        let mut sets = sets.collect::<Result<Vec<_>, _>>()?;
        match sets.len() {
            1 => Ok(sets.remove(0)),
            _ => Ok(merge_sets(sets)),
        }
    }
}

// Samples as they came, not what was kept of several; nothing expires meanwhile.
fn options() -> Options {
    Options { retention_ms: 0, retention_bytes: 0, serves_roll_ups: false, ..Options::default() }
}

/// A folder that is there: looking at one that is not makes none.
fn existing(data_dir: &Path) -> Result<Arc<dyn Dir>> {
    let shown = data_dir.display();
    anyhow::ensure!(
        DiskDir::anywhere().list(data_dir).is_ok(),
        "{shown} is no folder that can be read; name the data directory with --storage.tsdb.path"
    );
    Ok(Arc::new(DiskDir::open(data_dir).with_context(|| format!("cannot open {shown}"))?))
}

/// Opens a data directory as it is now, be it that a server is using it.
fn open_to_look(data_dir: &Path) -> Result<Db> {
    let (db, report) = Db::open_to_look(&existing(data_dir)?, &options())
        .with_context(|| format!("cannot read the data directory {}", data_dir.display()))?;
    report.warnings().iter().for_each(|warning| eprintln!("{warning}"));
    Ok(db)
}

/// Opens a data directory to change it.
fn open(data_dir: &Path) -> Result<Db> {
    let shown = data_dir.display();
    let dir: Arc<dyn Dir> =
        Arc::new(DiskDir::open(data_dir).with_context(|| format!("cannot open {shown}"))?);
    let (db, report) = Db::open(dir, options(), SystemClock::new().now_ms())
        .map_err(|err| match err {
            tsdb::TsdbError::Locked { .. } => anyhow::anyhow!(
                "a server is using {shown}; stop it, or name another directory with --storage.tsdb.path (an import goes \
                 through the server with --server URL)"
            ),
            other => anyhow::Error::new(other).context(format!("cannot open the data directory {shown}")),
        })?;
    report.warnings().iter().for_each(|warning| eprintln!("{warning}"));
    Ok(db)
}
