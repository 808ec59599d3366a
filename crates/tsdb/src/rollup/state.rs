//! `rollups/state.json`: where raw samples begin to answer, and which raw blocks are in the roll-ups already.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stdx::Dir;

use super::ROLLUPS_DIR;
use crate::error::TsdbError;

const FILE: &str = "state.json";
/// Of docs/formats/rollup.md.
const VERSION: u32 = 1;

/// See docs/formats/rollup.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    version: u32,
    /// Samples before this are answered from roll-ups.
    pub(crate) floor_ms: i64,
    /// Sources of raw blocks whose samples before the floor are in the roll-ups.
    pub(crate) absorbed: BTreeSet<String>,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, floor_ms: i64::MIN, absorbed: BTreeSet::new() }
    }
}

impl State {
    /// With this floor and nothing absorbed.
    pub(crate) fn at(floor_ms: i64) -> Self {
        Self { floor_ms, ..Self::default() }
    }

    /// Where it lies.
    pub(crate) fn path() -> PathBuf {
        Path::new(ROLLUPS_DIR).join(FILE)
    }

    /// `None` when it was never written; the reason when it cannot be understood.
    pub(crate) fn read(dir: &dyn Dir) -> Result<Option<Result<Self, String>>, TsdbError> {
        let path = Self::path();
        if !dir.exists(&path) {
            return Ok(None);
        }
        let json = dir.read(&path).map_err(TsdbError::io("read", &path))?;
        let parsed = serde_json::from_slice::<Self>(&json).map_err(|err| err.to_string());
        Ok(Some(parsed.and_then(|state| match state.version {
            VERSION => Ok(state),
            other => Err(format!("written in format version {other}, which this program does not know")),
        })))
    }

    /// Makes it durable, whole or not at all.
    pub(crate) fn write(&self, dir: &dyn Dir) -> Result<(), TsdbError> {
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers always serialise");
        json.push(b'\n');
        let path = Self::path();
        let folder = Path::new(ROLLUPS_DIR);
        let is_new = !dir.exists(folder);
        dir.create_dir_all(folder).map_err(TsdbError::io("create", folder))?;
        if is_new {
            dir.sync_dir(Path::new("")).map_err(TsdbError::io("sync", Path::new(".")))?;
        }
        dir.write_atomic(&path, &json).map_err(TsdbError::io("write", &path))
    }
}
