//! The server's flags: one table for parsing, help, `/api/v1/status/flags` and the documentation.
//!
//! Names, defaults and meaning are Prometheus' where it has the flag. Of those that we have not, [`theirs`] says
//! what comes of them: a flag that is ignored in silence is worse than one that is missing.

mod agent;
mod features;
mod theirs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use stdx::{Dir as _, DiskDir};

use crate::cluster;
pub(crate) use features::Features;
pub(crate) use theirs::{IGNORED, IgnoredShape, ignored_warnings, refuse_unserved};

/// How a flag takes its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `--x`, `--no-x`
    Switch,
    /// `--x=<value>`; the text stands for the value in help.
    Value(&'static str),
    /// As `Value`, any number of times.
    Repeated(&'static str),
}

/// One flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// How it takes its value.
    pub kind: Kind,
    /// Its value when it is not given; `false` for switches.
    pub default: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// A row of a table of flags.
pub(crate) const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, help }
}

pub(crate) const FILE: Kind = Kind::Value("FILE");
pub(crate) const DURATION: Kind = Kind::Value("DURATION");
pub(crate) const NUMBER: Kind = Kind::Value("N");
const SIZE: Kind = Kind::Value("SIZE");

/// Two tables in one.
pub(crate) const fn joined<const N: usize>(first: &[Flag], second: &[Flag]) -> [Flag; N] {
    assert!(first.len() + second.len() == N, "N is how many there are");
    let mut all = [first[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < first.len() { first[i] } else { second[i - first.len()] };
        i += 1;
    }
    all
}

/// Every flag of `hinomi server`, in the order of the help.
pub(crate) const SERVER: &[Flag] = &joined::<{ OF_SERVER.len() + SHARED.len() }>(OF_SERVER, SHARED);

const OF_SERVER: &[Flag] = &joined::<{ OWN.len() + agent::FLAGS.len() }>(OWN, agent::FLAGS);

/// Flags that `hinomi alertmanager` has too, those of clusters included.
pub(crate) const SHARED: &[Flag] = &joined::<{ WEB_AND_LOG.len() + MANAGERS.len() }>(WEB_AND_LOG, MANAGERS);

/// Of the manager, alone or inside the server.
const MANAGERS: &[Flag] = &joined::<{ HISTORY.len() + cluster::FLAGS.len() }>(HISTORY, cluster::FLAGS);

const HISTORY: &[Flag] = &[
    flag("alerts.history-retention", DURATION, "90d", "How long the history of alerts is kept"),
    flag(
        "alerts.history-max-bytes",
        SIZE,
        "128MB",
        "Most bytes of the history of alerts, oldest go first; 0 to keep none",
    ),
];

const WEB_AND_LOG: &[Flag] = &[
    flag(
        "web.config.file",
        FILE,
        "",
        "TLS, client certificates, users, rate limit and security headers for this server; docs/user/web-config.md",
    ),
    flag(
        "web.external-url",
        Kind::Value("URL"),
        "",
        "How this server is reached from outside, for links in notifications",
    ),
    flag(
        "web.route-prefix",
        Kind::Value("PATH"),
        "",
        "Path before every page; by default the path of --web.external-url",
    ),
    flag("web.page-title", Kind::Value("TEXT"), "Hinomi", "Title of the web page"),
    flag("log.level", Kind::Value("LEVEL"), "info", "error, warn, info or debug"),
    flag("log.format", Kind::Value("FORMAT"), "logfmt", "logfmt or json"),
];

const OWN: &[Flag] = &[
    flag(
        "config.file",
        FILE,
        "",
        "Prometheus configuration file. Without it: this host, Hinomi itself and the built-in rules",
    ),
    flag(
        "config.auto-reload",
        Kind::Switch,
        "false",
        "Take the configuration again when it, or a file that it names, has changed",
    ),
    flag("config.auto-reload-interval", DURATION, "30s", "How often --config.auto-reload looks; at least 1s"),
    flag(
        "enable-feature",
        Kind::Repeated("NAME"),
        "",
        "Switch on a feature that is off by default, repeatable or with commas between; docs/user/command-line.md lists them",
    ),
    flag("storage.tsdb.path", Kind::Value("DIR"), "data", "Where samples, alert state and silences are kept"),
    flag(
        "storage.tsdb.retention.time",
        DURATION,
        "15d",
        "How long samples are kept; 0 for ever, as where a size or percentage is set and this is not",
    ),
    flag(
        "storage.tsdb.retention.size",
        SIZE,
        "0",
        "Most bytes of samples, oldest go first; units B, KB, MB, GB, TB; 0 for no limit",
    ),
    flag(
        "storage.tsdb.retention.percentage",
        Kind::Value("PERCENT"),
        "0",
        "Most of the disk's size that samples may take, in percent, oldest go first; 0 for no limit",
    ),
    flag(
        "storage.tsdb.retention.rule",
        Kind::Repeated("SELECTOR=DURATION"),
        "",
        "How long samples of some series are kept, repeatable, the first that fits counts: '{job=\"debug\"}=1d'",
    ),
    flag(
        "storage.tsdb.rollup",
        Kind::Repeated("INTERVAL:DURATION"),
        "",
        "What is kept of samples past their retention, repeatable: 5m:1y keeps a row for five minutes for a year; off by default",
    ),
    flag(
        "storage.head.series-max",
        NUMBER,
        "20000000",
        "Most series in memory; beyond it new ones are refused and counted, known ones go on",
    ),
    flag(
        "storage.memory.budget-bytes",
        SIZE,
        "auto",
        "Memory that samples and caches may take; auto is 60 % of the machine or container, 0 no limit",
    ),
    flag(
        "storage.remote.read-sample-limit",
        NUMBER,
        "50000000",
        "Most samples of an answer to remote read that is not streamed; 0 for no limit",
    ),
    flag(
        "storage.remote.read-concurrent-limit",
        NUMBER,
        "10",
        "Most requests of remote read at once, more wait; 0 for no limit",
    ),
    flag(
        "storage.remote.read-max-bytes-in-frame",
        NUMBER,
        "1048576",
        "Most bytes of one frame of a streamed answer to remote read",
    ),
    flag(
        "web.listen-address",
        Kind::Repeated("ADDR"),
        "127.0.0.1:9090",
        "Address to answer on, repeatable; 0.0.0.0:9090 opens it to the network",
    ),
    flag(
        "web.enable-lifecycle",
        Kind::Switch,
        "false",
        "Allow POST /-/reload and /-/quit from anywhere; reload is always allowed when listening on loopback only",
    ),
    flag(
        "web.enable-admin-api",
        Kind::Switch,
        "false",
        "Allow /api/v1/admin/tsdb/: deleting series, cleaning tombstones, snapshots, imports",
    ),
    flag(
        "web.enable-remote-write-receiver",
        Kind::Switch,
        "false",
        "Take samples that others send to /api/v1/write by remote write",
    ),
    flag(
        "web.remote-write-receiver.accepted-protobuf-messages",
        Kind::Repeated("NAME"),
        "prometheus.WriteRequest,io.prometheus.write.v2.Request",
        "Messages of remote write to accept, repeatable: version 1.0 is the first name of the default, 2.0 the second",
    ),
    flag(
        "web.console.templates",
        Kind::Value("DIR"),
        "consoles",
        "Folder of console templates, served at /consoles/",
    ),
    flag(
        "web.console.libraries",
        Kind::Value("DIR"),
        "console_libraries",
        "Folder of console libraries: templates in files *.lib that every console may call",
    ),
    flag("web.user-assets", Kind::Value("DIR"), "", "Folder of static files, served at /user/"),
    flag(
        "web.enable-otlp-receiver",
        Kind::Switch,
        "false",
        "Take metrics that others send to /api/v1/otlp/v1/metrics by OTLP",
    ),
    flag(
        "web.otlp-grpc.listen-address",
        Kind::Value("HOST:PORT"),
        "",
        "Where to take OTLP over gRPC too, for instance 127.0.0.1:4317; needs --web.enable-otlp-receiver",
    ),
    flag(
        "web.influx-udp.listen-address",
        Kind::Value("HOST:PORT"),
        "",
        "Where to take Influx line protocol by UDP too, for instance 127.0.0.1:8089; needs --web.enable-influx-receiver",
    ),
    flag(
        "web.enable-influx-receiver",
        Kind::Switch,
        "false",
        "Take metrics that others send to /write and /api/v2/write by Influx line protocol",
    ),
    flag(
        "web.enable-pushgateway",
        Kind::Switch,
        "false",
        "Take metrics that jobs push to /metrics/job/..., as a Pushgateway does, and store them at every scrape interval",
    ),
    flag("web.max-connections", NUMBER, "512", "Most connections at once"),
    flag(
        "web.max-notifications-subscribers",
        NUMBER,
        "16",
        "Most live streams of notices at once; further pages ask now and then",
    ),
    flag(
        "web.search.max-limit",
        NUMBER,
        "10000",
        "Most results of one search, with --enable-feature=search-api; 0 for no limit",
    ),
    flag("web.read-timeout", DURATION, "5m", "How long reading one request may take"),
    flag("web.cors.origin", Kind::Value("REGEX"), ".*", "Origins whose pages may read the API"),
    flag("query.timeout", DURATION, "2m", "How long one query may take"),
    flag("query.max-concurrency", NUMBER, "20", "Most queries at once; more wait"),
    flag("query.max-queue", NUMBER, "1000", "Most queries waiting for their place; more are refused"),
    flag("query.max-samples", NUMBER, "50000000", "Most samples one query may hold in memory"),
    flag("query.max-series", NUMBER, "0", "Most series one query may read; 0 for no limit"),
    flag(
        "query.max-memory-bytes",
        SIZE,
        "0",
        "Most memory for the samples that one query holds, 16 bytes each; 0 for no limit",
    ),
    flag(
        "query.total-memory-bytes",
        SIZE,
        "auto",
        "Most memory for the samples that all queries hold; auto is 25 % of the machine or container, 0 no limit",
    ),
    flag(
        "query.cache.max-bytes",
        SIZE,
        "64MB",
        "Memory for answers of range queries, which are kept as far as nothing they depend on changes; 0 for none",
    ),
    flag(
        "query.log-slower-than",
        DURATION,
        "0s",
        "Queries that take longer are logged with what they cost; 0 for none",
    ),
    flag(
        "query.threads",
        NUMBER,
        "0",
        "Threads that read one query's series when there are many; 0 for all cores",
    ),
    flag("query.lookback-delta", DURATION, "5m", "How far back a query looks for the latest sample"),
    flag(
        "rules.alert.for-outage-tolerance",
        DURATION,
        "1h",
        "Longest outage after which pending alerts are taken up again",
    ),
    flag(
        "rules.alert.for-grace-period",
        DURATION,
        "10m",
        "Least time between a restart and firing, for alerts that were pending",
    ),
    flag("rules.alert.resend-delay", DURATION, "1m", "Least time before an alert is sent again"),
    flag(
        "alertmanager.config-file",
        FILE,
        "",
        "Configuration of the Alertmanager inside; without it alerts are shown and not sent",
    ),
    flag(
        "alertmanager.notification-queue-capacity",
        NUMBER,
        "10000",
        "Most alerts waiting for each Alertmanager of the alerting section",
    ),
    flag(
        "cluster.listen-address",
        Kind::Value("ADDR"),
        "",
        "Where other managers reach the Alertmanager inside, for instance 0.0.0.0:9094; without it, it is alone",
    ),
];

/// The values of all flags.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    values: BTreeMap<&'static str, Vec<String>>,
    given: BTreeSet<&'static str>,
    /// What was given and has no effect, a line each for the log.
    warnings: Vec<String>,
}

impl Values {
    /// From what clap found, with defaults for the rest. Of flags without effect, their warnings and names.
    #[must_use]
    pub(crate) fn new(
        table: &[Flag],
        (warnings, without_effect): (Vec<String>, Vec<&'static str>),
        given: impl Fn(&Flag) -> Option<Vec<String>>,
    ) -> Self {
        let (mut values, mut names) = (BTreeMap::new(), BTreeSet::from_iter(without_effect));
        for flag in table {
            let value = given(flag);
            if value.is_some() {
                names.insert(flag.name);
            }
            values.insert(flag.name, value.unwrap_or_else(|| vec![flag.default.to_owned()]));
        }
        Self { values, given: names, warnings }
    }

    /// What `--enable-feature` switches on, and what the log should say of flags that switch nothing.
    ///
    /// # Errors
    /// A feature that is not served.
    pub(crate) fn features(&self) -> Result<(Features, Vec<String>)> {
        let (features, mut remarks) = Features::parse(self.list("enable-feature"))?;
        remarks.extend(self.warnings.iter().cloned());
        Ok((features, remarks))
    }

    /// What was given and has no effect.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Every flag as text, for the status page.
    #[must_use]
    pub(crate) fn all(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, values)| ((*name).to_owned(), values.join(","))).collect()
    }

    /// Whether the value is not the default's.
    #[must_use]
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.given.contains(name)
    }

    /// Every value of `name`.
    #[must_use]
    pub(crate) fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of `name`.
    #[must_use]
    pub(crate) fn text(&self, name: &str) -> &str {
        self.list(name).first().map_or("", String::as_str)
    }

    /// Whether the switch `name` is on.
    #[must_use]
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// A duration in milliseconds.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn duration_ms(&self, name: &str) -> Result<i64> {
        Ok(self.duration(name)?.as_ms())
    }

    /// A duration.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn duration(&self, name: &str) -> Result<model::Duration> {
        self.text(name).parse().map_err(|err| anyhow!("--{name}: {err}"))
    }

    /// A duration above zero.
    ///
    /// # Errors
    /// When it is none, or zero.
    pub(crate) fn positive(&self, name: &str) -> Result<model::Duration> {
        match self.duration(name)? {
            duration if duration.is_zero() => bail!("--{name}: must be more than 0"),
            duration => Ok(duration),
        }
    }

    /// A duration above zero.
    ///
    /// # Errors
    /// When it is none, or zero.
    pub(crate) fn positive_duration(&self, name: &str) -> Result<Duration> {
        Ok(Duration::from_millis(self.positive(name)?.as_ms().unsigned_abs()))
    }

    /// A number of threads; 0 stands for one on each core.
    ///
    /// # Errors
    /// When the text is no number.
    pub(crate) fn threads(&self, name: &str) -> Result<usize> {
        let text = self.text(name);
        let n: usize = text.parse().with_context(|| format!("--{name}: not a number: {text:?}"))?;
        if n > 0 {
            return Ok(n);
        }
        Ok(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// A count above zero.
    ///
    /// # Errors
    /// When it is none, or zero.
    pub(crate) fn count(&self, name: &str) -> Result<u64> {
        let text = self.text(name);
        let count: u64 = text.parse().with_context(|| format!("--{name}: not a number: {text:?}"))?;
        if count == 0 {
            bail!("--{name}: must be more than 0");
        }
        Ok(count)
    }

    /// A share in percent.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn percent(&self, name: &str) -> Result<f64> {
        let text = self.text(name);
        let percent: f64 = text.parse().with_context(|| format!("--{name}: not a number: {text:?}"))?;
        if !(0.0..=100.0).contains(&percent) {
            bail!("--{name}: must be from 0 to 100");
        }
        Ok(percent)
    }

    /// Selectors with a duration in milliseconds each, as `{job="a"}=1d`.
    ///
    /// # Errors
    /// When one is not written so.
    pub(crate) fn selector_durations(&self, name: &str) -> Result<Vec<(Vec<model::Matcher>, i64)>> {
        let parse = |text: &String| {
            let (selector, duration) = text
                .rsplit_once('=')
                .ok_or_else(|| anyhow!("--{name}: {text:?} is not SELECTOR=DURATION"))?;
            let matchers =
                promql::metric_selector(selector).map_err(|err| anyhow!("--{name}: {text:?}: {err}"))?;
            let duration: model::Duration =
                duration.parse().map_err(|err| anyhow!("--{name}: {text:?}: {err}"))?;
            Ok((matchers, duration.as_ms()))
        };
        self.list(name).iter().filter(|text| !text.is_empty()).map(parse).collect()
    }

    /// Pairs of durations in milliseconds, as `5m:1y`; the second may be 0.
    ///
    /// # Errors
    /// When one is not written so.
    pub(crate) fn duration_pairs(&self, name: &str) -> Result<Vec<(i64, i64)>> {
        let parse = |text: &String| {
            let (first, second) = text
                .split_once(':')
                .ok_or_else(|| anyhow!("--{name}: {text:?} is not INTERVAL:DURATION, as in 5m:1y"))?;
            let duration = |part: &str| -> Result<i64> {
                let parsed: Result<model::Duration, _> = part.parse();
                Ok(parsed.map_err(|err| anyhow!("--{name}: {text:?}: {err}"))?.as_ms())
            };
            Ok((duration(first)?, duration(second)?))
        };
        self.list(name).iter().filter(|text| !text.is_empty()).map(parse).collect()
    }

    /// A size in bytes. Units are powers of 1024, as in Prometheus.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn bytes(&self, name: &str) -> Result<u64> {
        parse_bytes(self.text(name)).with_context(|| format!("--{name}"))
    }

    /// As [`Values::bytes`], where `auto` is a share of the memory there is.
    pub(crate) fn memory(&self, name: &str) -> Result<u64> {
        if self.text(name) == "auto" { Ok(memory_bytes() / 100 * AUTO_PERCENT) } else { self.bytes(name) }
    }

    /// A limit in bytes, where 0 is none and `auto` a share of the memory there is.
    ///
    /// # Errors
    /// When it is no size.
    pub(crate) fn query_memory(&self, name: &str) -> Result<u64> {
        if self.text(name) == "auto" {
            return Ok(memory_bytes() / 100 * AUTO_QUERIES_PERCENT);
        }
        Ok(Some(self.bytes(name)?).filter(|bytes| *bytes > 0).unwrap_or(u64::MAX))
    }

    /// A limit, where 0 is none.
    ///
    /// # Errors
    /// When it is no number.
    pub(crate) fn limit(&self, name: &str) -> Result<u64> {
        let text = self.text(name);
        let limit: u64 = text.parse().with_context(|| format!("--{name}: not a number: {text:?}"))?;
        Ok(Some(limit).filter(|limit| *limit > 0).unwrap_or(u64::MAX))
    }
}

/// Share of the memory that `auto` means, in percent. Chosen: queries and the page cache need the rest.
const AUTO_PERCENT: u64 = 60;

/// As [`AUTO_PERCENT`], for queries. Chosen: with the store's share it leaves the rest to answers and the page cache.
const AUTO_QUERIES_PERCENT: u64 = 25;

/// Memory of the machine, or of the container where that has less.
fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
    let limit = DiskDir::anywhere().read(Path::new("/sys/fs/cgroup/memory.max"));
    let limit = limit.ok().and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    limit.map_or(machine, |limit: u64| limit.min(machine))
}

fn parse_bytes(text: &str) -> Result<u64> {
    let n_digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(n_digits);
    let shift = match unit {
        "" if number == "0" => 0,
        "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        "PB" | "PiB" => 50,
        "EB" | "EiB" => 60,
        _ => bail!("not a size: {text:?}; write it with a unit, as in 512MB or 10GB"),
    };
    let number: f64 = number.parse().map_err(|_| anyhow!("not a size: {text:?}"))?;
    let bytes = number * 2f64.powi(shift);
    if bytes > u64::MAX as f64 {
        bail!("size out of range: {text:?}");
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("512MB", Ok(512 << 20)),
            ("10GiB", Ok(10 << 30)),
            ("1.5KB", Ok(1_536)),
            ("7B", Ok(7)),
            ("7", Err("not a size: \"7\"; write it with a unit, as in 512MB or 10GB")),
            ("xMB", Err("not a size: \"xMB\"; write it with a unit, as in 512MB or 10GB")),
            ("1000000000EB", Err("size out of range: \"1000000000EB\"")),
        ] {
            let got = parse_bytes(text).map_err(|err| err.to_string());
            assert_eq!(got.as_ref().map_err(String::as_str), expected.as_ref().map_err(|err| *err), "{text}");
        }
    }

    #[test]
    fn retention_rules_are_selectors_with_a_duration() {
        let rules = |text: &'static str| {
            let given = move |flag: &Flag| {
                (flag.name == "storage.tsdb.retention.rule").then(|| vec![text.to_owned()])
            };
            Values::new(SERVER, Default::default(), given)
                .selector_durations("storage.tsdb.retention.rule")
                .map_err(|err| err.to_string())
        };
        let (matchers, retention_ms) = rules("up{job=~\"a=b|c\"}=1d").unwrap().remove(0);
        assert_eq!((matchers.len(), retention_ms), (2, 86_400_000));
        assert_eq!(rules("").unwrap(), []);
        for (text, part) in [("up", "is not SELECTOR=DURATION"), ("up=x", "\"up=x\""), ("{=1d", "\"{=1d\"")] {
            assert!(rules(text).is_err_and(|err| err.contains(part)), "{text}");
        }
    }
}
