//! Native histograms, of protobuf bodies and of classic ones that a job converts.

use super::*;

/// Recorded from client_golang.
const RECORDED: &[u8] = include_bytes!("../../../../wire/src/exposition/protobuf/client_golang.pb");

const TO_CUSTOM: &str = "{job_name: a, convert_classic_histograms_to_nhcb: true}";
const H: &str = "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 5\nh_sum 7\nh_count 5\n";

/// Scrapes with rows and without.
fn benches(job: &str) -> [Bench; 2] {
    [Bench::new(job), Bench::without_rows(job)]
}

#[test]
fn a_classic_histogram_becomes_a_native_one_and_ends() {
    for mut bench in benches(TO_CUSTOM) {
        let stats = bench.scrape(10, &format!("{H}g 1\n")).unwrap();
        assert_eq!((stats.n_scraped, stats.n_kept, stats.n_added), (2, 2, 2));
        bench.scrape(20, &format!("{H}g 1\n")).unwrap();
        bench.scrape(30, "g 1\n").unwrap();
        assert_eq!(
            bench.stored(),
            "{__name__=\"g\"} 10:1 20:1 30:1\n\
             {__name__=\"h\"} 30:stale 10:{count:5, sum:7, [-Inf,1]:2, (1,+Inf]:3} 20:{count:5, sum:7, [-Inf,1]:2, (1,+Inf]:3}\n"
        );
    }
}

#[test]
fn a_failed_scrape_ends_native_histograms_too() {
    for mut bench in benches(TO_CUSTOM) {
        bench.scrape(10, H).unwrap();
        bench.scrape(20, "no page").unwrap_err();
        bench.scrape(30, "no page").unwrap_err();
        let shown = "{__name__=\"h\"} 20:stale 10:{count:5, sum:7, [-Inf,1]:2, (1,+Inf]:3}\n";
        assert_eq!(bench.stored(), shown);
    }
}

#[test]
fn limits_and_relabelling_hold_for_native_histograms() {
    fn check(settings: &str, expected: Result<(u64, u64), &str>) {
        let job = format!("{{job_name: a, convert_classic_histograms_to_nhcb: true, {settings}}}");
        for mut bench in benches(&job) {
            let stats = bench.scrape(10, &format!("{H}g 1\n")).map(|stats| (stats.n_scraped, stats.n_kept));
            assert_eq!(stats, expected.map_err(str::to_owned), "{settings}");
        }
    }
    check("sample_limit: 2", Ok((2, 2)));
    check("sample_limit: 1", Err("sample limit exceeded"));
    check("native_histogram_bucket_limit: 2", Ok((2, 2)));
    check("native_histogram_bucket_limit: 1", Err("histogram bucket limit exceeded"));
    check("metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: h}]", Ok((2, 1)));
    check("label_limit: 2", Err("label_limit exceeded (metric: h, number of labels: 3, limit: 2)"));
}

#[test]
fn a_recorded_body_is_stored_and_made_coarser() {
    fn check(settings: &str, n_histograms: usize, schema: i32) {
        let mut bench = Bench::new(&format!("{{job_name: a, {settings}}}"));
        bench.scrape_bytes(10, RECORDED, Format::Protobuf).unwrap();
        bench.scrape_bytes(20, RECORDED, Format::Protobuf).unwrap();
        let all = [Matcher::new(model::MatchOp::NotEqual, METRIC_NAME, "").unwrap()];
        let mut set = bench.store.select(&all, TimeRange::ALL, &SelectHints::default()).unwrap();
        let (mut n, mut finest) = (0, -4);
        while let Some(series) = set.next().unwrap() {
            n += series.histograms.len();
            finest = series.histograms.iter().map(|h| h.histogram.schema).fold(finest, i32::max);
        }
        assert_eq!((n, finest), (2 * n_histograms, schema), "{settings}");
    }
    check("scrape_native_histograms: false", 0, -4);
    check("scrape_native_histograms: true", 4, 3);
    check("scrape_native_histograms: true, native_histogram_bucket_limit: 20", 4, 3);
    check("scrape_native_histograms: true, native_histogram_min_bucket_factor: 1.5", 4, 0);
}
