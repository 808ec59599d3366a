//! Any text is a calendar of a maintenance window or is refused; runs rise, and those of a later question are among them.
#![no_main]

use alertmanager::{Calendar, calendar_runs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(5, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let calendar =
        Calendar { recurrence: next(), start: next(), duration: next(), except: next(), time_zone: next() };
    let Ok(runs) = calendar_runs(calendar, i64::MIN, 8) else { return };
    assert!(runs.is_sorted());
    assert!(runs.iter().all(|(from_ms, to_ms)| from_ms < to_ms));
    if let Some((_, over_ms)) = runs.first() {
        let later = calendar_runs(calendar, *over_ms, 8).expect("the same calendar");
        let expected: Vec<_> = runs.iter().filter(|(_, to_ms)| to_ms > over_ms).collect();
        assert!(later.iter().zip(expected).all(|(got, expected)| got == expected));
    }
});
