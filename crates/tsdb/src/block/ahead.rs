//! What the disk was told to read ahead of a file, so that it is told once.
//!
//! In: stretches that a reader will come to; out: advice to the file. A page that the machine has let go of since is read when it is needed, as
//! any other.

use std::ops::Range;

use parking_lot::Mutex;
use roaring::RoaringBitmap;
use stdx::File;

/// Asked for as one. Chosen: little beside what is needed is read at either end.
const WINDOW_BYTES: u64 = 64 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Numbers of windows that were asked for.
    asked: Mutex<RoaringBitmap>,
}

impl Ahead {
    /// Asks for those of `bytes` that were not asked for yet, whole windows where `file` has them.
    pub(super) fn ask(&self, file: &dyn File, bytes: Range<u64>) {
        let window = |at: u64| u32::try_from(at / WINDOW_BYTES).unwrap_or(u32::MAX - 1);
        if bytes.is_empty() {
            return;
        }
        let (first, last) = (window(bytes.start), window(bytes.end - 1));
        let mut asked = self.asked.lock();
        if asked.contains_range(first..=last) {
            return;
        }
        let mut from = None;
        for number in first..=last {
            match (asked.insert(number), from) {
                (true, None) => from = Some(number),
                (false, Some(begin)) => {
                    tell(file, begin, number);
                    from = None;
                }
                _ => {}
            }
        }
        if let Some(begin) = from {
            tell(file, begin, last + 1);
        }
    }
}

/// Asks for the windows `from..to`.
fn tell(file: &dyn File, from: u32, to: u32) {
    file.will_need(u64::from(from) * WINDOW_BYTES, u64::from(to - from) * WINDOW_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Told(Mutex<Vec<(u64, u64)>>);

    impl File for Told {
        fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
            Ok(())
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
            Ok(0)
        }

        fn will_need(&self, offset_bytes: u64, n_bytes: u64) {
            self.0.lock().push((offset_bytes, n_bytes));
        }

        fn sync(&mut self) -> std::io::Result<()> {
            Ok(())
        }

        fn len(&self) -> std::io::Result<u64> {
            Ok(0)
        }

        fn truncate(&mut self, _: u64) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_window_is_asked_for_once() {
        let (ahead, file) = (Ahead::default(), Told::default());
        let check = |bytes: Range<u64>, windows: &[(u64, u64)]| {
            ahead.ask(&file, bytes.clone());
            let told = std::mem::take(&mut *file.0.lock());
            let expected = windows.iter().map(|(from, to)| (from * WINDOW_BYTES, (to - from) * WINDOW_BYTES));
            let expected: Vec<(u64, u64)> = expected.collect();
            assert_eq!(told, expected, "{bytes:?}");
        };
        check(0..0, &[]);
        check(10..20, &[(0, 1)]);
        check(0..WINDOW_BYTES, &[]);
        check(WINDOW_BYTES - 1..WINDOW_BYTES + 1, &[(1, 2)]);
        check(4 * WINDOW_BYTES..4 * WINDOW_BYTES + 1, &[(4, 5)]);
        check(0..6 * WINDOW_BYTES, &[(2, 4), (5, 6)]);
    }
}
