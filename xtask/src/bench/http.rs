//! A small blocking HTTP/1.1 client over one kept connection, cheap enough not to disturb what is measured.
//!
//! It talks to servers that we started on loopback; it is no general client. It never asks for compression.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Longest that one answer may take: the slowest query of the slowest server. Chosen.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(900);

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// One connection to `127.0.0.1:port`, opened when first needed and again after an error.
pub struct Client {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port), &[])
    }

    /// A form, as the query API takes it.
    pub fn post_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let body = fields
            .iter()
            .map(|(key, value)| format!("{key}={}", escape(value)))
            .collect::<Vec<_>>()
            .join("&");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        self.send(&head, body.as_bytes())
    }

    /// JSON, as Alertmanager takes it.
    pub fn post_json(&mut self, path: &str, body: &str) -> Result<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        self.send(&head, body.as_bytes())
    }

    /// A remote write 1.0 request; `body` is compressed already.
    pub fn post_write(&mut self, path: &str, body: &[u8]) -> Result<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        self.send(&head, body)
    }

    /// A kept connection may have been closed by the server meanwhile: then once more on a new one. All that is sent here may
    /// arrive twice.
    fn send(&mut self, head: &str, body: &[u8]) -> Result<Answer> {
        if let Some(kept) = self.stream.take()
            && let Ok(answer) = self.send_on(kept, head, body)
        {
            return Ok(answer);
        }
        let stream = TcpStream::connect(("127.0.0.1", self.port)).context("the server does not listen")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        self.send_on(BufReader::with_capacity(64 * 1_024, stream), head, body)
    }

    fn send_on(&mut self, mut stream: BufReader<TcpStream>, head: &str, body: &[u8]) -> Result<Answer> {
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body)?;
        let (answer, is_kept) = read_answer(&mut stream)?;
        if is_kept {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// The answer, and whether the connection can be used again.
fn read_answer(stream: &mut impl BufRead) -> Result<(Answer, bool)> {
    let status_line = read_line(stream)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("not HTTP: {status_line:?}"))?;
    let (mut length, mut is_chunked, mut is_kept) = (None, false, true);
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').context("a header without a colon")?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<usize>().context("content-length")?),
            "transfer-encoding" => is_chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => is_kept = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        _ if matches!(status, 204 | 304) => {}
        Some(length) => {
            body.resize(length, 0);
            stream.read_exact(&mut body)?;
        }
        None if is_chunked => read_chunks(stream, &mut body)?,
        None => {
            is_kept = false;
            stream.read_to_end(&mut body)?;
        }
    }
    Ok((Answer { status, body }, is_kept))
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let line = read_line(stream)?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .with_context(|| format!("not the size of a chunk: {line:?}"))?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        read_line(stream)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("the server closed the connection");
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_a_length_and_in_chunks_are_read() {
        let check = |wire: &str, body: &str, kept: bool| {
            let (answer, is_kept) = read_answer(&mut wire.as_bytes()).expect(wire);
            assert_eq!(
                (answer.status, answer.body.as_slice(), is_kept),
                (200, body.as_bytes(), kept),
                "{wire}"
            );
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", "abc", true);
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "abc0123456789",
            true,
        );
        check("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nrest", "rest", false);
        assert_eq!(escape("a{b=\"c\"}[5m]"), "a%7Bb%3D%22c%22%7D%5B5m%5D");
    }
}
