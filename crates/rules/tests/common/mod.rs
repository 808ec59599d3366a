//! A store in memory, a clock that stands still, and a manager with one rule file.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]
#![allow(dead_code, reason = "not every test file uses every helper")]

use std::sync::Arc;

use model::{Alert, Labels, Matcher, TimeRange, is_stale};
use parking_lot::Mutex;
use rules::{AlertSink, AlertState, AlertView, Env, GroupView, Manager, Options, parse_file};
use stdx::TestClock;
use stdx::clock::TEST_EPOCH_MS;
use stdx::metrics::Registry;
use storage::{Appendable, MemStore, Queryable, SelectHints};

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Remembers what was sent, with no sense of time.
#[derive(Default)]
pub(crate) struct Sent(pub(crate) Mutex<Vec<Alert>>);

impl AlertSink for Sent {
    fn send(&self, alerts: Vec<Alert>) {
        self.0.lock().extend(alerts);
    }
}

pub(crate) struct World {
    pub(crate) store: Arc<MemStore>,
    pub(crate) sent: Arc<Sent>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) registry: Registry,
    pub(crate) manager: Manager,
    pub(crate) now_ms: i64,
}

impl World {
    pub(crate) fn new(rules: &str) -> Self {
        Self::with(rules, Options::default(), Arc::new(MemStore::new()), TEST_EPOCH_MS)
    }

    pub(crate) fn with(rules: &str, options: Options, store: Arc<MemStore>, now_ms: i64) -> Self {
        let (sent, clock, registry) = (Arc::<Sent>::default(), Arc::new(TestClock::new()), Registry::new());
        clock.jump_wall_ms(now_ms);
        let env = Env {
            queryable: store.clone(),
            appendable: store.clone(),
            sink: sent.clone(),
            clock: clock.clone(),
        };
        let manager = Manager::new(env, &registry);
        let world = Self { store, sent, clock, registry, manager, now_ms };
        world.reload(rules, options);
        world
    }

    pub(crate) fn reload(&self, rules: &str, options: Options) {
        let groups = parse_file("test.yml", rules).unwrap_or_else(|errors| panic!("{errors:?}"));
        self.manager.reload(groups, options, self.now_ms);
    }

    /// Stores one value of a series written as in PromQL.
    pub(crate) fn put(&self, series: &str, value: f64) {
        self.put_at(series, self.now_ms, value);
    }

    pub(crate) fn put_at(&self, series: &str, t_ms: i64, value: f64) {
        let matchers = promql::metric_selector(series).unwrap();
        let labels = Labels::from_pairs(matchers.iter().map(|matcher| (&matcher.name, &matcher.value)));
        let mut appender = self.store.appender(t_ms);
        appender.append(None, &labels, t_ms, value).unwrap();
        appender.commit().unwrap();
    }

    /// Moves to the next deadline and evaluates what is due.
    pub(crate) fn step(&mut self) {
        let next_ms = self.manager.next_deadline_ms();
        assert!(next_ms > self.now_ms, "a deadline lies ahead");
        self.now_ms = next_ms;
        self.clock.jump_wall_ms(next_ms);
        self.manager.poll(next_ms);
    }

    /// Moves on by `ms`, storing `series` every 15 seconds, and evaluates on the way.
    pub(crate) fn run(&mut self, ms: i64, series: &[(&str, f64)]) {
        let end_ms = self.now_ms + ms;
        let mut scrape_ms = self.now_ms;
        while scrape_ms < end_ms {
            for (series, value) in series {
                self.put_at(series, scrape_ms, *value);
            }
            scrape_ms += 15_000;
            while self.manager.next_deadline_ms() < scrape_ms.min(end_ms) {
                self.step();
            }
        }
        self.now_ms = end_ms;
    }

    pub(crate) fn group(&self) -> Arc<GroupView> {
        self.manager.views().first().cloned().expect("there is a group")
    }

    /// `name state` of every rule, with its alerts.
    pub(crate) fn alerts(&self) -> Vec<AlertView> {
        let views = self.manager.views();
        let rules = views.iter().flat_map(|group| &group.rules);
        rules.filter_map(|rule| rule.alerting.as_ref()).flat_map(|alerting| alerting.alerts.clone()).collect()
    }

    pub(crate) fn states(&self) -> Vec<(String, AlertState)> {
        self.alerts().iter().map(|alert| (alert.labels.to_string(), alert.state)).collect()
    }

    pub(crate) fn take_sent(&self) -> Vec<Alert> {
        std::mem::take(&mut *self.sent.0.lock())
    }

    /// Values of one series; staleness markers as `None`.
    pub(crate) fn values(&self, series: &str) -> Vec<(i64, Option<f64>)> {
        let matchers: Vec<Matcher> = promql::metric_selector(series).unwrap();
        let mut set = self.store.select(&matchers, TimeRange::ALL, &SelectHints::default()).unwrap();
        let mut found = Vec::new();
        while let Some(series) = set.next().unwrap() {
            let values = series.values.iter().map(|value| (!is_stale(*value)).then_some(*value));
            found.extend(series.timestamps.iter().copied().zip(values));
        }
        found
    }

    pub(crate) fn last(&self, series: &str) -> Option<Option<f64>> {
        self.values(series).last().map(|(_, value)| *value)
    }
}
