//! Debian's node_exporter scraped for a minute: every series of every body is stored, with equal values.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::target::{Reply, Target};
use crate::harness::{Hinomi, get, peers, wait_for};

/// How long it is scraped, in seconds.
const SCRAPED_SECS: u64 = 60;

type Labels = BTreeMap<String, String>;

#[test]
fn every_series_of_a_real_exporter_is_stored_with_equal_values() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = peers::node_exporter(folder.path());
    // In between stands a recorder, so that the test knows every body that was served.
    let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
    let (served, upstream) = (Arc::clone(&bodies), exporter.base());
    let recorder = Target::start(move |_| {
        let body = get(&format!("{upstream}/metrics")).unwrap().body;
        served.lock().unwrap().push(body.clone());
        Reply::text(body)
    });
    let config = format!(
        "scrape_configs:\n- job_name: node\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['{}']\n",
        recorder.address
    );
    let server = Hinomi::start(Some(&config), &[]);
    wait_for("a minute of scrapes", Duration::from_secs(SCRAPED_SECS + 30), || {
        (bodies.lock().unwrap().len() as u64 > SCRAPED_SECS).then_some(())
    });
    drop(recorder);
    let expected = expected_series(&bodies.lock().unwrap(), &recorder_instance(&config));

    let stored = wait_for("the last scrape", Duration::from_secs(5), || {
        let stored = stored_series(&server);
        let (most, last) = (expected.values().map(Vec::len).max()?, stored.values().map(Vec::len).max()?);
        (last >= most).then_some(stored)
    });
    let mut n_samples = 0;
    for (labels, values) in &expected {
        let got = stored.get(labels).unwrap_or_else(|| panic!("{labels:?} is not stored"));
        let same = got.len() >= values.len()
            && got.iter().zip(values).all(|(got, value)| got == value || got.is_nan() && value.is_nan());
        assert!(same, "{labels:?}: served {values:?}, stored {got:?}");
        n_samples += values.len();
    }
    println!("{} series, {n_samples} samples equal", expected.len());
    assert!(expected.len() > 300, "a node exporter has hundreds of series: {}", expected.len());
}

fn recorder_instance(config: &str) -> String {
    config.split('\'').nth(1).unwrap().to_owned()
}

/// Read with none of our code: label text by hand, values by the standard library.
fn expected_series(bodies: &[String], instance: &str) -> BTreeMap<Labels, Vec<f64>> {
    let mut series: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for line in
        bodies.iter().flat_map(|body| body.lines()).filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (name_and_labels, value) = line.rsplit_once(' ').unwrap();
        let (name, rest) = name_and_labels.split_once('{').unwrap_or((name_and_labels, ""));
        let mut labels = Labels::from([
            ("__name__".to_owned(), name.to_owned()),
            ("job".to_owned(), "node".to_owned()),
            ("instance".to_owned(), instance.to_owned()),
        ]);
        let mut rest = rest.trim_end_matches('}');
        while let Some((label, after)) = rest.split_once("=\"") {
            let end = closing_quote(after);
            let value = after[..end].replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\");
            // An empty label is no label.
            if !value.is_empty() {
                labels.insert(label.to_owned(), as_prometheus_3_stores(label, value));
            }
            rest = after[end + 1..].trim_start_matches(',');
        }
        let value = value.replace("+Inf", "inf").replace("-Inf", "-inf");
        series.entry(labels).or_default().push(value.parse().unwrap());
    }
    series
}

/// Bounds and quantiles are stored as floats since Prometheus 3: «1» as «1.0».
fn as_prometheus_3_stores(label: &str, value: String) -> String {
    let is_whole = value.bytes().all(|byte| byte.is_ascii_digit());
    if matches!(label, "le" | "quantile") && is_whole { format!("{value}.0") } else { value }
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    text.char_indices()
        .find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        })
        .unwrap()
        .0
}

fn stored_series(server: &Hinomi) -> BTreeMap<Labels, Vec<f64>> {
    let result = server.query("{job=\"node\"}[10m]", None);
    let series = result.as_array().unwrap().iter().map(|series| {
        let labels = series["metric"].as_object().unwrap();
        let labels =
            labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
        let values = series["values"].as_array().unwrap();
        let values = values.iter().map(|pair| number(pair[1].as_str().unwrap())).collect();
        (labels, values)
    });
    series.collect()
}

fn number(text: &str) -> f64 {
    text.replace("+Inf", "inf").replace("-Inf", "-inf").parse().unwrap()
}
