//! What `cargo xtask bench` was asked to do: workloads by name, sizes by flag.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// Name, what stands for its value in the help (empty for a switch), and one sentence.
const FLAGS: &[(&str, &str, &str)] = &[
    ("runs", "N", "runs of each workload on each server; the table has the medians (default 3; --quick 1)"),
    ("quick", "", "small sizes: each workload ends within about a minute; shows that it works, not how fast"),
    (
        "peer",
        "NAME=COMMAND",
        "another server beside Prometheus, repeatable; {port} {data} {config} are filled in",
    ),
    ("only", "NAME", "only this server, repeatable (hinomi, prometheus or a peer's name)"),
    ("binary", "FILE", "our release binary (default: built here)"),
    (
        "out",
        "FILE",
        "the report; sections of workloads that did not run stay (default docs/perf/0002-bench.md)",
    ),
    ("dir", "DIR", "where data directories go while running (default: the temporary folder)"),
    ("recording", "FILE", "recorded bodies (default ../shared/testdata/recordings/node-a.zst)"),
    ("seed", "N", "of the generator (default 1)"),
    ("targets", "N", "scrape: targets (default 200; wal and disk: 20); fleet: ours (default 3000)"),
    ("interval", "MS", "milliseconds between scrapes (default 1000; fleet 15000, fleet-kurado 60000)"),
    ("seconds", "N", "scrape: measured seconds (default 60, alerts too); fleet: ours (default 1800)"),
    ("peer-targets", "N", "fleet: targets of the others (default 300); fleet-most: of the first step"),
    ("most-targets", "N", "fleet-most: no step has more (default 3000)"),
    ("most-seconds", "N", "fleet-most: measured seconds of a step (default 120)"),
    ("peer-seconds", "N", "fleet: measured seconds of the others (default 300)"),
    ("encoding", "E", "fleet: plain or gzip (default gzip, as exporters answer)"),
    ("series", "N,…", "remote-write: series (default 10000,100000,1000000); memory, restart, churn: ours"),
    (
        "peer-series",
        "N",
        "memory, restart, churn: series for the others (default 100000: more takes them too long)",
    ),
    ("samples", "N", "remote-write: samples per size and run (default 20000000)"),
    ("steps", "N", "memory, restart: samples of each series, 15 s apart (default 480: two hours)"),
    ("connections", "N", "remote write: connections (default 4)"),
    ("per-request", "N", "remote write: samples in a request (default 2000, as Prometheus sends)"),
    ("pace", "F", "churn: data time goes by F times faster than a clock (default: as fast as it is taken)"),
    ("alerts", "N", "alerts: active alerts (default 100000)"),
    ("groups", "N", "alerts: groups of them (default 1000)"),
    ("silences", "N", "alerts: silences (default 10000)"),
    ("per-second", "N", "alerts: reports a second (default 5000)"),
    ("scale", "F", "query: share of 200 hosts × 1,100 series and of the other data (default 0.1)"),
    (
        "blocks",
        "",
        "query: the others get our data as exported blocks instead of being sent it: for large scales",
    ),
    ("keep", "DIR", "query: data stays there, and what another run has loaded is used again"),
    ("ask", "NAME", "query: only this question, or panels; repeatable"),
    ("hours", "N", "query: hours of a day, for small runs (default 24)"),
];

/// Flags whose values are paths; reports leave them out.
const PRIVATE: &[&str] = &["binary", "out", "dir", "keep", "recording"];

/// The command line, read.
pub struct Options {
    /// In the order of the table of workloads.
    pub workloads: Vec<String>,
    values: BTreeMap<&'static str, Vec<String>>,
}

impl Options {
    /// Words are workloads, the rest are flags: `--flag value` or `--flag=value`.
    pub fn parse(args: &[String], known: &[&str]) -> Result<Self> {
        let mut values: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        let mut named = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix("--") else {
                named.push(arg.clone());
                continue;
            };
            let (name, given) =
                flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let Some((name, value_name, _)) = FLAGS.iter().find(|(known, _, _)| *known == name) else {
                bail!("no flag --{name}; there are:\n{}", help());
            };
            let value = match (value_name.is_empty(), given) {
                (true, _) => "true".to_owned(),
                (false, Some(value)) => value.to_owned(),
                (false, None) => args.next().with_context(|| format!("--{name} needs a value"))?.clone(),
            };
            values.entry(name).or_default().push(value);
        }
        if let Some(unknown) = named.iter().find(|name| !known.contains(&name.as_str()) && *name != "all") {
            bail!("no workload {unknown:?}; there are: all {}", known.join(" "));
        }
        if named.is_empty() {
            bail!("name workloads, or all: {}\n{}", known.join(" "), help());
        }
        let is_asked = |name: &&&str| named.iter().any(|asked| asked == **name || asked == "all");
        let workloads = known.iter().filter(is_asked).map(|name| (*name).to_owned()).collect();
        Ok(Self { workloads, values })
    }

    /// Whether a switch was given.
    pub fn is_on(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Every value of a flag.
    pub fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The flag's last value.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.list(name).last().map(String::as_str)
    }

    /// A number, or one of two defaults: the usual size and that of `--quick`.
    pub fn number(&self, name: &str, usual: u64, quick: u64) -> Result<u64> {
        let default = if self.is_on("quick") { quick } else { usual };
        self.text(name).map_or(Ok(default), |text| {
            text.replace('_', "").parse().with_context(|| format!("--{name}: not a number: {text:?}"))
        })
    }

    /// A fraction, or a default.
    pub fn fraction(&self, name: &str, usual: f64, quick: f64) -> Result<f64> {
        let default = if self.is_on("quick") { quick } else { usual };
        self.text(name).map_or(Ok(default), |text| {
            text.parse().with_context(|| format!("--{name}: not a number: {text:?}"))
        })
    }

    /// Runs of each workload on each server.
    pub fn runs(&self) -> Result<usize> {
        Ok(self.number("runs", 3, 1)?.max(1) as usize)
    }

    /// The command line without what is particular to a machine: paths and other servers' commands.
    pub fn shown(&self) -> String {
        let mut words = self.workloads.clone();
        for (name, values) in self.values.iter().filter(|(name, _)| !PRIVATE.contains(name)) {
            words.extend(values.iter().map(|value| match *name {
                "quick" | "blocks" => format!("--{name}"),
                _ => format!("--{name} {}", value.split('=').next().unwrap_or_default()),
            }));
        }
        words.join(" ")
    }

    /// Where data directories go.
    pub fn dir(&self) -> PathBuf {
        self.text("dir").map_or_else(std::env::temp_dir, PathBuf::from)
    }
}

/// The flags, one a line.
pub fn help() -> String {
    let line =
        |(name, value, help): &(&str, &str, &str)| format!("  --{:24} {help}\n", format!("{name} {value}"));
    FLAGS.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_workloads_and_flags_have_values() {
        let parse = |text: &str| {
            let args: Vec<String> = text.split(' ').map(str::to_owned).collect();
            Options::parse(&args, &["a", "b"])
        };
        let options = parse("b --runs=5 --quick a --targets 1_000").expect("valid");
        assert_eq!(options.workloads, ["a", "b"]);
        assert_eq!(options.runs().expect("a number"), 5);
        assert_eq!(options.number("targets", 200, 20).expect("a number"), 1_000);
        assert_eq!(options.number("seconds", 60, 5).expect("a number"), 5);
        assert_eq!(options.shown(), "a b --quick --runs 5 --targets 1_000");
        assert_eq!(parse("all").expect("valid").workloads, ["a", "b"]);
        for wrong in ["c", "--nothing", "a --runs", "--quick"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
