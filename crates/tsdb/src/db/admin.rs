//! What an operator asks for: samples deleted, deletions made final, a copy of everything.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use model::{Matcher, TimeRange};

use super::{Db, compact, maintain, rollup};
use crate::block::{
    INDEX_COPY_FILE, INDEX_FILE, META_FILE, PAGES_FILE, TMP_SUFFIX, TOMBSTONES_COPY_FILE, TOMBSTONES_FILE,
};
use crate::error::TsdbError;
use crate::families::FAMILIES_FILE;
use crate::rollup::{ROLLUPS_DIR, State};

impl Db {
    /// Deletes the samples within `range` of series for which all of `matchers` hold, durably. They are gone for readers at
    /// once, and from the disk with the next compaction or [`Db::clean_tombstones`]. Returns how many series of blocks
    /// were found, each once for every block.
    ///
    /// # Errors
    /// When the head cannot be sealed or a block's deletions cannot be written; some blocks may then have theirs. Call again.
    pub fn delete_series(&self, matchers: &[Matcher], range: TimeRange) -> Result<u64, TsdbError> {
        if range.start_ms > range.end_ms {
            return Ok(0);
        }
        let _one_at_a_time = self.maintenance.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(TsdbError::Closed);
        }
        maintain::seal(self, range)?;
        let blocks = self.blocks.read().clone();
        let deleted: Result<u64, TsdbError> =
            blocks.iter().map(|block| block.delete(&*self.dir, matchers, range)).sum();
        let deleted = deleted.and_then(|n_series| Ok(n_series + self.tiers.delete(matchers, range)?));
        // Also when it failed: some blocks may have their deletions. Of rows, whole intervals go.
        let coarsest_ms = self.tiers.tiers.last().map_or(0, |tier| tier.interval_ms);
        self.changes.touched(range.start_ms.saturating_sub(coarsest_ms));
        deleted
    }

    /// Writes every block with deletions anew, without what was deleted. Returns how many.
    ///
    /// # Errors
    /// When a block cannot be read or written; those before it are done.
    pub fn clean_tombstones(&self) -> Result<usize, TsdbError> {
        let _one_at_a_time = self.maintenance.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(TsdbError::Closed);
        }
        Ok(compact::clean_tombstones(self)? + rollup::clean_tombstones(self)?)
    }

    /// Makes a folder `to`, relative to the data directory, that opens as a data directory of its own and has everything
    /// stored now; without what is only in the head unless `with_head`. Blocks are linked, not copied, where the disk can.
    ///
    /// # Errors
    /// When `to` is there already, or the disk refuses; then nothing is left of it but a folder that the next attempt clears away.
    pub fn snapshot(&self, to: &Path, with_head: bool) -> Result<(), TsdbError> {
        let _one_at_a_time = self.maintenance.lock();
        if self.dir.exists(to) {
            let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(TsdbError::io("create", to)(there));
        }
        if with_head {
            maintain::seal(self, TimeRange::ALL)?;
        }
        let blocks = self.blocks.read().clone();
        let mut tmp = to.as_os_str().to_owned();
        tmp.push(TMP_SUFFIX);
        let tmp = PathBuf::from(tmp);
        if self.dir.exists(&tmp) {
            self.dir.remove_dir_all(&tmp).map_err(TsdbError::io("remove", &tmp))?;
        }
        self.dir.create_dir_all(&tmp).map_err(TsdbError::io("create", &tmp))?;
        for block in &blocks {
            self.link_block(Path::new(block.name()), &tmp)?;
        }
        self.link_roll_ups(&tmp)?;
        let families = Path::new(FAMILIES_FILE);
        if self.dir.exists(families) {
            let path = tmp.join(families);
            self.dir.link(families, &path).map_err(TsdbError::io("link", &path))?;
        }
        self.dir.sync_dir(&tmp).map_err(TsdbError::io("sync", &tmp))?;
        self.dir.rename(&tmp, to).map_err(TsdbError::io("rename", &tmp))?;
        let parent = to.parent().unwrap_or(Path::new(""));
        self.dir.sync_dir(parent).map_err(TsdbError::io("sync", parent))
    }
    /// Links the files of the block in the folder `from` to the same folder below `to`.
    fn link_block(&self, from: &Path, to: &Path) -> Result<(), TsdbError> {
        let folder = to.join(from);
        self.dir.create_dir_all(&folder).map_err(TsdbError::io("create", &folder))?;
        let files =
            [META_FILE, PAGES_FILE, INDEX_FILE, INDEX_COPY_FILE, TOMBSTONES_FILE, TOMBSTONES_COPY_FILE];
        for file in files {
            // Without deletions there are no files of them; a damaged block may serve what it has without others.
            if !self.dir.exists(&from.join(file)) {
                continue;
            }
            let path = folder.join(file);
            self.dir.link(&from.join(file), &path).map_err(TsdbError::io("link", &path))?;
        }
        self.dir.sync_dir(&folder).map_err(TsdbError::io("sync", &folder))
    }

    fn link_roll_ups(&self, to: &Path) -> Result<(), TsdbError> {
        let state = State::path();
        if !self.dir.exists(&state) {
            return Ok(());
        }
        for (tier, blocks) in self.tiers.blocks() {
            for block in &blocks {
                self.link_block(&tier.path.join(block.name()), to)?;
            }
            let folder = to.join(&tier.path);
            self.dir.create_dir_all(&folder).map_err(TsdbError::io("create", &folder))?;
            self.dir.sync_dir(&folder).map_err(TsdbError::io("sync", &folder))?;
        }
        let (folder, path) = (to.join(ROLLUPS_DIR), to.join(&state));
        self.dir.link(&state, &path).map_err(TsdbError::io("link", &path))?;
        self.dir.sync_dir(&folder).map_err(TsdbError::io("sync", &folder))
    }
}
