//! Two pages of a target, one after another: reading by difference accepts, refuses and yields what a cold parse does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::exposition::diff::{Blocks, Draft, Page};
use wire::exposition::{Entry, Format, ParseError, Parser};

fn cold(body: &[u8], format: Format) -> Result<Vec<(String, u64, Option<i64>)>, ParseError> {
    let mut lines = Vec::new();
    let mut parser = Parser::new(body, format);
    while let Some(entry) = parser.next_entry()? {
        if let Entry::Sample(sample) = entry {
            lines.push((sample.raw.to_owned(), sample.value.to_bits(), sample.t_ms));
        }
    }
    Ok(lines)
}

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>, Vec<u8>)| {
    let (is_text, first, second, third) = input;
    let format = if is_text { Format::Text004 } else { Format::OpenMetrics100 };
    let (blocks, mut page, mut draft) = (Blocks::new(), Page::new(), Draft::new());
    let mut values: Vec<(u64, Option<i64>)> = Vec::new();
    for body in [first, second, third] {
        let expected = cold(&body, format);
        let got = page.read(&body, format, &blocks, &mut draft);
        assert_eq!(expected.as_ref().err(), got.as_ref().err());
        let Ok(expected) = expected else { continue };
        for edit in draft.edits.iter().rev() {
            let old = edit.old_lines.start as usize..edit.old_lines.end as usize;
            values.splice(old, edit.new_lines.clone().map(|_| (0, None)));
        }
        for changed in &draft.changed {
            values[changed.line as usize] = (changed.value.to_bits(), changed.t_ms);
        }
        page.accept(&mut draft);
        let keys = page.keys().map(|(key, _)| key.to_owned());
        let got: Vec<_> = keys.zip(&values).map(|(key, (bits, t_ms))| (key, *bits, *t_ms)).collect();
        assert_eq!(got, expected);
    }
});
