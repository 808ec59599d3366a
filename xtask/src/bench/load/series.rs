//! The series of a load and their values: node_exporter-like hosts from the recording, and data made for single queries.
//!
//! A value is a function of seed, series and step, so both servers get the same and any step can be computed alone.
//! Recorded columns go on after their end: counters keep rising by what a lap added, gauges repeat.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::super::recording::{self, Line};

/// Between two steps of the load, in milliseconds: the scrape interval that it plays.
pub const STEP_MS: i64 = 15_000;

/// Cohorts of hosts under churn: one of them is replaced at a time. From the target: a tenth every ten minutes.
pub const COHORTS: usize = 10;

/// What a load consists of; crosses the process border as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    pub kind: Kind,
    /// Hosts, or groups of series that belong together.
    pub groups: usize,
    /// Series of each group.
    pub series: usize,
    /// Milliseconds between samples; a multiple of [`STEP_MS`].
    pub interval_ms: i64,
    pub from_ms: i64,
    /// Samples before this are not sent: they are there already. Values do not change by it.
    pub sent_from_ms: i64,
    /// Not included.
    pub to_ms: i64,
    /// Steps of [`STEP_MS`] after which the next cohort of hosts is replaced; 0 for never.
    pub churn_steps: i64,
}

/// Which series a set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Hosts with the recording's series, at seeded phases.
    Node,
    /// Hosts with the recording's series, host i at scrape 37·i: for sizes on disk.
    Replay,
    /// Counters `bench_counter{group,item}`.
    Counter,
    /// Counters `bench_long{group,item}`, for long windows.
    Long,
    /// Gauges `bench_many{host,item}`.
    Many,
    /// Ones `bench_one{host,version}`, one series a group.
    One,
    /// Classic histograms `bench_duration_seconds_bucket{path,pod,le}`.
    Bucket,
    /// Native histograms `bench_native_seconds{path,pod}`.
    Native,
}

const KINDS: &[(Kind, &str)] = &[
    (Kind::Node, "node"),
    (Kind::Replay, "replay"),
    (Kind::Counter, "counter"),
    (Kind::Long, "long"),
    (Kind::Many, "many"),
    (Kind::One, "one"),
    (Kind::Bucket, "bucket"),
    (Kind::Native, "native"),
];

impl Set {
    /// A set of one kind at every step.
    pub fn new(kind: Kind, groups: usize, series: usize, from_ms: i64, to_ms: i64) -> Self {
        let (interval_ms, sent_from_ms) = (STEP_MS, from_ms);
        Self { kind, groups, series, interval_ms, from_ms, sent_from_ms, to_ms, churn_steps: 0 }
    }

    /// Samples that are sent.
    pub fn n_samples(&self) -> u64 {
        let steps_before = |t_ms: i64| (t_ms - self.from_ms + self.interval_ms - 1) / self.interval_ms;
        let steps = steps_before(self.to_ms) - steps_before(self.sent_from_ms.max(self.from_ms));
        (self.groups * self.series) as u64 * steps.max(0) as u64
    }

    pub fn to_text(&self) -> String {
        let name = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, name)| name);
        let Self { groups, series, interval_ms, from_ms, sent_from_ms, to_ms, churn_steps, .. } = self;
        format!("{name},{groups},{series},{interval_ms},{from_ms},{sent_from_ms},{to_ms},{churn_steps}")
    }

    pub fn from_text(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.split(',').collect();
        let [name, numbers @ ..] = fields.as_slice() else { bail!("an empty set") };
        let kind =
            KINDS.iter().find(|(_, known)| known == name).with_context(|| format!("no kind {name:?}"))?.0;
        let numbers: Vec<i64> = numbers.iter().map(|number| number.parse()).collect::<Result<_, _>>()?;
        let &[groups, series, interval_ms, from_ms, sent_from_ms, to_ms, churn_steps] = numbers.as_slice()
        else {
            bail!("not a set: {text:?}");
        };
        let (groups, series) = (usize::try_from(groups)?, usize::try_from(series)?);
        Ok(Self { kind, groups, series, interval_ms, from_ms, sent_from_ms, to_ms, churn_steps })
    }
}

/// Columns of the recording, for all sets.
pub struct Columns(Vec<Column>);

struct Column {
    line: Line,
    values: Vec<f64>,
    /// What a counter gains from one pass of the recording to the next; 0 for gauges and constants.
    lap: f64,
    /// Digits after the point that its values have.
    decimals: u32,
    is_constant: bool,
}

impl Columns {
    pub fn read(path: &Path) -> Result<Self> {
        let columns = recording::columns(&recording::bodies(path)?)?;
        Ok(Self(columns.into_iter().map(|(line, values)| Column::new(line, values)).collect()))
    }

    /// Series that one host can have.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Column {
    fn new(line: Line, values: Vec<f64>) -> Self {
        let is_constant = values.iter().all(|value| value.to_bits() == values[0].to_bits());
        let is_counter = !is_constant && values.windows(2).all(|pair| pair[0] <= pair[1]);
        let gain = values[values.len() - 1] - values[0];
        let lap = if is_counter { gain + gain / values.len() as f64 } else { 0.0 };
        let decimals = values.iter().map(|value| decimals(*value)).max().unwrap_or(0);
        Self { line, lap: round(lap, decimals), decimals, is_constant, values }
    }

    fn at(&self, step: u64) -> f64 {
        let n = self.values.len() as u64;
        let value = self.values[(step % n) as usize];
        if self.lap == 0.0 { value } else { round(value + self.lap * (step / n) as f64, self.decimals) }
    }
}

/// Digits after the point of the shortest text; at most 9, beyond which rounding would lose more than it keeps.
fn decimals(value: f64) -> u32 {
    let text = value.to_string();
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len().min(9) as u32)
}

fn round(value: f64, decimals: u32) -> f64 {
    let unit = 10f64.powi(decimals.cast_signed());
    let scaled = value * unit;
    if scaled.abs() < 9e15 { scaled.round() / unit } else { value }
}

/// One series: its labels, sorted, and where its values come from.
pub struct Series {
    pub labels: Vec<(String, String)>,
    source: Source,
}

enum Source {
    /// Column, phase.
    Recorded(usize, u64),
    Constant(f64),
    Counter(u64),
    Gauge(u64),
    /// Seed of the histogram, share of observations up to this bound.
    Bucket(u64, f64),
    /// Seed of a native histogram.
    Native(u64),
}

impl Series {
    /// The value at a step of its own set, counted from the set's start.
    pub fn value(&self, columns: &Columns, step: u64) -> f64 {
        match self.source {
            Source::Constant(value) => value,
            // Has no number; what is sent instead is made from its seed.
            Source::Native(_) => f64::NAN,
            Source::Recorded(column, phase) => columns.0[column].at(phase + step),
            Source::Counter(seed) => (step * 100 + hash(seed, step) % 100) as f64,
            Source::Gauge(seed) => {
                (2_000 + hash(seed, step / 40) % 5_000 + hash(seed, step) % 300) as f64 / 100.0
            }
            Source::Bucket(seed, share) => ((step * 20 + hash(seed, step) % 20) as f64 * share).floor(),
        }
    }

    /// The seed, if its samples are native histograms.
    pub fn native(&self) -> Option<u64> {
        if let Source::Native(seed) = self.source { Some(seed) } else { None }
    }

    /// The value, if it never changes.
    pub fn constant(&self) -> Option<f64> {
        if let Source::Constant(value) = self.source { Some(value) } else { None }
    }
}

/// Series of one group of a set; `generation` counts how often the group's host was replaced.
pub fn group(set: &Set, columns: &Columns, seed: u64, group: usize, generation: i64) -> Result<Vec<Series>> {
    if matches!(set.kind, Kind::Node | Kind::Replay) && set.series > columns.len() {
        bail!("a host has at most {} series in the recording, asked for {}", columns.len(), set.series);
    }
    Ok((0..set.series).map(|item| series(set.kind, columns, seed, group, item, generation)).collect())
}

fn series(kind: Kind, columns: &Columns, seed: u64, group: usize, item: usize, generation: i64) -> Series {
    let own = hash(hash(seed, group as u64), item as u64);
    let (name, pairs, source) = match kind {
        Kind::Node | Kind::Replay => return node(kind, columns, seed, group, item, generation),
        Kind::Counter => ("bench_counter", pairs("group", group, "item", item), Source::Counter(own)),
        Kind::Long => ("bench_long", pairs("group", group, "item", item), Source::Counter(own)),
        Kind::Many => ("bench_many", pairs("host", group, "item", item), Source::Gauge(own)),
        Kind::One => ("bench_one", pairs("host", group, "version", group % 7), Source::Constant(1.0)),
        Kind::Native => ("bench_native_seconds", pairs("path", item, "pod", group), Source::Native(own)),
        Kind::Bucket => {
            let (bound, share) = BUCKETS[item % BUCKETS.len()];
            let histogram = item / BUCKETS.len();
            let mut labels = pairs("path", histogram, "pod", group);
            labels.push(("le".to_owned(), bound.to_owned()));
            let seed = hash(hash(seed, group as u64), histogram as u64);
            ("bench_duration_seconds_bucket", labels, Source::Bucket(seed, share))
        }
    };
    sorted(name, pairs, source)
}

/// Bounds of a request's duration and the share of observations below.
const BUCKETS: &[(&str, f64)] = &[
    ("0.005", 0.02),
    ("0.01", 0.09),
    ("0.025", 0.31),
    ("0.05", 0.55),
    ("0.1", 0.74),
    ("0.25", 0.88),
    ("0.5", 0.95),
    ("1", 0.98),
    ("2.5", 0.995),
    ("+Inf", 1.0),
];

/// Bounds of each histogram: a set of [`Kind::Bucket`] has a multiple of them a group.
pub const N_BUCKETS: usize = BUCKETS.len();

fn node(kind: Kind, columns: &Columns, seed: u64, host: usize, item: usize, generation: i64) -> Series {
    let column = &columns.0[item];
    let mut instance = format!("host-{host:05}");
    if generation > 0 {
        let _ = write!(instance, "-g{generation}");
    }
    instance.push_str(".example:9100");
    let mut labels = column.line.labels.clone();
    for (name, value) in [
        ("cluster", format!("prod-{}", host / 500)),
        ("datacenter", ["fra1", "nyc2", "sin1"][host % 3].to_owned()),
        ("env", "production".to_owned()),
        ("instance", instance),
        ("job", "node".to_owned()),
        ("rack", format!("r{:02}", host / 20 % 100)),
    ] {
        labels.push((name.to_owned(), value));
    }
    let phase = match kind {
        Kind::Replay => (host * recording::PHASE) as u64 % column.values.len() as u64,
        _ => hash(seed, host as u64) % column.values.len() as u64,
    };
    let source =
        if column.is_constant { Source::Constant(column.values[0]) } else { Source::Recorded(item, phase) };
    sorted(&column.line.name, labels, source)
}

fn pairs(first: &str, nth: usize, second: &str, item: usize) -> Vec<(String, String)> {
    vec![(first.to_owned(), format!("{first}-{nth:04}")), (second.to_owned(), format!("{second}-{item:05}"))]
}

fn sorted(name: &str, mut labels: Vec<(String, String)>, source: Source) -> Series {
    labels.push(("__name__".to_owned(), name.to_owned()));
    labels.sort();
    Series { labels, source }
}

/// SplitMix64 over two numbers: cheap and good enough for made-up values.
pub fn hash(seed: u64, value: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A counter with two decimals, a gauge and a constant.
    pub fn columns() -> Columns {
        let column = |name: &str, values: &[f64]| {
            let labels = vec![("cpu".to_owned(), "0".to_owned())];
            Column::new(Line { name: name.to_owned(), labels }, values.to_vec())
        };
        Columns(vec![
            column("node_cpu_seconds_total", &[0.1, 0.21, 0.33, 0.4]),
            column("node_load1", &[1.5, 0.5, 2.25, 1.0]),
            column("node_uname_info", &[1.0; 4]),
        ])
    }

    #[test]
    fn counters_rise_past_the_end_of_the_recording_and_keep_their_decimals() {
        let columns = columns();
        let values: Vec<f64> = (0..50).map(|step| columns.0[0].at(step)).collect();
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "{values:?}");
        assert!(values.iter().all(|value| decimals(*value) <= 2), "{values:?}");
        assert_eq!(columns.0[1].at(5), 0.5);
        assert!(columns.0[2].is_constant);
    }

    #[test]
    fn made_counters_and_buckets_never_fall() {
        let columns = columns();
        for kind in [Kind::Counter, Kind::Bucket] {
            let set = Set::new(kind, 2, N_BUCKETS, 0, STEP_MS);
            for series in group(&set, &columns, 7, 1, 0).expect("valid") {
                let values: Vec<f64> = (0..200).map(|step| series.value(&columns, step)).collect();
                assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}: {values:?}", series.labels);
                assert!(series.labels.is_sorted());
            }
        }
    }

    #[test]
    fn sets_cross_the_process_border() {
        let set = Set { interval_ms: 60_000, churn_steps: 40, ..Set::new(Kind::Node, 3, 5, 10, 999_999) };
        assert_eq!(Set::from_text(&set.to_text()).expect("valid"), set);
        assert_eq!(set.n_samples(), 15 * 17);
        let newest = Set { sent_from_ms: 10 + 15 * 60_000, ..set };
        assert_eq!(newest.n_samples(), 15 * 2);
        assert!(Set::from_text("node,1,2").is_err());
    }
}
