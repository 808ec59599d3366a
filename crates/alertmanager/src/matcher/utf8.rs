//! The UTF-8 matcher syntax: any character in names, Go string escapes in quotes.

use model::{MatchOp, Matcher};

use super::{MatcherError, build};

const NOTHING_MORE: &str = "expected end of input";
const NO_OPERATOR: &str = "expected an operator such as '=', '!=', '=~' or '!~'";

/// Characters that end an unquoted name or value.
pub(super) fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Op(MatchOp),
    Text(String),
    End,
}

/// Where a token stands, in characters.
#[derive(Debug, Clone)]
struct Spanned {
    token: Token,
    text: String,
    start: usize,
    end: usize,
}

impl Spanned {
    fn refuse<T>(&self, what: &str) -> Result<T, MatcherError> {
        let what = match self.token {
            Token::End => format!("end of input: {what}"),
            _ if what == NOTHING_MORE => format!("{}: {what}", self.text),
            _ => format!("unexpected {}: {what}", self.text),
        };
        Err(MatcherError::Syntax { start: self.start, end: self.end, what })
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn next(&mut self) -> Result<Spanned, MatcherError> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        let start = self.at;
        let Some(&c) = self.chars.get(self.at) else {
            return Ok(Spanned { token: Token::End, text: String::new(), start, end: start });
        };
        self.at += 1;
        let token = match c {
            '{' => Token::Open,
            '}' => Token::Close,
            ',' => Token::Comma,
            '=' if self.eat('~') => Token::Op(MatchOp::Regex),
            '=' => Token::Op(MatchOp::Equal),
            '!' if self.eat('=') => Token::Op(MatchOp::NotEqual),
            '!' if self.eat('~') => Token::Op(MatchOp::NotRegex),
            '!' => return self.refuse(start, "expected one of '=~'"),
            '"' => Token::Text(self.quoted(start)?),
            c if is_reserved(c) => return self.refuse(start, "invalid input"),
            _ => {
                while self.chars.get(self.at).is_some_and(|c| !is_reserved(*c)) {
                    self.at += 1;
                }
                Token::Text(self.chars[start..self.at].iter().collect())
            }
        };
        Ok(Spanned { token, text: self.chars[start..self.at].iter().collect(), start, end: self.at })
    }

    fn eat(&mut self, wanted: char) -> bool {
        let is_there = self.chars.get(self.at) == Some(&wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn refuse<T>(&self, start: usize, what: &str) -> Result<T, MatcherError> {
        let text: String = self.chars[start..self.at].iter().collect();
        Err(MatcherError::Syntax { start, end: self.at, what: format!("{text}: {what}") })
    }

    /// The rest of a quoted string; `start` is the place of its opening quote.
    fn quoted(&mut self, start: usize) -> Result<String, MatcherError> {
        let mut bytes = Vec::new();
        loop {
            let Some(&c) = self.chars.get(self.at) else { return self.refuse(start, "missing end \"") };
            self.at += 1;
            match c {
                '"' => break,
                '\\' => self.escape(start, &mut bytes)?,
                '\n' => return self.refuse(start, "missing end \""),
                c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        String::from_utf8(bytes).or_else(|_| self.refuse(start, "quoted string is not valid UTF-8"))
    }

    /// One escape of Go's strings, after the backslash.
    fn escape(&mut self, start: usize, bytes: &mut Vec<u8>) -> Result<(), MatcherError> {
        let c = self.chars.get(self.at).copied().unwrap_or('\0');
        self.at = (self.at + 1).min(self.chars.len());
        let plain = match c {
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 0x0b,
            '\\' => b'\\',
            '"' => b'"',
            'x' | 'u' | 'U' | '0'..='7' => {
                let Some(text) = self.coded(c) else { return self.refuse(start, "invalid escape") };
                bytes.extend_from_slice(&text);
                return Ok(());
            }
            _ => return self.refuse(start, "invalid escape"),
        };
        bytes.push(plain);
        Ok(())
    }

    /// `\xNN` and `\NNN` are bytes, `\uNNNN` and `\UNNNNNNNN` are characters.
    fn coded(&mut self, kind: char) -> Option<Vec<u8>> {
        let (n_digits, radix) = match kind {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            _ => {
                self.at -= 1;
                (3, 8)
            }
        };
        let digits: String = self.chars.get(self.at..self.at + n_digits)?.iter().collect();
        let code = u32::from_str_radix(&digits, radix).ok()?;
        self.at += n_digits;
        if matches!(kind, 'u' | 'U') {
            return Some(char::from_u32(code)?.to_string().into_bytes());
        }
        Some(vec![u8::try_from(code).ok()?])
    }
}

/// Reads a whole list.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0 };
    let mut matchers = Vec::new();
    let mut token = lexer.next()?;
    let has_brace = token.token == Token::Open;
    if has_brace {
        token = lexer.next()?;
    }
    loop {
        match &token.token {
            Token::Close | Token::End => break,
            Token::Text(name) => {
                matchers.push(one(&mut lexer, name.clone())?);
                token = lexer.next()?;
            }
            _ => return token.refuse("expected label name"),
        }
        match token.token {
            Token::Comma => token = lexer.next()?,
            Token::Close | Token::End => break,
            _ if has_brace => return token.refuse("expected a comma or close brace"),
            _ => return token.refuse("expected a comma"),
        }
    }
    match (has_brace, &token.token) {
        (true, Token::End) => token.refuse("expected close brace"),
        (false, Token::Close) => token.refuse("expected opening brace"),
        (true, _) => {
            let rest = lexer.next()?;
            if rest.token == Token::End { Ok(matchers) } else { rest.refuse(NOTHING_MORE) }
        }
        (false, _) => Ok(matchers),
    }
}

/// Operator and value, after the name.
fn one(lexer: &mut Lexer, name: String) -> Result<Matcher, MatcherError> {
    let token = lexer.next()?;
    let Token::Op(op) = token.token else { return token.refuse(NO_OPERATOR) };
    let token = lexer.next()?;
    let Token::Text(value) = token.token else { return token.refuse("expected label value") };
    build(op, name, value)
}
