//! What annotations make of templates, with Prometheus' functions, through a rule that fires.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod common;

use std::sync::Arc;

use common::{MINUTE_MS, World};
use model::Labels;
use rules::Options;
use storage::MemStore;

/// Texts as annotations of one alert with `instance="host.example:9100"` and value 1234.5, beside what they become.
fn check(cases: &[(&str, &str)]) {
    let annotations: String = cases
        .iter()
        .enumerate()
        .map(|(idx, (text, _))| format!("      a{idx:03}: {}\n", serde_json::Value::from(*text)))
        .collect();
    let rules =
        format!("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: x\n    annotations:\n{annotations}");
    let options = Options {
        external_labels: Labels::from_pairs([("region", "eu")]),
        external_url: Arc::from("http://h:9090/p"),
        ..Options::default()
    };
    let store = Arc::new(MemStore::new());
    let mut world = World::with(&rules, options, store, stdx::clock::TEST_EPOCH_MS);
    let series = [
        (r#"x{instance="host.example:9100",__value__="v"}"#, 1234.5),
        (r#"m{instance="b"}"#, 2.0),
        (r#"m{instance="a"}"#, 11.0),
    ];
    world.run(2 * MINUTE_MS, &series);
    let alerts = world.alerts();
    for (idx, (text, expected)) in cases.iter().enumerate() {
        let got = alerts[0].annotations.get(&format!("a{idx:03}")).unwrap_or("");
        assert_eq!(got, *expected, "{text}");
    }
}

#[test]
fn data_is_what_prometheus_gives() {
    check(&[
        ("{{ $labels.instance }} {{ .Labels.instance }}", "host.example:9100 host.example:9100"),
        ("{{ $value }} {{ .Value }} {{ printf \"%.2f\" $value }}", "1234.5 1234.5 1234.50"),
        ("[{{ $labels.nope }}]", "[]"),
        ("{{ $externalLabels.region }} {{ .ExternalLabels.region }}", "eu eu"),
        (
            "{{ $externalURL }} {{ .ExternalURL }} {{ externalURL }} {{ pathPrefix }}",
            "http://h:9090/p http://h:9090/p http://h:9090/p /p",
        ),
        ("{{ if gt $value 1000.0 }}much{{ else }}little{{ end }}", "much"),
        ("{{ range $k, $v := .ExternalLabels }}{{ $k }}={{ $v }}{{ end }}", "region=eu"),
        ("plain", "plain"),
    ]);
}

#[test]
fn queries_and_samples() {
    check(&[
        ("{{ query \"m\" | first | value }}", "11"),
        ("{{ query \"m\" | first | label \"instance\" }}", "a"),
        ("{{ with query \"m{instance='b'}\" }}{{ . | first | value | humanize }}{{ end }}", "2"),
        (
            "{{ range query \"m\" | sortByLabel \"instance\" }}{{ .Labels.instance }}:{{ .Value }} {{ end }}",
            "a:11 b:2 ",
        ),
        ("{{ query \"x\" | first | strvalue }}", "v"),
        ("{{ query \"scalar(vector(3))\" | first | value }}", "3"),
        ("{{ len (query \"none\") }}", "0"),
        ("{{ range args 1 \"b\" }}{{ . }}{{ end }}", "1b"),
        (
            "{{ query \"sum(\" }}",
            "<error expanding template: error executing template __alert_A: template: __alert_A:1:115: executing \"__alert_A\" at <query \"sum(\">: error calling query: 1:5: parse error: unclosed left parenthesis>",
        ),
    ]);
}

#[test]
fn numbers_for_people() {
    let number = |function: &str, cases: &[(&str, &str)]| {
        let cases: Vec<_> = cases
            .iter()
            .map(|(value, expected)| (format!("{{{{ {function} {value} }}}}"), *expected))
            .collect();
        check(&cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect::<Vec<_>>());
    };
    number(
        "humanize",
        &[
            ("0.0", "0"),
            ("1.0", "1"),
            ("1234567.0", "1.235M"),
            (".12", "120m"),
            ("\"NaN\"", "NaN"),
            ("\"+Inf\"", "+Inf"),
            ("-1234.0", "-1.234k"),
            ("0.0000012", "1.2u"),
            ("1e30", "1e+06Y"),
            ("5", "5"),
            ("\"1000\"", "1k"),
        ],
    );
    number(
        "humanize1024",
        &[("0.0", "0"), ("1.0", "1"), ("1048576.0", "1Mi"), (".12", "0.12"), ("1536", "1.5ki")],
    );
    number(
        "humanizeDuration",
        &[
            ("0", "0s"),
            ("1", "1s"),
            ("60", "1m 0s"),
            ("3600", "1h 0m 0s"),
            ("86400", "1d 0h 0m 0s"),
            ("88200", "1d 0h 30m 0s"),
            ("90061", "1d 1h 1m 1s"),
            (".0000123", "12.3us"),
            ("-1.5", "-1.5s"),
            ("59.999", "60s"),
            ("0.1", "100ms"),
            ("-3661", "-1h 1m 1s"),
        ],
    );
    number(
        "humanizePercentage",
        &[("-0.22222", "-22.22%"), ("0.0", "0%"), ("0.1234567", "12.35%"), ("1.23456", "123.5%")],
    );
    number(
        "humanizeTimestamp",
        &[
            ("0.0", "1970-01-01 00:00:00 +0000 UTC"),
            ("1435065584.128", "2015-06-23 13:19:44.128 +0000 UTC"),
            ("\"-Inf\"", "-Inf"),
        ],
    );
    number("toDuration", &[("3661.5", "1h1m1.5s"), ("0", "0s")]);
    number("parseDuration", &[("\"1h2m10ms\"", "3720.01")]);
    check(&[
        ("{{ (toTime 1435065584.128).Format \"2006-01-02 15:04\" }}", "2015-06-23 13:19"),
        (
            "{{ humanize \"one\" }}",
            "<error expanding template: error executing template __alert_A: template: __alert_A:1:115: executing \"__alert_A\" at <humanize \"one\">: error calling humanize: strconv.ParseFloat: parsing \"one\": invalid syntax>",
        ),
    ]);
}

#[test]
fn texts() {
    check(&[
        ("{{ title \"aa bb CC it's\" }}", "Aa Bb CC It'S"),
        ("{{ toUpper \"aé\" }}{{ toLower \"AÉ\" }}", "AÉaé"),
        ("{{ match \"a+\" \"baab\" }} {{ match \"^a\" \"ba\" }} {{ match \"\" \"x\" }}", "true false true"),
        ("{{ reReplaceAll \"(a)b\" \"x$1\" \"abcab\" }}", "xacxa"),
        ("{{ reReplaceAll \"localhost:(.*)\" \"h:$1\" \"localhost:9100\" }}", "h:9100"),
        (
            "{{ stripPort \"localhost:9100\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"::1\" }} {{ stripPort \"h\" }}",
            "localhost ::1 ::1 h",
        ),
        (
            "{{ stripDomain \"a.b.c:9100\" }} {{ stripDomain \"a.b.c\" }} {{ stripDomain \"192.0.2.1:1\" }} {{ stripDomain \"[::1]:80\" }}",
            "a:9100 a 192.0.2.1:1 [::1]:80",
        ),
        ("{{ graphLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=0"),
        ("{{ tableLink \"up\" }}", "/graph?g0.expr=up&g0.tab=1"),
        ("{{ urlQueryEscape \"a b~*\" }}", "a+b~%2A"),
        ("{{ safeHtml \"<b>\" }}", "<b>"),
        ("{{ $labels.instance | stripPort | stripDomain }}", "host"),
        (
            "{{ reReplaceAll \"(\" \"\" \"\" }}",
            "<error expanding template: error executing template __alert_A: template: __alert_A:1:115: executing \"__alert_A\" at <reReplaceAll \"(\" \"\" \"\">: error calling reReplaceAll: error parsing regexp: missing closing ): `(`>",
        ),
    ]);
}
