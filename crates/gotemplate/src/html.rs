//! Html mode: what actions write is escaped for the place it is written to.
//!
//! In from the executor, both the template's own text (trusted: it moves the state) and values (escaped: they cannot
//! move it). The place is found while writing, by a small state machine over the HTML written so far, where Go's
//! html/template finds it beforehand; so a template whose branches end in different places works here.
//! Conservative: where Go would guess (regular expressions, CSS strings), this refuses.

use std::fmt::Write as _;

use crate::print::{items, push_text, to_text};
use crate::time::format_time;
use crate::value::{Items, Object, Value};

/// Go's layout of times in JSON.
const RFC_3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";
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
    /// Inside a template literal, but not in its `${…}`, which is code.
    Template,
    /// After a slash that may begin a regular expression: values are refused.
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
    /// How many braces are open in each `${…}` that encloses the code.
    js_braces: Vec<usize>,
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
            js_braces: Vec::new(),
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
        self.js_braces.clear();
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
        self.js_braces.clear();
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
            (Js::Code, '`') => Js::Template,
            (Js::Template, '`') if !escaped => Js::Code,
            (Js::Template, '{') if self.tail.ends_with("${") && !self.tail.ends_with("\\${") => {
                self.js_braces.push(0);
                Js::Code
            }
            (Js::Code, '}') if self.js_braces.last() == Some(&0) => {
                self.js_braces.pop();
                Js::Template
            }
            (Js::Code, '{' | '}') => {
                if let Some(n_open) = self.js_braces.last_mut() {
                    *n_open = if c == '{' { *n_open + 1 } else { *n_open - 1 };
                }
                Js::Code
            }
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
            State::TagName if !self.tag.starts_with(['!', '/', '?']) => {
                self.attr.clear();
                self.write_attr_name(value, out);
                Ok(())
            }
            State::TagName | State::Markup => {
                Err("html mode: a value cannot stand in a tag's name".to_owned())
            }
            State::Tag | State::AfterName | State::AttrName => {
                self.write_attr_name(value, out);
                Ok(())
            }
            State::BeforeValue => {
                self.begin_value(Delim::Unquoted);
                self.write_content(value, out)
            }
            State::Value => self.write_content(value, out),
            State::Raw => self.write_raw(value, out),
        }
    }

    fn write_attr_name(&mut self, value: &Value, out: &mut String) {
        let text = plain(value).to_lowercase();
        let before = if self.state == State::AttrName { self.attr.as_str() } else { "" };
        let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        let is_plain = |name: &str| content_of(name) == Content::Plain;
        let is_safe = is_word && is_plain(&text) && is_plain(&format!("{before}{text}"));
        let text = if is_safe { text.as_str() } else { UNSAFE };
        self.attr = format!("{before}{text}");
        self.state = State::AttrName;
        out.push_str(text);
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
        let lower: String = text.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        let is_safe = !text.contains(|c| "\0\"'()/;@[\\]`{}<>".contains(c))
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
                // Numbers and words keep their distance from names and other numbers.
                let is_word = |c: char| c.is_alphanumeric() || c == '$' || c == '_';
                Ok(if json.starts_with(is_word) || json.ends_with(is_word) {
                    format!(" {json} ")
                } else {
                    json
                })
            }
            Js::Double | Js::Single => Ok(js_escaped(&plain(value), false)),
            Js::Template => Ok(js_escaped(&plain(value), true)),
            Js::LineComment | Js::BlockComment => Ok(String::new()),
            Js::Unsure => {
                Err("html mode: a value cannot stand in a regular expression of a script".to_owned())
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

/// Text inside quotes of a script, or inside a template literal.
fn js_escaped(text: &str, is_template: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\0' | '\u{b}' | '"' | '\'' | '`' | '&' | '+' | '<' | '>' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            '$' | '{' | '}' if is_template => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// As Go's encoder writes it.
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
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A finite number as Go's encoder writes it: with an exponent where it is very small or large.
pub fn json_number(n: f64) -> String {
    match n.abs() {
        0.0 | 1e-6..1e21 => n.to_string(),
        size if size < 1e-6 => format!("{n:e}"),
        _ => format!("{n:e}").replace('e', "e+"),
    }
}

fn push_json(out: &mut String, value: &Value) {
    if out.len() > crate::limits::OUTPUT_BYTES_MAX {
        return;
    }
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(_) | Value::Int(_) => push_text(out, value),
        Value::Float(number) if number.is_finite() => out.push_str(&json_number(*number)),
        Value::Time(time) => out.push_str(&json_string(&format_time(time, RFC_3339_NANO))),
        Value::Object(object) => push_object_json(out, object.as_ref()),
        other => match items(other) {
            Some(items) => push_items_json(out, items),
            None => out.push_str(&json_string(&to_text(other))),
        },
    }
}

fn push_items_json(out: &mut String, items: Items) {
    match items {
        Items::List(list) => {
            out.push('[');
            for (idx, value) in list.iter().enumerate() {
                out.push_str(if idx > 0 { "," } else { "" });
                push_json(out, value);
            }
            out.push(']');
        }
        Items::Map(pairs) => {
            out.push('{');
            for (idx, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if idx > 0 { "," } else { "" });
                out.push_str(&json_string(&to_text(key)));
                out.push(':');
                push_json(out, value);
            }
            out.push('}');
        }
    }
}

/// What can say itself as text does so; structures are marshalled by their fields.
fn push_object_json(out: &mut String, object: &dyn Object) {
    if let Some(Ok(text)) = object.call("String", &[]) {
        out.push_str(&json_string(&to_text(&text)));
        return;
    }
    let keys = object.json_keys();
    match object.items() {
        Some(items) => push_items_json(out, items),
        None if keys.is_empty() => out.push_str(&json_string(&object.display())),
        None => {
            out.push('{');
            for (idx, (key, field)) in keys.iter().enumerate() {
                out.push_str(if idx > 0 { "," } else { "" });
                out.push_str(&json_string(key));
                out.push(':');
                push_json(out, &object.field(field).unwrap_or(Value::Nil));
            }
            out.push('}');
        }
    }
}
