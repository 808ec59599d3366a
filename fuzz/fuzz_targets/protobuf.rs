//! Bodies of the protobuf exposition, and pages of text whose histograms are converted: what is taken reads back as a page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::exposition::{
    Format, HistogramOptions, Parser, Translation, translate_protobuf, translate_text, with_type_and_unit,
};

fuzz_target!(|input: ([bool; 5], u8, Vec<u8>)| {
    let ([natives, classic_too, classic_to_custom, starts, type_and_unit], format, body) = input;
    let options = HistogramOptions { natives, classic_too, classic_to_custom, starts, type_and_unit };
    let format = [Format::Protobuf, Format::Text004, Format::OpenMetrics100][usize::from(format) % 3];
    let mut out = Translation::new();
    let read = match format {
        Format::Protobuf => translate_protobuf(&body, options, &mut out),
        format if type_and_unit => with_type_and_unit(&body, format, &mut out),
        format => translate_text(&body, format, options, &mut out),
    };
    if read.is_ok() {
        let mut parser = Parser::new(out.text.as_bytes(), format);
        while parser.next_entry().expect("what was written reads back").is_some() {}
    }
});
