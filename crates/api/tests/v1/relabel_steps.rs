//! Relabelling one rule at a time, as the page of service discovery asks for it.

use crate::Server;

const JOB: &str = "
job_name: a
relabel_configs:
- {source_labels: [__address__], regex: '(.+):.*', target_label: host}
- {source_labels: [host], regex: b, action: drop}
- {regex: x, action: labeldrop}
";

#[tokio::test]
async fn what_cannot_be_relabelled_says_why() {
    let server = Server::start();
    let check = async |query: &str, message: &str| {
        server.check_error(&format!("/api/v1/targets/relabel_steps{query}"), 400, "bad_data", message).await;
    };
    check("", "no scrapePool parameter provided").await;
    check("?scrapePool=a", "no labels parameter provided").await;
    check("?scrapePool=a&labels=x", "error parsing labels: expected value at line 1 column 1").await;
    check("?scrapePool=a&labels={}", r#"error retrieving scrape config: scrape pool \"a\" not found"#).await;
}

#[tokio::test]
async fn every_rule_shows_what_it_made_of_the_labels() {
    let server = Server::start_with(JOB);
    let ask = |labels: &str| format!("/api/v1/targets/relabel_steps?scrapePool=a&labels={labels}");
    let step = |rule: &str, output: &str, keep: bool| {
        format!(r#"{{"rule":{{{rule}}},"output":{output},"keep":{keep}}}"#)
    };
    let check = async |labels: &str, outputs: [(&str, bool); 3]| {
        let steps = [
            step(
                r#""source_labels":["__address__"],"separator":";","regex":"(.+):.*","target_label":"host","replacement":"$1","action":"replace""#,
                outputs[0].0,
                outputs[0].1,
            ),
            step(
                r#""source_labels":["host"],"separator":";","regex":"b","replacement":"$1","action":"drop""#,
                outputs[1].0,
                outputs[1].1,
            ),
            step(
                r#""separator":";","regex":"x","replacement":"$1","action":"labeldrop""#,
                outputs[2].0,
                outputs[2].1,
            ),
        ];
        let expected = format!(r#"{{"status":"success","data":{{"steps":[{}]}}}}"#, steps.join(","));
        server.check(&ask(labels), 200, &expected).await;
    };
    let all = r#"{"__address__":"a:1","host":"a","x":"y"}"#;
    check(
        "{%22__address__%22:%22a:1%22,%22x%22:%22y%22}",
        [(all, true), (all, true), (r#"{"__address__":"a:1","host":"a"}"#, true)],
    )
    .await;
    check(
        "{%22__address__%22:%22b:1%22}",
        [(r#"{"__address__":"b:1","host":"b"}"#, true), ("{}", false), ("{}", false)],
    )
    .await;
}
