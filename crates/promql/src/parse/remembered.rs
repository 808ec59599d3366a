//! Matchers with regular expressions that were parsed lately: the same questions are asked again and again, and compiling an expression takes
//! longer than matching it against a thousand values.
//!
//! Only short ones are kept, so that what is kept stays small. Refusals are not remembered.

use model::regex::RegexError;
use model::{MatchOp, Matcher};
use parking_lot::Mutex;

/// Matchers remembered. Chosen: those of a few dashboards; an automaton mostly takes some 50 KB, and never more than a few megabytes.
const MATCHERS_MAX: usize = 32;
/// Longer expressions are compiled each time. Chosen.
const PATTERN_BYTES_MAX: usize = 256;

/// Least lately used first.
static REMEMBERED: Mutex<Vec<Matcher>> = parking_lot::const_mutex(Vec::new());

/// As [`Matcher::new`], which is not called where an equal matcher was made lately.
pub(super) fn matcher(op: MatchOp, name: &str, value: &str) -> Result<Matcher, RegexError> {
    let is_kept = matches!(op, MatchOp::Regex | MatchOp::NotRegex);
    if !is_kept || name.len() + value.len() > PATTERN_BYTES_MAX {
        return Matcher::new(op, name, value);
    }
    {
        let mut known = REMEMBERED.lock();
        let is_same = |known: &Matcher| known.op == op && known.value == value && known.name == name;
        if let Some(at) = known.iter().position(is_same) {
            let found = known.remove(at);
            known.push(found.clone());
            return Ok(found);
        }
    }
    let made = Matcher::new(op, name, value)?;
    let mut known = REMEMBERED.lock();
    if known.len() >= MATCHERS_MAX {
        known.remove(0);
    }
    known.push(made.clone());
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_little_and_matches_as_before() {
        for nth in 0..3 * MATCHERS_MAX {
            let pattern = format!("a{nth}.*[0-9]b");
            let check = |op, text: &str, expected: bool| {
                let made = matcher(op, "x", &pattern).expect("an expression");
                assert_eq!((&*made.value, made.matches(text)), (&*pattern, expected), "{text}");
            };
            check(MatchOp::Regex, &format!("a{nth}--7b"), true);
            check(MatchOp::Regex, &format!("a{nth}--b"), false);
            check(MatchOp::NotRegex, &format!("a{nth}--7b"), false);
            check(MatchOp::Equal, &pattern, true);
        }
        let long = format!("{}.*[0-9]b", "a".repeat(PATTERN_BYTES_MAX));
        assert!(matcher(MatchOp::Regex, "x", &long).is_ok());
        assert!(matcher(MatchOp::Regex, "x", "a(").is_err());
        let known = REMEMBERED.lock();
        assert!(known.len() <= MATCHERS_MAX);
        assert!(known.iter().all(|one| one.value.len() <= PATTERN_BYTES_MAX && one.op != MatchOp::Equal));
    }
}
