//! Rules evaluated at chosen times, for unit tests: no timetable, nothing restored, nothing sent.
//!
//! In from `hinomi test rules`; the evaluation is that of [`crate::group`], so that what a test says holds for the server.

use model::Alert;
use promql::{CancelToken, QueryOrigin};
use stdx::metrics::Registry;

use crate::env::{AlertSink, Env, Options};
use crate::file::GroupSpec;
use crate::group::{GroupState, Round, RuleFailure};
use crate::metrics::RuleMetrics;
use crate::query::Querier;
use crate::view::GroupView;

/// Groups under test.
pub struct Trial {
    groups: Vec<(GroupSpec, GroupState)>,
    env: Env,
    options: Options,
    metrics: RuleMetrics,
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").finish_non_exhaustive()
    }
}

/// Takes alerts and forgets them.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSink;

impl AlertSink for NoSink {
    fn send(&self, _: Vec<Alert>) {}
}

impl Trial {
    /// Groups that are evaluated in this order.
    #[must_use]
    pub fn new(groups: Vec<GroupSpec>, env: Env, options: Options) -> Self {
        let state = |spec: GroupSpec| {
            let state = GroupState::new(&spec, false);
            (spec, state)
        };
        let metrics = RuleMetrics::register(&Registry::new());
        Self { groups: groups.into_iter().map(state).collect(), env, options, metrics }
    }

    /// Evaluates every group once, whatever its interval. Returns the rules that failed.
    pub fn evaluate(&mut self, at_ms: i64) -> Vec<RuleFailure> {
        let mut failures = Vec::new();
        for (spec, state) in &mut self.groups {
            let round = Round {
                spec,
                key: &spec.name,
                env: &self.env,
                options: &self.options,
                metrics: &self.metrics,
                querier: Querier {
                    engine: self.options.engine.clone(),
                    queryable: self.env.queryable.clone(),
                    clock: self.env.clock.clone(),
                    cancel: CancelToken::default(),
                    origin: QueryOrigin::Rule { file: spec.file.clone(), group: spec.name.clone() },
                },
                interval_ms: self.options.interval_ms,
                at_ms,
                now_ms: at_ms,
            };
            state.evaluate(&round);
            failures.extend(state.failures());
        }
        failures
    }

    /// What is known of the groups.
    #[must_use]
    pub fn views(&self) -> Vec<GroupView> {
        self.groups.iter().map(|(spec, state)| state.view(spec, self.options.interval_ms)).collect()
    }
}
