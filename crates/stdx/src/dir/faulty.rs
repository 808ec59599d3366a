//! A [`Dir`] whose chosen operation fails, as full disks and failing ones do.
//!
//! Operations that change the disk are counted from 0; those from `first` on, `n` of them, fail. A failing append
//! writes half of its bytes first, as a full disk does. Or the disk is full for as long as somebody says so.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Dir, DirEntry, DirLock, File, Space};

/// Which operations fail and how.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The first changing operation that fails, counted from 0.
    pub first: u64,
    /// How many fail in a row; `u64::MAX` for all later ones.
    pub n_ops: u64,
    /// What they say: 28 is ENOSPC, 5 is EIO.
    pub errno: i32,
}

/// Wraps a directory and injects one [`Fault`].
#[derive(Debug, Clone)]
pub struct FaultyDir {
    inner: Arc<dyn Dir>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    /// Whatever needs room fails.
    is_full: Arc<AtomicBool>,
    n_ops: AtomicU64,
}

impl State {
    fn step(&self) -> io::Result<()> {
        let op = self.n_ops.fetch_add(1, Ordering::SeqCst);
        let failing = op >= self.fault.first && op - self.fault.first < self.fault.n_ops;
        if failing { Err(io::Error::from_raw_os_error(self.fault.errno)) } else { Ok(()) }
    }

    /// An operation that needs room.
    fn grow(&self) -> io::Result<()> {
        self.step()?;
        if self.is_full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl FaultyDir {
    /// `inner`, with `fault`.
    #[must_use]
    pub fn new(inner: Arc<dyn Dir>, fault: Fault) -> Self {
        Self { inner, state: Arc::new(State { fault, is_full: Arc::default(), n_ops: AtomicU64::new(0) }) }
    }

    /// `inner`, without room while `is_full`.
    #[must_use]
    pub fn full_while(inner: Arc<dyn Dir>, is_full: Arc<AtomicBool>) -> Self {
        let fault = Fault { first: 0, n_ops: 0, errno: 0 };
        Self { inner, state: Arc::new(State { fault, is_full, n_ops: AtomicU64::new(0) }) }
    }

    /// How many changing operations were asked for so far.
    #[must_use]
    pub fn n_ops(&self) -> u64 {
        self.state.n_ops.load(Ordering::SeqCst)
    }

    fn wrap(&self, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(FaultyFile { inner, state: Arc::clone(&self.state) })
    }
}

impl Dir for FaultyDir {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.state.grow()?;
        Ok(self.wrap(self.inner.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.wrap(self.inner.open(path)?))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.state.grow()?;
        self.inner.create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state.step()?;
        self.inner.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state.step()?;
        self.inner.link(from, to)
    }

    fn space(&self) -> io::Result<Space> {
        self.inner.space()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.state.step()?;
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.state.step()?;
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.state.step()?;
        self.inner.sync_dir(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        self.inner.lock(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn File>,
    state: Arc<State>,
}

impl File for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(err) = self.state.grow() {
            self.inner.append(&bytes[..bytes.len() / 2])?;
            return Err(err);
        }
        self.inner.append(bytes)
    }

    fn read_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset_bytes)
    }

    fn will_need(&self, offset_bytes: u64, n_bytes: u64) {
        self.inner.will_need(offset_bytes, n_bytes);
    }

    fn reads_at_random(&self) {
        self.inner.reads_at_random();
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state.step()?;
        self.inner.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn truncate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.state.step()?;
        self.inner.truncate(len_bytes)
    }
}
