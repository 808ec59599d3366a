//! Aggregation operators: groups first, then series after series, each over all steps.

use std::collections::HashMap;

use model::Labels;
use model::float::{format_f, format_g};
use model::labels::METRIC_NAME;

use super::column::{Column, Grid, only};
use super::evaluator::{Evaluator, Result};
use super::gather::Gather;
use super::pace::{LABELS_VALUES, Pace};
use super::{newest, passes, top};
use crate::annotations::texts;
use crate::error::EvalError;
use crate::func::sum::quantile;
use crate::limits::STEPS_PER_SAMPLE;
use crate::parse::ast::{AggregateOp, Expr, ExprKind, Span};

/// `by (…)` or `without (…)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grouping<'a> {
    pub(crate) labels: &'a [String],
    pub(crate) without: bool,
}

impl Grouping<'_> {
    pub(super) fn of(&self, labels: &Labels) -> Labels {
        if !self.without {
            return only(labels, self.labels);
        }
        let hidden = |name: &str| name == METRIC_NAME || self.labels.iter().any(|l| l == name);
        Labels::from_sorted(labels.iter().filter(|(name, _)| !hidden(name)))
    }
}

/// Series of one group, by index.
pub(crate) struct Group {
    pub(crate) labels: Labels,
    pub(crate) members: Vec<usize>,
}

fn groups(ev: &Evaluator<'_>, columns: &[Column], grouping: Grouping<'_>) -> Result<Vec<Group>> {
    let mut pace = Pace::new(ev.query_options);
    let mut known: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (idx, column) in columns.iter().enumerate() {
        pace.pass(LABELS_VALUES)?;
        let labels = grouping.of(&column.labels);
        let group = *known.entry(labels.clone()).or_insert_with(|| {
            groups.push(Group { labels, members: Vec::new() });
            groups.len() - 1
        });
        groups[group].members.push(idx);
    }
    Ok(groups)
}

pub(crate) fn eval(
    ev: &mut Evaluator<'_>,
    op: AggregateOp,
    grouping: Grouping<'_>,
    param: Option<&Expr>,
    inner: &Expr,
    agg_span: Span,
    grid: Grid,
) -> Result<Vec<Column>> {
    if op == AggregateOp::CountValues {
        return count_values(ev, grouping, param, inner, grid);
    }
    let params = match param {
        Some(param) => ev.scalar(param, grid)?,
        None => Vec::new(),
    };
    let span = inner.unwrapped().span;
    if param.is_none() {
        if let Some(columns) = newest::gathered(ev, op, grouping, inner, span, grid)? {
            return Ok(columns);
        }
        let gather = Gather::new(op, grouping, span, grid);
        return passes::gathered(ev, gather, inner, agg_span, grid);
    }
    let param_span = param.map_or_else(Span::default, |param| param.unwrapped().span);
    if matches!(op, AggregateOp::Topk | AggregateOp::Bottomk)
        && let [k] = params[..]
        && k >= 1.0
        && k < i64::MAX as f64
        && let Some(columns) = newest::best(ev, (op, k as usize), grouping, inner, agg_span, grid)?
    {
        return Ok(columns);
    }
    let columns = ev.vector(inner, grid)?;
    let groups = groups(ev, &columns, grouping)?;
    if op != AggregateOp::Quantile {
        if !check_params(ev, op, &params, param_span)? {
            return Ok(Vec::new());
        }
        return top::eval(ev, op, &params, columns, &groups, agg_span, grid);
    }
    warn_quantiles(ev, &params, param_span);
    let mut results = Vec::with_capacity(groups.len());
    for group in groups {
        ev.check_stop()?;
        note_ignored(ev, op, &columns, &group, span);
        let mut result = quantiles(ev, &columns, &group, &params, grid)?;
        result.drop_name = group.members.iter().any(|idx| columns[*idx].drop_name);
        if !result.is_absent() {
            results.push(result);
        }
    }
    Ok(results)
}

/// Least and greatest, without NaN; infinite when there is none.
fn bounds(params: &[f64]) -> (f64, f64) {
    params.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), v| (min.min(*v), max.max(*v)))
}

/// Whether any step can have a result.
fn check_params(ev: &mut Evaluator<'_>, op: AggregateOp, params: &[f64], span: Span) -> Result<bool> {
    let has_nan = params.iter().any(|p| p.is_nan());
    let (min, max) = bounds(params);
    let fail = |text: String| Err(EvalError::Execution(text));
    if op == AggregateOp::LimitRatio {
        if params.iter().all(|p| *p == 0.0) {
            return Ok(false);
        }
        if has_nan {
            return fail("Ratio value is NaN".to_owned());
        }
        let text = |got: f64, cap: &str| {
            format!("ratio value should be between -1 and 1, got {}, capping to {cap}", format_g(got))
        };
        if max > 1.0 {
            ev.warn(span, text(max, "1"));
        }
        if min < -1.0 {
            ev.warn(span, text(min, "-1"));
        }
        return Ok(true);
    }
    if max < 1.0 && !has_nan {
        return Ok(false);
    }
    if has_nan {
        return fail("Parameter value is NaN".to_owned());
    }
    if min <= i64::MIN as f64 {
        return fail(format!("Scalar value {} underflows int64", format_g(min)));
    }
    if max >= i64::MAX as f64 {
        return fail(format!("Scalar value {} overflows int64", format_g(max)));
    }
    Ok(true)
}

pub(crate) fn quantile_warning(q: f64) -> String {
    format!("quantile value should be between 0 and 1, got {}", format_g(q))
}

fn warn_quantiles(ev: &mut Evaluator<'_>, params: &[f64], span: Span) {
    let (min, max) = bounds(params);
    if params.iter().any(|p| p.is_nan()) {
        ev.warn(span, quantile_warning(f64::NAN));
    }
    if max > 1.0 {
        ev.warn(span, quantile_warning(max));
    }
    if min < 0.0 {
        ev.warn(span, quantile_warning(min));
    }
}

/// Says once that histograms are left out.
fn note_ignored(ev: &mut Evaluator<'_>, op: AggregateOp, columns: &[Column], group: &Group, span: Span) {
    if group.members.iter().any(|idx| columns[*idx].histograms.iter().any(Option::is_some)) {
        ev.info(span, texts::ignored_in_aggregation(op.as_str()));
    }
}

fn quantiles(
    ev: &Evaluator<'_>,
    columns: &[Column],
    group: &Group,
    params: &[f64],
    grid: Grid,
) -> Result<Column> {
    let mut pace = Pace::new(ev.query_options);
    let mut result = Column::absent(group.labels.clone(), grid.n_steps);
    let mut values = Vec::with_capacity(group.members.len());
    for (step, q) in params.iter().enumerate() {
        // Each is looked at several times.
        pace.pass(4 * group.members.len())?;
        values.clear();
        values.extend(group.members.iter().filter_map(|idx| columns[*idx].get(step)));
        if !values.is_empty() {
            result.set(step, quantile(*q, &mut values));
        }
    }
    Ok(result)
}

fn count_values(
    ev: &mut Evaluator<'_>,
    grouping: Grouping<'_>,
    param: Option<&Expr>,
    inner: &Expr,
    grid: Grid,
) -> Result<Vec<Column>> {
    let label = match param.map(|param| &param.unwrapped().kind) {
        Some(ExprKind::String(label)) if !label.is_empty() => label,
        Some(ExprKind::String(_)) => return Err(EvalError::Execution("invalid label name \"\"".to_owned())),
        Some(ExprKind::InvalidString(written)) => {
            return Err(EvalError::Execution(format!("invalid label name {written}")));
        }
        _ => return Err(EvalError::Execution("count_values needs the name of a label".to_owned())),
    };
    let mut kept = grouping.labels.to_vec();
    if !grouping.without {
        kept.push(label.clone());
    }
    let grouping = Grouping { labels: &kept, without: grouping.without };
    let columns = ev.vector(inner, grid)?;
    let mut counts = Counts { grouping, label, grid, known: HashMap::new(), results: Vec::new() };
    let mut pace = Pace::new(ev.query_options);
    for column in &columns {
        ev.check_stop()?;
        let mut last: Option<(u64, usize)> = None;
        for step in 0..grid.n_steps {
            let idx = match (column.get(step), last) {
                (Some(value), Some((bits, idx))) if bits == value.to_bits() => idx,
                (Some(value), _) => {
                    pace.pass(LABELS_VALUES)?;
                    let idx = counts.place(ev, column, &format_f(value))?;
                    last = Some((value.to_bits(), idx));
                    idx
                }
                (None, _) => match column.histogram(step) {
                    Some(histogram) => counts.place(ev, column, &histogram.to_string())?,
                    None => continue,
                },
            };
            let n = counts.results[idx].get(step).unwrap_or(0.0);
            counts.results[idx].set(step, n + 1.0);
        }
    }
    Ok(counts.results)
}

/// The series of `count_values` so far.
struct Counts<'a> {
    grouping: Grouping<'a>,
    label: &'a str,
    grid: Grid,
    known: HashMap<Labels, usize>,
    results: Vec<Column>,
}

impl Counts<'_> {
    /// Where values of `column` that are written `value` are counted.
    fn place(&mut self, ev: &mut Evaluator<'_>, column: &Column, value: &str) -> Result<usize> {
        let named = column.labels.to_builder().set(self.label, value).build();
        let labels = self.grouping.of(&named);
        if let Some(idx) = self.known.get(&labels) {
            return Ok(*idx);
        }
        // Values may differ at every step, so these can be many.
        ev.hold((self.grid.n_steps / STEPS_PER_SAMPLE) as u64)?;
        self.known.insert(labels.clone(), self.results.len());
        self.results.push(Column::absent(labels, self.grid.n_steps));
        Ok(self.results.len() - 1)
    }
}
