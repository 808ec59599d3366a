//! [`Dir`] in memory, which knows what a crash would leave.
//!
//! Every file keeps its durable bytes apart from its written ones, and every directory its durable names apart
//! from its current ones. [`MemDir::power_loss_image`] is what a machine finds after its power failed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Dir, DirEntry, DirLock, File, Space};

/// A directory tree in memory.
#[derive(Debug, Clone, Default)]
pub struct MemDir {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    /// What a running process sees. Directories are entries without content.
    current: BTreeMap<PathBuf, Node>,
    /// Which names would still be there after power loss.
    durable: BTreeMap<PathBuf, Node>,
    locked: Vec<PathBuf>,
    /// What [`Dir::space`] says; writing is not limited by it.
    total_bytes: Option<u64>,
}

#[derive(Debug, Clone)]
enum Node {
    Dir,
    File(Arc<Mutex<Content>>),
}

#[derive(Debug, Default, Clone)]
struct Content {
    written: Vec<u8>,
    durable: Vec<u8>,
}

impl MemDir {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy as `kill -9` leaves it: everything written is there.
    #[must_use]
    pub fn kill_image(&self) -> Self {
        Self::from_nodes(&self.tree.lock().current, |content| content.written.clone())
    }

    /// A copy as power loss leaves it: only synced names with synced bytes.
    #[must_use]
    pub fn power_loss_image(&self) -> Self {
        Self::from_nodes(&self.tree.lock().durable, |content| content.durable.clone())
    }

    /// Sets the size of the disk that [`Dir::space`] tells.
    pub fn set_total_bytes(&self, total_bytes: u64) {
        self.tree.lock().total_bytes = Some(total_bytes);
    }

    /// Flips bits of the byte at `offset_bytes` of a file, as a failing disk would.
    ///
    /// # Errors
    /// When the file is not there or shorter.
    pub fn flip(&self, path: &Path, offset_bytes: usize, mask: u8) -> io::Result<()> {
        let content = self.tree.lock().file(path)?;
        let mut content = content.lock();
        let byte = content.written.get_mut(offset_bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte ^= mask;
        Ok(())
    }

    fn from_nodes(nodes: &BTreeMap<PathBuf, Node>, bytes_of: impl Fn(&Content) -> Vec<u8>) -> Self {
        let copy = |node: &Node| match node {
            Node::Dir => Node::Dir,
            Node::File(content) => {
                let bytes = bytes_of(&content.lock());
                Node::File(Arc::new(Mutex::new(Content { written: bytes.clone(), durable: bytes })))
            }
        };
        let current: BTreeMap<_, _> = nodes.iter().map(|(path, node)| (path.clone(), copy(node))).collect();
        let durable = current.clone();
        Self { tree: Arc::new(Mutex::new(Tree { current, durable, locked: Vec::new(), total_bytes: None })) }
    }
}

impl Tree {
    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        match self.current.get(path) {
            Some(Node::File(content)) => Ok(Arc::clone(content)),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn parent_is_dir(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            None => Ok(()),
            Some(parent) if parent.as_os_str().is_empty() => Ok(()),
            Some(parent) => match self.current.get(parent) {
                Some(Node::Dir) => Ok(()),
                Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }
}

impl Dir for MemDir {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut tree = self.tree.lock();
        tree.parent_is_dir(path)?;
        if matches!(tree.current.get(path), Some(Node::Dir)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Truncating keeps the file, and so its durable bytes, as open(O_TRUNC) does.
        let content = match tree.current.get(path) {
            Some(Node::File(content)) => Arc::clone(content),
            _ => Arc::default(),
        };
        content.lock().written.clear();
        tree.current.insert(path.to_path_buf(), Node::File(Arc::clone(&content)));
        Ok(Box::new(MemFile { content }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let content = self.tree.lock().file(path)?;
        Ok(Box::new(MemFile { content }))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let tree = self.tree.lock();
        if !path.as_os_str().is_empty() && !matches!(tree.current.get(path), Some(Node::Dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let children = tree.current.iter().filter(|(child, _)| child.parent() == Some(path));
        Ok(children
            .filter_map(|(child, node)| {
                let name = child.file_name()?.to_str()?.to_owned();
                let (is_dir, len_bytes) = match node {
                    Node::Dir => (true, 0),
                    Node::File(content) => (false, content.lock().written.len() as u64),
                };
                Some(DirEntry { name, is_dir, len_bytes })
            })
            .collect())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        for ancestor in path.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
            match tree.current.get(ancestor) {
                Some(Node::Dir) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    tree.current.insert(ancestor.to_path_buf(), Node::Dir);
                }
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        if !tree.current.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        tree.parent_is_dir(to)?;
        let moved: Vec<PathBuf> =
            tree.current.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let rest = path.strip_prefix(from).expect("kept only paths below `from`");
            let target = if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) };
            if let Some(node) = tree.current.remove(&path) {
                tree.current.insert(target, node);
            }
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        tree.parent_is_dir(to)?;
        if tree.current.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = tree.file(from)?;
        tree.current.insert(to.to_path_buf(), Node::File(content));
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let tree = self.tree.lock();
        let files = tree.current.values().filter_map(|node| match node {
            Node::Dir => None,
            Node::File(content) => Some(content.lock().written.len() as u64),
        });
        let used_bytes: u64 = files.sum();
        let total_bytes = tree.total_bytes.unwrap_or(u64::MAX);
        Ok(Space { total_bytes, free_bytes: total_bytes.saturating_sub(used_bytes) })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        tree.file(path)?;
        tree.current.remove(path);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        if !tree.current.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        tree.current.retain(|child, _| !child.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let tree = &mut *tree;
        let gone: Vec<PathBuf> = (tree.durable.keys())
            .filter(|child| child.parent() == Some(path) && !tree.current.contains_key(*child))
            .cloned()
            .collect();
        for child in gone {
            tree.durable.retain(|below, _| !below.starts_with(&child));
        }
        for (child, node) in tree.current.iter().filter(|(child, _)| child.parent() == Some(path)) {
            tree.durable.insert(child.clone(), node.clone());
            // A directory moved here brings the names that were durable at its old place.
            if matches!(node, Node::Dir) {
                for (below, node) in tree.current.iter().filter(|(below, _)| below.starts_with(child)) {
                    tree.durable.entry(below.clone()).or_insert_with(|| node.clone());
                }
            }
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.tree.lock().current.contains_key(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let mut tree = self.tree.lock();
        if tree.locked.iter().any(|held| held == path) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds the lock"));
        }
        tree.locked.push(path.to_path_buf());
        Ok(Box::new(MemLock { tree: Arc::clone(&self.tree), path: path.to_path_buf() }))
    }
}

#[derive(Debug)]
struct MemLock {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
}

impl DirLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.tree.lock().locked.retain(|held| held != &self.path);
    }
}

#[derive(Debug)]
struct MemFile {
    content: Arc<Mutex<Content>>,
}

impl File for MemFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.content.lock().written.extend_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let content = self.content.lock();
        let start = usize::try_from(offset_bytes).map_err(io::Error::other)?.min(content.written.len());
        let n_bytes = buf.len().min(content.written.len() - start);
        buf[..n_bytes].copy_from_slice(&content.written[start..start + n_bytes]);
        Ok(n_bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut content = self.content.lock();
        content.durable = content.written.clone();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().written.len() as u64)
    }

    fn truncate(&mut self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).map_err(io::Error::other)?;
        self.content.lock().written.resize(len, 0);
        Ok(())
    }
}
