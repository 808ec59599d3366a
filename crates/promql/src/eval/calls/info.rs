//! info: adds the labels of info metrics (`target_info` unless a selector names others) that share `instance` and
//! `job` with a series.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};

use crate::error::EvalError;
use crate::eval::column::{Column, Grid, merge_equal, only};
use crate::eval::evaluator::{Evaluator, Result};
use crate::eval::pace::Pace;
use crate::eval::selector;
use crate::parse::ast::{At, Expr, ExprKind, Offset, VectorSelector};

const TARGET_INFO: &str = "target_info";
/// What finding the info series of a step counts for, in values that are passed. Chosen.
const FOUND_VALUES: usize = 64;
/// The labels by which info metrics are found.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Which info metrics, and which of their labels.
struct Wanted {
    /// Conditions on the name.
    names: Vec<Matcher>,
    /// Conditions on other labels; where there are any, only those labels are added.
    data: Vec<Matcher>,
}

impl Wanted {
    fn of(selector: Option<&VectorSelector>) -> Self {
        let all = selector.map(|s| s.matchers.as_slice()).unwrap_or_default();
        let (mut names, data): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|m| m.name == METRIC_NAME);
        if !names.iter().any(|m| matches!(m.op, MatchOp::Equal | MatchOp::Regex)) {
            // Conditions that only exclude names exclude them from everything that is called an info metric.
            names.push(if names.is_empty() {
                Matcher::equal(METRIC_NAME, TARGET_INFO)
            } else {
                Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info").expect("a constant that compiles")
            });
        }
        Self { names, data }
    }

    /// Whether a series is itself one of the info metrics.
    fn is_info(&self, labels: &Labels) -> bool {
        self.names.iter().all(|m| m.matches_labels(labels))
    }

    fn adds(&self, label: &str) -> bool {
        label != METRIC_NAME && (self.data.is_empty() || self.data.iter().any(|m| m.name == label))
    }

    /// Whether a series without any info metric fulfils the conditions.
    fn allows_nothing(&self) -> bool {
        self.data.iter().all(Matcher::matches_empty)
    }
}

pub(crate) fn call(ev: &mut Evaluator<'_>, args: &[Expr], grid: Grid) -> Result<Vec<Column>> {
    let base = ev.vector(&args[0], grid)?;
    let wanted = Wanted::of(args.get(1).and_then(|arg| match &arg.unwrapped().kind {
        ExprKind::Vector(selector) => Some(selector),
        _ => None,
    }));
    let infos = fetch(ev, &args[0], &base, &wanted, grid)?;
    Join { wanted: &wanted, groups: group(&infos), infos: &infos }.run(ev, base, grid)
}

/// Where the first selector within `expr` looks: its time and offset, or its subquery's.
fn place(ev: &Evaluator<'_>, expr: &Expr) -> Result<Option<(Option<At>, i64)>> {
    match &expr.kind {
        ExprKind::Vector(selector) | ExprKind::Matrix { selector, .. } => {
            Ok(Some((selector.at, ev.times.offset_ms(selector.offset.as_ref())?)))
        }
        ExprKind::Subquery { expr: inner, offset, at, .. } => match place(ev, inner)? {
            Some((None, inner_ms)) => Ok(Some((*at, inner_ms + ev.times.offset_ms(offset.as_ref())?))),
            other => Ok(other),
        },
        _ => {
            for child in expr.children() {
                let found = place(ev, child)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        }
    }
}

/// The info series that may belong to `base`, with their samples' times instead of their values.
fn fetch(
    ev: &mut Evaluator<'_>,
    arg: &Expr,
    base: &[Column],
    wanted: &Wanted,
    grid: Grid,
) -> Result<Vec<Column>> {
    let mut matchers = Vec::new();
    for label in IDENTIFYING {
        let plain = base.iter().filter(|column| !wanted.is_info(&column.labels));
        let values: BTreeSet<_> = plain.filter_map(|column| column.labels.get(label)).collect();
        if values.is_empty() {
            continue;
        }
        let pattern = values.into_iter().map(escaped).collect::<Vec<_>>().join("|");
        let matcher = Matcher::new(MatchOp::Regex, label, pattern);
        matchers.push(matcher.map_err(|err| EvalError::Execution(err.to_string()))?);
    }
    if matchers.is_empty() {
        return Ok(Vec::new());
    }
    matchers.extend(wanted.data.iter().chain(&wanted.names).cloned());
    let (at, offset_ms) = place(ev, arg)?.unwrap_or_default();
    let offset = Some(Offset::Ms(offset_ms));
    let selector = VectorSelector { name: String::new(), matchers, offset, at, extension: None };
    selector::sample_times(ev, &selector, grid)
}

/// `text` as a regular expression that matches nothing else.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Info series that exclude each other: same name and identifying labels.
type Groups = BTreeMap<String, HashMap<Labels, Vec<usize>>>;

fn group(infos: &[Column]) -> Groups {
    let mut groups = Groups::new();
    for (idx, column) in infos.iter().enumerate() {
        let by_id = groups.entry(column.labels.metric_name().to_owned()).or_default();
        by_id.entry(only(&column.labels, &IDENTIFYING)).or_default().push(idx);
    }
    groups
}

struct Join<'a> {
    wanted: &'a Wanted,
    infos: &'a [Column],
    groups: Groups,
}

impl Join<'_> {
    fn run(&self, ev: &Evaluator<'_>, base: Vec<Column>, grid: Grid) -> Result<Vec<Column>> {
        self.check_unique(ev, &base, grid)?;
        let mut results = Vec::new();
        for column in base {
            ev.check_stop()?;
            if self.wanted.is_info(&column.labels) {
                results.push(column);
            } else {
                self.extend(ev, &column, grid, &mut results)?;
            }
        }
        merge_equal(ev.query_options, results)
    }

    /// The newest info series of a group at a step.
    fn newest(&self, group: &[usize], step: usize) -> Option<usize> {
        let present = group.iter().copied().filter(|idx| self.infos[*idx].present[step]);
        present.max_by(|a, b| self.infos[*a].values[step].total_cmp(&self.infos[*b].values[step]))
    }

    fn check_unique(&self, ev: &Evaluator<'_>, base: &[Column], grid: Grid) -> Result<()> {
        let mut pace = Pace::new(ev.query_options);
        let groups = self.groups.values().flat_map(HashMap::values).filter(|group| group.len() > 1);
        for group in groups {
            for step in 0..grid.n_steps {
                pace.pass(base.len() + group.len())?;
                if !base.iter().any(|column| column.has(step)) {
                    continue;
                }
                let Some(newest) = self.newest(group, step) else {
                    continue;
                };
                let t_ms = self.infos[newest].values[step];
                let same = |idx: &&usize| **idx != newest && self.infos[**idx].get(step) == Some(t_ms);
                if let Some(other) = group.iter().find(same) {
                    let (a, b) = (&self.infos[*other].labels, &self.infos[newest].labels);
                    return Err(EvalError::Execution(format!(
                        "found duplicate series for info metric: existing {a} @ {t_ms}, new {b} @ {t_ms}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Adds labels to one series; they may change from step to step, and the series is split where they do.
    fn extend(
        &self,
        ev: &Evaluator<'_>,
        column: &Column,
        grid: Grid,
        results: &mut Vec<Column>,
    ) -> Result<()> {
        let mut pace = Pace::new(ev.query_options);
        let id = only(&column.labels, &IDENTIFYING);
        let groups: Vec<&Vec<usize>> = self.groups.values().filter_map(|by_id| by_id.get(&id)).collect();
        let mut parts: HashMap<Vec<usize>, Option<usize>> = HashMap::new();
        for step in 0..grid.n_steps {
            let Some(cell) = column.cell(step) else {
                continue;
            };
            pace.pass(FOUND_VALUES)?;
            let found: Vec<usize> = groups.iter().filter_map(|group| self.newest(group, step)).collect();
            let part = match parts.get(&found) {
                Some(part) => *part,
                None => {
                    let labels = self.labels(&column.labels, &found)?;
                    let part = labels.map(|labels| {
                        let empty = Column::absent(labels, grid.n_steps);
                        results.push(Column { drop_name: column.drop_name, ..empty });
                        results.len() - 1
                    });
                    parts.insert(found, part);
                    part
                }
            };
            if let Some(idx) = part {
                results[idx].set_cell(step, cell);
            }
        }
        Ok(())
    }

    /// The series' labels with those of the info series `found`; `None` when the conditions drop the series.
    fn labels(&self, base: &Labels, found: &[usize]) -> Result<Option<Labels>> {
        if found.is_empty() && !self.wanted.allows_nothing() {
            return Ok(None);
        }
        let mut added = LabelsBuilder::new();
        for idx in found {
            for (name, value) in self.infos[*idx].labels.iter().filter(|(name, _)| self.wanted.adds(name)) {
                if added.get(name).is_some_and(|known| known != value) {
                    return Err(EvalError::Execution(format!("conflicting label: {name}")));
                }
                if base.get(name).is_none() {
                    added.set(name, value);
                }
            }
        }
        let mut all = base.to_builder();
        for (name, value) in added.iter() {
            all.set(name, value);
        }
        Ok(Some(all.build()))
    }
}
