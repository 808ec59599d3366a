//! YAML in the form of Go's `yaml.v2`, in which Alertmanager shows its file: which texts have quotes and which, where long ones
//! are folded, how lists stand.
//!
//! In from [`super`] as [`Node`]s; out as text. Rules: libyaml's emitter, which `yaml.v2` follows. Tools compare and store what the
//! API shows, so that the form counts beside the meaning.

use std::cmp::Ordering;
use std::fmt::Write as _;

/// Beyond this column a text goes on in the next line.
const WIDTH: usize = 80;

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    /// A list of texts on one line.
    Flow(Vec<String>),
    /// In this order.
    Map(Vec<(String, Node)>),
}

/// A document whose top is a mapping.
pub(super) fn document(entries: &[(String, Node)]) -> String {
    let mut writer = Writer { out: String::new(), column: 0 };
    writer.map(entries, 0, false);
    writer.out
}

/// The order of a mapping's keys: letters behind all else, numbers by their size.
pub(super) fn key_order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    if x.is_alphabetic() || y.is_alphabetic() {
        return (x.is_alphabetic(), x).cmp(&(y.is_alphabetic(), y));
    }
    // Within a number that began before, more digits are more.
    let has_begun = (x == '0' || y == '0')
        && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|digit| *digit != '0');
    let number = |chars: &[char]| {
        let digits = chars.iter().map_while(|c| c.to_digit(10));
        let lead = u64::from(has_begun);
        digits.fold((lead, 0usize), |(value, n), digit| {
            (value.saturating_mul(10).saturating_add(u64::from(digit)), n + 1)
        })
    };
    number(&a[at..]).cmp(&number(&b[at..])).then(x.cmp(&y))
}

struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn line(&mut self, indent: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        let _ = write!(self.out, "{:indent$}", "");
        self.column = indent;
    }

    /// `begun`: the first key goes on in the line of a list's dash.
    fn map(&mut self, entries: &[(String, Node)], indent: usize, mut begun: bool) {
        for (key, node) in entries {
            if !std::mem::take(&mut begun) {
                self.line(indent);
            }
            self.text(key, Place { indent, is_key: true, in_flow: false });
            self.put(":");
            self.node(node, indent);
        }
        if indent == 0 {
            self.out.push('\n');
        }
    }

    /// What follows a key or a dash at `indent`.
    fn node(&mut self, node: &Node, indent: usize) {
        match node {
            Node::Map(entries) if !entries.is_empty() => self.map(entries, indent + 2, false),
            Node::List(items) if !items.is_empty() => self.list(items, indent),
            inline => {
                self.put(" ");
                self.inline(inline, indent);
            }
        }
    }

    fn inline(&mut self, node: &Node, indent: usize) {
        match node {
            Node::Null => self.put("null"),
            Node::Bool(value) => self.put(if *value { "true" } else { "false" }),
            // Go writes a whole number without a point, whatever it was read as.
            Node::Number(number) => self.put(number.to_string().trim_end_matches(".0")),
            Node::Text(text) => self.text(text, Place { indent: indent + 2, is_key: false, in_flow: false }),
            Node::Flow(texts) => {
                self.put("[");
                for (i, text) in texts.iter().enumerate() {
                    self.put(if i > 0 { ", " } else { "" });
                    self.text(text, Place { indent: indent + 2, is_key: false, in_flow: true });
                }
                self.put("]");
            }
            Node::List(_) => self.put("[]"),
            Node::Map(_) => self.put("{}"),
        }
    }

    fn list(&mut self, items: &[Node], indent: usize) {
        for item in items {
            self.line(indent);
            self.put("-");
            match item {
                Node::Map(entries) if !entries.is_empty() => {
                    self.put(" ");
                    self.map(entries, indent + 2, true);
                }
                Node::List(inner) if !inner.is_empty() => {
                    self.put(" ");
                    // The first dash of the inner list stands in the same line.
                    let mut inside = Writer { out: String::new(), column: indent + 2 };
                    inside.list(inner, indent + 2);
                    let text = inside.out.trim_start().to_owned();
                    self.put(&text);
                }
                inline => {
                    self.put(" ");
                    self.inline(inline, indent);
                }
            }
        }
    }

    fn text(&mut self, text: &str, place: Place) {
        let look = Look::of(text);
        let is_block = text.contains('\n') && look.block && !place.is_key && !place.in_flow;
        let plain = if place.in_flow { look.flow_plain } else { look.block_plain };
        let is_empty_there = text.is_empty() && (place.in_flow || place.is_key);
        match () {
            () if text.contains('\n') && is_block => self.literal(text, place.indent),
            () if text.contains('\n') || means_other(text) => self.double_quoted(text, place),
            () if plain && !is_empty_there => self.folded(text, place, false),
            () if look.single_quoted => self.folded(text, place, true),
            () => self.double_quoted(text, place),
        }
    }

    /// Without quotes, or with single ones.
    fn folded(&mut self, text: &str, place: Place, is_quoted: bool) {
        self.put(if is_quoted { "'" } else { "" });
        let mut was_space = false;
        let last = text.len().saturating_sub(1);
        for (at, c) in text.char_indices() {
            let is_inside = !is_quoted || at > 0 && at < last;
            let is_alone = c == ' ' && !was_space && !text[at + c.len_utf8()..].starts_with(' ');
            match c {
                ' ' if !place.is_key && is_alone && self.column > WIDTH && is_inside => {
                    self.line(place.indent);
                }
                '\'' if is_quoted => self.put("''"),
                c => self.put(c.encode_utf8(&mut [0; 4])),
            }
            was_space = c == ' ';
        }
        self.put(if is_quoted { "'" } else { "" });
    }

    fn double_quoted(&mut self, text: &str, place: Place) {
        self.put("\"");
        let mut was_space = false;
        let last = text.len().saturating_sub(1);
        for (at, c) in text.char_indices() {
            let is_inside = at > 0 && at < last;
            match c {
                ' ' if !place.is_key && !was_space && self.column > WIDTH && is_inside => {
                    self.line(place.indent);
                    self.put(if text[at + 1..].starts_with(' ') { "\\" } else { "" });
                }
                '"' => self.put("\\\""),
                '\\' => self.put("\\\\"),
                c if is_printable(c) && c != '\u{feff}' && !is_break(c) => {
                    self.put(c.encode_utf8(&mut [0; 4]));
                }
                c => self.put(&escaped(c)),
            }
            was_space = c == ' ';
        }
        self.put("\"");
    }

    /// Several lines as they are, behind `|`.
    fn literal(&mut self, text: &str, indent: usize) {
        let hint = if text.starts_with([' ', '\n']) { "2" } else { "" };
        let chomp = match text.strip_suffix('\n') {
            None => "-",
            Some("") => "+",
            Some(rest) if rest.ends_with('\n') => "+",
            Some(_) => "",
        };
        self.put(&format!("|{hint}{chomp}"));
        let lines = text.strip_suffix('\n').unwrap_or(text);
        for line in lines.split('\n') {
            match line.is_empty() {
                true => self.out.push('\n'),
                false => {
                    self.line(indent);
                    self.put(line);
                }
            }
        }
    }
}

/// Where a text stands; `indent` is that of its further lines.
#[derive(Clone, Copy)]
struct Place {
    indent: usize,
    is_key: bool,
    in_flow: bool,
}

/// In which styles a text can be written.
struct Look {
    flow_plain: bool,
    block_plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Look {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { flow_plain: false, block_plain: true, single_quoted: true, block: false };
        }
        let is_document_mark = text.starts_with("---") || text.starts_with("...");
        let (mut in_block, mut in_flow) = (is_document_mark, is_document_mark);
        let mut before = ' ';
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let ends_word = chars.peek().is_none_or(|(_, next)| matches!(next, ' ' | '\t' | '\n'));
            let (flow, block) = match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`'
                    if at == 0 =>
                {
                    (true, true)
                }
                '?' if at == 0 => (true, ends_word),
                '-' if at == 0 => (ends_word, ends_word),
                ',' | '?' | '[' | ']' | '{' | '}' => (true, false),
                ':' => (true, ends_word),
                '#' => (matches!(before, ' ' | '\t' | '\n'), matches!(before, ' ' | '\t' | '\n')),
                _ => (false, false),
            };
            in_flow |= flow;
            in_block |= block;
            before = c;
        }
        let is_edged = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let has_breaks = text.chars().any(is_break);
        let is_special = text.contains(" \n") || text.chars().any(|c| !is_printable(c));
        let can_be_plain = !is_edged && !has_breaks && !is_special;
        Self {
            flow_plain: can_be_plain && !in_flow,
            block_plain: can_be_plain && !in_block,
            single_quoted: !is_special && !text.contains("\n "),
            block: !is_special && !text.ends_with(' '),
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
        || c == '\u{85}'
}

fn escaped(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            return match u32::from(c) {
                code @ ..=0xff => format!("\\x{code:02X}"),
                code @ ..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// Whether a text without quotes would be read as something else: a switch, nothing, a number, a time.
fn means_other(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO",
        "false", "False", "FALSE", "off", "Off", "OFF", "", "~", "null", "Null", "NULL", ".nan", ".NaN",
        ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", "<<",
    ];
    WORDS.contains(&text) || is_number(text) || is_base_60(text) || is_time(text)
}

fn is_number(text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return false;
    }
    let plain = text.replace('_', "");
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let lower = digits.to_ascii_lowercase();
    let of_base = |prefix: &str, base| {
        lower.strip_prefix(prefix).is_some_and(|digits| u64::from_str_radix(digits, base).is_ok())
    };
    let is_integer =
        of_base("0x", 16) || of_base("0o", 8) || of_base("0b", 2) || digits.parse::<u64>().is_ok();
    // `inf` and `nan` are words to Rust; here a number begins with a digit or a dot.
    let is_float = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && lower.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-'))
        && digits.parse::<f64>().is_ok();
    is_integer || is_float
}

/// `1:30`: minutes and seconds to readers of YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.strip_prefix(['+', '-']).unwrap_or(whole).split(':');
    let first = parts.next().unwrap_or_default();
    let is_first = first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let is_sixtieth = |part: &str| {
        part.len() <= 2
            && part.parse::<u8>().is_ok_and(|value| value < 60)
            && part.bytes().all(|b| b.is_ascii_digit())
    };
    let rest: Vec<&str> = parts.collect();
    let is_fraction = fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    is_first && !rest.is_empty() && rest.into_iter().all(is_sixtieth) && is_fraction
}

/// A day, or a day and a time.
fn is_time(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let year = parts.next().unwrap_or_default();
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    is_year && (crate::time::parse_moment(text).is_some() || crate::time::parse_rfc3339(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = document(&[("k".to_owned(), Node::Text(text.to_owned()))]);
        assert_eq!(shown, format!("k: {expected}\n"), "{text:?}");
    }

    #[test]
    fn texts_have_the_quotes_that_they_need() {
        check("plain", "plain");
        check("a b", "a b");
        check("", "\"\"");
        check("off", "\"off\"");
        check("5", "\"5\"");
        check("1:5", "\"1:5\"");
        check("0x1f", "\"0x1f\"");
        check("1e3", "\"1e3\"");
        check("2026-01-02", "\"2026-01-02\"");
        check("...", "'...'");
        check("#c", "'#c'");
        check("a: b", "'a: b'");
        check("it's {{ x }}", "it's {{ x }}");
        check("{{ template \"x\" . }}", "'{{ template \"x\" . }}'");
        check("'q'", "'''q'''");
        check("a\tb", "\"a\\tb\"");
        check("\u{1f600}", "\"\\U0001F600\"");
        check("日本", "日本");
        check("a\nb", "|-\n  a\n  b");
        check("a\n\nb\n", "|\n  a\n\n  b");
        check("a \nb", "\"a \\nb\"");
    }

    #[test]
    fn long_texts_are_folded_at_spaces() {
        let words = "word ".repeat(30);
        let shown = document(&[("k".to_owned(), Node::Text(words.trim_end().to_owned()))]);
        let lengths: Vec<usize> = shown.lines().map(str::len).collect();
        assert_eq!(lengths, [82, 71], "{shown}");
    }

    #[test]
    fn keys_are_in_the_order_of_go() {
        let mut keys = ["b", "a10", "a2", "A", "{{ x }}", "1", "10", "9", "a", "_x", "ab"];
        keys.sort_by(|a, b| key_order(a, b));
        assert_eq!(keys, ["_x", "{{ x }}", "1", "9", "10", "A", "a", "a2", "a10", "ab", "b"]);
    }

    #[test]
    fn lists_stand_under_their_key() {
        let entry = |key: &str, node| (key.to_owned(), node);
        let text = |text: &str| Node::Text(text.to_owned());
        let shown = document(&[
            entry(
                "a",
                Node::List(vec![
                    text("x"),
                    Node::Map(vec![entry("b", text("y")), entry("c", Node::List(vec![text("z")]))]),
                ]),
            ),
            entry("d", Node::Flow(vec!["monday:friday".to_owned(), "5".to_owned(), "-3:-1".to_owned()])),
            entry("e", Node::List(Vec::new())),
            entry("f", Node::Map(vec![entry("g", Node::Bool(true))])),
        ]);
        assert_eq!(
            shown,
            "a:\n- x\n- b: \"y\"\n  c:\n  - z\nd: ['monday:friday', \"5\", '-3:-1']\ne: []\nf:\n  g: true\n"
        );
    }
}
