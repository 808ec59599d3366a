//! After a restart: since when alerts were pending, from `ALERTS_FOR_STATE`.
//!
//! In from [`crate::group`], once per rule after the second evaluation; changes only when an alert began.
//! Method: Prometheus' `Group.RestoreForState`.

use model::alert::ALERT_NAME;
use model::labels::METRIC_NAME;
use model::{Labels, Matcher, Sample, TimeRange, is_stale};
use storage::{Queryable, SelectHints};

use crate::alerting::{ALERTS, ALERTS_FOR_STATE, AlertingRule};

/// How far back to look, and how long to wait at least.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tolerance {
    /// Longest outage that is bridged, milliseconds.
    pub(crate) outage_ms: i64,
    /// An alert waits at least so long after the restart; rules with a shorter `for` start anew.
    pub(crate) grace_ms: i64,
}

/// Moves the beginnings of the rule's alerts back to what they were before the restart, less the outage.
///
/// # Errors
/// When the store cannot be read; the rule then starts anew.
pub(crate) fn restore(
    rule: &mut AlertingRule,
    queryable: &dyn Queryable,
    now_ms: i64,
    tolerance: Tolerance,
) -> Result<(), storage::QueryError> {
    if rule.hold_ms < tolerance.grace_ms {
        return Ok(());
    }
    let last = last_samples(rule, ALERTS_FOR_STATE, queryable, now_ms, tolerance.outage_ms)?;
    let hold_ms = rule.hold_ms;
    for alert in rule.active.values_mut() {
        let wanted = alert.for_state_labels();
        let Some((_, sample)) = last.iter().find(|(labels, _)| *labels == wanted) else { continue };
        let Sample { t_ms: down_at_ms, value } = *sample;
        if is_stale(value) || !value.is_finite() {
            continue;
        }
        let was_active_ms = (value * 1_000.0) as i64;
        let remaining_ms = hold_ms - (down_at_ms - was_active_ms);
        alert.active_at_ms = if remaining_ms <= 0 {
            // It fired before the outage and does again at the next evaluation.
            was_active_ms
        } else if remaining_ms < tolerance.grace_ms {
            now_ms + tolerance.grace_ms - hold_ms
        } else {
            // The outage counts as no time.
            was_active_ms + (now_ms - down_at_ms)
        };
    }
    Ok(())
}

/// Tells `rule` which alerts were active when the program stopped, so that it keeps those without data.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn remember(
    rule: &mut AlertingRule,
    queryable: &dyn Queryable,
    now_ms: i64,
    outage_ms: i64,
) -> Result<(), storage::QueryError> {
    for (labels, sample) in last_samples(rule, ALERTS, queryable, now_ms, outage_ms)? {
        if !is_stale(sample.value) {
            rule.remember(&labels, sample.t_ms);
        }
    }
    Ok(())
}

/// The newest sample of every series `metric` of the rule.
fn last_samples(
    rule: &AlertingRule,
    metric: &str,
    queryable: &dyn Queryable,
    now_ms: i64,
    outage_ms: i64,
) -> Result<Vec<(Labels, Sample)>, storage::QueryError> {
    let mut matchers =
        vec![Matcher::equal(METRIC_NAME, metric), Matcher::equal(ALERT_NAME, rule.name.as_str())];
    matchers.extend(rule.plain_labels().map(|(name, value)| Matcher::equal(name, value)));
    let range = TimeRange::new(now_ms - outage_ms, now_ms);
    let mut set = queryable.select(&matchers, range, &SelectHints::default())?;
    let mut last = Vec::new();
    while let Some(series) = set.next()? {
        if let (Some(t_ms), Some(value)) = (series.timestamps.last(), series.values.last()) {
            last.push((series.labels, Sample { t_ms: *t_ms, value: *value }));
        }
    }
    Ok(last)
}
