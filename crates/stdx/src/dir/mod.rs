//! The file seam: engines see files only through [`Dir`] and [`File`].
//!
//! In from every engine that keeps files; out to [`DiskDir`] (the machine), [`MemDir`] (memory, with crash
//! images), [`FaultyDir`] (a chosen operation fails) and [`SubDir`] (a folder of another). Paths are relative to the directory's root.
//! Invariant: nothing is durable until `sync` on the file and `sync_dir` on its parent returned.

mod disk;
mod faulty;
mod memory;
mod sub;

use std::io;
use std::path::Path;

pub use disk::DiskDir;
pub use faulty::{Fault, FaultyDir};
pub use memory::MemDir;
pub use sub::SubDir;

/// One entry of [`Dir::list`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last component of its path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size in bytes; 0 for directories.
    pub len_bytes: u64,
}

/// Room on the disk that a directory is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the disk, in bytes.
    pub total_bytes: u64,
    /// What this process may still write, in bytes.
    pub free_bytes: u64,
}

/// Held as long as one process owns a directory; dropping it lets go.
pub trait DirLock: Send + Sync + std::fmt::Debug {}

/// A directory tree.
///
/// # Errors
/// Every method answers with the operating system's error, or what a simulated system would say.
pub trait Dir: Send + Sync + std::fmt::Debug {
    /// Creates an empty file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file for reading and appending.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut buf = vec![0; len];
        let n_bytes = file.read_at(&mut buf, 0)?;
        buf.truncate(n_bytes);
        Ok(buf)
    }

    /// The entries of a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Creates a directory and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Moves a file or a directory; replaces a file that is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, or copies it where the disk knows no second names. For files that do not change.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// How large the disk is, and how full.
    fn space(&self) -> io::Result<Space>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all it holds.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Whether something is at `path`.
    fn exists(&self, path: &Path) -> bool;

    /// Takes the directory for this process alone, by a lock on the file `path`.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>>;

    /// Writes `bytes` to `path` so that after a crash either the old or the new content is there, whole.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut tmp = path.as_os_str().to_owned();
        tmp.push(".tmp");
        let tmp = Path::new(&tmp);
        let mut file = self.create(tmp)?;
        file.append(bytes)?;
        file.sync()?;
        self.rename(tmp, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new("")))
    }
}

/// An open file: read anywhere, write at the end.
///
/// # Errors
/// As for [`Dir`]. After a failed [`File::append`] the tail of the file is unknown.
#[expect(clippy::len_without_is_empty, reason = "a length in bytes, not a collection")]
pub trait File: Send + Sync + std::fmt::Debug {
    /// Writes all of `bytes` at the end. Survives `kill -9` once it returned; power loss only after [`File::sync`].
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Fills as much of `buf` as the file holds from `offset_bytes` on; returns how much.
    fn read_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<usize>;

    /// Says that `n_bytes` from `offset_bytes` on are read soon, so that the disk may begin now. Never waits for them, and changes nothing but time.
    fn will_need(&self, _offset_bytes: u64, _n_bytes: u64) {}

    /// Says that reads go here and there, so that nothing beyond them is worth reading but what [`File::will_need`] names.
    fn reads_at_random(&self) {}

    /// Makes the content durable (fdatasync).
    fn sync(&mut self) -> io::Result<()>;

    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file to `len_bytes`.
    fn truncate(&mut self, len_bytes: u64) -> io::Result<()>;
}

#[cfg(test)]
mod tests;
