//! Whatever comes in: a clear error each, nothing lost, nothing falls.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, binary, escaped, output, post, wait_for};

#[test]
fn hostile_bodies_fail_their_scrape_alone() {
    let gzip_bomb = Target::start(|_| Reply {
        status: 200,
        headers: vec!["Content-Encoding: gzip".to_owned(), "Content-Type: text/plain".to_owned()],
        body: gzip_of_zeros(),
    });
    let truncated = Target::start(|_| Reply {
        status: 200,
        headers: vec!["Content-Encoding: gzip".to_owned(), "Content-Type: text/plain".to_owned()],
        body: gzip_of_zeros()[..40].to_vec(),
    });
    let oversized = Target::start(|_| Reply::text("m{a=\"b\"} 1\n".repeat(200_000)));
    let garbage = Target::start(|_| Reply { body: (0..=255).collect(), ..Reply::text("") });
    let unclosed = Target::start(|_| Reply::text("m{a=\"b 1\nn 2\n"));
    let huge_label = Target::start(|_| Reply::text(format!("m{{a=\"{}\"}} 1\n", "x".repeat(600_000))));
    let error = Target::start(|_| Reply { status: 503, ..Reply::default() });
    let good = Target::start(|_| Reply::text("good 1\n"));
    let bad = [&gzip_bomb, &truncated, &oversized, &garbage, &unclosed, &huge_label, &error];
    let list: Vec<String> = bad.iter().map(|target| format!("'{}'", target.address)).collect();
    let config = format!(
        "global: {{scrape_interval: 1s, body_size_limit: 1MB, label_value_length_limit: 100000}}\nscrape_configs:\n\
         - job_name: bad\n  static_configs:\n  - targets: [{}]\n- job_name: good\n  static_configs:\n  - targets: ['{}']\n",
        list.join(", "),
        good.address
    );
    let server = Hinomi::start(Some(&config), &[]);
    wait_for("every bad one down", Duration::from_secs(15), || {
        server.number("count(up{job=\"bad\"} == 0)").filter(|n| *n == bad.len() as f64)
    });
    // Its turn may come last within the interval.
    wait_for("the good one", Duration::from_secs(5), || server.number("good").filter(|n| *n == 1.0));
    let targets = server.get("/api/v1/targets").json();
    for target in targets["data"]["activeTargets"].as_array().unwrap() {
        let error = target["lastError"].as_str().unwrap();
        assert_eq!(error.is_empty(), target["labels"]["job"] == "good", "{target}");
    }
}

/// 64 MiB of zeros, small when packed.
fn gzip_of_zeros() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zeros");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let out = std::process::Command::new("gzip").arg("-c").arg(&path).output().unwrap();
    out.stdout
}

#[test]
fn bad_requests_are_answered_in_words() {
    let server = Hinomi::start(None, &[]);
    let bad = |expr: &str| format!("/api/v1/query?query={}", escaped(expr));
    for (path, status, word) in [
        (bad("rate("), 400, "1:6: parse error"),
        (bad("sum by (x"), 400, "parse error"),
        (bad("{a=~\"(\"}"), 400, "parse error"),
        (bad("rate(up)"), 400, "expected type range vector in call to function"),
        (bad("nope(1)"), 400, "unknown function"),
        (bad(&format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000))), 400, "parse error"),
        ("/api/v1/query".to_owned(), 400, "query"),
        ("/api/v1/query?query=up&time=yesterday".to_owned(), 400, "yesterday"),
        (
            "/api/v1/query_range?query=up&start=2&end=1&step=1".to_owned(),
            400,
            "end timestamp must not be before start time",
        ),
        (
            "/api/v1/query_range?query=up&start=1&end=2&step=0".to_owned(),
            400,
            "zero or negative query resolution step",
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=100000&step=1".to_owned(),
            400,
            "exceeded maximum resolution of 11,000 points",
        ),
        ("/api/v1/series".to_owned(), 400, "match[]"),
        ("/api/v1/series?match[]={}".to_owned(), 400, "at least one non-empty matcher"),
        ("/api/v1/label/a%20b/values?match[]=up&start=x".to_owned(), 400, ""),
        ("/api/v1/nope".to_owned(), 404, ""),
        ("/api/v2/silence/nope".to_owned(), 422, ""),
        ("/api/v2/alerts?filter=%7B".to_owned(), 400, ""),
        ("/nope.js".to_owned(), 404, ""),
    ] {
        let answer = server.get(&path);
        let shown = &path[..path.len().min(80)];
        assert_eq!(answer.status, status, "{shown}: {}", answer.body);
        assert!(answer.body.contains(word), "{word:?} for {shown} in {}", answer.body);
    }
    let deep = format!("query={}", "(".repeat(100_000));
    for (path, content_type, body) in [
        ("/api/v1/query", "application/x-www-form-urlencoded", deep.as_str()),
        ("/api/v2/alerts", "application/json", "[{"),
        ("/api/v2/alerts", "application/json", "[{\"labels\": {}}]"),
        ("/api/v2/alerts", "application/json", "[{\"labels\": {\"a\": 5}}]"),
        ("/api/v2/silences", "application/json", "{}"),
        ("/api/v2/silences", "application/json", "\u{0}"),
        ("/api/v1/query", "application/x-www-form-urlencoded", "query=%zz"),
        ("/api/v1/query", "application/json", "{\"query\": \"up\"}"),
    ] {
        let answer = server.post(path, content_type, body);
        let shown = &body[..body.len().min(60)];
        assert!((400..500).contains(&answer.status), "{path} {shown:?}: {} {}", answer.status, answer.body);
    }
    assert_eq!(server.get("/-/healthy").status, 200);
    assert_eq!(server.query("1 + 1", None)[1], "2");
}

#[test]
fn broken_http_does_not_disturb_others() {
    let server = Hinomi::start(None, &[]);
    let address = server.base.trim_start_matches("http://");
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx",
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.write_all(bytes).unwrap();
        let _ = stream.read(&mut [0; 1000]);
    }
    let huge = format!("query={}", "a".repeat(20 << 20));
    // Refused while it is still being sent: the client sees the answer, or a closed connection.
    let answer = post(&format!("{}/api/v1/query", server.base), "application/x-www-form-urlencoded", &huge);
    assert!(answer.is_err() || (400..500).contains(&answer.as_ref().unwrap().status), "{answer:?}");
    assert_eq!(server.query("1 + 1", None)[1], "2");
}

#[test]
fn wrong_files_are_named_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let check = |command: &str, text: &str, words: &[&str]| {
        let path = folder.path().join("file.yml");
        std::fs::write(&path, text).unwrap();
        let (code, out, err) = output(binary().args(["check", command]).arg(&path));
        let all = format!("{out}{err}");
        assert_eq!(code, 1, "{text}: {all}");
        for word in words {
            assert!(all.contains(word), "{word:?} for\n{text}\nin {all}");
        }
    };
    check(
        "config",
        "scrape_configs:\n- job_name: a\n  scrape_timeout: 2m\n",
        &["file.yml:", "scrape timeout greater than scrape interval"],
    );
    check("config", "global:\n  scrape_intervall: 1s\n", &["file.yml:2:3", "scrape_intervall"]);
    check("config", "a: [\n", &["file.yml:"]);
    check("config", "remote_read:\n- name: x\n", &["file.yml:2:3", "url for remote_read is empty"]);
    check(
        "rules",
        "groups:\n- name: a\n  rules:\n  - alert: x\n    expr: rate(\n",
        &["file.yml:5", "parse error"],
    );
    check(
        "rules",
        "groups:\n- name: a\n  rules:\n  - alert: x\n    expr: up\n    annotations:\n      a: '{{ .x'\n",
        &["file.yml:"],
    );
    let good = folder.path().join("good.yml");
    std::fs::write(&good, "global: {scrape_interval: 5s}\n").unwrap();
    let (code, out, err) = output(binary().args(["check", "config"]).arg(&good));
    assert_eq!(code, 0, "{out}{err}");
}
