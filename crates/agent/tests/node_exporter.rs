//! The same host, seen by node_exporter (Debian's 1.5) and by us: the same families, help, types, series and values.
//!
//! Counters are read from node_exporter before and after ours and must lie between. Needs
//! `prometheus-node-exporter`; without it the test says so and passes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use model::LabelsBuilder;
use model::metadata::MetricType;
use stdx::SystemClock;
use wire::exposition::{Entry, Format, Parser};

const EXPORTER: &str = "/usr/bin/prometheus-node-exporter";

/// Debian changes these defaults; ours are node_exporter's own.
const UPSTREAM_DEFAULTS: [&str; 3] = [
    "--collector.netdev.device-exclude=",
    "--collector.filesystem.mount-points-exclude=\
     ^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
    // Two fields more than version 1.5, as later versions have it.
    "--collector.netstat.fields=^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|\
     Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|\
     Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|\
     Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
];

/// Families of node_exporter that we leave out: its own build, collectors we have not, and what needs adjtimex.
const THEIRS_ALONE: [&str; 8] = [
    "node_exporter_build_info",
    "node_textfile_scrape_error",
    "node_timex_",
    "node_selinux_",
    "node_edac_",
    "node_scrape_collector_",
    "node_power_supply_",
    "node_xfs_",
];

/// What we have and version 1.5 lacks on some hosts: later versions have it.
const OURS_ALONE: [&str; 3] = ["node_softnet_", "node_pressure_irq_", "node_scrape_collector_"];

struct Exporter {
    child: Child,
    port: u16,
}

impl Exporter {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let mut child = Command::new(EXPORTER)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(UPSTREAM_DEFAULTS)
            .stderr(Stdio::piped())
            .spawn()
            .expect("node_exporter starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("Listening on") {
            line.clear();
            assert!(log.read_line(&mut line).expect("its log can be read") > 0, "node_exporter ended");
        }
        // Keeps the pipe open and empty, so that it can go on logging.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, port }
    }

    fn page(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("received");
        response.split_once("\r\n\r\n").expect("a header").1.to_owned()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Page {
    /// Family to help and type.
    families: BTreeMap<String, (String, MetricType)>,
    /// Labels to value and type.
    series: BTreeMap<String, (f64, MetricType)>,
}

fn parse(text: &str) -> Page {
    let mut page = Page::default();
    let mut parser = Parser::new(text.as_bytes(), Format::Text004);
    let mut labels = LabelsBuilder::new();
    while let Some(entry) = parser.next_entry().expect("a valid page") {
        match entry {
            Entry::Help { name, text } if name.starts_with("node_") => {
                page.families.entry(name.into_owned()).or_default().0 = text.into_owned();
            }
            Entry::Type { name, metric_type } if name.starts_with("node_") => {
                page.families.entry(name.into_owned()).or_default().1 = metric_type;
            }
            Entry::Sample(sample) if sample.raw.starts_with("node_") => {
                sample.fill_labels(&mut labels).expect("valid labels");
                let old = page.series.insert(labels.build().to_string(), (sample.value, sample.metric_type));
                assert!(old.is_none(), "{} stands twice", sample.raw);
            }
            _ => {}
        }
    }
    page
}

fn is_one_of(text: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| text.contains(prefix))
}

/// Whether our value fits what node_exporter said just before and after.
fn is_near(ours: f64, metric_type: MetricType, before: f64, after: f64) -> bool {
    let (low, high) = (before.min(after), before.max(after));
    if metric_type == MetricType::Counter && low <= ours && ours <= high {
        return true;
    }
    if metric_type == MetricType::Counter {
        // Nothing but rounding.
        return ours >= low - 1e-6 && ours <= high + 1e-6;
    }
    // Gauges move on their own: within half, or by what a busy host does in a moment.
    let slack = 0.5 * high.abs() + 200.0;
    let megabytes = if high.abs() > 1e6 || ours.abs() > 1e6 { 512.0 * 1024.0 * 1024.0 } else { 0.0 };
    ours >= low - slack - megabytes && ours <= high + slack + megabytes
}

#[test]
fn the_same_host_looks_the_same() {
    if !Path::new(EXPORTER).exists() {
        println!("skipped: {EXPORTER} is not installed (apt-get install prometheus-node-exporter)");
        return;
    }
    let host = agent::Host::new(agent::Config::default(), Arc::new(SystemClock::new()));
    let exporter = Exporter::start();
    let before = parse(&exporter.page());
    let ours = parse(&host.collect());
    let after = parse(&exporter.page());
    let mut wrong = Vec::new();
    for (name, (help, metric_type)) in &before.families {
        if is_one_of(name, &THEIRS_ALONE) {
            continue;
        }
        match ours.families.get(name) {
            None => wrong.push(format!("missing family {name}")),
            Some(family) if *family != (help.clone(), *metric_type) => {
                wrong.push(format!("{name}: {family:?}, node_exporter: {help:?} {metric_type}"));
            }
            Some(_) => {}
        }
    }
    for (series, (value, metric_type)) in &before.series {
        if is_one_of(series, &THEIRS_ALONE) {
            continue;
        }
        let after = after.series.get(series).map_or(*value, |(value, _)| *value);
        match ours.series.get(series) {
            None => wrong.push(format!("missing series {series}")),
            Some((ours, _)) if !is_near(*ours, *metric_type, *value, after) => {
                wrong.push(format!("{series}: {ours}, node_exporter: {value}..{after}"));
            }
            Some(_) => {}
        }
    }
    for series in ours.series.keys().filter(|series| !before.series.contains_key(*series)) {
        if !is_one_of(series, &OURS_ALONE) {
            wrong.push(format!("additional series {series}"));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(ours.series.len() > 200, "only {} series", ours.series.len());
}
