//! What the event recorder is told.

use super::*;
use crate::events::What;

const RECORDED: &str = "
route: {receiver: r, group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}
receivers: [{name: r, webhook_configs: [{url: 'http://h/'}]}]
inhibit_rules: [{source_matchers: [alertname=up], target_matchers: [alertname=down]}]
event_recorder: {stdout_outputs: [{}]}
";

fn words(sim: &mut Sim) -> Vec<String> {
    let words = sim.core.take_notes().into_iter().map(|note| match note.what {
        What::Created(alert) => format!("created {}", alert.name()),
        What::Grouped { alert, group } => format!("grouped {} {}", alert.name(), group.key),
        What::Resolved { alert, .. } => format!("resolved {}", alert.name()),
        What::Sent(sent) => {
            let count = [sent.alerts.len(), sent.firing.len(), sent.resolved.len(), sent.muted.len()];
            format!("sent {} {count:?} {}", sent.group.key, sent.reason)
        }
        What::Inhibited { rule, labels, .. } => format!("inhibited {labels} {}", rule.is_some()),
        What::Silenced { silence, labels } => format!("silenced {labels} {}", silence.comment),
        What::SilenceMade(silence) => format!("silence made {}", silence.comment),
        What::SilenceChanged(silence) => format!("silence changed {}", silence.comment),
        What::Started { .. } | What::Stopped => "life".to_owned(),
    });
    words.collect()
}

#[test]
fn the_event_recorder_hears_what_alertmanager_tells_it() {
    let mut sim = Sim::new(RECORDED);
    sim.put(0, "up", 1, 0, "");
    sim.put(0, "down", 1, 0, "");
    let grouped = |name: &str| format!("grouped {name} {{}}:{{alertname=\"{name}\"}}");
    assert_eq!(words(&mut sim), ["created up", &grouped("up"), "created down", &grouped("down")]);
    sim.run_to(1_000);
    let sent = "sent {}:{alertname=\"up\"} [1, 1, 0, 0] first notification";
    assert_eq!(words(&mut sim), ["inhibited {alertname=\"down\"} true", sent]);
    sim.put(1_500, "up", 1, 1_500, "");
    assert_eq!(words(&mut sim), [grouped("up")], "it is known");
    sim.run_to(3_000);
    let sent =
        |name: &str, count: &str, why: &str| format!("sent {{}}:{{alertname=\"{name}\"}} {count} {why}");
    let told = words(&mut sim);
    assert!(told.contains(&sent("up", "[1, 0, 1, 0]", "all alerts resolved")), "{told:?}");
    assert!(told.contains(&"resolved up".to_owned()), "{told:?}");
    assert!(told.contains(&sent("down", "[1, 1, 0, 0]", "first notification")), "{told:?}");

    sim.silence(3_100, Matcher::equal("alertname", "down"), 3_100, 60_000);
    sim.put(3_200, "down", 1, 60_000, "again");
    sim.run_to(5_000);
    assert_eq!(words(&mut sim), ["silence made ", &grouped("down"), "silenced {alertname=\"down\"} "]);
    let off = RECORDED.replace("event_recorder: {stdout_outputs: [{}]}", "");
    sim.core.reload(Arc::new(Config::parse("a.yml", &off).expect("good")), sim.now_ms);
    sim.put(5_100, "more", 1, 0, "");
    assert_eq!(words(&mut sim), Vec::<String>::new(), "nobody listens");
}
