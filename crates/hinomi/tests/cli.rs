//! The command line as people meet it: help, versions, refusals, and files checked.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: they write the files that are checked"
)]

use std::process::Command;

/// Exit code, stdout, stderr. What should have been refused and serves instead ends with 124.
fn run(args: &[&str]) -> (i32, String, String) {
    let command = ["30", env!("CARGO_BIN_EXE_hinomi")];
    let output = Command::new("timeout").args(command).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_names_every_flag_with_its_default() {
    for args in [&["--help"][..], &["server", "--help"]] {
        let (code, out, err) = run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        // Lines wrap with the terminal.
        let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in [
            "--config.file <FILE>",
            "[default: 15d]",
            "[default: 127.0.0.1:9090]",
            "--web.enable-lifecycle",
            "Usage: hinomi",
        ] {
            assert!(out.contains(word), "{word} in {out}");
        }
        assert!(!out.contains("--no-web"), "{out}");
    }
    for args in [
        &["check", "--help"][..],
        &["check", "config", "--help"],
        &["check", "rules", "--help"],
        &["query", "--help"],
        &["query", "instant", "--help"],
        &["query", "range", "--help"],
        &["query", "series", "--help"],
        &["query", "labels", "--help"],
        &["query", "analyze", "--help"],
        &["test", "rules", "--help"],
    ] {
        let (code, out, _) = run(args);
        assert_eq!(code, 0, "{args:?}");
        assert!(out.contains("Usage: hinomi"), "{out}");
    }
}

#[test]
fn version_is_worded_as_prometheus_words_it() {
    for flag in ["--version", "-V"] {
        let (code, out, _) = run(&[flag]);
        assert_eq!(code, 0);
        assert!(out.starts_with("hinomi, version 0.1.0 (branch: ") && out.contains(", revision: "), "{out}");
    }
}

#[test]
fn wrong_command_lines_end_with_2_and_wrong_values_with_1() {
    let check = |args: &[&str], code: i32, word: &str| {
        let (got, out, err) = run(args);
        assert_eq!((got, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(word), "{args:?}: {err}");
    };
    check(&["--bogus"], 2, "--bogus");
    check(&["frobnicate"], 2, "frobnicate");
    check(
        &["--enable-feature=otlp-deltatocumulative,otlp-native-delta-ingestion"],
        1,
        "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time",
    );
    check(&["--config.auto-reload"], 1, "--config.auto-reload: give --config.file, too");
    check(&["--agent"], 1, "--agent: give --config.file, too");
    let server_only =
        "The following flag(s) can not be used in agent mode: [\"--query.timeout\" \"--storage.tsdb.path\"]";
    check(&["server", "--agent", "--storage.tsdb.path=d", "--query.timeout=1m"], 3, server_only);
    let agent_only =
        "The following flag(s) can only be used in agent mode: [\"--storage.agent.wal-compression\"]";
    check(&["--no-storage.agent.wal-compression"], 3, agent_only);
    check(&["debug", "pprof", "http://127.0.0.1:1"], 1, "hinomi debug all");
    let (code, _, err) = run(&["debug", "metrics", "http://127.0.0.1:1"]);
    assert!(code == 1 && err.contains("cannot ask http://127.0.0.1:1"), "{err}");
    check(&["server", "--web.config.file", "/nonexistent.yml"], 1, "--web.config.file: /nonexistent.yml: ");
    check(
        &["query", "instant", "http://127.0.0.1:1", "up", "--header", "x"],
        1,
        "is not of the form NAME=VALUE",
    );
    // As promtool's: flags before the question, the server as a flag, features.
    let nowhere = "http://127.0.0.1:1";
    check(&["query", "-o", "json", "instant", nowhere, "up"], 1, "connection refused");
    check(&["query", "--http.config.file=/nonexistent.yml", "instant", nowhere, "up"], 1, "/nonexistent.yml");
    let analyze = ["query", "analyze", "--type=histogram", "--match=a_bucket"];
    check(&[&analyze[..], &["--server", nowhere]].concat(), 1, "connection refused");
    check(&[&analyze[..], &["--enable-feature=x", nowhere]].concat(), 1, "connection refused");
    check(&analyze, 2, "URL");
    // Before the command's word, as scripts for promtool have them.
    check(&["--enable-feature=x", "query", "instant", nowhere, "up"], 1, "connection refused");
    check(&["--log.level=loud", "server"], 1, "--log.level");
    check(&["--query.timeout=1s", "query", "instant", nowhere, "up"], 2, "--query.timeout");
    check(&["server", "--log.level=loud"], 1, "--log.level");
    check(&["server", "--query.max-concurrency=x"], 1, "--query.max-concurrency");
    check(&["server", "--query.max-concurrency=0"], 1, "--query.max-concurrency: must be more than 0");
    check(&["server", "--config.file=/nonexistent.yml"], 1, "/nonexistent.yml");
    check(&["query", "instant", "http://127.0.0.1:1", "up"], 1, "connection refused");
}

#[test]
fn a_service_unit_of_prometheus_runs_with_a_warning_for_each_flag_without_effect() {
    // The start ends at the configuration file, after the warnings.
    let (code, _, err) = run(&[
        "--config.file=/nonexistent.yml",
        "--storage.tsdb.path=data",
        "--web.console.templates=/etc/prometheus/consoles",
        "--storage.tsdb.samples-per-chunk",
        "120",
        "--storage.tsdb.wal-compression",
        "--no-auto-gomaxprocs",
        "--storage.tsdb.min-block-duration=2h",
        "--enable-feature=exemplar-storage,promql-experimental-functions",
    ]);
    assert_eq!(code, 1, "{err}");
    for name in [
        "storage.tsdb.samples-per-chunk",
        "storage.tsdb.wal-compression",
        "auto-gomaxprocs",
        "storage.tsdb.min-block-duration",
        "enable-feature=exemplar-storage",
    ] {
        assert!(err.contains(&format!("--{name} has no effect: ")), "{name} in {err}");
    }
    assert!(!err.contains("promql-experimental-functions has no effect"), "{err}");
}

#[test]
fn keys_of_rules_that_are_not_known_are_read_over_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let rules = write(
        "rules.yml",
        "groups:\n- name: a\n  owner: me\n  rules:\n  - {alert: x, expr: up == 0, runbook: y, hinomi: {no_data: keep}}\n",
    );
    let config = write("prometheus.yml", "rule_files: [rules.yml]\n");
    for (command, file) in [("rules", &rules), ("config", &config)] {
        let (code, out, err) = run(&["check", command, file]);
        assert!(code == 1 && format!("{out}{err}").contains("owner"), "{out}{err}");
        let (code, out, err) = run(&["check", command, "--ignore-unknown-fields", file]);
        assert_eq!(code, 0, "{command}: {out}{err}");
    }
}

#[test]
fn configurations_are_judged_as_prometheus_judges_them() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str, code: i32, word: &str| {
        let path = folder.path().join("a.yml");
        std::fs::write(&path, text).unwrap();
        let (got, out, err) = run(&["check", "config", path.to_str().unwrap()]);
        assert!(got == code && format!("{out}{err}").contains(word), "{text}: {got}: {out}{err}");
    };
    check("storage: {tsdb: {stale_series_compaction_threshold: 0.5}}\n", 0, "has no effect");
    let legacy = "global: {metric_name_validation_scheme: legacy}\n";
    let rule = "[{target_label: a-b}]";
    for section in [
        format!("scrape_configs: [{{job_name: j, relabel_configs: {rule}}}]"),
        format!("scrape_configs: [{{job_name: j, metric_relabel_configs: {rule}}}]"),
        format!("remote_write: [{{url: 'http://h/', write_relabel_configs: {rule}}}]"),
        format!("alerting: {{alert_relabel_configs: {rule}}}"),
        format!("alerting: {{alertmanagers: [{{alert_relabel_configs: {rule}}}]}}"),
    ] {
        check(&section, 0, "");
        let refused = "\"a-b\" is invalid 'target_label' for replace action";
        check(&format!("{legacy}{section}"), 1, refused);
    }
    let utf8 = "scrape_configs: [{job_name: j, metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}]";
    check(utf8, 1, "utf8 metric names requested");
    let empty = "scrape_configs: [{job_name: j, static_configs: [{targets: ['']}]}]";
    check(empty, 1, "instance 0 in group 0: no address");
    check("global: {sample_limit: 1e6, metric_name_escaping_scheme: ''}\n", 0, "");
    check("global: {sample_limit: 1.5}\n", 0, "");
    check("global: {sample_limit: -1}\n", 1, "a.yml:1:24: cannot read this number as u64");
    check("scrape_configs: [{job_name: j, honor_labels: 'true'}]\n", 1, "cannot read text as a boolean");
    check("scrape_configs: [{job_name: j, ec2_sd_configs: [~]}]\n", 1, "empty or null section");
    check("scrape_configs: [{job_name: j, scheme: HTTPS, static_configs: [{targets: ['a:1']}]}]\n", 0, "");
    check("scrape_config_files: [nope.yml]\nglobal: {external_labels: {a: ~}}\n", 0, "");
    let two = "global: {}\n---\nscrape_configs: [{nope: 1}]\n";
    check(two, 0, "a.yml:2: only the first YAML document is read");
}

#[test]
fn rules_are_judged_by_the_features_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let rules = write("r.yml", "groups: [~, {name: g, rules: [~, {record: r, expr: 'limitk(1, up)'}]}]\n");
    let config = write("p.yml", "rule_files: [r.yml]\n");
    let refused = "r.yml: group \"g\", rule 1, \"r\": could not parse expression: 1:1: parse error: limitk() is experimental";
    for (command, file) in [("rules", &rules), ("config", &config)] {
        let (code, out, err) = run(&["check", command, file]);
        assert!(code == 1 && format!("{out}{err}").contains(refused), "{out}{err}");
        let (code, out, err) =
            run(&["check", "--enable-feature=promql-experimental-functions", command, file]);
        assert_eq!(code, 0, "{command}: {out}{err}");
    }
}

#[test]
fn checks_say_which_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let check = |command: &str, text: &str, code: i32, words: &[&str]| {
        let path = folder.path().join("a.yml");
        std::fs::write(&path, text).unwrap();
        let (got, out, err) = run(&["check", command, path.to_str().unwrap()]);
        assert_eq!(got, code, "{text}: {out}{err}");
        for word in words {
            assert!(format!("{out}{err}").contains(word), "{word} for\n{text}\nin {out}{err}");
        }
    };
    check("config", "", 0, &["ok, 0 scrape configurations, 0 rules"]);
    check(
        "config",
        "scrape_configs: [{job_name: a}]\nhinomi: {builtin_rules: {disabled: []}}\n",
        0,
        &["ok, 1 scrape"],
    );
    check("config", "global:\n  scrape_intervall: 1s\n", 1, &["a.yml:2:3: field scrape_intervall not found"]);
    check("config", "a: [\n", 1, &["a.yml:"]);
    check("config", "remote_write:\n- url: http://x\n", 0, &[]);
    check("config", "remote_write:\n- name: x\n", 1, &["url for remote_write is empty"]);
    check("config", "tracing: {endpoint: 'c:4317', headers: {a: b}}\n", 0, &[]);
    check("config", "tracing: {client_type: http}\n", 1, &["a.yml:1:10: tracing endpoint must be set"]);
    check("config", "hinomi:\n  builtin_rules: {disabled: [Nope]}\n", 1, &["no rule \"Nope\"; there are "]);
    check("config", "hinomi:\n  builtin_rules: maybe\n", 1, &["a.yml:2:"]);
    std::fs::write(folder.path().join("am.yml"), "route: {receiver: x}\nreceivers: [{name: y}]\n").unwrap();
    check(
        "config",
        "hinomi: {alertmanager: {config_file: am.yml}}\n",
        1,
        &["am.yml:1:19: undefined receiver \"x\" used in route"],
    );
    check("config", "rule_files: [nope.yml]\n", 1, &["names no file that is there"]);
    check("config", "rule_files: ['x*/y.yml']\n", 1, &["wildcards may stand in the file's name only"]);
    check(
        "config",
        "scrape_configs: [{job_name: a}, {job_name: a}]\n",
        1,
        &["found multiple scrape configs with job name \"a\""],
    );
    check(
        "config",
        "scrape_configs: [{job_name: host}]\nhinomi: {host_metrics: on}\n",
        1,
        &["belongs to hinomi.host_metrics"],
    );
    check("config", "scrape_configs: [{job_name: host}]\n", 0, &["ok"]);
    check(
        "rules",
        "groups:\n- name: a\n  rules:\n  - alert: x\n    expr: rate(\n",
        1,
        &["a.yml:5:", "parse error"],
    );
    check("rules", "groups:\n- name: a\n  rules:\n  - alert: x\n    expr: up\n", 0, &["ok, 1 rules"]);
}

#[test]
fn queries_are_formatted_and_edited_as_by_promtool() {
    let check = |args: &[&str], expected: &str| {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (0, expected), "{args:?}: {err}");
    };
    check(&["--experimental", "promql", "format", "sum(x)by(y)"], "sum by (y) (x)\n");
    check(
        &["promql", "label-matchers", "set", "--type==~", "a{b=\"c\"} / d", "b", "x|y"],
        "a{b=~\"x|y\"} / d{b=~\"x|y\"}\n",
    );
    check(&["promql", "label-matchers", "delete", "a{b=\"c\",d=\"e\"}", "b"], "a{d=\"e\"}\n");
}

#[test]
fn the_write_benchmark_leaves_a_store_with_its_samples() {
    let folder = tempfile::tempdir().unwrap();
    let out_dir = folder.path().join("out").display().to_string();
    let args = ["tsdb", "bench", "write", "--metrics=50", "--scrapes=300", "--out", &out_dir];
    let (code, out, err) = run(&args);
    assert_eq!(code, 0, "{err}");
    for part in [" > total samples: 15000\n", " > samples/sec: ", " > bytes on disk: "] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, out, err) = run(&["tsdb", "dump", &format!("{out_dir}/storage")]);
    assert_eq!((code, out.lines().count()), (0, 15_000), "{err}");
    // What is there is not written over.
    let (code, _, err) = run(&args);
    assert!(code == 1 && err.contains("is not empty"), "{err}");
}

#[test]
fn an_agents_configuration_has_no_rules_and_no_alerting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.yml");
    let text = "rule_files: ['*.rules']\nalerting: {alertmanagers: [{static_configs: [{targets: ['a:1']}]}]}\n\
                remote_read: [{url: 'http://a/'}]\nhinomi: {builtin_rules: true}\n";
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    assert_eq!(run(&["check", "config", &file]).0, 0);
    let (code, out, err) = run(&["check", "config", "--agent", &file]);
    assert_eq!(code, 1);
    let said = out + &err;
    for key in ["alerting", "rule_files", "remote_read", "hinomi.builtin_rules"] {
        assert!(said.contains(&format!("field {key} is not allowed in agent mode")), "{key} in {said}");
    }
}
