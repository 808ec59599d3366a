//! Files that others wrote, judged as they judge them: Prometheus' own good and bad configurations and rule files.
//!
//! They are not kept here. `HINOMI_UPSTREAM` names a checkout of Prometheus' repository (of the version that docs/differences.md
//! speaks of); without it, one is looked for beside ours, and without that the test says so and passes.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test outside the product: it reads folders and runs the binary"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder, command, and which names are bad.
const FOLDERS: &[(&str, &str)] = &[
    ("config/testdata", "config"),
    ("cmd/promtool/testdata", "config"),
    ("model/rulefmt/testdata", "rules"),
    ("rules/fixtures", "rules"),
];

/// Where we differ, and why: the table of docs/differences.md, in the same order.
const DIFFERENCES: &[(&str, bool, &str)] = &[
    (
        "config/testdata/remote_write_retry_on_rate_limit.good.yml",
        false,
        "its URL has no scheme that can be sent to",
    ),
    (
        "config/testdata/kubernetes_selectors_incorrect_selector.bad.yml",
        true,
        "the API server judges selectors",
    ),
    ("model/rulefmt/testdata/legacy_validation_annotation.bad.yaml", true, "bad under legacy names only"),
];

/// Keys that are known and not served yet: their files are refused with the key's name, good or bad.
const NOT_SERVED: &str = " is not served ";

/// Good by name, and no configuration of a server: other tools' input, or the agent's.
fn is_other(name: &str) -> bool {
    let other =
        ["web-config", "rules", "unittest", "sd_test", "sd-", "metrics", "dump", "agent_mode", "rules.good"];
    let is_config = name.contains("-config") || name.contains(".good") || name.contains(".bad");
    !is_config
        || other.iter().any(|word| name.contains(word))
            && (!name.contains("prometheus-config") || name.contains("rules.good"))
}

fn upstream() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata/upstream");
    let path = std::env::var_os("HINOMI_UPSTREAM").map_or_else(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

fn judged(command: &str, file: &Path) -> (bool, String) {
    let is_bad = file.to_string_lossy().contains(".bad.");
    let mut hinomi = Command::new(env!("CARGO_BIN_EXE_hinomi"));
    // What is good is good to load: whether files that it names are here is another question.
    let args: &[&str] = match command {
        "config" if is_bad => &["check", "config"],
        "config" => &["check", "config", "--syntax-only"],
        _ => &["check", "rules"],
    };
    let output = hinomi.args(args).arg(file).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn upstreams_files_are_judged_as_upstream_judges_them() {
    let Some(upstream) = upstream() else {
        println!("skipped: set HINOMI_UPSTREAM to a checkout of Prometheus' repository");
        return;
    };
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    let (mut n_files, mut n_unserved) = (0, 0);
    for (folder, command) in FOLDERS {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(upstream.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let is_yaml = name.ends_with(".yml") || name.ends_with(".yaml");
            if !is_yaml || (*command == "config" && is_other(&name)) {
                continue;
            }
            n_files += 1;
            let is_good = !name.contains(".bad.") && name != "invalid_rules.yaml";
            let (is_taken, said) = judged(command, &file);
            let path = format!("{folder}/{name}");
            if said.contains(NOT_SERVED) {
                n_unserved += 1;
            } else if is_taken != is_good
                && !DIFFERENCES.iter().any(|(known, verdict, _)| *known == path && *verdict == is_taken)
            {
                wrong.insert(path, format!("good: {is_good}, taken: {is_taken}: {said}"));
            }
        }
    }
    println!("{n_files} files, {n_unserved} with keys that are not served yet");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(n_files > 200, "{n_files} files are not the corpus");
}

/// A file with this text is refused with this word.
fn refused(command: &str, text: &str, word: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yml");
    std::fs::write(&path, text).unwrap();
    let (is_taken, said) = judged(command, &path);
    assert!(!is_taken && said.contains(word), "{text}\nmust say {word:?}, said {said}");
}

/// Small ones of our own, so that each message stands in a test that always runs.
#[test]
fn each_mistake_in_a_configuration_has_its_message() {
    let job = |keys: &str| format!("scrape_configs:\n- job_name: a\n  {}\n", keys.replace('\n', "\n  "));
    for (text, word) in [
        ("scrape_configs: [{}]", "job_name is empty"),
        ("scrape_configs: [null]", "job_name is empty"),
        ("scrape_configs: [{job_name: a}, {job_name: a}]", "multiple scrape configs with job name \"a\""),
        (
            "global: {scrape_interval: 10s, scrape_timeout: 20s}",
            "scrape timeout greater than scrape interval",
        ),
        ("global: {unknown: 1}", "field unknown not found"),
        ("remote_write: [null]", "empty or null remote write config section"),
        ("remote_write: [{name: a}]", "url for remote_write is empty"),
        ("alerting: {alert_relabel_configs: [null]}", "requires 'target_label' value"),
        ("rule_files: ['a/*/b.rules']", "wildcards may stand in the file's name only"),
    ] {
        refused("config", text, word);
    }
    for (keys, word) in [
        ("static_configs: [null]", "empty or null section in static_configs"),
        ("static_configs: [{targets: ['http://a']}]", "\"http://a\" is not a valid hostname"),
        (
            "relabel_configs: [{action: keep, target_label: a}]\nstatic_configs: [{targets: ['http://a']}]",
            "is not a valid hostname",
        ),
        ("relabel_configs: [null]", "requires 'target_label' value"),
        ("relabel_configs: [{action: nope}]", "unknown relabel action \"nope\""),
        (
            "relabel_configs: [{action: hashmod, source_labels: [a], target_label: b}]",
            "requires non-zero modulus",
        ),
        ("relabel_configs: [{action: lowercase, source_labels: [a]}]", "requires 'target_label' value"),
        ("relabel_configs: [{action: labeldrop, regex: a, target_label: b}]", "requires only 'regex'"),
        ("relabel_configs: [{source_labels: [a], regex: '[', target_label: b}]", "error parsing regexp"),
        ("body_size_limit: 100", "unknown unit"),
        ("scheme: ftp", "scheme"),
        (
            "bearer_token: a\nbearer_token_file: b",
            "at most one of bearer_token & bearer_token_file must be configured",
        ),
        ("bearer_token: a\nbasic_auth: {username: b}", "at most one of basic_auth"),
        ("authorization: {type: Basic, credentials: a}", "authorization type cannot be set to \"basic\""),
        ("scrape_protocols: []", "scrape_protocols cannot be empty"),
        ("scrape_protocols: [a]", "unknown scrape protocol a, supported: "),
        ("file_sd_configs: [{files: ['a.txt']}]", "path name \"a.txt\" is not valid for file discovery"),
        (
            "tls_config: {cert_file: a}",
            "exactly one of key or key_file must be configured when a client certificate is configured",
        ),
    ] {
        refused("config", &job(keys), word);
    }
}

#[test]
fn each_mistake_in_rules_has_its_message() {
    let rule = |keys: &str| format!("groups:\n- name: g\n  rules:\n  - {}\n", keys.replace('\n', "\n    "));
    for (keys, word) in [
        ("record: a", "field 'expr' must be set in rule"),
        ("expr: up", "one of 'record' or 'alert' must be set"),
        ("{record: a, alert: b, expr: up}", "only one of 'record' and 'alert' must be set"),
        ("{record: a, expr: 'up{'}", "could not parse expression"),
        ("{record: a, expr: up, for: 1m}", "invalid field 'for' in recording rule"),
        ("{record: a, expr: up, keep_firing_for: 1m}", "invalid field 'keep_firing_for' in recording rule"),
        ("{record: a, expr: up, annotations: {a: b}}", "invalid field 'annotations' in recording rule"),
        ("{alert: a, expr: up, labels: {__name__: b}}", "invalid label name: __name__"),
        ("{alert: a, expr: up, annotations: {b: '{{'}}", "annotation \"b\""),
        ("{alert: a, expr: up, nope: 1}", "field nope not found"),
    ] {
        refused("rules", &rule(keys), word);
    }
    refused("rules", "groups: [{name: a}, {name: a}]", "groupname: \"a\" is repeated in the same file");
    refused("rules", "groups: [{rules: []}]", "");
}

/// promtool's checks of what a configuration names, and its exit codes.
#[test]
fn what_a_configuration_names_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str], text: &str| {
        let path = folder.path().join("a.yml");
        std::fs::write(&path, text).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_hinomi")).arg("check").args(args).arg(&path).output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&all).into_owned())
    };
    let check = |args: &[&str], text: &str, code: i32, word: &str| {
        let (got, said) = run(args, text);
        assert!(got == code && said.contains(word), "{args:?} {text}: {got} {said}");
    };
    let token = "scrape_configs: [{job_name: a, authorization: {credentials_file: /none}}]";
    check(&["config"], token, 1, "error checking authorization credentials or bearer token file \"/none\"");
    check(&["config", "--syntax-only"], token, 0, "ok, 1 scrape");
    // What a file of jobs names is relative to that file.
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let job = "scrape_configs: [{job_name: a, authorization: {credentials_file: token}}]";
    std::fs::write(folder.path().join("conf.d/job.yml"), job).unwrap();
    let more = "scrape_config_files: ['conf.d/*.yml']";
    std::fs::write(folder.path().join("token"), "x").unwrap();
    check(&["config"], more, 1, "conf.d/token");
    std::fs::write(folder.path().join("conf.d/token"), "x").unwrap();
    check(&["config"], more, 0, "ok, 1 scrape");
    let tls = "scrape_configs: [{job_name: a, tls_config: {cert_file: c, key_file: k}}]";
    check(&["config"], tls, 1, "error checking client cert file");
    check(&["config"], "rule_files: [none.yml]", 1, "names no file that is there");
    check(&["config", "--syntax-only"], "rule_files: [none.yml]", 0, "ok");
    check(&["config"], "rule_files: ['none*.yml']", 0, "ok");
    let slow = "scrape_configs: [{job_name: a, scrape_interval: 5m}]";
    check(&["config"], slow, 0, "ok");
    check(&["config", "--lint=all"], slow, 0, "too long scrape interval found");
    check(&["config", "--lint=too-long-scrape-interval", "--lint-fatal"], slow, 3, "job: a, interval: 5m");
    check(&["config", "--lint=all", "--lint-fatal", "--query.lookback-delta=10m"], slow, 0, "ok");
    let twice = "groups: [{name: a, rules: [{record: x, expr: up}, {record: x, expr: up}]}]";
    check(&["rules"], twice, 0, "duplicate rule x{} stands there 2 times");
    check(&["rules", "--lint-fatal"], twice, 3, "duplicate rule");
    check(&["rules", "--lint-fatal", "--lint=none"], twice, 0, "ok, 2 rules");
    check(&["rules", "--format=json"], twice, 0, "\"status\":\"lint\"");
    check(&["config", "--format=json"], "global: {x: 1}", 1, "\"column\":10");
    check(&["metrics"], "a 1\n", 3, "a no help text");
    check(&["metrics", "--lint=none", "--extended"], "a 1\n", 0, "100.00%");
    check(&["metrics"], "a b c\n", 1, "error while linting");
    check(&["healthy", "--url", "http://127.0.0.1:1", "--header", "a=b"], "", 2, "unexpected argument");
}
