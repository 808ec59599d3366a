//! Events on their way to Kafka: brokers of librdkafka, which its own consumer then reads.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::harness::manager::Manager;
use crate::harness::{free_port, wait_for};

/// Two brokers, and a consumer beside them.
struct Cluster {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// With these topics, of four partitions each.
    fn start(topics: &[String]) -> Self {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python = here.join("../../target/test-python/bin/python");
        let mut command = Command::new(python);
        command.arg(here.join("tests/it/kafka_cluster.py")).args(topics);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (commands, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut cluster = Self { process, commands, answers: BufReader::new(answers) };
        assert_eq!(cluster.answer(), "ok");
        cluster
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn say(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        self.answer()
    }

    /// Key, value and time of the first records.
    fn read(&mut self, topic: &str, n_records: usize) -> Vec<(String, Vec<u8>, i64)> {
        let records: Vec<Value> =
            serde_json::from_str(&self.say(&format!("read {topic} {n_records}"))).unwrap();
        assert_eq!(records.len(), n_records, "{topic}");
        let base64 = base64::engine::general_purpose::STANDARD;
        let record = |record: &Value| {
            let value = base64.decode(record["value"].as_str().unwrap()).unwrap();
            (record["key"].as_str().unwrap().to_owned(), value, record["at"].as_i64().unwrap())
        };
        records.iter().map(record).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn events_wait_for_a_broker_that_is_away_and_are_read_in_every_packing() {
    let packings = ["none", "gzip", "snappy", "lz4", "zstd"];
    let acks = ["all", "leader", "none", "leader", "all"];
    let topics: Vec<String> = packings.iter().map(|packing| format!("json-{packing}")).collect();
    let mut cluster = Cluster::start(&[&topics[..], &["proto".to_owned()]].concat());

    let port = free_port();
    let mut outputs = String::new();
    for ((topic, packing), acks) in topics.iter().zip(packings).zip(acks) {
        outputs += &format!(
            "  - {{brokers: ['127.0.0.1:{port}'], topic: {topic}, compression: {packing}, acks: {acks}}}\n"
        );
    }
    outputs += &format!("  - {{brokers: ['127.0.0.1:{port}'], topic: proto, format: protobuf}}\n");
    let config = format!(
        "route: {{receiver: none}}\nreceivers: [{{name: none}}]\nevent_recorder:\n  kafka_outputs:\n{outputs}"
    );
    let manager = Manager::start(&config, &[]);
    let labels = json!({"alertname": "Watched", "summary": "火の見"});
    assert_eq!(manager.post("/api/v2/alerts", &json!([{"labels": labels}])).status, 200);
    let told = format!(
        "alertmanager_events_recorded_total{{event_type=\"alert_created\",output=\"kafka:127.0.0.1:{port}/proto\",result=\"success\"}} 1"
    );
    wait_for("the event", Duration::from_secs(10), || {
        manager.get("/metrics").body.contains(&told).then_some(())
    });

    // What was told while nobody listened arrives now.
    assert_eq!(cluster.say(&format!("relay {port}")), "ok");
    let mut values = Vec::new();
    for topic in &topics {
        let records = cluster.read(topic, 2);
        let last: Value = serde_json::from_slice(&records[1].1).unwrap();
        assert_eq!(last["data"]["alertCreated"]["alert"]["name"], "Watched", "{topic}");
        assert_eq!(last["instance"], records[1].0.as_str(), "the key is the instance");
        values.push(records);
    }
    assert!(values.iter().all(|records| *records == values[0]), "the same whatever the packing");

    let records = cluster.read("proto", 2);
    let (key, value, at_ms) = &records[1];
    assert_eq!((key, *at_ms), (&values[0][1].0, values[0][1].2));
    assert!(value.starts_with(&[0x0a]), "the time is first");
    assert!(value.windows(7).any(|bytes| bytes == b"Watched") && !value.contains(&b'{'));
    assert!(!manager.get("/metrics").body.contains("alertmanager_event_kafka_produce_errors_total{"));
}
