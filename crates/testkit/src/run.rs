//! Runs commands and compares.
//!
//! As upstream does, every instant query is also asked as the middle step of a range query, and, where its value does
//! not depend on the time, with `@` on every selector at other times.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Histogram, Labels, is_stale};
use promql::notation::{Place, Sample, Written};
use promql::{
    At, Engine, EngineOptions, EvalError, Expr, ExprKind, Output, QueryOptions, RangeParams, Severity, Value,
};

use crate::histogram::Classic;
use crate::script::{Command, Eval, Load, Pattern, ScriptError, When, parse};
use crate::store::ScriptStore;

/// Relative difference that counts as equal. Upstream's.
const TOLERANCE: f64 = 1e-6;
/// Upstream's limit for these scripts.
const SAMPLES_MAX: u64 = 10_000;
/// What came of a script.
#[derive(Debug, Default)]
pub struct Report {
    /// Evaluations as expected.
    pub n_passed: usize,
    /// Line and what differs.
    pub failed: Vec<(usize, String)>,
}

/// Runs a script.
///
/// # Errors
/// When the script is not of the language.
pub fn run_script(script: &str) -> Result<Report, ScriptError> {
    let options = EngineOptions {
        samples_max: SAMPLES_MAX,
        delayed_name_removal: true,
        start_timestamps: true,
        ..EngineOptions::default()
    };
    let engine = Engine::new(options);
    let mut store = ScriptStore::default();
    let mut report = Report::default();
    for command in parse(script)? {
        match command {
            Command::Clear => store.clear(),
            Command::Load(load) => {
                insert(&mut store, &load).map_err(|message| ScriptError { line: load.line, message })?;
            }
            Command::Eval(eval) => match (Runner { engine: &engine, store: &store, eval: &eval }).run() {
                Ok(()) => report.n_passed += 1,
                Err(what) => report.failed.push((eval.line, format!("{}: {what}", eval.query))),
            },
        }
    }
    Ok(report)
}

fn insert(store: &mut ScriptStore, load: &Load) -> Result<(), String> {
    let mut classic: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for series in &load.series {
        let part = if load.with_nhcb { Part::of(&series.labels) } else { None };
        for (idx, (place, t_ms)) in series.places.iter().zip((0..).map(|n: i64| n * load.gap_ms)).enumerate()
        {
            let Some(sample) = place else {
                continue;
            };
            let start_ms = series.start_offsets.get(idx).copied().flatten().map_or(0, |offset| t_ms + offset);
            store.insert(&series.labels, t_ms, start_ms, sample.clone());
            if let (Some((base, part)), Sample::Float(value)) = (&part, sample) {
                part.set(classic.entry(base.clone()).or_default().entry(t_ms).or_default(), *value);
            }
        }
    }
    for (labels, by_time) in classic {
        for (t_ms, histogram) in by_time {
            let native = histogram.to_native().map_err(|why| format!("{labels} at {t_ms} ms: {why}"))?;
            let written = Written { histogram: native, has_hint: false };
            store.insert(&labels, t_ms, 0, Sample::Histogram(written));
        }
    }
    Ok(())
}

/// What a classic series says of its histogram.
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

impl Part {
    /// The labels of the native histogram that a classic series belongs to, and its part in it.
    fn of(labels: &Labels) -> Option<(Labels, Self)> {
        let name = labels.metric_name();
        let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
            let bound: f64 = labels.get("le")?.parse().ok()?;
            (base, Self::Bucket(Some(bound).filter(|bound| !bound.is_nan())?))
        } else if let Some(base) = name.strip_suffix("_count") {
            (base, Self::Count)
        } else {
            (name.strip_suffix("_sum")?, Self::Sum)
        };
        let mut builder = labels.to_builder();
        builder.remove("le").set(model::labels::METRIC_NAME, base);
        Some((builder.build(), part))
    }

    fn set(&self, histogram: &mut Classic, value: f64) {
        match self {
            Self::Bucket(bound) => histogram.set_bucket(*bound, value),
            Self::Count => histogram.set_count(value),
            Self::Sum => histogram.set_sum(value),
        }
    }
}

/// Ends an evaluation early.
type Check = Result<(), String>;

fn differ<T>(message: impl Into<String>) -> Result<T, String> {
    Err(message.into())
}

struct Runner<'a> {
    engine: &'a Engine,
    store: &'a ScriptStore,
    eval: &'a Eval,
}

impl Runner<'_> {
    fn run(&self) -> Check {
        match self.eval.when {
            When::Instant { t_ms } => self.instants(t_ms),
            When::Range { start_ms, end_ms, step_ms } => {
                self.range(RangeParams { start_ms, end_ms, step_ms })
            }
        }
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
        if depends_on_time(&expr) {
            return Ok(());
        }
        let mut fixed = expr.clone();
        fix_times(&mut fixed, t_ms);
        let fixed = self.parse(&fixed.to_string())?;
        let others =
            if t_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t_ms, 0, t_ms / 5, t_ms, 10 * t_ms] };
        for other_ms in others {
            self.instant(&fixed, other_ms)
                .map_err(|what| format!("{what} (asked as {fixed} at {other_ms} ms)"))?;
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
            Err(err) => return differ(format!("as a range query: {err}")),
        };
        if self.eval.ordered {
            return Ok(());
        }
        let Value::Matrix(matrix) = output.value else {
            return differ("a range query gave no matrix");
        };
        let at_middle = matrix.into_iter().filter_map(|series| {
            let value = series.points.iter().find(|(t, _)| *t == t_ms).map(|(_, value)| *value);
            let histogram = series.histograms.into_iter().find(|(t, _)| *t == t_ms).map(|(_, h)| h);
            let is_there = value.is_some() || histogram.is_some();
            let value = value.unwrap_or(0.0);
            is_there.then_some(promql::VectorSample { labels: series.labels, t_ms, value, histogram })
        });
        let samples: Vec<_> = at_middle.collect();
        let value = match (instant, samples.first()) {
            (Value::Scalar { .. }, Some(sample)) => Value::Scalar { t_ms, value: sample.value },
            _ => Value::Vector(samples),
        };
        self.compare(&value, t_ms, 1).map_err(|what| format!("as a range query: {what}"))
    }

    fn parse(&self, query: &str) -> Result<Expr, String> {
        promql::parse(query).map_err(|err| format!("{err} in {query}"))
    }

    /// The output, or nothing when the query failed as it should.
    fn expected(&self, result: Result<Output, EvalError>) -> Result<Option<Output>, String> {
        match (result, &self.eval.fail) {
            (Ok(output), None) => Ok(Some(output)),
            (Ok(_), Some(_)) => differ("expected an error, but there was none"),
            (Err(err), Some(pattern)) if pattern.matches(&err.to_string()) => Ok(None),
            (Err(err), Some(pattern)) => differ(format!("expected error {pattern:?}, got {err}")),
            (Err(err), None) => differ(err.to_string()),
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
                let found = samples.iter().map(|s| match &s.histogram {
                    Some(h) => {
                        Found { labels: &s.labels, points: vec![], histograms: vec![(start_ms, h.clone())] }
                    }
                    None => {
                        Found { labels: &s.labels, points: vec![(start_ms, s.value)], histograms: vec![] }
                    }
                });
                self.compare_series(&found.collect::<Vec<_>>(), start_ms, 1, self.eval.ordered)
            }
            Value::Matrix(_) if self.eval.ordered => differ("expected an ordered result, got a matrix"),
            Value::Matrix(matrix) => {
                let found = matrix.iter().map(|s| Found {
                    labels: &s.labels,
                    points: s.points.clone(),
                    histograms: s.histograms.clone(),
                });
                let found: Vec<_> = found.collect();
                if found.windows(2).any(|pair| pair[0].labels > pair[1].labels) {
                    return differ("the series of a matrix are not sorted by labels");
                }
                self.compare_series(&found, start_ms, step_ms, false)
            }
        }
    }

    fn compare_series(&self, found: &[Found<'_>], start_ms: i64, step_ms: i64, ordered: bool) -> Check {
        let expected = &self.eval.series;
        for (idx, series) in found.iter().enumerate() {
            let labels = series.labels;
            let Some(at) = expected.iter().position(|(known, _)| known == labels) else {
                return differ(format!("unexpected series {series:?}"));
            };
            if ordered && at != idx {
                return differ(format!("{labels} is at place {idx}, not {at}"));
            }
            series.compare(&expected[at].1, start_ms, step_ms)?;
        }
        match expected.iter().find(|(labels, _)| !found.iter().any(|series| series.labels == labels)) {
            Some((labels, _)) => differ(format!("expected series {labels} is not there, found {found:?}")),
            None => Ok(()),
        }
    }
}

/// A series of an answer.
struct Found<'a> {
    labels: &'a Labels,
    points: Vec<(i64, f64)>,
    histograms: Vec<(i64, Arc<Histogram>)>,
}

impl std::fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.labels, self.points)?;
        for (t_ms, h) in &self.histograms {
            write!(f, " {h} (schema {}, {:?}) @{t_ms}", h.schema, h.reset_hint)?;
        }
        Ok(())
    }
}

impl Found<'_> {
    fn compare(&self, places: &[Place], start_ms: i64, step_ms: i64) -> Check {
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        for (place, t_ms) in places.iter().zip((0..).map(|n: i64| start_ms + n * step_ms)) {
            match place {
                Some(Sample::Float(value)) => floats.push((t_ms, *value)),
                Some(Sample::Histogram(written)) => histograms.push((t_ms, written)),
                None => {}
            }
        }
        let same_floats = floats.len() == self.points.len()
            && floats.iter().zip(&self.points).all(|(e, p)| e.0 == p.0 && almost_equal(e.1, p.1));
        let same_histograms = histograms.len() == self.histograms.len()
            && histograms.iter().zip(&self.histograms).all(|(e, p)| e.0 == p.0 && is_alike(e.1, &p.1));
        if same_floats && same_histograms {
            return Ok(());
        }
        let expected = Found {
            labels: self.labels,
            points: floats,
            histograms: histograms.into_iter().map(|(t, w)| (t, Arc::new(w.histogram.clone()))).collect(),
        };
        differ(format!("expected {expected:?}, got {self:?}"))
    }
}

/// Whether a histogram is as written, up to rounding and empty buckets.
fn is_alike(expected: &Written, got: &Histogram) -> bool {
    let (mut a, mut b) = (expected.histogram.clone(), got.clone());
    a.compact();
    b.compact();
    let alike =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b));
    a.schema == b.schema
        && almost_equal(a.count, b.count)
        && almost_equal(a.sum, b.sum)
        && (!a.uses_custom_buckets() || a.custom_bounds == b.custom_bounds)
        && a.zero_threshold == b.zero_threshold
        && almost_equal(a.zero_count, b.zero_count)
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && alike(&a.positive_buckets, &b.positive_buckets)
        && alike(&a.negative_buckets, &b.negative_buckets)
        && (!expected.has_hint || a.reset_hint == b.reset_hint)
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

/// Whether the value differs at other times although every selector's time is fixed. Subqueries are fixed as a whole.
fn depends_on_time(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Subquery { .. } => false,
        ExprKind::Call { func, .. } if func.depends_on_time() => true,
        _ => expr.children().into_iter().any(depends_on_time),
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
