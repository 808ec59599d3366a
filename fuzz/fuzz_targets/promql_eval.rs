//! Whatever parses has a value or an error, at one time and over several steps.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Labels;
use promql::{Engine, EngineOptions, QueryOptions, RangeParams};
use storage::{Appendable, MemStore};

fn store() -> MemStore {
    let store = MemStore::new();
    let mut appender = store.appender(0);
    for (name, le) in [("a", ""), ("a_total", ""), ("h_bucket", "1"), ("h_bucket", "+Inf")] {
        let labels = Labels::from_pairs([("__name__", name), ("job", "x"), ("le", le)]);
        for n in 0..20u32 {
            let value = if n % 7 == 6 { f64::NAN } else { f64::from(n * n % 11) };
            let _ = appender.append(None, &labels, i64::from(n) * 15_000, value);
        }
    }
    let _ = appender.commit();
    store
}

fuzz_target!(|text: &str| {
    let Ok(expr) = promql::parse(text) else {
        return;
    };
    let store = store();
    let engine = Engine::new(EngineOptions { samples_max: 20_000, ..EngineOptions::default() });
    let opts = QueryOptions::default();
    let _ = engine.instant(&store, &expr, 240_000, &opts);
    let params = RangeParams { start_ms: 60_000, end_ms: 240_000, step_ms: 60_000 };
    let _ = engine.range(&store, &expr, params, &opts);
});
