//! `meta.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::PromDataError;

/// What a block says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// Its name.
    pub ulid: String,
    /// First millisecond.
    pub min_time: i64,
    /// The millisecond after the last.
    pub max_time: i64,
    /// Counts.
    #[serde(default)]
    pub stats: MetaStats,
    /// Where it came from.
    #[serde(default)]
    pub compaction: MetaCompaction,
    /// Of the layout; 1.
    pub version: u32,
}

/// Counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetaStats {
    /// Samples of all kinds.
    pub num_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
    /// Intervals deleted.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Where a block came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetaCompaction {
    /// How often its samples were compacted.
    pub level: u32,
    /// The blocks of level 1 it was made of.
    pub sources: Vec<String>,
}

impl BlockMeta {
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, PromDataError> {
        let meta: Self =
            serde_json::from_slice(bytes).map_err(|err| PromDataError::corrupt(path, 0, err.to_string()))?;
        match meta.version {
            1 => Ok(meta),
            other => Err(PromDataError::Unsupported {
                path: path.to_owned(),
                what: format!("block version {other}"),
            }),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("numbers and strings become JSON")
    }
}
