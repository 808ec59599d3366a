//! Configurations as people write them: read, completed, refused at the right line.

use super::*;

/// One job, read and completed with the defaults.
pub(crate) fn job(text: &str) -> ScrapeConfig {
    let file: ScrapeConfigFile = model::yaml::parse("job.yml", text).unwrap();
    file.resolve(&GlobalConfig::default(), Path::new("")).unwrap()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    global: GlobalConfig,
    #[serde(default)]
    scrape_configs: Vec<ScrapeConfigFile>,
}

fn load(text: &str) -> Result<Vec<ScrapeConfig>, String> {
    let file: File = model::yaml::parse("p.yml", text).map_err(|err| err.to_string())?;
    let dir = || Path::new("/etc/hinomi").to_owned();
    resolve(file.scrape_configs.into_iter().map(|job| (job, dir())).collect(), &file.global)
        .map_err(|err| err.to_string())
}

fn check_refused(text: &str, expected: &str) {
    assert_eq!(load(text).unwrap_err(), expected, "{text}");
}

/// A job with one more line, at line 3, indented by two.
fn with(line: &str) -> String {
    format!("scrape_configs:\n- job_name: a\n  {line}\n")
}

#[test]
fn the_tutorials_configuration_reads() {
    let jobs = load(
        "global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\n  external_labels:\n    monitor: 'x'\n\
         scrape_configs:\n\
         - job_name: node\n  scrape_interval: 5s\n  static_configs:\n  - targets: ['localhost:9100']\n    labels:\n      group: a\n\
         - job_name: blackbox\n  scrape_interval: 30s\n  scrape_timeout: 20s\n  metrics_path: /probe\n  params:\n    module: [http_2xx]\n\
         \x20 static_configs:\n  - targets: [http://example.com]\n  relabel_configs:\n\
         \x20 - source_labels: [__address__]\n    target_label: __param_target\n\
         - job_name: files\n  file_sd_configs:\n  - files: ['sd/*.yml', /abs/a.json]\n  tls_config: {ca_file: ca.pem}\n",
    )
    .unwrap();
    assert_eq!(
        (jobs[0].scrape_interval, jobs[0].scrape_timeout),
        (Duration::from_secs(5), Duration::from_secs(5))
    );
    let SdConfig::Static(groups) = &jobs[0].sd[0] else { panic!("{:?}", jobs[0].sd) };
    assert_eq!(groups[0].labels.get("group"), Some("a"));
    assert_eq!(jobs[1].scrape_timeout, Duration::from_secs(20));
    assert_eq!(jobs[2].scrape_interval, Duration::from_secs(15));
    let SdConfig::File(files) = &jobs[2].sd[0] else { panic!("{:?}", jobs[2].sd) };
    assert_eq!(files.files(), ["/etc/hinomi/sd/*.yml", "/abs/a.json"]);
    assert_eq!(
        jobs[2].http.tls_config.as_ref().unwrap().ca_file.as_deref(),
        Some(Path::new("/etc/hinomi/ca.pem"))
    );
}

#[test]
fn defaults_are_prometheus() {
    let job = job("job_name: a");
    assert_eq!((job.metrics_path.as_str(), job.scheme.as_str()), ("/metrics", "http"));
    assert!(job.honor_timestamps && !job.honor_labels && job.enable_compression && job.http.follow_redirects);
    assert_eq!(job.protocols(false), &ScrapeProtocol::DEFAULT[1..]);
    assert_eq!(job.protocols(true), ScrapeProtocol::DEFAULT);
    assert_eq!(job.histograms, HistogramPolicy::default());
    assert_eq!(job.limits, ScrapeLimits::default());
}

#[test]
fn every_harmless_key_is_read() {
    let jobs = load(
        "global:\n  scrape_timeout: 5s\n  scrape_protocols: [PrometheusProto, PrometheusText0.0.4]\n  body_size_limit: 1MB\n  sample_limit: 9\n\
         \x20 keep_dropped_targets: 3\n  metric_name_validation_scheme: legacy\n  always_scrape_classic_histograms: true\n\
         \x20 rule_query_offset: 1m\n  extra_scrape_metrics: true\n\
         scrape_configs:\n- job_name: a\n  sample_limit: 4\n  body_size_limit: 10KiB\n  label_limit: 1\n  label_name_length_limit: 2\n\
         \x20 label_value_length_limit: 3\n  target_limit: 5\n  scrape_classic_histograms: true\n  scrape_native_histograms: true\n\
         \x20 native_histogram_bucket_limit: 7\n  native_histogram_min_bucket_factor: 1.1\n  scrape_failure_log_file: f.log\n  fallback_scrape_protocol: PrometheusText0.0.4\n  honor_labels: yes\n\
         \x20 metric_name_escaping_scheme: dots\n  bearer_token: x\n  relabel_configs:\n  static_configs:\n",
    )
    .unwrap();
    let job = &jobs[0];
    assert_eq!(job.limits.body_bytes_max, 10 << 10);
    assert_eq!((job.limits.samples_max, job.targets_max, job.dropped_targets_max), (4, 5, 3));
    assert_eq!((job.name_validation, job.name_escaping), (ValidationScheme::Legacy, EscapingScheme::Dots));
    assert_eq!(job.protocols(true), [ScrapeProtocol::PrometheusProto, ScrapeProtocol::PrometheusText004]);
    let (natives, classic_too, classic_to_custom) = (true, true, false);
    let policy = HistogramPolicy { natives, classic_too, classic_to_custom, buckets_max: 7, schema_max: 2 };
    assert_eq!(job.histograms, policy);
    assert_eq!(job.failure_log.as_deref(), Some(Path::new("/etc/hinomi/f.log")));
    assert_eq!(job.fallback_format, Some(Format::Text004));
    assert!(job.honor_labels && job.has_extra_metrics());
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    check_refused(
        &with("basic_auth: {username: u, password_ref: x}"),
        "p.yml:3:15: cannot use secret ref without manager: there is none here, nor in Prometheus; use password_file instead of password_ref",
    );
    check_refused(&with("scrape_protocols: []"), "p.yml:2:3: scrape_protocols cannot be empty");
}

#[test]
fn what_is_wrong_is_refused_with_prometheus_words() {
    check_refused(
        &with("scrape_intervall: 5s"),
        "p.yml:3:3: field scrape_intervall not found, did you mean scrape_interval?",
    );
    check_refused(&with("scrape_interval: 5"), "p.yml:3:20: not a valid duration string: \"5\"");
    check_refused(&with("scheme: ftp"), "p.yml:2:3: scheme must be http or https, not \"ftp\"");
    check_refused(
        &with("{}").replace("job_name: a", "job_name: ''").replace("  {}\n", ""),
        "p.yml:2:3: job_name is empty",
    );
    check_refused(
        &with("static_configs: [{targets: ['http://a/']}]"),
        "p.yml:2:3: \"http://a/\" is not a valid hostname",
    );
    check_refused(
        &with("file_sd_configs: [{files: [a.txt]}]"),
        "p.yml:3:21: path name \"a.txt\" is not valid for file discovery",
    );
    check_refused(
        &with("relabel_configs: [{action: hashmod, target_label: x}]"),
        "p.yml:3:21: relabel configuration for hashmod requires non-zero modulus",
    );
    check_refused(
        &with("basic_auth: {}\n  bearer_token: x"),
        "p.yml:2:3: at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
    );
    check_refused(
        "global: {scrape_timeout: 2m}",
        "p.yml:1:9: global scrape timeout greater than scrape interval",
    );
    check_refused(
        &with("scrape_timeout: 2m"),
        "scrape timeout greater than scrape interval for scrape config with job name \"a\"",
    );
    check_refused(
        &with("scrape_interval: 1s\n  scrape_timeout: 2s"),
        "p.yml:2:3: scrape timeout greater than scrape interval for scrape config with job name \"a\"",
    );
    check_refused(
        "scrape_configs:\n- job_name: a\n- job_name: a\n",
        "found multiple scrape configs with job name \"a\"",
    );
}

#[test]
fn environment_fills_external_labels_only() {
    let env = |name: &str| (name == "HOST").then(|| "h".to_owned());
    for (text, expected) in [
        ("a-${HOST}-b", "a-h-b"),
        ("$HOST", "h"),
        ("$$HOST", "$HOST"),
        ("x${NONE}y$NONE", "xy"),
        ("100", "100"),
    ] {
        assert_eq!(expand(text, env), expected);
    }
}

#[test]
fn sizes_have_units() {
    for (text, expected) in
        [("0", Ok(0)), ("10B", Ok(10)), ("1KB", Ok(1_024)), ("1.5MiB", Ok(1_572_864)), ("2G", Ok(2 << 30))]
    {
        assert_eq!(text.parse::<ByteSize>().map(|size| size.bytes), expected);
    }
    for text in ["", "x", "10", "1XB", "-1", "99999999EB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
}
