//! Makes expressions: every operator, aggregation, modifier and function that the reference knows.

use super::Rng;
use super::ask::When;
use super::catalogue::Catalogue;
use super::expr::{Expr, Kind};

/// Functions by the shape of their arguments: `v` vector, `m` matrix, `s` scalar, `b` a vector of buckets, `h` one of native histograms, `l` a
/// label's name, `i` a selector of facts.
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
    ("histogram_avg", "h"),
    ("histogram_count", "h"),
    ("histogram_fraction", "ssb"),
    ("histogram_quantile", "sb"),
    ("histogram_quantiles", "blss"),
    ("histogram_stddev", "h"),
    ("histogram_stdvar", "h"),
    ("histogram_sum", "h"),
    ("hour", "v"),
    ("idelta", "m"),
    ("increase", "m"),
    ("info", "v"),
    ("info", "vi"),
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
    ("sort_by_label", "vl"),
    ("sort_by_label_desc", "vll"),
    ("sort_desc", "v"),
    ("sqrt", "v"),
    ("start_timestamp", "v"),
    ("stddev_over_time", "m"),
    ("stdvar_over_time", "m"),
    ("sum_over_time", "m"),
    ("tan", "v"),
    ("tanh", "v"),
    ("timestamp", "v"),
    ("ts_of_first_over_time", "m"),
    ("ts_of_last_over_time", "m"),
    ("ts_of_max_over_time", "m"),
    ("ts_of_min_over_time", "m"),
    ("year", "v"),
    ("double_exponential_smoothing", "mss"),
];
/// Functions that give a scalar and came after 2.42, with how many scalars they take.
pub const SCALAR_FUNCTIONS: &[(&str, usize)] =
    &[("end", 0), ("max_of", 2), ("min_of", 2), ("range", 0), ("start", 0), ("step", 0)];
/// Aggregations without a parameter.
pub const AGGREGATIONS: &[&str] = &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
/// Aggregations with a parameter.
pub const WITH_PARAM: &[&str] = &["topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio"];
/// What [`Catalogue::learn`] asks the reference about.
#[must_use]
pub fn probed() -> Vec<&'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name).chain(SCALAR_FUNCTIONS.iter().map(|(name, _)| *name)).collect()
}

/// Arithmetic operators.
pub const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
/// Comparisons.
pub const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
/// Set operators.
pub const SETS: &[&str] = &["and", "or", "unless"];
const RANGES: &[&str] = &["30s", "1m", "5m", "17m", "1h", "3h"];
const SUBQUERIES: &[&str] = &["5m:1m", "10m:30s", "1h:7m", "30m:", "1h:5m"];
/// Widths that are computed; with [`OFFSETS`] only where the reference can.
const COMPUTED_RANGES: &[&str] = &[
    "2m + 30s",
    "step() * 5 + 1m",
    "max_of(step(), 5m)",
    "(1h - 10m) / 2",
    "range() + 3m",
    "300",
    "2 ^ 9",
    "7m % 2m",
];
const COMPUTED_OFFSETS: &[&str] =
    &["(1m + 30s)", "-step()", "(step() * 2)", "max_of(1m, step())", "range()", "-(2 * 40)", "90"];
const NUMBERS: &[&str] =
    &["0", "1", "2", "-1", "0.5", "3.7", "100", "1e3", "1e-3", "-2.5", "NaN", "Inf", "-Inf", "0x1f", "60"];
/// Second arguments of `info`.
const FACTS: &[&str] = &[
    "{__name__=\"build_info\"}",
    "{__name__=~\".+_info\"}",
    "{version=~\"1.+\"}",
    "{__name__=\"target_info\", version=~\".*\"}",
    "{zone!=\"north\"}",
    "{__name__!=\"target_info\"}",
];
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
        let at = at();
        // Windows are open on the left since 3.0; before, what lies at an edge differs.
        let is_edge = self.catalogue.is_modern() && self.rng.one_in(3);
        let from = at + self.catalogue.sample_ms.filter(|_| is_edge).unwrap_or(self.catalogue.quiet_ms);
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
        match self.rng.below(9) {
            8 => {
                let (name, n_args) = *self.rng.pick(SCALAR_FUNCTIONS);
                if !self.catalogue.knows(name) {
                    return self.number();
                }
                let args = (0..n_args).map(|_| self.scalar(depth - 1)).collect();
                call(name, args)
            }
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
        self.with_matchers(&metric)
    }

    fn with_matchers(&mut self, metric: &str) -> String {
        let is_plain = model::labels::is_legacy_metric_name(metric);
        let mut matchers = if is_plain { Vec::new() } else { vec![format!("{metric:?}")] };
        for _ in 0..self.rng.below(3) {
            let names: Vec<&String> = self.catalogue.labels.keys().collect();
            if names.is_empty() {
                break;
            }
            let name = (*self.rng.pick(&names)).clone();
            let value = self.rng.pick(&self.catalogue.labels[&name]).clone();
            let name = as_label(&name);
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
        let name = if is_plain { metric } else { "" };
        if matchers.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", matchers.join(",")) }
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
            5 if self.catalogue.knows("duration") => format!(" offset {}", self.rng.pick(COMPUTED_OFFSETS)),
            _ => String::new(),
        }
    }

    fn selector(&mut self) -> Expr {
        let mut suffix = self.suffix();
        if self.catalogue.knows("smoothed") && self.rng.one_in(12) {
            suffix.insert_str(0, " smoothed");
        }
        Expr::Selector { text: self.selector_text(), suffix }
    }

    /// Histograms as they are, by rate, or in sum.
    fn histogram(&mut self, depth: usize) -> Expr {
        if self.catalogue.histograms.is_empty() || self.rng.one_in(6) {
            return self.vector(depth);
        }
        let metric = self.rng.pick(&self.catalogue.histograms).clone();
        let text = self.with_matchers(&metric);
        let suffix = self.suffix();
        if self.rng.one_in(3) {
            return Expr::Selector { text, suffix };
        }
        let range = (*self.rng.pick(RANGES)).to_owned();
        let window = Expr::Range { text, range, suffix };
        let name = *self.rng.pick(&[
            "rate",
            "increase",
            "delta",
            "sum_over_time",
            "avg_over_time",
            "last_over_time",
            "irate",
        ]);
        let of_window = Expr::Call { name: name.to_owned(), args: vec![window], kind: Kind::Vector };
        if self.rng.one_in(2) {
            return of_window;
        }
        let op = (*self.rng.pick(&["sum", "avg"])).to_owned();
        let grouping = format!(" by ({})", self.some_labels());
        Expr::Aggregate { op, grouping, param: None, inner: Box::new(of_window) }
    }

    fn matrix(&mut self, depth: usize) -> Expr {
        if depth > 0 && self.rng.one_in(4) {
            let inner = Box::new(self.vector(depth - 1));
            let mut range = (*self.rng.pick(SUBQUERIES)).to_owned();
            if self.catalogue.knows("duration") && self.rng.one_in(4) {
                range = format!(
                    "{}:{}",
                    self.rng.pick(COMPUTED_RANGES),
                    self.rng.pick(&["30s + 30s", "step()", ""])
                );
            }
            return Expr::Subquery { inner, range, suffix: self.suffix() };
        }
        let mut range = (*self.rng.pick(RANGES)).to_owned();
        if self.catalogue.knows("duration") && self.rng.one_in(8) {
            range = (*self.rng.pick(COMPUTED_RANGES)).to_owned();
        }
        let mut suffix = self.suffix();
        let extension = *self.rng.pick(&["anchored", "smoothed"]);
        if self.catalogue.knows(extension) && self.rng.one_in(6) {
            suffix.insert_str(0, &format!(" {extension}"));
        }
        Expr::Range { text: self.selector_text(), range, suffix }
    }

    fn call(&mut self, depth: usize) -> Expr {
        let (name, shape) = loop {
            let (name, shape) = *self.rng.pick(FUNCTIONS);
            if self.catalogue.knows(name) {
                break (name, shape);
            }
        };
        let mut args = Vec::new();
        for kind in shape.chars() {
            args.push(match kind {
                'm' => self.matrix(depth),
                's' => self.parameter(name, depth),
                'b' => self.buckets(depth),
                'h' => self.histogram(depth),
                'i' => Expr::Selector { text: (*self.rng.pick(FACTS)).to_owned(), suffix: String::new() },
                'l' => Expr::Text(self.label()),
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
            "quantile_over_time" | "histogram_quantile" | "histogram_quantiles" => {
                &["0", "0.1", "0.5", "0.9", "0.99", "1", "-1", "2"]
            }
            "predict_linear" => &["60", "3600", "-60"],
            _ => NUMBERS,
        };
        Expr::Number((*self.rng.pick(choices)).to_owned())
    }

    /// Buckets as they are, by rate, or summed by `le`.
    fn buckets(&mut self, depth: usize) -> Expr {
        let has_histograms = !self.catalogue.histograms.is_empty();
        if self.catalogue.buckets.is_empty() || has_histograms && self.rng.one_in(2) {
            return self.histogram(depth);
        }
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

    fn label(&mut self) -> String {
        let names: Vec<&String> = self.catalogue.labels.keys().collect();
        if names.is_empty() { "job".to_owned() } else { (*self.rng.pick(&names)).clone() }
    }

    fn some_labels(&mut self) -> String {
        let n_labels = self.rng.below(3);
        let chosen: Vec<String> = (0..n_labels).map(|_| as_label(&self.label())).collect();
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
        let fill = *self.rng.pick(&["fill", "fill_left", "fill_right"]);
        if !is_set && self.catalogue.knows(fill) && self.rng.one_in(5) {
            op.push_str(&format!(" {fill} ({})", self.rng.pick(&["0", "1", "-2.5", "NaN"])));
        }
        Expr::Binary { left: Box::new(left), op, right: Box::new(right), kind: Kind::Vector }
    }

    fn relabel(&mut self, depth: usize) -> Expr {
        let source = self.label();
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

/// A label's name as PromQL writes it: in quotes where it needs them.
fn as_label(name: &str) -> String {
    if model::labels::is_legacy_label_name(name) { name.to_owned() } else { format!("{name:?}") }
}
