//! Payloads of records: definitions of series and columns, and commits of rows and what stands beside rows.
//!
//! Pure: values in, bytes out, and back. Bytes from disk passed a checksum, and are still not trusted.

use model::labels::TEXT_BYTES_MAX;
use model::{Exemplar, Histogram, Labels};
use stdx::varint;

use super::histogram::{get_histogram, get_value, put_histogram, put_value};
use crate::row::GroupKind;

const TYPE_COMMIT: u8 = 1;
const TYPE_DEFINE: u8 = 2;
const TYPE_FLOOR: u8 = 3;
const TYPE_END: u8 = 4;

const ITEM_ROW: u8 = 1;
const ITEM_CLOSE: u8 = 2;
const ITEM_LATE: u8 = 3;
const ITEM_HISTOGRAM: u8 = 4;
const ITEM_START: u8 = 5;
const ITEM_EXEMPLAR: u8 = 6;
const ITEM_FIRST: u8 = 7;
const ROW_FULL: u8 = 8;
const ROW_JOIN: u8 = 16;
const ROW_EXPLICIT: u8 = 32;

/// Bytes of one record after which a new one begins, a quarter of the longest payload. Chosen.
const RECORD_BYTES: usize = 64 << 20;

/// Room for the row of a usual scrape, in bytes, so that it need not grow step by step. Measured: node_exporter's rows take some 600.
const ROW_BYTES: usize = 1 << 10;

/// A payload that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadRecord(pub(crate) &'static str);

/// A series' first mention in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewSeries {
    pub(crate) series: u32,
    pub(crate) labels: Labels,
}

/// A series becomes a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewColumn {
    pub(crate) group: u32,
    pub(crate) kind: GroupKind,
    pub(crate) column: u32,
    pub(crate) series: u32,
}

/// A part of a record of the series log.
#[derive(Debug)]
pub(crate) enum Definition {
    Series(NewSeries),
    Column(NewColumn),
    /// Segments of rows before this one are gone on purpose.
    Floor(u64),
    /// The last record of a snapshot: series numbers below this are taken, and how many series it holds.
    End {
        next_series: u32,
        n_series: u64,
    },
}

/// The records of these definitions.
pub(crate) fn encode_definitions(series: &[NewSeries], columns: &[NewColumn]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut n_bytes = 0;
    let parts = series.chunk_by(|_, next| {
        n_bytes += next.labels.packed_bytes();
        let fits = n_bytes <= RECORD_BYTES;
        n_bytes = if fits { n_bytes } else { 0 };
        fits
    });
    for part in parts {
        let mut out = vec![TYPE_DEFINE];
        put_series(&mut out, part);
        varint::put_u64(&mut out, 0);
        records.push(out);
    }
    // Columns are few bytes each: with the last part of the series, so that the common batch is one record.
    if let Some(last) = records.last_mut() {
        last.pop();
        put_columns(last, columns);
    } else {
        let mut out = vec![TYPE_DEFINE];
        put_series(&mut out, &[]);
        put_columns(&mut out, columns);
        records.push(out);
    }
    records
}

pub(crate) fn encode_floor(number: u64) -> Vec<u8> {
    let mut out = vec![TYPE_FLOOR];
    varint::put_u64(&mut out, number);
    out
}

pub(crate) fn encode_end(next_series: u32, n_series: u64) -> Vec<u8> {
    let mut out = vec![TYPE_END];
    varint::put_u64(&mut out, u64::from(next_series));
    varint::put_u64(&mut out, n_series);
    out
}

fn put_series(out: &mut Vec<u8>, series: &[NewSeries]) {
    varint::put_u64(out, series.len() as u64);
    let (mut last, mut before): (u32, Vec<(&str, &str)>) = (0, Vec::new());
    for new in series {
        varint::put_i64(out, i64::from(new.series) - i64::from(last));
        last = new.series;
        let pairs: Vec<(&str, &str)> = new.labels.iter().collect();
        put_pairs(out, &pairs, &before);
        before = pairs;
    }
}

/// Names rise in both, so that one walk finds what is the same as before: as a rule all but a pair or two.
fn put_pairs(out: &mut Vec<u8>, pairs: &[(&str, &str)], before: &[(&str, &str)]) {
    varint::put_u64(out, pairs.len() as u64);
    let mut at = 0;
    for (name, value) in pairs {
        let skip = before[at..].iter().take_while(|(other, _)| other < name).count();
        match before.get(at + skip) {
            Some((other, same)) if other == name => {
                let is_new = same != value;
                varint::put_u64(out, (skip as u64) << 2 | if is_new { 2 } else { 1 });
                if is_new {
                    varint::put_bytes(out, value.as_bytes());
                }
                at += skip + 1;
            }
            _ => {
                out.push(0);
                varint::put_bytes(out, name.as_bytes());
                varint::put_bytes(out, value.as_bytes());
            }
        }
    }
}

fn put_columns(out: &mut Vec<u8>, columns: &[NewColumn]) {
    let follows = |a: &NewColumn, b: &NewColumn| {
        a.group == b.group && a.kind == b.kind && a.column.checked_add(1) == Some(b.column)
    };
    varint::put_u64(out, columns.chunk_by(follows).count() as u64);
    for run in columns.chunk_by(follows) {
        varint::put_u64(out, u64::from(run[0].group));
        out.push(u8::from(run[0].kind == GroupKind::Explicit));
        varint::put_u64(out, u64::from(run[0].column));
        varint::put_u64(out, run.len() as u64);
        let mut last = 0;
        for one in run {
            varint::put_i64(out, i64::from(one.series) - last);
            last = i64::from(one.series);
        }
    }
}

/// Hands the parts of a record of the series log to `take`, in order.
pub(crate) fn decode_definitions(payload: &[u8], take: &mut impl FnMut(Definition)) -> Result<(), BadRecord> {
    let bad = || BadRecord("definition ends early");
    let (&kind, mut src) = payload.split_first().ok_or_else(bad)?;
    let src = &mut src;
    match kind {
        TYPE_DEFINE => {
            get_series(src, take)?;
            get_columns(src, take)?;
        }
        TYPE_FLOOR => take(Definition::Floor(varint::get_u64(src).ok_or_else(bad)?)),
        TYPE_END => {
            let next_series = get_u32(src)?;
            take(Definition::End { next_series, n_series: varint::get_u64(src).ok_or_else(bad)? });
        }
        _ => return Err(BadRecord("unknown kind of record")),
    }
    if src.is_empty() { Ok(()) } else { Err(BadRecord("bytes after the end of a definition")) }
}

fn get_u32(src: &mut &[u8]) -> Result<u32, BadRecord> {
    let value = varint::get_u64(src).and_then(|value| u32::try_from(value).ok());
    value.filter(|value| *value != u32::MAX).ok_or(BadRecord("no number, or one too large"))
}

/// A number coded as the difference to `last`, which it becomes.
fn get_number(src: &mut &[u8], last: &mut i64) -> Result<u32, BadRecord> {
    let step = varint::get_i64(src).ok_or(BadRecord("record ends early"))?;
    *last = last.wrapping_add(step);
    u32::try_from(*last)
        .ok()
        .filter(|number| *number != u32::MAX)
        .ok_or(BadRecord("impossible series number"))
}

fn get_series(src: &mut &[u8], take: &mut impl FnMut(Definition)) -> Result<(), BadRecord> {
    let n_series = varint::get_u64(src).ok_or(BadRecord("definition ends early"))?;
    let (mut last, mut before): (i64, Vec<(&str, &str)>) = (0, Vec::new());
    for _ in 0..n_series {
        let series = get_number(src, &mut last)?;
        let pairs = get_pairs(src, &before)?;
        take(Definition::Series(NewSeries { series, labels: Labels::from_sorted(pairs.iter().copied()) }));
        before = pairs;
    }
    Ok(())
}

fn get_pairs<'a>(
    src: &mut &'a [u8],
    before: &[(&'a str, &'a str)],
) -> Result<Vec<(&'a str, &'a str)>, BadRecord> {
    let bad = || BadRecord("series ends early");
    let n_pairs = varint::get_u64(src).ok_or_else(bad)?;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(before.len());
    let mut at = 0usize;
    for _ in 0..n_pairs {
        let token = varint::get_u64(src).ok_or_else(bad)?;
        let (name, value) = if token == 0 {
            (get_text(src)?, get_text(src)?)
        } else {
            let idx =
                usize::try_from(token >> 2).ok().and_then(|skip| at.checked_add(skip)).ok_or_else(bad)?;
            let (name, value) = *before.get(idx).ok_or(BadRecord("pair of a series before that has none"))?;
            at = idx + 1;
            (name, if token & 3 == 1 { value } else { get_text(src)? })
        };
        let rises = pairs.last().is_none_or(|(last, _)| *last < name);
        if !rises || name.is_empty() || value.is_empty() {
            return Err(BadRecord("labels are not sorted"));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn get_columns(src: &mut &[u8], take: &mut impl FnMut(Definition)) -> Result<(), BadRecord> {
    let bad = || BadRecord("columns end early");
    let n_runs = varint::get_u64(src).ok_or_else(bad)?;
    for _ in 0..n_runs {
        let group = get_u32(src)?;
        let (&kind, rest) = src.split_first().ok_or_else(bad)?;
        *src = rest;
        let kind = match kind {
            0 => GroupKind::Following,
            1 => GroupKind::Explicit,
            _ => return Err(BadRecord("unknown kind of group")),
        };
        let first = get_u32(src)?;
        let n = varint::get_u64(src).ok_or_else(bad)?;
        let mut last = 0;
        for idx in 0..n {
            let column = u64::from(first).saturating_add(idx);
            if column >= u64::from(super::row::COLUMNS_MAX) {
                return Err(BadRecord("impossible column number"));
            }
            let series = get_number(src, &mut last)?;
            take(Definition::Column(NewColumn { group, kind, column: column as u32, series }));
        }
    }
    Ok(())
}

/// A part of a commit, as read.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// `body` is for [`super::row::get_row`].
    Row {
        group: u32,
        kind: GroupKind,
        full: bool,
        join: bool,
        body: &'a [u8],
    },
    Close {
        group: u32,
        columns: Vec<u32>,
    },
    Late {
        series: u32,
        t_ms: i64,
        bits: u64,
    },
    /// Stands in place of what a row of this commit says.
    First {
        series: u32,
        t_ms: i64,
        bits: u64,
    },
    Histogram {
        series: u32,
        t_ms: i64,
        start_ms: i64,
        histogram: Box<Histogram>,
    },
    Start {
        series: u32,
        t_ms: i64,
        start_ms: i64,
    },
    Exemplar {
        series: u32,
        exemplar: Exemplar,
    },
}

/// The records of a commit, being written.
#[derive(Debug, Default)]
pub(crate) struct CommitWriter {
    records: Vec<Vec<u8>>,
    scratch: Vec<u8>,
}

impl CommitWriter {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(crate) fn finish(self) -> Vec<Vec<u8>> {
        self.records
    }

    fn record(&mut self) -> &mut Vec<u8> {
        if self.records.last().is_none_or(|last| last.len() > RECORD_BYTES) {
            let mut record = Vec::with_capacity(ROW_BYTES);
            record.push(TYPE_COMMIT);
            self.records.push(record);
        }
        self.records.last_mut().expect("pushed above")
    }

    /// `put` writes the body.
    pub(crate) fn row(
        &mut self,
        group: u32,
        kind: GroupKind,
        full: bool,
        join: bool,
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        body.reserve(ROW_BYTES);
        put(&mut body);
        let out = self.record();
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.push(
            ITEM_ROW
                | flag(full, ROW_FULL)
                | flag(join, ROW_JOIN)
                | flag(kind == GroupKind::Explicit, ROW_EXPLICIT),
        );
        varint::put_u64(out, u64::from(group));
        varint::put_bytes(out, &body);
        self.scratch = body;
    }

    pub(crate) fn close(&mut self, group: u32, columns: &[u32]) {
        let out = self.record();
        out.push(ITEM_CLOSE);
        varint::put_u64(out, u64::from(group));
        varint::put_u64(out, columns.len() as u64);
        columns.iter().for_each(|column| varint::put_u64(out, u64::from(*column)));
    }

    fn stamped(&mut self, item: u8, series: u32, t_ms: i64) -> &mut Vec<u8> {
        let out = self.record();
        out.push(item);
        varint::put_u64(out, u64::from(series));
        varint::put_i64(out, t_ms);
        out
    }

    pub(crate) fn late(&mut self, series: u32, t_ms: i64, bits: u64) {
        let out = self.stamped(ITEM_LATE, series, t_ms);
        put_value(out, f64::from_bits(bits));
    }

    pub(crate) fn first(&mut self, series: u32, t_ms: i64, bits: u64) {
        let out = self.stamped(ITEM_FIRST, series, t_ms);
        put_value(out, f64::from_bits(bits));
    }

    pub(crate) fn histogram(&mut self, series: u32, t_ms: i64, start_ms: i64, histogram: &Histogram) {
        let out = self.stamped(ITEM_HISTOGRAM, series, t_ms);
        varint::put_i64(out, start_ms);
        put_histogram(out, histogram);
    }

    pub(crate) fn start(&mut self, series: u32, t_ms: i64, start_ms: i64) {
        let out = self.stamped(ITEM_START, series, t_ms);
        varint::put_i64(out, start_ms);
    }

    pub(crate) fn exemplar(&mut self, series: u32, exemplar: &Exemplar) {
        let out = self.stamped(ITEM_EXEMPLAR, series, exemplar.t_ms);
        put_value(out, exemplar.value);
        let pairs: Vec<(&str, &str)> = exemplar.labels.iter().collect();
        put_pairs(out, &pairs, &[]);
    }
}

/// Hands the items of a commit to `take`, in order.
pub(crate) fn decode_commit<'a>(
    payload: &'a [u8],
    take: &mut impl FnMut(Item<'a>) -> Result<(), BadRecord>,
) -> Result<(), BadRecord> {
    let Some((&TYPE_COMMIT, mut src)) = payload.split_first() else {
        return Err(BadRecord("not a commit record"));
    };
    while let Some((&head, rest)) = src.split_first() {
        src = rest;
        let src = &mut src;
        take(match head & 7 {
            ITEM_ROW => get_row_item(head, src)?,
            ITEM_CLOSE => {
                let group = get_u32(src)?;
                let n = varint::get_u64(src).ok_or(BadRecord("commit record ends early"))?;
                let columns = (0..n).map(|_| get_u32(src)).collect::<Result<_, _>>()?;
                Item::Close { group, columns }
            }
            _ => get_stamped(head, src)?,
        })?;
    }
    Ok(())
}

fn get_row_item<'a>(head: u8, src: &mut &'a [u8]) -> Result<Item<'a>, BadRecord> {
    let group = get_u32(src)?;
    let body = varint::get_bytes(src).ok_or(BadRecord("commit record ends early"))?;
    let kind = if head & ROW_EXPLICIT != 0 { GroupKind::Explicit } else { GroupKind::Following };
    Ok(Item::Row { group, kind, full: head & ROW_FULL != 0, join: head & ROW_JOIN != 0, body })
}

fn get_stamped<'a>(head: u8, src: &mut &'a [u8]) -> Result<Item<'a>, BadRecord> {
    let bad = || BadRecord("commit record ends early");
    let series = get_u32(src)?;
    let t_ms = varint::get_i64(src).ok_or_else(bad)?;
    Ok(match head {
        ITEM_LATE => Item::Late { series, t_ms, bits: get_value(src).ok_or_else(bad)?.to_bits() },
        ITEM_FIRST => Item::First { series, t_ms, bits: get_value(src).ok_or_else(bad)?.to_bits() },
        ITEM_HISTOGRAM => {
            let start_ms = varint::get_i64(src).ok_or_else(bad)?;
            Item::Histogram { series, t_ms, start_ms, histogram: Box::new(get_histogram(src)?) }
        }
        ITEM_START => Item::Start { series, t_ms, start_ms: varint::get_i64(src).ok_or_else(bad)? },
        ITEM_EXEMPLAR => {
            let value = get_value(src).ok_or_else(bad)?;
            let labels = Labels::from_sorted(get_pairs(src, &[])?);
            Item::Exemplar { series, exemplar: Exemplar { labels, value, t_ms } }
        }
        _ => return Err(BadRecord("unknown item in a commit record")),
    })
}

fn get_text<'a>(src: &mut &'a [u8]) -> Result<&'a str, BadRecord> {
    let bytes = varint::get_bytes(src).ok_or(BadRecord("label ends early"))?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(BadRecord("label is too long"));
    }
    std::str::from_utf8(bytes).map_err(|_| BadRecord("label is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels() -> impl Strategy<Value = Labels> {
        proptest::collection::btree_map("[a-e]{1,2}", "[x-z]{1,3}", 0..5).prop_map(Labels::from_pairs)
    }

    proptest! {
        #[test]
        fn definitions_come_back(
            sets in proptest::collection::vec((any::<u32>(), labels()), 0..20),
            columns in proptest::collection::vec((0u32..3, any::<bool>(), 0u32..1000, 0u32..1 << 31), 0..20),
        ) {
            let series: Vec<NewSeries> = sets.into_iter()
                .map(|(series, labels)| NewSeries { series: series.min(u32::MAX - 1), labels }).collect();
            let columns: Vec<NewColumn> = columns.into_iter().map(|(group, explicit, column, series)| {
                let kind = if explicit { GroupKind::Explicit } else { GroupKind::Following };
                NewColumn { group, kind, column, series }
            }).collect();
            let (mut got_series, mut got_columns) = (Vec::new(), Vec::new());
            for payload in encode_definitions(&series, &columns) {
                decode_definitions(&payload, &mut |part| match part {
                    Definition::Series(new) => got_series.push(new),
                    Definition::Column(new) => got_columns.push(new),
                    other => panic!("{other:?}"),
                }).unwrap();
                for len in 0..payload.len() {
                    let cut = decode_definitions(&payload[..len], &mut |_| {});
                    prop_assert!(cut.is_err());
                }
            }
            prop_assert_eq!(got_series, series);
            prop_assert_eq!(got_columns, columns);
        }

        #[test]
        fn late_samples_starts_and_exemplars_come_back(
            items in proptest::collection::vec((0u32..1 << 31, any::<i64>(), any::<u64>(), labels()), 0..20),
        ) {
            let mut writer = CommitWriter::default();
            for (series, t_ms, bits, labels) in &items {
                writer.late(*series, *t_ms, *bits);
                writer.first(*series, *t_ms, *bits);
                writer.start(*series, *t_ms, *bits as i64);
                writer.exemplar(*series, &Exemplar { labels: labels.clone(), value: f64::from_bits(*bits), t_ms: *t_ms });
            }
            let mut got = Vec::new();
            for payload in writer.finish() {
                decode_commit(&payload, &mut |item| {
                    match item {
                        Item::Late { series, t_ms, bits } | Item::First { series, t_ms, bits } => {
                            got.push((series, t_ms, bits, None));
                        }
                        Item::Start { series, t_ms, start_ms } => got.push((series, t_ms, start_ms as u64, None)),
                        Item::Exemplar { series, exemplar } => {
                            got.push((series, exemplar.t_ms, exemplar.value.to_bits(), Some(exemplar.labels)));
                        }
                        other => panic!("{other:?}"),
                    }
                    Ok(())
                }).unwrap();
            }
            let sent: Vec<_> = items.into_iter().flat_map(|(series, t_ms, bits, labels)| {
                let plain = (series, t_ms, bits, None);
                [plain.clone(), plain.clone(), plain, (series, t_ms, bits, Some(labels))]
            }).collect();
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn any_bytes_are_refused_or_read(kind in 0u8..6, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let payload = [&[kind][..], &bytes].concat();
            let _ = super::super::fuzz_record(&payload);
        }
    }
}
