//! Influx line protocol: lines of `measurement,tag=value field=value,field=value time`.
//!
//! In: a body. Out: line by line, borrowed where nothing is escaped; a line that is none is an error with its number, and the next one goes on.
//! Never panics; what a line takes is bounded by the line.
//! Method: InfluxData's line protocol reference. Texts in quotes may go over several lines.

use std::borrow::Cow;

/// A line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line<'a> {
    /// What is measured.
    pub measurement: Cow<'a, str>,
    /// Names and values, as they stand there.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// At least one.
    pub fields: Vec<(Cow<'a, str>, Value)>,
    /// When, in the sender's precision; `None` for now.
    pub time: Option<i64>,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A float, an integer, or 1 and 0 for true and false.
    Number(f64),
    /// Text, which is no number.
    Text,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the texts say it")]
pub enum LineError {
    #[error("missing measurement")]
    NoMeasurement,
    #[error("missing tag name or tag value")]
    BadTag,
    #[error("missing fields")]
    NoFields,
    #[error("missing field name or field value")]
    BadField,
    #[error("invalid field value: a number, an integer with i or u, a boolean, or text in quotes is wanted")]
    BadValue,
    #[error("text without a closing quote")]
    OpenText,
    #[error("invalid time: an integer is wanted")]
    BadTime,
    #[error("something stands behind the time")]
    Trailing,
    #[error("text that is not UTF-8")]
    NotUtf8,
}

/// Lines of a body, with their numbers from 1; comments and empty lines are left out.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
    number: u64,
}

impl<'a> Lines<'a> {
    /// The lines of `body`.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body, number: 1 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u64, Result<Line<'a>, LineError>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let blanks = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            self.rest = &self.rest[blanks..];
            match self.rest.first()? {
                b'\n' => self.skip_line(0),
                b'#' => self.skip_line(0),
                _ => break,
            }
        }
        let number = self.number;
        let mut cursor = Cursor { rest: self.rest };
        let line = cursor.line();
        // A line that is none ends where it would, if its quotes were closed.
        let n_read = if line.is_ok() { self.rest.len() - cursor.rest.len() } else { 0 };
        self.skip_line(n_read);
        Some((number, line))
    }
}

impl Lines<'_> {
    /// Goes to the beginning of the line after the byte at `from`, and counts the lines passed.
    fn skip_line(&mut self, from: usize) {
        let end = memchr::memchr(b'\n', &self.rest[from..]).map_or(self.rest.len(), |at| from + at + 1);
        self.number += memchr::memchr_iter(b'\n', &self.rest[..end]).count() as u64;
        self.rest = &self.rest[end..];
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn line(&mut self) -> Result<Line<'a>, LineError> {
        let measurement = self.token(b", ", b", ")?;
        if measurement.is_empty() {
            return Err(LineError::NoMeasurement);
        }
        let mut line = Line { measurement, ..Line::default() };
        while self.eat(b',') {
            let name = self.token(b",= ", b",= ")?;
            if name.is_empty() || !self.eat(b'=') {
                return Err(LineError::BadTag);
            }
            let value = self.token(b",= ", b",= ")?;
            if value.is_empty() || self.rest.first() == Some(&b'=') {
                return Err(LineError::BadTag);
            }
            line.tags.push((name, value));
        }
        self.blanks();
        if self.is_at_end() {
            return Err(LineError::NoFields);
        }
        loop {
            let name = self.token(b",= ", b",= ")?;
            if name.is_empty() || !self.eat(b'=') {
                return Err(LineError::BadField);
            }
            line.fields.push((name, self.value()?));
            if !self.eat(b',') {
                break;
            }
        }
        self.blanks();
        if !self.is_at_end() {
            let n_bytes = self.until(b" \t\r\n");
            let text = std::str::from_utf8(&self.rest[..n_bytes]).map_err(|_| LineError::BadTime)?;
            line.time = Some(text.parse().map_err(|_| LineError::BadTime)?);
            self.rest = &self.rest[n_bytes..];
            self.blanks();
            if !self.is_at_end() {
                return Err(LineError::Trailing);
            }
        }
        Ok(line)
    }

    fn is_at_end(&self) -> bool {
        matches!(self.rest.first(), None | Some(b'\n'))
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.rest.first() == Some(&byte);
        if is_there {
            self.rest = &self.rest[1..];
        }
        is_there
    }

    fn blanks(&mut self) {
        let n_blanks = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        self.rest = &self.rest[n_blanks..];
    }

    /// How far it is to one of these bytes.
    fn until(&self, stops: &[u8]) -> usize {
        self.rest.iter().position(|byte| stops.contains(byte)).unwrap_or(self.rest.len())
    }

    /// Text up to one of `stops` or the end of the line; a backslash before one of `escaped` takes its meaning away.
    fn token(&mut self, stops: &[u8], escaped: &[u8]) -> Result<Cow<'a, str>, LineError> {
        let (mut end, mut has_escapes) = (0, false);
        while let Some(byte) = self.rest.get(end) {
            if *byte == b'\\' && self.rest.get(end + 1).is_some_and(|next| escaped.contains(next)) {
                has_escapes = true;
                end += 2;
            } else if *byte == b'\n' || stops.contains(byte) {
                break;
            } else {
                end += 1;
            }
        }
        let (bytes, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = std::str::from_utf8(bytes).map_err(|_| LineError::NotUtf8)?;
        if !has_escapes {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let is_escape = c == '\\'
                && chars.peek().is_some_and(|next| next.is_ascii() && escaped.contains(&(*next as u8)));
            out.push(if is_escape { chars.next().unwrap_or(c) } else { c });
        }
        Ok(Cow::Owned(out))
    }

    fn value(&mut self) -> Result<Value, LineError> {
        if self.eat(b'"') {
            return self.text();
        }
        let n_bytes = self.until(b", \t\r\n");
        let bytes = &self.rest[..n_bytes];
        self.rest = &self.rest[n_bytes..];
        if bytes.is_empty() {
            return Err(LineError::BadField);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| LineError::NotUtf8)?;
        number(text).map(Value::Number).ok_or(LineError::BadValue)
    }

    /// Behind the opening quote.
    fn text(&mut self) -> Result<Value, LineError> {
        let mut at = 0;
        loop {
            match self.rest.get(at) {
                None => return Err(LineError::OpenText),
                Some(b'\\') if matches!(self.rest.get(at + 1), Some(b'"' | b'\\')) => at += 2,
                Some(b'"') => break,
                Some(_) => at += 1,
            }
        }
        std::str::from_utf8(&self.rest[..at]).map_err(|_| LineError::NotUtf8)?;
        self.rest = &self.rest[at + 1..];
        Ok(Value::Text)
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(0.0),
        _ => {}
    }
    if let Some(digits) = text.strip_suffix('i') {
        return digits.parse::<i64>().ok().map(|value| value as f64);
    }
    if let Some(digits) = text.strip_suffix('u') {
        return digits.parse::<u64>().ok().map(|value| value as f64);
    }
    // Not NaN and not infinity, which the protocol does not have.
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse::<f64>().ok().filter(|value| is_plain && value.is_finite())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// `number: measurement [tags] [fields] time`, or the error.
    fn shown(body: &[u8]) -> String {
        let mut out = String::new();
        for (number, line) in Lines::new(body) {
            let _ = match line {
                Ok(line) => {
                    let tags: Vec<String> =
                        line.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    let fields: Vec<String> = (line.fields.iter())
                        .map(|(name, value)| match value {
                            Value::Number(value) => format!("{name}={value}"),
                            Value::Text => format!("{name}=text"),
                        })
                        .collect();
                    let time = line.time.map_or("now".to_owned(), |time| time.to_string());
                    writeln!(
                        out,
                        "{number}: {} [{}] [{}] {time}",
                        line.measurement,
                        tags.join("|"),
                        fields.join("|")
                    )
                }
                Err(err) => writeln!(out, "{number}: {err}"),
            };
        }
        out
    }

    #[test]
    fn lines_are_read_as_the_reference_says() {
        let check =
            |body: &str, expected: &str| assert_eq!(shown(body.as_bytes()).trim_end(), expected, "{body}");
        check(
            "hoge,index=cluster1,host=host1 mem=123 1465839830100400200",
            "1: hoge [index=cluster1|host=host1] [mem=123] 1465839830100400200",
        );
        check("# a\n\n  m a=1i,b=2u,c=t,d=FALSE,e=-1.5e3\r\n", "3: m [] [a=1|b=2|c=1|d=0|e=-1500] now");
        check(r"a\,b\ c,t\=1=x\ y\,z\w f\ g=1", r"1: a,b c [t=1=x y,z\w] [f g=1] now");
        check("m s=\"a, b=\\\"c\\\"\n d\",n=1 5\nx y=1", "1: m [] [s=text|n=1] 5\n3: x [] [y=1] now");
        check("日,本=語 値=1", "1: 日 [本=語] [値=1] now");
        check("m,a=1  b=2  3  ", "1: m [a=1] [b=2] 3");
    }

    #[test]
    fn a_line_that_is_none_does_not_hold_up_the_others() {
        let bad = [
            (",a=1 b=1", "missing measurement"),
            ("m,a b=1", "missing tag name or tag value"),
            ("m,a= b=1", "missing tag name or tag value"),
            ("m,a=1", "missing fields"),
            ("m a", "missing field name or field value"),
            ("m a=", "missing field name or field value"),
            ("m a=NaN", "invalid field value"),
            ("m a=1e999", "invalid field value"),
            ("m a=1x", "invalid field value"),
            ("m a=99999999999999999999i", "invalid field value"),
            ("m a=\"x", "text without a closing quote"),
            ("m a=1 x", "invalid time"),
            ("m a=1 1 2", "something stands behind the time"),
        ];
        for (line, expected) in bad {
            let got = shown(format!("{line}\ngood v=1").as_bytes());
            let (first, second) = got.split_once('\n').unwrap();
            assert!(first.starts_with("1: ") && first.contains(expected), "{line}: {got}");
            assert_eq!(second, "2: good [] [v=1] now\n", "{line}");
        }
        assert_eq!(shown(b"m\xff a=1\nm a=1"), "1: text that is not UTF-8\n2: m [] [a=1] now\n");
    }

    fn escape(text: &str, also: &str) -> String {
        text.chars().fold(String::new(), |mut out, c| {
            if also.contains(c) {
                out.push('\\');
            }
            out.push(c);
            out
        })
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(body: Vec<u8>) {
            let n_lines = Lines::new(&body).count();
            proptest::prop_assert!(n_lines <= body.iter().filter(|byte| **byte == b'\n').count() + 1);
        }

        #[test]
        fn what_is_written_is_read(
            measurement in "[a-z ,=]{1,8}x", tag in "[a-z ,=]{1,8}x", value in "[a-z ,=é]{1,8}x", number: i32, time: i64,
        ) {
            let text = format!(
                "{},{}={} {}={number} {time}\n",
                escape(&measurement, " ,"), escape(&tag, " ,="), escape(&value, " ,="), escape(&tag, " ,=")
            );
            // What begins with a blank is read behind it.
            proptest::prop_assume!(!measurement.starts_with(' '));
            let line = Lines::new(text.as_bytes()).next().unwrap().1.unwrap();
            proptest::prop_assert_eq!(line.measurement, measurement);
            proptest::prop_assert_eq!(&line.tags, &[(Cow::from(tag.as_str()), Cow::from(value))]);
            proptest::prop_assert_eq!(line.fields, [(Cow::from(tag.as_str()), Value::Number(f64::from(number)))]);
            proptest::prop_assert_eq!(line.time, Some(time));
        }
    }
}
