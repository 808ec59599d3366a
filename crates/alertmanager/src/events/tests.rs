//! Events in Alertmanager's shape, and on their way to a file.

use std::sync::Arc;

use model::{Labels, MatchOp, Matcher};
use stdx::{Dir, MemDir};

use super::*;
use crate::alert::{Alert, Fingerprint};
use crate::config::Config;
use crate::inhibit::InhibitRuleConfig;
use crate::silence::Silence;

const T0: i64 = 1_763_676_000_000;

fn alert() -> Arc<Alert> {
    Arc::new(Alert {
        labels: Labels::from_pairs([("alertname", "A"), ("job", "j")]),
        annotations: Labels::empty(),
        starts_at_ms: T0,
        ends_at_ms: T0 + 500,
        generator_url: String::new(),
        updated_at_ms: T0,
        is_timeout: false,
        measured: None,
    })
}

fn silence() -> Box<Silence> {
    Box::new(Silence {
        id: "7e2c".to_owned(),
        matchers: vec![Matcher::new(MatchOp::NotRegex, "a", "b.*").expect("an expression")],
        starts_at_ms: T0,
        ends_at_ms: T0 + 60_000,
        updated_at_ms: T0,
        created_by: "me".to_owned(),
        comment: String::new(),
        annotations: std::collections::BTreeMap::new(),
    })
}

fn group() -> GroupInfo {
    GroupInfo {
        key: "{}:{alertname=\"A\"}".to_owned(),
        labels: Labels::from_pairs([("alertname", "A")]),
        receiver: "r".to_owned(),
    }
}

fn sent() -> Sent {
    Sent {
        alerts: vec![(alert(), true)],
        firing: vec![alert()],
        resolved: Vec::new(),
        muted: Vec::new(),
        group: group(),
        matchers: Vec::new(),
        repeat_interval_ms: 14_400_500,
        reason: "first notification",
        flush_ms: 7,
        epoch: 0,
        integration: "webhook",
        idx: 1,
    }
}

/// The shapes are those that Alertmanager 0.34 wrote for the same things, compared field by field.
#[test]
fn events_have_alertmanagers_shape() {
    let check = |what: What, expected: &str| {
        let line = json::line(&Note { at_ms: T0, what }, "h", 0);
        let start = r#"{"@timestamp":"2025-11-20T22:00:00Z","instance":"h","data":"#;
        assert_eq!(line, format!("{start}{expected}}}"));
    };
    let labels = r#""labels":{"labels":[{"key":"alertname","value":"A"},{"key":"job","value":"j"}]}"#;
    let fingerprint = Fingerprint::of(&alert().labels).0;
    let hash = crate::nflog::alertmanagers_hash(&alert().labels);
    let details = format!(
        r#"{{"fingerprint":"{fingerprint}","name":"A",{labels},"annotations":{{}},"startsAt":"2025-11-20T22:00:00Z","endsAt":"2025-11-20T22:00:00.500Z"}}"#
    );
    let id = net::auth::sign::hex(&net::auth::sign::sha256(group().key.as_bytes()));
    let in_group = format!(
        r#""groupKey":"{{}}:{{alertname=\"A\"}}","groupLabels":{{"labels":[{{"key":"alertname","value":"A"}}]}},"groupId":"{id}","receiverName":"r""#
    );
    let matcher = r#"{"type":"TYPE_NOT_REGEXP","name":"a","pattern":"b.*","rendered":"a!~\"b.*\""}"#;
    let silenced = format!(
        r#"{{"id":"7e2c","matchers":[{matcher}],"startsAt":"2025-11-20T22:00:00Z","endsAt":"2025-11-20T22:01:00Z","updatedAt":"2025-11-20T22:00:00Z","createdBy":"me","matcherSets":[{{"matchers":[{matcher}]}}]}}"#
    );
    let muted = format!(r#""mutedAlert":{{{labels},"fingerprint":"{fingerprint}"}}"#);

    let started = What::Started { version: "1".to_owned(), build: String::new() };
    check(started, r#"{"alertmanagerStartupEvent":{"version":"1"}}"#);
    check(What::Stopped, r#"{"alertmanagerShutdownEvent":{}}"#);
    check(What::Created(alert()), &format!(r#"{{"alertCreated":{{"alert":{details}}}}}"#));
    check(
        What::Grouped { alert: alert(), group: group() },
        &format!(
            r#"{{"alertGrouped":{{"alert":{{"hash":"{hash}","details":{details}}},"groupInfo":{{{in_group}}}}}}}"#
        ),
    );
    check(What::SilenceMade(silence()), &format!(r#"{{"silenceCreated":{{"silence":{silenced}}}}}"#));
    check(
        What::Silenced { silence: silence(), labels: alert().labels.clone() },
        &format!(r#"{{"silenceMutedAlert":{{"silence":{silenced},{muted}}}}}"#),
    );
    let rule = InhibitRuleConfig {
        name: "n".to_owned(),
        source: vec![Matcher::equal("s", "1")],
        target: Vec::new(),
        equal: vec!["e".to_owned()],
    };
    let source = r#"[{"type":"TYPE_EQUAL","name":"s","pattern":"1","rendered":"s=\"1\""}]"#;
    check(
        What::Inhibited { rule: Some(Box::new(rule)), labels: alert().labels.clone(), by: Fingerprint(5) },
        &format!(
            r#"{{"inhibitionMutedAlert":{{"inhibitRules":[{{"sourceMatchers":{source},"equalLabels":["e"],"name":"n"}}],{muted},"inhibitingFingerprints":["5"]}}}}"#
        ),
    );
    let uuid = crate::uuid::of_text(&format!("0 {}", group().key));
    check(
        What::Sent(Box::new(sent())),
        &format!(
            r#"{{"notification":{{"alerts":[{{"hash":"{hash}","details":{details}}}],"firingAlerts":[{{"hash":"{hash}"}}],"groupInfo":{{{in_group},"groupUuid":"{uuid}"}},"repeatInterval":"14400.500s","reason":"NOTIFY_REASON_FIRST_NOTIFICATION","flushId":"7","integration":{{"name":"webhook","index":"1"}}}}}}"#
        ),
    );
}

fn outputs(section: &str) -> NewOutputs {
    let text = format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\nevent_recorder: {section}\n");
    NewOutputs::new(&Config::parse("a.yml", &text).expect("good").events).expect("clients")
}

#[tokio::test]
async fn files_are_appended_to_and_may_be_rotated_away() {
    let (dir, registry) = (MemDir::new(), Registry::new());
    let teller = Teller { instance: "h".to_owned(), position: Box::new(|| 0) };
    let files: Arc<dyn Dir> = Arc::new(dir.clone());
    let recorder = EventRecorder::start(outputs("{file_outputs: [{path: e}]}"), files, teller, &registry);
    let stopped = || vec![Note { at_ms: T0, what: What::Stopped }];
    let told = "alertmanager_events_recorded_total{event_type=\"alertmanager_shutdown_event\",output=\"file:e\",result=\"success\"}";
    let wait = async |n: usize| {
        while !registry.render().contains(&format!("{told} {n}")) {
            tokio::task::yield_now().await;
        }
    };
    recorder.offer(stopped());
    wait(1).await;
    dir.rename(Path::new("e"), Path::new("e.1")).expect("rotated");
    recorder.offer(stopped());
    recorder.offer(stopped());
    wait(3).await;
    recorder.apply(outputs("{}"));
    recorder.close().await;
    let n_lines =
        |path| dir.read(Path::new(path)).expect("there").iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((n_lines("e.1"), n_lines("e")), (1, 2));
    recorder.offer(stopped());
}

#[test]
fn the_section_is_checked() {
    let check = |section: &str, expected: &str| {
        let text = format!("route: {{receiver: r}}\nreceivers: [{{name: r}}]\nevent_recorder: {section}\n");
        let said = Config::parse("a.yml", &text).err().map(|err| err.to_string()).unwrap_or_default();
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{section}: {said}");
    };
    check("{}", "");
    check("", "");
    check("{stdout_outputs: [{}, ~], file_outputs: [{path: e}]}", "");
    check("{webhook_outputs: [{url: 'http://h/', workers: -1, timeout: 1s}]}", "");
    check("{webhook_outputs: [{url: 'http://h/', batch: true, batch_max_events: 5}]}", "");
    check("{file_outputs: [{}]}", "event_recorder file output requires a path");
    check("{webhook_outputs: [{}]}", "event_recorder webhook output requires a url");
    check("{webhook_outputs: [{url: <secret>}]}", "requires an absolute http(s) url");
    check("{webhook_outputs: [{url: 'ftp://h/'}]}", "requires an absolute http(s) url");
    check("{webhook_outputs: [{url: 'http://h/', batch_max_bytes: 5}]}", "require batch: true");
    check("{webhook_outputs: [{url: 'http://h/', batch: true, batch_max_bytes: -5}]}", "cannot be negative");
    check("{stdout_outputs: [{a: b}]}", "field a not found");
    check("{other: 1}", "field other not found");
    check(
        "{kafka_outputs: [{brokers: [a, 'b:1'], topic: t, acks: all, compression: lz4, buffer_size: -1}]}",
        "",
    );
    check(
        "{kafka_outputs: [{brokers: [a], topic: t, acks: '', compression: '', format: '', client_id: ''}]}",
        "",
    );
    check("{kafka_outputs: [{topic: t}]}", "event_recorder kafka: at least one broker is required");
    check("{kafka_outputs: [{brokers: [a, '']}]}", "event_recorder kafka: broker entries must be non-empty");
    check("{kafka_outputs: [{brokers: ['h:x'], topic: t}]}", "broker \"h:x\" is not host:port");
    check("{kafka_outputs: [{brokers: [a]}]}", "event_recorder kafka output requires a topic");
    check(
        "{kafka_outputs: [{brokers: [a], topic: t, acks: some}]}",
        "event_recorder kafka: unknown acks \"some\", must be \"none\", \"leader\", or \"all\"",
    );
    check(
        "{kafka_outputs: [{brokers: [a], topic: t, compression: lzo}]}",
        "event_recorder kafka: unknown compression \"lzo\"",
    );
    check(
        "{kafka_outputs: [{brokers: [a], topic: t, format: avro}]}",
        "event_recorder kafka: unknown format \"avro\", must be \"json\" or \"protobuf\"",
    );
    check("{kafka_outputs: [{brokers: [a], topic: t, sasl: x}]}", "field sasl not found");
}

/// Byte for byte what Alertmanager 0.34 puts into a record, field by field.
#[test]
fn events_have_alertmanagers_protobuf() {
    let check = |what: What, position: u32, expected: &[u8]| {
        assert_eq!(protobuf::message(&Note { at_ms: T0 + 500, what }, "h", position), expected);
    };
    // Time: 1763676000 s and 500,000,000 ns; the instance; the data; the position.
    let time = [0x0a, 0x0c, 0x08, 0xe0, 0x9e, 0xfe, 0xc8, 0x06, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
    let head = [&time[..], &[0x12, 1, b'h']].concat();
    let with = |data: &[u8]| [&head[..], data].concat();
    check(What::Stopped, 0, &with(&[0x1a, 2, 0x12, 0]));
    check(What::Stopped, 300, &with(&[0x1a, 2, 0x12, 0, 0x20, 0xac, 0x02]));
    let started = What::Started { version: "1".to_owned(), build: String::new() };
    check(started, 0, &with(&[0x1a, 5, 0x0a, 3, 0x0a, 1, b'1']));
    let inhibited = What::Inhibited { rule: None, labels: Labels::empty(), by: Fingerprint(300) };
    let bytes = protobuf::message(&Note { at_ms: T0, what: inhibited }, "", 0);
    assert!(bytes.ends_with(&[0x1a, 2, 0xac, 0x02]), "numbers of a list are packed: {bytes:x?}");
}

/// At the end all that waits for the broker is given up: also what came before the reload.
#[tokio::test]
async fn a_reload_without_a_change_keeps_what_waits() {
    let section = "{kafka_outputs: [{brokers: ['127.0.0.1:1'], topic: t}]}";
    let (files, registry): (Arc<dyn Dir>, _) = (Arc::new(MemDir::new()), Registry::new());
    let teller = Teller { instance: "h".to_owned(), position: Box::new(|| 0) };
    let recorder = EventRecorder::start(outputs(section), files, teller, &registry);
    for n in 1..=2 {
        recorder.offer(vec![Note { at_ms: T0, what: What::Stopped }]);
        let told = format!("output=\"kafka:127.0.0.1:1/t\",result=\"success\"}} {n}");
        while !registry.render().contains(&told) {
            tokio::task::yield_now().await;
        }
        recorder.apply(outputs(section));
    }
    recorder.close().await;
    let page = registry.render();
    assert!(page.contains("output=\"kafka:127.0.0.1:1/t\",error_type=\"timeout\"} 2"), "{page}");
}
