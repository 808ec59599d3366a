//! What the first question after a start would wait for, done beside the rest of the start: parts of indexes are read, the disk is asked for
//! pages, and a few small questions are asked, so that what all of them run through has been touched once.
//!
//! In from the store and the engine; nothing comes out but time. Nobody waits for it, and an error here is one that a question will tell.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::TimeRange;
use model::labels::{METRIC_NAME, quoted};
use promql::{Engine, QueryOptions};
use storage::Queryable as _;
use tsdb::Db;

/// Metrics that are asked about. Chosen: the first may have too many series.
const METRICS: usize = 3;
/// What one question may cost, as [`promql::Meter::cost`] counts: a millisecond.
const COST_MAX: u64 = 1_000_000;
/// How far back there has to be a sample. Chosen: the usual lookback.
const LOOKBACK_MS: i64 = 300_000;

/// Questions about the metric `$`, of the forms that dashboards ask.
const QUESTIONS: [&str; 4] = [
    "topk(1, {$})",
    "sum by (job) (rate({$}[5m])) / on (job) group_left () count by (job) ({$})",
    "max_over_time(avg({$})[5m:1m])",
    "count({$,__name__=~\".+|x\",job!~\"x.*y\"})",
];

/// Begins it.
pub(super) fn spawn(db: &Arc<Db>, engine: &Arc<ArcSwap<Engine>>) {
    let (store, engine) = (db.clone(), engine.load_full());
    drop(tokio::task::spawn_blocking(move || ask(&store, &engine)));
    let store = db.clone();
    drop(tokio::task::spawn_blocking(move || store.warm_up()));
}

fn ask(db: &Db, engine: &Engine) {
    let Some(span) = db.time_span() else { return };
    let newest = TimeRange::new(span.end_ms.saturating_sub(LOOKBACK_MS), span.end_ms);
    let Ok(names) = db.label_values(METRIC_NAME, &[], newest, METRICS) else { return };
    for name in names {
        for question in QUESTIONS {
            let query = question.replace('$', &quoted(&name));
            let Ok(expr) = engine.parse(&query) else { continue };
            let options = QueryOptions { cost_max: Some(COST_MAX), ..QueryOptions::default() };
            let _ = engine.instant(db, &expr, span.end_ms, &options);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_questions_are_queries() {
        let engine = Engine::new(promql::EngineOptions::default());
        for question in QUESTIONS {
            let query = question.replace('$', &quoted("a \"b"));
            assert!(engine.parse(&query).is_ok(), "{query}");
        }
    }
}
