//! What a backslash begins.

use regex_syntax::hir::{Class, Hir, Look};

use super::{BAD_ESCAPE, Parser, Result, TRAILING_BACKSLASH, consumed, fail};

impl<'p> Parser<'p> {
    /// A backslash outside of a class.
    pub(super) fn backslash(&mut self) -> Result<'p, ()> {
        let look = match self.rest.as_bytes().get(1) {
            Some(b'A') => Some(Look::Start),
            Some(b'z') => Some(Look::End),
            Some(b'b') => Some(Look::WordAscii),
            Some(b'B') => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.rest = &self.rest[2..];
            self.push(Hir::look(look));
            return Ok(());
        }
        if let Some(quoted) = self.rest.strip_prefix("\\Q") {
            let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            self.rest = after;
            for c in literal.chars() {
                let hir = self.literal(c);
                self.push(hir);
            }
            return Ok(());
        }
        if let Some(class) = self.class_escape()? {
            self.push(Hir::class(Class::Unicode(class)));
            return Ok(());
        }
        let hir = match self.char_escape()? {
            Some(c) => self.literal(c),
            None => Hir::fail(),
        };
        self.push(hir);
        Ok(())
    }

    /// A backslash that stands for one character; `None` for a surrogate, which no text holds.
    pub(super) fn char_escape(&mut self) -> Result<'p, Option<char>> {
        let start = self.rest;
        let mut chars = start[1..].chars();
        let Some(c) = chars.next() else { return fail(TRAILING_BACKSLASH, "") };
        let code = match c {
            'a' => 0x07,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            // One digit alone would be a back reference, which RE2 lacks; more are octal.
            '1'..='7' if !chars.as_str().starts_with(|c| ('0'..='7').contains(&c)) => {
                return fail(BAD_ESCAPE, consumed(start, &chars));
            }
            '0'..='7' => {
                let mut code = c as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(digit) = chars.as_str().chars().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    chars.next();
                }
                code
            }
            'x' => match hex_escape(&mut chars) {
                Some(code) => code,
                None => return fail(BAD_ESCAPE, consumed(start, &chars)),
            },
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c as u32,
            _ => return fail(BAD_ESCAPE, consumed(start, &chars)),
        };
        self.rest = chars.as_str();
        Ok(char::from_u32(code))
    }
}

/// What follows `\x`: two digits, or any number in braces.
fn hex_escape(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = chars.next()?;
    if first != '{' {
        let second = chars.next()?;
        return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
    }
    let mut code = 0;
    let mut n_digits = 0;
    loop {
        match chars.next()? {
            '}' => return (n_digits > 0).then_some(code),
            c => code = code * 16 + c.to_digit(16)?,
        }
        if code > char::MAX as u32 {
            return None;
        }
        n_digits += 1;
    }
}
