//! The difference path gives what a cold parse of the same bytes gives, whatever came before.

use std::fmt::Write as _;

use super::*;
use crate::exposition::SampleEntry;

/// Mutated bodies in a test run; `HINOMI_MUTATIONS` asks for more.
const MUTATIONS: u64 = 4_000;

/// All that is known of a sample, comparable.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    key: String,
    metric_type: MetricType,
    bits: u64,
    t_ms: Option<i64>,
    exemplar: Option<String>,
}

fn line(sample: &SampleEntry<'_>) -> Line {
    Line {
        key: sample.raw.to_owned(),
        metric_type: sample.metric_type,
        bits: sample.value.to_bits(),
        t_ms: sample.t_ms,
        exemplar: sample.exemplar.map(|exemplar| format!("{exemplar:?}")),
    }
}

/// Samples and metadata by a cold parse.
fn cold(body: &[u8], format: Format) -> Result<(Vec<Line>, Vec<String>), ParseError> {
    let (mut lines, mut metadata) = (Vec::new(), Vec::new());
    let mut parser = Parser::new(body, format);
    while let Some(entry) = parser.next_entry()? {
        match entry {
            Entry::Sample(sample) => lines.push(line(&sample)),
            Entry::Comment => {}
            entry => metadata.push(format!("{entry:?}")),
        }
    }
    Ok((lines, metadata))
}

/// A target that is scraped by difference and checked by cold parses.
#[derive(Default)]
struct Target {
    page: Page,
    draft: Draft,
    blocks: Blocks,
    /// As the drafts' readers know them.
    lines: Vec<Line>,
}

impl Target {
    fn check(&mut self, body: &[u8], format: Format) {
        let expected = cold(body, format);
        let got = self.page.read(body, format, &self.blocks, &mut self.draft);
        let shown = || format!("{format:?} {:?}", String::from_utf8_lossy(body));
        let (lines, metadata) = match (expected, got) {
            (Ok(expected), Ok(())) => expected,
            (Err(expected), Err(got)) if expected == got => return,
            (expected, got) => panic!("cold {expected:?}, by difference {got:?}: {}", shown()),
        };
        let old_keys: Vec<String> = self.page.keys().map(|(key, _)| key.to_owned()).collect();
        for edit in self.draft.edits.iter().rev() {
            let old = edit.old_lines.start as usize..edit.old_lines.end as usize;
            let named: Vec<String> = self.page.old_keys(edit).map(|(key, _)| key.to_owned()).collect();
            assert_eq!(named, old_keys[old.clone()], "{}", shown());
            let new = edit.new_keys().map(|(key, metric_type)| Line {
                key: key.to_owned(),
                metric_type,
                bits: 0,
                t_ms: None,
                exemplar: None,
            });
            let new: Vec<Line> = new.collect();
            assert_eq!(new.len(), edit.new_lines.len(), "{}", shown());
            self.lines.splice(old, new);
        }
        for changed in &self.draft.changed {
            let line = &mut self.lines[changed.line as usize];
            let exemplar = exemplar_at(body, format, changed);
            assert_eq!(exemplar.is_some(), changed.has_exemplar, "{}", shown());
            line.bits = changed.value.to_bits();
            line.t_ms = changed.t_ms;
            line.exemplar = exemplar.map(|exemplar| format!("{exemplar:?}"));
        }
        self.page.accept(&mut self.draft);
        // A type line may change the type of samples whose own lines did not change.
        for (line, (_, metric_type)) in self.lines.iter_mut().zip(self.page.keys()) {
            line.metric_type = metric_type;
        }
        assert_eq!(self.lines, lines, "{}", shown());
        let keys: Vec<&str> = self.page.keys().map(|(key, _)| key).collect();
        assert_eq!(keys, lines.iter().map(|line| line.key.as_str()).collect::<Vec<_>>(), "{}", shown());
        for (value, line) in self.page.values().zip(&lines) {
            if let Some((value, t_ms)) = value {
                assert_eq!((value.to_bits(), t_ms), (line.bits, line.t_ms), "{}", shown());
            }
        }
        let mut seen = Vec::new();
        self.page.metadata(|entry| {
            if entry != Entry::Comment {
                seen.push(format!("{entry:?}"));
            }
        });
        assert_eq!(seen, metadata, "{}", shown());
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        // Marsaglia, "Xorshift RNGs", 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

/// A page with something of everything.
fn made_up(format: Format, scrape: usize) -> Vec<u8> {
    let mut page = String::new();
    let is_text = format == Format::Text004;
    for family in 0..12 {
        let kind = ["counter", "gauge", "histogram", "summary"][family % 4];
        let _ = writeln!(page, "# HELP f{family} Help of \\\\ and é.\n# TYPE f{family} {kind}");
        for i in 0..family {
            let value = if i % 3 == 0 { scrape * 7 + i } else { i };
            let label = ["a b", "é", "x\\\"y", "}", "#"][i % 5];
            let le = if family % 4 == 2 { ",le=\"1\"" } else { "" };
            let _ = write!(page, "f{family}{{l=\"{label}\",i=\"{i}\"{le}}} {value}.25");
            match (family, is_text) {
                (7, true) => page.push_str(" 1700000000000"),
                (7, false) => page.push_str(" 1700000000.5"),
                (8, false) => {
                    let _ = write!(page, " # {{id=\"{}\"}} {i}", scrape / 3 + i);
                }
                _ => {}
            }
            page.push('\n');
        }
        if is_text {
            let _ = writeln!(page, "\n# A remark.\nplain{family} {}e3", scrape + family);
        }
    }
    // A long family without comments.
    for i in 0..70 {
        let _ = writeln!(page, "long{{i=\"{i}\"}} {}", (scrape * i) % 5);
    }
    if !is_text {
        page.push_str("# EOF\n");
    }
    page.into_bytes()
}

fn lines_of(body: &[u8]) -> Vec<Vec<u8>> {
    body.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

const SNIPPETS: [&str; 22] = [
    "# HELP x y\n",
    "# TYPE f2 untyped\n",
    "# TYPE f3 counter\n",
    "# TYPE long histogram\n",
    "# EOF\n",
    "\n",
    "\r\n",
    "a 1\n",
    "a{b=\"c\"}1\n",
    "a+1\n",
    "ab 1\n",
    "a 1 5\n",
    "a 1 # {x=\"\\\n\"} 1\n",
    "\"",
    "\\",
    " ",
    "\t",
    "{",
    "}",
    "NaN",
    "0x",
    "e400",
];

fn mutate(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut lines = lines_of(body);
    let (a, b) = (dice.roll(lines.len()), dice.roll(lines.len()));
    let n_max = [3, 3, 3, 60][dice.roll(4)];
    let n = 1 + dice.roll(n_max);
    let to = (a + n).min(lines.len());
    match dice.roll(12) {
        0 | 1 => drop(lines.drain(a..to)),
        2 if !lines.is_empty() => lines.swap(a, b),
        3 => {
            let copied = lines[a..to].to_vec();
            lines.splice(b..b, copied);
        }
        4 => lines.truncate(a),
        5 if !lines.is_empty() => {
            let cut = dice.roll(lines[a].len());
            lines[a].truncate(cut);
        }
        6 if !lines.is_empty() => {
            let at = dice.roll(lines[a].len());
            lines[a][at] ^= 1 << dice.roll(8);
        }
        7 | 8 => lines.insert(a, SNIPPETS[dice.roll(SNIPPETS.len())].into()),
        9 if !lines.is_empty() => {
            let at = dice.roll(lines[a].len());
            let snippet = SNIPPETS[dice.roll(SNIPPETS.len())].bytes();
            lines[a].splice(at..at, snippet);
        }
        10 => {
            for line in &mut lines[a..to] {
                if let Some(digit) = line.iter_mut().rev().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + dice.roll(10) as u8;
                }
            }
        }
        _ => {
            for line in &mut lines[a..to] {
                if line.last() == Some(&b'\n') {
                    line.insert(line.len() - 1, b'\r');
                }
            }
        }
    }
    lines.concat()
}

fn recorded() -> Option<Vec<Vec<u8>>> {
    use stdx::dir::{Dir, DiskDir};
    let path = std::env::var("HINOMI_RECORDING").ok()?;
    let bytes = DiskDir::anywhere().read(std::path::Path::new(&path)).expect("HINOMI_RECORDING names a file");
    let mut rest = bytes.as_slice();
    let mut bodies = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(u32::from_le_bytes(*len) as usize);
        bodies.push(body.to_vec());
        rest = after;
    }
    Some(bodies)
}

/// Scrapes `pages` and mutations of them, each now and then mutated further.
fn check_mutations(format: Format, pages: &[Vec<u8>], n: u64, seed: u64) {
    let mut dice = Dice(seed);
    let mut target = Target::default();
    let mut body = pages[0].clone();
    for round in 0..n {
        if dice.roll(3) == 0 {
            body = pages[dice.roll(pages.len())].clone();
        }
        body = mutate(&body, &mut dice);
        target.check(&body, format);
        if round % 100 == 99 {
            target = Target::default();
        }
    }
}

#[test]
fn mutated_pages_read_as_a_cold_parse_reads_them() {
    let n: u64 = std::env::var("HINOMI_MUTATIONS")
        .map_or(MUTATIONS, |n| n.parse().expect("HINOMI_MUTATIONS is a number"));
    for format in [Format::Text004, Format::OpenMetrics100] {
        let pages: Vec<_> = (0..20).map(|scrape| made_up(format, scrape)).collect();
        check_mutations(format, &pages, n, 0x5eed + n);
    }
    if let Some(bodies) = recorded() {
        let mut target = Target::default();
        bodies.iter().for_each(|body| target.check(body, Format::Text004));
        check_mutations(Format::Text004, &bodies, n / 20, 0xfeed + n);
    }
}

#[test]
fn pages_that_might_mislead_the_comparison() {
    let cases: &[(Format, &[&str])] = &[
        // A key that begins with another, with and without a blank.
        (
            Format::Text004,
            &["a 1\n", "ab 1\n", "a 1\n", "a {b=\"c\"} 1\n", "a+1\n", "ab 2\n", "a+1\n", "a+2\n"],
        ),
        (Format::Text004, &["a{b=\"c\"}1\n", "a{b=\"c\"} 1\n", "a{b=\"c\"}\t1\n", "a{b=\"c\"}12\n"]),
        // The last line without its end.
        (Format::Text004, &["a 1", "a 1\n", "a 1", "a 12", "a 1\nb 1", "a 1\nb", "a 1\n"]),
        (Format::Text004, &["", "a 1\n", "", "\n\n", "# x", "# xy", "# x"]),
        // A value that begins with the one before.
        (Format::Text004, &["a 1\nb 2\n", "a 1 5\nb 2\n", "a 1.0\nb 2\n", "a 1 \nb 2\n", "a 1\r\nb 2\n"]),
        // A type that reaches past the block it stands in.
        (Format::Text004, &["# TYPE a histogram\n# x\n", "# TYPE a histogram\nb{le=\"1\"} 1\n"]),
        (
            Format::OpenMetrics100,
            &["a 1\n# EOF\n", "a 1\n# EOF", "a 1\n", "a 1\n# EOF\nb 1\n", "# EOF\n", "a 2\n# EOF\n"],
        ),
        (
            Format::OpenMetrics100,
            &["a 1 # {x=\"\\\n\"} 1\n# EOF\n", "a 1 # {x=\"\\\n\"} 2\n# EOF\n", "a 1\n# EOF\n"],
        ),
    ];
    for (format, pages) in cases {
        let mut target = Target::default();
        pages.iter().for_each(|page| target.check(page.as_bytes(), *format));
    }
}

#[test]
fn the_format_may_change_between_pages() {
    let mut target = Target::default();
    for (scrape, format) in [Format::Text004, Format::OpenMetrics100, Format::Text004].into_iter().enumerate()
    {
        target.check(&made_up(format, scrape), format);
    }
}

#[test]
fn only_what_changed_is_named() {
    let (blocks, mut page, mut draft) = (Blocks::new(), Page::new(), Draft::new());
    let mut read = |body: &str| {
        page.read(body.as_bytes(), Format::Text004, &blocks, &mut draft).expect("the page is good");
        let changed: Vec<u32> = draft.changed.iter().map(|changed| changed.line).collect();
        let edits: Vec<_> =
            draft.edits.iter().map(|edit| (edit.old_lines.clone(), edit.new_lines.clone())).collect();
        page.accept(&mut draft);
        (changed, edits)
    };
    assert_eq!(read("# TYPE a gauge\na 1\n# TYPE b gauge\nb 2\nb2 1\n"), (vec![0, 1, 2], vec![(0..0, 0..3)]));
    assert_eq!(read("# TYPE a gauge\na 1\n# TYPE b gauge\nb 3\nb2 1\n"), (vec![1], vec![]));
    // One family in, the others stay.
    let inserted = read("# TYPE a gauge\na 1\n# TYPE n gauge\nn 0\n# TYPE b gauge\nb 3\nb2 1\n");
    assert_eq!(inserted, (vec![1], vec![(1..1, 1..2)]));
    let removed = read("# TYPE a gauge\na 1\n# TYPE b gauge\nb 3\nb2 1\n");
    assert_eq!(removed, (vec![], vec![(1..2, 1..1)]));
}

#[test]
fn pages_of_one_shape_share_what_they_have_in_common() {
    let blocks = Blocks::new();
    let pages: Vec<(Page, usize)> = (0..50)
        .map(|scrape| {
            let (mut page, mut draft) = (Page::new(), Draft::new());
            let body = made_up(Format::Text004, scrape);
            page.read(&body, Format::Text004, &blocks, &mut draft).expect("the page is good");
            page.accept(&mut draft);
            (page, body.len())
        })
        .collect();
    let own: usize = pages.iter().map(|(page, _)| page.memory_bytes()).sum();
    let n_lines: usize = pages.iter().map(|(page, _)| page.n_lines()).sum();
    assert!(own / n_lines <= 12, "{} bytes a sample", own / n_lines);
    let (_, body_bytes) = pages[0];
    assert!(blocks.memory_bytes() < 2 * body_bytes, "{} of {body_bytes}", blocks.memory_bytes());
}
