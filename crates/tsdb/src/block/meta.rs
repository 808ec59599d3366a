//! `meta.json`, in the shape Prometheus gives it, and the names of blocks.

use serde::{Deserialize, Serialize};

use crate::index::Toc;

/// Version of Prometheus' shape.
const META_VERSION: u32 = 1;
/// Version of docs/formats/block.md.
const FORMAT_VERSION: u32 = 2;

/// What is known about a block without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockMeta {
    pub(crate) ulid: String,
    /// First millisecond.
    pub(crate) min_time: i64,
    /// The millisecond after the last, as Prometheus says it.
    pub(crate) max_time: i64,
    pub(crate) stats: BlockStats,
    pub(crate) compaction: Compaction,
    pub(crate) version: u32,
    pub(crate) hinomi: FormatInfo,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockStats {
    pub(crate) num_samples: u64,
    pub(crate) num_series: u64,
    pub(crate) num_chunks: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compaction {
    /// 0 for sealed rows.
    pub(crate) level: u32,
    /// Level 0 blocks within.
    pub(crate) sources: Vec<String>,
    /// The blocks that this one replaces.
    #[serde(default)]
    pub(crate) parents: Vec<Parent>,
    /// All samples came late: where another block has the time too, that one's sample stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) late: bool,
    /// Rises from one publication of blocks to the next: of several samples at one time the one stored first stays. That of the
    /// oldest block within; 0 for blocks from before there was this number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) stored: u64,
    /// What a block of roll-ups was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rollup: Option<RolledUpFrom>,
}

impl Compaction {
    /// See [`Parent::which`].
    pub(crate) fn which(&self) -> (u32, u64) {
        (self.level, self.stored)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// See docs/formats/rollup.md.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RolledUpFrom {
    pub(crate) interval_ms: i64,
    /// Times, the second exclusive; rising and apart.
    pub(crate) covers: Vec<(i64, i64)>,
}

impl RolledUpFrom {
    /// All of `parts` together; `None` when there are none.
    pub(crate) fn join<'a>(parts: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let mut joined: Option<Self> = None;
        for part in parts {
            let into = joined.get_or_insert(Self { interval_ms: part.interval_ms, covers: Vec::new() });
            into.covers.extend_from_slice(&part.covers);
        }
        let mut joined = joined?;
        joined.covers.sort_unstable();
        let mut apart: Vec<(i64, i64)> = Vec::new();
        for (from, to) in joined.covers {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => apart.push((from, to)),
            }
        }
        Some(Self { covers: apart, ..joined })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parent {
    pub(crate) ulid: String,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    /// Its level and number, by which it is told from a later block with the same content and so the same name. Missing in
    /// blocks from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) which: Option<(u32, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FormatInfo {
    pub(crate) format_version: u32,
    /// A copy of the index' table of contents, in hexadecimal digits; empty in blocks from before. The block's name is made of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) toc: String,
    /// There is a file with copies of parts of the index; missing in blocks from before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) index_copy: bool,
}

impl BlockMeta {
    /// Whether this block replaces the one that `other` describes. What it replaced may have come into being again, by a merge of
    /// what it was split into, or by another import of the same: such a block stays.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let is_it = |parent: &&Parent| parent.ulid == other.ulid && self.ulid != other.ulid;
        self.compaction.parents.iter().find(is_it).is_some_and(|parent| match parent.which {
            Some(which) => which == other.compaction.which(),
            None => other.compaction.level < self.compaction.level,
        })
    }

    pub(crate) fn new(
        ulid: String,
        min_time: i64,
        max_time: i64,
        stats: BlockStats,
        compaction: Compaction,
        toc: &[u8],
    ) -> Self {
        let hinomi =
            FormatInfo { format_version: FORMAT_VERSION, toc: stdx::hex::encode(toc), index_copy: true };
        Self { ulid, min_time, max_time, stats, compaction, version: META_VERSION, hinomi }
    }

    /// What the block itself says, and of `json`, which is damaged, what can still be read of where the block came from.
    pub(crate) fn rebuild(name: &str, json: &[u8], toc: &Toc) -> Self {
        let mut value: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
        let salvaged =
            value.get_mut("compaction").and_then(|compaction| serde_json::from_value(compaction.take()).ok());
        let compaction = salvaged.unwrap_or_else(|| Compaction {
            level: 1,
            sources: vec![name.to_owned()],
            ..Compaction::default()
        });
        // Whether there was a copy of the index is not known any more.
        Self::of_index(name, toc, compaction, false)
    }

    /// The same, with the totals of the index.
    pub(crate) fn agreeing_with(&self, name: &str, toc: &Toc) -> Self {
        Self::of_index(name, toc, self.compaction.clone(), self.hinomi.index_copy)
    }

    fn of_index(name: &str, toc: &Toc, compaction: Compaction, index_copy: bool) -> Self {
        let stats = BlockStats {
            num_samples: toc.n_samples,
            num_series: u64::from(toc.n_series),
            num_chunks: toc.n_pages,
        };
        let end_ms = toc.last_ms.saturating_add(1);
        let mut meta = Self::new(name.to_owned(), toc.first_ms, end_ms, stats, compaction, &toc.to_bytes());
        meta.hinomi.index_copy = index_copy;
        meta
    }

    /// The copy of the index' table of contents, when it is that of this block.
    pub(crate) fn toc_copy(&self) -> Option<Vec<u8>> {
        let toc = stdx::hex::decode(&self.hinomi.toc)?;
        (block_name(self.min_time, &toc) == self.ulid).then_some(toc)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers always serialise");
        json.push(b'\n');
        json
    }

    /// On failure says what is wrong.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let meta: Self = serde_json::from_slice(json).map_err(|err| err.to_string())?;
        if meta.version != META_VERSION || meta.hinomi.format_version != FORMAT_VERSION {
            let version = meta.hinomi.format_version;
            return Err(format!("written in format version {version}, which this program does not know"));
        }
        if meta.min_time >= meta.max_time {
            return Err(format!("it spans no time: {} to {}", meta.min_time, meta.max_time));
        }
        Ok(meta)
    }
}

/// Letters of a ULID.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a ULID: 130 bits for 128.
const ULID_CHARS: u32 = 26;

/// Name of a block that begins at `min_time`, by its index' table of contents.
pub(crate) fn block_name(min_time: i64, toc: &[u8]) -> String {
    // FNV-1a with 128 bits: names need to differ, not to withstand attack.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in toc {
        hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let time = u128::try_from(min_time).unwrap_or(0) & ((1 << 48) - 1);
    let ulid = time << 80 | hash & ((1 << 80) - 1);
    (0..ULID_CHARS).rev().map(|idx| char::from(CROCKFORD[(ulid >> (idx * 5) & 31) as usize])).collect()
}

/// Whether `name` can be a block's.
pub(crate) fn is_block_name(name: &str) -> bool {
    name.len() == ULID_CHARS as usize && name.bytes().all(|b| CROCKFORD.contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_differ_by_content() {
        let (a, b) = (block_name(7_200_000, b"x"), block_name(14_400_000, b"x"));
        assert!(a < b && is_block_name(&a) && is_block_name(&b));
        assert_ne!(a, block_name(7_200_000, b"y"));
        assert_eq!(a, block_name(7_200_000, b"x"));
        assert!(is_block_name(&block_name(-5, b"")) && !is_block_name("wal"));
    }

    #[test]
    fn meta_comes_back_in_prometheus_shape() {
        let stats = BlockStats { num_samples: 3, num_series: 2, num_chunks: 1 };
        let compaction =
            Compaction { level: 1, sources: vec!["A".to_owned()], stored: 4, ..Compaction::default() };
        let meta = BlockMeta::new("A".to_owned(), 1, 5, stats, compaction, b"toc");
        let json = meta.to_json();
        assert_eq!(BlockMeta::parse(&json).unwrap(), meta);
        let text = String::from_utf8(json).unwrap();
        assert!(text.contains("\"minTime\": 1") && text.contains("\"numSamples\": 3"), "{text}");
    }
}
