//! Which of the two syntaxes matchers and names of labels are read by: `--enable-feature` of the manager.
//!
//! In from the binary, once, before any file is read; asked wherever matchers are read and names are checked. It is one for
//! the process, as the flag is: file, API, templates of silences must not differ in what a name is.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use model::Matcher;
use model::labels::is_legacy_label_name;
use parking_lot::Mutex;

use super::{MATCHERS_BYTES_MAX, MatcherError, classic, text_of, utf8};

/// How many texts are remembered that the log was told of. Chosen: a file has fewer, and what a client makes up is no news
/// after so many.
const WARNED_MAX: usize = 1_000;

static MODE: OnceLock<MatcherMode> = OnceLock::new();
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// How matchers are read, and what a name of a label may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatcherMode {
    /// Both syntaxes; where they differ the classic one counts, with a warning. Any UTF-8 names.
    #[default]
    Fallback,
    /// The syntax and the names from before UTF-8 alone: `classic-mode`.
    Classic,
    /// The UTF-8 syntax alone: `utf8-strict-mode`.
    Utf8Strict,
}

/// Sets the mode of this process. Returns whether that is what counts: the first call, or one that says the same.
pub fn set_matcher_mode(mode: MatcherMode) -> bool {
    *MODE.get_or_init(|| mode) == mode
}

pub(super) fn current() -> MatcherMode {
    MODE.get().copied().unwrap_or_default()
}

impl MatcherMode {
    /// Reads several matchers separated by commas, with or without braces.
    pub(super) fn parse(self, text: &str) -> Result<Vec<Matcher>, MatcherError> {
        if text.len() > MATCHERS_BYTES_MAX {
            return Err(MatcherError::TooLong);
        }
        match self {
            Self::Classic => classic::parse(text),
            Self::Utf8Strict => utf8::parse(text),
            Self::Fallback => fall_back(text, utf8::parse(text), classic::parse(text), |all| {
                let texts: Vec<String> = all.iter().map(text_of).collect();
                texts.join(",")
            }),
        }
    }

    /// Reads exactly one matcher without braces.
    pub(super) fn parse_one(self, text: &str) -> Result<Matcher, MatcherError> {
        if self != Self::Classic && (text.starts_with('{') || text.ends_with('}')) {
            return Err(MatcherError::Brace(text.to_owned()));
        }
        if text.len() > MATCHERS_BYTES_MAX {
            return Err(MatcherError::TooLong);
        }
        let new = || {
            let mut matchers = utf8::parse(text)?;
            let is_one = matchers.len() == 1;
            if is_one { Ok(matchers.remove(0)) } else { Err(MatcherError::Count(matchers.len())) }
        };
        match self {
            Self::Classic => classic::one(text),
            Self::Utf8Strict => new(),
            // What is two to one is one to the other, which takes a comma for a part of the value.
            Self::Fallback => fall_back(text, new(), classic::one(text), text_of),
        }
    }

    /// Whether a label may be called so.
    pub(super) fn is_label_name(self, name: &str) -> bool {
        match self {
            Self::Classic => is_legacy_label_name(name),
            Self::Fallback | Self::Utf8Strict => !name.is_empty(),
        }
    }
}

/// Of what both syntaxes read, what counts.
fn fall_back<T: PartialEq>(
    text: &str,
    new: Result<T, MatcherError>,
    old: Result<T, MatcherError>,
    shown: impl Fn(&T) -> String,
) -> Result<T, MatcherError> {
    let (what, old) = match (new, old) {
        (Ok(new), Ok(old)) if new == old => return Ok(new),
        (Ok(new), Err(_)) => return Ok(new),
        // Upstream reports the classic parser's error. Where that only says that it is none, the new one has the place.
        (Err(new), Err(MatcherError::Classic(old))) if old.starts_with(classic::NO_MATCHER) => {
            return Err(MatcherError::Classic(format!("{old}: {new}")));
        }
        (Err(_), Err(old)) => return Err(old),
        (Ok(_), Ok(old)) => {
            ("the classic and the UTF-8 syntax read these matchers differently; the classic one counts", old)
        }
        (Err(_), Ok(old)) => ("only the classic syntax reads these matchers; write them as suggested", old),
    };
    let mut warned = WARNED.lock();
    if warned.len() < WARNED_MAX && warned.insert(text.to_owned()) {
        tracing::warn!(input = text, suggestion = %shown(&old), "{what}");
    }
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::text_of_all;

    #[test]
    fn each_mode_reads_its_own() {
        use MatcherMode::{Classic, Fallback, Utf8Strict};
        let check = |text: &str, expected: [Option<&str>; 3]| {
            for (mode, expected) in [Fallback, Classic, Utf8Strict].into_iter().zip(expected) {
                let read = mode.parse(text).ok().map(|matchers| text_of_all(&matchers));
                assert_eq!(read.as_deref(), expected, "{mode:?} {text}");
            }
        };
        check("a=b", [Some(r#"{a="b"}"#); 3]);
        // Spaces in a value without quotes, a name that is not of ASCII, and where they disagree.
        check("a=b c", [Some(r#"{a="b c"}"#), Some(r#"{a="b c"}"#), None]);
        check("日本=語", [Some(r#"{日本="語"}"#), None, Some(r#"{日本="語"}"#)]);
        check(r#"a="\w""#, [Some(r#"{a="\\w"}"#), Some(r#"{a="\\w"}"#), None]);
        check("a", [None; 3]);
    }

    #[test]
    fn names_are_those_of_the_mode() {
        use MatcherMode::{Classic, Fallback, Utf8Strict};
        for (name, expected) in [("a_b", [true; 3]), ("a.b", [true, false, true]), ("", [false; 3])] {
            assert_eq!(
                [Fallback, Classic, Utf8Strict].map(|mode| mode.is_label_name(name)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn one_matcher_has_no_braces() {
        for mode in [MatcherMode::Fallback, MatcherMode::Classic, MatcherMode::Utf8Strict] {
            assert!(mode.parse_one("{a=b}").is_err(), "{mode:?}");
            assert_eq!(mode.parse_one("a=b,c=d").is_ok(), mode != MatcherMode::Utf8Strict, "{mode:?}");
            assert!(mode.parse_one("a=b").is_ok(), "{mode:?}");
        }
    }
}
