//! Any bytes are a page of histograms or are refused, without panic and without growing; what is one comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::histogram::Histogram;
use tsdb::page::{HISTOGRAM_CELLS_MAX, ROWS_MAX, decode_histograms, encode_histograms, histogram_cells};

fuzz_target!(|bytes: &[u8]| {
    let mut histograms = Vec::new();
    let is_page = decode_histograms(bytes, &mut histograms).is_ok();
    assert!(histograms.len() <= ROWS_MAX);
    let n_cells: usize = histograms.iter().map(histogram_cells).sum();
    assert!(n_cells <= HISTOGRAM_CELLS_MAX);
    // Large ones only cost time.
    if !is_page || n_cells > 100_000 {
        return;
    }
    let mut page = Vec::new();
    encode_histograms(&histograms.iter().collect::<Vec<_>>(), &mut page);
    let mut back: Vec<Histogram> = Vec::new();
    decode_histograms(&page, &mut back).expect("what was encoded decodes");
    let text = |histograms: &[Histogram]| format!("{histograms:?}");
    assert_eq!(text(&back), text(&histograms));
});
