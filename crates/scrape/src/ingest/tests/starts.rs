//! `_created` lines of OpenMetrics, by rows and sample by sample.

use super::*;

const NONE: StartOptions = StartOptions { zeros: false, stored: false, synthesized: false };
const ZEROS: StartOptions = StartOptions { zeros: true, ..NONE };
const STORED: StartOptions = StartOptions { stored: true, ..NONE };
const SYNTHESIZED: StartOptions = StartOptions { stored: true, synthesized: true, ..NONE };

fn check(starts: StartOptions, pages: &[(i64, &str)], expected: &str) {
    for mut bench in [Bench::new("job_name: a"), Bench::without_rows("job_name: a")] {
        bench.starts = starts;
        for (t_ms, page) in pages {
            bench.scrape_as(*t_ms, &format!("{page}# EOF\n"), Format::OpenMetrics100).unwrap();
        }
        assert_eq!(bench.stored(), expected, "rows: {}", bench.takes_rows);
    }
}

const COUNTER: &str = "# TYPE c counter\nc_total{a=\"1\"} 5\nc_created{a=\"1\"} 7.5\nc_total{a=\"2\"} 6\n";
const HISTOGRAM: &str =
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\nh_created 8\n";
const SUMMARY: &str =
    "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 2\ns_created 9\n# TYPE g gauge\ng_created 4\n";

#[test]
fn without_a_feature_they_are_series() {
    check(
        StartOptions::default(),
        &[(10_000, COUNTER)],
        "{__name__=\"c_created\", a=\"1\"} 10000:7.5\n{__name__=\"c_total\", a=\"1\"} 10000:5\n{__name__=\"c_total\", a=\"2\"} 10000:6\n",
    );
}

#[test]
fn a_zero_stands_where_a_counter_began() {
    check(
        ZEROS,
        &[(10_000, COUNTER), (20_000, COUNTER)],
        "{__name__=\"c_total\", a=\"1\"} 7500:0 10000:5 20000:5\n{__name__=\"c_total\", a=\"2\"} 10000:6 20000:6\n",
    );
    let again = COUNTER.replace("7.5", "15").replace(" 5", " 1");
    let future = COUNTER.replace("7.5", "45");
    check(
        ZEROS,
        &[(10_000, COUNTER), (20_000, &again), (30_000, &again), (40_000, &future)],
        "{__name__=\"c_total\", a=\"1\"} 7500:0 10000:5 15000:0 20000:1 30000:1 40000:5\n\
         {__name__=\"c_total\", a=\"2\"} 10000:6 20000:6 30000:6 40000:6\n",
    );
}

#[test]
fn a_start_is_of_all_lines_of_its_metric() {
    check(
        STORED,
        &[(10_000, HISTOGRAM), (20_000, HISTOGRAM)],
        "{__name__=\"h_bucket\", le=\"+Inf\"} since 8000 10000:2 since 8000 20000:2\n\
         {__name__=\"h_bucket\", le=\"1.0\"} since 8000 10000:1 since 8000 20000:1\n\
         {__name__=\"h_count\"} since 8000 10000:2 since 8000 20000:2\n\
         {__name__=\"h_sum\"} since 8000 10000:3 since 8000 20000:3\n",
    );
    check(
        STORED,
        &[(10_000, SUMMARY), (20_000, &SUMMARY.replace("s_created 9\n", ""))],
        "{__name__=\"g_created\"} 10000:4 20000:4\n{__name__=\"s\", quantile=\"0.5\"} since 9000 10000:1 20000:1\n\
         {__name__=\"s_count\"} since 9000 10000:2 20000:2\n",
    );
}

#[test]
fn samples_with_times_of_their_own_have_starts_too() {
    check(
        StartOptions { zeros: true, ..STORED },
        &[(10_000, "# TYPE c counter\nc_total 5 9.5\nc_created 9\n")],
        "{__name__=\"c_total\"} 9000:0 since 9000 9500:5\n",
    );
}

#[test]
fn counters_without_a_start_are_counted_from_their_first_sample() {
    let page = |total: u32, sum: u32, gauge: u32| {
        format!(
            "# TYPE c counter\nc_total {total}\n# TYPE s summary\ns{{quantile=\"0.5\"}} 1\ns_sum {sum}\n# TYPE g gauge\ng {gauge}\n"
        )
    };
    let pages = [page(5, 1, 9), page(7, 1, 8), page(3, 2, 7), page(4, 2, 6)];
    let pages: Vec<(i64, &str)> = (1..).map(|n| n * 10_000).zip(pages.iter().map(String::as_str)).collect();
    check(
        SYNTHESIZED,
        &pages,
        "{__name__=\"c_total\"} since 10000 20000:2 since 29999 30000:3 since 29999 40000:4\n\
         {__name__=\"g\"} 10000:9 20000:8 30000:7 40000:6\n\
         {__name__=\"s\", quantile=\"0.5\"} 10000:1 20000:1 30000:1 40000:1\n\
         {__name__=\"s_sum\"} since 10000 20000:0 since 10000 30000:1 since 10000 40000:1\n",
    );
    check(
        SYNTHESIZED,
        &[(10_000, COUNTER), (20_000, COUNTER)],
        "{__name__=\"c_total\", a=\"1\"} since 7500 10000:5 since 7500 20000:5\n\
         {__name__=\"c_total\", a=\"2\"} since 10000 20000:0\n",
    );
    // One that goes ends as others do, and begins anew.
    check(
        StartOptions { synthesized: true, ..NONE },
        &[
            (10_000, "# TYPE c counter\nc_total 5\n"),
            (20_000, "# TYPE c counter\nc_total 6\n"),
            (30_000, ""),
            (40_000, "# TYPE c counter\nc_total 7\n"),
            (50_000, "# TYPE c counter\nc_total 9\n"),
        ],
        "{__name__=\"c_total\"} 20000:1 30000:stale 50000:2\n",
    );
}

#[test]
fn starts_are_not_counted_as_samples() {
    for mut bench in [Bench::new("job_name: a"), Bench::without_rows("job_name: a")] {
        bench.starts = ZEROS;
        for (t_ms, format, n_scraped) in [(1, Format::OpenMetrics100, 2), (2, Format::Text004, 3)] {
            let page =
                if format == Format::Text004 { COUNTER.to_owned() } else { format!("{COUNTER}# EOF\n") };
            let stats = bench.scrape_as(t_ms * 10_000, &page, format).unwrap();
            assert_eq!((stats.n_scraped, stats.n_kept), (n_scraped, n_scraped), "{format:?}");
        }
    }
}

#[test]
fn types_and_units_are_labels_where_they_are_wanted() {
    let page = "# TYPE t_seconds counter\n# UNIT t_seconds seconds\nt_seconds_total 5\n# TYPE g gauge\ng{__type__=\"x\"} 4\n";
    let retyped = page.replace("g gauge", "g unknown");
    for mut bench in [Bench::new("job_name: a"), Bench::without_rows("job_name: a")] {
        bench.type_and_unit_labels = true;
        for (t_ms, page) in [(10_000, page), (20_000, &retyped)] {
            bench.scrape_as(t_ms, &format!("{page}# EOF\n"), Format::OpenMetrics100).unwrap();
        }
        assert_eq!(
            bench.stored(),
            "{__name__=\"g\", __type__=\"gauge\"} 10000:4 20000:stale\n\
             {__name__=\"g\", __type__=\"x\"} 20000:4\n\
             {__name__=\"t_seconds_total\", __type__=\"counter\", __unit__=\"seconds\"} 10000:5 20000:5\n",
            "rows: {}",
            bench.takes_rows
        );
    }
}
