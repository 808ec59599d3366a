//! `hinomi query` against a running server: every question in every form.

use crate::harness::{Hinomi, binary, output, wait_for};
use std::time::Duration;

const CONFIG: &str = "
global: {scrape_interval: 200ms}
scrape_configs:
- job_name: self
  static_configs: [{targets: ['127.0.0.1:1'], labels: {'note': 'a, \"b\"'}}]
hinomi: {self_metrics: true}
";

#[test]
fn every_question_has_its_forms() {
    let server = Hinomi::start(Some(CONFIG), &[]);
    wait_for("samples", Duration::from_secs(30), || {
        server.number("count_over_time(up{job=\"self\"}[1m]) > 3")
    });
    wait_for("histograms", Duration::from_secs(40), || server.number("count({__name__=~\".+_bucket\"})"));
    let ask = |args: &[&str]| {
        let (kind, rest) = args.split_first().unwrap();
        let (code, out, err) = output(binary().args(["query", kind, &server.base]).args(rest));
        assert_eq!(code, 0, "{args:?}: {err}");
        out
    };
    let up = "up{job=\"self\"}";
    // Not on a terminal: as promtool.
    assert!(
        ask(&["instant", up])
            .starts_with("up{instance=\"127.0.0.1:1\", job=\"self\", note=\"a, \\\"b\\\"\"} => 0 @[")
    );
    let table = ask(&["instant", up, "--format", "table"]);
    assert!(table.starts_with("METRIC  instance     job   note") && table.contains("a, \"b\""), "{table}");
    let csv = ask(&["instant", up, "-o", "csv"]);
    assert!(
        csv.starts_with("__name__,instance,job,note,timestamp,value\nup,127.0.0.1:1,self,\"a, \"\"b\"\"\","),
        "{csv}"
    );
    assert!(ask(&["instant", up, "--json"]).starts_with("{\"status\":\"success\""));
    assert!(ask(&["instant", "1 + 1", "--format", "table"]).contains("2\n"));

    let range = ask(&["range", "up{job=\"self\"} + 1", "--step", "1", "--format", "table"]);
    assert!(range.contains("MIN  MAX  LAST") && range.contains('▄'), "{range}");
    let csv = ask(&["range", up, "--step", "1", "--format", "csv"]);
    assert!(csv.lines().count() > 1 && csv.lines().nth(1).unwrap().ends_with(",0"), "{csv}");
    assert!(ask(&["range", up]).contains("} =>\n0 @["));

    assert!(ask(&["series", "--match", up]).starts_with("up{instance="));
    assert!(
        ask(&["series", "--match", up, "--format", "csv"]).starts_with("__name__,instance,job,note\nup,")
    );
    assert!(ask(&["series", "--match", up, "--format", "table"]).starts_with("METRIC  instance"));
    assert_eq!(ask(&["labels", "--match", up]), "__name__\ninstance\njob\nnote\n");
    assert_eq!(ask(&["labels", "job", "--match", up, "--format", "csv"]), "job\nself\n");
    assert!(ask(&["labels", "job", "--format", "json"]).contains("\"self\""));

    let buckets = "{__name__=~\".+_bucket\"}";
    let usage = ask(&["analyze", "--match", buckets, "--duration", "10m"]);
    assert!(usage.starts_with("HISTOGRAM") && usage.contains("classic"), "{usage}");
    let usage = ask(&["analyze", "--match", buckets, "--format", "json"]);
    assert!(
        serde_json::from_str::<serde_json::Value>(&usage).unwrap()[0]["buckets"].as_f64() > Some(1.0),
        "{usage}"
    );

    for (args, part) in [
        (&["instant", "up{"][..], "bad_data"),
        (&["analyze", "--match", "up"], "no histograms there"),
        (&["analyze", "--match", "{"], "--match"),
        (&["range", "up", "--end", "never"], "--end"),
        (&["labels", "--start", "never"], "never"),
    ] {
        let (code, _, err) = output(binary().args(["query", args[0], &server.base]).args(&args[1..]));
        assert!(code == 1 && err.contains(part), "{args:?}: {err}");
    }
}
