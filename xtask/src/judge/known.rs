//! Verdicts that differ on purpose, as docs/differences.md lists them.

/// What the loser's message says, and why.
const BY_MESSAGE: &[(&str, &str)] = &[
    ("refresh_interval must be greater than 0", "the other fails when it begins to look"),
    ("refresh_interval must be positive", "a section's key without a value is its default"),
    ("cannot read this number as u16", "no port"),
    ("cannot read this number as u32", "nothing works with it"),
    ("request_concurrency must be from 1 to 100", "nothing works with it"),
    ("timeout must be greater than 0", "nothing works with it"),
    ("burst must be at least 1", "no request would be let through"),
    ("is no duration; write a number with a unit", "nanoseconds are not meant"),
    ("unknown endpoint", "found sooner"),
    ("scheme must be http or https", "found sooner"),
    ("is not spoken; use http", "found sooner"),
    ("there is no scheme", "found sooner"),
    ("URL scheme must be", "found sooner"),
    ("there is no cloud configuration", "found sooner"),
    ("is empty", "found sooner"),
    ("is no host:port", "found sooner"),
    ("invalid IPv4 address", "found sooner"),
    ("invalid IPv6 address", "found sooner"),
    ("invalid port number", "found sooner"),
    ("invalid international domain name", "found sooner"),
    ("relative URL without a base", "found sooner"),
    ("must begin with http:// or https://", "found sooner"),
    ("not a finite number", "infinity is no text"),
    ("unknown name escaping method", "found sooner"),
    ("has characters that HTTP forbids", "found sooner"),
    ("secret ref", "there is nothing to look it up in"),
    ("\"\" is not a valid label name", "something is missing"),
    ("found '('", "the API server judges selectors"),
    ("queue max_shards must be positive", "a section without a value is its default"),
];

/// Why verdicts may differ where the one that refuses says `message`.
pub(super) fn reason(message: &str) -> Option<&'static str> {
    BY_MESSAGE.iter().find(|(part, _)| message.contains(part)).map(|(_, why)| *why)
}
