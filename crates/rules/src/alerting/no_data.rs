//! No data is not resolved: what becomes of alerts whose series vanish.
//!
//! In from a rule's expression and from what it measures; out: samples that stand for the series without data, so that
//! everything else goes its usual way. Method: ours; docs/user/rules.md says what users see.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::Labels;
use promql::Expr;

use super::{ALERTS, AlertingRule};
use crate::no_data::NoData;
use crate::query::Sample;
use crate::view::AlertState;

/// Series without data that one rule remembers. Chosen: some 30 MB; as many hosts vanish at once in no installation.
const SEEN_MAX: usize = 50_000;

impl AlertingRule {
    /// What to ask before `samples` are taken in: whether series that are not among them have data.
    pub(crate) fn wanted_presence(&self, samples: &[Sample]) -> Option<Arc<Expr>> {
        let expr = self.measure.expr.clone()?;
        match self.no_data.what {
            NoData::Resolve => None,
            NoData::Alert => Some(expr),
            NoData::Keep => {
                let holding: HashSet<Labels> =
                    samples.iter().map(|sample| sample.labels.without_metric_name()).collect();
                let live = self.active.values().filter(|alert| alert.state != AlertState::Inactive);
                let may_vanish = live.map(|alert| &alert.series).chain(self.seen.keys());
                may_vanish.into_iter().any(|series| !holding.contains(series)).then_some(expr)
            }
        }
    }

    /// Adds to `samples` those of series that had data and have none, among `present`, what is measured now.
    pub(crate) fn add_vanished(&mut self, samples: &mut Vec<Sample>, present: &[Sample], at_ms: i64) {
        let mut here: HashSet<Labels> =
            samples.iter().map(|sample| sample.labels.without_metric_name()).collect();
        here.extend(present.iter().map(|sample| sample.labels.without_metric_name()));
        let since_min_ms = at_ms.saturating_sub(self.no_data.for_ms);
        // What stood for it, by series: the value that was known last.
        let mut gone: HashMap<Labels, f64> = HashMap::new();
        for alert in self.active.values_mut().filter(|alert| alert.state != AlertState::Inactive) {
            if here.contains(&alert.series) {
                alert.no_data_since_ms = None;
                continue;
            }
            let since_ms = *alert.no_data_since_ms.get_or_insert(at_ms);
            if since_ms > since_min_ms {
                gone.insert(alert.series.clone(), alert.value);
            }
        }
        self.seen.retain(|series, last_ms| *last_ms > since_min_ms && !here.contains(series));
        let known = self.active.values().filter(|alert| alert.state != AlertState::Inactive);
        let known: HashSet<&Labels> = known.map(|alert| &alert.series).collect();
        for series in self.seen.keys().filter(|series| !known.contains(series)) {
            gone.insert(series.clone(), f64::NAN);
        }
        samples.extend(gone.into_iter().map(|(series, value)| Sample::float(series, value)));
        if self.no_data.what == NoData::Alert {
            let room = SEEN_MAX.saturating_sub(self.seen.len());
            self.seen.extend(here.into_iter().take(room).map(|series| (series, at_ms)));
        }
    }

    /// The series of an alert that was active before a restart, from its `ALERTS` series: what the rule set itself is taken
    /// away again.
    pub(crate) fn remember(&mut self, alerts: &Labels, last_ms: i64) {
        debug_assert_eq!(alerts.get(model::labels::METRIC_NAME), Some(ALERTS));
        let mut series = alerts.without_metric_name().to_builder();
        for name in [model::alert::ALERT_NAME, super::ALERT_STATE] {
            series.remove(name);
        }
        self.labels.iter().for_each(|(name, _)| {
            series.remove(name);
        });
        if self.seen.len() < SEEN_MAX {
            self.seen.insert(series.build(), last_ms);
        }
    }
}
