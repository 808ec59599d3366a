//! What was said in an attempt and what came back, for tests of receivers. Secrets are cut out before anybody sees it.

use http::Method;
use serde::Serialize;
use url::Url;

/// How much of a body is shown, in bytes. Chosen: a message of one alert fits.
const BODY_BYTES_SHOWN: usize = 4 << 10;
/// How much of an answer is shown, in bytes. Chosen.
const ANSWER_BYTES_SHOWN: usize = 1 << 10;
/// What stands in the place of a secret.
const MASK: &str = "<secret>";
/// Shorter texts are no secrets, and cutting them out would make the rest unreadable. Chosen.
const SECRET_BYTES_MIN: usize = 4;

/// One request and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exchange {
    /// `POST hooks.example.com`, or whom a mail goes to; paths of addresses often are secrets.
    pub(crate) to: String,
    /// The beginning of what was sent.
    pub(crate) sent: String,
    /// HTTP status, or SMTP code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// The beginning of what came back.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) answer: String,
}

/// What is kept of an attempt.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    secrets: Vec<String>,
    exchanges: Vec<Exchange>,
}

impl Trace {
    /// A text that must not be shown.
    pub(crate) fn hide(&mut self, secret: &str) {
        if secret.len() >= SECRET_BYTES_MIN {
            self.secrets.push(secret.to_owned());
        }
    }

    /// A request that goes out.
    pub(crate) fn request(&mut self, method: &Method, url: &Url, body: &[u8]) {
        let to = format!("{method} {}", url.host_str().unwrap_or_default());
        self.said(to, &String::from_utf8_lossy(body));
    }

    /// Something that goes out.
    pub(crate) fn said(&mut self, to: String, sent: &str) {
        self.exchanges.push(Exchange { to, sent: beginning(sent, BODY_BYTES_SHOWN), ..Exchange::default() });
    }

    /// What came back to the last of them.
    pub(crate) fn answered(&mut self, status: Option<u16>, answer: &str) {
        if let Some(last) = self.exchanges.last_mut() {
            last.status = status;
            last.answer = beginning(answer, ANSWER_BYTES_SHOWN);
        }
    }

    /// All of it, without the secrets.
    pub(crate) fn into_exchanges(mut self) -> Vec<Exchange> {
        // The longest first, since one may be part of another.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let secrets: Vec<String> = self.secrets.iter().flat_map(|secret| forms(secret)).collect();
        for exchange in &mut self.exchanges {
            for text in [&mut exchange.to, &mut exchange.sent, &mut exchange.answer] {
                for secret in &secrets {
                    if text.contains(secret.as_str()) {
                        *text = text.replace(secret.as_str(), MASK);
                    }
                }
            }
        }
        self.exchanges
    }
}

/// A secret as it may stand in a body: as it is, in a form, in JSON.
fn forms(secret: &str) -> Vec<String> {
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::to_string(secret).unwrap_or_default();
    let mut forms = vec![secret.to_owned(), encoded, json.trim_matches('"').to_owned()];
    forms.dedup();
    forms
}

fn beginning(text: &str, bytes_max: usize) -> String {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // A secret that the cut parts would not be found: the line before it is the end.
    match end < text.len() {
        true => format!("{}…", &text[..text[..end].rfind(char::is_whitespace).unwrap_or(0)]),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown_in_whatever_form() {
        let check = |body: &str, expected: &str| {
            let mut trace = Trace::default();
            ["a&b\"c", "a&b\"c-and-more", "xy"].iter().for_each(|secret| trace.hide(secret));
            trace.said("to".into(), body);
            trace.answered(Some(200), body);
            let exchange = &trace.into_exchanges()[0];
            assert_eq!((exchange.sent.as_str(), exchange.answer.as_str()), (expected, expected), "{body}");
        };
        check("plain xy", "plain xy");
        check("key=a&b\"c", "key=<secret>");
        check("key=a%26b%22c&x=1", "key=<secret>&x=1");
        check(r#"{"key":"a&b\"c-and-more"}"#, r#"{"key":"<secret>"}"#);
    }

    #[test]
    fn long_bodies_are_cut_between_words() {
        let text = "word ".repeat(10_000);
        let shown = beginning(&text, 14);
        assert_eq!(shown, "word word…");
    }
}
