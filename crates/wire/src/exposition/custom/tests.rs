//! Pages of text with classic histograms, by what is left of them and what they become.

use super::*;

const TO_CUSTOM: HistogramOptions = HistogramOptions {
    natives: false,
    classic_too: false,
    classic_to_custom: true,
    starts: false,
    type_and_unit: false,
};

fn check(page: &str, options: HistogramOptions, text: &str, natives: &[&str]) {
    let is_openmetrics = page.contains("# EOF");
    let format = if is_openmetrics { Format::OpenMetrics100 } else { Format::Text004 };
    let mut out = Translation::new();
    translate_text(page.as_bytes(), format, options, &mut out).unwrap();
    assert_eq!(out.text, text);
    let shown = out.natives.iter().map(|n| format!("{} {:?} {} {}", n.raw, n.t_ms, n.start_ms, n.histogram));
    assert_eq!(shown.collect::<Vec<_>>(), natives);
    let mut parser = Parser::new(out.text.as_bytes(), format);
    while parser.next_entry().unwrap().is_some() {}
}

const H: &str =
    "h_bucket{a=\"x\",le=\"1\"} 2\nh_bucket{a=\"x\",le=\"+Inf\"} 5\nh_sum{a=\"x\"} 7\nh_count{a=\"x\"} 5\n";
const H_SHOWN: &str = "h{a=\"x\"} None 0 {count:5, sum:7, [-Inf,1]:2, (1,+Inf]:3}";

#[test]
fn classic_histograms_leave_the_text_unless_they_are_wanted_too() {
    let page = format!("# HELP h x\n# TYPE h histogram\n{H}# TYPE g gauge\ng 1\n");
    let rest = "# HELP h x\n# TYPE h histogram\n# TYPE g gauge\ng 1\n";
    check(&page, TO_CUSTOM, rest, &[H_SHOWN]);
    check(&page, HistogramOptions { classic_too: true, ..TO_CUSTOM }, &page, &[H_SHOWN]);
}

#[test]
fn lines_that_only_look_like_a_histogram_stay() {
    for page in [H.to_owned(), format!("# TYPE h gauge\n{H}"), format!("# TYPE other histogram\n{H}")] {
        check(&page, TO_CUSTOM, &page, &[]);
    }
    // Wrong in itself: left out, as Prometheus does.
    check("# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_count 1\n", TO_CUSTOM, "# TYPE h histogram\n", &[]);
}

#[test]
fn each_set_of_labels_is_a_histogram_and_says_its_start() {
    let other = H.replace("\"x\"", "\"y\"");
    let page = format!("# TYPE h histogram\n{H}h_created{{a=\"x\"}} 12.5\n{other}# EOF\n");
    let created = "# TYPE h histogram\nh_created{a=\"x\"} 12.5\n# EOF\n";
    let second = H_SHOWN.replace("\"x\"", "\"y\"");
    check(&page, TO_CUSTOM, created, &[H_SHOWN, &second]);
    let first = H_SHOWN.replace("None 0", "None 12500");
    check(&page, HistogramOptions { starts: true, ..TO_CUSTOM }, created, &[&first, &second]);
}

#[test]
fn a_start_may_stand_anywhere_among_a_histograms_lines() {
    let first = "h_created{a=\"x\"} 12.5\n";
    let lines: Vec<String> = H.lines().map(|line| format!("{line}\n")).collect();
    for at in 0..=lines.len() {
        let page =
            format!("# TYPE h histogram\n{}{first}{}# EOF\n", lines[..at].concat(), lines[at..].concat());
        let rest = format!("# TYPE h histogram\n{first}# EOF\n");
        check(&page, TO_CUSTOM, &rest, &[H_SHOWN]);
        let shown = H_SHOWN.replace("None 0", "None 12500");
        check(&page, HistogramOptions { starts: true, ..TO_CUSTOM }, &rest, &[&shown]);
    }
    // A start of what is not there makes no histogram.
    let alone = format!("# TYPE h histogram\n{first}# EOF\n");
    check(&alone, HistogramOptions { starts: true, ..TO_CUSTOM }, &alone, &[]);
}

#[test]
fn buckets_that_contradict_each_other_are_none() {
    fn check(buckets: &[(f64, f64)], count: Option<f64>, expected: &str) {
        let mut gathered = Buckets::default();
        buckets.iter().for_each(|(le, count)| gathered.set_bucket(*le, *count));
        if let Some(count) = count {
            gathered.set_count(count);
        }
        let shown = gathered.finish().map_or_else(|err| err.to_string(), |h| format!("{} {h}", h.is_integer));
        assert_eq!(shown, expected);
    }
    check(&[(2.0, 3.0), (1.0, 1.0)], None, "true {count:3, sum:0, [-Inf,1]:1, (1,2]:2}");
    check(&[(1.0, 1.0), (1.0, 9.0)], Some(1.5), "false {count:1.5, sum:0, [-Inf,1]:1, (1,+Inf]:0.5}");
    check(&[], Some(4.0), "true {count:4, sum:0, [-Inf,+Inf]:4}");
    check(&[(1.0, 2.0), (2.0, 1.0)], None, "count is not cumulative: 1 beside 2");
    check(&[(2.0, 1.0), (1.0, 2.0)], None, "count is not cumulative: 2 beside 1");
    check(&[(f64::INFINITY, 2.0)], Some(3.0), "count mismatch: count=3 != le=+Inf count=2");
    check(&[(f64::NAN, 2.0)], None, "bucket boundary must not be NaN");
    check(&[(1.0, -2.0)], None, "bucket count must be non-negative: le=1, count=-2");
    check(&[], Some(-1.0), "count must be non-negative: count=-1");
}
