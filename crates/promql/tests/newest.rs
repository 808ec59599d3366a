//! Aggregations at one moment say the same whether the store groups newest samples itself or hands out series.

use std::sync::Arc;

use model::{Histogram, Labels, Matcher, STALE_NAN, TimeRange};
use promql::{Engine, EngineOptions, QueryOptions, parse};
use stdx::DiskDir;
use storage::{Appendable, NewestAsk, QueryError, Queryable, SelectHints, SeriesSet};
use tsdb::{Db, Options};

const STEP_MS: i64 = 15_000;
/// Aligned to two hours.
const START_MS: i64 = 1_700_006_400_000;
/// Three and three quarters of an hour: blocks, and a head that has the last quarter.
const N_STEPS: i64 = 15 * 60;
const HOSTS: [&str; 3] = ["a", "b", "c"];

/// What a series does.
const KINDS: [&str; 12] = [
    "counter",
    "gauge",
    "irrational",
    "constant",
    "nan",
    "stale",
    "ends",
    "gaps",
    "histogram",
    "turns",
    "late",
    "deleted",
];

/// A store that hands out series only.
struct SeriesOnly<'a>(&'a Db);

impl Queryable for SeriesOnly<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, QueryError> {
        self.0.select(matchers, range, hints)
    }

    fn label_names(&self, _: &[Matcher], _: TimeRange, _: usize) -> Result<Vec<String>, QueryError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Matcher],
        _: TimeRange,
        _: usize,
    ) -> Result<Vec<String>, QueryError> {
        Ok(Vec::new())
    }
}

fn value(kind: &str, step: i64, noise: u64) -> Option<f64> {
    let small = (noise % 1_000) as f64;
    match kind {
        "counter" => Some(step as f64 * 10.0 + small / 100.0),
        "irrational" => Some((step as f64 / 7.0).sin()),
        "constant" => Some(3.0),
        "nan" => Some(if noise.is_multiple_of(3) { f64::NAN } else { small }),
        // Ends for a while, with a marker each time.
        "stale" if step / 40 % 3 == 1 => (step % 40 == 0).then_some(STALE_NAN),
        // Ends without one.
        "ends" if step / 200 % 2 == 1 => None,
        "gaps" if !noise.is_multiple_of(25) => None,
        _ => Some(small / 10.0),
    }
}

fn labels(kind: &str, host: &str) -> Labels {
    let name = if kind.len() > 5 { "long_total" } else { "short" };
    Labels::from_pairs([("__name__", name), ("kind", kind), ("host", host), ("job", "x")])
}

fn store(folder: &std::path::Path, seed: u64) -> Db {
    let dir = Arc::new(DiskDir::open(folder).expect("a folder that is there"));
    let options = Options { retention_ms: 0, out_of_order_window_ms: 3_600_000, ..Options::default() };
    let (db, _) = Db::open(dir, options, START_MS).expect("it opens");
    let mut noise = seed.wrapping_mul(2) + 1;
    for step in 0..N_STEPS {
        let t_ms = START_MS + step * STEP_MS;
        for (nth, host) in HOSTS.iter().enumerate() {
            let t_ms = t_ms + nth as i64 * 1_700;
            let mut appender = db.appender(t_ms);
            for kind in KINDS {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let labels = labels(kind, host);
                if kind == "histogram" || kind == "turns" && step / 100 % 2 == 1 {
                    let histogram = Histogram { count: step as f64, sum: 1.0, ..Histogram::default() };
                    appender.append_histogram(None, &labels, t_ms, 0, &histogram).expect("it is in order");
                } else if let Some(value) = value(kind, step, noise >> 33) {
                    appender.append(None, &labels, t_ms, value).expect("it is in order");
                }
                if kind == "late" && step % 30 == 29 {
                    appender.append(None, &labels, t_ms - 40_001, 7.0).expect("it is late, but not too late");
                }
            }
            appender.commit().expect("the disk takes it");
        }
        if step % 120 == 119 {
            db.maintain(t_ms).expect("blocks are written");
        }
    }
    let deleted = [Matcher::equal("kind", "deleted"), Matcher::equal("host", "b")];
    db.delete_series(&deleted, TimeRange::new(START_MS + 600_000, START_MS + 3_000_000))
        .expect("it is deleted");
    db
}

fn answer(queryable: &dyn Queryable, query: &str, t_ms: i64) -> String {
    let engine = Engine::new(EngineOptions::default());
    let expr = parse(query).expect("the query is valid");
    let output = engine.instant(queryable, &expr, t_ms, &QueryOptions::default());
    format!("{output:?}")
}

#[test]
fn the_store_groups_as_the_engine_does() {
    const OPS: [&str; 10] =
        ["count", "group", "sum", "avg", "min", "max", "stddev", "stdvar", "topk(2, ", "bottomk(3, "];
    const BY: [&str; 6] =
        ["", " by (__name__)", " by (host, nothing)", " without (kind)", " by (kind, host)", " without ()"];
    const SELECTED: [&str; 4] = [
        r#"{job="x"}"#,
        "short",
        r#"{__name__=~".+",kind!~"hist.*|turns"}"#,
        r#"long_total{host!="a"} offset 3m"#,
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let db = store(folder.path(), 1);
    let (mut n_quick, mut n_asked) = (0, 0);
    for t_ms in (START_MS - 60_000..START_MS + N_STEPS * STEP_MS + 400_000).step_by(97_003) {
        let matchers = [Matcher::equal("job", "x")];
        let range = TimeRange::new(t_ms - 299_999, t_ms);
        let ask = NewestAsk { matchers: &matchers, range, by: &[], without: false, presence: false };
        let is_there = t_ms >= START_MS && range.start_ms < START_MS + N_STEPS * STEP_MS - 10_000;
        n_asked += u32::from(is_there);
        n_quick += u32::from(is_there && db.newest(&ask).expect("readable").is_some());
        for (nth, op) in OPS.iter().enumerate() {
            let by = BY[(nth + t_ms as usize) % BY.len()];
            let selected = SELECTED[(nth + t_ms as usize / 3) % SELECTED.len()];
            let query = match op.strip_suffix(", ") {
                Some(with_k) => format!("{with_k}, {selected}){by}"),
                None => format!("{op}{by}({selected})"),
            };
            let expected = answer(&SeriesOnly(&db), &query, t_ms);
            assert_eq!(answer(&db, &query, t_ms), expected, "{query} at {t_ms}");
        }
    }
    assert_eq!(n_quick, n_asked, "the quick way is for all moments at which there is anything");
}
