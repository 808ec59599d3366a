//! Warnings and infos about a query, in Prometheus' words.
//!
//! The same text is kept once, with the position where it arose last. Printed, texts begin with `PromQL warning: ` or
//! `PromQL info: ` and end with the position, `(line:col)`.

pub(crate) mod texts;

use crate::civil;
use crate::parse::ast::Span;
use model::float::format_g;

/// How much an annotation weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The result may be wrong.
    Warning,
    /// The result may not be what was meant.
    Info,
}

#[derive(Debug, Clone)]
struct Annotation {
    severity: Severity,
    text: String,
    position: String,
    details: Option<Details>,
}

/// What is joined where the same thing is said again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Details {
    Repair(BucketRepair),
    /// How often it happened.
    Occurrences(u64),
}

impl Details {
    pub(crate) fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::Repair(known), Self::Repair(new)) => known.join(new),
            (Self::Occurrences(known), Self::Occurrences(new)) => *known += new,
            (known, new) => *known = new,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Repair(repair) => repair.describe(),
            Self::Occurrences(n) if *n > 1 => format!(" ({n} occurrences)"),
            Self::Occurrences(_) => String::new(),
        }
    }
}

/// What had to be changed to make bucket counts rise; joined over steps and histograms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketRepair {
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) bound_min: f64,
    pub(crate) bound_max: f64,
    pub(crate) diff_max: f64,
    pub(crate) n_samples: u64,
}

impl BucketRepair {
    fn join(&mut self, other: Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.bound_min = self.bound_min.min(other.bound_min);
        self.bound_max = self.bound_max.max(other.bound_max);
        self.diff_max = self.diff_max.max(other.diff_max);
        self.n_samples += other.n_samples;
    }

    fn describe(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format_g(self.bound_min),
            format_g(self.bound_max),
            two_digits(self.diff_max),
            self.n_samples,
            civil::rfc3339(self.first_ms.div_euclid(1000)),
            civil::rfc3339(self.last_ms.div_euclid(1000)),
        )
    }
}

/// Two significant digits, as Go's `%.2g`.
fn two_digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    let exponent = if rounded == 0.0 { 0 } else { rounded.abs().log10().floor() as i32 };
    if (-4..2).contains(&exponent) {
        return model::float::format_f(rounded);
    }
    let text = format!("{rounded:e}");
    let (digits, _) = text.split_once('e').unwrap_or((&text, ""));
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// What should be said about an answer.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    list: Vec<Annotation>,
    n_said: u64,
}

impl Annotations {
    /// `PromQL warning: … (line:col)`, in the order in which they arose.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.printed(Severity::Warning)
    }

    /// `PromQL info: … (line:col)`, in the order in which they arose.
    #[must_use]
    pub fn infos(&self) -> Vec<String> {
        self.printed(Severity::Info)
    }

    /// Each with its weight and its text, without position or details.
    pub fn texts(&self) -> impl Iterator<Item = (Severity, String)> + '_ {
        self.list.iter().map(|a| (a.severity, prefixed(a)))
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How often something was said, the same thing counted again.
    pub(crate) fn n_said(&self) -> u64 {
        self.n_said
    }

    fn printed(&self, severity: Severity) -> Vec<String> {
        let print = |a: &Annotation| {
            let details = a.details.as_ref().map(Details::describe).unwrap_or_default();
            format!("{}{details} ({})", prefixed(a), a.position)
        };
        self.list.iter().filter(|a| a.severity == severity).map(print).collect()
    }

    pub(crate) fn add(
        &mut self,
        severity: Severity,
        query: &str,
        span: Span,
        text: String,
        details: Option<Details>,
    ) {
        self.n_said += 1;
        let position = span.start_in(query);
        match self.list.iter_mut().find(|a| a.severity == severity && a.text == text) {
            Some(known) => {
                known.position = position;
                match (&mut known.details, details) {
                    (Some(known), Some(new)) => known.join(new),
                    (known, new) => *known = new,
                }
            }
            None => self.list.push(Annotation { severity, text, position, details }),
        }
    }

    pub(crate) fn warn(&mut self, query: &str, span: Span, text: impl Into<String>) {
        self.add(Severity::Warning, query, span, text.into(), None);
    }

    pub(crate) fn info(&mut self, query: &str, span: Span, text: impl Into<String>) {
        self.add(Severity::Info, query, span, text.into(), None);
    }

    pub(crate) fn repaired(
        &mut self,
        query: &str,
        span: Span,
        text: impl Into<String>,
        repair: BucketRepair,
    ) {
        self.add(Severity::Info, query, span, text.into(), Some(Details::Repair(repair)));
    }
}

fn prefixed(annotation: &Annotation) -> String {
    let prefix = match annotation.severity {
        Severity::Warning => "PromQL warning",
        Severity::Info => "PromQL info",
    };
    format!("{prefix}: {}", annotation.text)
}
