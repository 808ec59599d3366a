//! Samples made for comparing: what real targets have, and what they have once a year (NaN, infinities, gaps, resets).
//!
//! Out: a page in OpenMetrics text with timestamps, or the floats of `differential::modern`. Deterministic for a seed. No sample lies on a
//! whole second, so that none is at the edge of a window that a query at whole seconds looks at.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use model::Labels;

use super::Rng;

/// First sample, Unix milliseconds: the start of a block of two hours.
pub const START_MS: i64 = 1_700_006_400_000;
/// How much time the samples span, in milliseconds.
pub const SPAN_MS: i64 = 6 * 3_600_000;
/// Between two samples of a series.
pub(super) const STEP_MS: i64 = 15_000;
/// Where in its second each sample lies.
pub(super) const WITHIN_MS: i64 = 137;

pub(super) const HOSTS: [&str; 3] = ["alpha", "beta", "gamma"];
const ZONES: [&str; 2] = ["east", "west"];
const CODES: [&str; 3] = ["200", "404", "500"];
const BOUNDS: [&str; 6] = ["0.1", "0.5", "1.0", "2.5", "10.0", "+Inf"];
const SPECIAL: [&str; 12] = [
    "NaN",
    "+Inf",
    "-Inf",
    "-0",
    "0",
    "1e300",
    "-1e300",
    "1e-300",
    "9.3e18",
    "123456789012",
    "4.9e-324",
    "1e22",
];

/// How the values of a series go on.
#[derive(Clone, Copy)]
enum Shape {
    /// A random walk with digits after the point.
    Walk,
    /// Whole numbers up and down, below and above zero.
    Whole,
    /// A counter that is set back now and then.
    Counter,
    /// A counter that counts seldom, from zero on.
    Seldom,
    /// Now and then one of [`SPECIAL`].
    Special,
    /// Unix seconds.
    Time,
    /// Always the same.
    Constant,
}

/// Floats of each series by rising time, as they are written in text.
type Floats = BTreeMap<Labels, Vec<(i64, String)>>;

struct Writer {
    rng: Rng,
    floats: Floats,
}

impl Writer {
    fn add(&mut self, name: &str, labels: &[(&str, &str)], t_ms: i64, text: String) {
        let labels = Labels::from_pairs(labels.iter().copied().chain([("__name__", name)]));
        self.floats.entry(labels).or_default().push((t_ms, text));
    }

    fn series(&mut self, name: &str, labels: &[(&str, &str)], shape: Shape) {
        let n_steps = SPAN_MS / STEP_MS;
        // Some series begin late or end early, and some have gaps.
        let born = if self.rng.one_in(3) { self.rng.below(n_steps as usize / 2) as i64 } else { 0 };
        let gone =
            if self.rng.one_in(4) { n_steps - self.rng.below(n_steps as usize / 3) as i64 } else { n_steps };
        let mut value = if matches!(shape, Shape::Seldom) { 0.0 } else { self.rng.below(1_000) as f64 };
        let mut gap = 0;
        for step in born..gone {
            if gap == 0 && self.rng.one_in(150) {
                gap = 1 + self.rng.below(40);
            }
            let t_ms = START_MS + step * STEP_MS + WITHIN_MS;
            let text = self.next_value(shape, &mut value, t_ms);
            if gap > 0 {
                gap -= 1;
                continue;
            }
            self.add(name, labels, t_ms, text);
        }
    }

    fn next_value(&mut self, shape: Shape, value: &mut f64, t_ms: i64) -> String {
        match shape {
            Shape::Walk => *value += self.rng.below(2_001) as f64 / 1_000.0 - 1.0,
            Shape::Whole => *value += self.rng.below(41) as f64 - 20.0,
            Shape::Counter if self.rng.one_in(300) => *value = self.rng.below(5) as f64,
            Shape::Counter => *value += self.rng.below(50) as f64,
            Shape::Seldom if self.rng.one_in(20) => *value += 1.0,
            Shape::Special if self.rng.one_in(3) => return (*self.rng.pick(&SPECIAL)).to_owned(),
            Shape::Time => return format!("{}", t_ms / 1_000 * 37 % 4_102_444_800),
            Shape::Seldom | Shape::Special | Shape::Constant => {}
        }
        format!("{value}")
    }
}

/// The page.
#[must_use]
pub fn page(seed: u64) -> String {
    let mut out = String::new();
    for (labels, samples) in floats(seed) {
        let name = labels.metric_name();
        let pairs = labels.iter().filter(|(label, _)| *label != "__name__");
        let pairs: Vec<String> = pairs.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        for (t_ms, text) in samples {
            let pairs = pairs.join(",");
            let _ = writeln!(out, "{name}{{{pairs}}} {text} {}.{:03}", t_ms / 1_000, t_ms % 1_000);
        }
    }
    out.push_str("# EOF\n");
    out
}

/// What is on the page.
pub(super) fn floats(seed: u64) -> Floats {
    let mut out = Writer { rng: Rng::new(seed), floats: Floats::new() };
    let plain = [
        ("load", Shape::Walk),
        ("level", Shape::Whole),
        ("odd", Shape::Special),
        ("clock_seconds", Shape::Time),
        ("limit", Shape::Constant),
        ("restarts_total", Shape::Seldom),
        ("up", Shape::Constant),
    ];
    for (name, shape) in plain {
        for (idx, host) in HOSTS.iter().enumerate() {
            out.series(name, &[("host", host), ("zone", ZONES[idx % ZONES.len()]), ("job", "a")], shape);
        }
    }
    for (name, shape) in [("requests_total", Shape::Counter), ("errors_total", Shape::Seldom)] {
        for host in HOSTS {
            for code in CODES {
                out.series(name, &[("host", host), ("code", code), ("job", "b")], shape);
            }
        }
    }
    for host in HOSTS {
        histogram(&mut out, host);
    }
    for idx in 0..8 {
        let shape = [Shape::Walk, Shape::Counter, Shape::Whole, Shape::Special][idx % 4];
        out.series(&format!("single_{idx}"), &[("job", "c")], shape);
    }
    out.floats
}

/// Buckets that go together, with their sum and count.
fn histogram(out: &mut Writer, host: &str) {
    let mut counts = [0u64; BOUNDS.len()];
    let mut sum = 0.0;
    for step in 0..SPAN_MS / STEP_MS {
        if out.rng.one_in(400) {
            (counts, sum) = ([0; BOUNDS.len()], 0.0);
        }
        for _ in 0..out.rng.below(6) {
            let bucket = out.rng.below(BOUNDS.len());
            counts[bucket..].iter_mut().for_each(|count| *count += 1);
            sum += bucket as f64 * 0.37;
        }
        let t_ms = START_MS + step * STEP_MS + WITHIN_MS;
        let labels = [("host", host), ("job", "b")];
        for (bound, count) in BOUNDS.iter().zip(counts) {
            let with_bound = [labels[0], labels[1], ("le", *bound)];
            out.add("seconds_bucket", &with_bound, t_ms, count.to_string());
        }
        out.add("seconds_sum", &labels, t_ms, sum.to_string());
        out.add("seconds_count", &labels, t_ms, counts[BOUNDS.len() - 1].to_string());
    }
}
