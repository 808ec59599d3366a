//! `kill -9` in a loop under load: what was once seen is still there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, now_secs, wait_for};

const TARGETS: usize = 8;
const SERIES: usize = 400;

/// Series → time in milliseconds → value, as the server said.
type Seen = BTreeMap<String, BTreeMap<u64, String>>;

/// Thirty, or as many as `HINOMI_KILLS` says: a second or two each.
fn rounds() -> u64 {
    std::env::var("HINOMI_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

#[test]
fn nothing_acknowledged_is_lost_when_killed_again_and_again() {
    let rounds = rounds();
    let counter = Arc::new(AtomicU64::new(0));
    let targets: Vec<Target> = (0..TARGETS).map(|_| target(Arc::clone(&counter))).collect();
    let list: Vec<String> = targets.iter().map(|target| format!("'{}'", target.address)).collect();
    let config = format!(
        "scrape_configs:\n- job_name: load\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  static_configs:\n  - targets: [{}]\n",
        list.join(", ")
    );
    let mut server = Hinomi::start(Some(&config), &[]);
    let mut seen = Seen::new();
    let mut n_rounds_with_samples = 0;
    for round in 0..rounds {
        // The moment of the kill wanders through the scrape interval.
        let until = now_secs() + 0.5 + (round * 37 % 100) as f64 / 100.0;
        wait_for("load", Duration::from_secs(10), || (now_secs() > until).then_some(()));
        let before = read(&server);
        n_rounds_with_samples += u64::from(newest(&before) > newest(&seen));
        server.process.kill9();
        server.restart();
        let after = read(&server);
        // What was at the window's old end may have left it meanwhile.
        let since_ms = newest(&before).saturating_sub(240_000);
        for (series, samples) in &before {
            for (t_ms, value) in samples.range(since_ms..) {
                let kept = after.get(series).and_then(|samples| samples.get(t_ms));
                assert_eq!(kept, Some(value), "round {round}: {series} at {t_ms} was seen before the kill");
            }
        }
        seen = after;
    }
    let n_samples: usize = seen.values().map(BTreeMap::len).sum();
    println!("{rounds} kills, {} series read back, {n_samples} samples compared at the end", seen.len());
    assert!(
        n_rounds_with_samples > rounds * 8 / 10,
        "the load must go on between kills: {n_rounds_with_samples}"
    );
}

/// Counts up with every scrape, in many series.
fn target(counter: Arc<AtomicU64>) -> Target {
    Target::start(move |_| {
        let value = counter.fetch_add(1, Ordering::SeqCst);
        let mut body = String::from("# TYPE seq counter\n");
        for series in 0..SERIES {
            body.push_str(&format!("seq{{n=\"{series}\"}} {}\n", value * 1000 + series as u64));
        }
        Reply::text(body)
    })
}

/// The last five minutes of a tenth of the series: enough to meet every batch, few enough to read often.
fn read(server: &Hinomi) -> Seen {
    let result = server.query("{__name__=~\"seq|up\", n=~\".?.?0|\"}[5m]", None);
    let series = result.as_array().unwrap().iter().map(|series| {
        let samples = series["values"].as_array().unwrap().iter();
        let samples = samples.map(|pair| {
            ((pair[0].as_f64().unwrap() * 1000.0).round() as u64, pair[1].as_str().unwrap().to_owned())
        });
        (series["metric"].to_string(), samples.collect())
    });
    series.collect()
}

fn newest(seen: &Seen) -> u64 {
    seen.values().filter_map(|samples| samples.keys().next_back()).max().copied().unwrap_or(0)
}
