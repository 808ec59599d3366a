//! Two and three `hinomi alertmanager` that share silences and the notification log, as people run them.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::manager::Manager;
use crate::harness::target::{Reply, Target};
use crate::harness::{free_port, now_secs, output, post, wait_for};

/// Short waits for all; a secret in a file; TLS where a certificate is given.
struct Cluster {
    managers: Vec<Manager>,
    ports: Vec<u16>,
    hook: Target,
}

fn config(hook: &Target) -> String {
    format!(
        "route: {{receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}}\n\
         receivers: [{{name: ops, webhook_configs: [{{url: 'http://{}/hook'}}]}}]\n",
        hook.address
    )
}

fn args(folder: &TempDir, name: usize, port: u16, ports: &[u16], has_tls: bool) -> Vec<String> {
    let path = folder.path().join("key");
    std::fs::write(&path, "a secret that all managers share\n").unwrap();
    let mut args = vec![
        format!("--cluster.listen-address=127.0.0.1:{port}"),
        format!("--cluster.key-file={}", path.display()),
        format!("--cluster.peer-name=n{name}"),
        "--cluster.peer-timeout=3s".to_owned(),
        "--cluster.probe-interval=300ms".to_owned(),
        "--cluster.reconnect-interval=500ms".to_owned(),
        "--cluster.settle-timeout=20s".to_owned(),
    ];
    args.extend(
        ports.iter().filter(|other| **other != port).map(|other| format!("--cluster.peer=127.0.0.1:{other}")),
    );
    if has_tls {
        let tls = folder.path().join("tls.yml");
        std::fs::write(
            &tls,
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireAndVerifyClientCert, client_ca_file: cert.pem}\n\
             tls_client_config: {cert_file: cert.pem, key_file: key.pem, ca_file: cert.pem}\n",
        )
        .unwrap();
        args.push(format!("--cluster.tls-config={}", tls.display()));
    }
    args
}

/// One certificate for all, which is its own authority.
fn certificate(folder: &TempDir) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder.path()).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-subj",
        "/CN=manager",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]);
    let (code, _, err) = output(&mut openssl);
    assert_eq!(code, 0, "openssl: {err}");
}

impl Cluster {
    fn start(n: usize, has_tls: bool) -> Self {
        let hook = Target::start(|_| Reply { status: 200, ..Reply::default() });
        let ports: Vec<u16> = (0..n).map(|_| free_port()).collect();
        let shared = tempfile::tempdir().unwrap();
        if has_tls {
            certificate(&shared);
        }
        let folders: Vec<TempDir> = (0..n).map(|_| tempfile::tempdir().unwrap()).collect();
        let managers = folders.into_iter().enumerate().map(|(idx, folder)| {
            for file in ["cert.pem", "key.pem"].iter().filter(|_| has_tls) {
                std::fs::copy(shared.path().join(file), folder.path().join(file)).unwrap();
            }
            let args = args(&folder, idx, ports[idx], &ports, has_tls);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            Manager::start_in(folder, &config(&hook), &args)
        });
        let cluster = Self { managers: managers.collect(), ports, hook };
        cluster.wait_ready(n);
        cluster
    }

    /// Until every manager sees `n` of them.
    fn wait_ready(&self, n: usize) {
        for manager in &self.managers {
            wait_for("all there and settled", Duration::from_secs(20), || {
                let status = manager.get("/api/v2/status").json();
                let is_whole = status["cluster"]["peers"].as_array().is_some_and(|peers| peers.len() == n);
                (is_whole && status["cluster"]["status"] == "ready").then_some(())
            });
        }
    }

    fn tell_all(&self, name: &str, ends: Option<f64>) {
        let mut alert = json!({"labels": {"alertname": name}, "startsAt": at(-5.0)});
        if let Some(ends) = ends {
            alert["endsAt"] = json!(at(ends));
        }
        for manager in &self.managers {
            // One that was killed answers nothing.
            let _ = post(
                &format!("{}/api/v2/alerts", manager.base),
                "application/json",
                &json!([alert]).to_string(),
            );
        }
    }

    /// What came about an alert: `firing` and `resolved`, in order.
    fn told(&self, name: &str) -> Vec<String> {
        let payloads = self
            .hook
            .requests()
            .into_iter()
            .map(|request| serde_json::from_str::<Value>(&request.body).unwrap());
        payloads
            .filter(|payload| payload["groupLabels"]["alertname"] == name)
            .map(|payload| payload["status"].as_str().unwrap().to_owned())
            .collect()
    }

    fn wait_told(&self, name: &str, expected: &[&str]) {
        wait_for(&format!("{name} told {expected:?}"), Duration::from_secs(25), || {
            (self.told(name).len() >= expected.len()).then_some(())
        });
        assert_eq!(self.told(name), expected);
    }
}

fn at(in_secs: f64) -> String {
    jiff::Timestamp::from_millisecond(((now_secs() + in_secs) * 1e3) as i64).unwrap().to_string()
}

fn quiet(secs: f64) {
    let until = now_secs() + secs;
    wait_for("some quiet time", Duration::from_secs(60), || (now_secs() > until).then_some(()));
}

fn silence(manager: &Manager, name: &str) -> String {
    let body = json!({
        "matchers": [{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}],
        "startsAt": at(0.0), "endsAt": at(3_600.0), "createdBy": "me", "comment": "c",
    });
    let answer = manager.post("/api/v2/silences", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["silenceID"].as_str().unwrap().to_owned()
}

fn has_silence(manager: &Manager, id: &str) -> bool {
    manager.get(&format!("/api/v2/silence/{id}")).status == 200
}

#[test]
fn two_managers_tell_once_and_one_that_is_left_tells_too() {
    let mut cluster = Cluster::start(2, true);
    cluster.tell_all("first", None);
    cluster.wait_told("first", &["firing"]);
    // Longer than the second waits for the first.
    quiet(8.0);
    assert_eq!(cluster.told("first"), ["firing"], "once");
    let page = cluster.managers[1].get("/metrics").body;
    for line in [
        "alertmanager_peer_position 1\n",
        "alertmanager_cluster_members 2\n",
        "alertmanager_cluster_enabled 1\n",
    ] {
        assert!(page.contains(line), "{line}");
    }
    let id = silence(&cluster.managers[1], "hushed");
    wait_for("the silence at the other", Duration::from_secs(5), || {
        has_silence(&cluster.managers[0], &id).then_some(())
    });
    cluster.tell_all("hushed", None);

    cluster.managers[0].process.kill9();
    cluster.tell_all("second", None);
    cluster.wait_told("second", &["firing"]);
    cluster.tell_all("first", Some(0.0));
    cluster.wait_told("first", &["firing", "resolved"]);

    // With an empty disk it gets its silences back, and knows what was told.
    std::fs::remove_dir_all(cluster.managers[0].folder.path().join("data")).unwrap();
    cluster.managers[0].restart();
    cluster.wait_ready(2);
    assert!(has_silence(&cluster.managers[0], &id));
    cluster.tell_all("second", None);
    cluster.tell_all("hushed", None);
    quiet(8.0);
    assert_eq!(cluster.told("second"), ["firing"], "once");
    assert!(cluster.told("hushed").is_empty());
}

#[test]
fn three_managers_tell_once_and_strangers_learn_and_change_nothing() {
    let cluster = Cluster::start(3, false);
    cluster.tell_all("a", None);
    cluster.wait_told("a", &["firing"]);
    cluster.tell_all("a", Some(0.0));
    cluster.wait_told("a", &["firing", "resolved"]);
    quiet(8.0);
    assert_eq!(cluster.told("a"), ["firing", "resolved"]);

    let url = format!("http://127.0.0.1:{}/cluster/v1", cluster.ports[0]);
    let (name, expected): (&[u8], _) = (b"nonsense", "not a message of a cluster of Hinomi's managers");
    let (old, sealed) =
        ([b"HMC\x01".as_slice(), &[0; 60]].concat(), [b"HMC\x05".as_slice(), &[0; 60]].concat());
    for (body, code, text) in [
        (name, 400, expected),
        (&old, 400, "version 1 of the cluster's messages is not spoken here, only 5"),
        (&sealed, 403, "sealed with another key or for another cluster"),
    ] {
        let answer = post(&url, "application/octet-stream", std::str::from_utf8(body).unwrap()).unwrap();
        assert_eq!(answer.status, code, "{}", answer.body);
        assert!(answer.body.starts_with(text), "{}", answer.body);
    }
    // One with another key finds nobody.
    let folder = tempfile::tempdir().unwrap();
    let mut args = args(&folder, 9, free_port(), &cluster.ports, false);
    std::fs::write(folder.path().join("key"), "quite another secret than theirs").unwrap();
    args.push("--cluster.settle-timeout=1s".to_owned());
    args.retain(|arg| arg != "--cluster.settle-timeout=20s");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let stranger = Manager::start_in(folder, &config(&cluster.hook), &args);
    let id = silence(&stranger, "b");
    wait_for("it is refused", Duration::from_secs(10), || {
        stranger.process.log().contains("sealed with another key or for another cluster").then_some(())
    });
    cluster.wait_ready(3);
    assert!(cluster.managers.iter().all(|manager| !has_silence(manager, &id)));
    let peers = stranger.get("/api/v2/status").json()["cluster"]["peers"].as_array().unwrap().len();
    assert_eq!(peers, 1, "itself");
    let page = cluster.managers[0].get("/metrics").body;
    let refused = "alertmanager_cluster_messages_refused_total{reason=\"key\"} ";
    assert!(page.lines().any(|line| line.strip_prefix(refused).is_some_and(|n| n != "0")), "{page}");
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    for (args, expected) in [
        (vec!["--cluster.listen-address=0.0.0.0:0", "--cluster.peer=10.0.0.1:9094"], "a key is needed"),
        (
            vec!["--cluster.listen-address=127.0.0.1:0", "--cluster.peer=nonsense"],
            "is not of the form host:port",
        ),
        (
            vec!["--cluster.listen-address=127.0.0.1:0", "--cluster.key-file=/no/such"],
            "--cluster.key-file: cannot read /no/such",
        ),
        (
            vec!["--cluster.listen-address=", "--cluster.peer=10.0.0.1:9094"],
            "--cluster.peer needs --cluster.listen-address",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("alertmanager.yml"),
            "route: {receiver: a}\nreceivers: [{name: a}]\n",
        )
        .unwrap();
        let mut command = crate::harness::binary();
        command
            .args(["alertmanager", "--web.listen-address=127.0.0.1:0", "--storage.path=data"])
            .args(&args)
            .current_dir(folder.path());
        let (code, _, err) = output(&mut command);
        assert_ne!(code, 0);
        assert!(err.contains(expected), "{args:?}: {err}");
    }
}

#[test]
fn maintenance_windows_and_their_ends_are_shared() {
    let mut cluster = Cluster::start(2, false);
    let began = jiff::Timestamp::from_second(now_secs() as i64 - 600).unwrap();
    let window = json!({
        "name": "move", "matchers": ["alertname=A"], "start": began.strftime("%Y-%m-%dT%H:%M").to_string(), "duration": "1h",
        "recurrence": "FREQ=DAILY", "owner": "ann", "reason": "racks"
    });
    let made = cluster.managers[0].post("/api/v2/maintenance", &window).json();
    let path = format!("/api/v2/maintenance/{}", made["id"].as_str().unwrap());
    let wait_for_state = |manager: &Manager, expected: &str| {
        wait_for(expected, Duration::from_secs(20), || {
            Some(manager.get(&path))
                .filter(|answer| answer.status == 200 && answer.json()["state"] == expected)
        })
    };
    // The same run is the same silence.
    let there = wait_for_state(&cluster.managers[1], "active").json();
    assert_eq!((&there["silences"], &there["runs"]), (&made["silences"], &made["runs"]));
    assert_eq!(cluster.managers[1].post(&format!("{path}/end"), &json!({})).status, 200);
    let ended = wait_for_state(&cluster.managers[0], "waiting").json();
    assert_eq!(ended["runs"].as_array().map(Vec::len), Some(5));
    // Who was away hears of it when it comes back.
    cluster.managers[0].process.kill9();
    assert_eq!(cluster.managers[1].delete(&path).status, 200);
    cluster.managers[0].restart();
    wait_for("deleted", Duration::from_secs(20), || {
        (cluster.managers[0].get("/api/v2/maintenance").json() == json!([])).then_some(())
    });
    assert_eq!(cluster.managers[0].get("/api/v2/silences?expired=false").json(), json!([]));
}
