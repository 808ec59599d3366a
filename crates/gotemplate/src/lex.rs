//! Text to tokens.
//!
//! In from [`crate::parse`], the whole text at once; out as a list that ends in `Eof` or `Error`.
//! Trim markers and comments are gone after this step.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Bool,
    Char,
    CharConstant,
    Assign,
    Declare,
    Field,
    Identifier,
    LeftParen,
    RightParen,
    Number,
    Pipe,
    RawString,
    Str,
    Variable,
    Keyword,
    Dot,
    Nil,
}

/// One token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Byte offset in the text.
    pub(crate) pos: usize,
    /// Line of its first character, from 1.
    pub(crate) line: usize,
    /// As written; for errors, the message.
    pub(crate) text: String,
}

/// As Go prints tokens in errors.
impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            Kind::Keyword | Kind::Dot | Kind::Nil => write!(f, "<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                write!(f, "{}...", crate::print::quote(&head))
            }
            _ => f.write_str(&crate::print::quote(&self.text)),
        }
    }
}

const KEYWORDS: [&str; 11] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with", "nil"];

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// All tokens of `text`.
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut lexer =
        Lexer { text, pos: 0, start: 0, line: 1, start_line: 1, paren_depth: 0, tokens: Vec::new() };
    if let Err(message) = lexer.run() {
        let (pos, line) = (lexer.start, lexer.start_line);
        lexer.tokens.push(Token { kind: Kind::Error, pos, line, text: message });
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    start: usize,
    line: usize,
    start_line: usize,
    paren_depth: usize,
    tokens: Vec<Token>,
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// `U+0022 '"'`, as Go's `%#U`.
fn code_point(c: Option<char>) -> String {
    match c {
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
        Some(c) if c.is_control() => format!("U+{:04X}", c as u32),
        Some(c) => format!("U+{:04X} '{c}'", c as u32),
    }
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn take_while(&mut self, mut holds: impl FnMut(char) -> bool) {
        while self.peek().is_some_and(&mut holds) {
            self.next();
        }
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.next();
        }
        found
    }

    fn skip(&mut self, n_bytes: usize) {
        let end = self.pos + n_bytes;
        self.line += self.text[self.pos..end].matches('\n').count();
        self.pos = end;
    }

    fn ignore(&mut self) {
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.text[self.start..self.pos].to_owned();
        self.tokens.push(Token { kind, pos: self.start, line: self.start_line, text });
        self.ignore();
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(n_before) = self.rest().find("{{") else {
                self.skip(self.rest().len());
                if self.pos > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::Eof);
                return Ok(());
            };
            let text = &self.rest()[..n_before];
            let trims = has_left_trim(&self.rest()[n_before + 2..]);
            let kept = if trims { text.trim_end_matches(SPACES) } else { text };
            if !kept.is_empty() {
                self.skip(kept.len());
                self.emit(Kind::Text);
            }
            self.skip(text.len() - kept.len());
            self.ignore();
            let n_marker = if trims { 2 } else { 0 };
            if self.rest()[2 + n_marker..].starts_with("/*") {
                self.skip(2 + n_marker);
                self.ignore();
                self.comment()?;
                continue;
            }
            self.skip(2);
            self.emit(Kind::LeftDelim);
            self.skip(n_marker);
            self.ignore();
            self.paren_depth = 0;
            while self.inside_action()? {}
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let n_bytes = self.rest()[2..].find("*/").ok_or("unclosed comment")?;
        self.skip(2 + n_bytes + 2);
        if !self.at_right_delim() {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.take_right_delim();
        self.ignore();
        Ok(())
    }

    fn at_right_delim(&self) -> bool {
        self.rest().starts_with("}}") || self.at_trimming_right_delim()
    }

    fn at_trimming_right_delim(&self) -> bool {
        let mut chars = self.rest().chars();
        chars.next().is_some_and(|c| SPACES.contains(&c)) && chars.as_str().starts_with("-}}")
    }

    /// Passes over the delimiter and what its marker trims; `start` and `pos` then span the two braces.
    fn take_right_delim(&mut self) -> (usize, usize) {
        let trims = self.at_trimming_right_delim();
        if trims {
            self.skip(2);
        }
        let (start, line) = (self.pos, self.line);
        self.skip(2);
        if trims {
            let rest = self.rest();
            self.skip(rest.len() - rest.trim_start_matches(SPACES).len());
        }
        (start, line)
    }

    /// One token; `false` once the action is over.
    fn inside_action(&mut self) -> Result<bool, String> {
        if self.at_right_delim() {
            if self.paren_depth > 0 {
                return Err("unclosed left paren".to_owned());
            }
            let (pos, line) = self.take_right_delim();
            self.tokens.push(Token { kind: Kind::RightDelim, pos, line, text: "}}".to_owned() });
            self.ignore();
            return Ok(false);
        }
        let c = self.next().ok_or("unclosed action")?;
        match c {
            c if SPACES.contains(&c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".to_owned());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::Str, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => {
                self.take_while(|c| c != '`');
                self.next().ok_or("unterminated raw quoted string")?;
                self.emit(Kind::RawString);
            }
            '$' => self.field_or_variable(Kind::Variable)?,
            '.' if self.pos < self.text.len() && !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.field_or_variable(Kind::Field)?;
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.pos = self.start;
                self.number()?;
            }
            c if is_alphanumeric(c) => self.identifier()?,
            '(' => {
                self.paren_depth += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                self.paren_depth = self.paren_depth.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(Kind::RightParen);
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => return Err(format!("unrecognized character in action: {}", code_point(Some(c)))),
        }
        Ok(true)
    }

    /// A run of spaces, but for the last one when it belongs to a trimming delimiter.
    fn space(&mut self) {
        while !self.at_trimming_right_delim() && self.peek().is_some_and(|c| SPACES.contains(&c)) {
            self.next();
        }
        self.emit(Kind::Space);
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return Err(unterminated.to_owned());
                    }
                }
                None | Some('\n') => return Err(unterminated.to_owned()),
                Some(c) if c == end => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if SPACES.contains(&c) => true,
            Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with("}}"),
        }
    }

    fn field_or_variable(&mut self, kind: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(if kind == Kind::Variable { Kind::Variable } else { Kind::Dot });
            return Ok(());
        }
        self.take_while(is_alphanumeric);
        if !self.at_terminator() {
            return Err(format!("bad character {}", code_point(self.peek())));
        }
        self.emit(kind);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.take_while(is_alphanumeric);
        if !self.at_terminator() {
            return Err(format!("bad character {}", code_point(self.peek())));
        }
        let kind = match &self.text[self.start..self.pos] {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.take_while(|c| digits.contains(c));
        if self.accept(".") {
            self.take_while(|c| digits.contains(c));
        }
        let exponent = if digits.len() == 11 { "eE" } else { "pP" };
        if digits.len() >= 11 && self.accept(exponent) {
            self.accept("+-");
            self.take_while(|c| "0123456789_".contains(c));
        }
        // Imaginary numbers exist in Go; no alert template has a use for them.
        if self.peek().is_some_and(|c| is_alphanumeric(c) || c == '+' || c == '-') {
            self.next();
            let text = crate::print::quote(&self.text[self.start..self.pos]);
            return Err(format!("bad number syntax: {text}"));
        }
        self.emit(Kind::Number);
        Ok(())
    }
}

fn has_left_trim(after_delim: &str) -> bool {
    let mut chars = after_delim.chars();
    chars.next() == Some('-') && chars.next().is_some_and(|c| SPACES.contains(&c))
}
