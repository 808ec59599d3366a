//! RE2's syntax, as Go's `regexp/syntax` reads it with its Perl flags and `s` set, into the tree of `regex-syntax`.
//!
//! Iterative over groups: depth is limited by [`NEST_MAX`], not by the stack.

mod class;
mod escape;

use std::str::Chars;

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, Look, Repetition};

/// Most groups inside each other. Go allows 1,000; what compiles the tree is recursive, so less here.
pub const NEST_MAX: usize = 250;
/// Most times that a repetition may repeat, also when nested. From RE2.
const REPEAT_MAX: u32 = 1000;

/// Why a pattern was refused, in Go's words, and which part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParseError<'p> {
    pub(super) reason: &'static str,
    pub(super) fragment: &'p str,
}

type Result<'p, T> = std::result::Result<T, ParseError<'p>>;

const MISSING_PAREN: &str = "missing closing )";
const UNEXPECTED_PAREN: &str = "unexpected )";
const MISSING_BRACKET: &str = "missing closing ]";
const BAD_RANGE: &str = "invalid character class range";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_NAME: &str = "invalid named capture";
const BAD_PERL: &str = "invalid or unsupported Perl syntax";
const BAD_REPEAT: &str = "invalid nested repetition operator";
const BAD_REPEAT_SIZE: &str = "invalid repeat count";
const MISSING_REPEAT: &str = "missing argument to repetition operator";
const TRAILING_BACKSLASH: &str = "trailing backslash at end of expression";
const NESTS_TOO_DEEPLY: &str = "expression nests too deeply";

fn fail<'p, T>(reason: &'static str, fragment: &'p str) -> Result<'p, T> {
    Err(ParseError { reason, fragment })
}

/// What `(?i-s)` switches.
#[derive(Debug, Clone, Copy)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
    swap_greedy: bool,
}

/// A piece of the tree, and how often its innermost part is repeated.
struct Node {
    hir: Hir,
    weight: u32,
}

impl From<Hir> for Node {
    fn from(hir: Hir) -> Self {
        Self { hir, weight: 1 }
    }
}

/// A group that is still open.
struct Frame {
    /// The pieces of the branch being read.
    branch: Vec<Node>,
    /// The branches before it.
    branches: Vec<Node>,
    /// Set for capturing groups.
    capture_idx: Option<u32>,
    /// What holds again when it closes.
    flags_outside: Flags,
}

impl Frame {
    fn new(capture_idx: Option<u32>, flags_outside: Flags) -> Self {
        Self { branch: Vec::new(), branches: Vec::new(), capture_idx, flags_outside }
    }

    fn end_branch(&mut self) {
        let weight = self.branch.iter().map(|node| node.weight).max().unwrap_or(1);
        let hir = Hir::concat(self.branch.drain(..).map(|node| node.hir).collect());
        self.branches.push(Node { hir, weight });
    }

    fn close(mut self) -> Node {
        self.end_branch();
        let weight = self.branches.iter().map(|node| node.weight).max().unwrap_or(1);
        let mut hir = Hir::alternation(self.branches.into_iter().map(|node| node.hir).collect());
        if let Some(index) = self.capture_idx {
            // Names are kept by the caller: RE2 lets several groups share one.
            hir = Hir::capture(Capture { index, name: None, sub: Box::new(hir) });
        }
        Node { hir, weight }
    }
}

/// A pattern as a tree.
pub(super) struct Parsed<'p> {
    pub(super) hir: Hir,
    /// By group index; group 0 is the whole match.
    pub(super) names: Vec<Option<&'p str>>,
}

/// Reads a whole pattern.
pub(super) fn parse(pattern: &str) -> Result<'_, Parsed<'_>> {
    Parser::new(pattern).parse()
}

struct Parser<'p> {
    pattern: &'p str,
    rest: &'p str,
    flags: Flags,
    frames: Vec<Frame>,
    names: Vec<Option<&'p str>>,
}

impl<'p> Parser<'p> {
    fn new(pattern: &'p str) -> Self {
        let flags = Flags { fold_case: false, multi_line: false, dot_newline: true, swap_greedy: false };
        let frames = vec![Frame::new(None, flags)];
        Self { pattern, rest: pattern, flags, frames, names: vec![None] }
    }

    fn parse(mut self) -> Result<'p, Parsed<'p>> {
        // Where the repetition just read began; two in a row are refused.
        let mut last_repeat: Option<&'p str> = None;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let mut this_repeat = None;
            match c {
                '(' => self.open()?,
                '|' => {
                    self.rest = &self.rest[1..];
                    self.frame().end_branch();
                }
                ')' => self.close()?,
                '*' | '+' | '?' => {
                    self.rest = &self.rest[1..];
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(before, last_repeat, min, max)?;
                    this_repeat = Some(last_repeat.unwrap_or(before));
                }
                '{' => match parse_counts(self.rest) {
                    Some((min, max, after)) => {
                        self.rest = after;
                        self.counted_repeat(before, last_repeat, min, max)?;
                        this_repeat = Some(before);
                    }
                    None => self.literal_char(c),
                },
                '[' => {
                    let class = self.class()?;
                    self.push(Hir::class(Class::Unicode(class)));
                }
                '\\' => self.backslash()?,
                '^' | '$' | '.' => {
                    self.rest = &self.rest[1..];
                    let hir = self.simple_operator(c);
                    self.push(hir);
                }
                c => self.literal_char(c),
            }
            last_repeat = this_repeat;
        }
        if self.frames.len() > 1 {
            return fail(MISSING_PAREN, self.pattern);
        }
        let root = self.frames.pop().expect("the root frame is never closed");
        Ok(Parsed { hir: root.close().hir, names: self.names })
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the root frame is never closed")
    }

    fn push(&mut self, node: impl Into<Node>) {
        self.frame().branch.push(node.into());
    }

    fn simple_operator(&self, c: char) -> Hir {
        match (c, self.flags.multi_line, self.flags.dot_newline) {
            ('^', true, _) => Hir::look(Look::StartLF),
            ('^', false, _) => Hir::look(Look::Start),
            ('$', true, _) => Hir::look(Look::EndLF),
            ('$', false, _) => Hir::look(Look::End),
            (_, _, true) => Hir::dot(Dot::AnyChar),
            (_, _, false) => Hir::dot(Dot::AnyCharExceptLF),
        }
    }

    fn literal_char(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
        let hir = self.literal(c);
        self.push(hir);
    }

    fn literal(&self, c: char) -> Hir {
        if self.flags.fold_case {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            class.case_fold_simple();
            return Hir::class(Class::Unicode(class));
        }
        Hir::literal(c.to_string().into_bytes())
    }

    /// `(`, `(?:`, `(?P<name>`, `(?flags)`, `(?flags:`.
    fn open(&mut self) -> Result<'p, ()> {
        if self.frames.len() > NEST_MAX {
            return fail(NESTS_TOO_DEEPLY, self.pattern);
        }
        if let Some(after) = self.rest.strip_prefix("(?P<").or_else(|| self.rest.strip_prefix("(?<")) {
            let Some((name, after_name)) = after.split_once('>') else { return fail(BAD_NAME, self.rest) };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return fail(BAD_NAME, &self.rest[..self.rest.len() - after_name.len()]);
            }
            self.rest = after_name;
            self.open_capture(Some(name));
            return Ok(());
        }
        if self.rest.starts_with("(?") {
            return self.perl_flags();
        }
        self.rest = &self.rest[1..];
        self.open_capture(None);
        Ok(())
    }

    fn open_capture(&mut self, name: Option<&'p str>) {
        let capture_idx = u32::try_from(self.names.len()).ok();
        self.names.push(name);
        self.frames.push(Frame::new(capture_idx, self.flags));
    }

    /// `(?i)` up to the end of the group around, `(?i:…)` for its own.
    fn perl_flags(&mut self) -> Result<'p, ()> {
        let start = self.rest;
        let mut chars = start[2..].chars();
        let mut flags = self.flags;
        let (mut value, mut has_flag) = (true, false);
        while let Some(c) = chars.next() {
            match c {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                'U' => flags.swap_greedy = value,
                '-' if value => {
                    (value, has_flag) = (false, false);
                    continue;
                }
                ':' | ')' if value || has_flag => {
                    if c == ':' {
                        self.frames.push(Frame::new(None, self.flags));
                    }
                    self.flags = flags;
                    self.rest = chars.as_str();
                    return Ok(());
                }
                _ => break,
            }
            has_flag = true;
        }
        fail(BAD_PERL, consumed(start, &chars))
    }

    fn close(&mut self) -> Result<'p, ()> {
        if self.frames.len() == 1 {
            return fail(UNEXPECTED_PAREN, self.pattern);
        }
        self.rest = &self.rest[1..];
        let frame = self.frames.pop().expect("checked above");
        self.flags = frame.flags_outside;
        self.push(frame.close());
        Ok(())
    }

    /// Repeats the last piece; the operator, up to an optional `?`, has been read. `before` begins with it.
    fn repeat(
        &mut self,
        before: &'p str,
        last_repeat: Option<&'p str>,
        min: u32,
        max: Option<u32>,
    ) -> Result<'p, ()> {
        let mut greedy = !self.flags.swap_greedy;
        if let Some(after) = self.rest.strip_prefix('?') {
            self.rest = after;
            greedy = !greedy;
        }
        if let Some(last) = last_repeat {
            return fail(BAD_REPEAT, &last[..last.len() - self.rest.len()]);
        }
        let Some(node) = self.frame().branch.pop() else {
            return fail(MISSING_REPEAT, &before[..before.len() - self.rest.len()]);
        };
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(node.hir) });
        self.push(Node { hir, weight: node.weight });
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,5}`.
    fn counted_repeat(
        &mut self,
        before: &'p str,
        last_repeat: Option<&'p str>,
        min: u32,
        max: Option<u32>,
    ) -> Result<'p, ()> {
        let text = &before[..before.len() - self.rest.len()];
        if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || min > max) {
            return fail(BAD_REPEAT_SIZE, text);
        }
        self.repeat(before, last_repeat, min, max)?;
        let node = self.frame().branch.last_mut().expect("just pushed");
        node.weight = match max {
            Some(0) => 1,
            _ => node.weight.saturating_mul(max.unwrap_or(min).max(1)),
        };
        if (min >= 2 || max.is_some_and(|max| max >= 2)) && node.weight > REPEAT_MAX {
            return fail(BAD_REPEAT_SIZE, &before[..before.len() - self.rest.len()]);
        }
        Ok(())
    }
}

/// What of `start` the iterator has gone through.
fn consumed<'p>(start: &'p str, chars: &Chars<'p>) -> &'p str {
    &start[..start.len() - chars.as_str().len()]
}

/// The counts of `{2,5}`, and what follows; `None` when the brace stands for itself. Numbers too great are kept too
/// great.
fn parse_counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, after) = parse_count(text.strip_prefix('{')?)?;
    if let Some(after) = after.strip_prefix('}') {
        return Some((min, Some(min), after));
    }
    let after = after.strip_prefix(',')?;
    if let Some(after) = after.strip_prefix('}') {
        return Some((min, None, after));
    }
    let (max, after) = parse_count(after)?;
    Some((min, Some(max), after.strip_prefix('}')?))
}

/// Digits without a leading zero.
fn parse_count(text: &str) -> Option<(u32, &str)> {
    let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, after) = text.split_at(n_digits);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), after))
}
