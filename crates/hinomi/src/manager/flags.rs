//! The flags of `hinomi alertmanager`: names, defaults and meaning of Alertmanager 0.34.

use alertmanager::{MatcherMode, MetricDetail};
use anyhow::{Result, bail};

use crate::cluster;
use crate::flags::{DURATION, FILE, Flag, IgnoredShape, Kind, NUMBER, SHARED, flag, joined};

/// Every flag, in the order of the help.
pub(crate) const MANAGER: &[Flag] = &joined::<{ OWN.len() + SHARED.len() }>(OWN, SHARED);

const OWN: &[Flag] = &[
    flag("config.file", FILE, "alertmanager.yml", "Alertmanager configuration file"),
    flag(
        "storage.path",
        Kind::Value("DIR"),
        "data/",
        "Where silences, the notification log and alerts are kept; the files of an Alertmanager are taken over at the first start",
    ),
    flag(
        "data.retention",
        DURATION,
        "120h",
        "How long silences are kept after their end, and log entries at most",
    ),
    flag(
        "data.maintenance-interval",
        DURATION,
        "15m",
        "How often what is over is forgotten; a minute at most",
    ),
    flag(
        "silences.max-silences",
        NUMBER,
        "0",
        "Most silences, expired ones included; 0 for the most there can be, 100000",
    ),
    flag(
        "silences.max-silence-size-bytes",
        NUMBER,
        "0",
        "Most bytes of the texts of one silence; 0 for no limit but those of the API",
    ),
    flag("alerts.gc-interval", DURATION, "30m", "How long a resolved alert is kept after its end"),
    flag("alerts.per-alertname-limit", NUMBER, "0", "Most alerts of one name; 0 for no limit"),
    flag(
        "dispatch.start-delay",
        DURATION,
        "0s",
        "No group is notified before this long after the start, so that alerts can gather",
    ),
    flag(
        "web.listen-address",
        Kind::Repeated("ADDR"),
        "127.0.0.1:9093",
        "Address to answer on, repeatable; :9093 opens it to the network",
    ),
    flag(
        "web.get-concurrency",
        NUMBER,
        "0",
        "Most GET requests at once, more are refused; 0 for one on each core, and 8 at least",
    ),
    flag("web.timeout", DURATION, "0s", "How long one request may take; 0 for no limit"),
    flag(
        "cluster.listen-address",
        Kind::Value("ADDR"),
        cluster::LISTEN_DEFAULT,
        "Where other managers reach this one; without --cluster.peer and --cluster.key-file it is alone",
    ),
    flag(
        "enable-feature",
        Kind::Repeated("NAME"),
        "",
        "Switch on a feature that is off by default, repeatable or with commas between; docs/user/alertmanager.md lists them",
    ),
    flag("log.silences", Kind::Switch, "false", "Say in the log when a silence is made, changed or ended"),
];

const GO: &str = "it tunes Go's runtime, which is not used here";
const LOOKED_UP: &str = "names of other managers are looked up again every 15s";
const PROBES: &str = "a manager counts as gone when five probes were missed";
const NO_GOSSIP: &str = "managers advertise the address of the way to the first of the others";

/// Accepted and without effect: name, shape, why.
pub(crate) const IGNORED: &[(&str, IgnoredShape, &str)] = &[
    ("auto-gomemlimit.ratio", IgnoredShape::Value, GO),
    ("dispatch.maintenance-interval", IgnoredShape::Value, "a group ends with its last alert"),
    ("web.ui-path", IgnoredShape::Value, "the web page is inside the binary"),
    (
        "cluster.allow-insecure-public-advertise-address-discovery",
        IgnoredShape::Switch("no-cluster.allow-insecure-public-advertise-address-discovery"),
        NO_GOSSIP,
    ),
    ("cluster.peers-resolve-timeout", IgnoredShape::Value, LOOKED_UP),
    ("cluster.probe-timeout", IgnoredShape::Value, PROBES),
];

/// What becomes of a feature of Alertmanager.
#[derive(Debug, Clone, Copy)]
enum Feature {
    Mode(MatcherMode),
    /// Why it has no effect.
    Idle(&'static str),
    /// Labels of metrics.
    Detail(fn(&mut MetricDetail)),
}

const FEATURES: &[(&str, Feature)] = &[
    ("auto-gomemlimit", Feature::Idle(GO)),
    ("auto-gomaxprocs", Feature::Idle(GO)),
    ("alert-names-in-metrics", Feature::Detail(|detail| detail.alert_names = true)),
    ("receiver-name-in-metrics", Feature::Detail(|detail| detail.receiver_names = true)),
    ("group-key-in-metrics", Feature::Detail(|detail| detail.group_keys = true)),
    ("classic-mode", Feature::Mode(MatcherMode::Classic)),
    ("utf8-strict-mode", Feature::Mode(MatcherMode::Utf8Strict)),
    ("event-recorder", Feature::Idle("events are recorded wherever the file's event_recorder names outputs")),
];

/// What `--enable-feature` comes to.
#[derive(Debug, Default)]
pub(crate) struct Features {
    pub(crate) matcher_mode: MatcherMode,
    pub(crate) metric_detail: MetricDetail,
    /// What the log should say.
    pub(crate) remarks: Vec<String>,
}

/// Reads the values of `--enable-feature`.
///
/// # Errors
/// A name that is not known; both modes of matchers.
pub(crate) fn features(values: &[String]) -> Result<Features> {
    let mut features = Features::default();
    for name in values.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
    {
        match FEATURES.iter().find(|(known, _)| *known == name).map(|(_, feature)| *feature) {
            Some(Feature::Mode(mode)) if [MatcherMode::Fallback, mode].contains(&features.matcher_mode) => {
                features.matcher_mode = mode;
            }
            Some(Feature::Mode(_)) => {
                bail!("--enable-feature: classic-mode and utf8-strict-mode exclude each other; leave one out")
            }
            Some(Feature::Idle(why)) => {
                features.remarks.push(format!("--enable-feature={name} has no effect: {why}"));
            }
            Some(Feature::Detail(switch)) => switch(&mut features.metric_detail),
            None => bail!("--enable-feature: unknown option {name:?}"),
        }
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `alertmanager --help`, 0.34 and Debian's 0.25 together.
    const THEIRS: &str = "\
        alerts.gc-interval alerts.per-alertname-limit auto-gomemlimit.ratio cluster.advertise-address \
        cluster.allow-insecure-public-advertise-address-discovery cluster.gossip-interval cluster.label \
        cluster.listen-address cluster.peer cluster.peer-name cluster.peer-timeout cluster.peers-resolve-timeout \
        cluster.probe-interval cluster.probe-timeout cluster.pushpull-interval cluster.reconnect-interval \
        cluster.reconnect-timeout cluster.settle-timeout cluster.tcp-timeout cluster.tls-config config.file \
        data.maintenance-interval data.retention dispatch.maintenance-interval dispatch.start-delay enable-feature \
        log.format log.level log.silences silences.max-silence-size-bytes silences.max-silences storage.path \
        web.config.file web.external-url web.get-concurrency web.listen-address web.route-prefix web.timeout web.ui-path";

    #[test]
    fn every_flag_of_alertmanager_has_its_place() {
        let known = |name: &&str| {
            MANAGER.iter().any(|flag| flag.name == *name)
                || IGNORED.iter().any(|(ignored, ..)| ignored == name)
        };
        let unknown: Vec<&str> = THEIRS.split_whitespace().filter(|name| !known(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let names: std::collections::BTreeSet<&str> =
            MANAGER.iter().map(|flag| flag.name).chain(IGNORED.iter().map(|(name, ..)| *name)).collect();
        assert_eq!(names.len(), MANAGER.len() + IGNORED.len(), "a flag stands there twice");
    }

    #[test]
    fn features_have_their_effects_or_a_remark() {
        let check = |value: &str, expected: Result<usize, &str>| {
            let got = features(&[value.to_owned()])
                .map(|features| features.remarks.len())
                .map_err(|err| err.to_string());
            match expected {
                Ok(n) => assert_eq!(got, Ok(n), "{value}"),
                Err(part) => assert!(got.is_err_and(|err| err.contains(part)), "{value}"),
            }
        };
        check("auto-gomemlimit", Ok(1));
        check("", Ok(0));
        check("auto-gomemlimit,event-recorder", Ok(2));
        let detail = |value: &str| features(&[value.to_owned()]).expect("known").metric_detail;
        let alert_names = MetricDetail { alert_names: true, ..MetricDetail::default() };
        assert_eq!(detail("alert-names-in-metrics"), alert_names);
        let others = MetricDetail { alert_names: false, receiver_names: true, group_keys: true };
        assert_eq!(detail("receiver-name-in-metrics,group-key-in-metrics"), others);
        assert_eq!(detail(""), MetricDetail::default());
        check("nonsense", Err("unknown option \"nonsense\""));
        check("classic-mode,utf8-strict-mode", Err("exclude each other"));
        let mode = |value: &str| features(&[value.to_owned()]).expect("known").matcher_mode;
        assert_eq!(mode("classic-mode"), MatcherMode::Classic);
        assert_eq!(mode("utf8-strict-mode,auto-gomemlimit"), MatcherMode::Utf8Strict);
        assert_eq!(mode(""), MatcherMode::Fallback);
    }
}
