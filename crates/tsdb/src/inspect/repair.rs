//! Mends what [`super::verify`] found. Nothing is deleted but temporary folders: what is damaged goes to `quarantine/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use model::TimeRange;
use serde::Serialize;
use stdx::{Dir, SubDir};
use storage::SelectHints;

use super::verify::{Finding, Mend};
use super::{cache, verify};
use crate::block::{
    Block, BlockWriter, INDEX_COPY_FILE, INDEX_FILE, META_FILE, Problem, QUARANTINE_DIR, TMP_SUFFIX,
    TOMBSTONES_COPY_FILE, TOMBSTONES_FILE, free_name, is_block_name, quarantine, write_tombstones,
};
use crate::db::{Db, LOCK_FILE, fill};
use crate::error::TsdbError;
use crate::options::Options;

/// What files of roll-ups begin with.
const ROLLUPS_PREFIX: &str = "rollups/";

/// In the name of what was set aside, when what is whole of it is in a block again.
pub(super) const MENDED_SUFFIX: &str = ".mended";

/// What [`repair`] found and did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// All that is not as it should be.
    pub findings: Vec<Finding>,
    /// What was done, or would be: one sentence each.
    pub steps: Vec<String>,
}

/// Mends `dir`; with `dry_run` only says what it would do, and takes no lock. `progress` as for [`verify`].
///
/// # Errors
/// When a process is using the directory, or the disk refuses; what was mended before stays so.
pub fn repair(
    dir: &Arc<dyn Dir>,
    dry_run: bool,
    now_ms: i64,
    progress: &mut dyn FnMut(&str),
) -> Result<Repair, TsdbError> {
    let lock = if dry_run { None } else { Some(take_lock(&**dir)?) };
    let found = verify(dir, progress)?;
    let mut steps = Vec::new();
    for (block, mend) in steps_by_block(&found.findings) {
        steps.push(if dry_run { plan(&block, mend) } else { mend_folder(dir, &block, mend, progress)? });
    }
    drop(lock);
    if found.findings.iter().any(|finding| finding.mend == Mend::RecoverLog) {
        if dry_run {
            steps.push("write what the log still has to blocks, and set its damaged files aside".to_owned());
        } else {
            steps.extend(recover_log(dir, now_ms)?);
        }
    }
    Ok(Repair { findings: found.findings, steps })
}

fn take_lock(dir: &dyn Dir) -> Result<Box<dyn stdx::dir::DirLock>, TsdbError> {
    let path = Path::new(LOCK_FILE);
    dir.lock(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => TsdbError::Locked { source },
        _ => TsdbError::io("lock", path)(source),
    })
}

/// For each folder the steps that cover all of its findings.
fn steps_by_block(findings: &[Finding]) -> Vec<(String, Mend)> {
    let mut mends: BTreeMap<String, BTreeSet<Mend>> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| !matches!(finding.mend, Mend::Nothing | Mend::RecoverLog))
    {
        mends.entry(folder_of(&finding.file).to_owned()).or_default().insert(finding.mend);
    }
    let mut steps = Vec::new();
    for (folder, mut of_folder) in mends {
        let Some(worst) = of_folder.last().copied() else { continue };
        if worst >= Mend::Rewrite {
            // A new block needs no mended files. Deletions that are lost are set aside whatever else becomes of the block.
            of_folder.retain(|mend| *mend == worst || *mend == Mend::DropTombstones);
        }
        steps.extend(of_folder.into_iter().map(|mend| (folder.clone(), mend)));
    }
    steps
}

/// The block, or what else can be set aside, that a file belongs to: in `rollups/` it lies two folders deeper.
fn folder_of(file: &str) -> &str {
    let depth = match file.split('/').next() {
        Some("rollups") => 3,
        Some(QUARANTINE_DIR) => 2,
        _ => 1,
    };
    let end = file.match_indices('/').nth(depth - 1).map_or(file.len(), |(at, _)| at);
    &file[..end]
}

fn plan(folder: &str, mend: Mend) -> String {
    match mend {
        Mend::Rewrite if folder.starts_with(ROLLUPS_PREFIX) => left_as_it_is(folder),
        Mend::RemoveLeftover => format!("remove {folder}"),
        Mend::RebuildMeta => format!("write {folder}/{META_FILE} anew from the index"),
        Mend::RestoreIndex => format!("write {folder}/{INDEX_FILE} anew with what {INDEX_COPY_FILE} has"),
        Mend::CopyIndex => format!("write {folder}/{INDEX_COPY_FILE} anew from the index"),
        Mend::CopyTombstones => {
            format!("write {folder}/{TOMBSTONES_FILE} and its copy anew from the one that is whole")
        }
        Mend::DropTombstones => {
            format!(
                "set {folder}/{TOMBSTONES_FILE} aside: what was deleted of the block is back then; delete it again"
            )
        }
        Mend::Rewrite => format!("write what is whole of {folder} to a new block, and set the old one aside"),
        Mend::Quarantine => format!("set {folder} aside"),
        Mend::BringBack => format!("write what is whole of {folder} to a new block"),
        Mend::Nothing | Mend::RecoverLog => format!("leave {folder}"),
    }
}

/// Rows cannot be made again, and what is whole of them goes on answering.
fn left_as_it_is(folder: &str) -> String {
    format!(
        "leave {folder} as it is: what is whole of its rows answers; move it away when they are not wanted"
    )
}

fn mend_folder(
    dir: &Arc<dyn Dir>,
    folder: &str,
    mend: Mend,
    progress: &mut dyn FnMut(&str),
) -> Result<String, TsdbError> {
    if mend == Mend::BringBack {
        progress(folder);
        let name = folder.rsplit('/').next().unwrap_or(folder);
        return Ok(format!(
            "{folder}: {}; what was deleted since it was set aside is back",
            bring_back(dir, name)?
        ));
    }
    let Some((tier, name)) = folder.rsplit_once('/') else { return mend_block(dir, folder, mend, progress) };
    let tier_dir: Arc<dyn Dir> = Arc::new(SubDir::new(Arc::clone(dir), tier));
    match mend {
        Mend::Rewrite => return Ok(left_as_it_is(folder)),
        // Without what it was made of, nobody knows which times its rows stand for.
        Mend::RebuildMeta
            if Block::open_leniently(&tier_dir, name, &cache())?.0.meta().compaction.rollup.is_none() =>
        {
            return Ok(format!("in {tier}: {}", mend_block(&tier_dir, name, Mend::Quarantine, progress)?));
        }
        _ => {}
    }
    Ok(format!("in {tier}: {}", mend_block(&tier_dir, name, mend, progress)?))
}

fn mend_block(
    dir: &Arc<dyn Dir>,
    folder: &str,
    mend: Mend,
    progress: &mut dyn FnMut(&str),
) -> Result<String, TsdbError> {
    let path = Path::new(folder);
    Ok(match mend {
        Mend::RemoveLeftover => {
            dir.remove_dir_all(path).map_err(TsdbError::io("remove", path))?;
            format!("removed {folder}")
        }
        Mend::Rewrite => {
            progress(folder);
            // First out of the way: what is made of it may have its name. A crash in between leaves it to the next repair.
            let moved_to = set_aside(&**dir, path)?;
            let name = moved_to.rsplit('/').next().unwrap_or(folder);
            format!("moved {folder} to {QUARANTINE_DIR}: {}", bring_back(dir, name)?)
        }
        Mend::Quarantine => format!("moved {folder} to {}", set_aside(&**dir, path)?),
        Mend::Nothing | Mend::BringBack | Mend::RecoverLog => plan(folder, mend),
        _ => mend_file(dir, folder, mend)?,
    })
}

fn set_aside(dir: &dyn Dir, path: &Path) -> Result<String, TsdbError> {
    Ok(quarantine(dir, path).map_err(TsdbError::io("move", path))?.display().to_string())
}

/// One file of a block, made anew from what it is a copy of.
fn mend_file(dir: &Arc<dyn Dir>, folder: &str, mend: Mend) -> Result<String, TsdbError> {
    let path = Path::new(folder);
    let set_file_aside = |file: &str| -> Result<Option<String>, TsdbError> {
        let path = path.join(file);
        dir.exists(&path).then(|| set_aside(&**dir, &path)).transpose()
    };
    // The old one goes to quarantine; a crash in between leaves the copy, which the next repair goes by.
    let put_in_place = |tmp: &Path, file: &str| -> Result<Option<String>, TsdbError> {
        let old = set_file_aside(file)?;
        dir.rename(tmp, &path.join(file)).map_err(TsdbError::io("rename", tmp))?;
        dir.sync_dir(path).map_err(TsdbError::io("sync", path))?;
        Ok(old)
    };
    let tmp = |file: &str| path.join(format!("{file}{TMP_SUFFIX}"));
    if mend == Mend::DropTombstones {
        let moved = [set_file_aside(TOMBSTONES_COPY_FILE)?, set_file_aside(TOMBSTONES_FILE)?];
        let moved_to = moved.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        return Ok(format!(
            "moved {folder}/{TOMBSTONES_FILE} to {moved_to}: what was deleted of the block is back; delete it again"
        ));
    }
    let (block, problems) = Block::open_leniently(dir, folder, &cache())?;
    let (what, old) = match mend {
        Mend::CopyIndex => {
            block.index().write_twin(&**dir, &tmp(INDEX_COPY_FILE))?;
            (INDEX_COPY_FILE.to_owned(), put_in_place(&tmp(INDEX_COPY_FILE), INDEX_COPY_FILE)?)
        }
        Mend::RestoreIndex => {
            let meta_path = path.join(META_FILE);
            let json = dir.read(&meta_path).map_err(TsdbError::io("read", &meta_path))?;
            block.index().restore(&**dir, &tmp(INDEX_FILE), &json)?;
            (INDEX_FILE.to_owned(), put_in_place(&tmp(INDEX_FILE), INDEX_FILE)?)
        }
        Mend::CopyTombstones => {
            let mut old = None;
            for problem in problems {
                if let Problem::TombstonesWithCopy(file, _) = problem {
                    old = set_file_aside(file)?;
                }
            }
            write_tombstones(&**dir, path, &block.deleted().tombstones)?;
            (format!("{TOMBSTONES_FILE} and its copy"), old)
        }
        _ => {
            let (old, meta_path) = (set_file_aside(META_FILE)?, path.join(META_FILE));
            // The block's own numbers, whatever the damaged file said.
            let json = block.meta().agreeing_with(folder, block.index().toc()).to_json();
            dir.write_atomic(&meta_path, &json).map_err(TsdbError::io("write", &meta_path))?;
            (META_FILE.to_owned(), old)
        }
    };
    let old = old.map_or_else(String::new, |to| format!("; the old one is {to}"));
    Ok(format!("wrote {folder}/{what} anew{old}"))
}

/// Whether `name` in the quarantine is a block of which something can be read.
pub(super) fn can_be_brought_back(dir: &Arc<dyn Dir>, name: &str) -> bool {
    let original = name.split('.').next().unwrap_or(name);
    !name.contains(MENDED_SUFFIX)
        && is_block_name(original)
        && Block::open_leniently(&in_quarantine(dir), name, &cache()).is_ok()
}

fn in_quarantine(dir: &Arc<dyn Dir>) -> Arc<dyn Dir> {
    Arc::new(SubDir::new(Arc::clone(dir), QUARANTINE_DIR))
}

/// Writes what is whole of the block `name` in the quarantine to a new one, and marks it as mended.
fn bring_back(dir: &Arc<dyn Dir>, name: &str) -> Result<String, TsdbError> {
    let written = rewrite(dir, name)?;
    let folder = Path::new(QUARANTINE_DIR);
    let (from, to) = (folder.join(name), free_name(&**dir, &folder.join(format!("{name}{MENDED_SUFFIX}"))));
    dir.rename(&from, &to).map_err(TsdbError::io("rename", &from))?;
    dir.sync_dir(folder).map_err(TsdbError::io("sync", folder))?;
    let into = written
        .map_or_else(|| "nothing of it is whole".to_owned(), |name| format!("what is whole is in {name}"));
    Ok(format!("{into}; the old one is {}", to.display()))
}

/// Writes what can be read of a block in the quarantine to a new one; `None` when that is nothing.
fn rewrite(dir: &Arc<dyn Dir>, name: &str) -> Result<Option<String>, TsdbError> {
    let (block, _) = Block::open_leniently(&in_quarantine(dir), name, &cache())?;
    let mut series = block
        .select(&[], TimeRange::ALL, &SelectHints::default())
        .map_err(|err| TsdbError::corrupt(Path::new(name), err.to_string()))?;
    let mut writer = BlockWriter::begin(Arc::clone(dir), "repair")?;
    match fill(&mut writer, &mut *series) {
        Ok(0) => {
            writer.abandon();
            Ok(None)
        }
        Ok(_) => writer.finish(block.meta().compaction.clone()).map(Some),
        Err(err) => {
            writer.abandon();
            Err(err)
        }
    }
}

/// A start does it; nothing expires meanwhile.
fn recover_log(dir: &Arc<dyn Dir>, now_ms: i64) -> Result<Vec<String>, TsdbError> {
    let options = Options { retention_ms: 0, ..Options::default() };
    let (db, report) = Db::open(Arc::clone(dir), options, now_ms)?;
    db.close()?;
    let moved = report.quarantined.iter().map(|q| format!("moved {} to {}", q.path, q.moved_to));
    let kept =
        format!("{} samples of the log are kept, in blocks where a file of it was damaged", report.n_samples);
    Ok(moved.chain([kept]).collect())
}
