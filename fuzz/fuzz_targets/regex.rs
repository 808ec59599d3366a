//! Regular expressions: compiled or refused; the fast paths say what the automaton says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Regex;

fuzz_target!(|input: (&str, &str)| {
    let (pattern, text) = input;
    let Ok(regex) = Regex::new(pattern) else { return };
    let matched = regex.is_match(text);
    assert_eq!(matched, regex.expand(text, "$0").is_some());
    if let Some(alternatives) = regex.literal_alternatives() {
        assert_eq!(matched, alternatives.iter().any(|alternative| alternative == text));
    }
    if let Some(prefix) = regex.prefix() {
        assert!(!matched || text.starts_with(prefix));
    }
});
