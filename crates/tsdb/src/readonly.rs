//! A directory that takes no changes: what would clean up at a start leaves everything as it is.
//!
//! In from the commands that look at a data directory, also at one that a server is using; out to the directory below.
//! Removing says that it was done, so that readers which tidy up first go on; everything that writes is refused.

use std::io;
use std::path::Path;
use std::sync::Arc;

use stdx::dir::{DirEntry, DirLock, Space};
use stdx::{Dir, File};

/// See the module.
#[derive(Debug)]
pub(crate) struct ReadOnly(pub(crate) Arc<dyn Dir>);

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "looking only"))
}

impl Dir for ReadOnly {
    fn create(&self, _: &Path) -> io::Result<Box<dyn File>> {
        refused()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.read(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(path)
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn space(&self) -> io::Result<Space> {
        self.0.space()
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.exists(path)
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn DirLock>> {
        refused()
    }
}
