//! As much of Go's syntax as tables of tests are written in: literals of strings, numbers, structs and slices.
//!
//! In: the source of a test; out: [`Go`]. Text that is no literal is no error but `None`: the caller says what it looked for.

/// A string literal at the start of `text`, and what is behind it.
pub fn literal(text: &str) -> Option<(Vec<u8>, &str)> {
    let text = text.trim_start();
    if let Some(raw) = text.strip_prefix('`') {
        let (inside, rest) = raw.split_once('`')?;
        return Some((inside.as_bytes().to_vec(), rest));
    }
    let body = text.strip_prefix('"')?;
    let (mut out, mut at) = (Vec::new(), 0);
    let bytes = body.as_bytes();
    loop {
        match bytes.get(at)? {
            b'"' => return Some((out, &body[at + 1..])),
            b'\\' => {
                at += 1;
                match bytes.get(at)? {
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'r' => out.push(b'\r'),
                    b'x' => {
                        out.push(u8::from_str_radix(body.get(at + 1..at + 3)?, 16).ok()?);
                        at += 2;
                    }
                    other => out.push(*other),
                }
            }
            other => out.push(*other),
        }
        at += 1;
    }
}

/// A value of a literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Go {
    /// A number or a name.
    Word(String),
    Text(Vec<u8>),
    /// The arguments of a call; which function it is does not matter here.
    Call(Vec<Go>),
    /// Of a struct the fields with their names, of a slice the elements.
    List(Vec<(String, Go)>),
}

impl Go {
    /// The value at the start of `text`, and what is behind it.
    pub fn read(text: &str) -> Option<(Go, &str)> {
        let mut text = skip(text);
        if text.starts_with(['"', '`']) {
            return literal(text).map(|(inside, rest)| (Go::Text(inside), rest));
        }
        text = text.trim_start_matches('&');
        if text.starts_with('[') {
            text = text.split_once(']')?.1;
        }
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "_.+-".contains(c)))?;
        let (word, rest) = text.split_at(end);
        match rest.as_bytes().first()? {
            b'(' => Self::list(&rest[1..], ')')
                .map(|(all, rest)| (Go::Call(all.into_iter().map(|(_, value)| value).collect()), rest)),
            b'{' => Self::list(&rest[1..], '}').map(|(all, rest)| (Go::List(all), rest)),
            _ => Some((Go::Word(word.to_owned()), rest)),
        }
    }

    fn list(mut text: &str, end: char) -> Option<(Vec<(String, Go)>, &str)> {
        let mut all = Vec::new();
        loop {
            text = skip(text);
            if let Some(rest) = text.strip_prefix(end) {
                return Some((all, rest));
            }
            let name = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()?;
            let has_name = !name.is_empty() && text[name.len()..].starts_with(':');
            let name = if has_name { name } else { "" };
            let (value, rest) = Self::read(&text[if has_name { name.len() + 1 } else { 0 }..])?;
            all.push((name.to_owned(), value));
            text = skip(rest);
            text = text.strip_prefix(',').unwrap_or(text);
        }
    }

    /// Fields or elements.
    pub fn items(&self) -> &[(String, Go)] {
        match self {
            Go::List(items) => items,
            _ => &[],
        }
    }

    pub fn field(&self, name: &str) -> Option<&Go> {
        self.items().iter().find_map(|(found, value)| (found == name).then_some(value))
    }

    pub fn text(&self) -> String {
        match self {
            Go::Text(text) => String::from_utf8_lossy(text).into_owned(),
            // The types of metrics are words of lower-case letters.
            Go::Word(word) => word.strip_prefix("model.MetricType").map_or(word.clone(), str::to_lowercase),
            Go::Call(of) if of.len() == 1 => of[0].text(),
            other => panic!("{other:?} is no text"),
        }
    }

    pub fn number(&self) -> f64 {
        match self {
            Go::Word(word) if word == "histogram.CustomBucketsSchema" => -53.0,
            Go::Word(word) => word.parse().unwrap_or_else(|_| panic!("{word} is no number")),
            Go::Call(of) if of.len() == 1 => of[0].number(),
            other => panic!("{other:?} is no number"),
        }
    }

    pub fn numbers(&self) -> Vec<f64> {
        self.items().iter().map(|(_, value)| value.number()).collect()
    }
}

/// Past blanks and remarks.
fn skip(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let Some(remark) = text.strip_prefix("//") else { return text };
        text = remark.split_once('\n').map_or("", |(_, rest)| rest);
    }
}
