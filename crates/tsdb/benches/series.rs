//! Figures of the series table: bytes a series, time of inserts, look-ups and selections, memory under churn.
//!
//! Run: `cargo bench -p tsdb --bench series`; with `EXPOSITION=page.txt` the label sets of that page instead of made-up ones. CPU
//! time of the thread and resident memory as Linux counts them, since the machine may be busy.

#![expect(clippy::print_stdout, reason = "the figures are for a person at a terminal")]
#![expect(
    clippy::disallowed_methods,
    reason = "reads the kernel's counters, and the page that a person names"
)]

use std::fs;
use std::hint::black_box;

use model::{Labels, MatchOp, Matcher};
use roaring::RoaringBitmap;
use rustix::time::{ClockId, clock_gettime};
use tsdb::series::SeriesTable;

/// As in the server, since resident memory depends on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const N_TARGETS: usize = 877;
const N_SERIES_PER_TARGET: usize = 1_140;
const N_GENERATIONS: usize = 10;

fn main() {
    let page = page();
    let n_series = page.len() * N_TARGETS;
    let empty_bytes = resident_bytes();
    let mut table = SeriesTable::new();
    let (mut insert_ns, mut lookup_ns) = (0.0, 0.0);
    for target in 0..N_TARGETS {
        let sets = target_labels(&page, target, 0);
        insert_ns += each(n_series, || sets.iter().for_each(|set| assert!(table.get_or_insert(set).1)));
    }
    for target in 0..N_TARGETS {
        let sets = target_labels(&page, target, 0);
        lookup_ns += each(n_series, || sets.iter().for_each(|set| assert!(table.get(set).is_some())));
    }
    println!("{} series, {} labels each with the target's", table.len(), page_labels(&page));
    println!("insert {:.0} ns, look-up {:.0} ns", insert_ns, lookup_ns);
    print_bytes(&table, empty_bytes);
    select_all(&table);
    let sort_ns = each(n_series, || {
        black_box(table.sorted_by_labels(&table.ids()));
    });
    println!("sort all by labels {sort_ns:.0} ns a series");
    let stats_ns = each(1, || {
        black_box(table.statistics(10));
    });
    println!("statistics {:.2} ms", stats_ns / 1e6);
    churn(&mut table, &page, empty_bytes);
    bomb(empty_bytes);
}

/// Each generation, a tenth of the targets come back under other names of pods, as in a cluster that rolls out.
fn churn(table: &mut SeriesTable, page: &[Labels], empty_bytes: usize) {
    for generation in 1..=N_GENERATIONS {
        let targets = (0..N_TARGETS).filter(|target| target % N_GENERATIONS == generation % N_GENERATIONS);
        let mut dead = RoaringBitmap::new();
        for target in targets {
            dead |= table.select(&[Matcher::equal("instance", instance(target, 0))]);
            insert_target(table, page, target, generation);
        }
        let n_dead = usize::try_from(dead.len()).expect("a tenth of a million");
        let remove_ns = each(n_dead, || table.remove(&dead));
        print!(
            "generation {generation}: {} series, {n_dead} removed in {remove_ns:.0} ns each; ",
            table.len()
        );
        print_bytes(table, empty_bytes);
    }
    // Scattered series come and go: the ids that stay lie between dead ones.
    for generation in 1..=N_GENERATIONS {
        let dead: RoaringBitmap = table.ids().iter().skip(generation).step_by(10).collect();
        let gone: Vec<Labels> = dead.iter().filter_map(|id| table.labels(id)).collect();
        table.remove(&dead);
        for labels in &gone {
            let mut builder = labels.to_builder();
            builder.set("pod", &format!("web-{generation}-{}", labels.len()));
            table.get_or_insert(&builder.build());
        }
        print!("scattered {generation}: {} series; ", table.len());
        drop(gone);
        print_bytes(table, empty_bytes);
    }
}

/// Every series has a value that no other has.
fn bomb(empty_bytes: usize) {
    let mut table = SeriesTable::new();
    let make = |n: usize| {
        let id = format!("{:032x}", (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        Labels::from_pairs([("__name__", "requests_total"), ("job", "api"), ("request_id", &id)])
    };
    let n = 1_000_000;
    let mut insert_ns = 0.0;
    for first in (0..n).step_by(1_000) {
        let sets: Vec<Labels> = (first..first + 1_000).map(make).collect();
        insert_ns += each(n, || sets.iter().for_each(|set| assert!(table.get_or_insert(set).1)));
    }
    println!("bomb of {n} unique values: {insert_ns:.0} ns an insert");
    print_bytes(&table, empty_bytes);
    let matcher = Matcher::new(MatchOp::Regex, "request_id", "(0|1)[0-4].*a.*").expect("a good pattern");
    let regex_ns = each(1, || drop(black_box(table.select(std::slice::from_ref(&matcher)))));
    let stats_ns = each(1, || drop(black_box(table.statistics(10))));
    println!("regex over all values {:.1} ms, statistics {:.1} ms", regex_ns / 1e6, stats_ns / 1e6);
    let ids = table.ids();
    let remove_ns = each(n, || table.remove(&ids));
    println!("removed in {remove_ns:.0} ns each, {} bytes left", table.memory_bytes());
}

fn select_all(table: &SeriesTable) {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let cases: &[&[(MatchOp, &str, &str)]] = &[
        &[(Equal, "__name__", "node_load1")],
        &[(Equal, "__name__", "node_load1"), (Equal, "instance", "host-0400.example:9100")],
        &[(Equal, "__name__", "node_cpu_seconds_total"), (Equal, "mode", "idle")],
        &[(Equal, "__name__", "node_load1"), (Regex, "instance", "host-04.*")],
        &[(Equal, "__name__", "node_load1"), (Regex, "instance", "host-0.[13579].*|host-08.+")],
        &[(Regex, "instance", "host-0[1-4].*")],
        &[(Equal, "instance", "host-0400.example:9100"), (Regex, "__name__", "node_.*")],
        &[(Regex, "__name__", "node_.*")],
        &[(Equal, "job", "node"), (NotRegex, "instance", "host-0[1-4].*")],
        &[(Equal, "__name__", "node_cpu_seconds_total"), (NotEqual, "mode", "idle")],
        &[(NotEqual, "mode", "idle")],
        &[(Equal, "job", "node")],
        &[(Equal, "__name__", "node_load1"), (Regex, "instance", ".+"), (Equal, "device", "")],
    ];
    for case in cases {
        let matchers = case.iter().map(|(op, name, value)| Matcher::new(*op, *name, *value));
        let matchers: Vec<Matcher> = matchers.collect::<Result<_, _>>().expect("good patterns");
        let mut found = table.select(&matchers);
        let n_rounds = 20;
        let ns = each(n_rounds, || (0..n_rounds).for_each(|_| found = black_box(table.select(&matchers))));
        let text: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
        let sort_ns = each(1, || drop(black_box(table.sorted_by_labels(&found))));
        println!(
            "{{{}}}: {} series in {:.1} µs, sorted in {:.1} µs",
            text.join(","),
            found.len(),
            ns / 1e3,
            sort_ns / 1e3
        );
    }
}

fn insert_target(table: &mut SeriesTable, page: &[Labels], target: usize, generation: usize) {
    target_labels(page, target, generation).iter().for_each(|set| {
        table.get_or_insert(set);
    });
}

fn target_labels(page: &[Labels], target: usize, generation: usize) -> Vec<Labels> {
    page.iter().map(|own| labels(own, target, generation)).collect()
}

fn labels(own: &Labels, target: usize, generation: usize) -> Labels {
    let mut builder = own.to_builder();
    builder.set("job", "node").set("instance", &instance(target, generation)).set("cluster", "eu-west-1");
    builder.build()
}

fn instance(target: usize, generation: usize) -> String {
    match generation {
        0 => format!("host-{target:04}.example:9100"),
        _ => format!("host-{target:04}-{generation}.example:9100"),
    }
}

/// Own label sets of one target.
fn page() -> Vec<Labels> {
    let Some(path) = std::env::var_os("EXPOSITION") else {
        return (0..N_SERIES_PER_TARGET).map(made_up).collect();
    };
    let text = fs::read_to_string(path).expect("EXPOSITION names a text file");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(parsed).collect()
}

/// Some 400 names; a third of the series are alone under theirs, as node_exporter has it.
fn made_up(n: usize) -> Labels {
    let name = if n < 2 {
        ["node_load1", "node_load5"][n].to_owned()
    } else {
        format!("node_made_up_{}_total", n % 400)
    };
    let mut pairs = vec![("__name__", name)];
    match n % 400 {
        0..130 => {}
        130..300 => pairs.push(("device", format!("eth{}", n / 400))),
        family => {
            pairs[0].1 = "node_cpu_seconds_total".to_owned();
            pairs.push(("cpu", (n / 400 * 12 + family % 12).to_string()));
            pairs.push((
                "mode",
                ["idle", "user", "system", "iowait", "irq", "nice", "softirq", "steal"][family / 12 % 8]
                    .to_owned(),
            ));
        }
    }
    Labels::from_pairs(pairs)
}

/// `name{a="b"} 1`, without escapes.
fn parsed(line: &str) -> Labels {
    let (series, _) = line.rsplit_once(' ').expect("a series and a value");
    let (name, rest) = series.split_once('{').unwrap_or((series, ""));
    let mut pairs = vec![("__name__", name)];
    let own = rest.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
    pairs.extend(own.map(|pair| pair.strip_suffix('"').unwrap_or(pair).split_once("=\"").expect("a pair")));
    Labels::from_pairs(pairs)
}

fn page_labels(page: &[Labels]) -> usize {
    3 + page.iter().map(Labels::len).sum::<usize>() / page.len()
}

fn print_bytes(table: &SeriesTable, empty_bytes: usize) {
    let resident = resident_bytes().saturating_sub(empty_bytes) as f64;
    let counted = table.memory_bytes() as f64;
    let n = table.len() as f64;
    println!("{:.1} B a series counted, {:.1} resident", counted / n, resident / n);
}

/// CPU nanoseconds of `work`, divided by `n`.
fn each(n: usize, work: impl FnOnce()) -> f64 {
    let before = cpu_ns();
    work();
    (cpu_ns() - before) as f64 / n as f64
}

fn cpu_ns() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn resident_bytes() -> usize {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages second") * 4_096
}
