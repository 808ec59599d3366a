//! Blocks as folders: found at start, set aside when damaged, removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stdx::Dir;

use super::meta::is_block_name;
use super::{Block, QUARANTINE_DIR, TMP_SUFFIX};
use crate::error::TsdbError;
use crate::index::BlockCache;
use crate::report::Quarantined;

/// Opens all blocks, clears leftovers away, and sets damaged ones aside.
pub(crate) fn open_all(
    dir: &Arc<dyn Dir>,
    cache: &Arc<BlockCache>,
) -> Result<(Vec<Block>, Vec<Quarantined>), TsdbError> {
    let root = Path::new("");
    let (mut blocks, mut set_aside) = (Vec::new(), Vec::new());
    for entry in dir.list(root).map_err(TsdbError::io("list", Path::new(".")))? {
        if !entry.is_dir {
            continue;
        }
        let path = PathBuf::from(&entry.name);
        if entry.name.ends_with(TMP_SUFFIX) {
            dir.remove_dir_all(&path).map_err(TsdbError::io("remove", &path))?;
            continue;
        }
        if !is_block_name(&entry.name) {
            continue;
        }
        match Block::open(dir, &entry.name, cache) {
            Ok(block) => {
                // On a full disk the next start does it.
                let _ = block.double_deletions(&**dir);
                blocks.push(block);
            }
            Err(TsdbError::Corrupt { path: file, reason }) => {
                let moved_to = quarantine(&**dir, &path).map_err(TsdbError::io("move", &path))?;
                set_aside.push(Quarantined { path: file, moved_to: moved_to.display().to_string(), reason });
            }
            Err(other) => return Err(other),
        }
    }
    let (kept, replaced) = without_replaced(blocks);
    for block in replaced {
        remove_block(&**dir, block.name())?;
    }
    Ok((kept, set_aside))
}

/// Names of the folders that are blocks.
pub(crate) fn block_names(dir: &dyn Dir) -> Result<Vec<String>, TsdbError> {
    let entries = dir.list(Path::new("")).map_err(TsdbError::io("list", Path::new(".")))?;
    let names = entries.into_iter().filter(|entry| entry.is_dir && is_block_name(&entry.name));
    Ok(names.map(|entry| entry.name).collect())
}

/// The blocks in their order, and those of them that others replace: a crash came between the commit of a larger block and the
/// removal of those within it.
pub(crate) fn without_replaced(blocks: Vec<Block>) -> (Vec<Block>, Vec<Block>) {
    let parents: BTreeSet<String> = blocks
        .iter()
        .filter(|block| !block.meta().compaction.parents.is_empty())
        .flat_map(|block| blocks.iter().filter(|other| block.meta().replaces(other.meta())))
        .map(|parent| parent.name().to_owned())
        .collect();
    let (replaced, mut kept): (Vec<Block>, Vec<Block>) =
        blocks.into_iter().partition(|block| parents.contains(block.name()));
    kept.sort_by(|a, b| a.order().cmp(&b.order()));
    (kept, replaced)
}

/// Removes a block from disk so that a crash in between leaves it whole or not at all.
pub(crate) fn remove_block(dir: &dyn Dir, name: &str) -> Result<(), TsdbError> {
    let path = PathBuf::from(name);
    let tmp = PathBuf::from(format!("{name}{TMP_SUFFIX}"));
    if dir.exists(&tmp) {
        dir.remove_dir_all(&tmp).map_err(TsdbError::io("remove", &tmp))?;
    }
    dir.rename(&path, &tmp).map_err(TsdbError::io("rename", &path))?;
    dir.remove_dir_all(&tmp).map_err(TsdbError::io("remove", &tmp))?;
    dir.sync_dir(Path::new("")).map_err(TsdbError::io("sync", Path::new(".")))
}

/// Moves `path` into the quarantine folder, under a name that is free there; returns where it is now.
pub(crate) fn quarantine(dir: &dyn Dir, path: &Path) -> std::io::Result<PathBuf> {
    let folder = Path::new(QUARANTINE_DIR);
    dir.create_dir_all(folder)?;
    let flat = path.to_string_lossy().replace('/', "-");
    let target = free_name(dir, &folder.join(&flat));
    dir.rename(path, &target)?;
    dir.sync_dir(folder)?;
    dir.sync_dir(path.parent().unwrap_or(Path::new("")))?;
    Ok(target)
}

/// `path`, or where something has that name, one that ends in the first free number.
pub(crate) fn free_name(dir: &dyn Dir, path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    let mut n_tries = 1;
    while dir.exists(&target) {
        n_tries += 1;
        let mut numbered = path.as_os_str().to_owned();
        numbered.push(format!(".{n_tries}"));
        target = numbered.into();
    }
    target
}
