//! Reads everything and says what is not as it was written.
//!
//! Blocks: every checksum, every page decoded, series and pages in order, postings against series, totals against
//! `meta.json`, deletions against series; roll-ups likewise. Log: as a start reads it.

mod block;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use stdx::Dir;

use super::repair::MENDED_SUFFIX;
use super::{cache, folders, is_in_use, log};
use crate::block::{Block, BlockMeta, META_FILE, QUARANTINE_DIR};
use crate::error::TsdbError;
use crate::rollup::State;

/// Findings told of one block; how many more there are is told with the last one. Chosen: the first few tell which disk it is.
const FINDINGS_MAX: usize = 100;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Harmless; good to know.
    Note,
    /// Samples, or what leads to them, are not what was written.
    Damage,
}

/// What [`super::repair`] would do about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mend {
    Nothing,
    RemoveLeftover,
    /// Of what was set aside earlier.
    BringBack,
    RebuildMeta,
    CopyIndex,
    CopyTombstones,
    RestoreIndex,
    DropTombstones,
    Rewrite,
    Quarantine,
    RecoverLog,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Which file or folder, relative to the data directory.
    pub file: String,
    /// Where in it, in bytes, when that is known.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What follows from it.
    pub meaning: String,
    #[serde(skip)]
    pub(super) mend: Mend,
}

impl Finding {
    fn new(severity: Severity, file: String, what: String, meaning: &str, mend: Mend) -> Self {
        Self { severity, file, offset: offset_in(&what), what, meaning: meaning.to_owned(), mend }
    }
}

/// The place that a reason names.
fn offset_in(reason: &str) -> Option<u64> {
    let (_, rest) = reason.split_once("at byte ")?;
    let n_digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..n_digits].parse().ok()
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// A process is using the directory: what it is writing may look unfinished.
    pub in_use: bool,
    /// Blocks read.
    pub n_blocks: usize,
    /// Samples in them that were decoded.
    pub n_samples: u64,
    /// Blocks of roll-ups read.
    pub n_rolled_up_blocks: usize,
    /// Rows and histograms in them that were decoded.
    pub n_rolled_up_rows: u64,
    /// Files of the log read.
    pub n_log_files: usize,
    /// Samples in them.
    pub n_log_samples: u64,
    /// In the order of the files.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// Reads all of `dir`; `progress` is told the name of each block before it is read. Takes no lock and changes nothing.
///
/// # Errors
/// When the disk refuses. Damage is a part of the answer.
pub fn verify(dir: &Arc<dyn Dir>, progress: &mut dyn FnMut(&str)) -> Result<Verification, TsdbError> {
    let in_use = is_in_use(&**dir);
    let mut found = Verification {
        in_use,
        n_blocks: 0,
        n_samples: 0,
        n_rolled_up_blocks: 0,
        n_rolled_up_rows: 0,
        n_log_files: 0,
        n_log_samples: 0,
        findings: Vec::new(),
    };
    (found.n_blocks, found.n_samples) = check_blocks(dir, "", &mut found, progress)?;
    for tier in super::tiers(dir)? {
        let (n_blocks, n_rows) = check_blocks(&tier.dir, &format!("{}/", tier.path), &mut found, progress)?;
        found.n_rolled_up_blocks += n_blocks;
        found.n_rolled_up_rows += n_rows;
    }
    if let Some(Err(reason)) = State::read(&**dir)? {
        let meaning = "a start sets it aside, and answers from roll-ups as far as they reach";
        let file = super::text(State::path());
        found.findings.push(Finding::new(Severity::Damage, file, reason, meaning, Mend::Quarantine));
    }
    check_log(dir, &mut found)?;
    check_quarantine(dir, &mut found.findings)?;
    Ok(found)
}

/// All blocks of a folder; `prefix` leads to it. Returns how many, and how many samples in them could be decoded.
fn check_blocks(
    dir: &Arc<dyn Dir>,
    prefix: &str,
    found: &mut Verification,
    progress: &mut dyn FnMut(&str),
) -> Result<(usize, u64), TsdbError> {
    let (names, leftovers) = folders(&**dir)?;
    let mut all = Vec::new();
    for name in leftovers.into_iter().filter(|_| !found.in_use) {
        let what = "left by a write that did not end".to_owned();
        let meaning = "nothing in it counts; the next start or repair removes it";
        all.push(Finding::new(Severity::Note, name, what, meaning, Mend::RemoveLeftover));
    }
    let cache = cache();
    let (mut n_blocks, mut n_samples) = (0, 0);
    for name in &names {
        progress(&format!("{prefix}{name}"));
        let mut findings = Vec::new();
        let checked = match Block::open_leniently(dir, name, &cache) {
            Ok((block, problems)) => {
                let has_copies = block.index().twin().is_some();
                findings.extend(problems.into_iter().map(|problem| of_problem(name, problem, has_copies)));
                block::check(&block, &mut findings)
            }
            Err(TsdbError::Corrupt { path, reason }) => {
                let meaning = "none of its samples can be read";
                findings.push(Finding::new(Severity::Damage, path, reason, meaning, Mend::Quarantine));
                Ok(0)
            }
            Err(other) => Err(other),
        };
        // Compaction or retention of a server removed it meanwhile.
        if !dir.exists(Path::new(name)) {
            continue;
        }
        n_samples += checked?;
        n_blocks += 1;
        all.extend(findings);
    }
    replaced(dir, &names, &mut all);
    for mut finding in all {
        finding.file.insert_str(0, prefix);
        found.findings.push(finding);
    }
    Ok((n_blocks, n_samples))
}

fn of_problem(name: &str, problem: crate::block::Problem, has_copies: bool) -> Finding {
    use crate::block::Problem;
    let file = |file: &str| format!("{name}/{file}");
    match problem {
        Problem::Meta(reason) => {
            let meaning = "a start sets the block aside, though its samples may be whole";
            Finding::new(Severity::Damage, file(META_FILE), reason, meaning, Mend::RebuildMeta)
        }
        Problem::MetaWithCopy(reason) => {
            let meaning = "nothing is lost: the index has a copy of it";
            Finding::new(Severity::Damage, file(META_FILE), reason, meaning, Mend::RebuildMeta)
        }
        Problem::Index(reason) => {
            let meaning = "what has a copy elsewhere is taken from there; the rest is told apart";
            let mend = if has_copies { Mend::RestoreIndex } else { Mend::Rewrite };
            Finding::new(Severity::Damage, file(crate::block::INDEX_FILE), reason, meaning, mend)
        }
        Problem::Tombstones(reason) => {
            let meaning = "a start sets the block aside; which samples were deleted is lost";
            let path = file(crate::block::TOMBSTONES_FILE);
            Finding::new(Severity::Damage, path, reason, meaning, Mend::DropTombstones)
        }
        Problem::TombstonesWithCopy(which, reason) => {
            let meaning = "nothing is lost: it is there twice";
            Finding::new(Severity::Damage, file(which), reason, meaning, Mend::CopyTombstones)
        }
        Problem::Name(reason) => {
            let meaning = "a start sets the block aside, though its samples may be whole";
            Finding::new(Severity::Damage, name.to_owned(), reason, meaning, Mend::Rewrite)
        }
        Problem::Pages(reason) => {
            let meaning = "pages that are whole are served, each has a checksum of its own";
            Finding::new(Severity::Damage, file(crate::block::PAGES_FILE), reason, meaning, Mend::Rewrite)
        }
    }
}

/// Blocks that a larger one stands for.
fn replaced(dir: &Arc<dyn Dir>, names: &[String], findings: &mut Vec<Finding>) {
    let read = |name: &String| BlockMeta::parse(&dir.read(&Path::new(name).join(META_FILE)).ok()?).ok();
    let metas: Vec<BlockMeta> = names.iter().filter_map(read).collect();
    for meta in &metas {
        for parent in metas.iter().filter(|other| meta.replaces(other)) {
            let what = format!("replaced by {}", meta.ulid);
            let meaning = "its samples are there as well; the next start removes it";
            findings.push(Finding::new(Severity::Note, parent.ulid.clone(), what, meaning, Mend::Nothing));
        }
    }
}

fn check_log(dir: &Arc<dyn Dir>, found: &mut Verification) -> Result<(), TsdbError> {
    let Some(log) = log::read(dir)? else { return Ok(()) };
    (found.n_log_files, found.n_log_samples) = (log.n_files, log.n_samples);
    for (file, reason) in log.damaged {
        let meaning = "a start keeps what stands before, and sets the file aside with the rest";
        found.findings.push(Finding::new(Severity::Damage, file, reason, meaning, Mend::RecoverLog));
    }
    let wal = || crate::wal::WAL_DIR.to_owned();
    if log.torn_bytes > 0 && !found.in_use {
        let what = format!("{} bytes of an unfinished write at its end", log.torn_bytes);
        let meaning = "nothing acknowledged is in them; the next start cuts them off";
        found.findings.push(Finding::new(Severity::Note, wal(), what, meaning, Mend::Nothing));
    }
    if log.n_orphans > 0 && !found.in_use {
        let what = format!("{} samples belong to no known series", log.n_orphans);
        let meaning = "they were lost together with the definition of their series";
        found.findings.push(Finding::new(Severity::Damage, wal(), what, meaning, Mend::RecoverLog));
    }
    for file in log.leftovers.into_iter().filter(|_| !found.in_use) {
        let what = "left by a write that did not end".to_owned();
        let meaning = "nothing in it counts; the next start removes it";
        found.findings.push(Finding::new(Severity::Note, file, what, meaning, Mend::Nothing));
    }
    Ok(())
}

fn check_quarantine(dir: &Arc<dyn Dir>, findings: &mut Vec<Finding>) -> Result<(), TsdbError> {
    let path = Path::new(QUARANTINE_DIR);
    if !dir.exists(path) {
        return Ok(());
    }
    for entry in dir.list(path).map_err(TsdbError::io("list", path))? {
        let (meaning, mend) = if entry.name.contains(MENDED_SUFFIX) {
            ("what was whole of it is served; remove it when you need it no more", Mend::Nothing)
        } else if super::repair::can_be_brought_back(dir, &entry.name) {
            ("it is not served; hinomi tsdb repair brings back what is whole of it", Mend::BringBack)
        } else {
            ("it is not served; remove it when you need it no more", Mend::Nothing)
        };
        let file = super::text(path.join(entry.name));
        let what = "set aside as damaged at an earlier time".to_owned();
        findings.push(Finding::new(Severity::Note, file, what, meaning, mend));
    }
    Ok(())
}
