//! Query text to tokens, one at a time, as the parser asks for them.
//!
//! What a character means depends on where it stands: inside braces keywords are plain identifiers, right after a left
//! bracket only durations are read. Words and messages are those of Prometheus' lexer.

use super::ast::Span;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Eof,
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    /// A keyword, an aggregator or a word operator; lower case.
    Keyword(&'static str),
    Number,
    Duration,
    String,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    At,
    Assign,
    EqualRegex,
    NotRegex,
    /// An operator made of signs.
    Op(&'static str),
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) token: Token,
    pub(crate) span: Span,
}

/// What the lexer could not read.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) message: String,
}

pub(crate) const AGGREGATORS: [&str; 14] = [
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "count_values",
    "quantile",
    "limitk",
    "limit_ratio",
];
const WORD_OPERATORS: [&str; 4] = ["and", "or", "unless", "atan2"];
const MODIFIERS: [&str; 13] = [
    "offset",
    "smoothed",
    "anchored",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "fill",
    "fill_left",
    "fill_right",
    "bool",
];
const PREPROCESSORS: [&str; 6] = ["start", "end", "step", "range", "max_of", "min_of"];
/// The only words read inside brackets.
const DURATION_WORDS: [&str; 4] = ["step", "range", "max_of", "min_of"];

fn keyword(word: &str) -> Option<&'static str> {
    let all = AGGREGATORS.iter().chain(&WORD_OPERATORS).chain(&MODIFIERS).chain(&PREPROCESSORS);
    all.copied().find(|k| k.eq_ignore_ascii_case(word))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Statement,
    Braces,
    /// Right after a left bracket, until the first number.
    Duration,
}

pub(crate) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    start: usize,
    mode: Mode,
    paren_depth: i32,
    in_brackets: bool,
    got_colon: bool,
    got_duration: bool,
}

pub(crate) fn is_alpha(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_alnum(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// A character as Go's `%q` writes it.
fn rune(c: Option<char>) -> String {
    match c {
        None => "'\u{fffd}'".to_owned(),
        Some('\'') => "'\\''".to_owned(),
        Some('"') => "'\"'".to_owned(),
        Some(c) => {
            let quoted = model::labels::quoted(&c.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// A character as Go's `%#U` writes it.
fn code_point(c: char) -> String {
    if c.is_control() { format!("U+{:04X}", c as u32) } else { format!("U+{:04X} '{c}'", c as u32) }
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            pos: 0,
            start: 0,
            mode: Mode::Statement,
            paren_depth: 0,
            in_brackets: false,
            got_colon: false,
            got_duration: false,
        }
    }

    /// How far it has read.
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    fn peek(&self) -> Option<char> {
        self.text[self.pos..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.is(set);
        if found {
            self.pos += 1;
        }
        found
    }

    /// Whether the next character is one of `set`, which is ASCII.
    fn is(&self, set: &str) -> bool {
        self.peek().is_some_and(|c| set.contains(c))
    }

    fn emit(&mut self, token: Token) -> Item {
        let span = Span::new(self.start, self.pos);
        self.start = self.pos;
        Item { token, span }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { span: Span::new(self.start, self.text.len()), message: message.into() })
    }

    /// The next token that is no comment.
    pub(crate) fn next(&mut self) -> Result<Item, LexError> {
        loop {
            while self.peek().is_some_and(is_space) {
                self.pos += 1;
            }
            self.start = self.pos;
            if self.peek() == Some('#') && self.mode != Mode::Duration {
                while self.peek().is_some_and(|c| c != '\n' && c != '\r') {
                    self.bump();
                }
                continue;
            }
            return match self.mode {
                Mode::Statement => self.statement(),
                Mode::Braces => self.inside_braces(),
                Mode::Duration => self.duration(),
            };
        }
    }

    fn sign(&mut self, op: &'static str) -> Result<Item, LexError> {
        self.pos = self.start + op.len();
        Ok(self.emit(Token::Op(op)))
    }

    fn statement(&mut self) -> Result<Item, LexError> {
        let Some(c) = self.bump() else {
            return self.end_of_input();
        };
        let next = self.peek();
        match c {
            ',' => Ok(self.emit(Token::Comma)),
            '*' => self.sign("*"),
            '/' => self.sign("/"),
            '%' => self.sign("%"),
            '+' => self.sign("+"),
            '-' => self.sign("-"),
            '^' => self.sign("^"),
            '=' if next == Some('=') => self.sign("=="),
            '=' if next == Some('~') => self.fail(format!("unexpected character after '=': {}", rune(next))),
            '=' => Ok(self.emit(Token::Assign)),
            '!' if next == Some('=') => self.sign("!="),
            '!' => self.fail(format!("unexpected character after '!': {}", rune(next))),
            '<' if next == Some('=') => self.sign("<="),
            '<' if next == Some('/') => self.sign("</"),
            '<' => self.sign("<"),
            '>' if next == Some('=') => self.sign(">="),
            '>' if next == Some('/') => self.sign(">/"),
            '>' => self.sign(">"),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            '{' => {
                self.mode = Mode::Braces;
                Ok(self.emit(Token::LeftBrace))
            }
            '@' => Ok(self.emit(Token::At)),
            '(' | ')' => self.paren(c),
            '[' | ']' => self.bracket(c),
            _ if c.is_ascii_digit() || (c == '.' && next.is_some_and(|c| c.is_ascii_digit())) => {
                self.pos = self.start;
                self.number_or_duration()
            }
            _ if is_alpha(c) || c == ':' => self.word_or_colon(c),
            _ => self.fail(format!("unexpected character: {}", rune(Some(c)))),
        }
    }

    fn end_of_input(&mut self) -> Result<Item, LexError> {
        if self.paren_depth != 0 {
            return self.fail("unclosed left parenthesis");
        }
        if self.in_brackets {
            return self.fail("unclosed left bracket");
        }
        Ok(self.emit(Token::Eof))
    }

    fn paren(&mut self, c: char) -> Result<Item, LexError> {
        if c == '(' {
            self.paren_depth += 1;
            return Ok(self.emit(Token::LeftParen));
        }
        let item = self.emit(Token::RightParen);
        self.paren_depth -= 1;
        if self.paren_depth < 0 {
            return self.fail("unexpected right parenthesis ')'");
        }
        Ok(item)
    }

    fn bracket(&mut self, c: char) -> Result<Item, LexError> {
        if c == '[' {
            if self.in_brackets {
                return self.fail("unexpected left bracket '['");
            }
            self.in_brackets = true;
            self.got_colon = false;
            self.mode = Mode::Duration;
            return Ok(self.emit(Token::LeftBracket));
        }
        if !self.in_brackets {
            return self.fail("unexpected right bracket ']'");
        }
        self.in_brackets = false;
        Ok(self.emit(Token::RightBracket))
    }

    fn word_or_colon(&mut self, c: char) -> Result<Item, LexError> {
        if !self.in_brackets {
            while self.peek().is_some_and(|c| is_alnum(c) || c == ':') {
                self.pos += 1;
            }
            return Ok(self.word());
        }
        if c == ':' {
            if self.got_colon {
                return self.fail("unexpected colon ':'");
            }
            self.got_colon = true;
            return Ok(self.emit(Token::Colon));
        }
        match self.duration_word() {
            Some(item) => Ok(item),
            None => self.fail(format!("unexpected character: {}, expected ':'", rune(Some(c)))),
        }
    }

    fn word(&mut self) -> Item {
        let word = &self.text[self.start..self.pos];
        if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan") {
            return self.emit(Token::Number);
        }
        match keyword(word) {
            // Metrics may be called so; only a parenthesis makes it the modifier.
            Some("fill" | "fill_left" | "fill_right")
                if !self.text[self.pos..].trim_start_matches(is_space).starts_with('(') =>
            {
                self.emit(Token::Identifier)
            }
            Some(word) => self.emit(Token::Keyword(word)),
            None if word.contains(':') => self.emit(Token::MetricIdentifier),
            None => self.emit(Token::Identifier),
        }
    }

    /// One of [`DURATION_WORDS`], of which the first character was read.
    fn duration_word(&mut self) -> Option<Item> {
        let first = self.text[self.start..].chars().next()?.to_ascii_lowercase();
        if !DURATION_WORDS.iter().any(|w| w.starts_with(first)) {
            return None;
        }
        while self.peek().is_some_and(is_alpha) {
            self.pos += 1;
        }
        let word = &self.text[self.start..self.pos];
        let word = DURATION_WORDS.iter().copied().find(|w| w.eq_ignore_ascii_case(word))?;
        Some(self.emit(Token::Keyword(word)))
    }

    fn inside_braces(&mut self) -> Result<Item, LexError> {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input inside braces");
        };
        match c {
            ',' => Ok(self.emit(Token::Comma)),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            '=' if self.accept("~") => Ok(self.emit(Token::EqualRegex)),
            '=' => Ok(self.emit(Token::Assign)),
            '!' if self.accept("~") => Ok(self.emit(Token::NotRegex)),
            '!' if self.peek() == Some('=') => self.sign("!="),
            '!' => self.fail(format!("unexpected character after '!' inside braces: {}", rune(self.peek()))),
            '{' => self.fail("unexpected left brace '{'"),
            '}' => {
                self.mode = Mode::Statement;
                Ok(self.emit(Token::RightBrace))
            }
            _ if is_alpha(c) => {
                while self.peek().is_some_and(is_alnum) {
                    self.pos += 1;
                }
                Ok(self.emit(Token::Identifier))
            }
            _ => self.fail(format!("unexpected character inside braces: {}", rune(Some(c)))),
        }
    }

    fn duration(&mut self) -> Result<Item, LexError> {
        let Some(c) = self.bump() else {
            return self.fail("unexpected end of input in duration expression");
        };
        match c {
            ']' => {
                self.mode = Mode::Statement;
                self.in_brackets = false;
                self.got_colon = false;
                Ok(self.emit(Token::RightBracket))
            }
            ':' => {
                let item = self.emit(Token::Colon);
                if !self.got_duration {
                    return self.fail("unexpected colon before duration in duration expression");
                }
                if self.got_colon {
                    return self.fail("unexpected repeated colon in duration expression");
                }
                self.got_colon = true;
                Ok(item)
            }
            '(' | ')' => self.paren(c),
            '+' => self.sign("+"),
            '-' => self.sign("-"),
            '*' => self.sign("*"),
            '/' => self.sign("/"),
            '%' => self.sign("%"),
            '^' => self.sign("^"),
            ',' => Ok(self.emit(Token::Comma)),
            _ if c.is_ascii_digit() || (c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit())) => {
                self.pos = self.start;
                self.got_duration = true;
                self.mode = Mode::Statement;
                self.number_or_duration()
            }
            _ => match self.duration_word() {
                Some(item) => Ok(item),
                None => self.fail(format!("unexpected character in duration expression: {}", rune(Some(c)))),
            },
        }
    }

    fn number_or_duration(&mut self) -> Result<Item, LexError> {
        if self.scan_number() {
            return Ok(self.emit(Token::Number));
        }
        if self.scan_duration_rest() {
            return Ok(self.emit(Token::Duration));
        }
        // Upstream's lexer has consumed one character more when a duration is followed by a letter.
        let read = &self.text[self.start..self.pos];
        self.fail(format!("bad number or duration syntax: {}", model::labels::quoted(read)))
    }

    /// After digits: a unit, then more digits and units. Order and repetition are checked when it is parsed.
    fn scan_duration_rest(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        self.accept("s");
        while self.accept("0123456789") {
            while self.accept("0123456789") {}
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        match self.peek() {
            Some(c) if is_alnum(c) => {
                self.bump();
                false
            }
            _ => true,
        }
    }

    /// Reads what looks like a number; whether it is one shows when it is parsed.
    fn scan_number(&mut self) -> bool {
        let mut digits = "0123456789";
        let mut is_hex = false;
        if self.accept("0") && self.accept("xX") {
            self.accept("_");
            digits = "0123456789abcdefABCDEF";
            is_hex = true;
        }
        self.accept(".");
        self.accept(digits);
        let (mut got_dot, mut got_exponent) = (false, false);
        while self.is(digits) || self.is("._eE") {
            if (self.is(".") && got_dot) || (self.is("eE") && got_exponent) {
                self.pos += 1;
                return false;
            }
            if self.accept(".") {
                got_dot = true;
                if self.accept("_.") || is_hex {
                    return false;
                }
            } else if self.accept("eE") {
                got_exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else {
                while self.accept(digits) {}
            }
        }
        self.pos > self.start && !self.peek().is_some_and(is_alnum)
    }

    fn string(&mut self, quote: char) -> Result<Item, LexError> {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                None | Some('\n') => return self.fail("unterminated quoted string"),
                Some(c) if c == quote => return Ok(self.emit(Token::String)),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Result<Item, LexError> {
        loop {
            match self.bump() {
                Some('`') => return Ok(self.emit(Token::String)),
                Some(char::REPLACEMENT_CHARACTER) => return self.fail("invalid UTF-8 rune"),
                None => return self.fail("unterminated raw string"),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), LexError> {
        let first = self.bump();
        let (n_digits, base, max) = match first {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => {
                self.pos -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, 0x10_ffff),
            Some('U') => (8, 16, 0x10_ffff),
            None => return self.fail("escape sequence not terminated"),
            Some(c) => return self.fail(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut value = 0u32;
        for _ in 0..n_digits {
            let Some(c) = self.bump() else {
                return self.fail("escape sequence not terminated");
            };
            let Some(digit) = c.to_digit(base) else {
                return self.fail(format!("illegal character {} in escape sequence", code_point(c)));
            };
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return self.fail("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }
}

impl Item {
    /// How messages name it: `identifier "foo"`, `<op:+>`, `end of input`.
    pub(crate) fn describe(self, query: &str) -> String {
        let text = &query[self.span.start..self.span.end];
        let quoted = |text: &str| {
            if text.chars().count() > 10 {
                let head: String = text.chars().take(10).collect();
                format!("{}...", model::labels::quoted(&head))
            } else {
                model::labels::quoted(text)
            }
        };
        match self.token {
            Token::Eof => "end of input".to_owned(),
            Token::Identifier => format!("identifier {}", model::labels::quoted(text)),
            Token::MetricIdentifier => format!("metric identifier {}", model::labels::quoted(text)),
            Token::String => format!("string {}", quoted(text)),
            Token::Number => format!("number {}", quoted(text)),
            Token::Duration => format!("duration {}", quoted(text)),
            Token::Keyword(word) if AGGREGATORS.contains(&word) => format!("<aggr:{text}>"),
            Token::Keyword(word) if WORD_OPERATORS.contains(&word) => format!("<op:{text}>"),
            Token::Keyword(word) if MODIFIERS.contains(&word) => format!("<{text}>"),
            Token::Op(_) | Token::At | Token::EqualRegex | Token::NotRegex => format!("<op:{text}>"),
            _ => quoted(text),
        }
    }
}
