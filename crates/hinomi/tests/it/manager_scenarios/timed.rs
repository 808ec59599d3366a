//! Scenarios in which something happens at a time and a message must come at another.

use std::time::Duration;

use super::Step::{Push, Reload, Restart, Silence, Unsilence};
use super::{DROPPED, NO, Report, Scenario, well};

const T: &[(&str, &str)] = &[("alertname", "test")];
const T1: &[(&str, &str)] = &[("alertname", "test1")];
const T2: &[(&str, &str)] = &[("alertname", "test2")];
const T3: &[(&str, &str)] = &[("alertname", "test3")];
const T4: &[(&str, &str)] = &[("alertname", "test4")];
const T5: &[(&str, &str)] = &[("alertname", "test5")];
const V1: &[(&str, &str)] = &[("alertname", "test"), ("lbl", "v1")];
const V2: &[(&str, &str)] = &[("alertname", "test"), ("lbl", "v2")];
const V3: &[(&str, &str)] = &[("alertname", "test"), ("lbl", "v3")];
const OTHER: &[(&str, &str)] = &[("alertname", "test1"), ("job", "testjob"), ("zone", "aa")];
const JOB: &[(&str, &str)] = &[("alertname", "JobDown"), ("job", "testjob"), ("zone", "aa")];
const IN_AA: &[(&str, &str)] = &[("alertname", "InstanceDown"), ("job", "testjob"), ("zone", "aa")];
const IN_AB: &[(&str, &str)] = &[("alertname", "InstanceDown"), ("job", "testjob"), ("zone", "ab")];
const SMILE: &[(&str, &str)] = &[("foo🙂", "bar")];

/// A configuration of one route and one hook.
macro_rules! config {
    ($group_by:literal, $interval:literal, $repeat:literal, $rest:expr) => {
        concat!(
            "route: {receiver: default, group_by: ",
            $group_by,
            ", group_wait: 1s, group_interval: ",
            $interval,
            ", repeat_interval: ",
            $repeat,
            "}\n",
            $rest
        )
    };
}

macro_rules! one {
    () => {
        "receivers:\n- name: default\n  webhook_configs:\n  - url: http://HOOK0\n"
    };
}

const INHIBIT: &str = config!(
    "[]",
    "1s",
    "1s",
    concat!(
        one!(),
        "inhibit_rules:\n- source_match: {alertname: JobDown}\n  target_match: {alertname: InstanceDown}\n  equal: [job, zone]\n"
    )
);

fn quiet(name: &'static str, config: &'static str) -> Scenario {
    Scenario {
        name,
        config,
        args: &[],
        answers: [well, well],
        steps: Vec::new(),
        expected: Vec::new(),
        secs: 7.0,
    }
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = vec![
        merge("MergeAlerts", false),
        merge("MergeAlertsWithEndsAt", true),
        repeat(),
        retry(),
        batching(),
    ];
    all.extend([resolved(), resolved_filter(), cold_start(), reload(), restart(), webhook_timeout()]);
    all.extend([inhibiting(), always_inhibiting(), silencing(), silence_delete(), utf8_route(), muted()]);
    all
}

fn merge(name: &'static str, with_end: bool) -> Scenario {
    let end = |start: f64| if with_end { start + 3.0 } else { NO };
    Scenario {
        steps: vec![
            (1.0, Push(vec![(T, 1.1, end(1.1), "")])),
            (1.2, Push(vec![(T, 1.0, NO, "")])),
            (2.1, Push(vec![(T, 2.0, end(2.0), "v1")])),
            (3.6, Push(vec![(T, 1.5, end(1.5), "v2")])),
            (4.6, Push(vec![(T, 3.0, 4.5, "v2")])),
            (4.8, Push(vec![(T, 2.9, 4.8, "v3")])),
            (4.8, Push(vec![(T, 2.9, 4.1, "v3")])),
            (5.3, Push(vec![(T, 5.0, end(5.0), "")])),
        ],
        expected: vec![
            (0, (2.0, 2.5), vec![(T, 1.0, NO, "")]),
            (0, (3.0, 3.5), vec![(T, 1.0, NO, "v1")]),
            (0, (4.0, 4.5), vec![(T, 1.0, NO, "v2")]),
            (0, (5.0, 5.5), vec![(T, 1.0, 4.8, "v3")]),
            (0, (6.0, 6.5), vec![(T, 5.0, NO, "")]),
        ],
        secs: 6.8,
        ..quiet(name, config!("[alertname]", "1s", "1ms", one!()))
    }
}

fn repeat() -> Scenario {
    Scenario {
        steps: vec![(1.0, Push(vec![(T, 1.0, NO, "")])), (3.5, Push(vec![(T, 1.0, 3.0, "")]))],
        expected: vec![
            (0, (2.0, 2.5), vec![(T, 1.0, NO, "")]),
            (0, (3.0, 3.5), vec![(T, 1.0, NO, "")]),
            (0, (4.0, 4.5), vec![(T, 1.0, 3.0, "")]),
        ],
        ..quiet("Repeat", config!("[alertname]", "1s", "1ms", one!()))
    }
}

fn retry() -> Scenario {
    const CONFIG: &str = config!(
        "[alertname]",
        "2s",
        "3s",
        "receivers:\n- name: default\n  webhook_configs:\n  - url: http://HOOK0\n  - url: http://HOOK1\n"
    );
    Scenario {
        // Takes what comes before and forgets it, as upstream's does.
        answers: [well, |at| (if at < 4.5 { DROPPED } else { 200 }, Duration::ZERO)],
        steps: vec![(1.0, Push(vec![(T1, NO, NO, "")]))],
        expected: vec![
            (0, (2.0, 2.5), vec![(T1, 1.0, NO, "")]),
            (0, (6.0, 6.5), vec![(T1, 1.0, NO, "")]),
            (1, (6.0, 6.5), vec![(T1, 1.0, NO, "")]),
        ],
        secs: 7.2,
        ..quiet("Retry", CONFIG)
    }
}

fn batching() -> Scenario {
    let two: Vec<Report> = vec![(T1, 1.0, NO, ""), (T5, 1.0, NO, "")];
    let three: Vec<Report> = vec![(T2, 1.5, NO, ""), (T3, 1.5, NO, ""), (T4, 1.6, NO, "")];
    let all: Vec<Report> = two.iter().chain(&three).copied().collect();
    Scenario {
        steps: vec![
            (1.1, Push(vec![(T1, 1.0, NO, "")])),
            (1.7, Push(vec![(T5, 1.0, NO, "")])),
            (3.3, Push(three)),
        ],
        expected: vec![(0, (2.0, 2.5), two), (0, (4.0, 4.5), all.clone()), (0, (9.0, 9.5), all)],
        secs: 10.0,
        ..quiet("Batching", config!("[]", "1s", "4900ms", one!()))
    }
}

fn resolved() -> Scenario {
    let ending = |end| vec![(V1, 1.0, end, ""), (V2, 1.0, end, ""), (V3, 1.0, end, "")];
    Scenario {
        steps: vec![(1.0, Push(vec![(V1, NO, NO, ""), (V2, NO, NO, ""), (V3, NO, NO, "")]))],
        expected: vec![(0, (2.0, 2.5), ending(NO)), (0, (12.0, 13.0), ending(11.0))],
        secs: 14.0,
        ..quiet(
            "Resolved",
            config!("[alertname]", "5s", "4h", concat!("global: {resolve_timeout: 10s}\n", one!())),
        )
    }
}

fn resolved_filter() -> Scenario {
    const CONFIG: &str = config!(
        "[alertname]",
        "5s",
        "4h",
        "global: {resolve_timeout: 10s}\nreceivers:\n- name: default\n  webhook_configs:\n  - {url: 'http://HOOK0', send_resolved: true}\n  - {url: 'http://HOOK1', send_resolved: false}\n"
    );
    Scenario {
        steps: vec![
            (1.0, Push(vec![(V1, NO, NO, ""), (V2, NO, NO, "")])),
            (3.0, Push(vec![(V1, 1.0, 4.0, ""), (V3, NO, NO, "")])),
            (8.0, Push(vec![(V3, 3.0, NO, "")])),
        ],
        expected: vec![
            (0, (2.0, 2.5), vec![(V1, 1.0, NO, ""), (V2, 1.0, NO, "")]),
            (0, (7.0, 7.5), vec![(V1, 1.0, 4.0, ""), (V2, 1.0, NO, ""), (V3, 3.0, NO, "")]),
            (0, (12.0, 12.5), vec![(V2, 1.0, 11.0, ""), (V3, 3.0, NO, "")]),
            (1, (2.0, 2.5), vec![(V1, 1.0, NO, ""), (V2, 1.0, NO, "")]),
            (1, (7.0, 7.5), vec![(V2, 1.0, NO, ""), (V3, 3.0, NO, "")]),
        ],
        secs: 13.5,
        ..quiet("ResolvedFilter", CONFIG)
    }
}

fn cold_start() -> Scenario {
    let first = vec![(T1, 1.0, NO, ""), (T2, 2.0, NO, "")];
    let all = vec![(T1, 1.0, NO, ""), (T2, 2.0, NO, ""), (T3, 6.0, NO, ""), (T4, 7.0, NO, "")];
    Scenario {
        args: &["--dispatch.start-delay=5s"],
        steps: vec![
            (1.0, Push(vec![(T1, NO, NO, "")])),
            (2.0, Push(vec![(T2, NO, NO, "")])),
            (5.4, Reload),
            (6.0, Push(vec![(T3, NO, NO, "")])),
            (7.0, Push(vec![(T4, NO, NO, "")])),
        ],
        // The delay counts from the process' start, somewhat before second 0; the reload starts the timers anew, at once for alerts
        // that are older than group_wait.
        expected: vec![(0, (4.0, 5.0), first), (0, (11.0, 11.9), all)],
        secs: 12.8,
        ..quiet("ColdStart", config!("[]", "6s", "10m", one!()))
    }
}

fn reload() -> Scenario {
    Scenario {
        steps: vec![(1.0, Push(vec![(T1, NO, NO, "")])), (3.0, Reload), (4.0, Push(vec![(T2, NO, NO, "")]))],
        expected: vec![
            (0, (2.0, 2.5), vec![(T1, 1.0, NO, "")]),
            (0, (9.0, 9.7), vec![(T1, 1.0, NO, ""), (T2, 4.0, NO, "")]),
        ],
        secs: 11.0,
        ..quiet("Reload", config!("[]", "6s", "10m", one!()))
    }
}

fn restart() -> Scenario {
    Scenario {
        steps: vec![(1.0, Push(vec![(T1, NO, NO, "")])), (3.5, Restart), (5.5, Push(vec![(T2, NO, NO, "")]))],
        expected: vec![
            (0, (2.0, 2.5), vec![(T1, 1.0, NO, "")]),
            (0, (5.5, 8.0), vec![(T1, 1.0, NO, ""), (T2, 5.5, NO, "")]),
        ],
        secs: 9.0,
        ..quiet("kill -9 and a start", config!("[]", "1s", "10m", one!()))
    }
}

fn webhook_timeout() -> Scenario {
    const CONFIG: &str = config!(
        "[alertname]",
        "1m",
        "1m",
        "receivers:\n- name: default\n  webhook_configs:\n  - {url: 'http://HOOK0', timeout: 500ms}\n"
    );
    Scenario {
        answers: [|at| (200, if at < 3.0 { Duration::from_secs(1) } else { Duration::ZERO }), well],
        steps: vec![(1.0, Push(vec![(T1, NO, NO, "")]))],
        expected: vec![(0, (3.0, 4.5), vec![(T1, 1.0, NO, "")])],
        ..quiet("WebhookTimeout", CONFIG)
    }
}

fn inhibiting() -> Scenario {
    Scenario {
        steps: vec![
            (1.0, Push(vec![(OTHER, NO, NO, ""), (IN_AA, NO, NO, ""), (IN_AB, NO, NO, "")])),
            (2.2, Push(vec![(JOB, NO, NO, "")])),
            (3.6, Push(vec![(JOB, 2.2, 3.6, "")])),
        ],
        expected: vec![
            (0, (2.0, 2.5), vec![(OTHER, 1.0, NO, ""), (IN_AA, 1.0, NO, ""), (IN_AB, 1.0, NO, "")]),
            (0, (3.0, 3.5), vec![(OTHER, 1.0, NO, ""), (IN_AB, 1.0, NO, ""), (JOB, 2.2, NO, "")]),
            (
                0,
                (4.0, 4.5),
                vec![(OTHER, 1.0, NO, ""), (IN_AA, 1.0, NO, ""), (IN_AB, 1.0, NO, ""), (JOB, 2.2, 3.6, "")],
            ),
        ],
        secs: 4.7,
        ..quiet("Inhibiting", INHIBIT)
    }
}

fn always_inhibiting() -> Scenario {
    Scenario {
        steps: vec![
            (1.0, Push(vec![(IN_AA, NO, NO, ""), (JOB, NO, NO, "")])),
            (2.6, Push(vec![(JOB, 1.0, 2.6, ""), (IN_AA, 1.0, 2.6, "")])),
        ],
        expected: vec![
            (0, (2.0, 2.5), vec![(JOB, 1.0, NO, "")]),
            (0, (3.0, 3.5), vec![(IN_AA, 1.0, 2.6, ""), (JOB, 1.0, 2.6, "")]),
        ],
        secs: 5.0,
        ..quiet("AlwaysInhibiting", INHIBIT)
    }
}

fn silencing() -> Scenario {
    let both = || vec![(T1, 1.0, NO, ""), (T2, 1.0, NO, "")];
    Scenario {
        steps: vec![
            (1.0, Push(vec![(T1, 1.0, NO, ""), (T2, 1.0, NO, "")])),
            (2.3, Silence("alertname", "test1", false, 2.5, 4.5)),
        ],
        expected: vec![
            (0, (2.0, 2.3), both()),
            (0, (3.0, 3.5), vec![(T2, 1.0, NO, "")]),
            (0, (4.0, 4.4), vec![(T2, 1.0, NO, "")]),
            (0, (5.0, 5.5), both()),
        ],
        secs: 5.8,
        ..quiet("Silencing", config!("[]", "1s", "1ms", one!()))
    }
}

fn silence_delete() -> Scenario {
    Scenario {
        steps: vec![
            (1.0, Push(vec![(T1, 1.0, NO, ""), (T2, 1.0, NO, "")])),
            (1.3, Silence("alertname", ".+", true, 1.5, 100.0)),
            (3.5, Unsilence),
        ],
        expected: vec![(0, (3.5, 4.5), vec![(T1, 1.0, NO, ""), (T2, 1.0, NO, "")])],
        secs: 4.7,
        ..quiet("SilenceDelete", config!("[]", "1s", "1ms", one!()))
    }
}

fn utf8_route() -> Scenario {
    const CONFIG: &str = "route:\n  receiver: default\n  routes:\n  - receiver: hook\n    matchers: ['foo🙂=bar']\n    group_by: [foo🙂]\n    group_wait: 1s\n\
                          receivers:\n- name: default\n- name: hook\n  webhook_configs:\n  - url: http://HOOK0\n";
    Scenario {
        steps: vec![(1.0, Push(vec![(SMILE, 1.0, NO, "")]))],
        expected: vec![(0, (2.0, 2.5), vec![(SMILE, 1.0, NO, "")])],
        secs: 4.0,
        ..quiet("SendAlertsToUTF8Route", CONFIG)
    }
}

/// Ours: a route that a time interval mutes at every time.
fn muted() -> Scenario {
    const CONFIG: &str = "route:\n  receiver: default\n  group_wait: 1s\n  group_interval: 1s\n  routes:\n  - matchers: [alertname=test1]\n    mute_time_intervals: [always]\n  \
                          - matchers: [alertname=test2]\n    active_time_intervals: [always]\n\
                          time_intervals:\n- name: always\n  time_intervals:\n  - years: ['2000:2999']\n\
                          receivers:\n- name: default\n  webhook_configs:\n  - url: http://HOOK0\n";
    Scenario {
        steps: vec![(1.0, Push(vec![(T1, 1.0, NO, ""), (T2, 1.0, NO, "")]))],
        expected: vec![(0, (2.0, 2.5), vec![(T2, 1.0, NO, "")])],
        secs: 5.0,
        ..quiet("mute and active time intervals", CONFIG)
    }
}
