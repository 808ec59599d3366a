//! An HTTP/1.1 answer read in place: its head, and its body in one piece within the memory it came into.
//!
//! In from [`crate::direct`], bytes as they come; out as an [`Answer`]. Pure. Heads are read by `httparse`, framing is RFC 9112's. Holds no
//! more than the largest head and body allowed, with a chunk's own lines: chunks are moved together as they come.

use std::ops::Range;

/// Largest head, in bytes. Chosen: ten times what servers accept from clients.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most headers. As hyper's default.
const HEADERS_MAX: usize = 100;
/// Longest line of a chunk's size with its extensions, in bytes. Chosen.
const CHUNK_LINE_BYTES_MAX: usize = 4 << 10;
/// Longest trailers, in bytes. Chosen.
const TRAILER_BYTES_MAX: usize = 16 << 10;
/// Digits of a chunk's size: 2^48 is above every limit, and far from an overflow. Chosen.
const SIZE_DIGITS_MAX: usize = 12;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Empty when there is none.
    pub content_type: String,
    /// Empty when there is none.
    pub content_encoding: String,
    /// Where the body is in the memory it was read into.
    pub body: Range<usize>,
    /// Whether the connection can be used again.
    pub keeps_open: bool,
}

/// What is needed next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More bytes, and at least this many where that is known; otherwise 1.
    More(usize),
    /// Nothing.
    Done(Answer),
}

/// Why it is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The body is longer than allowed.
    #[error("body too large")]
    BodyTooLarge,
    /// The connection ended too early.
    #[error("unexpected end")]
    Eof,
    /// The head is no HTTP.
    #[error("{0}")]
    Head(httparse::Error),
    /// The head is longer than 64 KiB.
    #[error("message head is too large")]
    HeadTooLarge,
    /// Framing that contradicts itself or is not known.
    #[error("{0}")]
    Framing(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// No head yet.
    Unknown,
    Length(usize),
    /// At a chunk's size; the number of bytes behind the last chunk's end that still have to be skipped.
    Chunked,
    /// Behind the last chunk.
    Trailers,
    ToEnd,
}

/// Reads one answer. The caller adds bytes to the memory's end only.
#[derive(Debug)]
pub struct AnswerReader {
    body_bytes_max: usize,
    framing: Framing,
    answer: Answer,
    /// Next byte to look at, where chunks are read.
    at: usize,
}

impl AnswerReader {
    /// For a body of at most `body_bytes_max`.
    #[must_use]
    pub fn new(body_bytes_max: usize) -> Self {
        let answer = Answer {
            status: 0,
            content_type: String::new(),
            content_encoding: String::new(),
            body: 0..0,
            keeps_open: false,
        };
        Self { body_bytes_max, framing: Framing::Unknown, answer, at: 0 }
    }

    /// Looks at what has come.
    ///
    /// # Errors
    /// When it is no answer, or too long a one.
    pub fn advance(&mut self, memory: &mut Vec<u8>) -> Result<Progress, AnswerError> {
        if self.framing == Framing::Unknown && !self.head(memory)? {
            return Ok(Progress::More(1));
        }
        match self.framing {
            Framing::Unknown => Ok(Progress::More(1)),
            Framing::Length(n_bytes) => {
                let end = self.answer.body.start + n_bytes;
                if memory.len() < end {
                    return Ok(Progress::More(end - memory.len()));
                }
                self.answer.body.end = end;
                Ok(Progress::Done(self.done(end, memory.len())))
            }
            Framing::ToEnd => {
                if memory.len() - self.answer.body.start > self.body_bytes_max {
                    return Err(AnswerError::BodyTooLarge);
                }
                Ok(Progress::More(1))
            }
            Framing::Chunked | Framing::Trailers => self.chunks(memory),
        }
    }

    /// The other side has closed.
    ///
    /// # Errors
    /// When something was still to come.
    pub fn end(&mut self, memory: &[u8]) -> Result<Answer, AnswerError> {
        if self.framing != Framing::ToEnd {
            return Err(AnswerError::Eof);
        }
        self.answer.body.end = memory.len();
        self.answer.keeps_open = false;
        Ok(self.answer.clone())
    }

    fn done(&mut self, end: usize, n_bytes: usize) -> Answer {
        // Bytes behind an answer belong to no request of ours.
        self.answer.keeps_open &= end == n_bytes;
        self.answer.clone()
    }

    /// Reads the head; `false` when it is not whole yet.
    fn head(&mut self, memory: &mut Vec<u8>) -> Result<bool, AnswerError> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Response::new(&mut headers);
            let n_bytes = match head.parse(memory).map_err(AnswerError::Head)? {
                httparse::Status::Complete(n_bytes) if n_bytes <= HEAD_BYTES_MAX => n_bytes,
                httparse::Status::Partial if memory.len() <= HEAD_BYTES_MAX => return Ok(false),
                _ => return Err(AnswerError::HeadTooLarge),
            };
            let status = head.code.unwrap_or_default();
            if status == 101 {
                return Err(AnswerError::Framing("an upgrade that was not asked for"));
            }
            if status < 200 {
                // Only announces the answer.
                memory.drain(..n_bytes);
                continue;
            }
            self.answer.status = status;
            self.answer.body = n_bytes..n_bytes;
            self.at = n_bytes;
            self.framing = self.framing_of(&head)?;
            if let Framing::Length(n_bytes) = self.framing
                && n_bytes > self.body_bytes_max
            {
                return Err(AnswerError::BodyTooLarge);
            }
            return Ok(true);
        }
    }

    fn framing_of(&mut self, head: &httparse::Response<'_, '_>) -> Result<Framing, AnswerError> {
        let (mut length, mut transfer, mut closes, mut keeps) = (None, None, false, false);
        for header in head.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let text = || String::from_utf8_lossy(header.value).trim().to_owned();
            if is("content-length") {
                let n_bytes = length_of(header.value)?;
                if length.replace(n_bytes).is_some_and(|before| before != n_bytes) {
                    return Err(AnswerError::Framing("two different content-lengths"));
                }
            } else if is("transfer-encoding") {
                transfer = Some(text());
            } else if is("connection") {
                let words = text().to_ascii_lowercase();
                closes |= words.split(',').any(|word| word.trim() == "close");
                keeps |= words.split(',').any(|word| word.trim() == "keep-alive");
            } else if is("content-type") && self.answer.content_type.is_empty() {
                self.answer.content_type = text();
            } else if is("content-encoding") && self.answer.content_encoding.is_empty() {
                self.answer.content_encoding = text();
            }
        }
        self.answer.keeps_open = !closes && (head.version == Some(1) || keeps);
        if matches!(self.answer.status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        match (transfer, length) {
            (Some(coding), length) if coding.eq_ignore_ascii_case("chunked") => {
                // Both is how answers are smuggled: the chunks count, and nothing behind them is believed.
                self.answer.keeps_open &= length.is_none();
                Ok(Framing::Chunked)
            }
            (Some(_), _) => Err(AnswerError::Framing("a transfer-encoding other than chunked")),
            (None, Some(n_bytes)) => Ok(Framing::Length(n_bytes)),
            (None, None) => Ok(Framing::ToEnd),
        }
    }

    fn chunks(&mut self, memory: &mut Vec<u8>) -> Result<Progress, AnswerError> {
        loop {
            let rest = &memory[self.at..];
            if self.framing == Framing::Trailers {
                let is_end = rest.starts_with(b"\r\n");
                let end = if is_end { Some(2) } else { find(rest, b"\r\n\r\n").map(|at| at + 4) };
                return match end {
                    Some(n_bytes) => {
                        let end = self.at + n_bytes;
                        Ok(Progress::Done(self.done(end, memory.len())))
                    }
                    None if rest.len() > TRAILER_BYTES_MAX => {
                        Err(AnswerError::Framing("trailers that are too long"))
                    }
                    None => Ok(Progress::More(1)),
                };
            }
            let Some(line) = find(&rest[..rest.len().min(CHUNK_LINE_BYTES_MAX)], b"\r\n") else {
                if rest.len() >= CHUNK_LINE_BYTES_MAX {
                    return Err(AnswerError::Framing("a chunk's size that is too long"));
                }
                return Ok(self.wait(memory, 1));
            };
            let n_bytes = chunk_size(&rest[..line])?;
            let from = self.at + line + 2;
            if n_bytes == 0 {
                (self.at, self.framing) = (from, Framing::Trailers);
                continue;
            }
            if self.answer.body.len() + n_bytes > self.body_bytes_max {
                return Err(AnswerError::BodyTooLarge);
            }
            let to = from + n_bytes;
            let Some(end) = memory.get(to..to + 2) else {
                let missing = to + 2 - memory.len();
                return Ok(self.wait(memory, missing));
            };
            if end != b"\r\n" {
                return Err(AnswerError::Framing("a chunk that does not end where it should"));
            }
            memory.copy_within(from..to, self.answer.body.end);
            self.answer.body.end += n_bytes;
            self.at = to + 2;
        }
    }

    /// Moves what is not read yet to the body's end, so that lines of many small chunks take no memory.
    fn wait(&mut self, memory: &mut Vec<u8>, n_bytes: usize) -> Progress {
        let end = self.answer.body.end;
        if self.at > end {
            memory.drain(end..self.at);
            self.at = end;
        }
        Progress::More(n_bytes)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

fn length_of(value: &[u8]) -> Result<usize, AnswerError> {
    let text = value.trim_ascii();
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = is_number.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten();
    number.ok_or(AnswerError::Framing("a content-length that is no number"))
}

fn chunk_size(line: &[u8]) -> Result<usize, AnswerError> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(AnswerError::Framing("a chunk's size that is no number"));
    }
    let text = str::from_utf8(digits).unwrap_or_default();
    usize::from_str_radix(text, 16).map_err(|_| AnswerError::Framing("a chunk's size that is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads `bytes` in pieces of `step`, and closes.
    fn read(bytes: &[u8], step: usize) -> Result<(Answer, Vec<u8>), AnswerError> {
        let (mut reader, mut memory) = (AnswerReader::new(20), Vec::new());
        for piece in bytes.chunks(step) {
            memory.extend_from_slice(piece);
            if let Progress::Done(answer) = reader.advance(&mut memory)? {
                let body = memory[answer.body.clone()].to_vec();
                return Ok((answer, body));
            }
        }
        let answer = reader.end(&memory)?;
        let body = memory[answer.body.clone()].to_vec();
        Ok((answer, body))
    }

    #[test]
    fn bodies_come_out_however_they_are_framed_and_cut() {
        let check = |text: &str, expected: &str| {
            for step in 1..=text.len() {
                let got = match read(text.as_bytes(), step) {
                    Ok((answer, body)) => {
                        let open = if answer.keeps_open { "open" } else { "close" };
                        format!(
                            "{} {:?} {} {} {open}",
                            answer.status,
                            String::from_utf8(body).unwrap(),
                            answer.content_type,
                            answer.content_encoding
                        )
                    }
                    Err(err) => format!("error: {err}"),
                };
                assert_eq!(got, expected, "{text:?} in pieces of {step}");
            }
        };
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nContent-Type: a/b\r\n\r\nok", "200 \"ok\" a/b  open");
        check("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "200 \"ok\"   close");
        check(
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nConnection: Keep-Alive\r\n\r\nok",
            "200 \"ok\"   open",
        );
        check("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "200 \"\"   close");
        check("HTTP/1.1 200 OK\r\n\r\nto the end", "200 \"to the end\"   close");
        check("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", "304 \"\"   open");
        check(
            "HTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "200 \"ok\"   open",
        );
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: gzip\r\n\r\n";
        check(
            &format!("{chunked}3\r\nabc\r\n00a;x=y\r\n0123456789\r\n0\r\n\r\n"),
            "200 \"abc0123456789\"  gzip open",
        );
        check(&format!("{chunked}1\r\na\r\n0\r\nx: y\r\nz: 1\r\n\r\n"), "200 \"a\"  gzip open");
        check(
            &format!("{chunked}14\r\n01234567890123456789\r\n1\r\na\r\n0\r\n\r\n"),
            "error: body too large",
        );
        check(&format!("{chunked}fffffffffff\r\n0"), "error: body too large");
        check(&format!("{chunked}3\r\nabcd\r\n"), "error: a chunk that does not end where it should");
        check(&format!("{chunked}-3\r\nabc\r\n"), "error: a chunk's size that is no number");
        check(&format!("{chunked}3\r\nabc\r\n"), "error: unexpected end");
        check("HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n", "error: body too large");
        check("HTTP/1.1 200 OK\r\n\r\n012345678901234567890", "error: body too large");
        check("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", "error: a content-length that is no number");
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            "error: two different content-lengths",
        );
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "error: a transfer-encoding other than chunked",
        );
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", "error: unexpected end");
        check("HTTP/1.1 200 OK\r\n", "error: unexpected end");
    }

    #[test]
    fn what_follows_an_answer_ends_the_connection() {
        let (answer, body) = read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP", 1_000).unwrap();
        assert!(!answer.keeps_open);
        assert_eq!(body, b"ok");
    }

    proptest! {
        #[test]
        fn rubbish_is_an_error_and_not_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            chunked: bool,
            step in 1usize..50,
        ) {
            let mut all = Vec::new();
            if chunked {
                all.extend_from_slice(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            }
            all.extend(bytes);
            let _ = read(&all, step);
        }
    }
}
