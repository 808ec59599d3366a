//! Prometheus' flags that this server has no use for, so that its service units run here unchanged.
//!
//! Those that only tune what is built differently here are accepted and named in a warning at the start. Those whose user would miss
//! something are refused by name: a server that seems to do it and does not is worse than one that says so.

use anyhow::{Result, bail};

/// How the command line writes a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IgnoredShape {
    /// `--x`, or its negative form, which is the name here.
    Switch(&'static str),
    /// `--x=…`, `--x …`
    Value,
}

use IgnoredShape::{Switch, Value};

const GO: &str = "it tunes Go's runtime, which is not used here";
const OWN_LOG: &str = "the store has a log format of its own";
const LOCKED: &str = "the data directory is always locked";
const OWN_BLOCKS: &str = "the store chooses the lengths of its blocks";
const ALWAYS_OVERLAPPING: &str = "late samples and overlapping blocks are always taken";
const REMOTE_WRITE: &str = "what remote write has not sent at the end waits on the disk";

/// Accepted and without effect: name, shape, why.
pub(crate) const IGNORED: &[(&str, IgnoredShape, &str)] = &[
    (
        "alertmanager.drain-notification-queue-on-shutdown",
        Switch("no-alertmanager.drain-notification-queue-on-shutdown"),
        "the queue is always given up to 5 s at the end",
    ),
    ("alertmanager.notification-batch-size", Value, "batches are of 256 alerts"),
    ("alertmanager.timeout", Value, "the alerting section's timeout holds"),
    ("auto-gomaxprocs", Switch("no-auto-gomaxprocs"), GO),
    ("auto-gomemlimit", Switch("no-auto-gomemlimit"), GO),
    ("auto-gomemlimit.ratio", Value, GO),
    ("auto-gomemlimit.refresh-interval", Value, GO),
    ("rules.max-concurrent-evals", Value, "groups always run side by side, rules of one group in order"),
    (
        "scrape.adjust-timestamps",
        Switch("no-scrape.adjust-timestamps"),
        "timestamps cost nothing here and are kept as they are",
    ),
    ("scrape.discovery-reload-interval", Value, "discovered targets are taken as they come"),
    ("scrape.timestamp-tolerance", Value, "timestamps cost nothing here and are kept as they are"),
    ("storage.agent.checkpoint-batch-size", Value, OWN_LOG),
    (
        "storage.agent.checkpoint-from-in-memory-series",
        Switch("no-storage.agent.checkpoint-from-in-memory-series"),
        OWN_LOG,
    ),
    ("storage.agent.no-lockfile", Switch("no-storage.agent.no-lockfile"), LOCKED),
    (
        "storage.agent.retention.min-time",
        Value,
        "samples go with their block, whether they were sent sooner or not",
    ),
    ("storage.agent.use-lockfile", Switch("no-storage.agent.use-lockfile"), LOCKED),
    ("storage.agent.wal-compression", Switch("no-storage.agent.wal-compression"), OWN_LOG),
    ("storage.agent.wal-compression-type", Value, OWN_LOG),
    ("storage.agent.wal-segment-size", Value, OWN_LOG),
    ("storage.agent.wal-truncate-frequency", Value, OWN_LOG),
    ("storage.remote.flush-deadline", Value, REMOTE_WRITE),
    (
        "storage.tsdb.allow-overlapping-blocks",
        Switch("no-storage.tsdb.allow-overlapping-blocks"),
        ALWAYS_OVERLAPPING,
    ),
    (
        "storage.tsdb.allow-overlapping-compaction",
        Switch("no-storage.tsdb.allow-overlapping-compaction"),
        ALWAYS_OVERLAPPING,
    ),
    ("storage.tsdb.block-reload-interval", Value, OWN_BLOCKS),
    ("storage.tsdb.delay-compact-file.path", Value, "nothing waits for a file"),
    ("storage.tsdb.delayed-compaction.max-percent", Value, OWN_BLOCKS),
    ("storage.tsdb.head-chunks-write-queue-size", Value, OWN_LOG),
    ("storage.tsdb.max-block-chunk-segment-size", Value, OWN_BLOCKS),
    ("storage.tsdb.max-block-duration", Value, OWN_BLOCKS),
    ("storage.tsdb.min-block-duration", Value, OWN_BLOCKS),
    ("storage.tsdb.no-lockfile", Switch("no-storage.tsdb.no-lockfile"), LOCKED),
    ("storage.tsdb.samples-per-chunk", Value, OWN_BLOCKS),
    ("storage.tsdb.use-lockfile", Switch("no-storage.tsdb.use-lockfile"), LOCKED),
    ("storage.tsdb.wal-compression", Switch("no-storage.tsdb.wal-compression"), OWN_LOG),
    ("storage.tsdb.wal-compression-type", Value, OWN_LOG),
    ("storage.tsdb.wal-segment-size", Value, OWN_LOG),
    ("web.local-assets", Value, "the web page is inside the binary"),
];

/// Refused, with what to do instead.
const UNSERVED: &[(&str, &str)] = &[("storage.tsdb.retention", "use --storage.tsdb.retention.time")];

/// Refuses the flags of Prometheus that are known and not served.
///
/// # Errors
/// Names the first one, with what to do instead.
pub(crate) fn refuse_unserved<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<()> {
    for arg in args {
        let Some(name) = arg.strip_prefix("--") else { continue };
        let name = name.split('=').next().unwrap_or(name);
        let name = name.strip_prefix("no-").unwrap_or(name);
        if let Some((name, hint)) = UNSERVED.iter().find(|(unserved, _)| *unserved == name) {
            bail!("Prometheus' flag --{name} is not served by this version: {hint}");
        }
    }
    Ok(())
}

/// One line for each flag that was given and has no effect.
pub(crate) fn ignored_warnings(
    ignored: &[(&str, IgnoredShape, &str)],
    is_given: impl Fn(&str) -> bool,
) -> Vec<String> {
    let given = ignored.iter().filter(|(name, ..)| is_given(name));
    given.map(|(name, _, why)| format!("--{name} has no effect: {why}; it may be removed")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SERVER;

    #[test]
    fn unserved_flags_are_refused_by_name() {
        let err = refuse_unserved(["server", "--storage.tsdb.retention", "1d"]).unwrap_err();
        assert_eq!(
            err.to_string(),
            "Prometheus' flag --storage.tsdb.retention is not served by this version: use --storage.tsdb.retention.time"
        );
        assert!(refuse_unserved(["--config.file=agent", "--web.page-title", "agent"]).is_ok());
    }

    /// Of `prometheus --help`, 3.14 and Debian's 2.42 together.
    const THEIRS: &str = "\
        agent alertmanager.drain-notification-queue-on-shutdown alertmanager.notification-batch-size \
        alertmanager.notification-queue-capacity auto-gomaxprocs auto-gomemlimit auto-gomemlimit.ratio \
        auto-gomemlimit.refresh-interval config.auto-reload config.auto-reload-interval config.file \
        enable-feature log.format log.level query.lookback-delta query.max-concurrency query.max-samples \
        query.timeout rules.alert.for-grace-period rules.alert.for-outage-tolerance \
        rules.alert.resend-delay rules.max-concurrent-evals storage.agent.checkpoint-batch-size \
        storage.agent.checkpoint-from-in-memory-series storage.agent.no-lockfile storage.agent.path \
        storage.agent.retention.max-time storage.agent.retention.min-time storage.agent.use-lockfile \
        storage.agent.wal-compression storage.remote.flush-deadline storage.remote.read-concurrent-limit \
        storage.remote.read-max-bytes-in-frame storage.remote.read-sample-limit \
        storage.tsdb.delay-compact-file.path storage.tsdb.head-chunks-write-queue-size \
        storage.tsdb.no-lockfile storage.tsdb.path storage.tsdb.retention storage.tsdb.retention.size \
        storage.tsdb.retention.time storage.tsdb.use-lockfile web.config.file web.console.libraries \
        web.console.templates web.cors.origin web.enable-admin-api web.enable-lifecycle \
        web.enable-otlp-receiver web.enable-remote-write-receiver web.external-url web.listen-address \
        web.local-assets web.max-connections web.max-notifications-subscribers web.page-title \
        web.read-timeout web.remote-write-receiver.accepted-protobuf-messages web.route-prefix \
        web.search.max-limit web.user-assets \
        ";

    #[test]
    fn every_flag_of_prometheus_has_its_place() {
        let is_served = |name: &str| SERVER.iter().any(|flag| flag.name == name);
        let is_ignored = |name: &str| IGNORED.iter().any(|(ignored, ..)| *ignored == name);
        let is_refused = |name: &str| refuse_unserved([format!("--{name}").as_str()]).is_err();
        let known = |name: &&str| is_served(name) || is_ignored(name) || is_refused(name);
        let unknown: Vec<&str> = THEIRS.split_whitespace().filter(|name| !known(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn no_flag_is_both_served_and_not() {
        let other = IGNORED.iter().map(|(name, ..)| name).chain(UNSERVED.iter().map(|(name, _)| name));
        let names: Vec<&str> = SERVER.iter().map(|flag| flag.name).chain(other.copied()).collect();
        let unique: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), unique.len());
    }
}
