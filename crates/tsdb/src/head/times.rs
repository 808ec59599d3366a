//! The times of a page's rows: regular scrapes take no memory a row, jitter takes a byte or two.
//!
//! Differences of differences as zigzag varints; a run of zeros is one zero and a count. Strictly rising by its callers.

use stdx::varint;

/// Strictly rising Unix milliseconds, added at the end only.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    n: u32,
    first_ms: i64,
    last_ms: i64,
    step_ms: i64,
    /// Zeros that are not in `bytes` yet.
    n_zeros: u32,
    bytes: Vec<u8>,
}

impl Times {
    pub(crate) fn len(&self) -> u32 {
        self.n
    }

    pub(crate) fn first_ms(&self) -> Option<i64> {
        (self.n > 0).then_some(self.first_ms)
    }

    pub(crate) fn last_ms(&self) -> Option<i64> {
        (self.n > 0).then_some(self.last_ms)
    }

    /// The difference between the last two; what the next row is expected after.
    pub(crate) fn step_ms(&self) -> i64 {
        self.step_ms
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a row; returns its number.
    pub(crate) fn push(&mut self, t_ms: i64) -> u32 {
        let row = self.n;
        if row == 0 {
            (self.first_ms, self.step_ms) = (t_ms, 0);
        } else {
            let step_ms = t_ms.wrapping_sub(self.last_ms);
            let bend = step_ms.wrapping_sub(self.step_ms);
            if bend == 0 {
                self.n_zeros += 1;
            } else {
                if self.n_zeros > 0 {
                    varint::put_i64(&mut self.bytes, 0);
                    varint::put_u64(&mut self.bytes, u64::from(self.n_zeros));
                    self.n_zeros = 0;
                }
                varint::put_i64(&mut self.bytes, bend);
            }
            self.step_ms = step_ms;
        }
        self.last_ms = t_ms;
        self.n += 1;
        row
    }

    /// All of them.
    pub(crate) fn decode(&self) -> Vec<i64> {
        let mut out = Vec::with_capacity(self.n as usize);
        if self.n == 0 {
            return out;
        }
        let (mut t_ms, mut step_ms) = (self.first_ms, 0i64);
        out.push(t_ms);
        let mut run = |bend: i64, n: u64, out: &mut Vec<i64>| {
            step_ms = step_ms.wrapping_add(bend);
            for _ in 0..n {
                t_ms = t_ms.wrapping_add(step_ms);
                out.push(t_ms);
            }
        };
        let mut src = &self.bytes[..];
        while let Some(bend) = varint::get_i64(&mut src) {
            let n = if bend == 0 { varint::get_u64(&mut src).unwrap_or(0) } else { 1 };
            run(bend, n, &mut out);
        }
        run(0, u64::from(self.n_zeros), &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_come_back(first: i32, steps in proptest::collection::vec(prop_oneof![Just(15_000i64), 1i64..20, 1i64..1 << 40], 0..60)) {
            let mut times = Times::default();
            let mut t_ms = i64::from(first);
            let mut sent = vec![t_ms];
            times.push(t_ms);
            for step in steps {
                t_ms += step;
                times.push(t_ms);
                sent.push(t_ms);
            }
            prop_assert_eq!(times.first_ms(), sent.first().copied());
            prop_assert_eq!(times.last_ms(), sent.last().copied());
            prop_assert_eq!(times.decode(), sent);
        }
    }

    #[test]
    fn regular_rows_take_no_memory() {
        let mut times = Times::default();
        (0..1_000).for_each(|row| {
            times.push(row * 15_000);
        });
        assert!(times.memory_bytes() <= 8, "{}", times.memory_bytes());
    }
}
