//! Character classes: in brackets, by Perl's letters, by POSIX' and Unicode's names.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::{BAD_RANGE, MISSING_BRACKET, Parser, Result, fail};

/// Perl's classes, which are ASCII in RE2.
const PERL: [(char, &[(char, char)]); 3] = [
    ('d', &[('0', '9')]),
    ('s', &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')]),
    ('w', &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
];

/// POSIX' classes.
const POSIX: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

impl<'p> Parser<'p> {
    /// What stands in brackets.
    pub(super) fn class(&mut self) -> Result<'p, ClassUnicode> {
        let start = self.rest;
        self.rest = &start[1..];
        let is_negated = self.rest.starts_with('^');
        if is_negated {
            self.rest = &self.rest[1..];
        }
        let mut class = ClassUnicode::empty();
        let mut is_first = true;
        // A bracket that comes first stands for itself.
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if let Some(part) = self.posix_class()? {
                class.union(&part);
            } else if let Some(part) = self.class_escape()? {
                class.union(&part);
            } else if let Some(part) = self.class_range(start)? {
                class.union(&part);
            }
        }
        self.rest = &self.rest[1..];
        if is_negated {
            class.negate();
        }
        Ok(class)
    }

    /// A character or a range; `None` when it holds nothing but surrogates.
    fn class_range(&mut self, class_start: &'p str) -> Result<'p, Option<ClassUnicode>> {
        let start = self.rest;
        let low = self.class_char(class_start)?;
        let mut high = low;
        // `[a-]` ends with a hyphen that stands for itself.
        let is_range = self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest[1..].starts_with(']');
        if is_range {
            self.rest = &self.rest[1..];
            high = self.class_char(class_start)?;
        }
        let (Some(low), Some(high)) = (low, high) else { return Ok(None) };
        if high < low {
            return fail(BAD_RANGE, &start[..start.len() - self.rest.len()]);
        }
        Ok(Some(self.folded(ClassUnicode::new([ClassUnicodeRange::new(low, high)]))))
    }

    fn class_char(&mut self, class_start: &'p str) -> Result<'p, Option<char>> {
        let Some(c) = self.rest.chars().next() else { return fail(MISSING_BRACKET, class_start) };
        if c == '\\' {
            return self.char_escape();
        }
        self.rest = &self.rest[c.len_utf8()..];
        Ok(Some(c))
    }

    /// `[:alpha:]` and `[:^alpha:]`, inside of brackets.
    fn posix_class(&mut self) -> Result<'p, Option<ClassUnicode>> {
        let Some(after) = self.rest.strip_prefix("[:") else { return Ok(None) };
        let Some((name, after)) = after.split_once(":]") else { return Ok(None) };
        let (is_negated, bare) = name.strip_prefix('^').map_or((false, name), |bare| (true, bare));
        let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == bare) else {
            return fail(BAD_RANGE, &self.rest[..self.rest.len() - after.len()]);
        };
        self.rest = after;
        Ok(Some(self.named(class_of(ranges), is_negated)))
    }

    /// `\d` and its kin, `\pN`, `\p{Greek}`; `None` when the text is none of these.
    pub(super) fn class_escape(&mut self) -> Result<'p, Option<ClassUnicode>> {
        let Some(c) = self.rest.strip_prefix('\\').and_then(|after| after.chars().next()) else {
            return Ok(None);
        };
        if c == 'p' || c == 'P' {
            return self.unicode_class(c == 'P').map(Some);
        }
        let Some((_, ranges)) = PERL.iter().find(|(known, _)| *known == c.to_ascii_lowercase()) else {
            return Ok(None);
        };
        self.rest = &self.rest[2..];
        Ok(Some(self.named(class_of(ranges), c.is_ascii_uppercase())))
    }

    fn unicode_class(&mut self, is_negated: bool) -> Result<'p, ClassUnicode> {
        let start = self.rest;
        let after = &start[2..];
        let Some(first) = after.chars().next() else { return fail(BAD_RANGE, start) };
        let (name, after) = if first == '{' {
            let Some(end) = after.find('}') else { return fail(BAD_RANGE, start) };
            (&after[1..end], &after[end + 1..])
        } else {
            after.split_at(first.len_utf8())
        };
        let seq = &start[..start.len() - after.len()];
        // A caret in the braces negates once more.
        let (is_negated, name) =
            name.strip_prefix('^').map_or((is_negated, name), |bare| (!is_negated, bare));
        let Some(class) = unicode_table(name) else { return fail(BAD_RANGE, seq) };
        self.rest = after;
        Ok(self.named(class, is_negated))
    }

    fn named(&self, class: ClassUnicode, is_negated: bool) -> ClassUnicode {
        let mut class = self.folded(class);
        if is_negated {
            class.negate();
        }
        class
    }

    fn folded(&self, mut class: ClassUnicode) -> ClassUnicode {
        if self.flags.fold_case {
            class.case_fold_simple();
        }
        class
    }
}

fn class_of(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high)))
}

/// A general category or a script, by name.
fn unicode_table(name: &str) -> Option<ClassUnicode> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b' ' || b == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    // `regex-syntax` owns the tables and hands them out through its parser alone.
    let table = |pattern: String| {
        let hir = regex_syntax::Parser::new().parse(&pattern).ok()?;
        match hir.into_kind() {
            HirKind::Class(Class::Unicode(class)) => Some(class),
            _ => None,
        }
    };
    table(format!("\\p{{gc={name}}}")).or_else(|| table(format!("\\p{{sc={name}}}")))
}
