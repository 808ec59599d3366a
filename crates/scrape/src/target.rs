//! From an address and labels to a target: relabelling, the URL, the checks.
//!
//! In from [`discovery`]; out to [`crate::pool`]. Pure. Semantics of Prometheus 3: no default port is added.

use std::collections::BTreeMap;

use discovery::TargetGroup;
use model::relabel;
use model::{Duration, Labels};
use url::Url;

use crate::config::HistogramPolicy;
use crate::config::{ScrapeConfig, http_scheme};
use crate::schedule::fnv1a;

/// Something to scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Labels of its series: those without `__` in front.
    pub labels: Labels,
    /// What discovery said, before relabelling.
    pub discovered: Labels,
    /// Where.
    pub url: Url,
    /// The same as the user would write it; unlike [`Url`] it keeps a default port.
    pub shown_url: String,
    /// Between scrapes.
    pub interval: Duration,
    /// Of one scrape.
    pub timeout: Duration,
    /// What is done with its histograms.
    pub histograms: HistogramPolicy,
    /// Of everything that makes it this target and no other; moves its offset.
    pub hash: u64,
}

/// What became of an address.
#[derive(Debug, Clone, PartialEq)]
pub enum Built {
    /// A target.
    Active(Box<Target>),
    /// A rule dropped it.
    Dropped {
        /// What discovery said.
        discovered: Labels,
    },
    /// Its labels do not make a target.
    Failed {
        /// What discovery said.
        discovered: Labels,
        /// Why.
        reason: String,
    },
}

/// Makes a target of one member of a group; `own` are its own labels, `__address__` among them.
#[must_use]
pub fn build(config: &ScrapeConfig, group: &TargetGroup, own: &Labels) -> Built {
    let discovered = seed(config, group, own);
    let mut builder = discovered.to_builder();
    if !relabel::process_builder(&mut builder, &config.relabel_configs) {
        return Built::Dropped { discovered };
    }
    let labels = builder.build();
    let Some(address) = labels.get("__address__") else {
        return Built::Failed { discovered, reason: "no address".to_owned() };
    };
    match finish(config, &labels, address) {
        Ok(Finished { url, shown_url, interval, timeout, histograms }) => {
            builder.retain(|name, _| !name.starts_with("__meta_") && !name.starts_with("__tmp"));
            if builder.get("instance").is_none() {
                builder.set("instance", address);
            }
            // When and how it is scraped does not make it another target.
            builder.remove("__scrape_interval__").remove("__scrape_timeout__");
            for name in [
                "__scrape_native_histograms__",
                "__always_scrape_classic_histograms__",
                "__convert_classic_histograms_to_nhcb__",
            ] {
                builder.remove(name);
            }
            let identity = builder.build().to_string();
            builder.retain(|name, _| !name.starts_with("__"));
            let hash = fnv1a(&[identity.as_bytes(), shown_url.as_bytes()]);
            Built::Active(Box::new(Target {
                labels: builder.build(),
                discovered,
                url,
                shown_url,
                interval,
                timeout,
                histograms,
                hash,
            }))
        }
        Err(reason) => Built::Failed { discovered, reason },
    }
}

/// The labels before relabelling: the job's settings, over them the group's labels, over them the target's own.
fn seed(config: &ScrapeConfig, group: &TargetGroup, own: &Labels) -> Labels {
    let mut pairs: BTreeMap<String, String> = BTreeMap::from([
        ("job".to_owned(), config.job.clone()),
        ("__scrape_interval__".to_owned(), config.scrape_interval.to_string()),
        ("__scrape_timeout__".to_owned(), config.scrape_timeout.to_string()),
        ("__metrics_path__".to_owned(), config.metrics_path.clone()),
        ("__scheme__".to_owned(), config.scheme.clone()),
    ]);
    let mut histograms = config.histograms;
    for (name, is_on) in switches(&mut histograms) {
        pairs.insert(name.to_owned(), is_on.to_string());
    }
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            pairs.insert(format!("__param_{name}"), first.clone());
        }
    }
    pairs.extend(group.labels.iter().chain(own).map(|(name, value)| (name.to_owned(), value.to_owned())));
    Labels::from_pairs(&pairs)
}

/// What the labels say of how a target is scraped.
struct Finished {
    url: Url,
    shown_url: String,
    interval: Duration,
    timeout: Duration,
    histograms: HistogramPolicy,
}

/// The switches of histograms that are labels too.
fn switches(histograms: &mut HistogramPolicy) -> [(&'static str, &mut bool); 3] {
    [
        ("__scrape_native_histograms__", &mut histograms.natives),
        ("__always_scrape_classic_histograms__", &mut histograms.classic_too),
        ("__convert_classic_histograms_to_nhcb__", &mut histograms.classic_to_custom),
    ]
}

/// As Go's `strconv.ParseBool` reads it.
fn parse_bool(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("error parsing {name}: {text:?} is neither true nor false")),
    }
}

/// URL, times and switches from the labels that relabelling left.
fn finish(config: &ScrapeConfig, labels: &Labels, address: &str) -> Result<Finished, String> {
    if address.contains('/') {
        return Err(format!("\"{address}\" is not a valid hostname"));
    }
    let duration = |label: &str, what: &str| -> Result<Duration, String> {
        let text = labels.get(label).unwrap_or_default();
        let duration: Duration = text.parse().map_err(|err| format!("error parsing {what}: {err}"))?;
        if duration.is_zero() { Err(format!("{what} cannot be 0")) } else { Ok(duration) }
    };
    let interval = duration("__scrape_interval__", "scrape interval")?;
    let timeout = duration("__scrape_timeout__", "scrape timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval (\"{timeout}\" > \"{interval}\")"
        ));
    }
    let scheme = labels.get("__scheme__").unwrap_or("http");
    let Some(scheme) = http_scheme(scheme) else {
        return Err(format!("scheme must be http or https, not {scheme:?}"));
    };
    let mut url =
        Url::parse(&format!("{scheme}://{address}")).map_err(|err| format!("{address:?}: {err}"))?;
    url.set_path(labels.get("__metrics_path__").unwrap_or_default());
    let mut params = config.params.clone();
    for (name, value) in labels {
        if let Some(name) = name.strip_prefix("__param_") {
            let values = params.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => value.clone_into(first),
                None => values.push(value.to_owned()),
            }
        }
    }
    let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    url.set_query((!query.is_empty()).then_some(query.as_str()));
    let sep = if query.is_empty() { "" } else { "?" };
    let shown_url = format!("{scheme}://{address}{}{sep}{query}", url.path());
    let mut histograms = config.histograms;
    for (name, is_on) in switches(&mut histograms) {
        if let Some(text) = labels.get(name) {
            *is_on = parse_bool(name, text)?;
        }
    }
    Ok(Finished { url, shown_url, interval, timeout, histograms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(job: &str, address: &str, group_labels: &[(&str, &str)], expected: &str) {
        let config = crate::config::tests::job(job);
        let labels = Labels::from_pairs(group_labels.iter().copied());
        let group = TargetGroup { labels, ..TargetGroup::of_addresses([address]) };
        let got = match build(&config, &group, &group.targets[0]) {
            Built::Active(target) => {
                format!("{} {} {}/{}", target.shown_url, target.labels, target.interval, target.timeout)
            }
            Built::Dropped { .. } => "dropped".to_owned(),
            Built::Failed { reason, .. } => reason,
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn labels_and_urls_are_prometheus() {
        check("job_name: a", "h:9100", &[], r#"http://h:9100/metrics {instance="h:9100", job="a"} 1m/10s"#);
        check("job_name: a", "h", &[], r#"http://h/metrics {instance="h", job="a"} 1m/10s"#);
        check(
            "job_name: a",
            "h:80",
            &[("x", "y"), ("job", "z")],
            r#"http://h:80/metrics {instance="h:80", job="z", x="y"} 1m/10s"#,
        );
        check(
            "job_name: a",
            "[::1]:9100",
            &[("__meta_x", "y")],
            r#"http://[::1]:9100/metrics {instance="[::1]:9100", job="a"} 1m/10s"#,
        );
        check(
            "{job_name: a, scheme: https, metrics_path: /p q, params: {b: ['1 2', '3'], a: [x]}}",
            "h:1",
            &[("__param_a", "z")],
            r#"https://h:1/p%20q?a=z&b=1+2&b=3 {instance="h:1", job="a"} 1m/10s"#,
        );
        check(
            "job_name: a",
            "h:1",
            &[("__scrape_interval__", "5s"), ("__scrape_timeout__", "5s")],
            r#"http://h:1/metrics {instance="h:1", job="a"} 5s/5s"#,
        );
    }

    #[test]
    fn the_tutorials_blackbox_job_probes_through_the_exporter() {
        let job = "job_name: blackbox\nmetrics_path: /probe\nparams: {module: [http_2xx]}\nrelabel_configs:\n\
            - {source_labels: [__address__], target_label: __param_target}\n\
            - {source_labels: [__param_target], target_label: instance}\n\
            - {target_label: __address__, replacement: '127.0.0.1:9115'}\n";
        check(
            job,
            "http://example.com/",
            &[],
            r#"http://127.0.0.1:9115/probe?module=http_2xx&target=http%3A%2F%2Fexample.com%2F {instance="http://example.com/", job="blackbox"} 1m/10s"#,
        );
    }

    #[test]
    fn what_makes_no_target_says_why() {
        let drop_all = "{job_name: a, relabel_configs: [{action: drop, source_labels: [job], regex: a}]}";
        check(drop_all, "h:1", &[], "dropped");
        check(
            "{job_name: a, relabel_configs: [{target_label: __address__, replacement: ''}]}",
            "h:1",
            &[],
            "no address",
        );
        check("job_name: a", "http://h:1/", &[], "\"http://h:1/\" is not a valid hostname");
        check(
            "job_name: a",
            "h:1",
            &[("__scrape_interval__", "5s")],
            "scrape timeout cannot be greater than scrape interval (\"10s\" > \"5s\")",
        );
        check(
            "job_name: a",
            "h:1",
            &[("__scrape_interval__", "x")],
            "error parsing scrape interval: not a valid duration string: \"x\"",
        );
        check("job_name: a", "h:1", &[("__scheme__", "ftp")], "scheme must be http or https, not \"ftp\"");
    }
}
