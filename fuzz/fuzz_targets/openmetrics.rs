//! OpenMetrics pages: parsed or refused, and labels of what is parsed can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::LabelsBuilder;
use wire::exposition::{Entry, Format, Parser};

fuzz_target!(|body: &[u8]| {
    let mut parser = Parser::new(body, Format::OpenMetrics100);
    let mut labels = LabelsBuilder::new();
    while let Ok(Some(entry)) = parser.next_entry() {
        if let Entry::Sample(sample) = entry {
            let _ = sample.fill_labels(&mut labels);
            if let Some(exemplar) = sample.exemplar {
                let _ = exemplar.fill_labels(&mut labels);
            }
        }
    }
});
