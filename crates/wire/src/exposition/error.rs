//! Why a page was refused, and where.

/// What is wrong with a page, at the first place where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", shown_place(*line, *column))]
pub struct ParseError {
    /// From 1; 0 in a body without lines.
    pub line: usize,
    /// From 1, in bytes; in a body without lines the byte where the message begins, from 0.
    pub column: usize,
    /// What is wrong, in words close to Prometheus'.
    pub message: String,
}

fn shown_place(line: usize, column: usize) -> String {
    if line == 0 { format!("byte {column}") } else { format!("line {line}, column {column}") }
}

/// Longest excerpt of the page in a message, in bytes. Chosen: a line of a log.
const EXCERPT_BYTES_MAX: usize = 60;

/// A refusal inside the parser: only the cold path counts lines.
#[derive(Debug)]
pub(super) struct Fail {
    /// Byte of the page.
    pub(super) offset: usize,
    pub(super) message: String,
}

impl Fail {
    #[cold]
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }

    /// `expected …, got "…"`, where the page goes on at `offset`.
    #[cold]
    pub(super) fn expected(body: &[u8], offset: usize, what: &str) -> Self {
        let rest = body.get(offset..).unwrap_or_default();
        let got = match rest.first() {
            None => "end of data".to_owned(),
            Some(b'\n') => "end of line".to_owned(),
            Some(_) => excerpt(rest),
        };
        Self { offset, message: format!("expected {what}, got {got}") }
    }

    #[cold]
    pub(super) fn place(self, body: &[u8]) -> ParseError {
        let before = &body[..self.offset.min(body.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        ParseError {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: 1 + before.len() - line_start,
            message: self.message,
        }
    }
}

/// The rest of the line, quoted and cut.
#[cold]
pub(super) fn excerpt(rest: &[u8]) -> String {
    let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
    let cut = &line[..line.len().min(EXCERPT_BYTES_MAX)];
    let dots = if cut.len() < line.len() { "…" } else { "" };
    format!("{}{dots}", model::labels::quoted(&String::from_utf8_lossy(cut)))
}
