//! Runs commands and compares.
//!
//! As upstream does, every instant query is also asked as the middle step of a range query, and, where its value does
//! not depend on the time, with `@` on every selector at other times.

use std::io;

use model::{Labels, is_stale};
use promql::{
    At, Engine, EngineOptions, EvalError, Expr, ExprKind, Output, QueryOptions, RangeParams, Severity, Value,
};
use storage::{QueryError, StorageError};

use crate::script::{Command, Eval, Load, Pattern, ScriptError, When, parse};
use crate::series::Place;
use crate::store::{Sample, ScriptStore};

/// Relative difference that counts as equal. Upstream's.
const TOLERANCE: f64 = 1e-6;
/// Upstream's limit for these scripts.
const SAMPLES_MAX: u64 = 10_000;
/// Functions of the step's own time: their value differs at other times, whatever `@` says.
const TIME_DEPENDENT: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
];

/// What came of one evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As expected.
    Passed,
    /// The engine or the store said that it cannot, and what.
    Unsupported(String),
    /// Anything else.
    Failed(String),
}

/// What came of a script.
#[derive(Debug, Default)]
pub struct Report {
    /// Evaluations as expected.
    pub n_passed: usize,
    /// Line and reason.
    pub unsupported: Vec<(usize, String)>,
    /// Line and what differs.
    pub failed: Vec<(usize, String)>,
}

/// Runs a script.
///
/// # Errors
/// When the script is not of the language.
pub fn run_script(script: &str) -> Result<Report, ScriptError> {
    let options =
        EngineOptions { samples_max: SAMPLES_MAX, delayed_name_removal: true, ..EngineOptions::default() };
    let engine = Engine::new(options);
    let mut store = ScriptStore::default();
    let mut report = Report::default();
    for command in parse(script)? {
        match command {
            Command::Clear => store.clear(),
            Command::Load(load) => insert(&mut store, &load),
            Command::Eval(eval) => match (Runner { engine: &engine, store: &store, eval: &eval }).run() {
                Outcome::Passed => report.n_passed += 1,
                Outcome::Unsupported(what) => report.unsupported.push((eval.line, what)),
                Outcome::Failed(what) => report.failed.push((eval.line, format!("{}: {what}", eval.query))),
            },
        }
    }
    Ok(report)
}

fn insert(store: &mut ScriptStore, load: &Load) {
    for series in &load.series {
        if series.has_start_timestamps {
            store.mark_start_timestamps(&series.labels);
        }
        for (place, t_ms) in series.places.iter().zip((0..).map(|n: i64| n * load.gap_ms)) {
            let Some(sample) = place else {
                continue;
            };
            store.insert(&series.labels, t_ms, *sample);
            if let Some(base) = load.with_nhcb.then(|| histogram_of(&series.labels)).flatten() {
                store.insert(&base, t_ms, Sample::Histogram);
            }
        }
    }
}

/// The native histogram that a classic series is converted to, too.
fn histogram_of(labels: &Labels) -> Option<Labels> {
    let name = labels.metric_name();
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
    let mut builder = labels.to_builder();
    builder.remove("le").set(model::labels::METRIC_NAME, base);
    Some(builder.build())
}

/// Ends an evaluation early.
type Check = Result<(), Outcome>;

fn differ<T>(message: impl Into<String>) -> Result<T, Outcome> {
    Err(Outcome::Failed(message.into()))
}

struct Runner<'a> {
    engine: &'a Engine,
    store: &'a ScriptStore,
    eval: &'a Eval,
}

impl Runner<'_> {
    fn run(&self) -> Outcome {
        let result = match self.eval.when {
            When::Instant { t_ms } => self.instants(t_ms),
            When::Range { start_ms, end_ms, step_ms } => {
                self.range(RangeParams { start_ms, end_ms, step_ms })
            }
        };
        result.err().unwrap_or(Outcome::Passed)
    }

    fn range(&self, params: RangeParams) -> Check {
        let expr = self.parse(&self.eval.query)?;
        let result = self.engine.range(self.store, &expr, params, &QueryOptions::default());
        let Some(output) = self.expected(result)? else {
            return Ok(());
        };
        self.annotations(&output)?;
        self.compare(&output.value, params.start_ms, params.step_ms)
    }

    fn instants(&self, t_ms: i64) -> Check {
        let expr = self.parse(&self.eval.query)?;
        self.instant(&expr, t_ms)?;
        let mut depends_on_time = false;
        expr.walk(&mut |e| {
            if let ExprKind::Call { func, .. } = &e.kind {
                depends_on_time |= TIME_DEPENDENT.contains(&func.name);
            }
        });
        if depends_on_time {
            return Ok(());
        }
        let mut fixed = expr.clone();
        fix_times(&mut fixed, t_ms);
        let fixed = self.parse(&fixed.to_string())?;
        let others =
            if t_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t_ms, 0, t_ms / 5, t_ms, 10 * t_ms] };
        for other_ms in others {
            self.instant(&fixed, other_ms).map_err(|outcome| match outcome {
                Outcome::Failed(what) => {
                    Outcome::Failed(format!("{what} (asked as {fixed} at {other_ms} ms)"))
                }
                other => other,
            })?;
        }
        Ok(())
    }

    fn instant(&self, expr: &Expr, t_ms: i64) -> Check {
        let options = QueryOptions::default();
        let Some(output) = self.expected(self.engine.instant(self.store, expr, t_ms, &options))? else {
            return Ok(());
        };
        self.annotations(&output)?;
        let (start_ms, step_ms) = self.eval.range_vector.unwrap_or((t_ms, 1));
        self.compare(&output.value, start_ms, step_ms)?;
        let is_plain = self.eval.range_vector.is_none() && self.eval.text.is_none();
        let names_query_times =
            ["start()", "end()", "range()", "step()"].iter().any(|f| expr.query().contains(f));
        if is_plain && !names_query_times && !matches!(output.value, Value::Matrix(_)) {
            self.as_middle_step(expr, t_ms, &output.value)?;
        }
        Ok(())
    }

    /// The same query over three steps has the same value at the middle one.
    fn as_middle_step(&self, expr: &Expr, t_ms: i64, instant: &Value) -> Check {
        let params = RangeParams { start_ms: t_ms - 60_000, end_ms: t_ms + 60_000, step_ms: 60_000 };
        let output = match self.engine.range(self.store, expr, params, &QueryOptions::default()) {
            Ok(output) => output,
            Err(err) => return Err(outcome_of(&err)),
        };
        if self.eval.ordered {
            return Ok(());
        }
        let Value::Matrix(matrix) = output.value else {
            return differ("a range query gave no matrix");
        };
        let at_middle = matrix.into_iter().filter_map(|series| {
            let (t_ms, value) = *series.points.iter().find(|(t, _)| *t == t_ms)?;
            Some(promql::VectorSample { labels: series.labels, t_ms, value })
        });
        let samples: Vec<_> = at_middle.collect();
        let value = match (instant, samples.first()) {
            (Value::Scalar { .. }, Some(sample)) => Value::Scalar { t_ms, value: sample.value },
            _ => Value::Vector(samples),
        };
        self.compare(&value, t_ms, 1).map_err(|outcome| match outcome {
            Outcome::Failed(what) => Outcome::Failed(format!("as a range query: {what}")),
            other => other,
        })
    }

    fn parse(&self, query: &str) -> Result<Expr, Outcome> {
        promql::parse(query).map_err(|err| Outcome::Failed(format!("{err} in {query}")))
    }

    /// The output, or nothing when the query failed as it should.
    fn expected(&self, result: Result<Output, EvalError>) -> Result<Option<Output>, Outcome> {
        match (result, &self.eval.fail) {
            (Ok(output), None) => Ok(Some(output)),
            (Ok(_), Some(_)) => differ("expected an error, but there was none"),
            (Err(err), expected) => match (outcome_of(&err), expected) {
                (Outcome::Failed(_), Some(pattern)) if pattern.matches(&err.to_string()) => Ok(None),
                (Outcome::Failed(_), Some(pattern)) => {
                    differ(format!("expected error {pattern:?}, got {err}"))
                }
                (outcome, _) => Err(outcome),
            },
        }
    }

    fn annotations(&self, output: &Output) -> Check {
        let check = |severity: Severity, found: Vec<String>, expected: &[Pattern], none: bool| -> Check {
            if none && !found.is_empty() {
                return differ(format!("unexpected {severity:?}: {found:?}"));
            }
            if expected.is_empty() {
                return Ok(());
            }
            if let Some(missing) = expected.iter().find(|p| !found.iter().any(|text| p.matches(text))) {
                return differ(format!("no {severity:?} {missing:?} among {found:?}"));
            }
            if found.is_empty() {
                return differ(format!("expected a {severity:?}, but there was none"));
            }
            match found.iter().find(|text| !expected.iter().any(|p| p.matches(text))) {
                Some(extra) => differ(format!("unexpected {severity:?}: {extra}")),
                None => Ok(()),
            }
        };
        let annotations = &output.annotations;
        check(Severity::Warning, annotations.warnings(), &self.eval.warns, self.eval.no_warn)?;
        check(Severity::Info, annotations.infos(), &self.eval.infos, self.eval.no_info)
    }

    fn compare(&self, value: &Value, start_ms: i64, step_ms: i64) -> Check {
        match value {
            Value::String { text, .. } if self.eval.text.as_ref() == Some(text) => Ok(()),
            Value::String { text, .. } => differ(format!("expected {:?}, got {text:?}", self.eval.text)),
            Value::Scalar { value, .. } => match self.eval.scalar {
                Some(expected) if almost_equal(expected, *value) => Ok(()),
                expected => differ(format!("expected {expected:?}, got {value}")),
            },
            _ if self.eval.scalar.is_some() => differ("expected a scalar"),
            Value::Vector(samples) => {
                let found = samples.iter().map(|s| (&s.labels, vec![(start_ms, s.value)])).collect();
                self.compare_series(found, start_ms, 1, self.eval.ordered)
            }
            Value::Matrix(matrix) => {
                let found = matrix.iter().map(|s| (&s.labels, s.points.clone())).collect();
                self.compare_series(found, start_ms, step_ms, false)
            }
        }
    }

    fn compare_series(
        &self,
        found: Vec<(&Labels, Vec<(i64, f64)>)>,
        start_ms: i64,
        step_ms: i64,
        ordered: bool,
    ) -> Check {
        let expected = &self.eval.series;
        for (idx, (labels, points)) in found.iter().enumerate() {
            let Some(at) = expected.iter().position(|(known, _)| known == *labels) else {
                return differ(format!("unexpected series {labels} with {points:?}"));
            };
            if ordered && at != idx {
                return differ(format!("{labels} is at place {idx}, not {at}"));
            }
            compare_points(labels, points, &expected[at].1, start_ms, step_ms)?;
        }
        match expected.iter().find(|(labels, _)| !found.iter().any(|(known, _)| *known == labels)) {
            Some((labels, _)) => differ(format!("expected series {labels} is not there, found {found:?}")),
            None => Ok(()),
        }
    }
}

fn compare_points(
    labels: &Labels,
    points: &[(i64, f64)],
    places: &[Place],
    start_ms: i64,
    step_ms: i64,
) -> Check {
    let mut expected = Vec::new();
    for (place, t_ms) in places.iter().zip((0..).map(|n: i64| start_ms + n * step_ms)) {
        match place {
            Some(Sample::Float(value)) => expected.push((t_ms, *value)),
            Some(Sample::Histogram) => {
                return differ(format!("{labels}: expected a histogram, got {points:?}"));
            }
            None => {}
        }
    }
    let same = expected.len() == points.len()
        && expected.iter().zip(points).all(|(e, p)| e.0 == p.0 && almost_equal(e.1, p.1));
    if same { Ok(()) } else { differ(format!("{labels}: expected {expected:?}, got {points:?}")) }
}

fn almost_equal(expected: f64, got: f64) -> bool {
    if is_stale(expected) || is_stale(got) {
        return is_stale(expected) && is_stale(got);
    }
    if (expected.is_nan() && got.is_nan()) || expected == got {
        return true;
    }
    let (sum, diff) = (expected.abs() + got.abs(), (expected - got).abs());
    if expected == 0.0 || got == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < TOLERANCE * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < TOLERANCE
}

fn outcome_of(err: &EvalError) -> Outcome {
    match err {
        EvalError::Unsupported(what) => Outcome::Unsupported(what.clone()),
        EvalError::Storage(QueryError::Storage(StorageError::Io { action, source }))
            if source.kind() == io::ErrorKind::Unsupported =>
        {
            Outcome::Unsupported(action.clone())
        }
        other => Outcome::Failed(other.to_string()),
    }
}

/// Puts `@ t_ms` on every selector and subquery that has none, but not inside of subqueries.
fn fix_times(expr: &mut Expr, t_ms: i64) {
    match &mut expr.kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            selector.at.get_or_insert(At::Ms(t_ms));
        }
        ExprKind::Subquery { at, .. } => {
            at.get_or_insert(At::Ms(t_ms));
        }
        ExprKind::Call { args, .. } => args.iter_mut().for_each(|arg| fix_times(arg, t_ms)),
        ExprKind::Aggregate { param, expr, .. } => {
            if let Some(param) = param {
                fix_times(param, t_ms);
            }
            fix_times(expr, t_ms);
        }
        ExprKind::Binary { lhs, rhs, .. } => {
            fix_times(lhs, t_ms);
            fix_times(rhs, t_ms);
        }
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => fix_times(expr, t_ms),
        ExprKind::Number { .. } | ExprKind::String(_) | ExprKind::InvalidString(_) => {}
    }
}
