//! Counts since the point before, made counts since the start: what `--enable-feature=otlp-deltatocumulative` asks for.
//!
//! In: a decoded request; out: the same with every delta sum and histogram made cumulative in place. Remembers one total for each stream,
//! within limits, until nothing has come for five minutes; a restart begins anew, which to queries is a reset like any other.
//! Semantics are those of the OpenTelemetry Collector's processor of that name, which Prometheus builds in.

use std::collections::HashMap;

use parking_lot::Mutex;
use wire::otlp::{
    Buckets, ExponentialPoint, HistogramPoint, KeyValue, Metric, NO_RECORDED_VALUE, NumberPoint, Points,
    Request, Temporality,
};
use wire::remote_write::HashSecret;

use crate::write::random_secret;

/// How long a total is remembered after its last point, in milliseconds. From the Collector.
const STALE_MS: i64 = 5 * 60 * 1_000;
/// How often totals that nothing came for are looked for, in milliseconds. Chosen.
const SWEEP_MS: i64 = 60 * 1_000;
/// Numbers in all totals. Chosen: 128 MiB, half a million counters or seventy thousand histograms.
const CELLS_MAX: usize = 16 << 20;
/// What a total takes besides its buckets, in numbers.
const CELLS_OF_STREAM: usize = 32;
/// Buckets of one side of an exponential total; beyond it buckets are made twice as wide. From the Collector.
const EXPONENTIAL_BUCKETS_MAX: i64 = 160;
/// The coarsest scale that is stored.
const SCALE_MIN: i32 = -4;

/// Totals by stream.
pub(super) struct Cumulative {
    secret: HashSecret,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    numbers: HashMap<u128, Stream<NumberPoint>>,
    histograms: HashMap<u128, Stream<HistogramPoint>>,
    exponentials: HashMap<u128, Stream<ExponentialPoint>>,
    n_cells: usize,
    swept_ms: i64,
}

/// A stream's total, as a point without attributes and exemplars.
struct Stream<P> {
    total: P,
    seen_ms: i64,
}

/// A point of counts.
trait Counted: Sized {
    fn attributes(&self) -> &[KeyValue];
    /// Start and time, in Unix nanoseconds.
    fn times(&mut self) -> (&mut u64, &mut u64);
    fn flags(&self) -> u32;
    /// Its numbers alone.
    fn numbers(&self) -> Self;
    /// Takes the numbers of `total`.
    fn take(&mut self, total: &Self);
    /// Adds what was counted later; `false` when the two have nothing in common, so that counting begins anew.
    fn add(&mut self, later: &Self) -> bool;
    fn n_buckets(&self) -> usize;
}

impl Cumulative {
    pub(super) fn new() -> Self {
        Self { secret: random_secret(), state: Mutex::default() }
    }

    /// Makes delta points cumulative. Those that cannot be are taken out and handed to `refuse`, how many with why.
    pub(super) fn convert(&self, request: &mut Request, now_ms: i64, mut refuse: impl FnMut(u64, String)) {
        let mut state = self.state.lock();
        state.sweep(now_ms);
        let mut identity = Vec::new();
        for resource in &mut request.resource_metrics {
            identity.clear();
            put_attributes(&mut identity, &resource.resource.attributes);
            let n_resource = identity.len();
            for scope in &mut resource.scope_metrics {
                identity.truncate(n_resource);
                put_text(&mut identity, &scope.scope.name);
                put_text(&mut identity, &scope.scope.version);
                put_attributes(&mut identity, &scope.scope.attributes);
                let n_scope = identity.len();
                for metric in &mut scope.metrics {
                    identity.truncate(n_scope);
                    let mut walk =
                        Walk { secret: &self.secret, identity: &mut identity, now_ms, refuse: &mut refuse };
                    state.metric(metric, &mut walk);
                }
            }
        }
    }
}

/// What points are converted with.
struct Walk<'a> {
    secret: &'a HashSecret,
    /// Of whose points they are; grows by each point's attributes, and shrinks again.
    identity: &'a mut Vec<u8>,
    now_ms: i64,
    refuse: &'a mut dyn FnMut(u64, String),
}

impl State {
    fn metric(&mut self, metric: &mut Metric, walk: &mut Walk<'_>) {
        put_text(walk.identity, &metric.name);
        put_text(walk.identity, &metric.unit);
        let (name, n_cells) = (&metric.name, &mut self.n_cells);
        if let Some(points) = &mut metric.sum {
            walk.identity.push(u8::from(points.is_monotonic));
            walk.points(name, points, &mut self.numbers, n_cells);
        }
        if let Some(points) = &mut metric.histogram {
            walk.points(name, points, &mut self.histograms, n_cells);
        }
        if let Some(points) = &mut metric.exponential_histogram {
            walk.points(name, points, &mut self.exponentials, n_cells);
        }
    }

    fn sweep(&mut self, now_ms: i64) {
        // Also after a clock that was set back.
        if (now_ms - self.swept_ms).abs() < SWEEP_MS {
            return;
        }
        self.swept_ms = now_ms;
        fn keep<P: Counted>(streams: &mut HashMap<u128, Stream<P>>, now_ms: i64) -> usize {
            streams.retain(|_, stream| (now_ms - stream.seen_ms).abs() <= STALE_MS);
            streams.values().map(|stream| cells(&stream.total)).sum()
        }
        self.n_cells = keep(&mut self.numbers, now_ms)
            + keep(&mut self.histograms, now_ms)
            + keep(&mut self.exponentials, now_ms);
    }
}

fn cells(total: &impl Counted) -> usize {
    CELLS_OF_STREAM + total.n_buckets()
}

impl Walk<'_> {
    fn points<P: Counted>(
        &mut self,
        name: &str,
        points: &mut Points<P>,
        streams: &mut HashMap<u128, Stream<P>>,
        n_cells: &mut usize,
    ) {
        if points.aggregation_temporality != Temporality::Delta {
            return;
        }
        points.aggregation_temporality = Temporality::Cumulative;
        points.data_points.retain_mut(|point| match self.point(point, streams, n_cells) {
            Ok(()) => true,
            Err(why) => {
                (self.refuse)(1, format!("{why} for metric {name:?}"));
                false
            }
        });
    }

    fn point<P: Counted>(
        &mut self,
        point: &mut P,
        streams: &mut HashMap<u128, Stream<P>>,
        n_cells: &mut usize,
    ) -> Result<(), String> {
        let n_identity = self.identity.len();
        put_attributes(self.identity, point.attributes());
        let id = self.secret.hash(self.identity);
        self.identity.truncate(n_identity);
        if point.flags() & NO_RECORDED_VALUE != 0 {
            // The series ends here; what comes later is a new one.
            if let Some(gone) = streams.remove(&id) {
                *n_cells -= cells(&gone.total);
            }
            return Ok(());
        }
        let Some(stream) = streams.get_mut(&id) else {
            let total = point.numbers();
            if *n_cells + cells(&total) > CELLS_MAX {
                return Err(format!(
                    "more delta streams than fit into {} MiB of totals: send cumulative ones",
                    (CELLS_MAX * size_of::<u64>()) >> 20
                ));
            }
            *n_cells += cells(&total);
            point.take(&total);
            streams.insert(id, Stream { total, seen_ms: self.now_ms });
            return Ok(());
        };
        let (start, time) = point.times();
        let (start, time) = (*start, *time);
        let (total_start, total_time) = stream.total.times();
        if start != 0 && start < *total_start {
            return Err(
                "dropped delta sample, since its series starts later: do several processes send the same series?"
                    .to_owned(),
            );
        }
        if time <= *total_time {
            return Err("out of order: dropped delta sample, since its series is already later".to_owned());
        }
        let n_before = cells(&stream.total);
        if stream.total.add(point) {
            *stream.total.times().1 = time;
        } else {
            stream.total = point.numbers();
        }
        *n_cells = *n_cells - n_before + cells(&stream.total);
        stream.seen_ms = self.now_ms;
        point.take(&stream.total);
        Ok(())
    }
}

fn put_text(identity: &mut Vec<u8>, text: &str) {
    identity.extend_from_slice(&(text.len() as u64).to_le_bytes());
    identity.extend_from_slice(text.as_bytes());
}

/// In an order of their own: senders have none.
fn put_attributes(identity: &mut Vec<u8>, attributes: &[KeyValue]) {
    let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    identity.extend_from_slice(&(sorted.len() as u64).to_le_bytes());
    for attribute in sorted {
        put_text(identity, &attribute.key);
        // Tells the text "1" from the number.
        put_text(identity, &format!("{:?}", attribute.value));
    }
}

impl Counted for NumberPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn times(&mut self) -> (&mut u64, &mut u64) {
        (&mut self.start_time_unix_nano, &mut self.time_unix_nano)
    }

    fn flags(&self) -> u32 {
        self.flags
    }

    fn numbers(&self) -> Self {
        let Self { start_time_unix_nano, time_unix_nano, as_double, as_int, .. } = *self;
        Self { start_time_unix_nano, time_unix_nano, as_double, as_int, ..Self::default() }
    }

    fn take(&mut self, total: &Self) {
        self.start_time_unix_nano = total.start_time_unix_nano;
        (self.as_double, self.as_int) = (total.as_double, total.as_int);
    }

    fn add(&mut self, later: &Self) -> bool {
        let as_double = |point: &Self| point.as_double.or(point.as_int.map(|n| n as f64)).unwrap_or(0.0);
        match (self.as_double, self.as_int, later.as_double, later.as_int) {
            (None, Some(total), None, Some(later)) => self.as_int = Some(total.saturating_add(later)),
            _ => {
                self.as_double = Some(as_double(self) + as_double(later));
                self.as_int = None;
            }
        }
        true
    }

    fn n_buckets(&self) -> usize {
        0
    }
}

/// A sum that one of them lacks is not known of both.
fn sum_of(total: Option<f64>, later: Option<f64>) -> Option<f64> {
    Some(total? + later?)
}

impl Counted for HistogramPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn times(&mut self) -> (&mut u64, &mut u64) {
        (&mut self.start_time_unix_nano, &mut self.time_unix_nano)
    }

    fn flags(&self) -> u32 {
        self.flags
    }

    fn numbers(&self) -> Self {
        Self {
            start_time_unix_nano: self.start_time_unix_nano,
            time_unix_nano: self.time_unix_nano,
            count: self.count,
            sum: self.sum,
            bucket_counts: self.bucket_counts.clone(),
            explicit_bounds: self.explicit_bounds.clone(),
            ..Self::default()
        }
    }

    fn take(&mut self, total: &Self) {
        self.start_time_unix_nano = total.start_time_unix_nano;
        (self.count, self.sum) = (total.count, total.sum);
        self.bucket_counts.clone_from(&total.bucket_counts);
    }

    fn add(&mut self, later: &Self) -> bool {
        if self.explicit_bounds != later.explicit_bounds
            || self.bucket_counts.len() != later.bucket_counts.len()
        {
            return false;
        }
        self.count = self.count.saturating_add(later.count);
        self.sum = sum_of(self.sum, later.sum);
        for (total, later) in self.bucket_counts.iter_mut().zip(&later.bucket_counts) {
            *total = total.saturating_add(*later);
        }
        true
    }

    fn n_buckets(&self) -> usize {
        self.bucket_counts.len() + self.explicit_bounds.len()
    }
}

impl Counted for ExponentialPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn times(&mut self) -> (&mut u64, &mut u64) {
        (&mut self.start_time_unix_nano, &mut self.time_unix_nano)
    }

    fn flags(&self) -> u32 {
        self.flags
    }

    fn numbers(&self) -> Self {
        Self {
            start_time_unix_nano: self.start_time_unix_nano,
            time_unix_nano: self.time_unix_nano,
            count: self.count,
            sum: self.sum,
            scale: self.scale,
            zero_count: self.zero_count,
            positive: self.positive.clone(),
            negative: self.negative.clone(),
            ..Self::default()
        }
    }

    fn take(&mut self, total: &Self) {
        self.start_time_unix_nano = total.start_time_unix_nano;
        (self.count, self.sum) = (total.count, total.sum);
        (self.scale, self.zero_count) = (total.scale, total.zero_count);
        self.positive.clone_from(&total.positive);
        self.negative.clone_from(&total.negative);
    }

    fn add(&mut self, later: &Self) -> bool {
        let scale = self.scale.min(later.scale);
        let positive = [(&self.positive, self.scale), (&later.positive, later.scale)];
        let negative = [(&self.negative, self.scale), (&later.negative, later.scale)];
        let scale = fitting(&positive, fitting(&negative, scale));
        (self.positive, self.negative) = (merged(&positive, scale), merged(&negative, scale));
        self.scale = scale;
        self.count = self.count.saturating_add(later.count);
        self.zero_count = self.zero_count.saturating_add(later.zero_count);
        self.sum = sum_of(self.sum, later.sum);
        true
    }

    fn n_buckets(&self) -> usize {
        self.positive.bucket_counts.len() + self.negative.bucket_counts.len()
    }
}

/// Buckets with their scale.
type Scaled<'a> = (&'a Buckets, i32);

/// Indexes with their counts at a scale that is as coarse or coarser; those that nothing is in are left out.
fn counts(&(buckets, own_scale): &Scaled<'_>, scale: i32) -> impl Iterator<Item = (i64, u64)> {
    // A shift by all bits or more leaves the sign.
    let by = i64::from(own_scale).saturating_sub(i64::from(scale)).clamp(0, 63);
    let all = (i64::from(buckets.offset)..).zip(&buckets.bucket_counts);
    all.filter(|(_, count)| **count > 0).map(move |(idx, count)| (idx >> by, *count))
}

/// First and last index at `scale`.
fn extent(sides: &[Scaled<'_>; 2], scale: i32) -> Option<(i64, i64)> {
    let all = || sides.iter().flat_map(|side| counts(side, scale)).map(|(idx, _)| idx);
    Some((all().min()?, all().max()?))
}

/// The finest scale up to `scale` at which both together have no more buckets than they may.
fn fitting(sides: &[Scaled<'_>; 2], mut scale: i32) -> i32 {
    let Some((mut first, mut last)) = extent(sides, scale) else { return scale };
    while last - first >= EXPONENTIAL_BUCKETS_MAX && scale > SCALE_MIN {
        (first, last, scale) = (first >> 1, last >> 1, scale - 1);
    }
    scale
}

fn merged(sides: &[Scaled<'_>; 2], scale: i32) -> Buckets {
    let Some((first, last)) = extent(sides, scale) else { return Buckets::default() };
    // Too far apart only where the scale is coarser than any that is stored: such a point is refused later, whatever is in it.
    let Ok(width) = usize::try_from((last - first + 1).min(1 << 17)) else { return Buckets::default() };
    let mut bucket_counts = vec![0u64; width];
    for (idx, count) in sides.iter().flat_map(|side| counts(side, scale)) {
        if let Some(total) = usize::try_from(idx - first).ok().and_then(|at| bucket_counts.get_mut(at)) {
            *total = total.saturating_add(count);
        }
    }
    Buckets { offset: i32::try_from(first).unwrap_or(i32::MAX), bucket_counts }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::otlp::{ResourceMetrics, ScopeMetrics};

    use super::*;

    fn exponential(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint {
        let positive = Buckets { offset, bucket_counts: counts.to_vec() };
        ExponentialPoint { scale, positive, count: counts.iter().sum(), ..ExponentialPoint::default() }
    }

    fn check_sum(a: (i32, i32, &[u64]), b: (i32, i32, &[u64]), expected: (i32, i32, &[u64])) {
        let mut total = exponential(a.0, a.1, a.2);
        assert!(total.add(&exponential(b.0, b.1, b.2)));
        let got = (total.scale, total.positive.offset, &total.positive.bucket_counts[..]);
        assert_eq!(got, expected);
    }

    #[test]
    fn exponential_histograms_meet_at_the_coarser_scale() {
        check_sum((2, 0, &[1, 2]), (2, 3, &[4]), (2, 0, &[1, 2, 0, 4]));
        check_sum((2, 0, &[1, 2, 3, 4]), (1, 1, &[5]), (1, 0, &[3, 12]));
        check_sum((1, -3, &[1, 1, 1]), (0, 0, &[2]), (0, -2, &[1, 2, 2]));
        check_sum((3, 0, &[]), (1, 7, &[1]), (1, 7, &[1]));
        check_sum((0, 0, &[0, 0]), (0, 9, &[0]), (0, 0, &[]));
        // Far apart: as much coarser as it takes for 160 buckets.
        let mut total = exponential(8, 0, &[1]);
        assert!(total.add(&exponential(8, 1_000, &[1])));
        assert_eq!((total.scale, total.positive.bucket_counts.len()), (5, 126));
        assert_eq!(total.positive.bucket_counts.iter().sum::<u64>(), 2);
    }

    proptest! {
        #[test]
        fn no_count_is_lost(
            a in prop::collection::vec(0u64..9, 0..200), b in prop::collection::vec(0u64..9, 0..200),
            scales in (-4i32..20, -4i32..20), offsets in (-5_000i32..5_000, -5_000i32..5_000),
        ) {
            let mut total = exponential(scales.0, offsets.0, &a);
            prop_assert!(total.add(&exponential(scales.1, offsets.1, &b)));
            let expected: u64 = a.iter().chain(&b).sum();
            prop_assert_eq!(total.positive.bucket_counts.iter().sum::<u64>(), expected);
            let has_few = total.positive.bucket_counts.len() <= EXPONENTIAL_BUCKETS_MAX as usize;
            prop_assert!(has_few || total.scale == SCALE_MIN);
        }

        #[test]
        fn no_point_panics(scale: i32, offset: i32, counts: Vec<u64>, other_scale: i32, other_offset: i32) {
            let mut total = exponential(0, 0, &[1]);
            total.scale = scale;
            total.positive = Buckets { offset, bucket_counts: counts };
            let mut other = exponential(0, 0, &[1]);
            (other.scale, other.positive.offset) = (other_scale, other_offset);
            let _ = total.add(&other);
        }
    }

    fn delta(path: &str, time_ms: u64, count: i64) -> Request {
        let point = NumberPoint {
            attributes: vec![KeyValue {
                key: "path".to_owned(),
                value: wire::otlp::Value::Text(path.to_owned()),
            }],
            time_unix_nano: time_ms * 1_000_000,
            as_int: Some(count),
            ..NumberPoint::default()
        };
        let sum = Points {
            data_points: vec![point],
            aggregation_temporality: Temporality::Delta,
            is_monotonic: true,
        };
        let metric = Metric { name: "m".to_owned(), sum: Some(sum), ..Metric::default() };
        let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
        Request { resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }] }
    }

    /// The total after the last of these: path, time and count each.
    fn total_of(cumulative: &Cumulative, points: &[(&str, u64, i64)]) -> Option<i64> {
        let mut total = None;
        for (path, time_ms, count) in points {
            let mut request = delta(path, *time_ms, *count);
            cumulative.convert(&mut request, *time_ms as i64, |_, _| {});
            let sum = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.as_ref().unwrap();
            assert_eq!(sum.aggregation_temporality, Temporality::Cumulative);
            total = sum.data_points.first().and_then(|point| point.as_int);
        }
        total
    }

    #[test]
    fn streams_are_told_apart_and_forgotten_when_nothing_comes() {
        let cumulative = Cumulative::new();
        assert_eq!(total_of(&cumulative, &[("/a", 1_000, 1), ("/b", 1_000, 5), ("/a", 2_000, 2)]), Some(3));
        assert_eq!(total_of(&cumulative, &[("/a", 2_000, 2)]), None);
        // Within five minutes the total goes on, later it begins anew.
        assert_eq!(total_of(&cumulative, &[("/a", 290_000, 1)]), Some(4));
        assert_eq!(total_of(&cumulative, &[("/b", 400_000, 1)]), Some(1));
        let state = cumulative.state.lock();
        assert_eq!((state.numbers.len(), state.n_cells), (2, 2 * CELLS_OF_STREAM));
    }
}
