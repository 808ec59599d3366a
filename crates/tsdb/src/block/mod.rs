//! Blocks: immutable directories of samples, named by their content. Layout: docs/formats/block.md.
//!
//! In from `compact` through [`BlockWriter`]; out to `query` through [`Block`].

mod meta;
mod reader;
mod writer;

pub(crate) use meta::{BlockMeta, BlockStats, Compaction, Parent};
pub(crate) use reader::{Block, open_all, remove_block};
pub(crate) use writer::{BlockWriter, SeriesChunk};

use std::path::{Path, PathBuf};

pub(crate) const META_FILE: &str = "meta.json";
pub(crate) const CHUNKS_FILE: &str = "chunks";
pub(crate) const INDEX_FILE: &str = "index";

/// First bytes of the file `chunks`: magic, version, zeros.
pub(crate) const CHUNKS_HEADER: [u8; 8] = *b"HCHK\x01\0\0\0";

/// What is being made or removed ends so; a start clears it away.
pub(crate) const TMP_SUFFIX: &str = ".tmp";

/// Where damaged things go.
pub(crate) const QUARANTINE_DIR: &str = "quarantine";

/// Moves `path` into the quarantine folder, under a name that is free there; returns where it is now.
pub(crate) fn quarantine(dir: &dyn stdx::Dir, path: &Path) -> std::io::Result<PathBuf> {
    let folder = Path::new(QUARANTINE_DIR);
    dir.create_dir_all(folder)?;
    let flat = path.to_string_lossy().replace('/', "-");
    let mut target = folder.join(&flat);
    let mut n_tries = 1;
    while dir.exists(&target) {
        n_tries += 1;
        target = folder.join(format!("{flat}.{n_tries}"));
    }
    dir.rename(path, &target)?;
    dir.sync_dir(folder)?;
    dir.sync_dir(path.parent().unwrap_or(Path::new("")))?;
    Ok(target)
}
