//! Events as protobuf's JSON has them: numbers of 64 bits are texts, times are RFC 3339, durations are seconds.

use std::fmt::Display;

use super::note::Note;
use super::shape::{Field, Fields, event};
use crate::time::api_rfc3339;

/// One line, without its end.
pub(super) fn line(note: &Note, instance: &str, position: u32) -> String {
    let mut json = Json { text: String::with_capacity(512) };
    json.object(|to| event(to, note, instance, position));
    json.text
}

/// A JSON object that grows.
struct Json {
    text: String,
}

impl Json {
    fn object(&mut self, put: impl FnOnce(&mut Self)) {
        self.text.push('{');
        put(self);
        self.text.push('}');
    }

    /// The comma, but at the start of an object or a list.
    fn next(&mut self) {
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
    }

    /// The name of what follows.
    fn name(&mut self, field: Field) {
        self.next();
        self.quoted(field.1);
        self.text.push(':');
    }

    fn quoted(&mut self, text: &str) {
        self.text += &serde_json::to_string(text).expect("texts always serialise");
    }

    /// A text that needs no escapes.
    fn plain(&mut self, field: Field, text: impl Display) {
        self.name(field);
        self.text += &format!("\"{text}\"");
    }

    fn list<T>(
        &mut self,
        field: Field,
        items: impl IntoIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        self.name(field);
        self.text.push('[');
        for item in items {
            self.next();
            put(self, item);
        }
        self.text.push(']');
    }
}

impl Fields for Json {
    fn text(&mut self, field: Field, value: &str) {
        if !value.is_empty() {
            self.name(field);
            self.quoted(value);
        }
    }

    fn texts(&mut self, field: Field, values: &[String]) {
        self.list(field, values, |to, value| to.quoted(value));
    }

    fn count(&mut self, field: Field, value: u32) {
        if value != 0 {
            self.name(field);
            self.text += &value.to_string();
        }
    }

    fn long(&mut self, field: Field, value: u64) {
        if value != 0 {
            self.plain(field, value);
        }
    }

    fn longs(&mut self, field: Field, values: &[u64]) {
        self.list(field, values, |to, value| to.text += &format!("\"{value}\""));
    }

    fn flag(&mut self, field: Field, value: bool) {
        if value {
            self.name(field);
            self.text += "true";
        }
    }

    fn choice(&mut self, field: Field, value: Field) {
        if value.0 != 0 {
            self.plain(field, value.1);
        }
    }

    /// Three digits behind the second, or none.
    fn time(&mut self, field: Field, at_ms: i64) {
        self.plain(field, api_rfc3339(at_ms).replace(".000Z", "Z"));
    }

    /// `14400s`, `0.500s`.
    fn duration(&mut self, field: Field, ms: i64) {
        let (secs, millis) = (ms / 1_000, ms % 1_000);
        let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
        self.plain(field, format_args!("{secs}{fraction}s"));
    }

    fn message(&mut self, field: Field, put: impl FnOnce(&mut Self)) {
        self.name(field);
        self.object(put);
    }

    fn messages<T>(
        &mut self,
        field: Field,
        items: impl IntoIterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        self.list(field, items, |to, item| to.object(|to| put(to, item)));
    }
}
