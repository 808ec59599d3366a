//! 64-bit integers as the smallest of some forms: constant, linear, levels, deltas, second deltas, beside a line.
//!
//! In from `values` (decimal mantissas, bit patterns) and `times`, out to page bytes. All arithmetic wraps at 64 bits, so
//! every integer comes back, and hostile bytes only give other integers.

use stdx::varint;

use super::pack::{self, Lengths, Packing};
use super::{PageError, take_varint, take_zigzag, varint_len, zigzag};

/// Differences are divided by any common divisor while all integers lie in a range below this, otherwise only by powers of
/// two: those divide wrapped differences too.
const RANGE_MAX: u64 = 1 << 62;

/// The forms, by their number in a page's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// All the same.
    Constant,
    /// The same difference each time.
    Linear,
    /// Distances from the lowest, or nearly so.
    Levels,
    /// Differences from the one before.
    Deltas,
    /// Differences of differences.
    Deltas2,
    /// Distances from a straight line.
    Line,
}

impl Form {
    /// By number.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        const FORMS: [Form; 6] =
            [Form::Constant, Form::Linear, Form::Levels, Form::Deltas, Form::Deltas2, Form::Line];
        FORMS.get(usize::from(code)).copied()
    }
}

/// How a list of integers is best encoded.
pub(super) struct Plan {
    pub(super) form: Form,
    /// Divisor of all differences; 1 is not stored.
    pub(super) divisor: u64,
    /// Of what both puts append; exact but for patches far apart.
    pub(super) size_bytes: usize,
    first: i64,
    /// Divided by the divisor.
    deltas: Vec<i64>,
    /// What is taken from each field, before it is packed.
    base: i64,
    /// Only for [`Form::Line`].
    slope: i64,
    width: u32,
}

/// One form tried.
struct Trial {
    form: Form,
    base: i64,
    slope: i64,
    packing: Packing,
    size_bytes: usize,
}

impl Plan {
    /// For `ints`, at least one. `with_line` also tries [`Form::Line`], which pays for clocks only.
    pub(super) fn of(ints: &[i64], with_line: bool) -> Self {
        let first = ints[0];
        let mut deltas: Vec<i64> = ints.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        let divisor = divide(ints, &mut deltas);
        let head = varint_len(zigzag(first)) + if divisor == 1 { 0 } else { varint_len(divisor) };
        let plan = |trial: &Trial, deltas| Self {
            form: trial.form,
            divisor,
            size_bytes: head + trial.size_bytes,
            first,
            deltas,
            base: trial.base,
            slope: trial.slope,
            width: trial.packing.width,
        };
        let nothing = Packing { width: 0, size_bytes: 0 };
        let Some(&step) = deltas.first() else {
            let trial = Trial { form: Form::Constant, base: 0, slope: 0, packing: nothing, size_bytes: 0 };
            return plan(&trial, deltas);
        };
        if deltas.iter().all(|&delta| delta == step) {
            let form = if step == 0 { Form::Constant } else { Form::Linear };
            let size_bytes = if step == 0 { 0 } else { varint_len(zigzag(step)) };
            let trial = Trial { form, base: step, slope: 0, packing: nothing, size_bytes };
            return plan(&trial, deltas);
        }
        let mut best = try_deltas(&deltas);
        for trial in [Some(try_levels(&deltas)), try_deltas2(&deltas), with_line.then(|| try_line(&deltas))] {
            if let Some(trial) = trial
                && trial.size_bytes < best.size_bytes
            {
                best = trial;
            }
        }
        plan(&best, deltas)
    }

    /// Appends the divisor unless it is 1, and the first integer.
    pub(super) fn put_origin(&self, out: &mut Vec<u8>) {
        if self.divisor != 1 {
            varint::put_u64(out, self.divisor);
        }
        varint::put_i64(out, self.first);
    }

    /// Appends what the form needs besides.
    pub(super) fn put_rest(&self, out: &mut Vec<u8>) {
        let base = self.base;
        let fields: Vec<u64> = match self.form {
            Form::Constant => return,
            Form::Linear => return varint::put_i64(out, base),
            Form::Levels => levels(&self.deltas).map(|level| level.wrapping_sub(base) as u64).collect(),
            Form::Deltas => self.deltas.iter().map(|delta| delta.wrapping_sub(base) as u64).collect(),
            Form::Deltas2 => {
                varint::put_i64(out, self.deltas[0]);
                deltas2(&self.deltas).map(|delta2| delta2.wrapping_sub(base) as u64).collect()
            }
            Form::Line => {
                varint::put_i64(out, self.slope);
                distances(&self.deltas, self.slope).map(|far| far.wrapping_sub(base) as u64).collect()
            }
        };
        varint::put_i64(out, base);
        pack::put(&fields, self.width, out);
    }
}

/// Integers but the first, less the first.
fn levels(deltas: &[i64]) -> impl Iterator<Item = i64> {
    distances(deltas, 0)
}

/// As [`levels`], less a line through the first.
fn distances(deltas: &[i64], slope: i64) -> impl Iterator<Item = i64> {
    deltas.iter().scan(0i64, move |level, delta| {
        *level = level.wrapping_add(delta.wrapping_sub(slope));
        Some(*level)
    })
}

fn deltas2(deltas: &[i64]) -> impl Iterator<Item = i64> {
    deltas.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]))
}

/// Divides all differences by the largest divisor that they have in common, and answers it; 1 when there is none.
fn divide(ints: &[i64], deltas: &mut [i64]) -> u64 {
    let (min, max) = ints.iter().fold((i64::MAX, i64::MIN), |(min, max), &int| (min.min(int), max.max(int)));
    let divisor = if max.abs_diff(min) < RANGE_MAX {
        common_divisor(deltas)
    } else {
        let all = deltas.iter().fold(0, |all, delta| all | delta);
        1 << all.trailing_zeros().min(62)
    };
    if divisor <= 1 {
        return 1;
    }
    if divisor.is_power_of_two() {
        let shift = divisor.trailing_zeros();
        deltas.iter_mut().for_each(|delta| *delta >>= shift);
    } else {
        deltas.iter_mut().for_each(|delta| *delta /= divisor as i64);
    }
    divisor
}

/// 0 when all are 0.
fn common_divisor(deltas: &[i64]) -> u64 {
    let mut divisor = 0;
    for delta in deltas {
        let delta = delta.unsigned_abs();
        if divisor == 1 {
            break;
        }
        // Most differences are multiples already: one division, or none.
        if delta != 0 && (divisor == 0 || !delta.is_multiple_of(divisor)) {
            divisor = greatest_common_divisor(divisor, delta);
        }
    }
    divisor
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn trial(form: Form, base: i64, slope: i64, fields: impl Iterator<Item = u64>) -> Trial {
    let packing = Lengths::of(fields).best();
    let size_bytes = packing.size_bytes + varint_len(zigzag(base));
    Trial { form, base, slope, packing, size_bytes }
}

fn try_deltas(deltas: &[i64]) -> Trial {
    let min = deltas.iter().copied().min().unwrap_or(0);
    let with =
        |base: i64| trial(Form::Deltas, base, 0, deltas.iter().map(move |d| d.wrapping_sub(base) as u64));
    let plain = with(min);
    let n_negative = deltas.iter().filter(|&&delta| delta < 0).count();
    // A counter that fell once or twice: its falls are patches, and do not widen all fields.
    if n_negative > 0 && n_negative * 16 < deltas.len() {
        let above = deltas.iter().copied().filter(|&delta| delta >= 0).min().unwrap_or(0);
        let patched = with(above);
        if patched.size_bytes < plain.size_bytes {
            return patched;
        }
    }
    plain
}

fn try_levels(deltas: &[i64]) -> Trial {
    let min = levels(deltas).min().unwrap_or(0);
    trial(Form::Levels, min, 0, levels(deltas).map(|level| level.wrapping_sub(min) as u64))
}

fn try_deltas2(deltas: &[i64]) -> Option<Trial> {
    let min = deltas2(deltas).min()?;
    let mut tried =
        trial(Form::Deltas2, min, 0, deltas2(deltas).map(|delta2| delta2.wrapping_sub(min) as u64));
    tried.size_bytes += varint_len(zigzag(deltas[0]));
    Some(tried)
}

fn try_line(deltas: &[i64]) -> Trial {
    // The commonest difference would be best; the middle one of a few is close to it.
    let mut some: Vec<i64> = deltas.iter().step_by(deltas.len().div_ceil(64)).copied().collect();
    some.sort_unstable();
    let slope = some[some.len() / 2];
    let min = distances(deltas, slope).min().unwrap_or(0);
    let mut tried =
        trial(Form::Line, min, slope, distances(deltas, slope).map(|far| far.wrapping_sub(min) as u64));
    tried.size_bytes += varint_len(zigzag(slope));
    tried
}

/// Where a list of integers begins, and its unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// All differences are multiples of it.
    pub(super) divisor: u64,
    /// The first integer.
    pub(super) first: i64,
}

impl Origin {
    /// Reads what [`Plan::put_origin`] appended, and moves `src` past it.
    pub(super) fn take(src: &mut &[u8], is_divided: bool) -> Result<Self, PageError> {
        let divisor = if is_divided { take_varint(src, "divisor")? } else { 1 };
        Ok(Self { divisor, first: take_zigzag(src, "first value")? })
    }
}

/// Reads `n` integers, at least one, replacing what `out` has, and moves `src` past them.
pub(super) fn take(
    src: &mut &[u8],
    form: Form,
    origin: Origin,
    n: usize,
    fields: &mut Vec<u64>,
    out: &mut Vec<i64>,
) -> Result<(), PageError> {
    out.clear();
    let Origin { divisor, first } = origin;
    let divisor = divisor as i64;
    let n_fields = match form {
        Form::Constant => {
            out.resize(n, first);
            return Ok(());
        }
        Form::Linear => {
            let step = take_zigzag(src, "step")?.wrapping_mul(divisor);
            out.extend((0..n as i64).map(|idx| first.wrapping_add(step.wrapping_mul(idx))));
            return Ok(());
        }
        Form::Levels | Form::Deltas | Form::Line => n.checked_sub(1),
        Form::Deltas2 => n.checked_sub(2),
    };
    let n_fields = n_fields.ok_or(PageError::Damaged { what: "a form that needs more rows" })?;
    let slope = match form {
        Form::Deltas2 | Form::Line => take_zigzag(src, "slope")?.wrapping_mul(divisor),
        _ => 0,
    };
    let base = take_zigzag(src, "base")?.wrapping_mul(divisor);
    pack::take(src, n_fields, fields)?;
    out.resize(n, first);
    let scaled = |field: u64| (field as i64).wrapping_mul(divisor).wrapping_add(base);
    let mut int = first;
    match form {
        Form::Deltas => {
            for (slot, &field) in out[1..].iter_mut().zip(&*fields) {
                int = int.wrapping_add(scaled(field));
                *slot = int;
            }
        }
        Form::Deltas2 => {
            let mut delta = slope;
            int = int.wrapping_add(delta);
            out[1] = int;
            for (slot, &field) in out[2..].iter_mut().zip(&*fields) {
                delta = delta.wrapping_add(scaled(field));
                int = int.wrapping_add(delta);
                *slot = int;
            }
        }
        Form::Line => {
            for (slot, &field) in out[1..].iter_mut().zip(&*fields) {
                int = int.wrapping_add(slope);
                *slot = int.wrapping_add(scaled(field));
            }
        }
        _ => {
            for (slot, &field) in out[1..].iter_mut().zip(&*fields) {
                *slot = first.wrapping_add(scaled(field));
            }
        }
    }
    Ok(())
}

/// Integer number `idx` of `n`, as [`take`] reads them. Does not move `src` to the end.
pub(super) fn at(
    src: &mut &[u8],
    form: Form,
    origin: Origin,
    n: usize,
    idx: usize,
    fields: &mut Vec<u64>,
) -> Result<i64, PageError> {
    let Origin { divisor, first } = origin;
    let divisor = divisor as i64;
    match form {
        Form::Constant => return Ok(first),
        Form::Linear => {
            let step = take_zigzag(src, "step")?.wrapping_mul(divisor);
            return Ok(first.wrapping_add(step.wrapping_mul(idx as i64)));
        }
        Form::Levels | Form::Deltas | Form::Deltas2 | Form::Line => {}
    }
    let n_first = if form == Form::Deltas2 { 2 } else { 1 };
    let n_fields =
        n.checked_sub(n_first).ok_or(PageError::Damaged { what: "a form that needs more rows" })?;
    let slope = match form {
        Form::Deltas2 | Form::Line => take_zigzag(src, "slope")?.wrapping_mul(divisor),
        _ => 0,
    };
    let base = take_zigzag(src, "base")?.wrapping_mul(divisor);
    let scaled = |field: u64| (field as i64).wrapping_mul(divisor).wrapping_add(base);
    if idx < n_first {
        return Ok(if idx == 0 { first } else { first.wrapping_add(slope) });
    }
    let place = idx - n_first;
    match form {
        Form::Deltas => {
            pack::take(src, n_fields, fields)?;
            let sum = fields[..=place].iter().fold(0u64, |sum, field| sum.wrapping_add(*field));
            let bases = base.wrapping_mul(idx as i64);
            Ok(first.wrapping_add((sum as i64).wrapping_mul(divisor)).wrapping_add(bases))
        }
        Form::Deltas2 => {
            pack::take(src, n_fields, fields)?;
            let (mut delta, mut int) = (slope, first.wrapping_add(slope));
            for field in &fields[..=place] {
                delta = delta.wrapping_add(scaled(*field));
                int = int.wrapping_add(delta);
            }
            Ok(int)
        }
        _ => {
            let level = scaled(pack::get(src, n_fields, place)?);
            Ok(first.wrapping_add(slope.wrapping_mul(idx as i64)).wrapping_add(level))
        }
    }
}
