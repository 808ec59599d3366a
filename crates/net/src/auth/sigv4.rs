//! AWS' signature, version 4, of one request.
//!
//! In: a request, keys and the time. Out: its headers. Pure. From «Signature Version 4 signing process» of AWS' documentation; the tests
//! are AWS' own examples.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::sign::{hex, hmac_sha256, sha256};

/// All but RFC 3986's unreserved characters: what AWS wants escaped in paths and queries.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const ESCAPED_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Headers that someone on the way may change.
const UNSIGNED: [&str; 9] = [
    "authorization",
    "user-agent",
    "accept-encoding",
    "expect",
    "connection",
    "content-length",
    "transfer-encoding",
    "x-amzn-trace-id",
    "uber-trace-id",
];

/// Who signs, and for what.
pub(crate) struct Scope<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) secret_key: &'a str,
    /// Empty for keys that do not end.
    pub(crate) session_token: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// `20150830T123600Z`
fn amz_date(now_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Adds `x-amz-date`, `x-amz-security-token` and `authorization`.
pub(crate) fn sign(
    scope: &Scope<'_>,
    now_ms: i64,
    method: &Method,
    url: &Url,
    headers: &mut HeaderMap,
    body: &[u8],
) -> Result<(), http::header::InvalidHeaderValue> {
    let date = amz_date(now_ms);
    headers.insert(HeaderName::from_static("x-amz-date"), HeaderValue::from_str(&date)?);
    if !scope.session_token.is_empty() {
        let mut token = HeaderValue::from_str(scope.session_token)?;
        token.set_sensitive(true);
        headers.insert(HeaderName::from_static("x-amz-security-token"), token);
    }
    let (names, canonical_headers) = canonical_headers(url, headers);
    let request = format!(
        "{method}\n{}\n{}\n{canonical_headers}\n{names}\n{}",
        utf8_percent_encode(url.path(), ESCAPED_PATH),
        canonical_query(url),
        hex(&sha256(body)),
    );
    let day = &date[..8];
    let range = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{range}\n{}", hex(&sha256(request.as_bytes())));
    let first = format!("AWS4{}", scope.secret_key).into_bytes();
    let parts = [day, scope.region, scope.service, "aws4_request"];
    let key = parts.iter().fold(first, |key, part| hmac_sha256(&key, part.as_bytes()));
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={}/{range}, SignedHeaders={names}, Signature={}",
        scope.access_key,
        hex(&hmac_sha256(&key, text.as_bytes())),
    );
    let mut value = HeaderValue::from_str(&value)?;
    value.set_sensitive(true);
    headers.insert(http::header::AUTHORIZATION, value);
    Ok(())
}

/// Their names, and themselves, sorted.
fn canonical_headers(url: &Url, headers: &HeaderMap) -> (String, String) {
    let mut all: Vec<(String, String)> = Vec::new();
    for name in headers.keys().filter(|name| !UNSIGNED.contains(&name.as_str())) {
        let one = |value: &HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        };
        let values: Vec<_> = headers.get_all(name).iter().map(one).collect();
        all.push((name.as_str().to_owned(), values.join(",")));
    }
    if !headers.contains_key("host") {
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        all.push(("host".to_owned(), authority.to_owned()));
    }
    all.sort();
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    let lines = all.iter().map(|(name, value)| format!("{name}:{value}\n"));
    (names.join(";"), lines.collect())
}

/// Parameters escaped again in AWS' way and sorted.
fn canonical_query(url: &Url) -> String {
    let escape = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(&text.replace('+', " ")).collect();
        percent_encoding::percent_encode(&decoded, RESERVED).to_string()
    };
    let query = url.query().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (escape(name), escape(value))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z
    const NOW_MS: i64 = 1_440_938_160_000;

    fn check(
        method: Method,
        url: &str,
        headers: &[(&'static str, &'static str)],
        body: &str,
        service: &str,
        expected: &str,
    ) {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers: HeaderMap = pairs.collect();
        let scope = Scope {
            access_key: "AKIDEXAMPLE",
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token: "",
            region: "us-east-1",
            service,
        };
        sign(&scope, NOW_MS, &method, &Url::parse(url).unwrap(), &mut headers, body.as_bytes()).unwrap();
        let value = headers["authorization"].to_str().unwrap();
        assert!(value.ends_with(&format!("Signature={expected}")), "{url}: {value}");
    }

    #[test]
    fn signatures_are_those_of_aws_own_examples() {
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        check(
            Method::GET,
            "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            &form,
            "",
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        );
        let host = "https://example.amazonaws.com";
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        check(Method::GET, &format!("{host}/"), &[], "", "service", vanilla);
        let posted = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        check(Method::POST, &format!("{host}/"), &[], "", "service", posted);
        let sorted = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        check(Method::GET, &format!("{host}/?Param2=value2&Param1=value1"), &[], "", "service", sorted);
        let with_form = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        let form = [("content-type", "application/x-www-form-urlencoded")];
        check(Method::POST, &format!("{host}/"), &form, "Param1=value1", "service", with_form);
        let trimmed = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736";
        let headers = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
        check(Method::GET, &format!("{host}/"), &headers, "", "service", trimmed);
    }
}
