//! Laws of histograms, over random ones.

use std::sync::Arc;

use proptest::prelude::*;

use super::bounds::exponential as exponential_bound;
use super::buckets::spanned;
use super::{CUSTOM_BUCKETS_SCHEMA, Histogram, HistogramSum, ResetHint, Span};

fn spans_and_counts() -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
    let span = (0i32..5, 1u32..4);
    (-20i32..20, proptest::collection::vec(span, 0..4), proptest::collection::vec(0u32..50, 12)).prop_map(
        |(first, spans, counts)| {
            let spans: Vec<Span> = spans
                .into_iter()
                .enumerate()
                .map(|(n, (offset, length))| Span { offset: if n == 0 { first } else { offset }, length })
                .collect();
            let n_buckets: u32 = spans.iter().map(|span| span.length).sum();
            (spans, counts.into_iter().take(n_buckets as usize).map(f64::from).collect())
        },
    )
}

/// Counts are whole, so that every sum of them is exact.
fn exponential() -> impl Strategy<Value = Histogram> {
    let zero = (0u32..10, prop_oneof![Just(0.0), Just(0.001), Just(0.5), Just(3.0)]);
    (-4i32..=8, zero, spans_and_counts(), spans_and_counts()).prop_map(
        |(schema, (zero_count, zero_threshold), positive, negative)| {
            let mut h = Histogram {
                schema,
                zero_threshold,
                zero_count: f64::from(zero_count),
                positive_spans: positive.0,
                positive_buckets: positive.1,
                negative_spans: negative.0,
                negative_buckets: negative.1,
                ..Histogram::default()
            };
            // What lies within the zero bucket is counted there.
            let outside = |list: Vec<(i32, f64)>| {
                spanned(
                    list.into_iter().filter(|(index, _)| exponential_bound(*index, schema) > zero_threshold),
                )
            };
            (h.positive_spans, h.positive_buckets) = outside(h.positives().collect());
            (h.negative_spans, h.negative_buckets) = outside(h.negatives().collect());
            h.count = total(&h);
            h.sum = h.count * 2.0;
            h
        },
    )
}

fn custom() -> impl Strategy<Value = Histogram> {
    let bounds = proptest::collection::btree_set(-5i32..20, 0..6);
    (bounds, proptest::collection::vec(0u32..50, 7)).prop_map(|(bounds, counts)| {
        let bounds: Arc<[f64]> = bounds.into_iter().map(f64::from).collect();
        let counts: Vec<f64> = counts.into_iter().take(bounds.len() + 1).map(f64::from).collect();
        let mut h = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            positive_buckets: counts,
            custom_bounds: bounds,
            ..Histogram::default()
        };
        h.count = total(&h);
        h.sum = h.count;
        h
    })
}

fn total(h: &Histogram) -> f64 {
    h.zero_count + h.positive_buckets.iter().chain(&h.negative_buckets).sum::<f64>()
}

fn sum(a: &Histogram, b: &Histogram) -> Histogram {
    let mut sum = a.clone();
    let _reconciled = sum.add(b).expect("both are of one kind");
    sum.compact();
    sum
}

fn pairs() -> impl Strategy<Value = (Histogram, Histogram)> {
    prop_oneof![(exponential(), exponential()), (custom(), custom())]
}

/// The same buckets in spans of one each: the same histogram, but not the same layout.
fn with_split_spans(h: &Histogram) -> Histogram {
    let split = |spans: &[Span]| -> Vec<Span> {
        let of = |span: &Span| {
            let rest = (1..span.length).map(|_| Span { offset: 0, length: 1 });
            std::iter::once(Span { offset: span.offset, length: 1 }).chain(rest).collect::<Vec<_>>()
        };
        spans.iter().flat_map(of).collect()
    };
    Histogram {
        positive_spans: split(&h.positive_spans),
        negative_spans: split(&h.negative_spans),
        ..h.clone()
    }
}

/// Two histograms of one layout, as scrapes of one counter are.
fn of_one_layout() -> impl Strategy<Value = (Histogram, Histogram)> {
    let counts = || proptest::collection::vec(0u32..50, 24);
    (exponential(), counts(), 0u32..10).prop_map(|(first, counts, zero_count)| {
        let mut second = first.clone();
        let lists = second.positive_buckets.iter_mut().chain(&mut second.negative_buckets);
        lists.zip(counts).for_each(|(count, new)| *count = if new < 25 { *count } else { f64::from(new) });
        second.zero_count = f64::from(zero_count);
        (first, second)
    })
}

proptest! {
    #[test]
    fn the_layout_of_buckets_changes_neither_resets_nor_sums((before, now) in of_one_layout()) {
        let split = with_split_spans(&before);
        prop_assert_eq!(now.fell_since(&before), now.fell_since(&split));
        let (mut sum, mut split_sum) = (now.clone(), now.clone());
        let _ = sum.add(&before).unwrap();
        let _ = split_sum.add(&split).unwrap();
        sum.compact();
        split_sum.compact();
        prop_assert_eq!(sum, split_sum);
    }

    #[test]
    fn addition_commutes_and_loses_no_observation((a, b) in pairs()) {
        let (ab, ba) = (sum(&a, &b), sum(&b, &a));
        prop_assert!(ab.is_same_data(&ba), "{ab} {ba}");
        prop_assert_eq!(total(&ab), ab.count);
        prop_assert_eq!(ab.count, a.count + b.count);
    }

    #[test]
    fn compensated_sums_are_plain_ones_where_nothing_is_lost((a, b) in pairs()) {
        let mut kept = HistogramSum::new(&a);
        let _reconciled = kept.add(&b).expect("both are of one kind");
        let mut kept = kept.finish();
        kept.compact();
        prop_assert!(kept.is_same_data(&sum(&a, &b)));
    }

    #[test]
    fn a_coarser_sum_is_the_sum_of_coarser_ones(a in exponential(), b in exponential(), by in 0i32..6) {
        let schema = a.schema.min(b.schema).saturating_sub(by).max(-4);
        let b = Histogram { zero_threshold: a.zero_threshold, ..b };
        // Where buckets reach into the zero bucket, the order matters: a coarser bucket reaches further.
        prop_assume!(a.zero_threshold == 0.0);
        let mut early = sum(&a.at_schema(schema), &b.at_schema(schema));
        let mut late = sum(&a, &b).at_schema(schema);
        early.compact();
        late.compact();
        prop_assert!(early.is_same_data(&late), "{early} {late}");
    }

    #[test]
    fn what_is_added_can_be_taken_away((a, b) in pairs()) {
        let mut rest = sum(&a, &b);
        let _reconciled = rest.subtract(&b).expect("both are of one kind");
        prop_assert_eq!(rest.count, a.count);
        prop_assert_eq!(total(&rest), a.count);
        prop_assert!(rest.positive_buckets.iter().chain(&rest.negative_buckets).all(|count| *count >= 0.0));
    }

    #[test]
    fn a_counter_that_grows_is_not_reset(a in exponential(), b in exponential()) {
        let b = Histogram { zero_threshold: a.zero_threshold.min(b.zero_threshold), ..b };
        let b = b.at_schema(a.schema);
        let grown = sum(&a, &b);
        prop_assert!(!a.fell_since(&a));
        prop_assert!(!grown.fell_since(&a), "{a} {grown}");
        let said = Histogram { reset_hint: ResetHint::Reset, ..grown.clone() };
        prop_assert!(said.is_reset_after(&a));
        if b.count > 0.0 {
            prop_assert!(a.fell_since(&grown));
        }
    }

    #[test]
    fn compaction_and_empty_buckets_change_no_data((a, _) in pairs()) {
        let mut compact = a.clone();
        compact.compact();
        prop_assert!(compact.is_same_data(&a));
        prop_assert_eq!(compact.to_string(), a.to_string());
        prop_assert!(compact.positive_buckets.iter().all(|count| *count != 0.0));
    }

    #[test]
    fn buckets_rise_and_hold_every_observation((a, _) in pairs()) {
        let buckets = a.buckets();
        prop_assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<f64>(), a.count);
        prop_assert!(buckets.windows(2).all(|pair| pair[0].upper <= pair[1].upper));
    }

    #[test]
    fn the_two_halves_of_a_cut_are_the_whole(a in exponential(), limit in -40.0f64..40.0) {
        prop_assume!(a.zero_threshold < 0.1);
        let (mut below, mut above) = (a.clone(), a.clone());
        below.trim_above(limit);
        above.trim_below(limit);
        let both = below.count + above.count;
        prop_assert!((both - a.count).abs() <= 1e-9 * a.count.max(1.0), "{both} of {a} at {limit}");
    }

    #[test]
    fn hostile_layouts_do_not_panic(
        schema in any::<i32>(),
        spans in proptest::collection::vec((any::<i32>(), 0u32..9), 0..4),
        counts in proptest::collection::vec(any::<f64>(), 0..12),
        threshold in any::<f64>(),
    ) {
        let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        let h = Histogram {
            schema,
            zero_threshold: threshold,
            positive_spans: spans.clone(),
            positive_buckets: counts.clone(),
            negative_spans: spans,
            negative_buckets: counts,
            ..Histogram::default()
        };
        let plain = Histogram { positive_spans: vec![Span { offset: 0, length: 1 }], positive_buckets: vec![1.0], ..Histogram::default() };
        let mut changed = h.clone();
        let _reconciled = changed.add(&plain);
        changed.compact();
        changed.trim_above(1.0);
        let mut changed = plain.clone();
        let _reconciled = changed.subtract(&h);
        let _text = (h.to_string(), h.buckets(), h.is_reset_after(&plain), plain.is_reset_after(&h), h.at_schema(0));
    }
}

#[test]
fn kinds_do_not_mix() {
    let mut a = Histogram::default();
    let b = Histogram { schema: CUSTOM_BUCKETS_SCHEMA, ..Histogram::default() };
    assert!(a.add(&b).is_err());
    assert!(a.fell_since(&b) && b.fell_since(&a));
}

#[test]
fn different_custom_bounds_meet_at_those_that_both_have() {
    let custom = |bounds: &[f64], counts: &[f64]| Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: counts.iter().sum(),
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive_buckets: counts.to_vec(),
        custom_bounds: bounds.into(),
        ..Histogram::default()
    };
    let mut a = custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
    let reconciled = a.add(&custom(&[2.0, 3.0, 4.0], &[10.0, 20.0, 30.0, 40.0])).expect("both are custom");
    assert!(reconciled.bounds_differ);
    assert_eq!(&a.custom_bounds[..], [2.0, 4.0]);
    assert_eq!(a.positive_buckets, [13.0, 53.0, 44.0]);
}

#[test]
fn hints_are_joined() {
    use ResetHint as R;
    let check = |a, b, expected, collide| {
        let mut sum = Histogram { reset_hint: a, ..Histogram::default() };
        let reconciled = sum.add(&Histogram { reset_hint: b, ..Histogram::default() }).expect("one kind");
        assert_eq!((sum.reset_hint, reconciled.resets_collide), (expected, collide), "{a:?} {b:?}");
    };
    check(R::NotReset, R::NotReset, R::NotReset, false);
    check(R::NotReset, R::Gauge, R::Gauge, false);
    check(R::Unknown, R::NotReset, R::Unknown, false);
    check(R::Reset, R::NotReset, R::Unknown, true);
}
