//! A folder of a [`Dir`] as a [`Dir`] of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dir, DirEntry, DirLock, File, Space};

/// See the module. The folder need not be there before something is created in it.
#[derive(Debug, Clone)]
pub struct SubDir {
    parent: Arc<dyn Dir>,
    folder: PathBuf,
}

impl SubDir {
    /// `folder` of `parent`.
    #[must_use]
    pub fn new(parent: Arc<dyn Dir>, folder: impl Into<PathBuf>) -> Self {
        Self { parent, folder: folder.into() }
    }

    fn path(&self, path: &Path) -> PathBuf {
        // Joining an empty path would leave a slash at the end.
        if path.as_os_str().is_empty() { self.folder.clone() } else { self.folder.join(path) }
    }
}

impl Dir for SubDir {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.parent.create(&self.path(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.parent.open(&self.path(path))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.parent.read(&self.path(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.parent.list(&self.path(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.parent.create_dir_all(&self.path(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.parent.rename(&self.path(from), &self.path(to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.parent.link(&self.path(from), &self.path(to))
    }

    fn space(&self) -> io::Result<Space> {
        self.parent.space()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.parent.remove_file(&self.path(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.parent.remove_dir_all(&self.path(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.parent.sync_dir(&self.path(path))
    }

    fn exists(&self, path: &Path) -> bool {
        self.parent.exists(&self.path(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.parent.lock(&self.path(path))
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.parent.write_atomic(&self.path(path), bytes)
    }
}
