//! Html mode: what actions write is escaped for the place it is written to.
//!
//! In from the executor, both the template's own text (trusted: it moves the state) and values (escaped: they cannot
//! move it). The place is found while writing, by a small state machine over the HTML written so far, where Go's
//! html/template finds it beforehand; so a template whose branches end in different places works here.
//! Conservative: where Go would guess (template literals, regular expressions, CSS strings), this refuses.

use std::fmt::Write as _;

use crate::print::{items, push_text, to_text};
use crate::value::{Items, Value};

/// Stands where a value would have been dangerous. Go's word, so that people find what it means.
const UNSAFE: &str = "ZgotmplZ";

/// Where the next byte goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After `<` and the name's letters.
    TagName,
    /// Inside a tag, between attributes.
    Tag,
    AttrName,
    AfterName,
    BeforeValue,
    /// Inside an attribute's value.
    Value,
    /// Inside `<!-- -->`, which is left out.
    Comment,
    /// Inside `<!DOCTYPE …>`, `</…>` and `<?…>`.
    Markup,
    /// Inside script, style, textarea or title.
    Raw,
}

/// What an attribute's value, or the inside of an element, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Plain,
    Url,
    Css,
    Js,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delim {
    Double,
    Single,
    Unquoted,
}

/// How far a URL has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UrlPart {
    Start,
    Path,
    Query,
}

/// Where in a script the next byte goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Js {
    Code,
    Double,
    Single,
    LineComment,
    BlockComment,
    /// After a slash that may begin a regular expression, or inside a template literal: values are refused.
    Unsure,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Html {
    state: State,
    tag: String,
    attr: String,
    content: Content,
    delim: Delim,
    url: UrlPart,
    js: Js,
    /// Inside a CSS string or comment, or a parenthesis.
    css_unsure: Option<char>,
    /// The last bytes of text, for what spans several: `--`, `</script`.
    tail: String,
}

fn content_of(attr: &str) -> Content {
    const URLS: [&str; 17] = [
        "action",
        "archive",
        "background",
        "cite",
        "classid",
        "codebase",
        "data",
        "formaction",
        "href",
        "icon",
        "longdesc",
        "manifest",
        "poster",
        "profile",
        "src",
        "usemap",
        "xmlns",
    ];
    let name = attr.to_ascii_lowercase();
    let name = name.strip_prefix("data-").unwrap_or(&name);
    let name = name.rsplit(':').next().unwrap_or(name);
    if name.starts_with("on") {
        Content::Js
    } else if name == "style" {
        Content::Css
    } else if URLS.contains(&name) || ["src", "uri", "url"].iter().any(|part| name.contains(part)) {
        Content::Url
    } else {
        Content::Plain
    }
}

impl Html {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Text,
            tag: String::new(),
            attr: String::new(),
            content: Content::Plain,
            delim: Delim::Double,
            url: UrlPart::Start,
            js: Js::Code,
            css_unsure: None,
            tail: String::new(),
        }
    }

    /// Where the text ended, when that is not between elements.
    pub(crate) fn unfinished(&self) -> Option<&'static str> {
        match self.state {
            State::Text => None,
            State::Comment => Some("inside a comment"),
            State::Value => Some("inside an attribute's value"),
            State::Raw => Some("inside a script, style, textarea or title element"),
            _ => Some("inside a tag"),
        }
    }

    /// Writes the template's own text.
    pub(crate) fn feed(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            if self.state != State::Comment {
                out.push(c);
            }
            self.advance(c, out);
        }
    }

    fn advance(&mut self, c: char, out: &mut String) {
        self.tail.push(c);
        if self.tail.len() > 32 {
            let cut = self.tail.char_indices().nth(8).map_or(0, |(idx, _)| idx);
            self.tail.drain(..cut);
        }
        match self.state {
            State::Text => self.in_text(c),
            State::TagName => self.in_tag_name(c, out),
            State::Tag | State::AfterName | State::AttrName | State::BeforeValue => self.in_tag(c),
            State::Value => self.in_value(c),
            State::Comment => {
                if self.tail.ends_with("-->") {
                    self.state = State::Text;
                }
            }
            State::Markup => {
                if c == '>' {
                    self.state = State::Text;
                }
            }
            State::Raw => self.in_raw(c),
        }
    }

    fn in_text(&mut self, c: char) {
        if c == '<' {
            self.tag.clear();
            self.state = State::TagName;
        }
    }

    fn in_tag_name(&mut self, c: char, out: &mut String) {
        if self.tag.is_empty() && (c == '!' || c == '/' || c == '?') {
            self.tag.push(c);
        } else if self.tag.starts_with(['!', '/', '?']) {
            self.tag.push(c);
            if self.tag == "!--" {
                // Comments are left out, as Go does.
                out.truncate(out.len() - "<!--".len());
                self.tail.clear();
                self.state = State::Comment;
            } else if c == '>' {
                self.state = State::Text;
            } else if self.tag != "!-" {
                self.state = State::Markup;
            }
        } else if c.is_ascii_alphanumeric() || (!self.tag.is_empty() && (c == '-' || c == ':')) {
            self.tag.push(c.to_ascii_lowercase());
        } else if self.tag.is_empty() {
            // A lone `<` is text.
            self.state = if c == '<' { State::TagName } else { State::Text };
        } else {
            self.state = State::Tag;
            self.in_tag(c);
        }
    }

    fn in_tag(&mut self, c: char) {
        match (self.state, c) {
            (State::BeforeValue, c) if c.is_ascii_whitespace() => {}
            (State::BeforeValue, '"') => self.begin_value(Delim::Double),
            (State::BeforeValue, '\'') => self.begin_value(Delim::Single),
            (_, '>') => self.end_tag(),
            (State::BeforeValue, c) => {
                self.begin_value(Delim::Unquoted);
                self.in_value(c);
            }
            (State::AttrName | State::AfterName, '=') => self.state = State::BeforeValue,
            (State::AttrName, c) if c.is_ascii_whitespace() => self.state = State::AfterName,
            (_, c) if c.is_ascii_whitespace() || c == '/' => {}
            (State::AttrName, c) => self.attr.push(c),
            (_, c) => {
                self.attr.clear();
                self.attr.push(c);
                self.state = State::AttrName;
            }
        }
    }

    fn begin_value(&mut self, delim: Delim) {
        self.state = State::Value;
        self.delim = delim;
        self.content = content_of(&self.attr);
        self.url = UrlPart::Start;
        self.js = Js::Code;
        self.css_unsure = None;
    }

    fn end_tag(&mut self) {
        self.content = match self.tag.as_str() {
            "script" => Content::Js,
            "style" => Content::Css,
            "textarea" | "title" => Content::Plain,
            _ => {
                self.state = State::Text;
                return;
            }
        };
        self.state = State::Raw;
        self.js = Js::Code;
        self.css_unsure = None;
        self.tail.clear();
    }

    fn in_value(&mut self, c: char) {
        let ends = match self.delim {
            Delim::Double => c == '"',
            Delim::Single => c == '\'',
            Delim::Unquoted => c.is_ascii_whitespace() || c == '>',
        };
        if ends {
            self.state = State::Tag;
            if c == '>' {
                self.end_tag();
            }
            return;
        }
        self.in_content(c);
    }

    fn in_raw(&mut self, c: char) {
        if c == '>' || c.is_ascii_whitespace() || c == '/' {
            let close = format!("</{}", self.tag);
            let tail = self.tail.to_ascii_lowercase();
            if tail[..tail.len() - c.len_utf8()].ends_with(&close) {
                self.state = if c == '>' { State::Text } else { State::Markup };
                return;
            }
        }
        self.in_content(c);
    }

    /// Follows what is inside a value, a script or a style.
    fn in_content(&mut self, c: char) {
        match self.content {
            Content::Plain => {}
            Content::Url => match c {
                '?' | '#' => self.url = UrlPart::Query,
                _ if self.url == UrlPart::Start && !c.is_ascii_whitespace() => self.url = UrlPart::Path,
                _ => {}
            },
            Content::Css => match (self.css_unsure, c) {
                (None, '"' | '\'' | '(' | '\\') => self.css_unsure = Some(if c == '(' { ')' } else { c }),
                (None, '*') if self.tail.ends_with("/*") => self.css_unsure = Some('/'),
                (Some('/'), '/') if self.tail.ends_with("*/") => self.css_unsure = None,
                (Some(end), c) if c == end && end != '/' => self.css_unsure = None,
                _ => {}
            },
            Content::Js => self.in_js(c),
        }
    }

    fn in_js(&mut self, c: char) {
        // An attribute's quotes inside quotes are entities, which this does not decode: values are then refused.
        if self.state == State::Value && c == '&' {
            self.js = Js::Unsure;
        }
        let escaped = self.tail.ends_with(&format!("\\{c}"));
        self.js = match (self.js, c) {
            (Js::Code, '"') => Js::Double,
            (Js::Code, '\'') => Js::Single,
            (Js::Code, '`') => Js::Unsure,
            (Js::Code, '/') if self.tail.ends_with("//") => Js::LineComment,
            (Js::Code, '*') if self.tail.ends_with("/*") => Js::BlockComment,
            (Js::Code, c) if !matches!(c, '/' | '*') && self.tail_before(c).ends_with('/') => Js::Unsure,
            (Js::Double, '"') | (Js::Single, '\'') if !escaped => Js::Code,
            (Js::LineComment, '\n') => Js::Code,
            (Js::BlockComment, '/') if self.tail.ends_with("*/") => Js::Code,
            (js, _) => js,
        };
    }

    fn tail_before(&self, c: char) -> &str {
        &self.tail[..self.tail.len() - c.len_utf8()]
    }

    /// Writes a value, escaped for the place.
    ///
    /// # Errors
    /// When the place takes no values.
    pub(crate) fn write(&mut self, value: &Value, out: &mut String) -> Result<(), String> {
        match self.state {
            State::Comment => Ok(()),
            State::Text => {
                match value {
                    Value::Html(html) => out.push_str(html),
                    value => push_escaped(out, &plain(value), false, false),
                }
                Ok(())
            }
            State::TagName if self.tag.is_empty() => {
                // The `<` before was text.
                self.state = State::Text;
                out.truncate(out.len() - 1);
                out.push_str("&lt;");
                self.write(value, out)
            }
            State::TagName | State::Markup => {
                Err("html mode: a value cannot stand in a tag's name".to_owned())
            }
            State::Tag | State::AfterName | State::AttrName => self.write_attr_name(value, out),
            State::BeforeValue => {
                self.begin_value(Delim::Unquoted);
                self.write_content(value, out)
            }
            State::Value => self.write_content(value, out),
            State::Raw => self.write_raw(value, out),
        }
    }

    fn write_attr_name(&mut self, value: &Value, out: &mut String) -> Result<(), String> {
        let text = plain(value);
        let name = if self.state == State::AttrName { format!("{}{text}", self.attr) } else { text.clone() };
        let is_word = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_word || content_of(&name) != Content::Plain {
            return Err(format!("html mode: {text:?} cannot stand as an attribute's name"));
        }
        out.push_str(&text);
        if !text.is_empty() {
            self.attr = name;
            self.state = State::AttrName;
        }
        Ok(())
    }

    /// Into an attribute's value.
    fn write_content(&mut self, value: &Value, out: &mut String) -> Result<(), String> {
        let text = match self.content {
            Content::Plain => {
                let unquoted = self.delim == Delim::Unquoted;
                match value {
                    Value::Html(html) => push_escaped(out, &without_tags(html), unquoted, true),
                    value => push_escaped(out, &plain(value), unquoted, false),
                }
                return Ok(());
            }
            Content::Url => self.url_text(value),
            Content::Css => self.css_text(value)?,
            Content::Js => self.js_text(value)?,
        };
        push_escaped(out, &text, self.delim == Delim::Unquoted, false);
        Ok(())
    }

    /// Into a script, style, textarea or title.
    fn write_raw(&mut self, value: &Value, out: &mut String) -> Result<(), String> {
        match self.content {
            Content::Css => out.push_str(&self.css_text(value)?),
            Content::Js => out.push_str(&self.js_text(value)?),
            Content::Plain | Content::Url => match value {
                Value::Html(html) => push_escaped(out, html, false, true),
                value => push_escaped(out, &plain(value), false, false),
            },
        }
        Ok(())
    }

    fn url_text(&mut self, value: &Value) -> String {
        let text = plain(value);
        if self.url == UrlPart::Query {
            return url_escaped(&text, matches!(value, Value::Url(_)));
        }
        if self.url == UrlPart::Start && !matches!(value, Value::Url(_)) && !has_safe_scheme(&text) {
            self.url = UrlPart::Path;
            return format!("#{UNSAFE}");
        }
        if text.contains(['?', '#']) {
            self.url = UrlPart::Query;
        } else if !text.is_empty() {
            self.url = UrlPart::Path;
        }
        url_escaped(&text, true)
    }

    fn css_text(&self, value: &Value) -> Result<String, String> {
        if self.css_unsure.is_some() {
            return Err(
                "html mode: a value cannot stand inside a CSS string, comment or parenthesis".to_owned()
            );
        }
        let text = plain(value);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b" #.%_-+!,".contains(&b) || b >= 0x80;
        let lower: String = text.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        let is_safe = text.bytes().all(allowed)
            && !text.contains("--")
            && !lower.contains("expression")
            && !lower.contains("mozbinding");
        Ok(if is_safe { text } else { UNSAFE.to_owned() })
    }

    fn js_text(&self, value: &Value) -> Result<String, String> {
        match self.js {
            Js::Code if self.tail.trim_end().ends_with('/') => {
                Err("html mode: a value cannot stand after a slash in a script".to_owned())
            }
            Js::Code => {
                let mut json = String::new();
                push_json(&mut json, value);
                // Numbers keep their distance from names and other numbers.
                Ok(if json.starts_with('"') { json } else { format!(" {json} ") })
            }
            Js::Double | Js::Single => {
                let json = json_string(&plain(value));
                Ok(json[1..json.len() - 1].replace('\'', "\\u0027").replace("\\\"", "\\u0022"))
            }
            Js::LineComment | Js::BlockComment => Ok(String::new()),
            Js::Unsure => {
                Err("html mode: a value cannot stand in a template literal or regular expression of a script"
                    .to_owned())
            }
        }
    }
}

/// What is printed of a value: nothing for nil.
fn plain(value: &Value) -> String {
    let mut out = String::new();
    if !matches!(value, Value::Nil) {
        push_text(&mut out, value);
    }
    out
}

/// Escapes for text and attributes, as Go's html/template does. `unquoted` also what ends an unquoted value;
/// `entities_stay` leaves `&` alone, for text that is HTML already.
fn push_escaped(out: &mut String, text: &str, unquoted: bool, entities_stay: bool) {
    if unquoted && text.is_empty() {
        out.push_str(UNSAFE);
    }
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '+' => out.push_str("&#43;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' if !entities_stay => out.push_str("&amp;"),
            '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '=' | '`' if unquoted => {
                let _ = write!(out, "&#{};", c as u32);
            }
            c => out.push(c),
        }
    }
}

/// HTML without what stands between `<` and `>`.
fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            c if !in_tag => out.push(c),
            _ => {}
        }
    }
    out
}

/// Without a scheme, or with one of those that start no script.
fn has_safe_scheme(url: &str) -> bool {
    match url.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|safe| scheme.eq_ignore_ascii_case(safe))
        }
        _ => true,
    }
}

/// Percent-encodes; `normalises` leaves reserved characters and what is encoded already.
fn url_escaped(text: &str, normalises: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (idx, byte) in bytes.iter().enumerate() {
        let is_encoded =
            || bytes.get(idx + 1..idx + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let stays = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b if b.is_ascii_alphanumeric() => true,
            b'%' => normalises && is_encoded(),
            b => normalises && b"!#$&*+,/:;=?@[]".contains(b),
        };
        if stays {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\'' | '/' | '=' | '+' | '`' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn push_json(out: &mut String, value: &Value) {
    if out.len() > crate::limits::OUTPUT_BYTES_MAX {
        return;
    }
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(_) | Value::Int(_) | Value::Duration(_) => {
            let number = match value {
                Value::Duration(ns) => Value::Int(*ns),
                other => other.clone(),
            };
            push_text(out, &number);
        }
        Value::Float(number) if number.is_finite() => {
            let _ = write!(out, "{number}");
        }
        other => match items(other) {
            Some(Items::List(list)) => {
                out.push('[');
                for (idx, value) in list.iter().enumerate() {
                    out.push_str(if idx > 0 { "," } else { "" });
                    push_json(out, value);
                }
                out.push(']');
            }
            Some(Items::Map(pairs)) => {
                out.push('{');
                for (idx, (key, value)) in pairs.iter().enumerate() {
                    out.push_str(if idx > 0 { "," } else { "" });
                    out.push_str(&json_string(&to_text(key)));
                    out.push(':');
                    push_json(out, value);
                }
                out.push('}');
            }
            None => out.push_str(&json_string(&to_text(other))),
        },
    }
}
