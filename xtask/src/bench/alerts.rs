//! `alerts`: 100,000 active alerts in 1,000 groups beside 10,000 silences, reported again at 5,000 a second, while others look.
//!
//! In: alerts as Prometheus sends them, made here. Out: how long each request took, CPU and memory of our Alertmanager and of Debian's.
//! The load comes from threads of this process; what servers take is asked of the operating system.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Bench;
use super::http::Client;
use super::proc;
use super::report::{Kind, Section};
use super::server::{Server, Spec};
use crate::run;

/// Alerts of one request: as many as Prometheus sends.
const PER_REQUEST: usize = 256;
/// Connections that report alerts. Chosen: a pair of Prometheus servers.
const SENDERS: usize = 2;
/// Between two questions of those who look. Chosen: a few people and dashboards.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How far ahead of now an alert ends that is reported again every minute. From Prometheus.
const ENDS_IN_SECS: i64 = 240;

struct Sizes {
    alerts: usize,
    groups: usize,
    silences: usize,
    per_second: u64,
    seconds: u64,
}

/// Debian's Alertmanager, where there is one.
pub fn peers() -> Vec<Spec> {
    if !run::exists("prometheus-alertmanager") {
        return Vec::new();
    }
    let command = "prometheus-alertmanager --config.file={config} --storage.path={data} --web.listen-address=127.0.0.1:{port} \
                   --cluster.listen-address= --log.level=warn";
    let version = super::server::first_line("prometheus-alertmanager", "--version");
    vec![Spec { name: "alertmanager".to_owned(), command: command.to_owned(), version, is_ours: false }]
}

pub fn alerts(bench: &Bench) -> Result<Vec<Section>> {
    let options = &bench.options;
    let sizes = Sizes {
        alerts: options.number("alerts", 100_000, 5_000)? as usize,
        groups: options.number("groups", 1_000, 50)? as usize,
        silences: options.number("silences", 10_000, 200)? as usize,
        per_second: options.number("per-second", 5_000, 1_000)?,
        seconds: options.number("seconds", 60, 10)?,
    };
    let runs = options.number("runs", 1, 1)?;
    let only = options.list("only");
    let ours = bench.specs.iter().find(|spec| spec.is_ours).map(manager);
    let mut specs: Vec<Spec> = ours.into_iter().chain(peers()).collect();
    specs.retain(|spec| only.is_empty() || only.contains(&spec.name));
    let mut section = Section::new("alerts", method(&sizes, runs));
    for run in 0..runs {
        if run % 2 == 1 {
            specs.reverse();
        }
        for spec in &specs {
            one(bench, spec, &sizes, &mut section).with_context(|| spec.name.clone())?;
        }
    }
    Ok(vec![section])
}

/// Our binary as an Alertmanager alone.
fn manager(spec: &Spec) -> Spec {
    let binary = spec.command.split(' ').next().unwrap_or_default();
    let command = format!(
        "{binary} alertmanager --config.file={{config}} --storage.path={{data}} --web.listen-address=127.0.0.1:{{port}} --log.level=warn"
    );
    Spec { command, ..spec.clone() }
}

fn method(sizes: &Sizes, runs: u64) -> String {
    let Sizes { alerts, groups, silences, per_second, seconds } = sizes;
    format!(
        "{alerts} alerts of eight labels and two annotations in {groups} groups, one webhook, {silences} silences of two matchers (one in a hundred \
         hides an alert). For {seconds} s alerts are reported again, {per_second} a second in requests of {PER_REQUEST} over {SENDERS} connections, \
         while others ask for the alerts of a name, a group, the silences of a host and the status, and make silences, one request every {} ms. \
         Medians of {runs}.",
        LOOK_EVERY.as_millis()
    )
}

fn one(bench: &Bench, spec: &Spec, sizes: &Sizes, section: &mut Section) -> Result<()> {
    let folder = bench.folder()?;
    let hook = sink()?;
    let server = spec.start(folder.path(), &config(hook), "")?;
    let name = server.name.clone();
    let before = server.cpu_seconds()?;
    let began = Instant::now();
    let mut client = Client::new(server.port);
    for nth in 0..sizes.silences {
        ok(client.post_json("/api/v2/silences", &silence(nth, sizes))?.status, "a silence")?;
    }
    for first in (0..sizes.alerts).step_by(PER_REQUEST) {
        ok(client.post_json("/api/v2/alerts", &reports(first, sizes))?.status, "alerts")?;
    }
    section.add("filling: CPU, s", Kind::Cost, "", &name, server.cpu_seconds()? - before);
    section.add("filling: time, s", Kind::Cost, "", &name, began.elapsed().as_secs_f64());

    // The first notifications go out meanwhile, as after any start.
    let _ = proc::forget_peak(server.pid());
    let before = server.cpu_seconds()?;
    let (posts, looks) = load(&server, sizes)?;
    let cpu = server.cpu_seconds()? - before;
    let memory = server.memory()?;
    let asked = "5 times less";
    // Not over the time: a server that is too slow takes longer for the same reports.
    section.add("CPU while reporting, s", Kind::Cost, asked, &name, cpu);
    section.add("memory, peak, MB", Kind::Cost, "half", &name, memory.peak as f64 / 1e6);
    section.add(
        "alerts taken per second",
        Kind::Fact,
        "5000",
        &name,
        posts.len() as f64 * PER_REQUEST as f64 / sizes.seconds as f64,
    );
    let all: Vec<f64> = posts.iter().chain(&looks).copied().collect();
    for (what, asked, times) in
        [("a report", "", &posts), ("a question", "", &looks), ("any request", "< 100", &all)]
    {
        section.add(&format!("{what}, median, ms"), Kind::Cost, "", &name, quantile(times, 0.5) * 1e3);
        section.add(&format!("{what}, p99, ms"), Kind::Cost, asked, &name, quantile(times, 0.99) * 1e3);
    }
    let began = Instant::now();
    let list = client.get("/api/v2/alerts")?;
    section.add("all alerts in one answer, s", Kind::Cost, "", &name, began.elapsed().as_secs_f64());
    let list: Value = serde_json::from_slice(&list.body)?;
    let n_alerts = list.as_array().map_or(0, Vec::len);
    // A server that took so long that reports ended holds fewer.
    section.add("alerts at the end", Kind::Fact, "", &name, n_alerts as f64);
    let n_hidden = list
        .as_array()
        .into_iter()
        .flatten()
        .filter(|alert| alert["status"]["state"] == "suppressed")
        .count();
    section.add("alerts hidden", Kind::Fact, "", &name, n_hidden as f64);
    Ok(())
}

/// Seconds that reports took, and questions.
fn load(server: &Server, sizes: &Sizes) -> Result<(Vec<f64>, Vec<f64>)> {
    let began = Instant::now();
    let end = began + Duration::from_secs(sizes.seconds);
    let every = Duration::from_secs_f64((PER_REQUEST * SENDERS) as f64 / sizes.per_second as f64);
    thread::scope(|scope| {
        let senders: Vec<_> =
            (0..SENDERS).map(|nth| scope.spawn(move || send(server, sizes, nth, every, end))).collect();
        let looks = look(server, sizes, end);
        let mut posts = Vec::new();
        for sender in senders {
            posts.extend(sender.join().map_err(|_| anyhow::anyhow!("a sender broke off"))??);
        }
        Ok((posts, looks?))
    })
}

/// Reports its share of the alerts in turn. One that was late catches up: the pace is that of the clock.
fn send(server: &Server, sizes: &Sizes, nth: usize, every: Duration, end: Instant) -> Result<Vec<f64>> {
    let mut client = Client::new(server.port);
    let (mut times, mut first, mut due) = (Vec::new(), nth * PER_REQUEST, Instant::now());
    while due < end {
        let body = reports(first % sizes.alerts, sizes);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        if asked >= end {
            break;
        }
        ok(client.post_json("/api/v2/alerts", &body)?.status, "alerts")?;
        times.push(asked.elapsed().as_secs_f64());
        first += SENDERS * PER_REQUEST;
        due += every;
    }
    Ok(times)
}

fn look(server: &Server, sizes: &Sizes, end: Instant) -> Result<Vec<f64>> {
    let mut client = Client::new(server.port);
    let (mut times, mut nth) = (Vec::new(), 0);
    let mut due = Instant::now();
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let name = format!("Alert{}", nth % sizes.groups);
        let asked = Instant::now();
        let answer = match nth % 5 {
            0 => client.get(&format!("/api/v2/alerts?filter=alertname%3D%22{name}%22"))?,
            1 => client.get(&format!("/api/v2/alerts/groups?filter=alertname%3D%22{name}%22"))?,
            2 => client.get(&format!("/api/v2/silences?filter=instance%3D%22silent-{nth}%22"))?,
            3 => client.get("/api/v2/status")?,
            _ => client.post_json("/api/v2/silences", &silence(sizes.silences + nth, sizes))?,
        };
        ok(answer.status, "a question")?;
        times.push(asked.elapsed().as_secs_f64());
        nth += 1;
        due += LOOK_EVERY;
    }
    Ok(times)
}

fn ok(status: u16, what: &str) -> Result<()> {
    if status == 200 { Ok(()) } else { bail!("{what}: answered {status}") }
}

/// The value below which `share` of the sorted values lie.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(at - 1).copied().unwrap_or(0.0)
}

/// Seconds from now, as RFC 3339 in UTC.
fn at(secs: i64) -> String {
    let now = super::workloads::now_ms() / 1_000 + secs;
    jiff::Timestamp::from_second(now).map(|time| time.to_string()).unwrap_or_default()
}

/// A request's alerts from the `first`, as Prometheus words them.
fn reports(first: usize, sizes: &Sizes) -> String {
    let (starts, ends) = ("2026-01-01T00:00:00Z", at(ENDS_IN_SECS));
    let mut body = String::from("[");
    for nth in first..(first + PER_REQUEST).min(sizes.alerts) {
        let (group, host) = (nth % sizes.groups, nth / sizes.groups);
        let _ = write!(
            body,
            "{}{{\"labels\":{{\"alertname\":\"Alert{group}\",\"cluster\":\"tokyo-{}\",\"instance\":\"host-{host}.example.com:9100\",\
             \"job\":\"node\",\"monitor\":\"main\",\"mountpoint\":\"/var/lib/volume-{nth}\",\"severity\":\"{}\",\"team\":\"team-{}\"}},\
             \"annotations\":{{\"summary\":\"Volume {nth} of host-{host} is filling up\",\"description\":\"It will be full within four hours at \
             the rate of the last hour; see the runbook for what may be deleted.\"}},\"startsAt\":\"{starts}\",\"endsAt\":\"{ends}\",\
             \"generatorURL\":\"http://prometheus.example.com:9090/graph?g0.expr=predict_linear%28node_filesystem_free_bytes%29&g0.tab=1\"}}",
            if nth == first { "" } else { "," },
            group % 7,
            if group.is_multiple_of(5) { "critical" } else { "warning" },
            group % 40,
        );
    }
    body.push(']');
    body
}

fn silence(nth: usize, sizes: &Sizes) -> String {
    let host = if nth.is_multiple_of(100) {
        format!("host-{}.example.com:9100", nth / 100)
    } else {
        format!("silent-{nth}")
    };
    let matcher =
        |name: &str, value: String| json!({"name": name, "value": value, "isRegex": false, "isEqual": true});
    json!({
        "matchers": [matcher("alertname", format!("Alert{}", nth % sizes.groups)), matcher("instance", host)],
        "startsAt": at(0), "endsAt": at(86_400), "createdBy": "bench", "comment": "planned work",
    })
    .to_string()
}

fn config(hook: u16) -> String {
    format!(
        "route: {{receiver: hook, group_by: [alertname], group_wait: 10s, group_interval: 30s, repeat_interval: 4h}}\n\
         receivers:\n- name: hook\n  webhook_configs:\n  - url: http://127.0.0.1:{hook}/\n"
    )
}

/// A port that takes whatever is posted.
fn sink() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || swallow(stream));
        }
    });
    Ok(port)
}

/// Answers 200 to each request until the other side leaves.
fn swallow(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut length = 0;
    while reader.read_line(&mut line).ok().filter(|n| *n > 0).is_some() {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
        }
        line.clear();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_json_and_times_are_times() {
        let sizes = Sizes { alerts: 300, groups: 7, silences: 3, per_second: 1, seconds: 1 };
        let count = |first| {
            serde_json::from_str::<Value>(&reports(first, &sizes)).expect("JSON").as_array().map(Vec::len)
        };
        assert_eq!((count(0), count(256)), (Some(PER_REQUEST), Some(44)));
        assert!(serde_json::from_str::<Value>(&silence(5, &sizes)).is_ok());
        assert_eq!(at(-super::super::workloads::now_ms() / 1_000 + 951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!((quantile(&[3.0, 1.0, 2.0], 0.5), quantile(&[], 0.99)), (2.0, 0.0));
    }
}
