//! The dialect, its refusals and the fast paths; expected results are Go's.

use super::*;
use proptest::prelude::*;

fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    let regex = Regex::new(pattern).unwrap_or_else(|err| panic!("{err}"));
    for text in matching {
        assert!(regex.is_match(text), "{pattern} should match {text:?}");
        assert_eq!(regex.expand(text, "$0").as_deref(), Some(*text), "{pattern} on {text:?}");
    }
    for text in others {
        assert!(!regex.is_match(text), "{pattern} should not match {text:?}");
        assert_eq!(regex.expand(text, "$0"), None, "{pattern} on {text:?}");
    }
}

fn check_refused(pattern: &str, expected: &str) {
    let err = Regex::new(pattern).expect_err(pattern).to_string();
    assert_eq!(err, format!("error parsing regexp: {expected}"), "{pattern}");
}

#[test]
fn classes_of_perl_are_ascii() {
    check(r"\d+", &["09"], &["٣", ""]);
    check(r"\w+", &["aZ_9"], &["é"]);
    check(r"\s", &["\t", "\n", "\x0c", "\r", " "], &["\x0b", "\u{a0}"]);
    check(r"\D\W\S", &["é-é"], &["1-é"]);
    check(r".\b.\B.", &["éab"], &["aéa"]);
}

#[test]
fn braces_without_counts_are_text() {
    check("{gid}", &["{gid}"], &["gid"]);
    check("a{,2}", &["a{,2}"], &["aa"]);
    check("a{1", &["a{1"], &[]);
    check("a{01}", &["a{01}"], &["a"]);
    check("a{2}b{1,}c{0,1}", &["aab", "aabbbc"], &["ab", "aabcc"]);
    check("(ab){0}c", &["c"], &["abc"]);
}

#[test]
fn brackets_know_no_set_operations() {
    check("[a&&b]+", &["a&b"], &["c"]);
    check("[[a]+", &["[a"], &["]"]);
    check("[a~~b]+", &["~ab"], &[]);
    check("[]a]+", &["]a"], &["["]);
    check("[^]a]", &["b"], &["]", "a"]);
    check("[a-]+", &["a-"], &["b"]);
    check("[-a]+", &["a-"], &["b"]);
    check(r"[\d\-x]+", &["1-x"], &["a"]);
    check("[[:alpha:]_]+", &["a_Z"], &["1"]);
    check("[[:^alpha:]]", &["1"], &["a"]);
    check("[:alpha:]+", &["alph:"], &["z"]);
    check(r"[^\x00-\x{10FFFF}]", &[], &["", "a"]);
}

#[test]
fn escapes() {
    check(r"\Qa*b\E+", &["a*b", "a*bb"], &["aab"]);
    check(r"\Qa.b", &["a.b"], &["axb"]);
    check(r"\x41\x{1F600}\101\07", &["A😀A\x07"], &[]);
    check(r"\.\-\_\/\ ", &[".-_/ "], &[]);
    check(r"\a\f\n\r\t\v", &["\x07\x0c\n\r\t\x0b"], &[]);
    check(r"\Ab\z", &["b"], &["ab"]);
    check(r"\x{d800}", &[], &["a", ""]);
    check(r"\pN\p{Lu}\p{Greek}\P{L}\p{^L}", &["1Aα11"], &["1aα11"]);
}

#[test]
fn flags_hold_within_their_group() {
    check("a.b", &["a\nb"], &[]);
    check("(?-s)a.b", &["axb"], &["a\nb"]);
    check("(?-s).*", &["a", ""], &["\n"]);
    check("(?i)k", &["k", "K", "\u{212a}"], &["j"]);
    check("(?i:a)b", &["Ab"], &["AB"]);
    check("((?i)a)b", &["Ab"], &["AB"]);
    check("(?i)[^a]", &["b"], &["A", "a"]);
    check("(?m)a$\n^b", &["a\nb"], &[]);
    check("a$\n^b", &[], &["a\nb"]);
    assert_eq!(Regex::new("(?U)(a+)(a*)").unwrap().expand("aaa", "$1").as_deref(), Some("a"));
    assert_eq!(Regex::new("(a+?)(a*)").unwrap().expand("aaa", "$1").as_deref(), Some("a"));
    check("|a", &["", "a"], &["b"]);
    check("^a|b$", &["a", "b"], &["ab"]);
}

#[test]
fn refusals_in_go_s_words() {
    check_refused("(foo", "missing closing ): `(foo`");
    check_refused("foo)", "unexpected ): `foo)`");
    check_refused("a**", "invalid nested repetition operator: `**`");
    check_refused("a???", "invalid nested repetition operator: `???`");
    check_refused("a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check_refused("a|*", "missing argument to repetition operator: `*`");
    check_refused("(*)", "missing argument to repetition operator: `*`");
    check_refused("(?i)*", "missing argument to repetition operator: `*`");
    check_refused("x{1001}", "invalid repeat count: `{1001}`");
    check_refused("x{2,1}", "invalid repeat count: `{2,1}`");
    check_refused("(x{500}){3}", "invalid repeat count: `{3}`");
    check_refused("[a", "missing closing ]: `[a`");
    check_refused("[z-a]", "invalid character class range: `z-a`");
    check_refused("[a--b]", "invalid character class range: `a--`");
    check_refused("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check_refused(r"\p{Foo}", r"invalid character class range: `\p{Foo}`");
    check_refused(r"\pX", r"invalid character class range: `\pX`");
    check_refused(r"\p{Greek", r"invalid character class range: `\p{Greek`");
    check_refused("\\", "trailing backslash at end of expression: ``");
    check_refused(r"\C", r"invalid escape sequence: `\C`");
    check_refused(r"\8", r"invalid escape sequence: `\8`");
    check_refused(r"\1", r"invalid escape sequence: `\1`");
    check_refused(r"\é", r"invalid escape sequence: `\é`");
    check_refused(r"[\Qa]", r"invalid escape sequence: `\Q`");
    check_refused(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check_refused("(?z)", "invalid or unsupported Perl syntax: `(?z`");
    check_refused("(?", "invalid or unsupported Perl syntax: `(?`");
    check_refused("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
    check_refused("(?--i)", "invalid or unsupported Perl syntax: `(?--`");
    check_refused("(?-)", "invalid or unsupported Perl syntax: `(?-)`");
    check_refused("(?P<n", "invalid named capture: `(?P<n`");
    check_refused("(?P<>a)", "invalid named capture: `(?P<>`");
    check_refused("(?P<a b>a)", "invalid named capture: `(?P<a b>`");
}

#[test]
fn size_and_depth_are_limited() {
    let deep = |n: usize| format!("{}a+{}", "(".repeat(n), ")".repeat(n));
    check(&deep(NEST_MAX), &["aa"], &["b"]);
    assert!(Regex::new(&deep(NEST_MAX + 1)).is_err_and(|err| err.reason == "expression nests too deeply"));
    assert!(Regex::new(&deep(1_000_000)).is_err());
    let large = r"(\pL{1000}){1}".repeat(100);
    assert!(Regex::new(&large).is_err_and(|err| err.reason == "expression too large"));
    // Many names of hosts are no automaton.
    let hosts: Vec<String> = (0..5000).map(|i| format!("host-{i:04}.example.org:9100")).collect();
    for (pattern, n_texts) in [(hosts.join("|"), None), (hosts.join("|").replace('.', r"\."), Some(5000))] {
        let regex = Regex::new(&pattern).unwrap_or_else(|err| panic!("{}", err.reason));
        assert_eq!(regex.literal_alternatives().map(<[_]>::len), n_texts);
        assert!(
            regex.is_match("host-4999.example.org:9100") && !regex.is_match("host-5000.example.org:9100")
        );
    }
}

#[test]
fn expands_as_go_does() {
    let expand =
        |pattern: &str, text: &str, template: &str| Regex::new(pattern).unwrap().expand(text, template);
    for (template, expected) in [
        ("$1", "host"),
        ("${1}0", "host0"),
        ("$10", ""),
        ("$1x", ""),
        ("$1-$2", "host-80"),
        ("$port!", "80!"),
        ("${port}", "80"),
        ("$0", "host:80"),
        ("$$1", "$1"),
        ("$", "$"),
        ("$-", "$-"),
        ("${1", "${1"),
        ("${}", "${}"),
        ("$nope", ""),
        ("$01", ""),
        ("$1é", ""),
        ("a$3b", "ab"),
    ] {
        let got = expand("(.*):(?P<port>[0-9]+)", "host:80", template);
        let expected = if template == "a$3b" { "a" } else { expected };
        assert_eq!(got.as_deref(), Some(expected), "{template}");
    }
    assert_eq!(expand("(.*)", "x", "<$1$0$2$a>").as_deref(), Some("<xx>"));
    assert_eq!(expand(".*", "x", "<$0$1>").as_deref(), Some("<x>"));
    // Of groups that share a name the first that took part counts.
    assert_eq!(expand("(?P<n>a)|(?P<n>b)", "b", "$n").as_deref(), Some("b"));
}

#[test]
fn shapes_spare_the_automaton() {
    let alternatives =
        |pattern: &str| Regex::new(pattern).unwrap().literal_alternatives().map(<[String]>::to_vec);
    let prefix = |pattern: &str| Regex::new(pattern).unwrap().prefix().map(str::to_owned);
    let texts = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    assert_eq!(alternatives("b|a|a"), texts(&["a", "b"]));
    assert_eq!(alternatives("foo(bar|baz)?"), texts(&["foo", "foobar", "foobaz"]));
    assert_eq!(alternatives("5.."), None);
    assert_eq!(alternatives("[45]xx"), texts(&["4xx", "5xx"]));
    assert_eq!(alternatives(""), texts(&[""]));
    assert_eq!(alternatives("(?i)a"), texts(&["A", "a"]));
    assert_eq!(alternatives("a.*"), None);
    assert_eq!(alternatives("^a$"), None);
    assert_eq!(prefix("abc.*").as_deref(), Some("abc"));
    assert_eq!(prefix("(ab)c[0-9]+").as_deref(), Some("abc"));
    assert_eq!(prefix(".*abc"), None);
    assert_eq!(prefix("abc|abd").as_deref(), Some("ab"));
    assert!(Regex::new(".*").unwrap().matches_anything() && Regex::new("(.*)").unwrap().matches_anything());
    assert!(!Regex::new(".+").unwrap().matches_anything());
    check("abc.*", &["abc", "abc\n"], &["ab", "xabc"]);
    check("abc.+", &["abcd"], &["abc"]);
    check(".*abc", &["abc", "xabc"], &["abcx"]);
    check(".+abc", &["éabc"], &["abc"]);
    check(".*abc.*", &["abc", "xabcx"], &["ab"]);
    check(".+abc.+", &["xabcx"], &["abc", "xabc", "abcx"]);
    check(".+", &["a", "\n"], &[""]);
    check(".+.+", &["ab"], &["", "a"]);
    check(".*", &["", "a\nb"], &[]);
}

proptest! {
    /// Patterns that `regex-automata`'s own parser reads the same way, compared with it.
    #[test]
    fn agrees_with_the_automaton(
        pattern in "(a|b|c|\\.|\\.\\*|\\.\\+|\\(a\\|b\\)|\\(ab\\)\\?|\\[ab\\]|\\||c\\*){0,6}",
        text in "[abc\n]{0,6}",
    ) {
        let Ok(regex) = Regex::new(&pattern) else { return Ok(()) };
        let oracle = meta::Regex::new(&format!("^(?s:{pattern})$")).expect("read by ours");
        prop_assert_eq!(regex.is_match(&text), oracle.is_match(&text), "{} on {:?}", pattern, text);
        prop_assert_eq!(regex.expand(&text, "$0").is_some(), oracle.is_match(&text));
        let begins = regex.prefix().is_none_or(|prefix| text.starts_with(prefix));
        prop_assert!(begins || !regex.is_match(&text));
    }

    #[test]
    fn any_pattern_is_read_or_refused(pattern in "([a-c|()\\[\\]{}*+?^$.\\\\:,0-9-]|\\(\\?|\\\\[a-zA-Z]|\\[:|é){0,20}") {
        if let Ok(regex) = Regex::new(&pattern) {
            prop_assert_eq!(regex.is_match("abc"), regex.expand("abc", "$0").is_some());
        }
    }
}
