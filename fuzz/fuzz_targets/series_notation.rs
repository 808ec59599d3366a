//! The notation of series and histograms is read or refused, and what is written of a histogram reads as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promql::notation::{self, Sample};

fuzz_target!(|text: &str| {
    let (series, _, sequence) = notation::split(text);
    let _ = notation::labels(series);
    let _ = notation::start_offsets(sequence);
    let Ok(places) = notation::places(sequence) else { return };
    for place in places.iter().flatten() {
        if let Sample::Histogram(written) = place {
            let text = notation::format_histogram(&written.histogram);
            assert!(notation::places(&text).is_ok(), "{text}");
        }
    }
});
