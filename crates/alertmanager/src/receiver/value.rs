//! What keys of receivers hold: secrets, URLs, durations, templates with a default.

use std::path::PathBuf;
use std::time::Duration;

use net::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::{Checker, Fault};

/// A secret given in place or in a file that is read whenever it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In place.
    Inline(Secret),
    /// In a file.
    File(PathBuf),
}

/// The text of the file, else a call of the template that users know as `default`.
pub(super) fn or_template(own: &Option<String>, default: &str) -> String {
    own.clone().unwrap_or_else(|| format!(r#"{{{{ template "{default}" . }}}}"#))
}

/// The value of a key that has one and is not empty.
pub(super) fn non_empty(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// Zero stands for «no bound of its own».
pub(super) fn timeout_of(timeout: Option<GoDuration>) -> Option<Duration> {
    timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero())
}

/// http or https and a host.
pub(super) fn check_url(url: &str) -> Result<(), Fault> {
    if url == "<secret>" { Ok(()) } else { parse_url(url).map(|_| ()) }
}

/// As [`check_url`]; of a template only that it can be read, for what it gives is checked when it is filled in.
pub(super) fn check_template_url(url: &str) -> Result<(), Fault> {
    if url.contains("{{") {
        // The text may hold a password, which the reader's error would repeat.
        let is_good = crate::notify::is_template(url);
        return if is_good { Ok(()) } else { Err(Fault::new("the URL is no template: see its braces")) };
    }
    check_url(url)
}

/// A URL of http or https with a host. The text may hold a password, so that errors do not repeat it.
pub(crate) fn parse_url(text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text).map_err(|err| Fault::new(format!("invalid URL: {err}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Fault::new(format!("unsupported scheme {:?} for URL", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) { Err(Fault::new("missing host for URL")) } else { Ok(url) }
}

/// The API's address: of the receiver, of `global`, or the one that everybody uses.
pub(super) fn api_url(own: &Option<String>, global: &Option<String>, default: &str) -> Result<Url, Fault> {
    // An empty one is no address, and not the global one, as upstream has it.
    parse_url(own.as_deref().or(global.as_deref()).unwrap_or(default))
}

/// `url` with `more` behind its path, one slash between them.
pub(super) fn below(url: &Url, more: &str) -> Url {
    let mut url = url.clone();
    let path = format!("{}/{more}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// At most `chars_max` characters, the last one an ellipsis when something is left out.
pub(super) fn cut(text: String, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text;
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// At most `bytes_max` bytes, cut between characters, the end shown by three dots.
pub(super) fn cut_bytes(text: String, bytes_max: usize) -> String {
    const DOTS: &str = "…";
    if text.len() <= bytes_max {
        return text;
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub(DOTS.len()));
    format!("{}{DOTS}", &text[..end])
}

/// The webhook's address, in place or in a file.
pub(super) fn check_webhook(
    checker: &Checker<'_>,
    url: &Option<Secret>,
    file: &Option<PathBuf>,
) -> Result<Source, Fault> {
    let source = checker.one_of(("webhook_url", url), ("webhook_url_file", file))?;
    let source =
        source.ok_or_else(|| Fault::new("one of webhook_url or webhook_url_file must be configured"))?;
    if let Source::Inline(url) = &source {
        check_url(url.expose())?;
    }
    Ok(source)
}

/// A duration in Go's syntax, `1h2m3.5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GoDuration(pub(crate) Duration);

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(Self::default()) };
        go_duration(&text).map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("time: invalid duration {}", model::labels::quoted(&text)))
        })
    }
}

impl Serialize for GoDuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&go_duration_text(self.0))
    }
}

/// `1h2m3.5s`, `1.5ms`, `0s`, as Go writes durations.
fn go_duration_text(duration: Duration) -> String {
    let ns = duration.as_nanos();
    let decimal = |unit_ns: u128, unit: &str| {
        let fraction = format!("{:0width$}", ns % unit_ns, width = unit_ns.ilog10() as usize);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{}{point}{fraction}{unit}", ns / unit_ns)
    };
    match ns {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{ns}ns"),
        1_000..1_000_000 => return decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => return decimal(1_000_000, "ms"),
        _ => {}
    }
    let minutes = duration.as_secs() / 60;
    let seconds = go_seconds(duration - Duration::from_secs(minutes * 60));
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// Seconds below a minute, with what is finer.
fn go_seconds(duration: Duration) -> String {
    let fraction = format!("{:09}", duration.subsec_nanos());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}s", duration.as_secs())
}

/// Reads `1h2m3.5s`; negative ones, and those over 292 years, are refused.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total_ns = 0f64;
    while !rest.is_empty() {
        let n_number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(n_number);
        let n_unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(n_unit);
        let unit_ns = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total_ns += number.parse::<f64>().ok()? * unit_ns;
        rest = after;
    }
    (!text.is_empty() && total_ns < i64::MAX as f64).then(|| Duration::from_nanos(total_ns as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        for text in ["0s", "500ms", "1.5ms", "2µs", "3ns", "1.5s", "1m0s", "1m1.5s", "1h0m0s", "26h2m3.25s"]
        {
            assert_eq!(go_duration_text(go_duration(text).expect(text)), text);
        }
    }

    #[test]
    fn durations_in_gos_syntax() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(go_duration(text).map(|d| d.as_millis() as u64), expected, "{text}");
        };
        check("500ms", Some(500));
        check("1h2m3.5s", Some(3_723_500));
        check("0", Some(0));
        check("1d", None);
        check("", None);
        check("-1s", None);
        check("5", None);
        check("300000000h", None);
    }
}
