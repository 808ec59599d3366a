//! Histogram pages: layouts once each, and a value page for every field and bucket.
//!
//! In from columns of native histograms, out to bytes and back. A layout (schema, zero threshold, spans, custom bounds) seldom
//! changes, and most buckets of a histogram stay from one row to the next, so that runs and deltas of values do the rest.

use std::collections::HashMap;
use std::sync::Arc;

use model::histogram::{Histogram, ResetHint, Span};
use stdx::varint;

use super::encode::encode_without_summary;
use super::{
    PageError, ROWS_MAX, at_end, decode_starts, decode_values, encode_starts, n_values, take_count, take_u64,
    take_varint, take_zigzag,
};

/// Buckets, spans and custom bounds of all rows of a page together. Chosen: some 35,000 a row in a page of 480, and 128 MiB of
/// buckets at most from a page that is damaged.
pub const HISTOGRAM_CELLS_MAX: usize = 1 << 24;

/// The layout of a row that has nothing in it, before the first.
const NO_LAYOUT: usize = usize::MAX;

/// How many of [`HISTOGRAM_CELLS_MAX`] cells `histogram` takes in a page. Pages whose sum would be more have to be cut.
#[must_use]
pub fn histogram_cells(histogram: &Histogram) -> usize {
    let sides = sides(histogram);
    sides.iter().map(|(spans, buckets)| spans.len() + buckets.len()).sum::<usize>()
        + histogram.custom_bounds.len()
}

/// Spans and buckets, positive and negative. None when there are not as many buckets as the spans say: then nobody knows
/// which is which.
fn sides(histogram: &Histogram) -> [(&[Span], &[f64]); 2] {
    let sides = [
        (&histogram.positive_spans[..], &histogram.positive_buckets[..]),
        (&histogram.negative_spans[..], &histogram.negative_buckets[..]),
    ];
    let n_buckets = |spans: &[Span]| spans.iter().map(|span| u64::from(span.length)).sum::<u64>();
    let is_sound = sides.iter().all(|(spans, buckets)| n_buckets(spans) == buckets.len() as u64);
    if is_sound { sides } else { [(&[], &[]); 2] }
}

/// Appends `histograms` as a page. Floats come back bit for bit.
///
/// A histogram that has not as many buckets as its spans say is stored without either.
///
/// # Panics
///
/// With more than [`ROWS_MAX`] histograms or [`HISTOGRAM_CELLS_MAX`] cells; [`histogram_cells`] counts them.
pub fn encode_histograms(histograms: &[&Histogram], out: &mut Vec<u8>) {
    assert!(histograms.len() <= ROWS_MAX, "a page holds at most ROWS_MAX histograms");
    let n_cells: usize = histograms.iter().map(|histogram| histogram_cells(histogram)).sum();
    assert!(n_cells <= HISTOGRAM_CELLS_MAX, "a page holds at most HISTOGRAM_CELLS_MAX cells");
    varint::put_u64(out, histograms.len() as u64);
    if histograms.is_empty() {
        return;
    }
    let (layouts, rows) = layouts(histograms);
    varint::put_u64(out, layouts.len() as u64);
    for &first in &layouts {
        put_layout(first, out);
    }
    let mut nested = Vec::new();
    let column: Vec<i64> = rows.iter().map(|&layout| layout as i64).collect();
    put_nested(&mut nested, out, |nested| encode_starts(&column, nested));
    let column: Vec<i64> = histograms.iter().map(|histogram| flags(histogram)).collect();
    put_nested(&mut nested, out, |nested| encode_starts(&column, nested));
    for field in [|h: &Histogram| h.count, |h: &Histogram| h.sum, |h: &Histogram| h.zero_count] {
        let column: Vec<f64> = histograms.iter().map(|histogram| field(histogram)).collect();
        put_nested(&mut nested, out, |nested| encode_without_summary(&column, nested));
    }
    for (idx, first) in layouts.iter().enumerate() {
        let members =
            || histograms.iter().zip(&rows).filter(move |(_, layout)| **layout == idx).map(|(h, _)| *h);
        for (side, (_, buckets)) in sides(first).iter().enumerate() {
            for bucket in 0..buckets.len() {
                let column: Vec<f64> = members().map(|histogram| sides(histogram)[side].1[bucket]).collect();
                put_nested(&mut nested, out, |nested| encode_without_summary(&column, nested));
            }
        }
    }
}

/// The first histogram of each layout, and the number of each row's layout.
fn layouts<'a>(histograms: &[&'a Histogram]) -> (Vec<&'a Histogram>, Vec<usize>) {
    let mut firsts: Vec<&Histogram> = Vec::new();
    let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut last = NO_LAYOUT;
    let rows = histograms.iter().map(|&histogram| {
        if firsts.get(last).is_none_or(|first| !same_layout(first, histogram)) {
            let mut key = Vec::new();
            put_layout(histogram, &mut key);
            last = *numbers.entry(key).or_insert_with(|| {
                firsts.push(histogram);
                firsts.len() - 1
            });
        }
        last
    });
    let rows = rows.collect();
    (firsts, rows)
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let same_bounds = Arc::ptr_eq(&a.custom_bounds, &b.custom_bounds)
        || a.custom_bounds.len() == b.custom_bounds.len()
            && a.custom_bounds.iter().zip(&*b.custom_bounds).all(|(a, b)| a.to_bits() == b.to_bits());
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && sides(a).map(|(spans, _)| spans) == sides(b).map(|(spans, _)| spans)
        && same_bounds
}

fn flags(histogram: &Histogram) -> i64 {
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    };
    i64::from(histogram.is_integer) | hint << 1
}

/// Appends what `encode` writes, with its length before it.
fn put_nested(nested: &mut Vec<u8>, out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    nested.clear();
    encode(nested);
    varint::put_bytes(out, nested);
}

fn put_layout(histogram: &Histogram, out: &mut Vec<u8>) {
    varint::put_i64(out, i64::from(histogram.schema));
    out.extend_from_slice(&histogram.zero_threshold.to_bits().to_le_bytes());
    for (spans, _) in sides(histogram) {
        varint::put_u64(out, spans.len() as u64);
        for span in spans {
            varint::put_i64(out, i64::from(span.offset));
            varint::put_u64(out, u64::from(span.length));
        }
    }
    varint::put_u64(out, histogram.custom_bounds.len() as u64);
    let mut nested = Vec::new();
    for bounds in histogram.custom_bounds.chunks(ROWS_MAX) {
        put_nested(&mut nested, out, |nested| encode_without_summary(bounds, nested));
    }
}

/// What rows of one layout share.
struct Layout {
    schema: i32,
    zero_threshold: f64,
    positive_spans: Vec<Span>,
    negative_spans: Vec<Span>,
    n_positive: usize,
    n_negative: usize,
    custom_bounds: Arc<[f64]>,
}

impl Layout {
    /// What each row takes of [`HISTOGRAM_CELLS_MAX`].
    fn n_cells(&self) -> usize {
        self.n_positive
            + self.n_negative
            + self.positive_spans.len()
            + self.negative_spans.len()
            + self.custom_bounds.len()
    }
}

const TOO_MANY: PageError = PageError::Damaged { what: "more buckets than a page can hold" };

/// Appends the histograms of a page to `out`. Rows of one layout share their custom bounds.
///
/// # Errors
///
/// When `bytes` are no page; `out` may then have some of its histograms.
pub fn decode_histograms(mut bytes: &[u8], out: &mut Vec<Histogram>) -> Result<(), PageError> {
    let src = &mut bytes;
    let n = take_count(src, "number of histograms")?;
    if n == 0 {
        return at_end(src);
    }
    let n_layouts = take_count(src, "number of layouts")?;
    let mut n_cells_left = HISTOGRAM_CELLS_MAX;
    // No capacity before it is earned: a layout takes some ten bytes.
    let mut layouts = Vec::new();
    for _ in 0..n_layouts {
        let layout = take_layout(src, n_cells_left)?;
        n_cells_left = n_cells_left.checked_sub(layout.n_cells()).ok_or(TOO_MANY)?;
        layouts.push(layout);
    }
    let rows = take_ints(src, n)?;
    let flags = take_ints(src, n)?;
    let (mut counts, mut sums, mut zero_counts) = (Vec::new(), Vec::new(), Vec::new());
    for column in [&mut counts, &mut sums, &mut zero_counts] {
        take_floats(src, n, column)?;
    }
    let mut members = vec![0usize; layouts.len()];
    for row in &rows {
        let member = usize::try_from(*row).ok().and_then(|row| members.get_mut(row));
        *member.ok_or(PageError::Damaged { what: "a layout that does not exist" })? += 1;
    }
    let n_cells = layouts
        .iter()
        .zip(&members)
        .try_fold(0usize, |sum, (layout, n_rows)| sum.checked_add(layout.n_cells().checked_mul(*n_rows)?));
    if n_cells.is_none_or(|n_cells| n_cells > HISTOGRAM_CELLS_MAX) {
        return Err(TOO_MANY);
    }
    // Per layout: bucket by bucket, each over the layout's rows.
    let mut buckets = Vec::with_capacity(layouts.len());
    for (layout, n_rows) in layouts.iter().zip(&members) {
        let mut columns = Vec::new();
        for _ in 0..layout.n_positive + layout.n_negative {
            take_floats(src, *n_rows, &mut columns)?;
        }
        buckets.push(columns);
    }
    at_end(src)?;
    let mut next = vec![0usize; layouts.len()];
    out.reserve(n);
    for row in 0..n {
        let idx = rows[row] as usize;
        let (layout, at) = (&layouts[idx], next[idx]);
        next[idx] += 1;
        let bucket = |column: usize| buckets[idx][column * members[idx] + at];
        let (is_integer, reset_hint) = read_flags(flags[row])?;
        out.push(Histogram {
            is_integer,
            reset_hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: zero_counts[row],
            count: counts[row],
            sum: sums[row],
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_buckets: (0..layout.n_positive).map(bucket).collect(),
            negative_buckets: (layout.n_positive..layout.n_positive + layout.n_negative)
                .map(bucket)
                .collect(),
            custom_bounds: Arc::clone(&layout.custom_bounds),
        });
    }
    Ok(())
}

fn read_flags(flags: i64) -> Result<(bool, ResetHint), PageError> {
    let hint = match flags >> 1 {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => return Err(PageError::Damaged { what: "a reset hint that does not exist" }),
    };
    Ok((flags & 1 == 1, hint))
}

fn take_layout(src: &mut &[u8], n_cells_max: usize) -> Result<Layout, PageError> {
    const PART: &str = "layout";
    const OUTSIDE: PageError = PageError::Damaged { what: "a layout outside 32 bits" };
    let schema = i32::try_from(take_zigzag(src, PART)?).map_err(|_| OUTSIDE)?;
    let zero_threshold = f64::from_bits(take_u64(src, PART)?);
    let mut take_spans = || {
        let mut spans = Vec::new();
        let mut n_buckets = 0u64;
        for _ in 0..take_varint(src, PART)? {
            let offset = i32::try_from(take_zigzag(src, PART)?).map_err(|_| OUTSIDE)?;
            let length = u32::try_from(take_varint(src, PART)?).map_err(|_| OUTSIDE)?;
            n_buckets += u64::from(length);
            if n_buckets > n_cells_max as u64 {
                return Err(TOO_MANY);
            }
            spans.push(Span { offset, length });
        }
        Ok((spans, n_buckets as usize))
    };
    let (positive_spans, n_positive) = take_spans()?;
    let (negative_spans, n_negative) = take_spans()?;
    let n_bounds = take_varint(src, PART)?;
    if n_bounds > n_cells_max as u64 {
        return Err(TOO_MANY);
    }
    let mut bounds = Vec::new();
    while bounds.len() < n_bounds as usize {
        let n = (n_bounds as usize - bounds.len()).min(ROWS_MAX);
        take_floats(src, n, &mut bounds)?;
    }
    Ok(Layout {
        schema,
        zero_threshold,
        positive_spans,
        negative_spans,
        n_positive,
        n_negative,
        custom_bounds: bounds.into(),
    })
}

fn take_ints(src: &mut &[u8], n: usize) -> Result<Vec<i64>, PageError> {
    let page = varint::get_bytes(src).ok_or(PageError::Short { part: "column of layouts or flags" })?;
    let mut ints = Vec::new();
    decode_starts(page, &mut ints)?;
    if ints.len() == n { Ok(ints) } else { Err(PageError::Damaged { what: "columns of different lengths" }) }
}

/// Appends a nested page of `n` values.
fn take_floats(src: &mut &[u8], n: usize, out: &mut Vec<f64>) -> Result<(), PageError> {
    let page = varint::get_bytes(src).ok_or(PageError::Short { part: "column of values" })?;
    if n_values(page)? != n {
        return Err(PageError::Damaged { what: "columns of different lengths" });
    }
    decode_values(page, out)
}
