//! What of the language the expressions of a run have used.

use std::collections::BTreeSet;

use super::catalogue::Catalogue;
use super::expr::Expr;
use super::generate::{AGGREGATIONS, ARITHMETIC, COMPARISONS, FUNCTIONS, SCALAR_FUNCTIONS, SETS, WITH_PARAM};

/// Functions that the generator makes apart from [`FUNCTIONS`].
const OTHER_FUNCTIONS: [&str; 6] = ["label_join", "label_replace", "pi", "scalar", "time", "vector"];
/// Modifiers and forms, as [`Coverage::see`] names them.
const FORMS: [&str; 20] = [
    "@ <time>",
    "@ end()",
    "@ start()",
    "anchored",
    "bool",
    "by",
    "duration",
    "fill",
    "fill_left",
    "fill_right",
    "group_left",
    "group_right",
    "ignoring",
    "negation",
    "offset",
    "on",
    "range",
    "smoothed",
    "subquery",
    "without",
];

/// Functions, operators, aggregations, modifiers and forms seen so far.
#[derive(Debug, Default)]
pub struct Coverage {
    seen: BTreeSet<String>,
}

impl Coverage {
    /// Adds all that is in `expr`.
    pub fn see(&mut self, expr: &Expr) {
        match expr {
            Expr::Call { name, .. } => self.add(name),
            Expr::Negate(_) => self.add("negation"),
            Expr::Aggregate { op, grouping, .. } => {
                self.add(op);
                grouping.split_whitespace().take(1).for_each(|word| self.add(word));
            }
            Expr::Binary { op, .. } => {
                let words = op.split(|c: char| c.is_whitespace() || c == '(');
                words.for_each(|word| self.add(word));
            }
            Expr::Selector { suffix, .. } => self.see_suffix(suffix),
            Expr::Range { range, suffix, .. } => {
                self.add("range");
                self.see_duration(range);
                self.see_suffix(suffix);
            }
            Expr::Subquery { range, suffix, .. } => {
                self.add("subquery");
                self.see_duration(range);
                self.see_suffix(suffix);
            }
            Expr::Number(_) | Expr::Text(_) => {}
        }
        expr.children().into_iter().for_each(|child| self.see(child));
    }

    fn add(&mut self, word: &str) {
        if !self.seen.contains(word) {
            self.seen.insert(word.to_owned());
        }
    }

    fn see_duration(&mut self, range: &str) {
        if range.contains(['+', '*', '(', '/', '^', '%']) {
            self.add("duration");
        }
    }

    fn see_suffix(&mut self, suffix: &str) {
        for name in ["offset", "@ start()", "@ end()", "anchored", "smoothed"] {
            if suffix.contains(name) {
                self.add(name);
            }
        }
        if suffix.contains('@') && !suffix.contains("()") {
            self.add("@ <time>");
        }
    }

    /// `N of M seen`, and what is missing.
    #[must_use]
    pub fn summary(&self, catalogue: &Catalogue) -> String {
        let functions = FUNCTIONS
            .iter()
            .map(|(name, _)| *name)
            .chain(OTHER_FUNCTIONS)
            .chain(SCALAR_FUNCTIONS.iter().map(|(name, _)| *name));
        let count = |title: &str, all: BTreeSet<&str>| {
            let known: Vec<&str> =
                all.into_iter().filter(|name| !catalogue.unknown.contains(*name)).collect();
            let missing: Vec<&str> =
                known.iter().copied().filter(|name| !self.seen.contains(*name)).collect();
            let n_seen = known.len() - missing.len();
            let missing =
                if missing.is_empty() { String::new() } else { format!(" (not: {})", missing.join(" ")) };
            format!("{n_seen} of {} {title} seen{missing}", known.len())
        };
        let operators = ARITHMETIC.iter().chain(COMPARISONS).chain(SETS).copied().collect();
        let aggregations = AGGREGATIONS.iter().chain(WITH_PARAM).copied().collect();
        [
            count("functions", functions.collect()),
            count("aggregations", aggregations),
            count("operators", operators),
            count("modifiers and forms", FORMS.into()),
        ]
        .join(", ")
    }
}
