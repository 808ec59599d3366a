//! Makes expressions: every operator, aggregation, modifier and function that the reference knows.

use super::Rng;
use super::ask::When;
use super::catalogue::Catalogue;
use super::expr::{Expr, Kind};

/// Functions by the shape of their arguments: `v` vector, `m` matrix, `s` scalar, `b` a vector of buckets.
pub const FUNCTIONS: &[(&str, &str)] = &[
    ("abs", "v"),
    ("absent", "v"),
    ("absent_over_time", "m"),
    ("acos", "v"),
    ("acosh", "v"),
    ("asin", "v"),
    ("asinh", "v"),
    ("atan", "v"),
    ("atanh", "v"),
    ("avg_over_time", "m"),
    ("ceil", "v"),
    ("changes", "m"),
    ("clamp", "vss"),
    ("clamp_max", "vs"),
    ("clamp_min", "vs"),
    ("cos", "v"),
    ("cosh", "v"),
    ("count_over_time", "m"),
    ("day_of_month", "v"),
    ("day_of_week", "v"),
    ("day_of_year", "v"),
    ("days_in_month", "v"),
    ("deg", "v"),
    ("delta", "m"),
    ("deriv", "m"),
    ("exp", "v"),
    ("first_over_time", "m"),
    ("floor", "v"),
    ("histogram_count", "v"),
    ("histogram_fraction", "ssv"),
    ("histogram_quantile", "sb"),
    ("histogram_sum", "v"),
    ("hour", "v"),
    ("idelta", "m"),
    ("increase", "m"),
    ("irate", "m"),
    ("last_over_time", "m"),
    ("ln", "v"),
    ("log10", "v"),
    ("log2", "v"),
    ("mad_over_time", "m"),
    ("max_over_time", "m"),
    ("min_over_time", "m"),
    ("minute", "v"),
    ("month", "v"),
    ("predict_linear", "ms"),
    ("present_over_time", "m"),
    ("quantile_over_time", "sm"),
    ("rad", "v"),
    ("rate", "m"),
    ("resets", "m"),
    ("round", "v"),
    ("round", "vs"),
    ("sgn", "v"),
    ("sin", "v"),
    ("sinh", "v"),
    ("sort", "v"),
    ("sort_desc", "v"),
    ("sqrt", "v"),
    ("stddev_over_time", "m"),
    ("stdvar_over_time", "m"),
    ("sum_over_time", "m"),
    ("tan", "v"),
    ("tanh", "v"),
    ("timestamp", "v"),
    ("year", "v"),
    ("double_exponential_smoothing", "mss"),
];
/// Aggregations without a parameter.
pub const AGGREGATIONS: &[&str] = &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
/// Aggregations with a parameter.
pub const WITH_PARAM: &[&str] = &["topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio"];
/// What [`Catalogue::learn`] asks the reference about.
#[must_use]
pub fn probed() -> Vec<&'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name).chain(["limitk", "limit_ratio"]).collect()
}

/// Arithmetic operators.
pub const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
/// Comparisons.
pub const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
/// Set operators.
pub const SETS: &[&str] = &["and", "or", "unless"];
const RANGES: &[&str] = &["30s", "1m", "5m", "17m", "1h", "3h"];
const SUBQUERIES: &[&str] = &["5m:1m", "10m:30s", "1h:7m", "30m:", "1h:5m"];
const NUMBERS: &[&str] =
    &["0", "1", "2", "-1", "0.5", "3.7", "100", "1e3", "1e-3", "-2.5", "NaN", "Inf", "-Inf", "0x1f", "60"];
/// Depth of the largest tree.
const DEPTH_MAX: usize = 4;

/// Makes expressions over a catalogue.
#[derive(Debug)]
pub struct Generator<'a> {
    rng: Rng,
    catalogue: &'a Catalogue,
}

impl<'a> Generator<'a> {
    /// The same seed and catalogue give the same expressions.
    #[must_use]
    pub fn new(seed: u64, catalogue: &'a Catalogue) -> Self {
        Self { rng: Rng::new(seed), catalogue }
    }

    /// The next expression, and when to evaluate it.
    pub fn next_case(&mut self) -> (Expr, When) {
        let depth = 1 + self.rng.below(DEPTH_MAX);
        let expr = if self.rng.one_in(12) { self.scalar(depth) } else { self.vector(depth) };
        (expr, self.when())
    }

    fn when(&mut self) -> When {
        let (first, last) = self.catalogue.span;
        let width = (last - first).max(60_000);
        let mut at = || (first + (self.rng.next_u64() % width as u64) as i64).div_euclid(1000) * 1000;
        let from = at() + self.catalogue.quiet_ms;
        if self.rng.one_in(2) {
            return When::Instant(from);
        }
        let step = *self.rng.pick(&[1_000, 15_000, 60_000, 61_000, 300_000]);
        When::Range(from, from + step * self.rng.below(30) as i64, step)
    }

    fn number(&mut self) -> Expr {
        let text = (*self.rng.pick(NUMBERS)).to_owned();
        Expr::Number(text)
    }

    fn scalar(&mut self, depth: usize) -> Expr {
        let call = |name: &str, args| Expr::Call { name: name.to_owned(), args, kind: Kind::Scalar };
        if depth == 0 {
            return self.number();
        }
        match self.rng.below(8) {
            0 => call("time", Vec::new()),
            1 => call("pi", Vec::new()),
            2 => call("scalar", vec![self.vector(depth - 1)]),
            3 => {
                let op = if self.rng.one_in(3) {
                    format!("{} bool", self.rng.pick(COMPARISONS))
                } else {
                    (*self.rng.pick(ARITHMETIC)).to_owned()
                };
                let (left, right) = (Box::new(self.scalar(depth - 1)), Box::new(self.scalar(depth - 1)));
                Expr::Binary { left, op, right, kind: Kind::Scalar }
            }
            4 => Expr::Negate(Box::new(self.scalar(depth - 1))),
            _ => self.number(),
        }
    }

    fn vector(&mut self, depth: usize) -> Expr {
        if depth == 0 {
            return self.selector();
        }
        match self.rng.below(10) {
            0 => self.selector(),
            1..=4 => self.call(depth - 1),
            5..=6 => self.aggregate(depth - 1),
            7..=8 => self.binary(depth - 1),
            _ => match self.rng.below(3) {
                0 => Expr::Negate(Box::new(self.vector(depth - 1))),
                1 => {
                    let arg = self.scalar(depth - 1);
                    Expr::Call { name: "vector".to_owned(), args: vec![arg], kind: Kind::Vector }
                }
                _ => self.relabel(depth - 1),
            },
        }
    }

    /// A metric with some matchers.
    fn selector_text(&mut self) -> String {
        let metric = self.rng.pick(&self.catalogue.metrics).clone();
        let mut matchers = Vec::new();
        for _ in 0..self.rng.below(3) {
            let names: Vec<&String> = self.catalogue.labels.keys().collect();
            if names.is_empty() {
                break;
            }
            let name = (*self.rng.pick(&names)).clone();
            let value = self.rng.pick(&self.catalogue.labels[&name]).clone();
            let literal = value.replace('\\', "\\\\").replace('"', "\\\"");
            let prefix: String = literal.chars().take(2).filter(char::is_ascii_alphanumeric).collect();
            matchers.push(match self.rng.below(5) {
                0 => format!("{name}=\"{literal}\""),
                1 => format!("{name}!=\"{literal}\""),
                2 => format!("{name}=~\"{prefix}.*\""),
                3 => format!("{name}!~\"{prefix}.+\""),
                _ => format!("{name}=~\"|{prefix}.*\""),
            });
        }
        if matchers.is_empty() { metric } else { format!("{metric}{{{}}}", matchers.join(",")) }
    }

    fn suffix(&mut self) -> String {
        let (first, last) = self.catalogue.span;
        match self.rng.below(12) {
            0 => " offset 5m".to_owned(),
            1 => " offset -2m".to_owned(),
            2 => {
                let at_ms = first + (self.rng.next_u64() % (last - first).max(1) as u64) as i64;
                format!(" @ {}.{:03}", at_ms.div_euclid(1000), self.catalogue.quiet_ms)
            }
            3 => " @ start()".to_owned(),
            4 => " @ end() offset 1m".to_owned(),
            _ => String::new(),
        }
    }

    fn selector(&mut self) -> Expr {
        Expr::Selector { text: self.selector_text(), suffix: self.suffix() }
    }

    fn matrix(&mut self, depth: usize) -> Expr {
        if depth > 0 && self.rng.one_in(4) {
            let inner = Box::new(self.vector(depth - 1));
            let range = (*self.rng.pick(SUBQUERIES)).to_owned();
            return Expr::Subquery { inner, range, suffix: self.suffix() };
        }
        let range = (*self.rng.pick(RANGES)).to_owned();
        Expr::Range { text: self.selector_text(), range, suffix: self.suffix() }
    }

    fn call(&mut self, depth: usize) -> Expr {
        let (name, shape) = loop {
            let (name, shape) = *self.rng.pick(FUNCTIONS);
            let has_buckets = !shape.contains('b') || !self.catalogue.buckets.is_empty();
            if has_buckets && !self.catalogue.unknown.contains(name) {
                break (name, shape);
            }
        };
        let mut args = Vec::new();
        for kind in shape.chars() {
            args.push(match kind {
                'm' => self.matrix(depth),
                's' => self.parameter(name, depth),
                'b' => self.buckets(),
                _ => self.vector(depth),
            });
        }
        Expr::Call { name: name.to_owned(), args, kind: Kind::Vector }
    }

    /// A scalar argument in a range that makes sense for the function, mostly.
    fn parameter(&mut self, name: &str, depth: usize) -> Expr {
        if self.rng.one_in(8) {
            return self.scalar(depth.min(1));
        }
        let choices: &[&str] = match name {
            "double_exponential_smoothing" => &["0.1", "0.5", "0.9"],
            "quantile_over_time" | "histogram_quantile" => {
                &["0", "0.1", "0.5", "0.9", "0.99", "1", "-1", "2"]
            }
            "predict_linear" => &["60", "3600", "-60"],
            _ => NUMBERS,
        };
        Expr::Number((*self.rng.pick(choices)).to_owned())
    }

    /// Buckets as they are, by rate, or summed by `le`.
    fn buckets(&mut self) -> Expr {
        let text = self.rng.pick(&self.catalogue.buckets).clone();
        let range = Expr::Range { text: text.clone(), range: "5m".to_owned(), suffix: String::new() };
        let rate = Expr::Call { name: "rate".to_owned(), args: vec![range], kind: Kind::Vector };
        match self.rng.below(3) {
            0 => Expr::Selector { text, suffix: String::new() },
            1 => rate,
            _ => Expr::Aggregate {
                op: "sum".to_owned(),
                grouping: " by (le)".to_owned(),
                param: None,
                inner: Box::new(rate),
            },
        }
    }

    fn some_labels(&mut self) -> String {
        let names: Vec<&String> = self.catalogue.labels.keys().collect();
        let n_labels = self.rng.below(3);
        let chosen: Vec<String> = if names.is_empty() {
            Vec::new()
        } else {
            (0..n_labels).map(|_| (*self.rng.pick(&names)).clone()).collect()
        };
        chosen.join(", ")
    }

    fn aggregate(&mut self, depth: usize) -> Expr {
        let grouping = match self.rng.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", self.some_labels()),
            _ => format!(" without ({})", self.some_labels()),
        };
        let inner = Box::new(self.vector(depth));
        if self.rng.one_in(3) {
            let op = *self.rng.pick(WITH_PARAM);
            if !self.catalogue.unknown.contains(op) {
                let param = match op {
                    "count_values" => Expr::Text("found".to_owned()),
                    "quantile" => {
                        Expr::Number((*self.rng.pick(&["0", "0.25", "0.5", "0.9", "1", "-1"])).to_owned())
                    }
                    "limit_ratio" => Expr::Number((*self.rng.pick(&["0.3", "-0.5", "1"])).to_owned()),
                    _ => Expr::Number((*self.rng.pick(&["1", "2", "5", "100", "0"])).to_owned()),
                };
                return Expr::Aggregate { op: op.to_owned(), grouping, param: Some(Box::new(param)), inner };
            }
        }
        let op = (*self.rng.pick(AGGREGATIONS)).to_owned();
        Expr::Aggregate { op, grouping, param: None, inner }
    }

    fn binary(&mut self, depth: usize) -> Expr {
        let with_scalar = self.rng.below(3);
        let op = match self.rng.below(4) {
            0 => (*self.rng.pick(COMPARISONS)).to_owned(),
            1 => format!("{} bool", self.rng.pick(COMPARISONS)),
            _ => (*self.rng.pick(ARITHMETIC)).to_owned(),
        };
        let (left, right) = match with_scalar {
            0 => (self.vector(depth), self.scalar(depth.min(1))),
            1 => (self.scalar(depth.min(1)), self.vector(depth)),
            _ => return self.join(depth, op),
        };
        Expr::Binary { left: Box::new(left), op, right: Box::new(right), kind: Kind::Vector }
    }

    fn join(&mut self, depth: usize, op: String) -> Expr {
        let left = self.vector(depth);
        // Often the same thing on both sides, so that something matches.
        let right = if self.rng.one_in(2) { left.clone() } else { self.vector(depth) };
        let is_set = self.rng.one_in(3);
        let mut op = if is_set { (*self.rng.pick(SETS)).to_owned() } else { op };
        let matching = match self.rng.below(4) {
            0 => format!(" on ({})", self.some_labels()),
            1 => format!(" ignoring ({})", self.some_labels()),
            _ => String::new(),
        };
        op.push_str(&matching);
        if !is_set && !matching.is_empty() && self.rng.one_in(2) {
            let side = *self.rng.pick(&["group_left", "group_right"]);
            op.push_str(&format!(" {side} ({})", self.some_labels()));
        }
        Expr::Binary { left: Box::new(left), op, right: Box::new(right), kind: Kind::Vector }
    }

    fn relabel(&mut self, depth: usize) -> Expr {
        let names: Vec<&String> = self.catalogue.labels.keys().collect();
        let source = if names.is_empty() { "job".to_owned() } else { (*self.rng.pick(&names)).clone() };
        let text = |text: &str| Expr::Text(text.to_owned());
        let vector = self.vector(depth);
        let (name, args) = if self.rng.one_in(2) {
            ("label_replace", vec![vector, text("made"), text("$1-x"), text(&source), text("(.).*")])
        } else {
            ("label_join", vec![vector, text("made"), text("-"), text(&source), text("job")])
        };
        Expr::Call { name: name.to_owned(), args, kind: Kind::Vector }
    }
}
