//! One batch of the reference store.
//!
//! In from writers; out to the store's maps at commit. A batch sees itself: later calls in it meet the columns and samples
//! of earlier ones. Between batches the last to commit wins a group; each group is expected to have one writer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{Exemplar, Histogram, Labels, is_stale};

use super::{MemStore, Sample, State, Value};
use crate::error::{AppendError, RowError, StorageError};
use crate::seam::{AppendStats, Appender, ColumnIdx, GroupRef, RefSample, RowOutcome, SeriesRef};

/// Series with rows in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    columns: Vec<Column>,
    newest_ms: Option<i64>,
}

#[derive(Debug, Clone)]
struct Column {
    /// `None` when it was refused, or has moved and the writer knows.
    labels: Option<Labels>,
    /// What the next row repeats; `None` before the first value and after a staleness marker.
    last: Option<f64>,
}

pub(super) struct MemAppender<'a> {
    store: &'a MemStore,
    samples: Vec<(Labels, i64, Sample)>,
    exemplars: Vec<(Labels, Exemplar)>,
    /// Newest sample of each series in this batch.
    newest: HashMap<Labels, (i64, Value)>,
    /// As they will be after this batch.
    groups: BTreeMap<u64, Group>,
    column_of: HashMap<Labels, (u64, usize)>,
}

impl<'a> MemAppender<'a> {
    pub(super) fn new(store: &'a MemStore) -> Self {
        Self {
            store,
            samples: Vec::new(),
            exemplars: Vec::new(),
            newest: HashMap::new(),
            groups: BTreeMap::new(),
            column_of: HashMap::new(),
        }
    }

    fn check(&self, labels: &Labels, t_ms: i64, value: &Value) -> Result<(), AppendError> {
        if labels.is_empty() {
            return Err(AppendError::NoName);
        }
        let state = self.store.state.read();
        check_after(newest(&state, labels), t_ms, value)?;
        check_after(self.newest.get(labels).map(|(t_ms, value)| (*t_ms, value)), t_ms, value)
    }

    fn push(&mut self, labels: &Labels, t_ms: i64, start_ms: i64, value: Value) {
        self.newest.insert(labels.clone(), (t_ms, value.clone()));
        self.samples.push((labels.clone(), t_ms, Sample { start_ms, value }));
    }

    fn append_any(
        &mut self,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        value: Value,
    ) -> Result<SeriesRef, AppendError> {
        self.check(labels, t_ms, &value)?;
        self.push(labels, t_ms, start_ms, value);
        Ok(SeriesRef(self.store.state.write().reference(labels)))
    }

    /// The group as this batch leaves it, if there is one.
    fn group(&mut self, group: GroupRef) -> Result<&mut Group, RowError> {
        if !self.groups.contains_key(&group.0) {
            let stored = self.store.state.read().groups.get(&group.0).cloned();
            self.groups.insert(group.0, stored.ok_or(RowError::UnknownGroup)?);
        }
        Ok(self.groups.get_mut(&group.0).expect("checked or inserted above"))
    }

    fn is_column(&self, labels: &Labels, place: (u64, usize)) -> bool {
        let state = self.store.state.read();
        self.column_of.get(labels).or_else(|| state.column_of.get(labels)) == Some(&place)
    }
}

impl State {
    fn reference(&mut self, labels: &Labels) -> u64 {
        let next = self.refs.len() as u64;
        let reference = *self.ref_of.entry(labels.clone()).or_insert(next);
        if reference == next {
            self.refs.push(labels.clone());
        }
        reference
    }
}

fn newest<'s>(state: &'s State, labels: &Labels) -> Option<(i64, &'s Value)> {
    let (t_ms, sample) = state.series.get(labels)?.last_key_value()?;
    Some((*t_ms, &sample.value))
}

fn check_after(newest: Option<(i64, &Value)>, t_ms: i64, value: &Value) -> Result<(), AppendError> {
    match newest {
        Some((newest_ms, _)) if t_ms < newest_ms => Err(AppendError::OutOfOrder),
        Some((newest_ms, last)) if t_ms == newest_ms && !last.is_same(value) => {
            Err(AppendError::DuplicateForTimestamp)
        }
        _ => Ok(()),
    }
}

/// The values a row gives to the columns, after `changed`.
fn apply(columns: &mut [Column], changed: &[(ColumnIdx, f64)]) -> Result<Vec<Option<f64>>, RowError> {
    let mut row: Vec<Option<f64>> = columns.iter().map(|column| column.last).collect();
    let mut named = vec![false; columns.len()];
    for &(idx, value) in changed {
        let at = idx as usize;
        if columns.get(at).is_none_or(|column| column.labels.is_none()) || named[at] {
            return Err(RowError::BadColumn(idx));
        }
        named[at] = true;
        row[at] = Some(value);
    }
    for (column, value) in columns.iter_mut().zip(&row) {
        column.last = value.filter(|value| !is_stale(*value));
    }
    Ok(row)
}

impl Appender for MemAppender<'_> {
    fn append(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.append_any(labels, t_ms, 0, Value::Float(value))
    }

    fn append_refs(&mut self, samples: &[RefSample], refused: &mut Vec<(usize, AppendError)>) {
        for (at, sample) in samples.iter().enumerate() {
            let labels = usize::try_from(sample.series.0).ok();
            let labels = labels.and_then(|idx| self.store.state.read().refs.get(idx).cloned());
            let taken = labels
                .ok_or(AppendError::UnknownSeries)
                .and_then(|labels| self.append_any(&labels, sample.t_ms, 0, Value::Float(sample.value)));
            refused.extend(taken.err().map(|err| (at, err)));
        }
    }

    fn append_with_start(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        value: f64,
    ) -> Result<SeriesRef, AppendError> {
        self.append_any(labels, t_ms, start_ms, Value::Float(value))
    }

    fn append_zero(&mut self, labels: &Labels, t_ms: i64, start_ms: i64) -> Result<(), AppendError> {
        let zero = Value::Float(0.0);
        self.check(labels, start_ms, &zero)?;
        let state = self.store.state.read();
        let before = self.newest.get(labels).map(|(t_ms, _)| *t_ms);
        let newest_ms = before.max(newest(&state, labels).map(|(t_ms, _)| t_ms));
        if start_ms >= t_ms || newest_ms >= Some(start_ms) {
            return Err(AppendError::OutOfOrder);
        }
        drop(state);
        self.push(labels, start_ms, 0, zero);
        Ok(())
    }

    fn append_histogram(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        start_ms: i64,
        histogram: &Histogram,
    ) -> Result<SeriesRef, AppendError> {
        self.append_any(labels, t_ms, start_ms, Value::Histogram(Arc::new(histogram.clone())))
    }

    fn append_exemplar(
        &mut self,
        _known: Option<SeriesRef>,
        labels: &Labels,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        if labels.is_empty() {
            return Err(AppendError::NoName);
        }
        self.exemplars.push((labels.clone(), exemplar.clone()));
        Ok(())
    }

    fn add_columns(
        &mut self,
        group: Option<GroupRef>,
        labels: &[Labels],
    ) -> Result<(GroupRef, Vec<Result<ColumnIdx, AppendError>>), RowError> {
        let group = group.unwrap_or_else(|| {
            let mut state = self.store.state.write();
            state.n_groups += 1;
            self.groups.insert(state.n_groups, Group::default());
            GroupRef(state.n_groups)
        });
        let mut columns = Vec::with_capacity(labels.len());
        for labels in labels {
            let labels = Some(labels).filter(|labels| !labels.is_empty()).cloned();
            let of_group = &mut self.group(group)?.columns;
            let at = of_group.len();
            of_group.push(Column { labels: labels.clone(), last: None });
            let idx = ColumnIdx::try_from(at).expect("a store in memory has fewer series");
            columns.push(match labels {
                Some(labels) => {
                    self.column_of.insert(labels, (group.0, at));
                    Ok(idx)
                }
                None => Err(AppendError::NoName),
            });
        }
        self.group(group)?;
        Ok((group, columns))
    }

    fn append_row(
        &mut self,
        group: GroupRef,
        t_ms: i64,
        changed: &[(ColumnIdx, f64)],
    ) -> Result<RowOutcome, RowError> {
        let mut after = self.group(group)?.clone();
        if after.newest_ms.is_some_and(|newest_ms| t_ms <= newest_ms) {
            return Err(RowError::OutOfOrder);
        }
        let row = apply(&mut after.columns, changed)?;
        let mut moved = Vec::new();
        let mut taken = Vec::new();
        for (at, (column, value)) in after.columns.iter_mut().zip(row).enumerate() {
            let Some(labels) = column.labels.clone() else { continue };
            if !self.is_column(&labels, (group.0, at)) {
                moved.push(ColumnIdx::try_from(at).expect("given as such"));
                *column = Column { labels: None, last: None };
                continue;
            }
            let Some(value) = value.map(Value::Float) else { continue };
            if self.check(&labels, t_ms, &value).is_err() {
                return Err(RowError::OutOfOrder);
            }
            taken.push((labels, value));
        }
        after.newest_ms = Some(t_ms);
        self.groups.insert(group.0, after);
        for (labels, value) in taken {
            self.push(&labels, t_ms, 0, value);
        }
        Ok(RowOutcome { moved })
    }

    fn append_row_starts(
        &mut self,
        group: GroupRef,
        t_ms: i64,
        starts: &[(ColumnIdx, i64)],
    ) -> Result<(), RowError> {
        let columns = self.group(group)?.columns.clone();
        for &(column, start_ms) in starts {
            let known = columns.get(column as usize).ok_or(RowError::BadColumn(column))?;
            let of_row = self
                .samples
                .iter_mut()
                .filter(|(labels, at_ms, _)| *at_ms == t_ms && known.labels.as_ref() == Some(labels));
            of_row.for_each(|(_, _, sample)| sample.start_ms = start_ms);
        }
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<AppendStats, StorageError> {
        let mut state = self.store.state.write();
        let mut stats = AppendStats::default();
        for (labels, t_ms, sample) in self.samples {
            if check_after(newest(&state, &labels), t_ms, &sample.value).is_err() {
                stats.n_refused += 1;
                continue;
            }
            state.reference(&labels);
            stats.n_new_series += u64::from(!state.series.contains_key(&labels));
            stats.n_samples += 1;
            state.series.entry(labels).or_default().entry(t_ms).or_insert(sample);
        }
        state.groups.extend(self.groups);
        state.column_of.extend(self.column_of);
        state.exemplars.extend(self.exemplars);
        Ok(stats)
    }
}
