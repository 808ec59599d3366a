//! Pages of the text format: parsed or refused, and labels of what is parsed can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::LabelsBuilder;
use wire::exposition::{Entry, Format, Parser};

fuzz_target!(|body: &[u8]| {
    let mut parser = Parser::new(body, Format::Text004);
    let mut labels = LabelsBuilder::new();
    while let Ok(Some(entry)) = parser.next_entry() {
        if let Entry::Sample(sample) = entry {
            let _ = sample.fill_labels(&mut labels);
        }
    }
});
