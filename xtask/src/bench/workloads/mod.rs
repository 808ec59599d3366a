//! The workloads. Each returns one table.

pub mod churn;
pub mod disk;
pub mod memory;
pub mod query;
mod questions;
pub mod read;
pub mod scrape;
pub mod write;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::Bench;
use super::load::series::Set;
use super::server::{Server, Spec, Stored};

/// Unix milliseconds.
pub(super) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}

impl Bench {
    /// The servers in the order of this run: the first of one run is the last of the next.
    pub(super) fn order(&self, run: usize) -> Vec<&Spec> {
        let mut specs: Vec<&Spec> = self.specs.iter().collect();
        if run % 2 == 1 {
            specs.reverse();
        }
        specs
    }

    /// Series for a server: ours has what the target names, others less unless `--peer-series` says so.
    fn series_of(&self, spec: &Spec, usual: u64, quick: u64) -> Result<usize> {
        let n_series = if spec.is_ours {
            self.options.number("series", usual, quick)?
        } else {
            self.options.number("peer-series", 100_000.min(usual), quick)?
        };
        Ok(n_series as usize)
    }

    /// A folder that goes when it is dropped.
    pub(super) fn folder(&self) -> Result<TempDir> {
        let dir = self.options.dir();
        tempfile::Builder::new()
            .prefix("hinomi-bench-")
            .tempdir_in(&dir)
            .with_context(|| format!("cannot make a folder in {}", dir.display()))
    }
}

/// For servers that are only written to.
const EMPTY_CONFIG: &str = "global:\n  scrape_interval: 15s\n";

/// Blocks begin at multiples of two hours.
const BLOCK_MS: i64 = 7_200_000;

/// A start for data of that length that ends at least an hour ago, at the border of a block.
fn past_start_ms(length_ms: i64) -> i64 {
    (now_ms() - 3_600_000 - length_ms).div_euclid(BLOCK_MS) * BLOCK_MS
}

/// Counts what a server holds of the sets, and fails when it is not what was sent.
fn check_stored(server: &Server, sets: &[Set], sent: u64) -> Result<Stored> {
    let from_ms = sets.iter().map(|set| set.from_ms).min().context("no sets")?;
    let to_ms = sets.iter().map(|set| set.to_ms).max().unwrap_or(from_ms);
    // A window begins after its left border in newer servers and at it in older ones: there is no sample at this one.
    let stored = server.count("{__name__!=\"\"}", to_ms - from_ms, to_ms - 1)?;
    if stored.samples != sent as f64 {
        bail!("{} holds {} samples, but {sent} were acknowledged", server.name, stored.samples);
    }
    Ok(stored)
}

/// Bytes of the log of a data directory: all that lies in its folder `wal`.
fn wal_bytes(data: &Path) -> u64 {
    super::proc::disk_bytes(data, &|path| path.starts_with("wal"))
}
