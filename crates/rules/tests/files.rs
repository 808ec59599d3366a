//! Rule files and the configuration's `alerting` section: what is read, and what is said of mistakes.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use discovery::SdConfig;
use rules::{AlertingConfig, BuiltinRules, RuleSpec, parse_file};

fn errors(text: &str) -> Vec<String> {
    match parse_file("r.yml", text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn reads_what_prometheus_reads() {
    let text = r#"
groups:
- name: example
  interval: 30s
  query_offset: 1m
  limit: 10
  labels: {team: ops, severity: low}
  rules:
  - record: job:x:sum
    expr: sum(x)
    labels: {a: b}
  - alert: High
    expr: |
      x
        > 1
    for: 10m
    keep_firing_for: 1h
    labels: {severity: page}
    annotations: {summary: "{{ $labels.instance }} {{ $value | humanize }}"}
"#;
    let groups = parse_file("r.yml", text).unwrap();
    let group = &groups[0];
    assert_eq!((group.interval_ms, group.query_offset_ms, group.limit), (Some(30_000), Some(60_000), 10));
    let RuleSpec::Alerting { hold_ms, keep_firing_ms, labels, .. } = &group.rules[1] else { panic!() };
    assert_eq!((*hold_ms, *keep_firing_ms), (600_000, 3_600_000));
    assert_eq!(
        labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["severity=page", "team=ops"]
    );
    assert!(parse_file("r.yml", "").unwrap().is_empty());
    assert!(parse_file("r.yml", "groups:\n").unwrap().is_empty());
}

#[test]
fn mistakes_are_told_with_file_line_and_column() {
    let check = |text: &str, expected: &[&str]| {
        let got = errors(text);
        assert_eq!(got.len(), expected.len(), "{text}\n{got:#?}");
        for (got, expected) in got.iter().zip(expected) {
            assert!(got.starts_with(expected), "{text}\n got {got}\nwant {expected}");
        }
    };
    check("groups:\n- name: a\n  rulez: []\n", &["r.yml:3:3: field rulez not found, did you mean rules?"]);
    check("groups:\n- name: ''\n", &["r.yml:2:9: Groupname must not be empty"]);
    check("groups:\n- name: a\n- name: a\n", &["r.yml:3:9: groupname: \"a\" is repeated in the same file"]);
    let rule = |rule: &str| format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
    check(
        &rule("{expr: x}"),
        &["r.yml:4:5: group \"g\", rule 1, \"\": one of 'record' or 'alert' must be set"],
    );
    check(
        &rule("{record: a, alert: b, expr: x}"),
        &["r.yml:4:5: group \"g\", rule 1, \"a\": only one of 'record' and 'alert' must be set"],
    );
    check(&rule("{record: a}"), &["r.yml:4:5: group \"g\", rule 1, \"a\": field 'expr' must be set in rule"]);
    check(
        &rule("{record: a, expr: 'sum('}"),
        &["r.yml:4:23: group \"g\", rule 1, \"a\": could not parse expression: 1:5: parse error: "],
    );
    check(
        &rule("{record: 'a{b=\"c\"}', expr: x}"),
        &[
            "r.yml:4:14: group \"g\", rule 1, \"a{b=\\\"c\\\"}\": braces present in the recording rule name; should it be in expr?: a{b=\"c\"}",
        ],
    );
    check(
        &rule("{record: a, expr: x, for: 1m}"),
        &["r.yml:4:31: group \"g\", rule 1, \"a\": invalid field 'for' in recording rule"],
    );
    check(
        &rule("{record: a, expr: x, annotations: {b: c}}"),
        &["r.yml:4:43: group \"g\", rule 1, \"a\": invalid field 'annotations' in recording rule"],
    );
    check(
        &rule("{alert: a, expr: x, labels: {__name__: b}}"),
        &["r.yml:4:44: group \"g\", rule 1, \"a\": invalid label name: __name__"],
    );
    check(
        &rule("{alert: a, expr: x, annotations: {b: '{{ nope }}', c: '{{ $labels.x'}}"),
        &[
            "r.yml:4:42: group \"g\", rule 1, \"a\": annotation \"b\": error parsing template __alert_a: template: __alert_a:1: function \"nope\" not defined",
            "r.yml:4:59: group \"g\", rule 1, \"a\": annotation \"c\": error parsing template __alert_a: template: __alert_a:1: unclosed action",
        ],
    );
    check(
        &rule("{alert: a, expr: x, for: 5 minutes}"),
        &["r.yml:4:30: not a valid duration string: \"5 minutes\""],
    );
    check("groups: {", &["r.yml:"]);
}

#[test]
fn built_in_rules_are_listed_and_switchable() {
    let names = BuiltinRules::names();
    for wanted in [
        "HostGone",
        "TargetDown",
        "DiskFillingWithin24h",
        "DiskAlmostFull",
        "MemoryShort",
        "ClockSkew",
        "RulesFailing",
    ] {
        assert!(names.iter().any(|name| name == wanted), "{wanted}");
    }
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "names tell rules apart");
    let off = ["ClockSkew".to_owned(), "Nope".to_owned()];
    let left: usize = BuiltinRules::groups(&off).iter().map(|group| group.rules.len()).sum();
    assert_eq!(left, names.len() - 1);
    assert_eq!(BuiltinRules::unknown(&off), ["Nope"]);
    assert!(BuiltinRules::groups(&names).is_empty());
    for rule in BuiltinRules::groups(&[]).iter().flat_map(|group| &group.rules) {
        let RuleSpec::Alerting { labels, annotations, .. } = rule else { panic!("only alerts") };
        assert!(labels.contains_key("severity") && annotations.contains_key("summary"), "{}", rule.name());
        assert!(annotations.contains_key("description"), "{}", rule.name());
    }
}

#[test]
fn alertmanagers_are_found_and_mistakes_told() {
    let urls = |yaml: &str| -> Result<Vec<String>, String> {
        let config: AlertingConfig = model::yaml::parse("p.yml", yaml).map_err(|err| err.to_string())?;
        let urls = config.alertmanagers.iter().map(|alertmanager| {
            let Some(SdConfig::Static(groups)) = alertmanager.sd.first() else { return Ok(Vec::new()) };
            alertmanager.urls(groups).into_iter().collect()
        });
        Ok(urls.collect::<Result<Vec<_>, _>>()?.concat().iter().map(ToString::to_string).collect())
    };
    let check = |yaml: &str, expected: Result<&[&str], &str>| {
        let got = urls(yaml);
        match (&got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{yaml}"),
            (Err(got), Err(expected)) => assert!(got.contains(expected), "{yaml}\n{got}"),
            _ => panic!("{yaml}: {got:?}"),
        }
    };
    check(
        "alertmanagers: [{static_configs: [{targets: ['a:9093', 'b:9093']}]}]",
        Ok(&["http://a:9093/api/v2/alerts", "http://b:9093/api/v2/alerts"]),
    );
    check(
        "alertmanagers: [{scheme: https, path_prefix: /am/, timeout: 5s, static_configs: [{targets: [a]}]}]",
        Ok(&["https://a/am/api/v2/alerts"]),
    );
    check(
        "alertmanagers: [{static_configs: [{targets: [a, b]}], relabel_configs: [{source_labels: [__address__], regex: b, action: drop}]}]",
        Ok(&["http://a/api/v2/alerts"]),
    );
    check(
        "alertmanagers:\n- {api_version: v1}\n",
        Err("expected Alertmanager api version to be one of [v2] but got v1"),
    );
    check("alertmanagers:\n- static_configs: [{targets: ['http://a']}]\n", Err("is not a valid hostname"));
    check(
        "alertmanagers:\n- dns_sd_configs: [{}]\n",
        Err("p.yml:2:20: DNS-SD config must contain at least one SRV record name"),
    );
    check("alertmanagers:\n- nope: 1\n", Err("field nope not found"));
    check("", Ok(&[]));
}
