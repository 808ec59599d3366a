//! Rows as the log has them: which columns are named, and their values as differences.
//!
//! Pure: a row and what it is coded against in, bytes out, and back. Columns are coded against those of the row before, since the
//! same ones change again and again; values against their columns' last. Bytes from disk passed a checksum, and are still not trusted.

use stdx::bits::{BitReader, BitWriter};
use stdx::varint;

use super::record::BadRecord;
use crate::coded::{Base, Coded};
use crate::row::{GroupKind, Row};

/// Columns a group may have in the log. Chosen: far above what a target has, and little memory should a record lie.
pub(crate) const COLUMNS_MAX: u32 = 1 << 22;

const SET_SAME: u8 = 0;
const SET_CHANGES: u8 = 1;
const SET_GAPS: u8 = 2;
const SET_BITMAP: u8 = 3;
const SET_FIRST_N: u8 = 4;

/// Bits of a difference for each of seven classes; the eighth is anything else. Chosen by measuring recorded node_exporter
/// pages and counters of busy hosts; a row takes the cheapest.
const WIDTHS: [[u32; 7]; 4] = [
    [1, 2, 4, 6, 9, 12, 16],
    [2, 4, 7, 10, 13, 17, 22],
    [3, 6, 9, 12, 16, 20, 26],
    [5, 9, 13, 17, 22, 28, 36],
];
const CLASS_OTHER: u64 = 7;

const OTHER_LONG: u64 = 0;
const OTHER_DECIMAL: u64 = 1;
const OTHER_RAW: u64 = 2;
const OTHER_STALE: u64 = 3;

/// What a row is coded against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowBase<'a> {
    pub(crate) kind: GroupKind,
    /// Time of the row before and the step to it; zeros before the first row of a page.
    pub(crate) last_ms: i64,
    pub(crate) step_ms: i64,
    /// Rows of the page.
    pub(crate) n_rows: u32,
    /// Columns of the row before.
    pub(crate) mask: &'a [u64],
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// Columns of `changes` as a set.
pub(crate) fn mask_of(changes: &[(u32, u64)]) -> Vec<u64> {
    let n_words = changes.last().map_or(0, |(last, _)| *last as usize / 64 + 1);
    let mut mask = vec![0u64; n_words];
    for (column, _) in changes {
        mask[*column as usize / 64] |= 1 << (column % 64);
    }
    mask
}

fn members(mask: &[u64]) -> impl Iterator<Item = u32> + '_ {
    mask.iter().enumerate().flat_map(|(idx, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(idx as u32 * 64 + bit)
        })
    })
}

fn put_gaps(out: &mut Vec<u8>, columns: impl Iterator<Item = u32>) {
    let mut next = 0;
    for column in columns {
        varint::put_u64(out, u64::from(column - next));
        next = column + 1;
    }
}

/// Appends the set `mask`, the shortest of a few ways.
fn put_set(out: &mut Vec<u8>, mask: &[u64], before: &[u64]) {
    let n: usize = mask.iter().map(|word| word.count_ones() as usize).sum();
    let n_words = mask.len().max(before.len());
    let word = |set: &[u64], idx: usize| set.get(idx).copied().unwrap_or(0);
    let changes: Vec<u64> = (0..n_words).map(|idx| word(mask, idx) ^ word(before, idx)).collect();
    let n_changes: usize = changes.iter().map(|word| word.count_ones() as usize).sum();
    let is_prefix = members(mask).last().is_some_and(|last| last as usize + 1 == n);
    let n_bitmap = mask.len() * 8;
    if n_changes == 0 {
        out.push(SET_SAME);
    } else if is_prefix {
        out.push(SET_FIRST_N);
        varint::put_u64(out, n as u64);
    } else if n_bitmap < n.min(n_changes) {
        out.push(SET_BITMAP);
        varint::put_u64(out, n_bitmap as u64);
        mask.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    } else if n_changes < n {
        out.push(SET_CHANGES);
        varint::put_u64(out, n_changes as u64);
        put_gaps(out, members(&changes));
    } else {
        out.push(SET_GAPS);
        varint::put_u64(out, n as u64);
        put_gaps(out, members(mask));
    }
}

fn get_gaps(src: &mut &[u8], mask: &mut Vec<u64>) -> Option<()> {
    let n = varint::get_u64(src)?;
    let mut next = 0u64;
    for _ in 0..n {
        let column = next.checked_add(varint::get_u64(src)?)?;
        if column >= u64::from(COLUMNS_MAX) {
            return None;
        }
        let idx = column as usize / 64;
        if mask.len() <= idx {
            mask.resize(idx + 1, 0);
        }
        mask[idx] ^= 1 << (column % 64);
        next = column + 1;
    }
    Some(())
}

fn get_set(src: &mut &[u8], before: &[u64]) -> Option<Vec<u64>> {
    let (&mode, rest) = src.split_first()?;
    *src = rest;
    let mut mask = Vec::new();
    match mode {
        SET_SAME => mask = before.to_vec(),
        SET_CHANGES => {
            mask = before.to_vec();
            get_gaps(src, &mut mask)?;
        }
        SET_GAPS => get_gaps(src, &mut mask)?,
        SET_BITMAP => {
            let bytes = varint::get_bytes(src).filter(|bytes| bytes.len() % 8 == 0)?;
            if bytes.len() > COLUMNS_MAX as usize / 8 {
                return None;
            }
            let words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
            mask = words.collect();
        }
        SET_FIRST_N => {
            let n = varint::get_u64(src).filter(|n| *n <= u64::from(COLUMNS_MAX))?;
            mask = vec![u64::MAX; n as usize / 64];
            if n % 64 > 0 {
                mask.push((1 << (n % 64)) - 1);
            }
        }
        _ => return None,
    }
    while mask.last() == Some(&0) {
        mask.pop();
    }
    Some(mask)
}

/// The cheapest row of [`WIDTHS`] for these differences.
fn cheapest(codes: &[Coded], skip_zero: bool) -> usize {
    let mut n_of_width = [0u32; 65];
    for code in codes {
        if let Coded::Delta(delta) = code
            && (*delta != 0 || !skip_zero)
        {
            n_of_width[(64 - zigzag(*delta).leading_zeros()) as usize] += 1;
        }
    }
    let cost = |widths: &[u32; 7]| -> u64 {
        let cost_of = |width: u32| widths.iter().find(|w| **w >= width).map_or(width + 9, |w| *w + 3);
        n_of_width.iter().enumerate().map(|(width, n)| u64::from(*n) * u64::from(cost_of(width as u32))).sum()
    };
    (0..WIDTHS.len()).min_by_key(|idx| cost(&WIDTHS[*idx])).unwrap_or(0)
}

fn put_value(bits: &mut BitWriter, code: Coded, widths: &[u32; 7], has_zero_bit: bool) {
    if has_zero_bit {
        let zero = code == Coded::Delta(0);
        bits.put(u64::from(!zero), 1);
        if zero {
            return;
        }
    }
    let other = |bits: &mut BitWriter, which: u64| bits.put(CLASS_OTHER << 2 | which, 5);
    let put_long = |bits: &mut BitWriter, raw: u64| {
        let n_bits = (64 - raw.leading_zeros()).max(1);
        bits.put(u64::from(n_bits - 1), 6);
        bits.put(raw, n_bits);
    };
    match code {
        Coded::Delta(delta) => {
            let raw = zigzag(delta);
            let n_bits = 64 - raw.leading_zeros();
            match widths.iter().position(|width| *width >= n_bits) {
                Some(class) => {
                    bits.put(class as u64, 3);
                    bits.put(raw, widths[class]);
                }
                None => {
                    other(bits, OTHER_LONG);
                    put_long(bits, raw);
                }
            }
        }
        Coded::Decimal(exp, mantissa) => {
            other(bits, OTHER_DECIMAL);
            bits.put(u64::from(exp), 4);
            put_long(bits, zigzag(mantissa));
        }
        Coded::Raw(model::STALE_NAN_BITS) => other(bits, OTHER_STALE),
        Coded::Raw(raw) => {
            other(bits, OTHER_RAW);
            bits.put(raw, 64);
        }
    }
}

fn get_value(bits: &mut BitReader<'_>, widths: &[u32; 7], has_zero_bit: bool) -> Option<Coded> {
    if has_zero_bit && !bits.bit()? {
        return Some(Coded::Delta(0));
    }
    let get_long = |bits: &mut BitReader<'_>| {
        let n_bits = bits.get(6)? as u32 + 1;
        bits.get(n_bits)
    };
    let class = bits.get(3)?;
    if class != CLASS_OTHER {
        return bits.get(widths[class as usize]).map(|raw| Coded::Delta(unzigzag(raw)));
    }
    match bits.get(2)? {
        OTHER_LONG => get_long(bits).map(|raw| Coded::Delta(unzigzag(raw))),
        OTHER_DECIMAL => {
            let exp = bits.get(4)? as u8;
            get_long(bits).map(|raw| Coded::Decimal(exp, unzigzag(raw)))
        }
        OTHER_RAW => bits.get(64).map(Coded::Raw),
        _ => Some(Coded::Raw(model::STALE_NAN_BITS)),
    }
}

/// Appends the row `row` (its mask is set here) as coded against `against` and each column's `base`.
pub(crate) fn put_row(
    out: &mut Vec<u8>,
    row: &mut Row,
    against: RowBase<'_>,
    mut base: impl FnMut(u32) -> Option<Base>,
) {
    let explicit = against.kind == GroupKind::Explicit;
    row.mask = mask_of(&row.changes);
    match row.join {
        Some(at) => varint::put_u64(out, u64::from(against.n_rows - 1 - at)),
        None if row.full => varint::put_i64(out, row.t_ms),
        None => {
            let step_ms = row.t_ms.wrapping_sub(against.last_ms);
            varint::put_i64(out, step_ms.wrapping_sub(against.step_ms));
        }
    }
    put_set(out, &row.mask, if row.full { &[] } else { against.mask });
    let code = |(column, bits): &(u32, u64)| Base::code(if row.full { None } else { base(*column) }, *bits).0;
    let codes: Vec<Coded> = row.changes.iter().map(code).collect();
    let table = cheapest(&codes, explicit);
    out.push(table as u8);
    let mut bits = BitWriter::after(std::mem::take(out));
    codes.iter().for_each(|code| put_value(&mut bits, *code, &WIDTHS[table], explicit));
    *out = bits.finish();
}

/// Reads what [`put_row`] wrote, all of `src`. `full` and `join` come from the item's head.
pub(crate) fn get_row(
    mut src: &[u8],
    full: bool,
    join: bool,
    against: RowBase<'_>,
    mut base: impl FnMut(u32) -> Option<Base>,
) -> Result<Row, BadRecord> {
    let bad = || BadRecord("row is not as it must be");
    let src = &mut src;
    let explicit = against.kind == GroupKind::Explicit;
    let mut row = Row { full, ..Row::default() };
    if join {
        let back = varint::get_u64(src).and_then(|back| u32::try_from(back).ok()).ok_or_else(bad)?;
        let at = against.n_rows.checked_sub(1).and_then(|last| last.checked_sub(back)).ok_or_else(bad)?;
        row.join = Some(at);
    } else {
        let t_ms = varint::get_i64(src).ok_or_else(bad)?;
        row.t_ms = if full { t_ms } else { against.last_ms.wrapping_add(against.step_ms.wrapping_add(t_ms)) };
        if !full && row.t_ms <= against.last_ms {
            return Err(bad());
        }
    }
    row.mask = get_set(src, if full { &[] } else { against.mask }).ok_or_else(bad)?;
    let (&table, rest) = src.split_first().ok_or_else(bad)?;
    let widths = WIDTHS.get(usize::from(table)).ok_or_else(bad)?;
    let mut bits = BitReader::new(rest);
    for column in members(&row.mask) {
        let coded = get_value(&mut bits, widths, explicit).ok_or_else(bad)?;
        let value = Base::decode(if full { None } else { base(column) }, coded).ok_or_else(bad)?;
        row.changes.push((column, value.bits));
    }
    if bits.bytes_read() == rest.len() { Ok(row) } else { Err(BadRecord("bytes after the end of a row")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            4 => (0i64..500).prop_map(|v| (v as f64).to_bits()),
            2 => (0i64..5_000).prop_map(|v| (v as f64 / 100.0).to_bits()),
            1 => any::<u64>(),
            1 => Just(model::STALE_NAN_BITS),
        ]
    }

    proptest! {
        #[test]
        fn rows_come_back(
            explicit: bool,
            rows in proptest::collection::vec((1i64..100_000, proptest::collection::btree_map(0u32..300, value(), 0..40)), 1..12),
        ) {
            let kind = if explicit { GroupKind::Explicit } else { GroupKind::Following };
            let (mut last_ms, mut step_ms, mut mask) = (0i64, 0i64, Vec::new());
            let mut bases: BTreeMap<u32, Base> = BTreeMap::new();
            for (n_rows, (step, changes)) in rows.into_iter().enumerate() {
                let full = n_rows == 0;
                let join = (step % 5 == 0 && !full).then(|| n_rows as u32 - 1);
                let against = RowBase { kind, last_ms, step_ms, n_rows: n_rows as u32, mask: &mask };
                let t_ms = if join.is_some() { 0 } else { last_ms + step };
                let mut row = Row { t_ms, full, join, changes: changes.into_iter().collect(), mask: Vec::new() };
                let mut bytes = Vec::new();
                put_row(&mut bytes, &mut row, against, |column| bases.get(&column).copied());
                let back = get_row(&bytes, full, join.is_some(), against, |column| bases.get(&column).copied());
                prop_assert_eq!(back.as_ref(), Ok(&row));
                for len in 0..bytes.len() {
                    let _ = get_row(&bytes[..len], full, join.is_some(), against, |column| bases.get(&column).copied());
                }
                if join.is_none() {
                    (step_ms, last_ms) = (if full { 0 } else { t_ms - last_ms }, t_ms);
                }
                for (column, bits) in &row.changes {
                    let base = if full { None } else { bases.get(column).copied() };
                    let (_, next) = Base::code(base, *bits);
                    bases.insert(*column, next);
                }
                mask = row.mask;
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>, full: bool, join: bool) {
            let against = RowBase { kind: GroupKind::Explicit, last_ms: 5, step_ms: 5, n_rows: 3, mask: &[7] };
            let _ = get_row(&bytes, full, join, against, |_| None);
        }
    }
}
