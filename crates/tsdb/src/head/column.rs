//! One series in one page: "from row r on the value is v".
//!
//! In from `group`, row by row; out as runs of rows with one value. Most columns never change in a page and are
//! these few bytes; the others add two to four bytes a change.
//! Invariant: `last`, `exp` and the base flag are a function of the rows since the page began, so that the log, which codes values
//! against them, is read back with the same state that wrote it.

use model::STALE_NAN_BITS;
use stdx::varint;

use crate::coded::decimal::{self, EXP_RAW};
use crate::coded::{Base, Coded};

/// No series: the place of a column that was refused, moved or removed.
pub(crate) const NO_SERIES: u32 = u32::MAX;
/// No row.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// A following column that has its last value at every further row.
const LIVE: u8 = 1;
/// The value at row 0 is not among the events, and `last` until the first of them.
const CARRIED: u8 = 2;
/// `last` and `exp` are what the next value is coded against.
const BASE: u8 = 4;
/// Had a sample in the last row of the page before.
const AT_LAST: u8 = 8;
/// Has had no samples in the page before.
const IDLE: u8 = 16;
/// Its series is now a column elsewhere.
const CLOSED: u8 = 32;

const KIND_DELTA: u64 = 0;
const KIND_DECIMAL: u64 = 1;
const KIND_RAW: u64 = 2;
const KIND_ABSENT: u64 = 3;

/// A column of a page.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Whose samples these are.
    pub(crate) series: u32,
    /// Row of the last event.
    last_row: u32,
    /// Last row with a sample of a column that is not live; [`NO_ROW`] for none.
    upto: u32,
    exp: u8,
    flags: u8,
    /// The newest value's bits.
    last: u64,
    events: Vec<u8>,
}

/// Longest event, in bytes: rows apart with the kind, exponent, mantissa.
const EVENT_BYTES_MAX: usize = 5 + 1 + varint::VARINT_BYTES_MAX;
/// Events grow by so many bytes at least, but for the first. Chosen: some five events.
const GROW_BYTES_MIN: usize = 16;

/// An event being written.
struct Event {
    bytes: [u8; EVENT_BYTES_MAX],
    len: usize,
}

impl Event {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// As [`varint::put_u64`].
    #[inline]
    fn put_u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(&[(value as u8 & 0x7f) | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    /// As [`varint::put_i64`].
    #[inline]
    fn put_i64(&mut self, value: i64) {
        self.put_u64(((value << 1) ^ (value >> 63)) as u64);
    }
}

impl Column {
    pub(crate) fn new(series: u32) -> Self {
        Self {
            series,
            last_row: 0,
            upto: NO_ROW,
            exp: EXP_RAW,
            flags: 0,
            last: STALE_NAN_BITS,
            events: Vec::new(),
        }
    }

    /// The column of the next page.
    pub(crate) fn next_page(&self, n_rows: u32) -> Self {
        let mut next = Self::new(self.series);
        next.last = self.last;
        next.flags = self.flags & CLOSED;
        if self.is_live() {
            next.flags |= LIVE | CARRIED | BASE;
            next.exp = decimal::shortest(f64::from_bits(self.last), 0).map_or(EXP_RAW, |(exp, _)| exp);
        }
        if self.has_sample_at_end(n_rows) {
            next.flags |= AT_LAST;
        }
        if !self.has_samples(n_rows) {
            next.flags |= IDLE;
        }
        next
    }

    /// Moves the page's samples out, and goes on in the next page.
    pub(crate) fn turn_page(&mut self, n_rows: u32) -> Self {
        let next = self.next_page(n_rows);
        std::mem::replace(self, next)
    }

    /// Whether it can take samples.
    pub(crate) fn is_open(&self) -> bool {
        self.series != NO_SERIES && self.flags & CLOSED == 0
    }

    pub(crate) fn is_live(&self) -> bool {
        self.flags & LIVE != 0
    }

    /// Whether the page before had no samples of it.
    pub(crate) fn was_idle(&self) -> bool {
        self.flags & IDLE != 0
    }

    /// Whether it had a sample in the last row of the page before this one.
    pub(crate) fn was_at_last(&self) -> bool {
        self.flags & AT_LAST != 0
    }

    /// The newest value, of this page or carried.
    pub(crate) fn last_bits(&self) -> u64 {
        self.last
    }

    /// Last row with a sample in this page of `n_rows`.
    pub(crate) fn upto(&self, n_rows: u32) -> Option<u32> {
        let end = self.end(n_rows);
        (end > 0 && (self.flags & CARRIED != 0 || !self.events.is_empty())).then(|| end - 1)
    }

    pub(crate) fn has_samples(&self, n_rows: u32) -> bool {
        self.upto(n_rows).is_some()
    }

    fn has_sample_at_end(&self, n_rows: u32) -> bool {
        n_rows > 0 && self.upto(n_rows) == Some(n_rows - 1)
    }

    /// The row after the last one that can have a sample.
    fn end(&self, n_rows: u32) -> u32 {
        if self.is_live() { n_rows } else { self.upto.wrapping_add(1) }
    }

    /// Whether a sample may come at `row`: no event is after it, and no explicit sample there or later.
    pub(crate) fn takes_at(&self, row: u32) -> bool {
        row >= self.last_row && (self.is_live() || self.upto == NO_ROW || row > self.upto)
    }

    /// What the log codes the next value against.
    pub(crate) fn base(&self) -> Option<Base> {
        (self.flags & BASE != 0).then_some(Base { bits: self.last, exp: self.exp })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.events.capacity()
    }

    /// A row of a following column in which its value changes.
    #[inline]
    pub(crate) fn put_following(&mut self, row: u32, bits: u64) {
        if row == 0 {
            let (_, base) = Base::code(None, bits);
            (self.last, self.exp) = (base.bits, base.exp);
            self.flags |= CARRIED | BASE;
        } else {
            self.put_event(row, bits);
        }
        if bits == STALE_NAN_BITS {
            self.flags &= !LIVE;
            self.upto = row;
        } else {
            self.flags |= LIVE;
            self.upto = NO_ROW;
        }
    }

    /// A sample of an explicit column; `row` is after its last one.
    #[inline]
    pub(crate) fn put_explicit(&mut self, row: u32, bits: u64) {
        let goes_on = self.upto != NO_ROW && row == self.upto + 1;
        if self.upto != NO_ROW && !goes_on {
            self.put_gap(self.upto + 1);
        }
        if !goes_on || bits != self.last || bits == STALE_NAN_BITS {
            self.put_event(row, bits);
        }
        self.upto = row;
    }

    /// Ends a column, before row `n_rows` where it is live.
    pub(crate) fn close(&mut self, n_rows: u32) {
        self.flags |= CLOSED;
        if self.is_live() {
            self.upto = n_rows.wrapping_sub(1);
            self.flags &= !(LIVE | BASE);
            if n_rows == 0 {
                self.flags &= !CARRIED;
            }
        }
    }

    /// A page begins that says itself what lives.
    pub(crate) fn forget(&mut self) {
        self.flags &= !(LIVE | CARRIED | BASE);
        self.upto = NO_ROW;
    }

    fn put_gap(&mut self, row: u32) {
        let event = self.event(row, KIND_ABSENT);
        self.put(&event);
    }

    /// The beginning of an event at `row`, which is then the last one's.
    #[inline]
    fn event(&mut self, row: u32, kind: u64) -> Event {
        let mut event = Event { bytes: [0; EVENT_BYTES_MAX], len: 0 };
        event.put_u64(u64::from(row - self.last_row) << 2 | kind);
        self.last_row = row;
        event
    }

    #[inline]
    fn put(&mut self, event: &Event) {
        let bytes = &event.bytes[..event.len];
        if self.events.capacity() - self.events.len() < bytes.len() {
            self.grow(bytes.len());
        }
        self.events.extend_from_slice(bytes);
    }

    /// Grows in the steps that allocators have: doubling would leave a third of all events' memory unused.
    #[cold]
    fn grow(&mut self, n_bytes: usize) {
        let len = self.events.len();
        let step = if len == 0 { 0 } else { (len / 3).max(GROW_BYTES_MIN) };
        let wanted = len + n_bytes + step;
        let unit = (wanted.next_power_of_two() / 8).max(16);
        self.events.reserve_exact(wanted.next_multiple_of(unit) - len);
    }

    fn put_event(&mut self, row: u32, bits: u64) {
        if self.flags & CARRIED != 0 && self.events.is_empty() {
            let (coded, _) = Base::code(None, self.last);
            self.put_coded(0, coded);
        }
        let (coded, base) = Base::code(self.base(), bits);
        self.put_coded(row, coded);
        (self.last, self.exp) = (base.bits, base.exp);
        self.flags |= BASE;
    }

    fn put_coded(&mut self, row: u32, coded: Coded) {
        let event = match coded {
            Coded::Delta(delta) => {
                let mut event = self.event(row, KIND_DELTA);
                event.put_i64(delta);
                event
            }
            Coded::Decimal(exp, mantissa) => {
                let mut event = self.event(row, KIND_DECIMAL);
                event.put(&[exp]);
                event.put_i64(mantissa);
                event
            }
            Coded::Raw(bits) => {
                let mut event = self.event(row, KIND_RAW);
                event.put(&bits.to_le_bytes());
                event
            }
        };
        self.put(&event);
    }

    /// Hands `take` runs of rows `from..to` with one value each, in order, of a page of `n_rows`.
    pub(crate) fn runs(&self, n_rows: u32, mut take: impl FnMut(u32, u32, u64)) {
        let end = self.end(n_rows);
        let mut emit = |from: u32, to: u32, bits: u64| {
            // The marker stands in its own row only; an explicit column says each of them.
            let to = if bits == STALE_NAN_BITS { to.min(from + 1) } else { to };
            if from < to.min(end) {
                take(from, to.min(end), bits);
            }
        };
        if self.events.is_empty() {
            if self.flags & CARRIED != 0 {
                emit(0, end, self.last);
            }
            return;
        }
        let mut src = &self.events[..];
        let (mut row, mut value, mut present): (u32, Option<Base>, bool) = (0, None, false);
        while let Some(head) = varint::get_u64(&mut src) {
            let next_row = row.wrapping_add((head >> 2) as u32);
            if present && let Some(value) = value {
                emit(row, next_row, value.bits);
            }
            row = next_row;
            present = head & 3 != KIND_ABSENT;
            if present {
                let coded = match head & 3 {
                    KIND_DELTA => varint::get_i64(&mut src).map(Coded::Delta),
                    KIND_DECIMAL => {
                        let exp = src.split_off_first().copied();
                        exp.and_then(|exp| varint::get_i64(&mut src).map(|m| Coded::Decimal(exp, m)))
                    }
                    _ => src.split_first_chunk::<8>().map(|(bytes, rest)| {
                        src = rest;
                        Coded::Raw(u64::from_le_bytes(*bytes))
                    }),
                };
                value = coded.and_then(|coded| Base::decode(value, coded));
            }
        }
        if present && let Some(value) = value {
            emit(row, end.max(row), value.bits);
        }
    }

    /// The last of the rows `first..end` that has a sample, and its bits, in a page of `n_rows`.
    pub(crate) fn newest_in(&self, n_rows: u32, first: u32, end: u32) -> Option<(u32, u64)> {
        // Fast path: the last event is before the end, and what it says holds on, or for its row.
        let begun = if self.events.is_empty() {
            (self.flags & CARRIED != 0).then_some(0)
        } else {
            Some(self.last_row)
        };
        let upto = self.end(n_rows).min(end);
        if let Some(row) = begun.filter(|row| *row < upto) {
            let row = if self.last == STALE_NAN_BITS { row } else { upto - 1 };
            return (row >= first).then_some((row, self.last));
        }
        let mut found = None;
        self.runs(n_rows, |from, to, bits| {
            let to = to.min(end);
            if from < to && to > first {
                found = Some((to - 1, bits));
            }
        });
        found
    }

    /// The value at `row`, when it has a sample there.
    pub(crate) fn at(&self, n_rows: u32, row: u32) -> Option<u64> {
        let mut found = None;
        self.runs(n_rows, |from, to, bits| {
            if (from..to).contains(&row) {
                found = Some(bits);
            }
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            (0i64..50).prop_map(|v| (v as f64).to_bits()),
            (0i64..5_000).prop_map(|v| (v as f64 / 100.0).to_bits()),
            any::<u64>(),
            Just(STALE_NAN_BITS),
        ]
    }

    fn samples(column: &Column, n_rows: u32) -> Vec<Option<u64>> {
        let mut out = vec![None; n_rows as usize];
        column.runs(n_rows, |from, to, bits| {
            (from..to).for_each(|row| assert_eq!(out[row as usize].replace(bits), None));
        });
        out
    }

    /// Against all samples, for every stretch of rows.
    fn check_newest(column: &Column, n_rows: u32) {
        let all = samples(column, n_rows);
        for (first, end) in (0..=n_rows).flat_map(|end| (0..=end).map(move |first| (first, end))) {
            let expected = (first..end).rev().find_map(|row| Some((row, all[row as usize]?)));
            assert_eq!(column.newest_in(n_rows, first, end), expected, "{first}..{end} of {all:?}");
        }
    }

    proptest! {
        #[test]
        fn a_following_column_is_its_last_value_until_a_marker(
            rows in proptest::collection::vec(proptest::option::weighted(0.4, value()), 1..60),
            turns in proptest::collection::vec(proptest::bool::weighted(0.1), 60),
        ) {
            let mut column = Column::new(1);
            let (mut row, mut expected, mut last) = (0, Vec::new(), None);
            for (change, turn) in rows.into_iter().zip(turns) {
                if turn && row > 0 {
                    let page = column.turn_page(row);
                    check_newest(&page, row);
                    prop_assert_eq!(samples(&page, row), std::mem::take(&mut expected));
                    row = 0;
                }
                if let Some(bits) = change {
                    column.put_following(row, bits);
                    last = Some(bits);
                }
                expected.push(last);
                last = last.filter(|bits| *bits != STALE_NAN_BITS);
                row += 1;
                prop_assert_eq!(column.is_live(), last.is_some());
                prop_assert_eq!(column.has_samples(row), expected.iter().any(Option::is_some));
            }
            check_newest(&column, row);
            prop_assert_eq!(samples(&column, row), expected);
        }

        #[test]
        fn an_explicit_column_has_the_rows_it_was_given(
            rows in proptest::collection::vec(proptest::option::weighted(0.6, value()), 1..60),
        ) {
            let mut column = Column::new(1);
            for (row, sample) in rows.iter().enumerate() {
                if let Some(bits) = sample {
                    column.put_explicit(row as u32, *bits);
                }
            }
            check_newest(&column, rows.len() as u32);
            prop_assert_eq!(samples(&column, rows.len() as u32), rows);
        }
    }

    #[test]
    fn a_column_is_small() {
        assert_eq!(size_of::<Column>(), 48);
    }
}
