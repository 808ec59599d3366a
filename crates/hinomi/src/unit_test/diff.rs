//! Two texts line by line: what is only in the first with a minus, what is only in the second with a plus.
//!
//! Method: the longest common subsequence of lines by dynamic programming; texts are a few dozen lines.

use crate::terminal::{green, red};

/// Lines compared; of longer texts both are shown whole. Chosen: a table of a million cells.
const LINES_MAX: usize = 1_000;

/// The lines of both, those in common once.
pub(super) fn lines(a: &str, b: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let minus = |line: &&str| red(&format!("- {line}"));
    let plus = |line: &&str| green(&format!("+ {line}"));
    if a.len().max(b.len()) > LINES_MAX {
        return a.iter().map(minus).chain(b.iter().map(plus)).collect::<Vec<_>>().join("\n");
    }
    // `common[i][j]`: lines in common from i and j on.
    let mut common = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] =
                if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out.push(format!("  {}", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && common[i + 1][j] >= common[i][j + 1] {
            out.push(minus(&a[i]));
            i += 1;
        } else {
            out.push(plus(&b[j]));
            j += 1;
        }
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_common_are_there_once() {
        assert_eq!(lines("a\nb\nc", "a\nx\nc\nd"), "  a\n- b\n+ x\n  c\n+ d");
        assert_eq!(lines("", "a"), "+ a");
    }
}
