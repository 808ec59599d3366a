//! `hinomi tsdb import` with a data directory that no server has.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::import::{Import, Kind, Tracker, check, not_imported};
use crate::say;

/// Takes over `path`; `labels` are put beside those that a file has.
pub(super) fn run(kind: Kind, path: &Path, labels: &[(String, String)], data_dir: &Path) -> Result<()> {
    check(kind, path).map_err(|why| anyhow::anyhow!(why))?;
    let db = super::open(data_dir)?;
    let (done, tracker) = (BTreeSet::new(), Tracker::default());
    let import = Import { db: &db, kind, path, labels, done: &done, tracker: &tracker };
    let ended = import.run(&mut |_, line| {
        say(line);
        Ok(())
    });
    db.close()?;
    ended?;
    let numbers = tracker.numbers();
    say(&format!("{} samples imported into {}", numbers.n_samples, data_dir.display()));
    anyhow::ensure!(numbers.failed.is_empty(), "{}", not_imported(&numbers.failed));
    Ok(())
}
