//! Whether a page is what the index says of it: decodes, has its rows, and a summary that agrees with its values.

use model::is_stale;

use crate::page::PageKind;
use crate::page::{self, Summary};

/// Checks `bytes`; on failure says what is wrong.
pub(super) fn check(kind: PageKind, bytes: &[u8], n_rows: usize) -> Result<(), String> {
    let n_found = match kind {
        PageKind::Starts => {
            let mut starts = Vec::new();
            page::decode_starts(bytes, &mut starts).map_err(|err| err.to_string())?;
            starts.len()
        }
        PageKind::Histograms => {
            let mut histograms = Vec::new();
            page::decode_histograms(bytes, &mut histograms).map_err(|err| err.to_string())?;
            histograms.len()
        }
        _ => {
            let mut values = Vec::with_capacity(n_rows.min(page::ROWS_MAX));
            page::decode_values(bytes, &mut values).map_err(|err| err.to_string())?;
            let summary = page::summary(bytes).map_err(|err| err.to_string())?;
            if !agrees(&summary, &values) {
                return Err("its summary is not that of its values".to_owned());
            }
            values.len()
        }
    };
    if n_found == n_rows { Ok(()) } else { Err(format!("it has {n_found} rows, not {n_rows}")) }
}

fn agrees(summary: &Summary, values: &[f64]) -> bool {
    let numbers = || values.iter().copied().filter(|value| !value.is_nan());
    let n_stale = values.iter().filter(|value| is_stale(**value)).count();
    let same = |a: f64, b: Option<f64>| b.map_or(a.is_nan(), |b| a == b);
    summary.n as usize == values.len()
        && summary.n_numbers as usize == numbers().count()
        && summary.n_stale as usize == n_stale
        && same(summary.min, numbers().reduce(f64::min))
        && same(summary.max, numbers().reduce(f64::max))
        && same(summary.first, numbers().next())
        && same(summary.last, numbers().next_back())
}
