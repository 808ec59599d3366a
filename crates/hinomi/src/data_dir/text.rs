//! `hinomi tsdb import openmetrics`: a file of samples with timestamps becomes blocks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use model::{Labels, LabelsBuilder};
use stdx::{Dir as _, DiskDir};
use storage::{Series, VecSeriesSet};
use wire::exposition::{Entry, Format, Parser};

use crate::say;

/// A file is cut into blocks of this length.
const BLOCK_MS: i64 = 24 * 60 * 60 * 1000;

type Samples = BTreeMap<Labels, BTreeMap<i64, f64>>;

/// Takes in `file`, which is held in memory.
pub(super) fn import(file: &Path, data_dir: &Path) -> Result<()> {
    let shown = file.display();
    let bytes = DiskDir::anywhere().read(file).with_context(|| format!("cannot read {shown}"))?;
    let is_text = file.extension().is_some_and(|end| end == "prom");
    let format = if is_text { Format::Text004 } else { Format::OpenMetrics100 };
    let blocks = read(&bytes, format).map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
    let db = super::open(data_dir)?;
    let mut n_samples = 0;
    let n_blocks = blocks.len();
    for (day, samples) in blocks {
        let n: usize = samples.values().map(BTreeMap::len).sum();
        let series = samples.into_iter().map(|(labels, samples)| {
            let (timestamps, values) = samples.into_iter().unzip();
            Series::floats(labels, Arc::new(timestamps), values)
        });
        db.import(&format!("openmetrics-{day}"), &mut VecSeriesSet::new(series.collect()))?;
        n_samples += n;
    }
    db.close()?;
    say(&format!("{n_samples} samples imported into {n_blocks} blocks of {}", data_dir.display()));
    Ok(())
}

/// Samples by day.
fn read(bytes: &[u8], format: Format) -> Result<BTreeMap<i64, Samples>, String> {
    let mut blocks: BTreeMap<i64, Samples> = BTreeMap::new();
    let mut builder = LabelsBuilder::new();
    let mut parser = Parser::new(bytes, format);
    while let Some(entry) = parser.next_entry().map_err(|err| err.to_string())? {
        let Entry::Sample(sample) = entry else { continue };
        let t_ms = sample
            .t_ms
            .ok_or_else(|| format!("{} has no timestamp: backfill needs one for each sample", sample.raw))?;
        sample.fill_labels(&mut builder).map_err(|err| err.to_string())?;
        let samples =
            blocks.entry(t_ms.div_euclid(BLOCK_MS)).or_default().entry(builder.build()).or_default();
        if samples.insert(t_ms, sample.value).is_some_and(|before| before.to_bits() != sample.value.to_bits())
        {
            return Err(format!("{} has two values at {t_ms} ms", sample.raw));
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_sorted_into_days_and_must_have_times() {
        let blocks =
            read(b"a 1 86400.5\na{x=\"1\"} 2 86399\na 3 10\n# EOF\n", Format::OpenMetrics100).unwrap();
        let shape: Vec<(i64, usize)> = blocks.iter().map(|(day, series)| (*day, series.len())).collect();
        assert_eq!(shape, [(0, 2), (1, 1)]);
        let refused = |text: &str| read(text.as_bytes(), Format::Text004).unwrap_err();
        assert!(refused("a 1\n").contains("no timestamp"));
        assert!(refused("a 1 5\na 2 5\n").contains("two values"));
    }
}
