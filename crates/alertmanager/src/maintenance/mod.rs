//! Maintenance windows: quiet that is planned, once or again and again, with somebody who answers for it.
//!
//! In from API v2, the configuration file, the state file and other managers; out: one silence for each run, made when it
//! begins ([`Window::silence`]), so that whatever reads silences knows of it. Pure; [`crate::dispatch`] asks when it is time.
//! Plan and reasons: docs/adr/0008-maintenance-windows.md.

mod recur;
mod store;
mod window;

pub(crate) use store::{Origin, WINDOWS_MAX, WindowRecord, Windows};
pub(crate) use window::{Run, Spec, Window, WindowError, file_id, held_by};

/// The annotation of a run's silence that has the window's id.
pub(crate) const WINDOW_ID: &str = "hinomi_maintenance_id";
/// The annotation of a run's silence that has the window's name.
pub(crate) const WINDOW_NAME: &str = "hinomi_maintenance";

/// A calendar as it is written: what [`Spec`] says of when.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "named as the keys of the file are")]
pub struct Calendar<'a> {
    pub start: &'a str,
    pub duration: &'a str,
    pub recurrence: &'a str,
    pub except: &'a str,
    pub time_zone: &'a str,
}

/// The first `n` runs of a calendar that end after `after_ms`, in Unix milliseconds; the end is outside.
///
/// # Errors
/// What is wrong with it, and how it should be.
pub fn calendar_runs(calendar: Calendar<'_>, after_ms: i64, n: usize) -> Result<Vec<(i64, i64)>, String> {
    let spec = Spec {
        name: "calendar".to_owned(),
        matchers: vec![model::Matcher::equal("calendar", "yes")],
        start: calendar.start.to_owned(),
        duration: calendar.duration.to_owned(),
        recurrence: calendar.recurrence.to_owned(),
        except: calendar.except.split_whitespace().map(str::to_owned).collect(),
        time_zone: calendar.time_zone.to_owned(),
        owner: "nobody".to_owned(),
        reason: "none".to_owned(),
    };
    let window = Window::new(spec).map_err(|err| err.to_string())?;
    Ok(window.runs(after_ms).take(n).map(|run| (run.starts_at_ms, run.ends_at_ms)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rules as people write them, and some as nobody does.
    fn rule() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            (1u32..400).prop_map(|n| format!("INTERVAL={n}")),
            (1u32..500).prop_map(|n| format!("COUNT={n}")),
            "UNTIL=20[2-9][0-9][01][0-9][0-3][0-9](T[0-2][0-9]0000Z?)?",
            "BYDAY=(-?[1-5])?(MO|TU|WE|TH|FR|SA|SU)(,(MO|SU))?",
            "BYMONTHDAY=-?[1-3]?[0-9]",
            "BYMONTH=1?[0-9]",
            "BYHOUR=[12]?[0-9](,2)?",
            "BYMINUTE=[1-5]?[0-9]",
            "BYSETPOS=-?[1-4]",
            "BYYEARDAY=-?[1-3]?[0-9]?[0-9]",
            "WKST=(MO|SU)",
        ];
        let freq = prop_oneof![Just("DAILY"), Just("WEEKLY"), Just("MONTHLY"), Just("YEARLY")];
        (freq, proptest::collection::vec(part, 0..4)).prop_map(|(freq, parts)| {
            std::iter::once(format!("FREQ={freq}")).chain(parts).collect::<Vec<_>>().join(";")
        })
    }

    proptest! {
        /// Runs rise and are as long as was asked for; whoever asks later sees the same ones, without those that are over.
        #[test]
        fn runs_rise_and_do_not_depend_on_when_one_asks(
            rule in rule(),
            day in 1u32..28,
            hour in 0u32..24,
            zone in prop_oneof![Just(""), Just("Europe/Berlin"), Just("America/Sao_Paulo"), Just("Pacific/Apia"), Just("Australia/Lord_Howe")],
            except in "(2026-0[1-9]-[0-2][1-8] ?)?",
            skip in 0usize..12,
        ) {
            let start = format!("2026-03-{day:02}T{hour:02}:30");
            let calendar = Calendar { start: &start, duration: "90m", recurrence: &rule, except: &except, time_zone: zone };
            let Ok(runs) = calendar_runs(calendar, i64::MIN, 24) else { return Ok(()) };
            prop_assert!(runs.is_sorted(), "{rule} {runs:?}");
            for (from_ms, to_ms) in &runs {
                prop_assert_eq!(to_ms - from_ms, 90 * 60_000);
            }
            let Some((_, over_ms)) = runs.get(skip) else { return Ok(()) };
            let later = calendar_runs(calendar, *over_ms, 24).expect("the same calendar");
            let expected: Vec<_> = runs.iter().filter(|(_, to_ms)| to_ms > over_ms).copied().collect();
            prop_assert_eq!(&later[..expected.len().min(later.len())], &expected[..]);
        }

        #[test]
        fn any_text_is_answered(
            start in "\\PC{0,20}", duration in "\\PC{0,8}", recurrence in "[A-Z=;,0-9+-]{0,40}",
            except in "\\PC{0,20}", time_zone in "[A-Za-z/_]{0,20}",
        ) {
            let calendar = Calendar {
                start: &start, duration: &duration, recurrence: &recurrence, except: &except, time_zone: &time_zone,
            };
            let _ = calendar_runs(calendar, 0, 3);
        }
    }
}
