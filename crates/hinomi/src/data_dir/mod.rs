//! `hinomi tsdb`: works on a data directory while no server has it, or on a snapshot of one; looks at any.

mod args;
mod dump;
mod export;
mod from_rules;
mod import;
mod inspect;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use model::TimeRange;
use stdx::{Clock as _, Dir, DiskDir, SystemClock};
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
        TsdbCommand::Import { kind, path, data_dir, server: None, .. } => import::run(*kind, path, data_dir),
        TsdbCommand::FromRules(args) => from_rules::run(args),
        TsdbCommand::ExportPrometheus { to, selection } => export::prometheus(to, selection),
        TsdbCommand::List { data_dir, human, format } => inspect::list(data_dir, *human, *format),
        TsdbCommand::CreateBlocks { file, data_dir, human, quiet } => {
            import::run(crate::import::Kind::OpenMetrics, file, data_dir)?;
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
    /// Series selector; all when `None`.
    pub selector: Option<String>,
}

impl Selection {
    /// Matchers of the selector; for all series, one that every series meets.
    fn matchers(&self) -> Result<Vec<model::Matcher>> {
        match &self.selector {
            Some(selector) => {
                promql::metric_selector(selector).map_err(|why| anyhow::anyhow!("--match: {why}"))
            }
            None => Ok(Vec::new()),
        }
    }
}

/// Opens a data directory. Nothing in it expires meanwhile.
fn open(data_dir: &Path) -> Result<Db> {
    let shown = data_dir.display();
    let dir: Arc<dyn Dir> =
        Arc::new(DiskDir::open(data_dir).with_context(|| format!("cannot open {shown}"))?);
    // Samples as they came, not what was kept of several.
    let options =
        Options { retention_ms: 0, retention_bytes: 0, serves_roll_ups: false, ..Options::default() };
    let (db, report) = Db::open(dir, options, SystemClock::new().now_ms())
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
