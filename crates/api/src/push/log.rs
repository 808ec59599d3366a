//! The file of pushed groups; docs/formats/pushed-groups.md says its bytes.
//!
//! In from [`super::PushReceiver`]; out to a [`Dir`]. What cannot be read from some place on is dropped from there, with a warning.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stdx::dir::{Dir, File};

use super::{Group, GroupLabels};

const MAGIC: &[u8] = b"hinomi pushed groups 1\n";
/// Bytes up to which the file is not written anew. Chosen.
const TIDY_BYTES_MIN: u64 = 1 << 20;
/// Eight digits and a blank.
const CHECKSUM_BYTES: usize = 9;

#[derive(Debug)]
pub(super) struct Log {
    dir: Arc<dyn Dir>,
    path: PathBuf,
    file: Box<dyn File>,
    n_bytes: u64,
    /// Length at which to look again whether it is worth writing anew.
    tidy_at: u64,
}

impl Log {
    pub(super) fn open(dir: Arc<dyn Dir>, path: &Path) -> Result<(Self, BTreeMap<GroupLabels, Group>)> {
        if !dir.exists(path) {
            dir.write_atomic(path, MAGIC)?;
        }
        let bytes = dir.read(path)?;
        let Some(records) = bytes.strip_prefix(MAGIC) else {
            let text = format!("{} is no file of pushed groups: move it away", path.display());
            return Err(Error::new(ErrorKind::InvalidData, text));
        };
        let (groups, n_good) = replay(records);
        if n_good < records.len() {
            let n_bytes = records.len() - n_good;
            tracing::warn!(file = %path.display(), n_bytes, "the end of the file of pushed groups cannot be read and is dropped");
            dir.write_atomic(path, &bytes[..MAGIC.len() + n_good])?;
        }
        let n_bytes = (MAGIC.len() + n_good) as u64;
        let file = dir.open(path)?;
        let log =
            Self { file, path: path.to_owned(), dir, n_bytes, tidy_at: TIDY_BYTES_MIN.max(2 * n_bytes) };
        Ok((log, groups))
    }

    /// Adds what `group` is from now on.
    pub(super) fn append(&mut self, group: &Group) -> Result<()> {
        let record = record(group);
        if let Err(err) = self.file.append(&record) {
            // What stands at the end is not known now.
            self.file.truncate(self.n_bytes)?;
            return Err(err);
        }
        self.n_bytes += record.len() as u64;
        Ok(())
    }

    /// Writes the file anew when most of it is past.
    pub(super) fn tidy<'g>(&mut self, groups: impl Iterator<Item = &'g Group>) -> Result<()> {
        if self.n_bytes < self.tidy_at {
            return Ok(());
        }
        let mut bytes = MAGIC.to_vec();
        groups.for_each(|group| bytes.extend_from_slice(&record(group)));
        self.dir.write_atomic(&self.path, &bytes)?;
        self.file = self.dir.open(&self.path)?;
        self.n_bytes = bytes.len() as u64;
        self.tidy_at = TIDY_BYTES_MIN.max(2 * self.n_bytes);
        Ok(())
    }
}

fn record(group: &Group) -> Vec<u8> {
    let json = serde_json::to_string(group).expect("texts and whole numbers");
    format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())).into_bytes()
}

/// The groups, and how many bytes could be read.
fn replay(records: &[u8]) -> (BTreeMap<GroupLabels, Group>, usize) {
    let (mut groups, mut n_good) = (BTreeMap::new(), 0);
    for line in records.split_inclusive(|byte| *byte == b'\n') {
        let Some(group) = read(line) else { break };
        n_good += line.len();
        if group.is_gone {
            groups.remove(&group.labels);
        } else {
            groups.insert(group.labels.clone(), group);
        }
    }
    (groups, n_good)
}

fn read(line: &[u8]) -> Option<Group> {
    let line = line.strip_suffix(b"\n")?;
    let (checksum, json) = line.split_at_checked(CHECKSUM_BYTES)?;
    let checksum = u32::from_str_radix(std::str::from_utf8(checksum.strip_suffix(b" ")?).ok()?, 16).ok()?;
    if checksum != crc32c::crc32c(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}
