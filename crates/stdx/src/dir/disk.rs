//! [`Dir`] on the machine's file system: the one user of `std::fs`.
#![expect(clippy::disallowed_methods, reason = "the one module that touches std::fs")]

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Dir, DirEntry, DirLock, File, Space};

/// What the kernel reads for one piece of advice at least; of longer ones it may leave out the rest. From Linux: the usual window of
/// read-ahead.
const ADVICE_BYTES_MAX: u64 = 128 << 10;

/// A directory on disk; all paths are taken relative to its root.
#[derive(Debug, Clone)]
pub struct DiskDir {
    root: PathBuf,
}

impl DiskDir {
    /// Opens `root`, creating it when it is not there.
    ///
    /// # Errors
    /// The operating system's, when the directory cannot be created.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// The whole file system, for files that the user names: paths are then absolute or relative to the working
    /// directory.
    #[must_use]
    pub fn anywhere() -> Self {
        Self { root: PathBuf::new() }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &Path) -> PathBuf {
        if self.root.as_os_str().is_empty() && path.as_os_str().is_empty() {
            return PathBuf::from(".");
        }
        self.root.join(path)
    }
}

impl Dir for DiskDir {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.at(path))?;
        // Reopened for appending: O_APPEND keeps every write at the end, also after `truncate`.
        drop(file);
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let path = self.at(path);
        let file = match OpenOptions::new().read(true).append(true).open(&path) {
            Ok(file) => file,
            // Files of another owner, such as /proc or a mounted configuration, can be read but not written.
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied || err.raw_os_error() == Some(30) => {
                OpenOptions::new().read(true).open(&path)?
            }
            Err(err) => return Err(err),
        };
        Ok(Box::new(DiskFile { file }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.at(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.at(path))? {
            let entry = entry?;
            // A file that goes away between the two calls is not there.
            let Ok(meta) = fs::metadata(entry.path()) else { continue };
            let Ok(name) = entry.file_name().into_string() else { continue };
            let len_bytes = if meta.is_dir() { 0 } else { meta.len() };
            entries.push(DirEntry { name, is_dir: meta.is_dir(), len_bytes });
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(self.at(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.at(from), self.at(to));
        if fs::hard_link(&from, &to).is_ok() {
            return Ok(());
        }
        fs::copy(&from, &to)?;
        fs::File::open(&to)?.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let found = rustix::fs::statvfs(self.at(Path::new("")))?;
        Ok(Space {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(self.at(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(self.at(path))?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        self.at(path).exists()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.at(path))?;
        file.try_lock().map_err(|err| match err {
            fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock")
            }
            fs::TryLockError::Error(err) => err,
        })?;
        Ok(Box::new(DiskLock { _file: file }))
    }
}

#[derive(Debug)]
struct DiskLock {
    _file: fs::File,
}

impl DirLock for DiskLock {}

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
}

impl File for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn read_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let mut n_read = 0;
        while n_read < buf.len() {
            match self.file.read_at(&mut buf[n_read..], offset_bytes + n_read as u64) {
                Ok(0) => break,
                Ok(n) => n_read += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(n_read)
    }

    fn will_need(&self, offset_bytes: u64, n_bytes: u64) {
        let end = offset_bytes.saturating_add(n_bytes);
        let mut from = offset_bytes;
        while let Some(left) = NonZeroU64::new(end.saturating_sub(from).min(ADVICE_BYTES_MAX)) {
            // A file system that takes no advice reads later.
            let _ = rustix::fs::fadvise(&self.file, from, Some(left), rustix::fs::Advice::WillNeed);
            from += left.get();
        }
    }

    fn reads_at_random(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::Random);
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn truncate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }
}
