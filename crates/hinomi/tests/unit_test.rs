//! `hinomi test rules` beside Debian's `promtool test rules` on the same files: the same words on the same streams, the same exit code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test starts processes and writes files")]

use std::path::Path;
use std::process::Command;

const RULES: &str = r#"
groups:
- name: first
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - record: half
    expr: job:up:sum / 3
- name: second
  rules:
  - alert: InstanceDown
    expr: up == 0
    for: 5m
    labels: {severity: page}
    annotations:
      summary: "Instance {{ $labels.instance }} down at {{ $externalLabels.cluster }}"
      url: "{{ $externalURL }}"
  - alert: Always
    expr: job:up:sum >= 0
    annotations: {value: "{{ $value | humanize }}"}
"#;

const PASSING: &str = r#"
rule_files: [rules.yml, "nothing*.yml"]
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
- name: alerts
  interval: 1m
  external_labels: {cluster: blue}
  external_url: http://x.example
  input_series:
  - {series: 'up{job="a", instance="h:1"}', values: '1 0x14'}
  - {series: 'up{job="a", instance="h:2"}', values: '1+0x15'}
  alert_rule_test:
  - eval_time: 6m
    alertname: InstanceDown
    exp_alerts:
    - exp_labels: {severity: page, instance: 'h:1', job: a}
      exp_annotations: {summary: "Instance h:1 down at blue", url: "http://x.example"}
  - {eval_time: 5m, alertname: InstanceDown}
  - {eval_time: 5m30s, alertname: InstanceDown, exp_alerts: []}
  - eval_time: 2m
    alertname: Always
    exp_alerts: [{exp_labels: {job: a}, exp_annotations: {value: "1"}}]
  promql_expr_test:
  - expr: job:up:sum
    eval_time: 4m
    exp_samples: [{labels: 'job:up:sum{job="a"}', value: 1}]
  - {expr: 'sum_over_time(up{instance="h:1"}[5m:1m])', eval_time: 10m, exp_samples: [{labels: '{instance="h:1",job="a"}', value: 0}]}
  - {expr: 'absent(nothing)', eval_time: 0, exp_samples: [{labels: '{}', value: 1}]}
  - {expr: '2 * 21', eval_time: 0s, exp_samples: [{labels: '{}', value: 42}]}
  - {expr: 'ALERTS{alertstate="pending"}', eval_time: 3m, exp_samples: [{labels: 'ALERTS{alertname="InstanceDown",alertstate="pending",instance="h:1",job="a",severity="page"}', value: 1}]}
  - {expr: 'nothing', eval_time: 1m}
- interval: 20s
  input_series:
  - {series: 'a', values: '1 _ stale 5-1x3 _x2 1e2'}
  promql_expr_test:
  - {expr: 'count_over_time(a[5m])', eval_time: 4m, exp_samples: [{labels: '{}', value: 6}]}
  - {expr: 'a', eval_time: 40s}
"#;

/// Each fails in its own way.
const FAILING: &str = r#"
rule_files: [rules.yml]
tests:
- name: wrong
  external_url: http://y.example
  interval: 1m
  input_series: [{series: 'up{job="a",instance="h:1"}', values: '0x10'}]
  alert_rule_test:
  - eval_time: 10m
    alertname: InstanceDown
    exp_alerts:
    - exp_labels: {severity: none, instance: 'h:1', job: a}
    - exp_labels: {x: y}
      exp_annotations: {summary: "s"}
  - {eval_time: 1m, alertname: Always}
  - {eval_time: 1m, alertname: Nowhere, exp_alerts: [{exp_labels: {a: b}}]}
  promql_expr_test:
  - {expr: 'up', eval_time: 1m, exp_samples: [{labels: 'up', value: 15}]}
  - {expr: 'job:up:sum + 0.1', eval_time: 1m}
  - {expr: '1', eval_time: 1m, exp_samples: [{value: 1}]}
  - {expr: '1', eval_time: 1m, exp_samples: [{labels: 'a{', value: 1}]}
  - {expr: 'a(', eval_time: 1m}
  - {expr: '0 / 0', eval_time: 1m, exp_samples: [{labels: '{}', value: .nan}]}
  - {expr: '"text"', eval_time: 1m}
  - {expr: 'nothing', eval_time: 1m, exp_samples: [{labels: 'nothing{a="b"}', value: 1.5e-7}, {labels: 'also', value: 0}]}
- name: 
  input_series: [{series: 'a', values: '1'}]
  promql_expr_test:
  - {expr: 'a', eval_time: 0m, exp_samples: [{labels: 'a', value: 2}]}
"#;

const NO_NAME: &str = "rule_files: [rules.yml]\ntests:\n- name: n\n  alert_rule_test: [{eval_time: 1m}]\n";
const ORDER_TWICE: &str = "rule_files: [rules.yml]\ngroup_eval_order: [a, a]\ntests: []\n";

/// Exit code, standard output, standard error.
fn run(program: &str, folder: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(program).args(args).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

fn hinomi(folder: &Path, args: &[&str]) -> (i32, String, String) {
    run(env!("CARGO_BIN_EXE_hinomi"), folder, args)
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn promtool_says_the_same() {
    let folder = folder(&[
        ("rules.yml", RULES),
        ("passing.yml", PASSING),
        ("failing.yml", FAILING),
        ("no_name.yml", NO_NAME),
        ("order.yml", ORDER_TWICE),
    ]);
    for files in [
        &["passing.yml"][..],
        &["failing.yml"],
        &["no_name.yml"],
        &["order.yml"],
        &["passing.yml", "failing.yml", "passing.yml"],
    ] {
        let args: Vec<&str> = ["test", "rules"].iter().chain(files).copied().collect();
        let theirs = run("promtool", folder.path(), &args);
        let (code, out, err) = hinomi(folder.path(), &args);
        // Ours ends with a sentence of its own.
        let err: Vec<&str> = err.lines().filter(|line| !line.starts_with("error: tests of")).collect();
        let their_err: Vec<&str> = theirs.2.lines().collect();
        assert_eq!((code, out.as_str(), err), (theirs.0, theirs.1.as_str(), their_err), "{files:?}");
    }
}

#[test]
fn what_is_newer_than_debians_promtool_works() {
    let test = r#"
rule_files: [rules.yml]
fuzzy_compare: true
tests:
- name: later
  start_timestamp: 2024-01-01T00:00:00Z
  input_series:
  - {series: 'a', values: '1+1x5'}
  - {series: 'h', values: '{{schema:1 count:3 sum:2 buckets:[1 2]}}+{{schema:1 count:3 sum:2 buckets:[1 2]}}x3'}
  promql_expr_test:
  - {expr: 'timestamp(a)', eval_time: 1m, exp_samples: [{labels: '{}', value: 1704067260}]}
  - {expr: '0.1 + 0.2', eval_time: 0, exp_samples: [{labels: '{}', value: 0.3}]}
  - expr: 'histogram_count(h)'
    eval_time: 2m
    exp_samples: [{labels: '{}', value: 9}]
  - expr: 'sum(h)'
    eval_time: 2m
    exp_samples: [{labels: '{}', histogram: '{{schema:1 count:9 sum:6 buckets:[3 6]}}'}]
- name: other
  promql_expr_test: [{expr: '1', eval_time: 0, exp_samples: [{labels: '{}', value: 2}]}]
"#;
    let unknown = RULES.replace("- name: first", "- name: first\n  owner: me");
    let folder = folder(&[("rules.yml", &unknown), ("t.yml", test)]);
    let (code, _, err) = hinomi(folder.path(), &["test", "rules", "t.yml"]);
    assert!(code == 1 && err.contains("owner"), "{err}");
    let args =
        |more: &[&'static str]| [&["test", "rules", "--ignore-unknown-fields", "t.yml"][..], more].concat();
    let (code, out, err) = hinomi(folder.path(), &args(&["--run", "^lat", "--debug"]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("DEBUG: Starting test later") && out.contains("{__name__=\"a\"} =>"), "{out}");
    let (code, _, err) = hinomi(folder.path(), &args(&["--diff", "--junit", "out.xml"]));
    assert!(code == 1 && err.contains("- {} 2E+00") && err.contains("+ {} 1E+00"), "{err}");
    let xml = std::fs::read_to_string(folder.path().join("out.xml")).unwrap();
    assert!(
        xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("<testcase name=\"later\"></testcase>"),
        "{xml}"
    );
}

#[test]
fn what_is_wrong_with_a_test_file_is_said() {
    let folder = folder(&[("rules.yml", RULES)]);
    for (text, part) in [
        ("tests: [{unknown: 1}]", "unknown"),
        ("tests: [{input_series: [{series: 'a{', values: '1'}]}]", "series \"a{\""),
        ("tests: [{input_series: [{series: 'a', values: 'x'}]}]", "values \"x\""),
        ("tests: [{start_timestamp: yesterday}]", "start_timestamp"),
        ("tests: [{promql_expr_test: [{expr: 'a(', eval_time: 1m}]}]", "expr: \"a(\", time: 1m, err: "),
        (
            "tests: [{promql_expr_test: [{expr: 'a', eval_time: 1m, exp_samples: [{labels: 'a', histogram: '1'}]}]}]",
            "expected histogram",
        ),
    ] {
        std::fs::write(folder.path().join("t.yml"), text).unwrap();
        let (code, _, err) = hinomi(folder.path(), &["test", "rules", "t.yml"]);
        assert!(code == 1 && err.contains(part), "{text}: {err}");
    }
    assert_eq!(hinomi(folder.path(), &["test", "rules"]).0, 2);
    let (code, _, err) = hinomi(folder.path(), &["test", "rules", "--run", "(", "t.yml"]);
    assert!(code == 1 && err.contains("--run"), "{err}");
    let (code, _, err) = hinomi(folder.path(), &["test", "rules", "missing.yml"]);
    assert!(code == 1 && err.contains("missing.yml"), "{err}");
}
