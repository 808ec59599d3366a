//! Every action and refusal; expected results are Prometheus'.

use super::*;
use proptest::prelude::*;

/// Rules as JSON, labels as pairs; the set afterwards as text, or `dropped`.
fn check(rules: serde_json::Value, labels: &[(&str, &str)], expected: &str) {
    let text = rules.to_string();
    let rules: Vec<RelabelConfig> = serde_json::from_value(rules).expect("rules are valid");
    let labels = Labels::from_pairs(labels.iter().copied());
    let result = process(&labels, &rules).map_or("dropped".to_owned(), |labels| labels.to_string());
    assert_eq!(result, expected, "{text} on {labels}");
}

fn check_refused(rule: serde_json::Value, expected: &str) {
    let text = rule.to_string();
    let err = serde_json::from_value::<RelabelConfig>(rule).expect_err(&text);
    assert_eq!(err.to_string(), expected, "{text}");
}

#[test]
fn the_classic_alphabet_is_kept_where_it_is_asked_for() {
    let check = |rule: serde_json::Value, expected: &str| {
        let rule: RelabelConfig = serde_json::from_value(rule).expect("a rule");
        let got = rule.validate_legacy().map_or_else(|err| err.to_string(), |()| "good".to_owned());
        assert_eq!(got, expected, "{rule:?}");
    };
    for good in ["a", "_1", "$1", "${1}", "a_${name}_b", "$1x2", "${1}2"] {
        check(serde_json::json!({"target_label": good}), "good");
        check(serde_json::json!({"action": "labelmap", "replacement": good}), "good");
    }
    for bad in ["a-b", "é", "1a", "a b", "$", "${", "${}", "${a-b}", "$-", "a$1-"] {
        let quoted = quoted(bad);
        check(
            serde_json::json!({"target_label": bad}),
            &format!("{quoted} is invalid 'target_label' for replace action"),
        );
        check(
            serde_json::json!({"action": "labelmap", "replacement": bad}),
            &format!("{quoted} is invalid 'replacement' for labelmap action"),
        );
    }
    for action in ["lowercase", "uppercase", "keepequal", "dropequal"] {
        let why = format!("\"${{1}}\" is invalid 'target_label' for {action} action");
        check(serde_json::json!({"action": action, "source_labels": ["a"], "target_label": "${1}"}), &why);
    }
    check(serde_json::json!({"action": "keep", "source_labels": ["a-b"]}), "good");
}

macro_rules! rules {
    ($($json:tt)*) => { serde_json::json!([$($json)*]) };
}

#[test]
fn replace_expands_into_label_and_value() {
    let abc: &[_] = &[("a", "foo"), ("b", "bar"), ("c", "baz")];
    let rule = |regex: &str, target: &str, replacement: &str| rules!({"source_labels": ["a"], "regex": regex, "target_label": target, "replacement": replacement});
    check(rule("f(.*)", "d", "ch${1}-ch${1}"), abc, r#"{a="foo", b="bar", c="baz", d="choo-choo"}"#);
    check(rule(".*(o).*", "d", "$1"), abc, r#"{a="foo", b="bar", c="baz", d="o"}"#);
    check(rule("o", "d", "x"), abc, r#"{a="foo", b="bar", c="baz"}"#);
    check(rule("(f).*", "x_$1", "y"), abc, r#"{a="foo", b="bar", c="baz", x_f="y"}"#);
    check(rule("(?P<first>f).*", "${first}", "y"), abc, r#"{a="foo", b="bar", c="baz", f="y"}"#);
    // An empty value removes; an empty name does nothing.
    check(rule("f(x)?oo", "a", "$1"), abc, r#"{b="bar", c="baz"}"#);
    check(rule("f(x)?oo", "$1", "y"), abc, r#"{a="foo", b="bar", c="baz"}"#);
    // `$1x` is the group named `1x`, which is not there.
    check(rule("(f)oo", "a", "$1x"), abc, r#"{b="bar", c="baz"}"#);
    check(rules!({"target_label": "d", "replacement": "static"}), &[("a", "1")], r#"{a="1", d="static"}"#);
    check(
        rules!({"source_labels": ["a", "b"], "separator": "-", "target_label": "d"}),
        abc,
        r#"{a="foo", b="bar", c="baz", d="foo-bar"}"#,
    );
    check(rules!({"source_labels": ["none"], "target_label": "a"}), abc, r#"{b="bar", c="baz"}"#);
}

#[test]
fn keep_and_drop_by_expression() {
    let abc: &[_] = &[("a", "foo"), ("b", "bar")];
    check(rules!({"source_labels": ["a"], "regex": "foo", "action": "drop"}), abc, "dropped");
    check(rules!({"source_labels": ["a"], "regex": "fo", "action": "drop"}), abc, r#"{a="foo", b="bar"}"#);
    check(rules!({"source_labels": ["a"], "regex": "no-match", "action": "keep"}), abc, "dropped");
    check(
        rules!({"source_labels": ["a", "b"], "regex": "f.*;.*r", "action": "KEEP"}),
        abc,
        r#"{a="foo", b="bar"}"#,
    );
    check(
        rules!({"source_labels": ["a"], "regex": ".*x.*", "action": "keep"}),
        &[("a", "\nx\n")],
        "{a=\"\\nx\\n\"}",
    );
    // A later rule sees what an earlier one made.
    check(
        rules!(
            {"source_labels": ["a"], "target_label": "c"},
            {"source_labels": ["c"], "regex": "foo", "action": "drop"}
        ),
        abc,
        "dropped",
    );
}

#[test]
fn equality_of_joined_sources_and_target() {
    let rule = |action: &str| rules!({"source_labels": ["port"], "target_label": "want", "action": action});
    let same: &[_] = &[("port", "80"), ("want", "80")];
    let other: &[_] = &[("port", "80"), ("want", "81")];
    check(rule("keepequal"), same, r#"{port="80", want="80"}"#);
    check(rule("keepequal"), other, "dropped");
    check(rule("dropequal"), same, "dropped");
    check(rule("dropequal"), other, r#"{port="80", want="81"}"#);
    check(rule("dropequal"), &[("x", "1")], "dropped");
}

#[test]
fn hashmod_is_the_tail_of_md5() {
    let rule = |source: &str, modulus: u64| rules!({"source_labels": [source], "target_label": "d", "modulus": modulus, "action": "hashmod"});
    check(rule("c", 1000), &[("c", "baz")], r#"{c="baz", d="976"}"#);
    check(rule("a", 1000), &[("a", "foo\nbar")], "{a=\"foo\\nbar\", d=\"734\"}");
    assert_eq!(hash_mod(b"", u64::MAX), 0xe980_0998_ecf8_427e);
}

#[test]
fn maps_drops_and_keeps_label_names() {
    let labels: &[_] = &[("a", "foo"), ("b1", "bar"), ("b2", "baz")];
    check(
        rules!({"regex": "(b.*)", "replacement": "bar_${1}", "action": "labelmap"}),
        labels,
        r#"{a="foo", b1="bar", b2="baz", bar_b1="bar", bar_b2="baz"}"#,
    );
    check(
        rules!({"regex": "__meta_(my.*)", "replacement": "${1}", "action": "labelmap"}),
        &[("__meta_my_bar", "aaa"), ("__meta_my_baz", "bbb"), ("__meta_other", "ccc")],
        r#"{__meta_my_bar="aaa", __meta_my_baz="bbb", __meta_other="ccc", my_bar="aaa", my_baz="bbb"}"#,
    );
    check(rules!({"regex": "(b.*)", "action": "labeldrop"}), labels, r#"{a="foo"}"#);
    check(rules!({"regex": "(b.*)", "action": "labelkeep"}), labels, r#"{b1="bar", b2="baz"}"#);
}

#[test]
fn case_goes_letter_by_letter() {
    let rule = |action: &str| rules!({"source_labels": ["a"], "target_label": "b", "action": action});
    check(rule("lowercase"), &[("a", "bAr123Foo")], r#"{a="bAr123Foo", b="bar123foo"}"#);
    check(rule("uppercase"), &[("a", "bAr123Foo")], r#"{a="bAr123Foo", b="BAR123FOO"}"#);
    check(rule("uppercase"), &[("a", "straße ᾳ")], r#"{a="straße ᾳ", b="STRAßE ᾼ"}"#);
    check(rule("lowercase"), &[("a", "ΟΔΟΣ İ")], r#"{a="ΟΔΟΣ İ", b="οδοσ i"}"#);
}

#[test]
fn refuses_in_prometheus_words() {
    use serde_json::json;
    check_refused(json!({}), "relabel configuration for replace action requires 'target_label' value");
    check_refused(
        json!({"action": "HashMod", "modulus": 3}),
        "relabel configuration for hashmod action requires 'target_label' value",
    );
    check_refused(
        json!({"action": "hashmod", "target_label": "a"}),
        "relabel configuration for hashmod requires non-zero modulus",
    );
    check_refused(json!({"action": "jump"}), r#"unknown relabel action "jump""#);
    check_refused(
        json!({"action": "lowercase", "target_label": "a", "replacement": "x"}),
        "'replacement' can not be set for lowercase action",
    );
    check_refused(
        json!({"action": "keepequal", "source_labels": ["b"], "target_label": "a", "regex": "x"}),
        "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
    );
    check_refused(
        json!({"action": "labeldrop", "regex": "x", "source_labels": ["b"]}),
        "labeldrop action requires only 'regex', and no other fields",
    );
    check_refused(
        json!({"action": "labelmap", "regex": "x", "replacement": ""}),
        r#""" is invalid 'replacement' for labelmap action"#,
    );
    check_refused(json!({"target_label": "a", "source_labels": [""]}), r#""" is not a valid label name"#);
    assert!(serde_json::from_str::<RelabelConfig>(r#"{"target": "a"}"#).is_err(), "unknown keys are refused");
    assert!(serde_json::from_str::<Vec<RelabelConfig>>("[null]").is_err(), "null rules are refused");
}

#[test]
fn shows_what_it_read() {
    let rule: RelabelConfig =
        serde_json::from_value(serde_json::json!({"source_labels": ["a"], "target_label": "b"}))
            .expect("valid");
    let shown = serde_json::to_string(&rule).expect("serialises");
    let expected =
        r#"{"source_labels":["a"],"separator":";","target_label":"b","replacement":"$1","action":"replace"}"#;
    assert_eq!(shown, expected);
    assert_eq!(serde_json::from_str::<RelabelConfig>(&shown).expect("reads what it wrote"), rule);
}

#[test]
fn growth_ends_at_the_limit() {
    let rule: RelabelConfig = serde_json::from_value(
        serde_json::json!({"source_labels": ["a"], "target_label": "a", "replacement": "$1$1$1$1$1$1$1$1"}),
    )
    .expect("valid");
    let labels = process(&Labels::from_pairs([("a", "x")]), &vec![rule; 20]).expect("kept");
    assert_eq!(labels.get("a").map(str::len), Some(1 << 18));
}

proptest! {
    #[test]
    fn a_rule_written_and_read_again_is_the_same(
        source in proptest::collection::vec("[a-z]{1,3}", 0..3), target in "[a-z]{1,3}",
        separator in "\\PC{0,3}", replacement in "\\PC{0,5}", modulus in 0u64..9,
    ) {
        let rule = RelabelConfig {
            source_labels: source, target_label: target, separator, replacement, modulus, ..Default::default()
        };
        let text = serde_json::to_string(&rule).expect("serialises");
        prop_assert_eq!(serde_json::from_str::<RelabelConfig>(&text).expect("reads back"), rule);
    }

    #[test]
    fn keep_and_drop_are_opposites(value in "[ab]{0,4}", regex in "[ab.*]{0,3}[ab]") {
        let Ok(regex) = Regex::new(&regex) else { return Ok(()) };
        let rule = |action| RelabelConfig {
            source_labels: vec!["l".to_owned()], regex: regex.clone(), action, ..Default::default()
        };
        let labels = Labels::from_pairs([("l", value)]);
        let kept = process(&labels, &[rule(Action::Keep)]).is_some();
        prop_assert_ne!(kept, process(&labels, &[rule(Action::Drop)]).is_some());
    }

    #[test]
    fn hashmod_stays_below_its_modulus(value in "\\PC{0,40}", modulus in 1u64..1000) {
        prop_assert!(hash_mod(value.as_bytes(), modulus) < modulus);
    }
}
